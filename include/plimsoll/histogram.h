/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The one histogram layout, shared by kernel and user space.
 *
 * Durations are counted twice: in classic buckets whose bounds are chosen at
 * start (every budget threshold is among them, so its count is exact) and in
 * base-2 exponential buckets of schema 4 (16 buckets per octave, 4.4 % wide),
 * the same ones OpenTelemetry and Prometheus native histograms use.
 *
 * Exponential bucket i (1 <= i < EXP_BUCKETS - 1) holds values v with
 *	2^((i - 1) / 16 - EXP_MIN_OCTAVE) < v <= 2^(i / 16 - EXP_MIN_OCTAVE) seconds.
 * Bucket 0 takes everything below (7.6 us), the last one everything above (128 s).
 */
#ifndef PLIMSOLL_HISTOGRAM_H
#define PLIMSOLL_HISTOGRAM_H

#define EXP_SCHEMA	   4
#define EXP_PER_OCTAVE	   16
#define EXP_MIN_OCTAVE	   17 /* 2^-17 s = 7.6 us */
#define EXP_MAX_OCTAVE	   7  /* 2^7 s = 128 s */
#define EXP_BUCKETS	   ((EXP_MIN_OCTAVE + EXP_MAX_OCTAVE) * EXP_PER_OCTAVE + 2)
#define BOUNDS_MAX	   31 /* classic bounds; one more bucket takes what is above the last */
#define BOUND_BUCKETS	   (BOUNDS_MAX + 1)
#define SIZE_BUCKETS	   8 /* body sizes: <= 1k 8k 64k 512k 4M 32M 256M bytes, above */
#define SIZE_FIRST_SHIFT   10
#define SIZE_OCTAVE_SHIFT  3

_Static_assert(EXP_BUCKETS == 386, "exponential buckets are ABI");

#endif
