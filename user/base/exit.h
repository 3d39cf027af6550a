/* SPDX-License-Identifier: GPL-2.0-only */
/* Exit codes of every command; documented in plimsoll(8), relied upon by scripts. */
#ifndef BASE_EXIT_H
#define BASE_EXIT_H

enum exit_code {
	EXIT_OK = 0,
	EXIT_RUNTIME = 1, /* something failed while running: port in use, out of memory */
	EXIT_USAGE = 2,	  /* the command line or the configuration is wrong */
	EXIT_KERNEL = 3,  /* the kernel or missing rights allow no probe at all */
};

#endif
