/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who serves or calls. A process is known to the kernel side by a small index
 * (handed out at its first socket operation); a service is what users know:
 * OTEL_SERVICE_NAME, else the systemd unit or container of its cgroup, else
 * the executable's name. Many processes are one service.
 */
#ifndef SERVICES_SERVICES_H
#define SERVICES_SERVICES_H

#include <stddef.h>
#include <stdint.h>

#include "base/hashmap.h"

#define SERVICE_OTHER	     1 /* id of "other", which takes what comes after the limit */
#define SERVICE_NAME_UNKNOWN "unknown"

struct service {
	uint32_t id; /* > 0 */
	char name[64];
	uint32_t processes; /* alive */
	uint64_t seen_ns;   /* monotonic, last sign of life */
};

/* Everything known of a process when it first used a socket. Strings may be empty. */
struct process_facts {
	uint32_t pid;
	char comm[16];
	char executable[64];   /* base name */
	char otel_service[64]; /* OTEL_SERVICE_NAME */
	char cgroup[4][80];    /* leaf first */
};

struct services {
	struct service **by_id; /* [0] unused; NULL where one was removed */
	uint32_t count;		/* the highest id in use, "other" included */
	uint32_t limit;		/* the highest id there may be */
	uint64_t overflowed;	/* look-ups that ended in "other" */
	struct hashmap by_name;
};

/* 0, -EINVAL (limit 0 or above a million) or -ENOMEM. */
int services_init(struct services *services, uint32_t limit);
void services_fini(struct services *services);

/*
 * The name rule alone (docs/CONFIG.md, "Names of services"); ret_name is never empty,
 * printable UTF-8, whole characters. Pure: tested with the layouts of every runtime.
 */
void services_name(const struct process_facts *facts, char *ret_name, size_t size);

/* What cannot be printed becomes "_", outer blanks go, whole characters only; may be empty. */
void services_clean_name(const char *text, char *ret_name, size_t size);

/* Never NULL: at the limit it is the "other" service. The name is cleaned first. */
struct service *services_get(struct services *services, const char *name);
struct service *services_by_id(struct services *services, uint32_t id); /* may be NULL */

/*
 * Forgets a service so that its id may be handed out again. The caller makes sure that no table
 * or series holds the id. -EBUSY while it has processes, and for "other".
 */
int services_remove(struct services *services, struct service *service);

/* The lines of /proc/PID/cgroup -> facts->cgroup, leaf first. `lines` is written to. */
void services_split_cgroup(char *lines, struct process_facts *ret_facts);

/* Fills what is empty in `facts` from /proc/PID while the process lives. */
void services_read_proc(struct process_facts *facts);

#endif
