/* SPDX-License-Identifier: GPL-2.0-only */
/* The agent's own series: what it costs, what it runs, what it could not do. */
#ifndef AGENT_SELF_H
#define AGENT_SELF_H

#include <stdint.h>

#include "budgets/budgets.h"
#include "probes/probe.h"
#include "series/series.h"
#include "web/web.h"

enum self_family {
	SELF_BUILD,
	SELF_PROBE_UP,
	SELF_PROBE_INFO,
	SELF_PROGRAM_RUNS,
	SELF_PROGRAM_SECONDS,
	SELF_PROGRAM_MISSES,
	SELF_PROGRAM_INSTRUCTIONS,
	SELF_RECORDS,
	SELF_PROCESSES,
	SELF_SERIES,
	SELF_SERIES_OVERFLOW,
	SELF_CPU,
	SELF_RSS,
	SELF_UPTIME,
	SELF_SCRAPE,
	SELF_SCRAPES,
	SELF_WEB_REFUSED,
	SELF_SWEEP,
	SELF_QUANTILE,
	SELF_RELOADS,
	SELF_FAMILY_COUNT
};

struct self {
	struct family *families[SELF_FAMILY_COUNT];
	uint64_t records;
	uint64_t reloads_ok, reloads_failed;
	double cpu_percent; /* over the last tick */
	double rss_bytes;
	double cpu_s;
	uint64_t cpu_at_ns;
};

extern const struct series_spec self_series[];

int self_init(struct self *self, struct series_store *store);
void self_probe(struct self *self, const struct probe *probe);

/* Once a second: processor time, memory, programs, table fill. */
void self_tick(struct self *self, const struct probe *probes, size_t probe_count,
	       const struct processes *processes, const struct web *web, uint64_t started_ns);
void self_services(struct self *self, const struct service_view *views, size_t count);
void self_scraped(struct self *self, uint64_t duration_ns);
void self_swept(struct self *self, uint64_t duration_ns);

#endif
