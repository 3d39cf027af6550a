/* SPDX-License-Identifier: GPL-2.0-only */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/clock.h"
#include "series/series.h"

#define LIMIT 23

static const struct series_spec requests_spec = {
	.name = "requests_total",
	.kind = SERIES_COUNTER,
	.labels = { "service_name", "route" },
	.help = "Requests.",
};
static const struct series_spec level_spec = { .name = "level", .kind = SERIES_GAUGE, .help = "?" };
static const struct series_spec duration_spec = {
	.name = "duration_seconds",
	.kind = SERIES_HISTOGRAM,
	.unit = UNIT_SECONDS,
	.labels = { "route", "service_name" },
	.help = "Durations.",
};

static struct series_store *store;
static struct family *requests;

static int open_store(void **state)
{
	(void)state;
	store = series_store_new(LIMIT);
	requests = series_family(store, &requests_spec);
	return requests ? 0 : -1;
}

static int close_store(void **state)
{
	(void)state;
	series_store_free(store);
	store = NULL;
	return 0;
}

static struct series *get(struct family *family, const char *first, const char *second)
{
	const char *values[] = { first, second };
	struct series *series = series_get(family, values);

	assert_non_null(series);
	return series;
}

static struct series *get_numbered(struct family *family, unsigned int number)
{
	char route[16];

	snprintf(route, sizeof(route), "/r%u", number);
	return get(family, "shop", route);
}

/* The lists, the counts and the map tell the same story. */
static void check_store(void)
{
	struct family *family;
	size_t all = 0;

	family_for_each (store, family) {
		struct series *series, *prev = NULL;
		size_t count = 0, others = 0;

		series_for_each (family, series) {
			assert_ptr_equal(series->prev, prev);
			assert_ptr_equal(series->family, family);
			assert_ptr_equal(hashmap_find(&family->by_labels, series->labels,
						      series->labels_size),
					 series);
			others += series->is_other;
			prev = series;
			count++;
		}
		assert_ptr_equal(family->last, prev);
		assert_int_equal(family->count, count);
		assert_int_equal(family->by_labels.count, count);
		assert_int_equal(others, family->other ? 1 : 0);
		all += count;
	}
	assert_int_equal(store->count, all);
}

static void the_same_spec_gives_the_same_family_in_order_of_declaration(void **state)
{
	struct family *level = series_family(store, &level_spec);

	(void)state;
	assert_ptr_equal(series_family(store, &requests_spec), requests);
	assert_ptr_equal(series_family(store, &level_spec), level);
	assert_ptr_equal(store->first, requests);
	assert_ptr_equal(requests->next, level);
	assert_ptr_equal(store->last, level);
	assert_null(level->next);
}

static void the_same_labels_give_the_same_series(void **state)
{
	struct series *a = get(requests, "shop", "/a");
	struct series *b = get(requests, "shop", "/b");

	(void)state;
	assert_ptr_not_equal(a, b);
	assert_ptr_equal(get(requests, "shop", "/a"), a);
	assert_ptr_equal(get(requests, "shop", "/b"), b);
	assert_string_equal(series_label(b, 0), "shop");
	assert_string_equal(series_label(b, 1), "/b");
	assert_string_equal(series_label(b, 2), "");
	assert_string_equal(series_label(b, 99), "");
	check_store();
}

static void labels_do_not_run_into_each_other(void **state)
{
	(void)state;
	assert_ptr_not_equal(get(requests, "ab", "c"), get(requests, "a", "bc"));
	assert_ptr_not_equal(get(requests, "", "x"), get(requests, "x", ""));
	assert_ptr_equal(get(requests, NULL, "x"), get(requests, "", "x"));
	check_store();
}

static void a_family_without_labels_has_one_series(void **state)
{
	struct family *level = series_family(store, &level_spec);
	struct series *series = series_get(level, NULL);

	(void)state;
	assert_non_null(series);
	assert_ptr_equal(series_get(level, NULL), series);
	assert_string_equal(series_label(series, 0), "");
	series_set(series, 3);
	series_add(series, -1.5);
	assert_true(series->value == 1.5);
	check_store();
}

static void a_counter_never_goes_down(void **state)
{
	struct series *series = get(requests, "shop", "/");

	(void)state;
	series_add(series, 2);
	series_add(series, -1);
	series_add(series, NAN);
	series_add(series, 0.5);
	assert_true(series->value == 2.5);
}

static void cuts_long_label_values_in_front_of_a_character(void **state)
{
	char value[400], twin[400];
	struct series *series;

	(void)state;
	memset(value, 'x', sizeof(value));
	value[126] = (char)0xc3;
	value[127] = (char)0xbc;
	value[399] = '\0';
	memcpy(twin, value, sizeof(value));
	twin[300] = 'y';
	series = get(requests, value, value);
	assert_int_equal(strlen(series_label(series, 0)), 126);
	assert_int_equal(strlen(series_label(series, 1)), 126);
	assert_ptr_equal(get(requests, twin, twin), series);
	assert_int_equal(series_remove_labelled(store, "service_name", value), 1);
	check_store();
}

static void what_is_over_the_limit_goes_to_one_other_series(void **state)
{
	struct series *other = NULL;

	(void)state;
	for (unsigned int i = 0; i < LIMIT + 7; i++) {
		struct series *series = get_numbered(requests, i);

		assert_int_equal(series->is_other, i >= LIMIT);
		series_add(series, 1);
		if (series->is_other)
			other = series;
	}
	assert_non_null(other);
	assert_true(other->value == 7);
	assert_int_equal(requests->overflowed, 7);
	assert_string_equal(series_label(other, 0), "other");
	assert_string_equal(series_label(other, 1), "other");
	assert_int_equal(requests->count, LIMIT + 1);
	/* Those that are in stay in. */
	assert_false(get_numbered(requests, LIMIT - 1)->is_other);
	assert_int_equal(requests->overflowed, 7);
	check_store();
}

static void other_asked_for_by_name_is_the_overflow_series(void **state)
{
	struct series *named = get(requests, "other", "other");

	(void)state;
	series_add(named, 5);
	for (unsigned int i = 0; i < LIMIT + 3; i++)
		series_add(get_numbered(requests, i), 1);
	assert_true(named->is_other);
	assert_ptr_equal(requests->other, named);
	assert_ptr_equal(get(requests, "other", "other"), named);
	assert_true(named->value >= 8);
	check_store();
}

static void a_limit_of_none_still_counts_in_other(void **state)
{
	struct series_store *tiny = series_store_new(0);
	struct series *series;

	(void)state;
	series = get(series_family(tiny, &requests_spec), "shop", "/");
	assert_true(series->is_other);
	series = series_get(series_family(tiny, &level_spec), NULL);
	assert_non_null(series);
	assert_ptr_equal(series_get(series_family(tiny, &level_spec), NULL), series);
	series_store_free(tiny);
}

static void a_removed_series_makes_room_and_starts_again_at_zero(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < LIMIT; i++)
		series_add(get_numbered(requests, i), 1);
	series_remove(get_numbered(requests, 0));	  /* the first */
	series_remove(get_numbered(requests, LIMIT - 1)); /* the last */
	series_remove(get_numbered(requests, 11));
	check_store();
	assert_int_equal(requests->count, LIMIT - 3);
	assert_true(get_numbered(requests, 11)->value == 0);
	assert_false(get_numbered(requests, 100)->is_other);
	assert_false(get_numbered(requests, 101)->is_other);
	assert_true(get_numbered(requests, 102)->is_other);
	series_remove(requests->other);
	assert_null(requests->other);
	assert_true(get_numbered(requests, 103)->is_other);
	check_store();
}

static void removes_all_series_of_a_service_in_every_family(void **state)
{
	struct family *durations = series_family(store, &duration_spec);

	(void)state;
	series_get(series_family(store, &level_spec), NULL);
	for (unsigned int i = 0; i < 5; i++) {
		get_numbered(requests, i);
		get_numbered(durations, i); /* there "shop" is the route */
	}
	get(requests, "bank", "shop");
	get(durations, "/", "shop");
	get(durations, "/", "bank");
	assert_int_equal(series_remove_labelled(store, "service_name", "shop"), 6);
	assert_int_equal(requests->count, 1);
	assert_int_equal(durations->count, 6);
	assert_int_equal(series_remove_labelled(store, "service_name", "shop"), 0);
	assert_int_equal(series_remove_labelled(store, "no_such_label", "shop"), 0);
	check_store();
}

static void the_overflow_series_outlives_a_service_called_other(void **state)
{
	(void)state;
	for (unsigned int i = 0; i < LIMIT - 1; i++)
		get_numbered(requests, i);
	get(requests, "other", "/");
	series_add(get_numbered(requests, LIMIT), 3);
	assert_int_equal(series_remove_labelled(store, "service_name", "other"), 1);
	assert_non_null(requests->other);
	assert_true(requests->other->value == 3);
	check_store();
}

static void stays_consistent_over_random_use(void **state)
{
	unsigned int seed = 11;

	(void)state;
	for (int step = 0; step < 20000; step++) {
		struct series *series = get_numbered(requests, (unsigned int)rand_r(&seed) % 40);

		if (rand_r(&seed) % 3 == 0)
			series_remove(series);
		if (step % 500 == 0)
			check_store();
	}
	check_store();
}

static void histograms_keep_what_deltas_add(void **state)
{
	static const uint32_t classic[BOUND_BUCKETS] = { [4] = 3 };
	static const uint32_t exp[EXP_BUCKETS] = { [150] = 1, [160] = 2 };
	struct histogram_delta delta = { .count = 3,
					 .sum = 700,
					 .classic = classic,
					 .exp = exp,
					 .exp_low = 150,
					 .exp_high = 160 };
	struct series *series = get(series_family(store, &duration_spec), "/", "shop");
	struct histogram *histogram = series->histogram;

	(void)state;
	series_add_histogram(series, &delta);
	series_add_histogram(series, &delta);
	assert_int_equal(histogram->count, 6);
	assert_int_equal(histogram->sum, 1400);
	assert_int_equal(histogram->classic[4], 6);
	assert_int_equal(histogram->exp[160 - histogram->exp_first], 4);
	assert_int_equal(store->short_adds, 0);
	assert_null(get(requests, "shop", "/")->histogram);
	series_remove(series);
}

static void a_look_up_stamps_the_series(void **state)
{
	uint64_t before_ns = clock_coarse_ns();
	struct series *series = get(requests, "shop", "/");

	(void)state;
	assert_in_range(series->touched_ns, before_ns, clock_monotonic_ns());
}

static void freeing_no_store_is_fine(void **state)
{
	(void)state;
	series_store_free(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_store, close_store)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_same_spec_gives_the_same_family_in_order_of_declaration),
		TEST(the_same_labels_give_the_same_series),
		TEST(labels_do_not_run_into_each_other),
		TEST(a_family_without_labels_has_one_series),
		TEST(a_counter_never_goes_down),
		TEST(cuts_long_label_values_in_front_of_a_character),
		TEST(what_is_over_the_limit_goes_to_one_other_series),
		TEST(other_asked_for_by_name_is_the_overflow_series),
		TEST(a_limit_of_none_still_counts_in_other),
		TEST(a_removed_series_makes_room_and_starts_again_at_zero),
		TEST(removes_all_series_of_a_service_in_every_family),
		TEST(the_overflow_series_outlives_a_service_called_other),
		TEST(stays_consistent_over_random_use),
		TEST(histograms_keep_what_deltas_add),
		TEST(a_look_up_stamps_the_series),
		TEST(freeing_no_store_is_fine),
	};

	return cmocka_run_group_tests_name("series", tests, NULL, NULL);
}
