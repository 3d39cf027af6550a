/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The one interface of a probe. A probe owns its object once attached, its
 * tables and its series. It never includes another probe.
 */
#ifndef PROBES_PROBE_H
#define PROBES_PROBE_H

#include <stdbool.h>

#include "config/config.h"
#include "kernel/ladder.h"
#include "series/observation.h"
#include "series/series.h"
#include "services/processes.h"

/* What every probe is given; outlives the probe. */
struct probe_environment {
	const struct config *config;
	struct maps *maps;
	struct series_store *store;
	struct processes *processes;
	struct observer observer; /* told of requests and details */
};

struct probe_type {
	const char *name;    /* "net/request" */
	const char *purpose; /* one line */
	const struct rung *rungs;
	const struct series_spec *series; /* ends with a nameless one; may be NULL */
	const void *(*elf)(size_t *ret_size);
	/* Before load. May be NULL. */
	int (*configure)(const struct probe_environment *environment, struct bpf_object *object,
			 const struct rung *rung);
	/* Before attaching anything else of it: maps are there, programs run. 0 or negative errno.
	 */
	int (*start)(struct probe_environment *environment, struct attached *attached,
		     void **ret_state);
	void (*stop)(void *state);
	/* A record of a kind that is not the processes' own. True if it was this probe's. */
	bool (*record)(void *state, const struct record_header *header);
	/* Takes what the tables hold into the series. */
	void (*sweep)(void *state, uint64_t now_ns);
};

struct probe {
	const struct probe_type *type;
	struct attached attached;
	void *state;
	bool up;
	char reason[RUNG_REASON_MAX]; /* why it is off */
};

extern const struct probe_type *const probe_types[]; /* in the order of probes.def; NULL ends */
extern const struct probe_type proc_lifetime_probe, net_tcp_conn_probe, net_request_probe;

/* Fills what ladder_climb() wants to know of a probe. */
struct ladder probe_ladder(const struct probe_type *type,
			   const struct probe_environment *environment);

/* Climbs, starts. A probe that cannot is off with a reason, and that is not an error. */
void probe_start(struct probe *probe, const struct probe_type *type,
		 struct probe_environment *environment);
void probe_stop(struct probe *probe);

#endif
