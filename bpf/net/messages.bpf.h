/* SPDX-License-Identifier: GPL-2.0-only */
/* From the bytes of one send or receive to requests and responses that begin and end. */
#ifndef NET_MESSAGES_BPF_H
#define NET_MESSAGES_BPF_H

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

/* --- bytes ---------------------------------------------------------------------------------- */

struct keep_walk {
	__u8 *into;
	const __u8 *from;
	__u32 have, count, room, mask;
};

static long keep_step(__u32 index, struct keep_walk *walk)
{
	__u32 at = walk->have + index;

	if (index >= walk->count || at >= walk->room)
		return 1;
	walk->into[at & walk->mask & (PATH_MAX_BYTES - 1)] = walk->from[index & (WINDOW_MAX - 1)];
	return 0;
}

static __always_inline void keep_words(__u8 *into, const __u8 *from)
{
#pragma unroll
	for (int i = 0; i < PATH_MAX_BYTES / 2; i += 8)
		*(__u64 *)(into + i) = load64(from + i);
}

/* The first bytes of a request head are kept for its route, in words where they come at once. */
static __always_inline void keep_request(struct tap *tap, const __u8 *from, __u32 count)
{
	struct keep_walk walk = {
		.into = tap->head,
		.from = from,
		.have = tap->head_length,
		.count = count,
		.room = PATH_MAX_BYTES,
		.mask = PATH_MAX_BYTES - 1,
	};

	if (!tap->head_length) {
		keep_words(tap->head, from);
		if (count > PATH_MAX_BYTES / 2)
			keep_words(tap->head + PATH_MAX_BYTES / 2, from + PATH_MAX_BYTES / 2);
	} else {
		bpf_loop(PATH_MAX_BYTES, keep_step, &walk, 0);
	}
	tap->head_length = min(walk.have + count, (__u32)PATH_MAX_BYTES);
}

/* And of a response its status line. */
static __always_inline void keep_response(struct tap *tap, const __u8 *from, __u32 count)
{
	__u32 have = tap->status_length;
	struct keep_walk walk = {
		.into = tap->status_line,
		.from = from,
		.have = have,
		.count = count,
		.room = STATUS_LINE_BYTES,
		.mask = STATUS_LINE_BYTES - 1,
	};

	if (!have) {
		*(__u64 *)tap->status_line = load64(from);
		*(__u64 *)(tap->status_line + 8) = load64(from + 8);
	} else {
		bpf_loop(STATUS_LINE_BYTES, keep_step, &walk, 0);
	}
	tap->status_length = min(have + count, (__u32)STATUS_LINE_BYTES);
}

/* A head begins with this byte. */
static __always_inline void message_begins(struct tap *tap, struct scan *scan,
					   struct message *message)
{

	message->state = MESSAGE_HEAD;
	message->carried = 0;
	message->flags = 0;
	message->content_length = 0;
	if (scan->is_request) {
		/* the text of the request before is about to be overwritten */
		if (tap->pending && tap->current.has_path)
			route_told(tap, &tap->current);
		tap->current.has_path = 0;
		tap->head_length = 0;
		tap->target = 0;
		message->body_bytes = 0;
		tap->read_ns = 0;
		if (tap->role == REQUEST_ROLE_SERVER && tap->arrival_ns) {
			tap->request_ns = tap->arrival_ns;
			tap->read_ns = bpf_ktime_get_ns();
		} else {
			tap->request_ns = scan->now_ns ? scan->now_ns : bpf_ktime_get_ns();
			if (tap->entry_ns)
				tap->request_ns = tap->entry_ns;
		}
	} else {
		tap->status_length = 0;
		tap->first_byte_ns = scan->now_ns;
	}
}

static __always_inline void head_complete(struct tap *tap, struct scan *scan,
					  struct message *message)
{
	__u32 flags = message->flags;

	message->carried = 0;
	if (!scan->is_request) {
		response_head_complete(tap, scan, flags, message->content_length);
		return;
	}
	if (flags & HEAD_CHUNKED) {
		message->state = MESSAGE_CHUNK_LINE;
		message->body_left = 0;
		message->phase = CHUNK_DIGITS;
		request_begins(tap, scan, 0);
	} else if (message->content_length) {
		message->state = MESSAGE_BODY;
		message->body_left = message->content_length;
		request_begins(tap, scan, message->content_length);
	} else {
		message->state = MESSAGE_START;
		request_begins(tap, scan, 0);
	}
}

/* No message after all: of a connection that never carried one, that is what it is. */
static __always_inline void not_http(struct tap *tap, struct message *message,
				     enum ignored_protocol protocol)
{
	if (!tap->proven) {
		tap_ignore(tap, protocol);
		return;
	}
	message->state = MESSAGE_LOST;
	count_loss(tap->process, LOSS_UNPARSED);
}

/* A head that began with too few bytes to tell: is it still one? */
static __always_inline bool head_verified(struct tap *tap, struct scan *scan,
					  struct message *message)
{
	__u32 kind;

	if (scan->is_request)
		kind = classify_bytes(scan, tap->head, tap->head_length);
	else
		kind = classify_bytes(scan, tap->status_line, tap->status_length);
	if (kind == FIRST_PARTIAL)
		return 1;
	message->unverified = 0;
	if (scan->is_request) {
		tap->method = scan->method;
		tap->target = scan->target;
	}
	if (kind == (scan->is_request ? FIRST_REQUEST : FIRST_RESPONSE))
		return 1;
	not_http(tap, message, kind == FIRST_HTTP2 ? IGNORED_HTTP2 : IGNORED_OTHER);
	return 0;
}

/*
 * Looks at up to one window of head bytes; 1 to go on.
 * verifier: global like the other steps, so that each is walked once.
 */
__noinline int head_window(struct tap *tap, struct scan *scan)
{
	struct message *message;
	__u32 count, first, end;
	int got;

	if (!tap || !scan)
		return 0;
	message = message_of(tap, scan);
	count = scan->length - scan->offset;
	if (count > WINDOW_MAX)
		count = WINDOW_MAX;
	got = window_read(scan, scan->offset, count);
	if (got <= 0) {
		message->state = MESSAGE_LOST;
		count_loss(tap->process, got == -61 ? LOSS_UNRESOLVED : LOSS_UNREADABLE);
		return 0;
	}
	count = min((__u32)got, (__u32)WINDOW_MAX);
	if (message->state != MESSAGE_HEAD && message->state != MESSAGE_TRAILER) {
		__u32 kind;

		/* RFC 9112 2.2: an empty line before a request is to be ignored */
		if (count >= 2 && scan->is_request && scan->window.bytes[CARRY_MAX] == '\r' &&
		    scan->window.bytes[CARRY_MAX + 1] == '\n') {
			scan->offset += 2;
			return 1;
		}
		kind = classify_bytes(scan, scan->window.bytes + CARRY_MAX, count);
		if (kind != FIRST_PARTIAL &&
		    kind != (scan->is_request ? FIRST_REQUEST : FIRST_RESPONSE)) {
			if (message->state != MESSAGE_LOST)
				count_loss(tap->process, LOSS_UNPARSED);
			message->state = MESSAGE_LOST;
			return 0;
		}
		message_begins(tap, scan, message);
		message->unverified = kind == FIRST_PARTIAL;
		if (scan->is_request) {
			tap->method = scan->method;
			tap->target = scan->target;
		}
	}
	if (message->state == MESSAGE_HEAD && scan->is_request && tap->head_length < PATH_MAX_BYTES)
		keep_request(tap, scan->window.bytes + CARRY_MAX, count);
	if (message->state == MESSAGE_HEAD && !scan->is_request &&
	    tap->status_length < STATUS_LINE_BYTES)
		keep_response(tap, scan->window.bytes + CARRY_MAX, count);
	if (message->unverified && !head_verified(tap, scan, message))
		return 0;

	first = CARRY_MAX - min((__u32)message->carried, (__u32)CARRY_MAX);
	if (message->carried) {
		const __u8 *carry = carry_of(tap, scan);

#pragma unroll
		for (int i = 0; i < CARRY_MAX; i += 8)
			*(__u64 *)(scan->window.bytes + i) = load64(carry + i);
	}
	end = CARRY_MAX + count;
	scan->line = first;
	scan->at = CARRY_MAX;
	scan->end = end;
	scan->head_end = 0;
	scan->flags = message->flags;
	scan->content_length = message->content_length;
	scan_head(scan);
	message->flags = scan->flags;
	message->content_length = scan->content_length;
	if (scan->flags & HEAD_NOT_HTTP) {
		not_http(tap, message, IGNORED_OTHER);
		return 0;
	}
	if (scan->head_end) {
		__u32 used = scan->head_end - CARRY_MAX;

		scan->offset += min(used, count);
		if (message->state == MESSAGE_TRAILER)
			message_complete(tap, scan);
		else
			head_complete(tap, scan, message);
		return 1;
	}
	{
		/* the line that is not finished: its start, aligned to the end of the carry */
		__u32 line = scan->line & WINDOW_MASK, left = end - line;
		__u32 from = left > CARRY_MAX ? line : end - CARRY_MAX;
		__u8 *carry = carry_of(tap, scan);

#pragma unroll
		for (int i = 0; i < CARRY_MAX; i += 8)
			*(__u64 *)(carry + i) =
				load64(scan->window.bytes + ((from + i) & WINDOW_MASK));
		message->carried = min(left, (__u32)CARRY_MAX);
	}
	scan->offset += count;
	return 1;
}

struct chunk_walk {
	struct message *message;
	struct scan *scan;
};

/* The data of a chunk whose size is known: passed over as far as the window goes. */
static __always_inline long chunk_data(struct message *message, struct scan *scan, __u32 at)
{
	__u32 left = scan->end - at;

	message->body_bytes += message->body_left;
	message->body_left += 2; /* the CRLF behind the data */
	if (message->body_left > left) {
		message->body_left -= left;
		message->state = MESSAGE_CHUNK;
		scan->at = scan->end;
		return 1;
	}
	scan->at = at + message->body_left;
	message->body_left = 0;
	message->phase = CHUNK_DIGITS;
	if (scan->at >= scan->end)
		return 1;
	return 0;
}

/* One byte of a chunk-size line, or a whole chunk. The number read so far is in body_left. */
static long chunk_step(__u32 index, struct chunk_walk *walk)
{
	struct message *message = walk->message;
	struct scan *scan = walk->scan;
	__u32 at = scan->at;
	__u8 c = scan->window.bytes[(CARRY_MAX + at) & WINDOW_MASK], letter = c | 0x20;

	scan->at = ++at;
	if (c == '\n') {
		if (message->body_left)
			return chunk_data(message, scan, at);
		message->state = MESSAGE_TRAILER;
		message->flags = HEAD_LATER_LINE;
		message->carried = 0;
		return 1;
	}
	if (message->phase != CHUNK_DIGITS)
		;
	else if (c >= '0' && c <= '9')
		message->body_left = message->body_left << 4 | (c - '0');
	else if (letter >= 'a' && letter <= 'f')
		message->body_left = message->body_left << 4 | (letter - 'a' + 10);
	else
		message->phase = CHUNK_EXTENSION;
	if (at >= scan->end)
		return 1;
	return 0;
}

/* A window that begins in a chunk-size line. */
__noinline int chunk_lines(struct message *message, struct scan *scan, __u32 count)
{
	struct chunk_walk walk = { .message = message, .scan = scan };

	if (!message || !scan)
		return 0;
	scan->at = 0;
	scan->end = count;
	bpf_loop(WINDOW_MAX, chunk_step, &walk, 0);
	scan->offset += scan->at;
	return 0;
}

static __always_inline bool chunk_window(struct tap *tap, struct scan *scan,
					 struct message *message)
{
	__u32 count = min(scan->length - scan->offset, (__u32)WINDOW_MAX);
	int got = window_read(scan, scan->offset, count);

	if (got <= 0) {
		message->state = MESSAGE_LOST;
		count_loss(tap->process, LOSS_UNRESOLVED);
		return 0;
	}
	chunk_lines(message, scan, got);
	return 1;
}

/* A body of known length, or one chunk, has been seen to its end. */
static __always_inline void body_part_complete(struct tap *tap, struct scan *scan,
					       struct message *message)
{
	if (message->state == MESSAGE_BODY) {
		message_complete(tap, scan);
		return;
	}
	message->body_left = 0;
	message->phase = CHUNK_DIGITS;
	message->state = MESSAGE_CHUNK_LINE;
}

/* One step of a call's bytes through its message; 1 to go on. */
__noinline int message_step(struct tap *tap, struct scan *scan)
{
	struct message *message;
	__u32 left;

	if (!tap || !scan)
		return 0;
	message = message_of(tap, scan);
	left = scan->length - scan->offset;
	if (!left || tap->protocol != TAP_HTTP1)
		return 0;
	switch (message->state) {
	case MESSAGE_CHUNK_LINE:
		return chunk_window(tap, scan, message);
	case MESSAGE_BODY:
	case MESSAGE_CHUNK:
		if (message->body_left > left) {
			message->body_left -= left;
			scan->offset += left;
			return 0;
		}
		scan->offset += message->body_left;
		body_part_complete(tap, scan, message);
		return 1;
	case MESSAGE_UNTIL_CLOSE:
		message->body_bytes += left;
		scan->offset = scan->length;
		return 0;
	default:
		return head_window(tap, scan);
	}
}

static long passage_step(__u32 index, struct passage *passage)
{
	if (message_step(passage->tap, passage->scan))
		return 0;
	return 1;
}

/* Bytes between what was seen and what is here now went by unseen (spliced, sent by the kernel). */
__noinline int bytes_skip(struct tap *tap, struct scan *scan, __u32 gap)
{
	struct message *message;

	if (!tap || !scan)
		return 0;
	message = message_of(tap, scan);
	if (gap > 0x7fffffff)
		return 0;
	if ((message->state == MESSAGE_BODY || message->state == MESSAGE_CHUNK) &&
	    gap <= message->body_left) {
		message->body_left -= gap;
		if (!message->body_left)
			body_part_complete(tap, scan, message);
	} else if (message->state == MESSAGE_UNTIL_CLOSE) {
		message->body_bytes += gap;
	} else {
		message->state = MESSAGE_LOST;
	}
	return 0;
}

static __always_inline void bytes_unseen(struct tap *tap, struct scan *scan,
					 struct message *message, __u32 start)
{
	if (message->known && message->next != start)
		bytes_skip(tap, scan, start - message->next);
}

#endif
