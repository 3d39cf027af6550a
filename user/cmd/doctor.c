/* SPDX-License-Identifier: GPL-2.0-only */
/* What this kernel lets plimsoll see: every probe, every rung, tried for real and let go again. */
#include <cap-ng.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"
#include "cmd/cmd.h"
#include "config/config.h"
#include "kernel/ladder.h"
#include "kernel/maps.h"
#include "probes/probe.h"

static const char help[] =
	"usage: plimsoll doctor [--json]\n"
	"\n"
	"Tries every way of attaching every probe on this kernel, lets go of it again, and\n"
	"says which one the agent would take and why the better ones do not work. Changes\n"
	"nothing. Needs root.\n"
	"\n"
	"exit codes: 0 every probe can be attached, 1 some cannot, 3 none can\n";

struct finding {
	const struct probe_type *type;
	const struct rung *rung;
	bool available, chosen;
	char reason[RUNG_REASON_MAX];
};

#define FINDINGS_MAX 64

static size_t examine(struct probe_environment *environment, struct finding *findings)
{
	size_t count = 0;

	for (size_t i = 0; probe_types[i]; i++) {
		const struct probe_type *type = probe_types[i];
		struct ladder ladder = probe_ladder(type, environment);
		bool chosen = false;

		for (const struct rung *rung = type->rungs; rung->name && count < FINDINGS_MAX;
		     rung++) {
			struct finding *finding = &findings[count++];

			finding->type = type;
			finding->rung = rung;
			finding->available =
				ladder_try(&ladder, environment->maps, rung, finding->reason,
					   sizeof(finding->reason)) == 0;
			finding->chosen = finding->available && !chosen;
			chosen |= finding->available;
		}
	}
	return count;
}

static void print_json(const struct finding *findings, size_t count, const struct utsname *host,
		       bool btf)
{
	struct text json = {};

	text_append_string(&json, "{\"kernel\":");
	text_append_json(&json, host->release);
	text_append_string(&json, ",\"machine\":");
	text_append_json(&json, host->machine);
	text_printf(&json, ",\"btf\":%s,\"rungs\":[", btf ? "true" : "false");
	for (size_t i = 0; i < count; i++) {
		text_append_string(&json, i ? ",{\"probe\":" : "{\"probe\":");
		text_append_json(&json, findings[i].type->name);
		text_append_string(&json, ",\"rung\":");
		text_append_json(&json, findings[i].rung->name);
		text_printf(&json, ",\"available\":%s,\"chosen\":%s,\"reason\":",
			    findings[i].available ? "true" : "false",
			    findings[i].chosen ? "true" : "false");
		text_append_json(&json, findings[i].reason);
		text_append_string(&json, "}");
	}
	text_append_string(&json, "]}");
	puts(json.failed ? "{}" : json.bytes);
	text_fini(&json);
}

static const char *capability(unsigned int which)
{
	return capng_have_capability(CAPNG_EFFECTIVE, which) ? "yes" : "NO";
}

static void print_text(const struct finding *findings, size_t count, const struct utsname *host,
		       bool btf)
{
	const struct probe_type *last = NULL;

	capng_get_caps_process();
	printf("kernel        %s %s\n", host->release, host->machine);
	printf("BTF           %s\n",
	       btf ? "yes" : "NO: /sys/kernel/btf/vmlinux is missing (CONFIG_DEBUG_INFO_BTF)");
	printf("capabilities  CAP_BPF %s, CAP_PERFMON %s, CAP_SYS_PTRACE %s, CAP_SYS_ADMIN %s\n",
	       capability(CAP_BPF), capability(CAP_PERFMON), capability(CAP_SYS_PTRACE),
	       capability(CAP_SYS_ADMIN));
	for (size_t i = 0; i < count; i++) {
		const struct finding *finding = &findings[i];

		if (finding->type != last)
			printf("\n%-14s%s\n", finding->type->name, finding->type->purpose);
		last = finding->type;
		printf("  %s %-12s%s%s\n", finding->chosen ? "->" : "  ", finding->rung->name,
		       finding->available ? "works" : "does not work: ", finding->reason);
	}
}

static int examine_and_print(bool json)
{
	static struct finding findings[FINDINGS_MAX];
	struct probe_environment environment = {};
	size_t count, probes = 0, works = 0;
	struct utsname host;
	struct config config;
	struct maps maps;
	bool btf = access("/sys/kernel/btf/vmlinux", R_OK) == 0;

	if (config_init(&config))
		return EXIT_RUNTIME;
	uname(&host);
	ladder_init_log();
	if (maps_open(&maps, &config)) {
		fputs("plimsoll doctor: no BPF map can be made: run it as root (or with CAP_BPF "
		      "and CAP_PERFMON), outside of a container without them\n",
		      stderr);
		maps_close(&maps);
		config_fini(&config);
		return EXIT_KERNEL;
	}
	environment.config = &config;
	environment.maps = &maps;
	count = examine(&environment, findings);
	if (json)
		print_json(findings, count, &host, btf);
	else
		print_text(findings, count, &host, btf);
	ladder_done();
	maps_close(&maps);
	config_fini(&config);
	for (; probe_types[probes]; probes++)
		;
	for (size_t i = 0; i < count; i++)
		works += findings[i].chosen;
	if (works == probes)
		return EXIT_OK;
	return works ? EXIT_RUNTIME : EXIT_KERNEL;
}

int cmd_doctor(int argc, char **argv)
{
	static const struct option options[] = { { "json", no_argument, NULL, 'j' },
						 { "verbose", no_argument, NULL, 'v' },
						 { "help", no_argument, NULL, 'h' },
						 {} };
	enum log_level level = LOG_LEVEL_WARN;
	bool json = false;
	int option;

	while ((option = getopt_long(argc, argv, "vh", options, NULL)) != -1) {
		switch (option) {
		case 'j':
			json = true;
			break;
		case 'v':
			level = LOG_LEVEL_DEBUG;
			break;
		case 'h':
			fputs(help, stdout);
			return EXIT_OK;
		default:
			fputs("try plimsoll doctor --help\n", stderr);
			return EXIT_USAGE;
		}
	}
	log_init(LOG_FORMAT_TEXT, level);
	return examine_and_print(json);
}
