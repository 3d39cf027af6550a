/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A histogram as user space keeps it: exact counts at classic bounds plus a
 * base-2 exponential part (include/plimsoll/histogram.h) stored only over the
 * range that is in use. Units are those of the family: ns for durations,
 * bytes for sizes. Buckets are not cumulative.
 */
#ifndef SERIES_HISTOGRAM_H
#define SERIES_HISTOGRAM_H

#include <stdint.h>

#include <plimsoll/histogram.h>

/* The classic bounds in force, ascending; one table per kind, set once at start. */
struct bounds {
	unsigned int count;	    /* <= BOUNDS_MAX */
	uint64_t upper[BOUNDS_MAX]; /* inclusive, in the unit of the family */
};

struct histogram {
	uint64_t count;
	uint64_t sum;
	uint64_t classic[BOUND_BUCKETS]; /* [bounds.count] is what lies above the last bound */
	uint16_t exp_first;		 /* exp[0] is exponential bucket exp_first */
	uint16_t exp_count;
	uint64_t *exp; /* heap, owned */
};

/* What one drained table slot adds. Arrays are full size, not owned. */
struct histogram_delta {
	uint64_t count;
	uint64_t sum;
	const uint32_t *classic;    /* BOUND_BUCKETS entries, or NULL */
	const uint32_t *exp;	    /* EXP_BUCKETS entries, or NULL */
	uint16_t exp_low, exp_high; /* inclusive range holding every non-zero exp entry */
};

void histogram_fini(struct histogram *histogram);

/* 0 or -ENOMEM (the classic part is added in any case, so counts stay true). */
int histogram_add(struct histogram *histogram, const struct histogram_delta *delta);

/* One value of a duration family, for what user space measures itself. */
void histogram_observe_ns(struct histogram *histogram, const struct bounds *bounds,
			  uint64_t value_ns);

/* Exponential bucket of a duration, and the geometric middle of a bucket. */
unsigned int histogram_bucket_of_ns(uint64_t value_ns);
double histogram_bucket_middle_ns(unsigned int bucket);
double histogram_bucket_upper_s(unsigned int bucket);

/*
 * The q-quantile (0..1) of counts over all EXP_BUCKETS buckets starting at
 * `exp_first`; within 2.2 % of the exact one. NAN when empty. Result in ns.
 */
double histogram_quantile_ns(const uint64_t *exp, unsigned int exp_first, unsigned int exp_count,
			     double q);

/* Duration bounds: the defaults of docs/METRICS.md merged with these thresholds (ns). */
void bounds_init_durations(struct bounds *ret_bounds, const uint64_t *thresholds_ns,
			   unsigned int threshold_count, unsigned int *ret_dropped);
void bounds_init_sizes(struct bounds *ret_bounds);

#endif
