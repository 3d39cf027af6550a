/* SPDX-License-Identifier: GPL-2.0-only */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "base/clock.h"

static void writes_a_wall_time_as_utc(void **state)
{
	char text[21];

	(void)state;
	clock_format_utc(1736782245 * NS_PER_S + 999999999, text, sizeof(text));
	assert_string_equal(text, "2025-01-13T15:30:45Z");
	clock_format_utc(0, text, sizeof(text));
	assert_string_equal(text, "1970-01-01T00:00:00Z");
	clock_format_utc(1709164800 * NS_PER_S, text, sizeof(text));
	assert_string_equal(text, "2024-02-29T00:00:00Z");
}

static void leaves_an_empty_text_where_the_time_does_not_fit(void **state)
{
	char text[21] = "untouched";

	(void)state;
	clock_format_utc(0, text, 20);
	assert_string_equal(text, "");
	strcpy(text, "untouched");
	clock_format_utc(0, text, 0);
	assert_string_equal(text, "untouched");
}

static void counts_monotonic_time_in_nanoseconds(void **state)
{
	struct timespec pause = { .tv_nsec = 20 * NS_PER_MS };
	uint64_t start_ns = clock_monotonic_ns();
	uint64_t slept_ns;

	(void)state;
	nanosleep(&pause, NULL);
	slept_ns = clock_monotonic_ns() - start_ns;
	assert_in_range(slept_ns, 20 * NS_PER_MS, 2 * NS_PER_S);
}

static void coarse_clock_is_the_monotonic_one_of_the_last_tick(void **state)
{
	uint64_t coarse_ns = clock_coarse_ns();
	uint64_t now_ns = clock_monotonic_ns();

	(void)state;
	assert_true(coarse_ns <= now_ns);
	assert_true(now_ns - coarse_ns < NS_PER_S);
}

static void wall_clock_agrees_with_the_one_of_libc(void **state)
{
	time_t before = time(NULL);
	uint64_t wall_s = clock_wall_ns() / NS_PER_S;

	(void)state;
	/* time() is coarse and may lag behind by a tick. */
	assert_in_range(wall_s, (uint64_t)before, (uint64_t)before + 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_a_wall_time_as_utc),
		cmocka_unit_test(leaves_an_empty_text_where_the_time_does_not_fit),
		cmocka_unit_test(counts_monotonic_time_in_nanoseconds),
		cmocka_unit_test(coarse_clock_is_the_monotonic_one_of_the_last_tick),
		cmocka_unit_test(wall_clock_agrees_with_the_one_of_libc),
	};

	return cmocka_run_group_tests_name("clock", tests, NULL, NULL);
}
