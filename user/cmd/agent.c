/* SPDX-License-Identifier: GPL-2.0-only */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "base/log.h"
#include "cmd/cmd.h"

static const char help[] =
	"usage: plimsoll agent [options]\n"
	"\n"
	"Watches every TCP connection and HTTP/1 request of this host from inside the\n"
	"kernel, judges budgets, prints alerts, serves /metrics. Needs root. Stops on\n"
	"SIGTERM and SIGINT; reads its configuration anew on SIGHUP.\n"
	"\n"
	"  -c, --config FILE        YAML or JSON; without it the built-in budgets apply\n"
	"  -l, --listen ADDR:PORT   where to serve HTTP (default 127.0.0.1:9926)\n"
	"      --rung PROBE=RUNG    force how a probe attaches (plimsoll doctor lists them)\n"
	"      --log-format FORMAT  auto, text or json (auto: text on a terminal)\n"
	"      --no-color           no colour (NO_COLOR does the same)\n"
	"      --no-screen          no live screen on a terminal, log lines only\n"
	"  -v, --verbose            debug log lines\n"
	"  -h, --help               this text\n"
	"\n"
	"exit codes: 0 stopped as asked, 1 failed while running, 2 usage or configuration,\n"
	"3 the kernel or missing rights allow no probe\n";

enum { OPTION_RUNG = 256, OPTION_LOG_FORMAT, OPTION_NO_COLOR, OPTION_NO_SCREEN };

static const struct option options[] = { { "config", required_argument, NULL, 'c' },
					 { "listen", required_argument, NULL, 'l' },
					 { "rung", required_argument, NULL, OPTION_RUNG },
					 { "log-format", required_argument, NULL,
					   OPTION_LOG_FORMAT },
					 { "no-color", no_argument, NULL, OPTION_NO_COLOR },
					 { "no-screen", no_argument, NULL, OPTION_NO_SCREEN },
					 { "verbose", no_argument, NULL, 'v' },
					 { "help", no_argument, NULL, 'h' },
					 {} };

static int parse_format(const char *text, enum log_format *ret_format)
{
	static const char *const names[] = { "auto", "text", "json" };

	for (int i = 0; i < 3; i++) {
		if (strcmp(text, names[i]) == 0) {
			*ret_format = (enum log_format)i;
			return 0;
		}
	}
	fprintf(stderr, "plimsoll agent: --log-format %s: want auto, text or json\n", text);
	return -1;
}

/* Does a probe of this list have the rung? Tells what there is if not. */
static int check_rung(const char *choice)
{
	const char *equals = strchr(choice, '=');

	for (size_t i = 0; equals && probe_types[i]; i++) {
		const struct probe_type *type = probe_types[i];

		if (strncmp(type->name, choice, (size_t)(equals - choice)) != 0 ||
		    type->name[equals - choice])
			continue;
		for (const struct rung *rung = type->rungs; rung->name; rung++)
			if (strcmp(rung->name, equals + 1) == 0)
				return 0;
		fprintf(stderr, "plimsoll agent: --rung %s: %s has the rungs", choice, type->name);
		for (const struct rung *rung = type->rungs; rung->name; rung++)
			fprintf(stderr, " %s", rung->name);
		fputc('\n', stderr);
		return -1;
	}
	fprintf(stderr, "plimsoll agent: --rung %s: want PROBE=RUNG; probes are", choice);
	for (size_t i = 0; probe_types[i]; i++)
		fprintf(stderr, " %s", probe_types[i]->name);
	fputc('\n', stderr);
	return -1;
}

int cmd_agent(int argc, char **argv)
{
	struct agent_options chosen = { .config_path = getenv("PLIMSOLL_CONFIG") };
	int option;

	while ((option = getopt_long(argc, argv, "c:l:vh", options, NULL)) != -1) {
		switch (option) {
		case 'c':
			chosen.config_path = optarg;
			break;
		case 'l':
			chosen.listen = optarg;
			break;
		case OPTION_RUNG:
			if (check_rung(optarg))
				return EXIT_USAGE;
			if (chosen.rung_count < AGENT_PROBES_MAX)
				chosen.rungs[chosen.rung_count++] = optarg;
			break;
		case OPTION_LOG_FORMAT:
			if (parse_format(optarg, &chosen.log_format))
				return EXIT_USAGE;
			break;
		case OPTION_NO_COLOR:
			chosen.no_colour = true;
			break;
		case OPTION_NO_SCREEN:
			chosen.no_screen = true;
			break;
		case 'v':
			chosen.debug = true;
			break;
		case 'h':
			fputs(help, stdout);
			return EXIT_OK;
		default:
			fputs("try plimsoll agent --help\n", stderr);
			return EXIT_USAGE;
		}
	}
	if (optind < argc) {
		fprintf(stderr, "plimsoll agent: unexpected argument %s\n", argv[optind]);
		return EXIT_USAGE;
	}
	return agent_run(&chosen);
}
