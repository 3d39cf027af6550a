/* SPDX-License-Identifier: GPL-2.0-only */
/* plimsoll: the command table. */
#include <stdio.h>
#include <string.h>

#include "cmd/cmd.h"

struct command {
	const char *name;
	const char *help; /* NULL: not listed */
	int (*run)(int argc, char **argv);
};

static int version(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	puts("plimsoll " PLIMSOLL_VERSION);
	return EXIT_OK;
}

static const struct command commands[] = {
	{ "agent", "watch this host, judge budgets, serve /metrics", cmd_agent },
	{ "doctor", "what this kernel lets plimsoll see, and why not more", cmd_doctor },
	{ "check-config", "is a configuration file right?", cmd_check_config },
	{ "version", "print the version", version },
	{ "metrics-doc", NULL, cmd_metrics_doc },
	{}
};

static void usage(FILE *out)
{
	fputs("usage: plimsoll COMMAND [options]\n\n"
	      "Draws a load line on every service of this host and says, from inside the\n"
	      "kernel, when one sinks below it.\n\n",
	      out);
	for (const struct command *command = commands; command->name; command++)
		if (command->help)
			fprintf(out, "  %-14s %s\n", command->name, command->help);
	fputs("\nplimsoll COMMAND --help says more. First steps: sudo plimsoll agent\n", out);
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		usage(stderr);
		return EXIT_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
	    strcmp(argv[1], "help") == 0) {
		usage(stdout);
		return EXIT_OK;
	}
	if (strcmp(argv[1], "--version") == 0)
		return version(argc, argv);
	for (const struct command *command = commands; command->name; command++)
		if (strcmp(argv[1], command->name) == 0)
			return command->run(argc - 1, argv + 1);
	fprintf(stderr, "plimsoll: no command %s\n\n", argv[1]);
	usage(stderr);
	return EXIT_USAGE;
}
