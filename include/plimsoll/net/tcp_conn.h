/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Contract of the probe net/tcp_conn: TCP connections counted in the kernel per
 * (service, role, server port). Slots work as those of net/request: the kernel
 * adds, user space takes out. `touched` is not zero when there is something new.
 */
#ifndef PLIMSOLL_NET_TCP_CONN_H
#define PLIMSOLL_NET_TCP_CONN_H

#include <plimsoll/histogram.h>
#include <plimsoll/slots.h>

enum conn_role { CONN_ROLE_UNKNOWN, CONN_ROLE_SERVER, CONN_ROLE_CLIENT, CONN_ROLE_LISTENER };

/* Why a connect failed, from the socket's error. */
enum conn_failure {
	CONN_FAILURE_REFUSED,
	CONN_FAILURE_TIMEOUT,
	CONN_FAILURE_UNREACHABLE,
	CONN_FAILURE_RESET,
	CONN_FAILURE_OTHER,
	CONN_FAILURE_COUNT,
};

struct conn_key {
	__u32 service; /* id, or SERVICE_PROVISIONAL | process index */
	__u16 port;    /* of the server */
	__u8 role;
	__u8 pad;
};

struct conn_slot {
	struct conn_key key;
	/* drained from here on */
	__u32 touched;
	__u32 opened;
	__u32 closed;
	__u32 failed[CONN_FAILURE_COUNT];
	__u64 sent_bytes;
	__u64 received_bytes;
	__u64 retransmits;
	__u64 connect_sum_ns;
	__u64 life_sum_ns;
	__u64 rtt_sum_ns;
	__u32 connect[BOUND_BUCKETS];
	__u32 life[BOUND_BUCKETS];
	__u32 rtt[BOUND_BUCKETS];
};

_Static_assert(sizeof(struct conn_slot) == 472, "conn_slot is ABI");

/* pl_conn_shared[0], memory-mapped. */
struct conn_shared {
	struct slot_books slots;
	__u64 pass;	 /* of the walk over open sockets: 0 listeners, 1 the others */
	__u64 keys_full; /* connections that found no slot */
	__u64 rtt_bounds_ns[BOUNDS_MAX + 1];
	__u64 life_bounds_ns[BOUNDS_MAX + 1];
};

#endif
