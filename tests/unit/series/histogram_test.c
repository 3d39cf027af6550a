/* SPDX-License-Identifier: GPL-2.0-only */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "series/histogram.h"

#define MS	     1000000ULL
#define SAMPLE_COUNT 20011

static uint64_t random_state = 20250113;

static uint64_t random_bits(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

/* 0 < result < 1 */
static double random_unit(void)
{
	return ((double)(random_bits() >> 12) + 0.5) / (double)(1ULL << 52);
}

/* The definition in include/plimsoll/histogram.h in its words, for seconds = units * 2^-30. */
static unsigned int bucket_by_logarithm(long double units)
{
	long double steps;

	if (units <= 0)
		return 0;
	steps = ceill((log2l(units) - 30 + EXP_MIN_OCTAVE) * EXP_PER_OCTAVE);
	if (steps < 0)
		return 0;
	return steps < EXP_BUCKETS - 1 ? (unsigned int)steps : EXP_BUCKETS - 1;
}

static uint64_t units_of_ns(uint64_t ns)
{
	if (ns >= 1ULL << 38)
		ns = (1ULL << 38) - 1;
	return ns + ((ns * 77324) >> 20);
}

/* Exact in the kernel's unit; in seconds off by no more than the rounding of the unit. */
static void check_bucket(uint64_t ns)
{
	unsigned int bucket = exp_bucket_of_ns(ns);
	long double seconds = (long double)ns / 1e9L;
	/* One unit of rounding and the 8.3e-8 of the factor. */
	long double slack = seconds * 1e-6L + 0x1p-30L;

	if (bucket != bucket_by_logarithm(units_of_ns(ns)))
		fail_msg("%llu ns is in bucket %u, should be %u", (unsigned long long)ns, bucket,
			 bucket_by_logarithm(units_of_ns(ns)));
	assert_true(bucket < EXP_BUCKETS);
	if (bucket < EXP_BUCKETS - 1)
		assert_true(seconds - slack <= exp2l(bucket / 16.0L - EXP_MIN_OCTAVE));
	if (bucket > 0)
		assert_true(seconds + slack > exp2l((bucket - 1) / 16.0L - EXP_MIN_OCTAVE));
}

static void bucket_agrees_with_the_logarithm_for_random_durations(void **state)
{
	(void)state;
	for (int i = 0; i < 3000000; i++)
		check_bucket(random_bits() >> (24 + random_bits() % 36));
}

static void bucket_agrees_with_the_logarithm_around_every_bound(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < EXP_BUCKETS - 1; i++) {
		uint64_t bound_ns = (uint64_t)(histogram_bucket_upper_s(i) * 1e9);
		uint64_t spread = bound_ns / 1000000 + 50; /* covers the 8.3e-8 of the unit */

		for (uint64_t ns = bound_ns - spread; ns < bound_ns + spread;
		     ns += spread / 2000 + 1)
			check_bucket(ns);
	}
}

static void bucket_never_goes_down_and_reaches_each_one(void **state)
{
	unsigned int last = 0;

	(void)state;
	for (uint64_t ns = 0; ns < 1ULL << 40; ns += ns / 5000 + 1) {
		unsigned int bucket = exp_bucket_of_ns(ns);

		assert_in_range(bucket, last, last + 1);
		last = bucket;
	}
	assert_int_equal(last, EXP_BUCKETS - 1);
}

static void outermost_buckets_take_what_lies_beyond(void **state)
{
	(void)state;
	assert_int_equal(exp_bucket_of_ns(0), 0);
	assert_int_equal(exp_bucket_of_ns(1), 0);
	assert_int_equal(exp_bucket_of_ns(7629), 0);
	assert_int_equal(exp_bucket_of_ns(7631), 1);
	assert_int_equal(exp_bucket_of_ns(127999 * MS), EXP_BUCKETS - 2);
	assert_int_equal(exp_bucket_of_ns(128001 * MS), EXP_BUCKETS - 1);
	assert_int_equal(exp_bucket_of_ns(1ULL << 38), EXP_BUCKETS - 1);
	assert_int_equal(exp_bucket_of_ns(1ULL << 63), EXP_BUCKETS - 1);
	assert_int_equal(exp_bucket_of_ns(UINT64_MAX), EXP_BUCKETS - 1);
	assert_int_equal(histogram_bucket_of_ns(UINT64_MAX), EXP_BUCKETS - 1);
}

static void size_bucket_is_that_of_the_inclusive_bounds(void **state)
{
	struct bounds bounds;
	uint64_t around[] = { 0,
			      1,
			      2,
			      127,
			      128,
			      129,
			      UINT64_MAX / 2,
			      UINT64_MAX / 2 + 1,
			      UINT64_MAX / 2 + 2,
			      UINT64_MAX - 1,
			      UINT64_MAX };

	(void)state;
	bounds_init_sizes(&bounds);
	assert_int_equal(bounds.count, SIZE_BUCKETS - 1);
	assert_int_equal(bounds.upper[0], 1024);
	assert_int_equal(bounds.upper[6], 256 << 20);
	for (unsigned int i = 0; i < bounds.count; i++) {
		assert_int_equal(size_bucket_of(bounds.upper[i] - 1), i);
		assert_int_equal(size_bucket_of(bounds.upper[i]), i);
		assert_int_equal(size_bucket_of(bounds.upper[i] + 1), i + 1);
	}
	for (int round = 0; round < 1000000; round++) {
		uint64_t bytes = random_bits() >> (random_bits() % 64);
		unsigned int expected = 0;

		if (round < (int)(sizeof(around) / sizeof(around[0])))
			bytes = around[round];
		while (expected < bounds.count && bytes > bounds.upper[expected])
			expected++;
		assert_int_equal(size_bucket_of(bytes), expected);
	}
}

static uint64_t draw_constant(void)
{
	return 5 * MS;
}

static uint64_t draw_uniform(void)
{
	return (uint64_t)(random_unit() * 200e6) + 20000;
}

static uint64_t draw_lognormal(void)
{
	double normal = sqrt(-2 * log(random_unit())) * cos(6.283185307179586 * random_unit());

	return (uint64_t)(8e6 * exp(1.2 * normal)) + 10000;
}

static uint64_t draw_bimodal(void)
{
	double middle = random_unit() < 0.9 ? 1e6 : 900e6;

	return (uint64_t)(middle * (0.9 + 0.2 * random_unit()));
}

static uint64_t draw_long_tail(void)
{
	return (uint64_t)(50e3 * pow(random_unit(), -1 / 1.1)) % (100000 * MS) + 8000;
}

static int compare(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

	return a < b ? -1 : a > b;
}

static void check_quantiles(uint64_t (*draw)(void), const char *name)
{
	static const double quantiles[] = { 0, 0.01, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 1 };
	static uint64_t samples[SAMPLE_COUNT];
	struct histogram histogram = { 0 };
	struct bounds bounds;

	bounds_init_durations(&bounds, NULL, 0, NULL);
	for (int i = 0; i < SAMPLE_COUNT; i++) {
		samples[i] = draw();
		histogram_observe_ns(&histogram, &bounds, samples[i]);
	}
	qsort(samples, SAMPLE_COUNT, sizeof(samples[0]), compare);
	for (size_t i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]); i++) {
		double rank = ceil(quantiles[i] * SAMPLE_COUNT);
		double exact = (double)samples[rank < 1 ? 0 : (int)rank - 1];
		double got = histogram_quantile_ns(histogram.exp, histogram.exp_first,
						   histogram.exp_count, quantiles[i]);

		if (fabs(got / exact - 1) > 0.022)
			fail_msg("%s p%g: %.0f ns, exact %.0f ns", name, quantiles[i] * 100, got,
				 exact);
	}
	histogram_fini(&histogram);
}

static void quantiles_are_within_two_point_two_percent(void **state)
{
	(void)state;
	check_quantiles(draw_constant, "constant");
	check_quantiles(draw_uniform, "uniform");
	check_quantiles(draw_lognormal, "lognormal");
	check_quantiles(draw_bimodal, "bimodal");
	check_quantiles(draw_long_tail, "long tail");
}

static void quantile_is_the_value_of_the_nearest_rank(void **state)
{
	uint64_t exp[3] = { 7, 93, 0 };

	(void)state;
	assert_true(histogram_quantile_ns(exp, 100, 3, 0.07) == histogram_bucket_middle_ns(100));
	assert_true(histogram_quantile_ns(exp, 100, 3, 0.0701) == histogram_bucket_middle_ns(101));
	assert_true(histogram_quantile_ns(exp, 100, 3, 0) == histogram_bucket_middle_ns(100));
	assert_true(histogram_quantile_ns(exp, 100, 3, -1) == histogram_bucket_middle_ns(100));
	assert_true(histogram_quantile_ns(exp, 100, 3, 1) == histogram_bucket_middle_ns(101));
	assert_true(histogram_quantile_ns(exp, 100, 3, 7) == histogram_bucket_middle_ns(101));
}

static void quantile_of_nothing_is_not_a_number(void **state)
{
	uint64_t exp[4] = { 0 };

	(void)state;
	assert_true(isnan(histogram_quantile_ns(NULL, 0, 0, 0.5)));
	assert_true(isnan(histogram_quantile_ns(exp, 10, 4, 0.5)));
	exp[1] = 1;
	assert_true(isnan(histogram_quantile_ns(exp, 10, 4, NAN)));
	assert_false(isnan(histogram_quantile_ns(exp, 10, 4, 0.5)));
}

static void middle_of_a_bucket_lies_between_its_bounds(void **state)
{
	(void)state;
	for (unsigned int i = 1; i < EXP_BUCKETS - 1; i++) {
		double middle_s = histogram_bucket_middle_ns(i) / 1e9;

		assert_true(middle_s > histogram_bucket_upper_s(i - 1));
		assert_true(middle_s < histogram_bucket_upper_s(i));
		assert_int_equal(histogram_bucket_of_ns((uint64_t)(middle_s * 1e9)), i);
	}
	assert_true(histogram_bucket_upper_s(272) == 1.0);
	assert_true(histogram_bucket_upper_s(EXP_BUCKETS - 2) == 128);
	assert_true(isinf(histogram_bucket_upper_s(EXP_BUCKETS - 1)));
	assert_true(histogram_bucket_middle_ns(EXP_BUCKETS - 1) == 128e9);
	assert_in_range((uint64_t)histogram_bucket_middle_ns(0), 1, 7629);
}

static void adds_deltas_without_losing_or_inventing(void **state)
{
	static uint32_t exp[EXP_BUCKETS];
	static uint64_t expected[EXP_BUCKETS];
	uint32_t classic[BOUND_BUCKETS];
	struct histogram histogram = { 0 };
	uint64_t expected_count = 0, classic_count = 0;

	(void)state;
	for (int round = 0; round < 500; round++) {
		struct histogram_delta delta = { .sum = 3, .classic = classic, .exp = exp };
		unsigned int low = (unsigned int)(random_bits() % EXP_BUCKETS);
		unsigned int high = low + (unsigned int)(random_bits() % 20);

		high = high < EXP_BUCKETS ? high : EXP_BUCKETS - 1;
		memset(exp, 0, sizeof(exp));
		memset(classic, 0, sizeof(classic));
		for (unsigned int i = low; i <= high; i++) {
			exp[i] = (uint32_t)(random_bits() % 3);
			expected[i] += exp[i];
			delta.count += exp[i];
		}
		classic[round % BOUND_BUCKETS] = (uint32_t)delta.count;
		/* A range wider than what is in it, up to the whole, is as good. */
		delta.exp_low = (uint16_t)(round % 3 ? low : 0);
		delta.exp_high = (uint16_t)(round % 5 ? high : UINT16_MAX);
		expected_count += delta.count;
		assert_int_equal(histogram_add(&histogram, &delta), 0);
	}
	assert_int_equal(histogram.count, expected_count);
	assert_int_equal(histogram.sum, 1500);
	for (unsigned int i = 0; i < BOUND_BUCKETS; i++)
		classic_count += histogram.classic[i];
	assert_int_equal(classic_count, expected_count);
	assert_true(histogram.exp_first + histogram.exp_count <= EXP_BUCKETS);
	for (unsigned int i = 0; i < EXP_BUCKETS; i++) {
		unsigned int at = i - histogram.exp_first;
		uint64_t got = 0;

		if (i >= histogram.exp_first && at < histogram.exp_count)
			got = histogram.exp[at];
		assert_int_equal(got, expected[i]);
	}
	histogram_fini(&histogram);
	assert_null(histogram.exp);
}

static void stores_only_the_range_in_use(void **state)
{
	static uint32_t exp[EXP_BUCKETS];
	struct histogram histogram = { 0 };
	struct histogram_delta delta = {
		.count = 3, .sum = 3, .exp = exp, .exp_high = EXP_BUCKETS - 1
	};

	(void)state;
	assert_int_equal(histogram_add(&histogram, &delta), 0); /* nothing in it */
	assert_null(histogram.exp);
	exp[200] = 1;
	exp[210] = 2;
	assert_int_equal(histogram_add(&histogram, &delta), 0);
	assert_true(histogram.exp_count <= 24);
	delta.exp = NULL;
	assert_int_equal(histogram_add(&histogram, &delta), 0);
	assert_int_equal(histogram.count, 9);
	histogram_fini(&histogram);
}

static void counts_a_value_at_a_bound_within_it(void **state)
{
	uint64_t threshold_ns = 123456789;
	struct histogram histogram = { 0 };
	struct bounds bounds;
	unsigned int at = 0;

	(void)state;
	bounds_init_durations(&bounds, &threshold_ns, 1, NULL);
	while (bounds.upper[at] != threshold_ns)
		at++;
	histogram_observe_ns(&histogram, &bounds, threshold_ns - 1);
	histogram_observe_ns(&histogram, &bounds, threshold_ns);
	histogram_observe_ns(&histogram, &bounds, threshold_ns + 1);
	histogram_observe_ns(&histogram, &bounds, UINT64_MAX / 2);
	assert_int_equal(histogram.classic[at], 2);
	assert_int_equal(histogram.classic[at + 1], 1);
	assert_int_equal(histogram.classic[bounds.count], 1);
	assert_int_equal(histogram.count, 4);
	histogram_fini(&histogram);
}

static void assert_ascending(const struct bounds *bounds)
{
	assert_true(bounds->count <= BOUNDS_MAX);
	for (unsigned int i = 1; i < bounds->count; i++)
		assert_true(bounds->upper[i - 1] < bounds->upper[i]);
}

static bool has_bound(const struct bounds *bounds, uint64_t upper)
{
	for (unsigned int i = 0; i < bounds->count; i++)
		if (bounds->upper[i] == upper)
			return true;
	return false;
}

static void default_bounds_are_those_of_the_documentation(void **state)
{
	static const uint64_t expected_ms[] = { 5,    10,   25,	  50,	75,   100,  200,  250,
						300,  400,  500,  600,	750,  800,  1000, 1200,
						2000, 2500, 3000, 5000, 7500, 10000 };
	struct bounds bounds;
	unsigned int dropped = 99;

	(void)state;
	bounds_init_durations(&bounds, NULL, 0, &dropped);
	assert_int_equal(dropped, 0);
	assert_int_equal(bounds.count, 22);
	for (unsigned int i = 0; i < 22; i++)
		assert_int_equal(bounds.upper[i], expected_ms[i] * MS);
}

static void every_threshold_is_a_bound_before_any_default(void **state)
{
	uint64_t thresholds[BOUNDS_MAX - 3];
	struct bounds bounds;
	unsigned int dropped = 99;

	(void)state;
	for (unsigned int i = 0; i < BOUNDS_MAX - 3; i++)
		thresholds[i] = (BOUNDS_MAX - i) * 7 * MS + 1;
	bounds_init_durations(&bounds, thresholds, BOUNDS_MAX - 3, &dropped);
	assert_int_equal(dropped, 0);
	assert_int_equal(bounds.count, BOUNDS_MAX);
	assert_ascending(&bounds);
	for (unsigned int i = 0; i < BOUNDS_MAX - 3; i++)
		assert_true(has_bound(&bounds, thresholds[i]));
	assert_true(has_bound(&bounds, 500 * MS));
	assert_true(has_bound(&bounds, 100 * MS));
	assert_true(has_bound(&bounds, 1000 * MS));
}

static void equal_thresholds_take_one_bound(void **state)
{
	uint64_t thresholds[] = { 500 * MS, 42 * MS, 42 * MS, 500 * MS };
	struct bounds bounds;

	(void)state;
	bounds_init_durations(&bounds, thresholds, 4, NULL);
	assert_int_equal(bounds.count, 23);
	assert_ascending(&bounds);
	assert_true(has_bound(&bounds, 42 * MS));
}

static void counts_the_thresholds_that_do_not_fit(void **state)
{
	uint64_t thresholds[BOUNDS_MAX + 7];
	struct bounds bounds;
	unsigned int dropped = 0;

	(void)state;
	for (unsigned int i = 0; i < BOUNDS_MAX + 7; i++)
		thresholds[i] = (i + 1) * 11 * MS;
	thresholds[BOUNDS_MAX + 5] = thresholds[BOUNDS_MAX + 6]; /* dropped, but counted once */
	thresholds[BOUNDS_MAX + 4] = thresholds[0];		 /* fits, it is there */
	bounds_init_durations(&bounds, thresholds, BOUNDS_MAX + 7, &dropped);
	assert_int_equal(dropped, 5);
	assert_int_equal(bounds.count, BOUNDS_MAX);
	assert_ascending(&bounds);
	for (unsigned int i = 0; i < BOUNDS_MAX; i++)
		assert_true(has_bound(&bounds, thresholds[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bucket_agrees_with_the_logarithm_for_random_durations),
		cmocka_unit_test(bucket_agrees_with_the_logarithm_around_every_bound),
		cmocka_unit_test(bucket_never_goes_down_and_reaches_each_one),
		cmocka_unit_test(outermost_buckets_take_what_lies_beyond),
		cmocka_unit_test(size_bucket_is_that_of_the_inclusive_bounds),
		cmocka_unit_test(quantiles_are_within_two_point_two_percent),
		cmocka_unit_test(quantile_is_the_value_of_the_nearest_rank),
		cmocka_unit_test(quantile_of_nothing_is_not_a_number),
		cmocka_unit_test(middle_of_a_bucket_lies_between_its_bounds),
		cmocka_unit_test(adds_deltas_without_losing_or_inventing),
		cmocka_unit_test(stores_only_the_range_in_use),
		cmocka_unit_test(counts_a_value_at_a_bound_within_it),
		cmocka_unit_test(default_bounds_are_those_of_the_documentation),
		cmocka_unit_test(every_threshold_is_a_bound_before_any_default),
		cmocka_unit_test(equal_thresholds_take_one_bound),
		cmocka_unit_test(counts_the_thresholds_that_do_not_fit),
	};

	return cmocka_run_group_tests_name("histogram", tests, NULL, NULL);
}
