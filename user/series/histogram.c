/* SPDX-License-Identifier: GPL-2.0-only */
#include "series/histogram.h"

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_S  1e9
#define NS_PER_MS 1000000ULL

/* The exponential part grows by whole groups, so that a drifting latency does not realloc often. */
#define EXP_GROUP 8

/*
 * The default duration bounds in ms, most important first: when thresholds need
 * the room, those at the end give way. First the bounds of the OpenTelemetry
 * semantic conventions, then the usual lines of budgets.
 */
static const uint16_t default_bounds_ms[] = { 500, 100, 1000, 250, 50,	 5000, 10,  2500,
					      25,  200, 2000, 5,   750,	 75,   300, 10000,
					      400, 800, 3000, 600, 1200, 7500 };

void histogram_fini(struct histogram *histogram)
{
	free(histogram->exp);
	memset(histogram, 0, sizeof(*histogram));
}

/* Makes exp cover low..high. */
static int cover(struct histogram *histogram, unsigned int low, unsigned int high)
{
	unsigned int first = histogram->exp_first;
	unsigned int end = first + histogram->exp_count;
	uint64_t *exp;

	if (histogram->exp && low >= first && high < end)
		return 0;
	low -= low % EXP_GROUP;
	high += EXP_GROUP - high % EXP_GROUP; /* the end from here on */
	if (histogram->exp && first < low)
		low = first;
	if (histogram->exp && end > high)
		high = end;
	if (high > EXP_BUCKETS)
		high = EXP_BUCKETS;
	exp = calloc(high - low, sizeof(*exp));
	if (!exp)
		return -ENOMEM;
	if (histogram->exp)
		memcpy(exp + (first - low), histogram->exp, histogram->exp_count * sizeof(*exp));
	free(histogram->exp);
	histogram->exp = exp;
	histogram->exp_first = (uint16_t)low;
	histogram->exp_count = (uint16_t)(high - low);
	return 0;
}

int histogram_add(struct histogram *histogram, const struct histogram_delta *delta)
{
	unsigned int low = delta->exp_low;
	unsigned int high = delta->exp_high < EXP_BUCKETS ? delta->exp_high : EXP_BUCKETS - 1;
	int err;

	histogram->count += delta->count;
	histogram->sum += delta->sum;
	if (delta->classic)
		for (unsigned int i = 0; i < BOUND_BUCKETS; i++)
			histogram->classic[i] += delta->classic[i];
	if (!delta->exp)
		return 0;
	while (low <= high && !delta->exp[low])
		low++;
	while (high > low && !delta->exp[high])
		high--;
	if (low > high)
		return 0;
	err = cover(histogram, low, high);
	if (err)
		return err;
	for (unsigned int i = low; i <= high; i++)
		histogram->exp[i - histogram->exp_first] += delta->exp[i];
	return 0;
}

void histogram_observe_ns(struct histogram *histogram, const struct bounds *bounds,
			  uint64_t value_ns)
{
	unsigned int bucket = exp_bucket_of_ns(value_ns);
	unsigned int i = 0;

	while (i < bounds->count && value_ns > bounds->upper[i])
		i++;
	histogram->classic[i]++;
	histogram->count++;
	histogram->sum += value_ns;
	if (cover(histogram, bucket, bucket) == 0)
		histogram->exp[bucket - histogram->exp_first]++;
}

unsigned int histogram_bucket_of_ns(uint64_t value_ns)
{
	return exp_bucket_of_ns(value_ns);
}

double histogram_bucket_upper_s(unsigned int bucket)
{
	if (bucket >= EXP_BUCKETS - 1)
		return INFINITY;
	return exp2((double)bucket / EXP_PER_OCTAVE - EXP_MIN_OCTAVE);
}

/* The outermost buckets are open: half of the upper bound, and the lower bound. */
double histogram_bucket_middle_ns(unsigned int bucket)
{
	if (bucket == 0)
		return histogram_bucket_upper_s(0) / 2 * NS_PER_S;
	if (bucket >= EXP_BUCKETS - 1)
		return histogram_bucket_upper_s(EXP_BUCKETS - 2) * NS_PER_S;
	return exp2((bucket - 0.5) / EXP_PER_OCTAVE - EXP_MIN_OCTAVE) * NS_PER_S;
}

double histogram_quantile_ns(const uint64_t *exp, unsigned int exp_first, unsigned int exp_count,
			     double q)
{
	uint64_t total = 0, seen = 0;
	unsigned int last = 0;
	double rank;

	for (unsigned int i = 0; i < exp_count; i++)
		total += exp[i];
	if (total == 0 || isnan(q))
		return NAN;
	q = q < 0 ? 0 : q > 1 ? 1 : q;
	/* 0.07 * 100 is a little more than 7 and must still be the seventh. */
	rank = ceil(q * (double)total * (1 - 1e-12));
	for (unsigned int i = 0; i < exp_count; i++) {
		if (!exp[i])
			continue;
		last = i;
		seen += exp[i];
		if ((double)seen >= rank)
			break;
	}
	return histogram_bucket_middle_ns(exp_first + last);
}

static bool has_value(const uint64_t *values, unsigned int count, uint64_t value)
{
	for (unsigned int i = 0; i < count; i++)
		if (values[i] == value)
			return true;
	return false;
}

static void sort_bounds(struct bounds *bounds)
{
	for (unsigned int i = 1; i < bounds->count; i++) {
		uint64_t upper = bounds->upper[i];
		unsigned int at = i;

		for (; at > 0 && bounds->upper[at - 1] > upper; at--)
			bounds->upper[at] = bounds->upper[at - 1];
		bounds->upper[at] = upper;
	}
}

void bounds_init_durations(struct bounds *ret_bounds, const uint64_t *thresholds_ns,
			   unsigned int threshold_count, unsigned int *ret_dropped)
{
	const unsigned int defaults = sizeof(default_bounds_ms) / sizeof(default_bounds_ms[0]);
	struct bounds bounds = { 0 };
	unsigned int dropped = 0;

	for (unsigned int i = 0; i < threshold_count; i++) {
		if (has_value(thresholds_ns, i, thresholds_ns[i]))
			continue;
		if (bounds.count < BOUNDS_MAX)
			bounds.upper[bounds.count++] = thresholds_ns[i];
		else
			dropped++;
	}
	for (unsigned int i = 0; i < defaults && bounds.count < BOUNDS_MAX; i++) {
		uint64_t upper = default_bounds_ms[i] * NS_PER_MS;

		if (!has_value(bounds.upper, bounds.count, upper))
			bounds.upper[bounds.count++] = upper;
	}
	sort_bounds(&bounds);
	*ret_bounds = bounds;
	if (ret_dropped)
		*ret_dropped = dropped;
}

void bounds_init_sizes(struct bounds *ret_bounds)
{
	memset(ret_bounds, 0, sizeof(*ret_bounds));
	ret_bounds->count = SIZE_BUCKETS - 1;
	for (unsigned int i = 0; i < ret_bounds->count; i++)
		ret_bounds->upper[i] = 1ULL << (SIZE_FIRST_SHIFT + SIZE_OCTAVE_SHIFT * i);
}
