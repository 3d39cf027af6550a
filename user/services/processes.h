/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * From the kernel side's process indices to services (plimsoll/who.h). Learns
 * from RECORD_PROCESS, answers by writing the service id into the process slot,
 * gives indices back once a process is gone and no socket carries it, and
 * drains what the kernel lost or ignored per process into series and into the
 * completeness ratio of each service.
 */
#ifndef SERVICES_PROCESSES_H
#define SERVICES_PROCESSES_H

#include <stdbool.h>
#include <stdint.h>

#include "kernel/maps.h"
#include "series/series.h"
#include "services/services.h"

/* What one service saw and missed in the last minute, in one-second steps. */
struct completeness {
	uint32_t seen[60], lost[60];
	uint64_t seen_sum, lost_sum;
	uint64_t second; /* monotonic second of the newest step */
};

struct process {
	struct service *service; /* NULL: nothing known yet */
	uint32_t pid;
	bool gone;
	uint64_t gone_ns;
};

struct processes {
	struct maps *maps;
	struct services services;
	struct process *by_index;
	uint32_t highest; /* no index above this has been used */
	uint32_t alive;
	struct completeness **completeness; /* by service id */
	struct series_store *store;
	struct family *losses, *ignored, *ratio;
	uint64_t losses_total;
	/* Called when an index gets its service, before the kernel counts under that. May be NULL.
	 */
	void (*named)(void *context, uint32_t index, const struct service *service);
	void *named_context;
};

int processes_init(struct processes *processes, struct maps *maps, struct series_store *store);
void processes_fini(struct processes *processes);

/* RECORD_PROCESS and RECORD_PROCESS_GONE. */
void processes_record(struct processes *processes, const struct record_header *header);

/* The service behind a key's `service`; never NULL. */
struct service *processes_service(struct processes *processes, uint32_t key_service);

/*
 * True if keys under this provisional number will not be added to any more, because
 * the process has its service or is gone: they can be folded and removed.
 */
bool processes_is_settled(const struct processes *processes, uint32_t key_service);

/* Requests counted, for completeness. */
void processes_seen(struct processes *processes, const struct service *service, uint64_t requests);

/* Drains losses, recycles indices, updates ratios. After the probes' sweeps. */
void processes_sweep(struct processes *processes, uint64_t now_ns);

/* 1 when nothing was lost in the last minute. */
double processes_completeness(const struct processes *processes, const struct service *service);

extern const struct series_spec processes_series[];

#endif
