/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "config/value.h"

#define CHECK_NEAR(a, b) assert_true((a) - (b) < 1e-9 && (b) - (a) < 1e-9)

static double seconds_of(const char *text)
{
	double seconds = -1;

	assert_int_equal(value_duration_s(text, 1, &seconds), 0);
	return seconds;
}

static void times_are_read_the_way_people_write_them(void **state)
{
	double seconds = 7;

	(void)state;
	CHECK_NEAR(seconds_of("60 seconds"), 60);
	CHECK_NEAR(seconds_of("30s"), 30);
	CHECK_NEAR(seconds_of("500ms"), 0.5);
	CHECK_NEAR(seconds_of("250 us"), 0.00025);
	CHECK_NEAR(seconds_of("5m"), 300);
	CHECK_NEAR(seconds_of("1.5 h"), 5400);
	CHECK_NEAR(seconds_of(" 2e1 "), 20);
	CHECK_NEAR(seconds_of("1 Minute"), 60);
	assert_int_equal(value_duration_s("250", 1e-3, &seconds), 0);
	CHECK_NEAR(seconds, 0.25);
}

static void nonsense_is_refused_and_writes_nothing(void **state)
{
	static const char *const texts[] = { "",      "s",    "1_000", "nan",	"inf",
					     "0x10",  "1..2", "1.",    ".5",	"5 fortnights",
					     "1 s 2", "--1",  "1e",    "1e999", "five",
					     "1,5",   "5 %" };
	double number = 7;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		assert_int_equal(value_duration_s(texts[i], 1, &number), -EINVAL);
		assert_int_equal(value_number(texts[i], &number), -EINVAL);
		CHECK_NEAR(number, 7);
	}
}

static void shares_rates_and_sizes_know_their_units(void **state)
{
	double number;
	uint64_t bytes;

	(void)state;
	assert_int_equal(value_percent("0.5%", &number), 0);
	CHECK_NEAR(number, 0.5);
	assert_int_equal(value_percent("1", &number), 0);
	CHECK_NEAR(number, 1);
	assert_int_equal(value_percent("5 ms", &number), -EINVAL);
	assert_int_equal(value_rate("100/s", &number), 0);
	CHECK_NEAR(number, 100);
	assert_int_equal(value_rate("25 rps", &number), 0);
	CHECK_NEAR(number, 25);
	assert_int_equal(value_bytes("1 MiB", &bytes), 0);
	assert_int_equal(bytes, 1048576);
	assert_int_equal(value_bytes("64k", &bytes), 0);
	assert_int_equal(bytes, 65536);
	assert_int_equal(value_bytes("0.3", &bytes), -EINVAL);
	assert_int_equal(value_bytes("-1", &bytes), -EINVAL);
	assert_int_equal(value_bytes("1e30", &bytes), -EINVAL);
}

static void switches_have_two_sides(void **state)
{
	bool on = false;

	(void)state;
	assert_int_equal(value_boolean("true", &on), 0);
	assert_true(on);
	assert_int_equal(value_boolean("0", &on), 0);
	assert_false(on);
	assert_int_equal(value_boolean("Yes", &on), 0);
	assert_true(on);
	assert_int_equal(value_boolean("maybe", &on), -EINVAL);
	assert_int_equal(value_boolean("", &on), -EINVAL);
}

static void edits_are_counted_up_to_a_bound(void **state)
{
	(void)state;
	assert_int_equal(value_edit_distance("window", "window", 2), 0);
	assert_int_equal(value_edit_distance("windw", "window", 2), 1);
	assert_int_equal(value_edit_distance("widnow", "window", 2), 2);
	assert_int_equal(value_edit_distance("w", "window", 2), 3);
	assert_int_equal(value_edit_distance("", "ab", 2), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(times_are_read_the_way_people_write_them),
		cmocka_unit_test(nonsense_is_refused_and_writes_nothing),
		cmocka_unit_test(shares_rates_and_sizes_know_their_units),
		cmocka_unit_test(switches_have_two_sides),
		cmocka_unit_test(edits_are_counted_up_to_a_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
