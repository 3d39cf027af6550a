/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Contract of the probe net/request: requests counted in the kernel.
 *
 * pl_req_keys maps a request_key to the index of a request_slot in
 * pl_req_slots (memory-mapped). The kernel only adds; user space takes the
 * numbers out by atomic exchange with zero, so nothing is counted twice or lost.
 * A slot whose sum_ns was zero twice has nothing new: a request's duration is in it before the
 * request is counted.
 */
#ifndef PLIMSOLL_NET_REQUEST_H
#define PLIMSOLL_NET_REQUEST_H

#include <plimsoll/histogram.h>
#include <plimsoll/record.h>
#include <plimsoll/slots.h>

enum request_role { REQUEST_ROLE_UNKNOWN, REQUEST_ROLE_SERVER, REQUEST_ROLE_CLIENT };

enum http_method {
	HTTP_METHOD_OTHER,
	HTTP_GET,
	HTTP_POST,
	HTTP_PUT,
	HTTP_HEAD,
	HTTP_DELETE,
	HTTP_PATCH,
	HTTP_OPTIONS,
	HTTP_CONNECT,
	HTTP_TRACE,
	HTTP_METHOD_COUNT,
};

/* Why a request has no response: the connection ended, in whatever way, before one came. */
enum request_error { REQUEST_OK, REQUEST_RESET, REQUEST_ERROR_COUNT };

/* Routes that are not a hash of a path. */
#define ROUTE_OTHER	   1ULL			 /* the service has more endpoints than are kept */
#define ROUTE_PATTERN_BASE 0xffffffff00000000ULL /* | number of a pattern of the user's */

#define PATH_MAX_BYTES 128 /* how much of a request head is kept */
#define PIPELINE_MAX   32  /* requests in flight on one connection */

struct request_key {
	__u32 service; /* id, or SERVICE_PROVISIONAL | process index */
	__u16 port;    /* of the server */
	__u8 role;
	__u8 method;
	__u16 status; /* 0: none came, error says why */
	__u8 error;
	__u8 pad[5];
	__u64 route;
};

_Static_assert(sizeof(struct request_key) == 24, "request_key is ABI");

/*
 * The kernel adds from the top down, user space takes from the bottom up: what it has taken of a
 * request is never without what stands above. A request in hand touches one line of the header and
 * one each of sizes, classic and exponential; `late` and `first_byte` only if its answer
 * came in more pieces than one. The distribution of first bytes is classic - late + first_byte.
 */
struct request_slot {
	struct request_key key;
	__u32 threshold_us; /* written by user space; 0: shared.threshold_ns */
	__u32 detail_count; /* sent in the second that began at detail_ns; 0: never one */

	/* drained from here on, but for detail_* */
	__u64 sum_ns;
	__u64 response_bytes;
	__u64 request_bytes;
	__u64 late_ns; /* from first bytes to last ones */

	__u32 response_size[SIZE_BUCKETS]; /* without those of no bytes */
	__u32 request_size[SIZE_BUCKETS];
	__u32 classic[BOUND_BUCKETS];
	__u32 exponential[EXP_BUCKETS];
	__u32 late[BOUND_BUCKETS];	 /* duration of answers that came in pieces */
	__u32 first_byte[BOUND_BUCKETS]; /* of those */

	__u64 detail_ns;
	__u64 detail_max_ns;
} __attribute__((aligned(64)));

_Static_assert(__builtin_offsetof(struct request_slot, response_size) == 64,
	       "what every request adds to");
_Static_assert(sizeof(struct request_slot) == 2112, "request_slot is ABI");

/* Upgraded connections and event streams: life time is not latency. */
enum stream_kind { STREAM_WEBSOCKET, STREAM_EVENTS, STREAM_TUNNEL, STREAM_KIND_COUNT };

struct stream_slot { /* by process index; [kind] server side, [STREAM_KIND_COUNT + kind] client */
	__u32 opened[2 * STREAM_KIND_COUNT];
	__u32 closed[2 * STREAM_KIND_COUNT];
	__u64 life_ns[2 * STREAM_KIND_COUNT];
	__u32 life[2 * STREAM_KIND_COUNT][BOUND_BUCKETS];
};

enum detail_reason { DETAIL_FIRST = 1, DETAIL_SLOW = 2, DETAIL_ERROR = 4 };

struct request_record {
	struct record_header header;
	struct request_key key;
	__u64 duration_ns;
	__u64 first_byte_ns;
	__u64 queue_ns;
	__u64 request_bytes;
	__u64 response_bytes;
	__u32 slot;
	__u16 reason;
	__u8 path_start, path_end; /* in head; equal: the path is not known any more */
	__u8 head[PATH_MAX_BYTES];
};

_Static_assert(sizeof(struct request_record) == 216, "request_record is ABI");

struct route_record {
	struct record_header header;
	__u64 route;
	__u8 path_start, path_end, pad[6];
	__u8 head[PATH_MAX_BYTES];
};

/* pl_req_shared[0], memory-mapped. */
struct request_shared {
	struct slot_books slots;
	__u32 slots_reserved; /* the last free ones are kept for ROUTE_OTHER */
	__u32 pattern_states; /* 0: no service has patterns */
	__u64 streams;	      /* ever opened; 0 spares user space the walk over pl_streams */
};

/* The patterns of the user's as a deterministic automaton over path segments. */
struct pattern_step {
	__u32 state;
	__u32 pad;
	__u64 segment; /* hash of the segment; PATTERN_ANY for the default edge */
};

struct pattern_state {
	__u32 next;    /* 0: no such edge */
	__u32 accepts; /* pattern number + 1 if a path may end in `next` */
};

#define PATTERN_ANY 0ULL

#endif
