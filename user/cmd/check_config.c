/* SPDX-License-Identifier: GPL-2.0-only */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "cmd/cmd.h"
#include "config/config.h"

static const char help[] =
	"usage: plimsoll check-config [--quiet] FILE...\n"
	"\n"
	"Reads configuration files as the agent would and says what is wrong with\n"
	"them, one line each: file:line: key: reason.\n"
	"\n"
	"exit codes: 0 every file can be used, 2 one cannot\n";

static int check(const char *path, bool quiet)
{
	struct text problems = {};
	struct config config;
	int err = config_load(&config, path, &problems);

	if (problems.bytes)
		fputs(problems.bytes, stderr);
	else if (err)
		fprintf(stderr, "%s: %s\n", path, strerror(-err));
	text_fini(&problems);
	if (err)
		return EXIT_USAGE;
	if (!quiet)
		printf("%s: ok, %zu budget lines, %zu routes\n", path, config.budget_count,
		       config.route_count);
	config_fini(&config);
	return EXIT_OK;
}

int cmd_check_config(int argc, char **argv)
{
	static const struct option options[] = { { "quiet", no_argument, NULL, 'q' },
						 { "help", no_argument, NULL, 'h' },
						 {} };
	int option, code = EXIT_OK;
	bool quiet = false;

	while ((option = getopt_long(argc, argv, "qh", options, NULL)) != -1) {
		if (option == 'h') {
			fputs(help, stdout);
			return EXIT_OK;
		}
		if (option != 'q') {
			fputs("try plimsoll check-config --help\n", stderr);
			return EXIT_USAGE;
		}
		quiet = true;
	}
	if (optind == argc) {
		fputs("plimsoll check-config: which file?\n", stderr);
		return EXIT_USAGE;
	}
	for (; optind < argc; optind++)
		if (check(argv[optind], quiet))
			code = EXIT_USAGE;
	return code;
}
