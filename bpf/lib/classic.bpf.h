/* SPDX-License-Identifier: GPL-2.0-only */
/* The classic bucket of a value: a search without branches over 32 ascending bounds. */
#ifndef LIB_CLASSIC_BPF_H
#define LIB_CLASSIC_BPF_H

#include "lib/plimsoll.bpf.h"

#include <plimsoll/histogram.h>

/*
 * Upper bounds are inclusive and below 2^63; unused ones are BOUND_NONE, so the result is at
 * most their number. verifier: arithmetic, because a branch a step doubles the paths each time.
 */
static __always_inline __u32 classic_bucket(const __u64 bounds[BOUNDS_MAX + 1], __u64 value)
{
	__u64 bucket = 0;

#pragma unroll
	for (__u32 step = BOUND_BUCKETS / 2; step; step >>= 1) {
		__u64 at = bucket + step - 1;

		/* verifier: a mask the compiler would drop, since it can prove the bound */
		asm volatile("" : "+r"(at));
		bucket += ((bounds[at & BOUNDS_MAX] - value) >> 63) * step;
	}
	asm volatile("" : "+r"(bucket));
	return bucket & BOUNDS_MAX;
}

#endif
