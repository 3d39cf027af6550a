/* SPDX-License-Identifier: GPL-2.0-only */
/* From the bytes of one send or receive to heads, bodies and chunks. */
#ifndef NET_MESSAGES_BPF_H
#define NET_MESSAGES_BPF_H

#include "net/pairing.bpf.h"

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

enum head_start { HEAD_STARTS, HEAD_AFTER_EMPTY_LINE, HEAD_NONE };

/* The window begins a message: is that what its first bytes say? */
static __always_inline enum head_start head_starts(struct tap *tap, struct scan *scan,
						   struct message *message, __u32 count)
{
	__u32 kind;

	/* RFC 9112 2.2: an empty line before a request is to be ignored */
	if (count >= 2 && scan->is_request && scan->window.bytes[CARRY_MAX] == '\r' &&
	    scan->window.bytes[CARRY_MAX + 1] == '\n') {
		scan->offset += 2;
		return HEAD_AFTER_EMPTY_LINE;
	}
	kind = classify_bytes(scan, scan->window.bytes + CARRY_MAX, count);
	if (kind != FIRST_PARTIAL && kind != (scan->is_request ? FIRST_REQUEST : FIRST_RESPONSE)) {
		if (message->state != MESSAGE_LOST)
			count_loss(tap->process, LOSS_UNPARSED);
		message->state = MESSAGE_LOST;
		return HEAD_NONE;
	}
	message_begins(tap, scan, message);
	message->unverified = kind == FIRST_PARTIAL;
	if (scan->is_request) {
		tap->method = scan->method;
		tap->target = scan->target;
	}
	return HEAD_STARTS;
}

/* Scans the lines of the window, a line carried over before it. */
static __always_inline void scan_window(struct tap *tap, struct scan *scan, struct message *message,
					__u32 end)
{
	if (message->carried) {
		const __u8 *carry = carry_of(tap, scan);

#pragma unroll
		for (int i = 0; i < CARRY_MAX; i += 8)
			*(__u64 *)(scan->window.bytes + i) = load64(carry + i);
	}
	scan->line = CARRY_MAX - min((__u32)message->carried, (__u32)CARRY_MAX);
	scan->at = CARRY_MAX;
	scan->end = end;
	scan->head_end = 0;
	scan->flags = message->flags;
	scan->content_length = message->content_length;
	scan_head(scan);
	message->flags = scan->flags;
	message->content_length = scan->content_length;
}

/* The line that is not finished goes on in the next window: its start, as far as it is kept. */
static __always_inline void carry_over(struct tap *tap, struct scan *scan, struct message *message,
				       __u32 end)
{
	__u32 line = scan->line & WINDOW_MASK, left = end - line;
	__u32 from = left > CARRY_MAX ? line : end - CARRY_MAX;
	__u8 *carry = carry_of(tap, scan);

#pragma unroll
	for (int i = 0; i < CARRY_MAX; i += 8)
		*(__u64 *)(carry + i) = load64(scan->window.bytes + ((from + i) & WINDOW_MASK));
	message->carried = min(left, (__u32)CARRY_MAX);
}

/*
 * Looks at up to one window of head bytes; 1 to go on.
 * verifier: global like the other steps, so that each is walked once.
 */
__noinline int head_window(struct tap *tap, struct scan *scan)
{
	struct message *message;
	__u32 count;
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
		enum head_start start = head_starts(tap, scan, message, count);

		if (start != HEAD_STARTS)
			return start == HEAD_AFTER_EMPTY_LINE;
	}
	if (message->state == MESSAGE_HEAD && scan->is_request && tap->head_length < PATH_MAX_BYTES)
		keep_request(tap, scan->window.bytes + CARRY_MAX, count);
	if (message->state == MESSAGE_HEAD && !scan->is_request &&
	    tap->status_length < STATUS_LINE_BYTES)
		keep_response(tap, scan->window.bytes + CARRY_MAX, count);
	if (message->unverified && !head_verified(tap, scan, message))
		return 0;
	scan_window(tap, scan, message, CARRY_MAX + count);
	if (scan->flags & HEAD_NOT_HTTP) {
		not_http(tap, message, IGNORED_OTHER);
		return 0;
	}
	if (!scan->head_end) {
		carry_over(tap, scan, message, CARRY_MAX + count);
		scan->offset += count;
		return 1;
	}
	scan->offset += min(scan->head_end - CARRY_MAX, count);
	if (message->state == MESSAGE_TRAILER)
		message_complete(tap, scan);
	else
		head_complete(tap, scan, message);
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
