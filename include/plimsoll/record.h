/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the ring buffer carries. Every record starts with record_header; kinds
 * are numbered once and never reused. Natural alignment, padding written out.
 */
#ifndef PLIMSOLL_RECORD_H
#define PLIMSOLL_RECORD_H

enum record_kind {
	RECORD_PROCESS = 1, /* who.h: a process used a socket for the first time */
	RECORD_PROCESS_GONE = 2,
	RECORD_REQUEST = 3, /* net/request.h: one request in detail */
	RECORD_ROUTE = 4,   /* net/request.h: the text behind a route hash */
};

struct record_header {
	__u16 kind;
	__u16 size;    /* of the whole record */
	__u32 pid;     /* tgid in the initial pid namespace; 0 where no process is known */
	__u64 time_ns; /* CLOCK_MONOTONIC */
};

_Static_assert(sizeof(struct record_header) == 16, "record_header is ABI");

#endif
