/* SPDX-License-Identifier: GPL-2.0-only */
#include "services/processes.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"

#define SERVICE_LIMIT 2000
#define RECYCLE_NS    (3 * NS_PER_S) /* keys of a gone process are folded well before */

enum { LOSSES, IGNORED, RATIO };

const struct series_spec processes_series[] = {
	[LOSSES] = { .name = "plimsoll_losses_total",
		     .kind = SERIES_COUNTER,
		     .labels = { "service_name", "reason" },
		     .help = "What was not seen, by reason (docs/METRICS.md lists the reasons)." },
	[IGNORED] = { .name = "plimsoll_ignored_connections_total",
		      .kind = SERIES_COUNTER,
		      .labels = { "service_name", "protocol" },
		      .help = "Connections whose bytes are no HTTP/1 (tls, http2, other)." },
	[RATIO] = { .name = "plimsoll_completeness_ratio",
		    .kind = SERIES_GAUGE,
		    .unit = UNIT_RATIO,
		    .labels = { "service_name" },
		    .help = "Share of a service's requests of the last minute that was seen "
			    "whole." },
	{}
};

static const char *const loss_labels[LOSS_COUNT] = {
#define X(name, label, costs, meaning) [LOSS_##name] = label,
	LOSS_REASONS(X)
#undef X
};

static const bool loss_costs_request[LOSS_COUNT] = {
#define X(name, label, costs, meaning) [LOSS_##name] = costs,
	LOSS_REASONS(X)
#undef X
};

static const char *const ignored_labels[IGNORED_COUNT] = {
	[IGNORED_TLS] = "tls", [IGNORED_HTTP2] = "http2", [IGNORED_OTHER] = "other"
};

int processes_init(struct processes *processes, struct maps *maps, struct series_store *store)
{
	int err;

	memset(processes, 0, sizeof(*processes));
	processes->maps = maps;
	processes->store = store;
	err = services_init(&processes->services, SERVICE_LIMIT);
	if (err)
		return err;
	processes->by_index = calloc(maps->processes_max, sizeof(*processes->by_index));
	processes->completeness = calloc(SERVICES_MAX, sizeof(*processes->completeness));
	processes->losses = series_family(store, &processes_series[LOSSES]);
	processes->ignored = series_family(store, &processes_series[IGNORED]);
	processes->ratio = series_family(store, &processes_series[RATIO]);
	if (!processes->by_index || !processes->completeness || !processes->losses ||
	    !processes->ignored || !processes->ratio) {
		processes_fini(processes);
		return -ENOMEM;
	}
	return 0;
}

void processes_fini(struct processes *processes)
{
	for (uint32_t id = 0; processes->completeness && id < SERVICES_MAX; id++)
		free(processes->completeness[id]);
	free(processes->completeness);
	free(processes->by_index);
	services_fini(&processes->services);
	memset(processes, 0, sizeof(*processes));
}

static void name_process(struct processes *processes, uint32_t index, struct process_facts *facts)
{
	struct process *process = &processes->by_index[index];
	char name[64];

	/* strings the kernel side could not get are asked for while the process lives */
	services_read_proc(facts);
	services_name(facts, name, sizeof(name));
	process->service = services_get(&processes->services, name);
	process->pid = facts->pid;
	process->gone = false;
	process->service->processes++;
	process->service->seen_ns = clock_coarse_ns();
	processes->alive++;
	if (index > processes->highest)
		processes->highest = index;
	if (processes->named)
		processes->named(processes->named_context, index, process->service);
	processes->maps->processes[index].service = process->service->id;
	log_debug("process %u (%s) belongs to service %s", facts->pid, facts->comm, name);
}

static void process_seen(struct processes *processes, const struct process_record *record)
{
	static const char variable[] = "OTEL_SERVICE_NAME=";
	struct process_facts facts = { .pid = record->header.pid };

	if (record->index >= processes->maps->processes_max)
		return;
	text_copy(facts.comm, sizeof(facts.comm), record->comm);
	text_copy(facts.executable, sizeof(facts.executable), record->executable);
	if (strncmp(record->otel, variable, sizeof(variable) - 1) == 0)
		text_copy(facts.otel_service, sizeof(facts.otel_service),
			  record->otel + sizeof(variable) - 1);
	for (int level = 0; level < CGROUP_LEVELS; level++)
		text_copy(facts.cgroup[level], sizeof(facts.cgroup[level]), record->cgroup[level]);
	name_process(processes, record->index, &facts);
}

static void process_gone(struct processes *processes, uint32_t index)
{
	struct process *process = &processes->by_index[index];

	if (index >= processes->maps->processes_max || process->gone)
		return;
	process->gone = true;
	process->gone_ns = clock_coarse_ns();
	if (process->service && process->service->processes)
		process->service->processes--;
	if (processes->alive)
		processes->alive--;
}

void processes_record(struct processes *processes, const struct record_header *header)
{
	if (header->kind == RECORD_PROCESS && header->size >= sizeof(struct process_record))
		process_seen(processes, (const struct process_record *)header);
	else if (header->kind == RECORD_PROCESS_GONE &&
		 header->size >= sizeof(struct process_gone_record))
		process_gone(processes, ((const struct process_gone_record *)header)->index);
}

struct service *processes_service(struct processes *processes, uint32_t key_service)
{
	uint32_t index = key_service & ~SERVICE_PROVISIONAL;
	struct process_facts facts = {};
	struct service *service;

	if (!(key_service & SERVICE_PROVISIONAL)) {
		service = services_by_id(&processes->services, key_service);
		return service ? service : services_get(&processes->services, SERVICE_NAME_UNKNOWN);
	}
	if (index == PROCESS_UNKNOWN || index >= processes->maps->processes_max)
		return services_get(&processes->services, SERVICE_NAME_UNKNOWN);
	if (!processes->by_index[index].service) {
		/* its record was lost: ask the system */
		facts.pid = processes->maps->processes[index].tgid;
		name_process(processes, index, &facts);
	}
	return processes->by_index[index].service;
}

bool processes_is_settled(const struct processes *processes, uint32_t key_service)
{
	uint32_t index = key_service & ~SERVICE_PROVISIONAL;

	if (!(key_service & SERVICE_PROVISIONAL) || index >= processes->maps->processes_max)
		return false;
	return processes->maps->processes[index].service != 0;
}

/* --- completeness --------------------------------------------------------------------------- */

static void step_to(struct completeness *completeness, uint64_t second)
{
	uint64_t steps = second - completeness->second;

	if (steps > 60)
		steps = 60;
	for (uint64_t i = 1; i <= steps; i++) {
		unsigned int at = (unsigned int)((completeness->second + i) % 60);

		completeness->seen_sum -= completeness->seen[at];
		completeness->lost_sum -= completeness->lost[at];
		completeness->seen[at] = completeness->lost[at] = 0;
	}
	completeness->second = second;
}

static struct completeness *completeness_of(struct processes *processes,
					    const struct service *service)
{
	struct completeness **slot = &processes->completeness[service->id % SERVICES_MAX];

	if (!*slot)
		*slot = calloc(1, sizeof(**slot));
	if (*slot)
		step_to(*slot, clock_coarse_ns() / NS_PER_S);
	return *slot;
}

void processes_seen(struct processes *processes, const struct service *service, uint64_t requests)
{
	struct completeness *completeness = completeness_of(processes, service);

	if (!completeness)
		return;
	completeness->seen[completeness->second % 60] += (uint32_t)requests;
	completeness->seen_sum += requests;
}

static void count_lost(struct processes *processes, const struct service *service, uint32_t lost)
{
	struct completeness *completeness = completeness_of(processes, service);

	if (!completeness)
		return;
	completeness->lost[completeness->second % 60] += lost;
	completeness->lost_sum += lost;
}

double processes_completeness(const struct processes *processes, const struct service *service)
{
	const struct completeness *c = processes->completeness[service->id % SERVICES_MAX];

	if (!c || c->seen_sum + c->lost_sum == 0)
		return 1.0;
	return (double)c->seen_sum / (double)(c->seen_sum + c->lost_sum);
}

/* --- sweep ---------------------------------------------------------------------------------- */

static void drain_slot(struct processes *processes, uint32_t index)
{
	struct process_slot *slot = &processes->maps->processes[index];
	struct service *service = NULL;

	for (int reason = 0; reason < LOSS_COUNT; reason++) {
		uint32_t lost = take32(&slot->losses[reason]);

		if (!lost)
			continue;
		service = processes_service(processes, SERVICE_PROVISIONAL | index);
		series_add(series_get(processes->losses,
				      (const char *const[]){ service->name, loss_labels[reason] }),
			   lost);
		processes->losses_total += lost;
		if (loss_costs_request[reason])
			count_lost(processes, service, lost);
	}
	for (int protocol = 0; protocol < IGNORED_COUNT; protocol++) {
		uint32_t ignored = take32(&slot->ignored[protocol]);

		if (!ignored)
			continue;
		service = processes_service(processes, SERVICE_PROVISIONAL | index);
		series_add(series_get(processes->ignored,
				      (const char *const[]){ service->name,
							     ignored_labels[protocol] }),
			   ignored);
	}
}

/* An index whose process is gone and that no socket carries is handed out again. */
static void recycle(struct processes *processes, uint32_t index, uint64_t now_ns)
{
	struct process_slot *slot = &processes->maps->processes[index];
	struct process *process = &processes->by_index[index];

	if (!process->gone || now_ns < process->gone_ns + RECYCLE_NS ||
	    *(volatile __u32 *)&slot->sockets)
		return;
	memset(slot, 0, sizeof(*slot));
	memset(process, 0, sizeof(*process));
	if (bpf_map_update_elem(processes->maps->fds[MAP_PROCESS_FREE], NULL, &index, 0))
		log_debug("process index %u cannot be given back: %s", index, strerror(errno));
}

void processes_sweep(struct processes *processes, uint64_t now_ns)
{
	uint32_t highest = 0;

	/* indices are handed out lowest first, but the kernel may be ahead of the records */
	for (uint32_t index = 0; index < processes->maps->processes_max; index++) {
		struct process_slot *slot = &processes->maps->processes[index];

		if (index > processes->highest + 64)
			break;
		if (index != PROCESS_UNKNOWN && !slot->tgid)
			continue;
		drain_slot(processes, index);
		if (index == PROCESS_UNKNOWN)
			continue;
		if (!processes->by_index[index].gone && slot->tgid &&
		    now_ns > slot->seen_ns + RECYCLE_NS && kill((pid_t)slot->tgid, 0) &&
		    errno == ESRCH)
			process_gone(processes, index); /* its record was lost */
		recycle(processes, index, now_ns);
		highest = index;
	}
	processes->highest = highest;
	for (uint32_t id = 1; id <= processes->services.count && id < SERVICES_MAX; id++) {
		struct service *service = services_by_id(&processes->services, id);

		if (!service || !processes->completeness[id])
			continue;
		completeness_of(processes, service);
		series_set(series_get(processes->ratio, (const char *const[]){ service->name }),
			   processes_completeness(processes, service));
	}
}
