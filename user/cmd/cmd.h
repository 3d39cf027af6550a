/* SPDX-License-Identifier: GPL-2.0-only */
/* The commands of plimsoll, one file each; main.c holds the table. */
#ifndef CMD_CMD_H
#define CMD_CMD_H

#include "base/exit.h"

/* argv[0] is the command's name. Each prints its own --help. */
int cmd_agent(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_check_config(int argc, char **argv);
int cmd_metrics_doc(int argc, char **argv);

#endif
