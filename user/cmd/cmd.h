/* SPDX-License-Identifier: GPL-2.0-only */
/* The commands of plimsoll, one file each; main.c holds the table. Exit codes are documented API. */
#ifndef CMD_CMD_H
#define CMD_CMD_H

enum exit_code {
	EXIT_OK = 0,
	EXIT_RUNTIME = 1, /* something failed while running: port in use, out of memory */
	EXIT_USAGE = 2,	  /* the command line or the configuration is wrong */
	EXIT_KERNEL = 3,  /* the kernel or missing rights allow no probe at all */
};

/* argv[0] is the command's name. Each prints its own --help. */
int cmd_agent(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_check_config(int argc, char **argv);
int cmd_metrics_doc(int argc, char **argv);

#endif
