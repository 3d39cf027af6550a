/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who uses a socket. At its first socket operation a process gets a small
 * index into pl_processes (a memory-mapped array) and one RECORD_PROCESS tells
 * user space what is known of it, so that a process that is gone a millisecond
 * later still has its name. User space answers by writing `service`: from then
 * on the process counts under its service. Until then keys carry
 * SERVICE_PROVISIONAL | index, which user space folds into the same series.
 */
#ifndef PLIMSOLL_WHO_H
#define PLIMSOLL_WHO_H

#include <plimsoll/histogram.h>
#include <plimsoll/loss.h>
#include <plimsoll/record.h>

#define SERVICE_PROVISIONAL 0x80000000u
#define SERVICES_MAX	    4096 /* ids below this; also entries of pl_services */
#define PROCESS_UNKNOWN	    0	 /* index 0 takes what has no process */
#define CGROUP_LEVELS	    4
#define CGROUP_NAME_MAX	    80
#define OTEL_VALUE_MAX	    96

enum ignored_protocol { IGNORED_TLS, IGNORED_HTTP2, IGNORED_OTHER, IGNORED_COUNT };

struct process_slot {
	__u32 service;	  /* written by user space: id, 0 while unknown */
	__u32 tgid;	  /* 0: slot is free */
	__u32 keys;	  /* request slots in use by this process while provisional */
	__u32 sockets;	  /* that carry this index */
	__u32 ignored[4]; /* connections by enum ignored_protocol; drained */
	__u32 losses[12]; /* by enum loss_reason; drained */
	__u64 seen_ns;
	__u64 pad;
};

_Static_assert(sizeof(struct process_slot) == 96, "process_slot is ABI");

/* One per service id. */
struct service_slot {
	__u32 keys;	     /* request slots in use */
	__u32 pattern_start; /* written by user space: where its paths enter the pattern automaton
			      */
};

struct process_record {
	struct record_header header;
	__u32 index;
	__u32 pad;
	char comm[16];
	char executable[64];
	char otel[OTEL_VALUE_MAX];		     /* "OTEL_SERVICE_NAME=..." or empty */
	char cgroup[CGROUP_LEVELS][CGROUP_NAME_MAX]; /* leaf first */
};

_Static_assert(sizeof(struct process_record) == 520, "process_record is ABI");

struct process_gone_record {
	struct record_header header;
	__u32 index;
	__u32 pad;
};

/* pl_shared[0]: what all probes and user space share, memory-mapped. */
struct shared {
	__u32 agent_tgid; /* its own traffic is not looked at */
	__u32 keys_per_service;
	__u64 threshold_ns;		 /* a request slower than this is worth a detail record */
	__u64 bounds_ns[BOUNDS_MAX + 1]; /* ascending; unused ones are BOUND_NONE */
};

#endif
