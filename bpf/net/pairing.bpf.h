/* SPDX-License-Identifier: GPL-2.0-only */
/* Requests and responses that begin and end: which answer belongs to which question. */
#ifndef NET_PAIRING_BPF_H
#define NET_PAIRING_BPF_H

#include "net/exchange.bpf.h"

/* One call's worth of bytes on its way through the state machine. */
struct passage {
	struct tap *tap;
	struct scan *scan;
};

static __always_inline struct message *message_of(struct tap *tap, struct scan *scan)
{
	return scan->is_request ? &tap->request : &tap->response;
}

static __always_inline __u8 *carry_of(struct tap *tap, struct scan *scan)
{
	return scan->is_request ? tap->request_carry : tap->response_carry;
}

static __always_inline struct stream_slot *stream_slot_of(struct tap *tap, __u32 kind,
							  __u32 *ret_at)
{
	__u32 process = tap->process;

	*ret_at = kind + (tap->role == REQUEST_ROLE_CLIENT ? STREAM_KIND_COUNT : 0);
	if (*ret_at >= 2 * STREAM_KIND_COUNT)
		return NULL;
	return bpf_map_lookup_elem(&pl_streams, &process);
}

static __always_inline void stream_opened(struct tap *tap, enum stream_kind kind)
{
	struct request_shared *tap_shared = request_shared_get();
	struct stream_slot *slot;
	__u32 at;

	tap->stream_kind = kind;
	tap->streaming = 1;
	tap->stream_ns = tap->last_ns;
	slot = stream_slot_of(tap, kind, &at);
	if (slot)
		atomic_add(&slot->opened[at], 1);
	if (tap_shared)
		atomic_add(&tap_shared->streams, 1);
}

__noinline int stream_closed(struct tap *tap, __u64 now_ns)
{
	struct shared *shared = shared_get();
	struct stream_slot *slot;
	__u64 life_ns;
	__u32 at;

	if (!tap || !shared)
		return 0;
	tap->streaming = 0;
	slot = stream_slot_of(tap, tap->stream_kind, &at);
	if (!slot)
		return 0;
	life_ns = now_ns > tap->stream_ns ? now_ns - tap->stream_ns : 0;
	atomic_add(&slot->closed[at], 1);
	atomic_add(&slot->life_ns[at], life_ns);
	atomic_add(&slot->life[at][classic_bucket(shared->bounds_ns, life_ns)], 1);
	return 0;
}

/* --- requests ------------------------------------------------------------------------------- */

/* Patterns belong to services: while that of a process is unknown, user space matches them. */
static __always_inline __u32 pattern_start(struct tap *tap)
{
	__u32 service = service_of(tap->process);
	struct service_slot *slot;

	if (service & SERVICE_PROVISIONAL)
		return 0;
	slot = bpf_map_lookup_elem(&pl_services, &service);
	return slot ? slot->pattern_start : 0;
}

static __always_inline void route_of(struct tap *tap, struct scan *scan, struct exchange *exchange)
{
	struct request_shared *tap_shared = request_shared_get();
	struct route_walk walk = { .route = &scan->route, .bytes = tap->head };
	struct route *route = &scan->route;

	route->start = tap->target;
	route->at = tap->target;
	route->skip = 0;
	switch (tap->head[tap->target & (PATH_MAX_BYTES - 1)]) {
	case '/':
		route->at++; /* segments begin behind it */
		break;
	case 'h':
	case 'H':
		/* absolute form: scheme, nothing and authority come before the path */
		if (tap->method != HTTP_CONNECT)
			route->skip = 3;
		break;
	}
	route->end = tap->head_length;
	route->length = route->digits = route->others = route->accepts = route->done = route->cut =
		0;
	route->hash = route->segment = HASH_SEED;
	route->state = tap_shared && tap_shared->pattern_states ? pattern_start(tap) : 0;
	bpf_loop(PATH_MAX_BYTES, route_step, &walk, 0);
	exchange->path_start = route->start;
	exchange->path_end = min(route->at - 1, (__u32)PATH_MAX_BYTES);
	exchange->has_path = 1;
	if (route->hash == HASH_SEED) { /* nothing behind the authority is the root */
		exchange->path_start = exchange->path_end;
		route->hash = hash_mix(HASH_SEED, HASH_SEED);
	}
	if (route->state && route->accepts && !route->cut)
		exchange->route = ROUTE_PATTERN_BASE | (route->accepts - 1);
	else
		exchange->route = route->hash;
}

/* A request head is complete, or as complete as it will get: it now waits for its answer. */
__noinline int request_begins(struct tap *tap, struct scan *scan, __u64 body_bytes)
{
	struct exchange *exchange;

	if (!tap || !scan)
		return 0;
	tap->proven = 1;
	exchange = &scan->exchange;
	__builtin_memset(exchange, 0, sizeof(*exchange));
	if (tap->pending && tap->response.state == MESSAGE_LOST) {
		/* out of step: whose answer comes next cannot be told, so none is paired wrongly */
		count_loss(tap->process, LOSS_UNPAIRED);
		tap->pending = 0;
		tap->left_out = 0;
	}
	exchange->start_ns = tap->request_ns;
	if (tap->read_ns > tap->request_ns)
		exchange->queue_us = (tap->read_ns - tap->request_ns) / 1000;
	exchange->request_bytes = body_bytes;
	exchange->method = tap->method;
	route_of(tap, scan, exchange);
	if (!tap->pending && !tap->left_out) {
		tap->current = *exchange;
		tap->pending = 1;
		return 0;
	}
	route_told(tap, exchange);
	exchange->has_path = 0;
	/* once one is left out, so are all behind it: answers come in order */
	if (tap->left_out || tap->pending > PIPELINE_MAX || !pipeline_push(tap, exchange)) {
		tap->left_out++;
		return count_loss(tap->process, LOSS_PIPELINE_FULL);
	}
	tap->pending++;
	return 0;
}

static __always_inline void request_complete(struct tap *tap)
{
	/* of a chunked body the length is only known now */
	if (tap->pending == 1 && tap->current.request_bytes < tap->request.body_bytes)
		tap->current.request_bytes = tap->request.body_bytes;
	tap->request.state = MESSAGE_START;
}

/* --- responses ------------------------------------------------------------------------------ */

static __always_inline void response_counted(struct tap *tap, __u8 error)
{
	count_exchange(tap, error);
	tap->pending--;
	if (tap->pending && !pipeline_pop(tap))
		tap->pending = 0;
}

__noinline int response_complete(struct tap *tap)
{
	if (!tap)
		return 0;
	tap->response.state = MESSAGE_START;
	if (tap->streaming) {
		stream_closed(tap, tap->last_ns);
		return 0;
	}
	if (!tap->pending && tap->left_out) {
		tap->left_out--; /* its loss is counted */
		return 0;
	}
	if (!tap->pending) {
		/* 408 is what a server says to a connection that never asked */
		if (tap->status != 408)
			count_loss(tap->process,
				   tap->flags & TAP_MIDSTREAM ? LOSS_MIDSTREAM : LOSS_UNPAIRED);
		tap->flags &= ~TAP_MIDSTREAM;
		return 0;
	}
	response_counted(tap, REQUEST_OK);
	return 0;
}

/* What follows a response head, by its status, its fields and the request's method. */
__noinline int response_head_complete(struct tap *tap, struct scan *scan, __u32 flags,
				      __u64 content_length)
{
	__u32 status = 0;
	bool no_body;

	if (!tap || !scan)
		return 0;
#pragma unroll
	for (int i = 9; i < 12; i++) {
		__u8 digit = tap->status_line[i] - '0';

		status = digit > 9 ? 1000 : status * 10 + digit;
	}
	if (tap->status_length < 12 || status < 100 || status > 999) {
		tap->response.state = MESSAGE_LOST;
		return count_loss(tap->process, LOSS_UNPARSED);
	}
	tap->status = status;
	tap->response.body_bytes = 0;
	/* answered before the request was understood whole */
	if (!tap->pending && tap->request.state == MESSAGE_HEAD && tap->target) {
		request_begins(tap, scan, 0);
		tap->request.state = MESSAGE_LOST;
	}
	if (status == 101 ||
	    (status / 100 == 2 && tap->current.method == HTTP_CONNECT && tap->pending)) {
		enum stream_kind kind = status == 101 ? STREAM_WEBSOCKET : STREAM_TUNNEL;

		response_complete(tap);
		stream_opened(tap, kind);
		tap->protocol = TAP_STREAM;
		return 0;
	}
	if (status < 200) { /* interim: the answer is still to come */
		tap->response.state = MESSAGE_START;
		tap->first_byte_ns = 0;
		return 0;
	}
	no_body = status == 204 || status == 304 ||
		  (tap->pending && tap->current.method == HTTP_HEAD);
	if (flags & HEAD_EVENT_STREAM && !no_body && tap->pending) {
		/* the first byte is the latency; what follows is life time */
		response_counted(tap, REQUEST_OK);
		stream_opened(tap, STREAM_EVENTS);
	}
	if (no_body || (flags & HEAD_HAS_LENGTH && !(flags & HEAD_CHUNKED) && !content_length))
		return response_complete(tap);
	if (flags & HEAD_CHUNKED) {
		tap->response.state = MESSAGE_CHUNK_LINE;
		tap->response.body_left = 0;
		tap->response.phase = CHUNK_DIGITS;
	} else if (flags & HEAD_HAS_LENGTH) {
		tap->response.state = MESSAGE_BODY;
		tap->response.body_left = content_length;
		tap->response.body_bytes = content_length;
	} else {
		tap->response.state = MESSAGE_UNTIL_CLOSE;
	}
	return 0;
}

static __always_inline void message_complete(struct tap *tap, struct scan *scan)
{
	if (scan->is_request)
		request_complete(tap);
	else
		response_complete(tap);
}

#endif
