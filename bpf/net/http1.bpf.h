/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * HTTP/1.x as the kernel needs it (RFC 9112): where a head ends, how long the body
 * is, what was asked for. Works on windows of up to 256 bytes; a line cut by the
 * end of a window or of a call is carried over (its first 40 bytes are enough for
 * every field looked at). Eight bytes are tested at a time; everything per byte
 * would be too slow and too long for the verifier.
 *
 * Ordinary C but for bpf_loop() and load64(): tests/fuzz builds it for the host.
 */
#ifndef NET_HTTP1_BPF_H
#define NET_HTTP1_BPF_H

#include "lib/source.bpf.h"

#include <plimsoll/net/request.h>

#define ONES  0x0101010101010101ULL
#define HIGHS 0x8080808080808080ULL
#define LOWER 0x2020202020202020ULL

static __always_inline __u64 low_bytes(__u32 count)
{
	return count >= 8 ? ~0ULL : (1ULL << (count * 8)) - 1;
}

/* High bit set in every zero byte; exact for the lowest one, which is all that is used. */
static __always_inline __u64 zero_bytes(__u64 word)
{
	return (word - ONES) & ~word & HIGHS;
}

static __always_inline __u64 equal_bytes(__u64 word, __u8 byte)
{
	return zero_bytes(word ^ (ONES * byte));
}

/* 1 if no byte is marked, else 0. */
static __always_inline __u64 none_marked(__u64 marks)
{
	return ((marks - 1) & ~marks) >> 63;
}

/* Index of the lowest marked byte (0..7); `marks` is not 0. */
static __always_inline __u32 lowest_byte(__u64 marks)
{
	return (((marks & -marks) >> 7) * 0x0001020304050607ULL) >> 56;
}

enum head_flags {
	HEAD_HAS_LENGTH = 1,
	HEAD_CHUNKED = 2,
	HEAD_EVENT_STREAM = 4,
	HEAD_LATER_LINE = 8, /* the first line is behind us */
	HEAD_NOT_HTTP = 16,  /* a request line that does not end in a version */
};

/* The walk over a target, one word or one segment a step. */
struct route {
	__u32 at, end;
	__u32 length;  /* of the segment so far */
	__u32 digits;  /* in it */
	__u32 others;  /* bytes in it that are neither hexadecimal nor '-' */
	__u32 state;   /* of the pattern automaton; 0: no pattern can match any more */
	__u32 accepts; /* pattern + 1 if the path may end here */
	__u32 done;
	__u32 skip;  /* segments of an absolute form's scheme and authority still to come */
	__u32 start; /* where the path begins */
	__u32 cut;   /* the path goes on behind what was kept */
	__u64 hash;
	__u64 segment;
};

/* A request that waits for its answer. */
struct exchange {
	__u64 start_ns;
	__u64 route;
	__u64 request_bytes;
	__u32 queue_us;
	__u8 method;
	__u8 path_start, path_end; /* in tap->head, while that is still this request's */
	__u8 has_path;
};

/* A scan over one window; lives in a per-CPU map so that the verifier sees only unknown numbers. */
struct scan {
	struct window window;
	__u32 line; /* where the current line starts */
	__u32 at;   /* searched up to here */
	__u32 end;
	__u32 head_end; /* 0, or just behind the blank line */
	__u64 content_length;
	__u32 flags;
	/* the call the window is part of (messages.bpf.h) */
	__u32 offset; /* bytes dealt with */
	__u32 length;
	__u32 is_request; /* this direction carries requests */
	__u64 now_ns;
	/* verifier: what classify() found goes through memory, or every method is a path of its own
	 */
	__u32 method;
	__u32 target;
	__u8 first[24]; /* what it looks at; the last eight are only read over */
	struct source source;
	struct route route;
	struct exchange exchange; /* being made */
};

struct scan_walk {
	struct scan *scan;
};

/*
 * Brings up to `length` (<= WINDOW_MAX) bytes of the call, `offset` bytes in, into the window.
 * Returns how many, at least one, or a negative errno as source_read().
 * verifier: global, walked once, and its stack is not added to that of every caller.
 */
__noinline int window_read(struct scan *scan, __u32 offset, __u32 length)
{
	if (!scan)
		return -14;
	return source_read(&scan->source, offset, length, &scan->window);
}

static __always_inline __u64 field_number(const struct scan *scan, __u32 at)
{
	__u64 value = 0;
	bool seen = false;

	for (int i = 0; i < CARRY_MAX; i++) {
		__u8 c = scan->window.bytes[(at + i) & WINDOW_MASK];

		if (!seen && (c == ' ' || c == '\t'))
			continue;
		if (c < '0' || c > '9')
			break;
		value = value * 10 + (c - '0');
		seen = true;
	}
	return value;
}

/* Is "chunked" the last word of the line that ends before `newline`? */
static __always_inline bool line_ends_chunked(const struct scan *scan, __u32 newline)
{
	__u32 end = newline;

	for (int i = 0; i < 6; i++) { /* the CR and what blanks there are */
		__u8 c = scan->window.bytes[(end - 1) & WINDOW_MASK];

		if (c != '\r' && c != ' ' && c != '\t')
			break;
		end--;
	}
	return ((load64(scan->window.bytes + ((end - 8) & WINDOW_MASK)) | LOWER) >> 8) ==
	       0x0064656b6e756863ULL; /* chunked */
}

/* One field line of a head. verifier: global, walked once. */
__noinline int field_line(struct scan *scan, __u32 line, __u32 newline)
{
	const __u8 *at;
	__u64 name;

	if (!scan)
		return 0;
	at = scan->window.bytes + (line & WINDOW_MASK);
	name = load64(at) | LOWER;

	if (name == 0x2d746e65746e6f63ULL) { /* content- */
		__u64 rest = load64(at + 8) | LOWER;

		if ((rest & 0x00ffffffffffffffULL) == 0x003a6874676e656cULL) { /* length: */
			scan->content_length = field_number(scan, line + 15);
			scan->flags |= HEAD_HAS_LENGTH;
		} else if ((rest & 0x000000ffffffffffULL) == 0x0000003a65707974ULL) { /* type: */
			/* "text/event-stream" after one blank or none */
			__u32 value = line + 13 + (at[13] == ' ');
			const __u8 *type = scan->window.bytes + (value & WINDOW_MASK);

			if ((load64(type) | LOWER) == 0x6576652f74786574ULL &&	 /* text/eve */
			    (load64(type + 8) | LOWER) == 0x61657274732d746eULL) /* nt-strea */
				scan->flags |= HEAD_EVENT_STREAM;
		}
	} else if (name == 0x726566736e617274ULL) {			 /* transfer */
		if ((load64(at + 8) | LOWER) == 0x6e69646f636e652dULL && /* -encodin */
		    line_ends_chunked(scan, newline))
			scan->flags |= HEAD_CHUNKED;
	}
	return 0;
}

/* Lines in one window: even one-byte lines do not make more. */
#define SCAN_STEPS (WINDOW_MAX / 2 + WINDOW_BYTES / 16)

/* "HTTP/1.x" before the end of the line; taken for granted where that lies in an earlier window. */
static __always_inline bool ends_in_version(const struct scan *scan, __u32 line, __u32 newline)
{
	__u32 end = newline - (scan->window.bytes[(newline - 1) & WINDOW_MASK] == '\r');

	if (!line && end < CARRY_MAX + 8)
		return true;
	return (load64(scan->window.bytes + ((end - 8) & WINDOW_MASK)) & low_bytes(7)) ==
	       0x002e312f50545448ULL; /* HTTP/1. */
}

/*
 * Walks the lines of a window; leaves head_end, the fields found and where the last line starts.
 * A plain loop and not bpf_loop(): this is where most of the time of a request goes.
 * verifier: positions go through memory, so that every round looks the same to it and is pruned.
 */
__noinline int scan_head(struct scan *scan)
{
	volatile struct scan *seen = scan;

	if (!scan)
		return 0;
	for (__u32 i = 0; i < SCAN_STEPS; i++) {
		__u32 at = seen->at & WINDOW_MASK, line = seen->line & WINDOW_MASK, newline;
		const __u8 *bytes = scan->window.bytes + at;
		__u64 marks = equal_bytes(load64(bytes), '\n');
		__u64 later = equal_bytes(load64(bytes + 8), '\n');
		__u8 first;

		if (at >= seen->end)
			break;
		if (!(marks | later)) {
			seen->at = at + 16;
			continue;
		}
		at += 8 & -none_marked(marks);
		marks |= later & -none_marked(marks);
		newline = at + lowest_byte(marks);
		if (newline >= seen->end)
			break;
		seen->at = newline + 1;
		seen->line = newline + 1;
		first = scan->window.bytes[line];
		if (newline == line || (first == '\r' && newline == line + 1)) {
			if (seen->flags & HEAD_LATER_LINE)
				seen->head_end = newline + 1;
			break;
		}
		/* of all fields only Content-* and Transfer-Encoding matter */
		if (!(seen->flags & HEAD_LATER_LINE)) {
			seen->flags |= HEAD_LATER_LINE;
			if (seen->is_request && !ends_in_version(scan, line, newline)) {
				seen->flags |= HEAD_NOT_HTTP;
				break;
			}
		} else if ((first | 0x20) == 'c' || (first | 0x20) == 't')
			field_line(scan, line, newline);
	}
	return 0;
}

/* Methods as the first eight bytes of a request, with the length of the word and its blank. */
#define METHOD_WORDS(X)                           \
	X(HTTP_GET, 0x0000000020544547ULL, 4)     \
	X(HTTP_POST, 0x0000002054534f50ULL, 5)    \
	X(HTTP_PUT, 0x0000000020545550ULL, 4)     \
	X(HTTP_HEAD, 0x0000002044414548ULL, 5)    \
	X(HTTP_DELETE, 0x204554454c4544ULL, 7)    \
	X(HTTP_PATCH, 0x0000204843544150ULL, 6)   \
	X(HTTP_OPTIONS, 0x20534e4f4954504fULL, 8) \
	X(HTTP_CONNECT, 0x205443454e4e4f43ULL, 8) \
	X(HTTP_TRACE, 0x0000204543415254ULL, 6)

enum first_bytes {
	FIRST_UNKNOWN,
	FIRST_PARTIAL, /* too few bytes to tell, but it could become a request */
	FIRST_REQUEST,
	FIRST_RESPONSE,
	FIRST_TLS,
	FIRST_HTTP2,
};

static long word_step(__u32 index, struct scan_walk *walk)
{
	__u8 c = walk->scan->first[index & 15];

	walk->scan->target = index;
	if ((c < 'A' || c > 'Z') && c != '-')
		return 1;
	return 0;
}

/* A method of somebody else's: upper case letters and dashes, a blank, a path. */
static __always_inline int other_method(struct scan *scan, __u32 length)
{
	struct scan_walk walk = { .scan = scan };
	__u32 at;

	bpf_loop(16, word_step, &walk, 0);
	at = scan->target;
	scan->target = 0;
	if (at >= length && length < 16)
		return FIRST_PARTIAL;
	if (at < 3 || at > 15 || scan->first[at] != ' ')
		return FIRST_UNKNOWN;
	if (at + 1 >= length)
		return FIRST_PARTIAL;
	if (scan->first[at + 1] != '/')
		return FIRST_UNKNOWN;
	scan->target = at + 1;
	return FIRST_REQUEST;
}

/* Does what stands behind a method look like its target: a path, a URL, "*", an authority? */
static __always_inline int target_kind(struct scan *scan, __u32 at, __u32 length, bool authority)
{
	__u32 left = length - at;
	__u64 word;

	if (authority || scan->first[at] == '/' || scan->first[at] == '*')
		return FIRST_REQUEST;
	word = (load64(scan->first + at) | LOWER) ^ 0x0000000070747468ULL;
	if (word & low_bytes(min(left, 4u)))
		return FIRST_UNKNOWN;
	return left < 4 ? FIRST_PARTIAL : FIRST_REQUEST;
}

/*
 * What the first `length` (>= 1) bytes of a stream or message are, which stand in scan->first.
 * The method and where its target begins are left in scan->method and scan->target.
 * verifier: global, so that it is walked once and not once per caller's state.
 */
__noinline int classify(struct scan *scan, __u32 length)
{
	__u64 word, seen = low_bytes(length);

	if (!scan)
		return FIRST_UNKNOWN;
	word = load64(scan->first);
	scan->method = HTTP_METHOD_OTHER;
	scan->target = 0;
	if (!((word ^ 0x002e312f50545448ULL) & low_bytes(7) & seen)) /* HTTP/1. */
		return length < 7 ? FIRST_PARTIAL : FIRST_RESPONSE;
#define X(name, text, size)                                                        \
	if (!((word ^ (text)) & low_bytes(size) & seen)) {                         \
		if (length < (size) + 1)                                           \
			return FIRST_PARTIAL;                                      \
		scan->method = name;                                               \
		scan->target = size;                                               \
		if (name != HTTP_CONNECT && scan->first[size] != '/' &&            \
		    scan->first[size] != '*' && (scan->first[size] | 0x20) != 'h') \
			return FIRST_UNKNOWN;                                      \
		return FIRST_REQUEST;                                              \
	}
	METHOD_WORDS(X)
#undef X
	if (!((word ^ 0x0048202a20495250ULL) & low_bytes(7) & seen)) /* PRI * H */
		return length < 7 ? FIRST_PARTIAL : FIRST_HTTP2;
	if ((word & 0xff) == 0x16 && (length < 2 || (word & 0xff00) == 0x0300))
		return FIRST_TLS;
	return other_method(scan, length);
}

static __always_inline int classify_bytes(struct scan *scan, const __u8 *bytes, __u32 length)
{
	*(__u64 *)scan->first = load64(bytes);
	*(__u64 *)(scan->first + 8) = load64(bytes + 8);
	return classify(scan, length);
}

/* --- the route ------------------------------------------------------------------------------ */

#define HASH_SEED 0x9e3779b97f4a7c15ULL
#define HASH_ID	  0x5bd1e9955bd1e995ULL

static __always_inline __u64 hash_mix(__u64 hash, __u64 word)
{
	hash = (hash ^ word) * 0xff51afd7ed558ccdULL;
	return hash ^ (hash >> 32);
}

/* High bit in every byte that is this one, and in no other. */
static __always_inline __u64 exact_bytes(__u64 word, __u8 byte)
{
	__u64 x = word ^ (ONES * byte);

	return ~(((x & ~HIGHS) + ~HIGHS) | x) & HIGHS;
}

/* High bit in every byte that is no decimal digit. */
static __always_inline __u64 other_than_digits(__u64 word)
{
	__u64 x = word ^ (ONES * '0');

	return (((x & ~HIGHS) + ONES * (0x80 - 10)) | x) & HIGHS;
}

/* High bit in every byte that is a-f or A-F. */
static __always_inline __u64 hex_letters(__u64 word)
{
	__u64 x = (word | LOWER) & ~HIGHS;

	return (x + ONES * (0x80 - 'a')) & ~(x + ONES * (0x80 - 'g')) & ~word & HIGHS;
}

#define LONG_HEX 16 /* a hexadecimal segment this long with a digit in it is an id */

static __always_inline bool segment_is_id(const struct route *route)
{
	return route->length && (route->digits == route->length ||
				 (route->length >= LONG_HEX && route->digits && !route->others));
}

static __always_inline __u32 count_marks(__u64 marks)
{
	return ((marks >> 7) * ONES) >> 56;
}

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 16384);
	__type(key, struct pattern_step);
	__type(value, struct pattern_state);
} pl_patterns SEC(".maps");

/* One segment on in the automaton of the user's patterns. */
static __always_inline void pattern_advance(struct route *route)
{
	struct pattern_step step = { .state = route->state, .segment = route->segment };
	struct pattern_state *edge;

	if (!step.state)
		return;
	edge = bpf_map_lookup_elem(&pl_patterns, &step);
	if (!edge) {
		step.segment = PATTERN_ANY;
		edge = bpf_map_lookup_elem(&pl_patterns, &step);
	}
	route->state = edge ? edge->next : 0;
	route->accepts = edge ? edge->accepts : 0;
}

struct route_walk {
	struct route *route;
	const __u8 *bytes; /* PATH_MAX_BYTES + 8 readable */
};

static long route_step(__u32 index, struct route_walk *walk)
{
	struct route *route = walk->route;
	__u32 at = route->at & (PATH_MAX_BYTES - 1);
	__u64 word = load64(walk->bytes + at);
	__u64 stop, marks, digits;
	__u32 taken = 8;

	/* anything up to the blank, '?' and '#' end the path */
	stop = ((word - ONES * 0x21) & ~word & HIGHS) | equal_bytes(word, '?') |
	       equal_bytes(word, '#');
	marks = stop | equal_bytes(word, '/');
	if (marks)
		taken = lowest_byte(marks);
	if (route->at + taken >= route->end) {
		taken = route->end - route->at;
		route->done = 1;
		route->cut = 1;
	} else if (marks) {
		route->done = ((stop & -stop) == (marks & -marks));
	}
	if (taken) {
		__u64 mask = low_bytes(taken);

		word &= mask;
		route->segment = hash_mix(route->segment, word);
		digits = ~other_than_digits(word) & HIGHS & mask;
		route->length += taken;
		route->digits += count_marks(digits);
		route->others +=
			taken -
			count_marks((digits | hex_letters(word) | exact_bytes(word, '-')) & mask);
	}
	route->at += taken;
	if (!marks && !route->done)
		return 0;
	if (route->skip) {
		route->skip--;
		route->start = route->at;
	} else {
		pattern_advance(route);
		route->hash =
			hash_mix(route->hash, segment_is_id(route) ? HASH_ID : route->segment);
	}
	route->at++;
	route->length = route->digits = route->others = 0;
	route->segment = HASH_SEED;
	if (route->done)
		return 1;
	return 0;
}

#endif
