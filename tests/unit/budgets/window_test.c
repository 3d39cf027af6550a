/* SPDX-License-Identifier: GPL-2.0-only */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>

#include "budgets/window.h"
#include "unit/budgets/fixture.h"

static struct bounds bounds;
static struct window_memory memory;

static int set_up(void **state)
{
	const uint64_t thresholds[] = { 500 * MS };

	(void)state;
	bounds_init_durations(&bounds, thresholds, 1, NULL);
	memory = (struct window_memory){ .limit_bytes = 1 << 20 };
	return 0;
}

static void add(struct window *window, uint16_t status, uint64_t duration_ns, uint32_t count)
{
	uint32_t classic[BOUND_BUCKETS], exp[EXP_BUCKETS];
	struct request_delta delta = { .status = status };

	fixture_fill(&bounds, duration_ns, count, classic, exp, &delta.duration);
	window_add(window, &delta);
}

static void assert_empty(const struct window *window)
{
	unsigned int i;

	assert_int_equal(window->requests, 0);
	assert_int_equal(window->errors, 0);
	for (i = 0; i < WINDOW_SLOTS; i++)
		assert_int_equal(window->sum[i], 0);
}

static void forgets_each_second_when_its_time_has_passed(void **state)
{
	struct window *window = window_new(&memory, 30, 99);
	uint64_t second;

	(void)state;
	assert_non_null(window);
	for (second = 100; second < 110; second++) {
		add(window, 200, 10 * MS, (uint32_t)(second - 99));
		add(window, 503, 900 * MS, 2);
		window_tick(window, second);
	}
	assert_int_equal(window->requests, 55 + 20);
	assert_int_equal(window->errors, 20);
	window_tick(window, 129);
	assert_int_equal(window->requests, 55 + 20);
	for (second = 130; second < 140; second++) {
		uint64_t gone = second - 129;

		window_tick(window, second);
		assert_int_equal(window->requests, 55 - gone * (gone + 1) / 2 + 20 - 2 * gone);
		assert_int_equal(window->errors, 20 - 2 * gone);
	}
	assert_empty(window);
	window_free(window);
	assert_int_equal(memory.used_bytes, 0);
}

static void counts_the_running_second_before_its_tick(void **state)
{
	struct window *window = window_new(&memory, 5, 0);

	(void)state;
	add(window, 200, MS, 7);
	assert_int_equal(window->requests, 7);
	window_tick(window, 1);
	assert_int_equal(window->requests, 7);
	window_tick(window, 5);
	assert_int_equal(window->requests, 7);
	window_tick(window, 6);
	assert_empty(window);
	window_free(window);
}

static void is_empty_after_a_gap_longer_than_itself(void **state)
{
	struct window *window = window_new(&memory, 10, 0);
	uint64_t second;

	(void)state;
	for (second = 1; second <= 25; second++) {
		add(window, 200, second * MS, 3);
		window_tick(window, second);
	}
	assert_int_equal(window->requests, 30);
	window_tick(window, 1000000);
	assert_empty(window);
	window_free(window);
	assert_int_equal(memory.used_bytes, 0);
}

static void never_goes_back_in_time(void **state)
{
	struct window *window = window_new(&memory, 10, 50);

	(void)state;
	add(window, 200, MS, 3);
	window_tick(window, 51);
	window_tick(window, 12);
	window_tick(window, 51);
	assert_int_equal(window->second, 51);
	assert_int_equal(window->requests, 3);
	window_free(window);
}

static int compare_u64(const void *a, const void *b)
{
	const uint64_t *left = a, *right = b;

	return (*left > *right) - (*left < *right);
}

/* Ground truth: every duration of the last 30 seconds, sorted. */
static void quantiles_agree_with_sorted_values_while_sliding(void **state)
{
	enum { PER_SECOND = 211, SECONDS = 75, LENGTH = 30 };
	static uint64_t durations[SECONDS * PER_SECOND], sorted[LENGTH * PER_SECOND];
	static const double quantiles[] = { 0.5, 0.95, 0.99 };
	struct window *window = window_new(&memory, LENGTH, 0);
	unsigned int second, i;

	(void)state;
	srand(23);
	for (second = 0; second < SECONDS; second++) {
		for (i = 0; i < PER_SECOND; i++) {
			/* Log-normal-like between 100 us and 10 s, drifting upward. */
			double exponent = 5 + 4.0 * rand() / RAND_MAX + second * 0.013;
			uint64_t *duration = &durations[second * PER_SECOND + i];

			*duration = (uint64_t)pow(10, exponent);
			add(window, 200, *duration, 1);
		}
		window_tick(window, second + 1);
		if (second + 1 < LENGTH)
			continue;
		memcpy(sorted, durations + (second + 1 - LENGTH) * PER_SECOND, sizeof(sorted));
		qsort(sorted, LENGTH * PER_SECOND, sizeof(*sorted), compare_u64);
		for (i = 0; i < 3; i++) {
			size_t rank = (size_t)ceil(quantiles[i] * LENGTH * PER_SECOND);
			double truth = (double)sorted[rank - 1];
			double value = window_quantile_ns(window, &bounds, quantiles[i]);

			assert_true(fabs(value - truth) <= 0.025 * truth);
		}
	}
	window_free(window);
	assert_int_equal(memory.used_bytes, 0);
}

static void counts_exactly_what_lies_above_a_bound(void **state)
{
	struct window *window = window_new(&memory, 30, 0);
	uint64_t above = 77;

	(void)state;
	add(window, 200, 500 * MS, 190);
	add(window, 200, 500 * MS + 1, 10);
	assert_true(window_above(window, &bounds, 500.0 * MS, &above));
	assert_int_equal(above, 10);
	assert_true(window_above(window, &bounds, 500.0 * MS - 0.4, &above));
	assert_int_equal(above, 10);
	above = 77;
	assert_false(window_above(window, &bounds, 501.0 * MS, &above));
	assert_int_equal(above, 77);
	window_free(window);
}

static void does_not_claim_exactness_without_classic_counts(void **state)
{
	struct window *window = window_new(&memory, 2, 0);
	struct request_delta delta = { .status = 200, .duration = { .count = 1 } };
	uint64_t above;

	(void)state;
	add(window, 200, MS, 5);
	window_add(window, &delta);
	assert_false(window_above(window, &bounds, 500.0 * MS, &above));
	window_tick(window, 1);
	add(window, 200, MS, 5);
	window_tick(window, 3);
	assert_true(window_above(window, &bounds, 500.0 * MS, &above));
	window_free(window);
}

static void tells_a_bound_when_only_classic_counts_came(void **state)
{
	struct window *window = window_new(&memory, 2, 0);
	uint32_t classic[BOUND_BUCKETS] = { 0 };
	struct request_delta delta = { .status = 200,
				       .duration = { .count = 4, .classic = classic } };

	(void)state;
	assert_true(isnan(window_quantile_ns(window, &bounds, 0.5)));
	classic[2] = 4;
	window_add(window, &delta);
	assert_true(window_quantile_ns(window, &bounds, 0.95) == (double)bounds.upper[2]);
	window_free(window);
}

static void without_memory_keeps_counts_and_says_what_it_lost(void **state)
{
	struct window *window = window_new(&memory, 3, 0);
	uint64_t above;

	(void)state;
	add(window, 500, 900 * MS, 6);
	memory.limit_bytes = memory.used_bytes;
	window_tick(window, 1);
	assert_int_equal(memory.refused, 1);
	assert_int_equal(window->requests, 6);
	assert_int_equal(window->errors, 6);
	assert_false(window_above(window, &bounds, 500.0 * MS, &above));
	assert_true(isnan(window_quantile_ns(window, &bounds, 0.5)));
	assert_null(window_new(&memory, 3, 0));
	assert_int_equal(errno, ENOMEM);
	window_tick(window, 4);
	assert_empty(window);
	window_free(window);
	assert_int_equal(memory.used_bytes, 0);
}

static void takes_hostile_ranges_and_lengths(void **state)
{
	uint32_t exp[EXP_BUCKETS] = { [EXP_BUCKETS - 1] = 3 };
	struct request_delta delta = {
		.status = 200,
		.duration = { .count = 3, .exp = exp, .exp_low = 0, .exp_high = UINT16_MAX },
	};
	struct window *window = window_new(&memory, UINT32_MAX, 0);

	(void)state;
	assert_non_null(window);
	assert_int_equal(window->length_s, WINDOW_SECONDS_MAX);
	window_add(window, &delta);
	delta.duration.exp_low = 9;
	delta.duration.exp_high = 3;
	window_add(window, &delta);
	exp[EXP_BUCKETS - 1] = UINT32_MAX;
	delta.duration.exp_high = UINT16_MAX;
	window_add(window, &delta);
	window_tick(window, 1);
	window_tick(window, 2 + WINDOW_SECONDS_MAX);
	assert_empty(window);
	window_free(window);
	window = window_new(&memory, 0, 0);
	assert_int_equal(window->length_s, 1);
	window_free(window);
	window_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(forgets_each_second_when_its_time_has_passed, set_up),
		cmocka_unit_test_setup(counts_the_running_second_before_its_tick, set_up),
		cmocka_unit_test_setup(is_empty_after_a_gap_longer_than_itself, set_up),
		cmocka_unit_test_setup(never_goes_back_in_time, set_up),
		cmocka_unit_test_setup(quantiles_agree_with_sorted_values_while_sliding, set_up),
		cmocka_unit_test_setup(counts_exactly_what_lies_above_a_bound, set_up),
		cmocka_unit_test_setup(does_not_claim_exactness_without_classic_counts, set_up),
		cmocka_unit_test_setup(tells_a_bound_when_only_classic_counts_came, set_up),
		cmocka_unit_test_setup(without_memory_keeps_counts_and_says_what_it_lost, set_up),
		cmocka_unit_test_setup(takes_hostile_ranges_and_lengths, set_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
