/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who serves or calls. A process is known to the kernel side by a small index
 * (handed out at its first socket operation); a service is what users know:
 * OTEL_SERVICE_NAME, else the systemd unit or container of its cgroup, else
 * the executable's name. Many processes are one service.
 */
#ifndef SERVICES_SERVICES_H
#define SERVICES_SERVICES_H

#include <stdint.h>
#include <stddef.h>

#include "base/hashmap.h"

struct service {
	uint32_t id; /* > 0; 1 is "other", which takes what comes after the limit */
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
	struct service **by_id; /* [0] unused */
	uint32_t count;
	uint32_t limit;
	uint64_t overflowed;
	struct hashmap by_name;
};

int services_init(struct services *services, uint32_t limit);
void services_fini(struct services *services);

/* The name rule alone; ret_name is never empty. Pure: tested with the layouts of every runtime. */
void services_name(const struct process_facts *facts, char *ret_name, size_t size);

/* Never NULL: at the limit it is the "other" service. */
struct service *services_get(struct services *services, const char *name);
struct service *services_by_id(struct services *services, uint32_t id); /* may be NULL */

/* Fills what is empty in `facts` from /proc/PID while the process lives. */
void services_read_proc(struct process_facts *facts);

#endif
