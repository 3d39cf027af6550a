/* SPDX-License-Identifier: GPL-2.0-only */
/* Two clocks: monotonic for every duration (the one BPF reads), wall for what a person reads. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

#define NS_PER_S  1000000000ULL
#define NS_PER_MS 1000000ULL

/* CLOCK_MONOTONIC in ns; equals bpf_ktime_get_ns(). */
uint64_t clock_monotonic_ns(void);

/* The same clock as of the last tick (up to 10 ms late), for time stamps taken in bulk. */
uint64_t clock_coarse_ns(void);

/* CLOCK_REALTIME in ns since the epoch; may step. */
uint64_t clock_wall_ns(void);

/* Writes "2025-01-13T15:30:45Z" (21 bytes with NUL) for a wall time; size >= 21. */
void clock_format_utc(uint64_t wall_ns, char *ret_text, size_t size);

#endif
