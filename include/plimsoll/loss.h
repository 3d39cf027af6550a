/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Why something was not seen. Counted per process where the process is known,
 * exported as plimsoll_losses_total{service_name,reason} and folded into the
 * completeness ratio of the service. Values are ABI between kernel and user side.
 *
 * X(ENUM, label, costs a request?, what it means)
 */
#ifndef PLIMSOLL_LOSS_H
#define PLIMSOLL_LOSS_H

#define LOSS_REASONS(X)                                                                           \
	X(RING_FULL, "ring_full", 0, "a record found no room in the ring buffer")                 \
	X(KEYS_FULL, "keys_full", 1, "no table slot was free for a new kind of request")          \
	X(MIDSTREAM, "midstream", 1, "the connection was joined in the middle of an exchange")    \
	X(UNPAIRED, "unpaired", 1, "a response had no request that was seen")                     \
	X(UNRESOLVED, "unresolved", 1, "the buffer of a message head could not be found")         \
	X(UNREADABLE, "unreadable", 1, "the buffer of a message head could not be read")          \
	X(UNPARSED, "unparsed", 1, "bytes on an HTTP connection that are no HTTP message")        \
	X(PIPELINE_FULL, "pipeline_full", 1, "more requests in flight on a connection than kept") \
	X(STATE_FULL, "state_full", 1, "the kernel had no memory for the state of a socket")      \
	X(PROCESSES_FULL, "processes_full", 0, "more processes with sockets than kept")           \
	X(MISSED, "missed", 1, "the kernel did not run a probe it should have")

enum loss_reason {
#define X(name, label, costs, meaning) LOSS_##name,
	LOSS_REASONS(X)
#undef X
		LOSS_COUNT,
};

_Static_assert(LOSS_COUNT <= 12, "process_slot keeps room for 12 reasons");

#endif
