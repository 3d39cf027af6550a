/* SPDX-License-Identifier: GPL-2.0-only */
#include "agent/self.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "base/clock.h"

const struct series_spec self_series[] = {
	[SELF_BUILD] = { .name = "plimsoll_build_info",
			 .kind = SERIES_GAUGE,
			 .labels = { "version" },
			 .help = "1; the version that runs." },
	[SELF_PROBE_UP] = { .name = "plimsoll_probe_up",
			    .kind = SERIES_GAUGE,
			    .labels = { "probe" },
			    .help = "1 if the probe is attached." },
	[SELF_PROBE_INFO] = { .name = "plimsoll_probe_info",
			      .kind = SERIES_GAUGE,
			      .labels = { "probe", "rung" },
			      .help = "1; the rung the probe took." },
	[SELF_PROGRAM_RUNS] = { .name = "plimsoll_program_runs_total",
				.kind = SERIES_COUNTER,
				.labels = { "probe", "program" },
				.help = "Runs of a BPF program (only while "
					"kernel.bpf_stats_enabled "
					"is 1)." },
	[SELF_PROGRAM_SECONDS] = { .name = "plimsoll_program_run_seconds_total",
				   .kind = SERIES_COUNTER,
				   .unit = UNIT_SECONDS,
				   .labels = { "probe", "program" },
				   .help = "Time in a BPF program (only while "
					   "kernel.bpf_stats_enabled is 1)." },
	[SELF_PROGRAM_MISSES] = { .name = "plimsoll_program_misses_total",
				  .kind = SERIES_COUNTER,
				  .labels = { "probe", "program" },
				  .help = "Hits the kernel skipped because the program was already "
					  "running on that CPU." },
	[SELF_PROGRAM_INSTRUCTIONS] = { .name = "plimsoll_program_verified_instructions",
					.kind = SERIES_GAUGE,
					.labels = { "probe", "program" },
					.help = "Instructions the verifier walked to accept it." },
	[SELF_RECORDS] = { .name = "plimsoll_records_total",
			   .kind = SERIES_COUNTER,
			   .help = "Records taken from the ring buffer." },
	[SELF_PROCESSES] = { .name = "plimsoll_processes",
			     .kind = SERIES_GAUGE,
			     .labels = { "state" },
			     .help = "Processes known to use sockets (alive, max)." },
	[SELF_SERIES] = { .name = "plimsoll_series",
			  .kind = SERIES_GAUGE,
			  .help = "Series in the store." },
	[SELF_SERIES_OVERFLOW] = { .name = "plimsoll_series_overflow_total",
				   .kind = SERIES_COUNTER,
				   .labels = { "family" },
				   .help = "Look-ups that ended in a family's overflow series." },
	[SELF_CPU] = { .name = "plimsoll_agent_cpu_seconds_total",
		       .kind = SERIES_COUNTER,
		       .unit = UNIT_SECONDS,
		       .help = "Processor time of the agent, user and system." },
	[SELF_RSS] = { .name = "plimsoll_agent_resident_memory_bytes",
		       .kind = SERIES_GAUGE,
		       .unit = UNIT_BYTES,
		       .help = "Resident memory of the agent." },
	[SELF_UPTIME] = { .name = "plimsoll_agent_uptime_seconds",
			  .kind = SERIES_GAUGE,
			  .unit = UNIT_SECONDS,
			  .help = "Since the agent started." },
	[SELF_SCRAPE] = { .name = "plimsoll_scrape_duration_seconds",
			  .kind = SERIES_GAUGE,
			  .unit = UNIT_SECONDS,
			  .help = "What the last scrape took to answer." },
	[SELF_SCRAPES] = { .name = "plimsoll_scrapes_total",
			   .kind = SERIES_COUNTER,
			   .help = "Scrapes answered." },
	[SELF_WEB_REFUSED] = { .name = "plimsoll_web_connections_dropped_total",
			       .kind = SERIES_COUNTER,
			       .labels = { "reason" },
			       .help = "HTTP clients turned away (limit) or cut off (deadline)." },
	[SELF_SWEEP] = { .name = "plimsoll_sweep_duration_seconds",
			 .kind = SERIES_GAUGE,
			 .unit = UNIT_SECONDS,
			 .help = "What the last sweep of the kernel's tables took." },
	[SELF_QUANTILE] = { .name = "plimsoll_request_duration_percentile_seconds",
			    .kind = SERIES_GAUGE,
			    .unit = UNIT_SECONDS,
			    .labels = { "service_name", "role", "percentile" },
			    .help = "Over the last 30 s, within 2.2 % of the exact value." },
	[SELF_RELOADS] = { .name = "plimsoll_config_reloads_total",
			   .kind = SERIES_COUNTER,
			   .labels = { "result" },
			   .help = "Reloads of the configuration (ok, failed)." },
	{}
};

/* Series of nothing but a name. */
static const char *const no_labels[] = { NULL };

static struct series *get(struct self *self, enum self_family family, const char *const *values)
{
	return series_get(self->families[family], values);
}

/* Counters of others are absolute; a series counter is given what they grew by. */
static void count_up_to(struct series *series, double total)
{
	if (series && total > series->value)
		series_add(series, total - series->value);
}

int self_init(struct self *self, struct series_store *store)
{
	memset(self, 0, sizeof(*self));
	for (int i = 0; i < SELF_FAMILY_COUNT; i++) {
		self->families[i] = series_family(store, &self_series[i]);
		if (!self->families[i])
			return -ENOMEM;
	}
	series_set(get(self, SELF_BUILD, (const char *const[]){ PLIMSOLL_VERSION }), 1);
	series_add(get(self, SELF_RELOADS, (const char *const[]){ "ok" }), 0);
	series_add(get(self, SELF_RELOADS, (const char *const[]){ "failed" }), 0);
	return 0;
}

void self_probe(struct self *self, const struct probe *probe)
{
	series_set(get(self, SELF_PROBE_UP, (const char *const[]){ probe->type->name }), probe->up);
	if (probe->up)
		series_set(
			get(self, SELF_PROBE_INFO,
			    (const char *const[]){ probe->type->name, probe->attached.rung->name }),
			1);
}

static void programs(struct self *self, const struct probe *probe)
{
	struct bpf_program *program;

	if (!probe->up)
		return;
	bpf_object__for_each_program (program, probe->attached.object) {
		const char *values[] = { probe->type->name, bpf_program__name(program) };
		struct bpf_prog_info info = {};
		__u32 size = sizeof(info);

		if (bpf_program__fd(program) < 0 ||
		    bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &size))
			continue;
		count_up_to(get(self, SELF_PROGRAM_RUNS, values), (double)info.run_cnt);
		count_up_to(get(self, SELF_PROGRAM_SECONDS, values),
			    (double)info.run_time_ns / 1e9);
		count_up_to(get(self, SELF_PROGRAM_MISSES, values), (double)info.recursion_misses);
		series_set(get(self, SELF_PROGRAM_INSTRUCTIONS, values), info.verified_insns);
	}
}

static void own_cost(struct self *self)
{
	uint64_t now_ns = clock_monotonic_ns();
	unsigned long pages = 0;
	struct rusage usage;
	double cpu_s;
	FILE *file;

	getrusage(RUSAGE_SELF, &usage);
	cpu_s = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
		(double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
	if (self->cpu_at_ns && now_ns > self->cpu_at_ns)
		self->cpu_percent =
			(cpu_s - self->cpu_s) * 100 / ((double)(now_ns - self->cpu_at_ns) / 1e9);
	self->cpu_s = cpu_s;
	self->cpu_at_ns = now_ns;
	count_up_to(get(self, SELF_CPU, no_labels), cpu_s);
	file = fopen("/proc/self/statm", "re");
	if (file) {
		if (fscanf(file, "%*u %lu", &pages) == 1)
			self->rss_bytes = (double)pages * (double)sysconf(_SC_PAGESIZE);
		fclose(file);
	}
	series_set(get(self, SELF_RSS, no_labels), self->rss_bytes);
}

void self_tick(struct self *self, const struct probe *probes, size_t probe_count,
	       const struct processes *processes, const struct web *web, uint64_t started_ns)
{
	struct series_store *store = self->families[0]->store;
	struct family *family;

	own_cost(self);
	for (size_t i = 0; i < probe_count; i++)
		programs(self, &probes[i]);
	count_up_to(get(self, SELF_RECORDS, no_labels), (double)self->records);
	series_set(get(self, SELF_PROCESSES, (const char *const[]){ "alive" }), processes->alive);
	series_set(get(self, SELF_PROCESSES, (const char *const[]){ "max" }),
		   processes->maps->processes_max);
	series_set(get(self, SELF_SERIES, no_labels), (double)store->count);
	series_set(get(self, SELF_UPTIME, no_labels),
		   (double)(clock_monotonic_ns() - started_ns) / 1e9);
	count_up_to(get(self, SELF_RELOADS, (const char *const[]){ "ok" }),
		    (double)self->reloads_ok);
	count_up_to(get(self, SELF_RELOADS, (const char *const[]){ "failed" }),
		    (double)self->reloads_failed);
	family_for_each (store, family)
		if (family->overflowed)
			count_up_to(get(self, SELF_SERIES_OVERFLOW,
					(const char *const[]){ family->spec->name }),
				    (double)family->overflowed);
	if (web) {
		struct web_counts counts = web_counts(web);

		count_up_to(get(self, SELF_WEB_REFUSED, (const char *const[]){ "limit" }),
			    (double)counts.refused);
		count_up_to(get(self, SELF_WEB_REFUSED, (const char *const[]){ "deadline" }),
			    (double)counts.cut);
	}
}

void self_services(struct self *self, const struct service_view *views, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct service_view *view = &views[i];
		const char *role = view->role == ROLE_CLIENT ? "client" : "server";

		series_set(get(self, SELF_QUANTILE,
			       (const char *const[]){ view->service, role, "50" }),
			   view->p50_ms / 1e3);
		series_set(get(self, SELF_QUANTILE,
			       (const char *const[]){ view->service, role, "95" }),
			   view->p95_ms / 1e3);
		series_set(get(self, SELF_QUANTILE,
			       (const char *const[]){ view->service, role, "99" }),
			   view->p99_ms / 1e3);
	}
}

void self_scraped(struct self *self, uint64_t duration_ns)
{
	series_set(get(self, SELF_SCRAPE, no_labels), (double)duration_ns / 1e9);
	series_add(get(self, SELF_SCRAPES, no_labels), 1);
}

void self_swept(struct self *self, uint64_t duration_ns)
{
	series_set(get(self, SELF_SWEEP, no_labels), (double)duration_ns / 1e9);
}
