/* SPDX-License-Identifier: GPL-2.0-only */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "exporters/number.h"

static const char *as_text(size_t length, char *bytes)
{
	assert_true(length < NUMBER_MAX);
	bytes[length] = '\0';
	return bytes;
}

static void unsigned_numbers_are_written_whole(void **state)
{
	char text[NUMBER_MAX + 1];

	(void)state;
	assert_string_equal(as_text(number_unsigned(text, 0), text), "0");
	assert_string_equal(as_text(number_unsigned(text, 10), text), "10");
	assert_string_equal(as_text(number_unsigned(text, UINT64_MAX), text),
			    "18446744073709551615");
}

static void nanoseconds_become_exact_seconds(void **state)
{
	char text[NUMBER_MAX + 1];

	(void)state;
	assert_string_equal(as_text(number_seconds(text, 0), text), "0");
	assert_string_equal(as_text(number_seconds(text, 1), text), "0.000000001");
	assert_string_equal(as_text(number_seconds(text, 5000000), text), "0.005");
	assert_string_equal(as_text(number_seconds(text, 1000000000), text), "1");
	assert_string_equal(as_text(number_seconds(text, 2500000000), text), "2.5");
	assert_string_equal(as_text(number_seconds(text, UINT64_MAX), text),
			    "18446744073.709551615");
}

static void doubles_are_short_and_read_back_the_same(void **state)
{
	static const struct {
		double value;
		const char *text;
	} cases[] = {
		{ 0, "0" },
		{ -0.0, "0" },
		{ 1, "1" },
		{ -1, "-1" },
		{ 0.1, "0.1" },
		{ 0.30000000000000004, "0.30000000000000004" },
		{ 1e20, "100000000000000000000" },
		{ 1e21, "1e+21" },
		{ 0.0001, "0.0001" },
		{ 0.00001, "1e-05" },
		{ 123.5, "123.5" },
		{ NAN, "NaN" },
		{ INFINITY, "+Inf" },
		{ -INFINITY, "-Inf" },
	};
	static const double back[] = { DBL_MAX, -DBL_MAX, DBL_MIN,    5e-324,
				       M_PI,	1.0 / 3,  2e15 + 0.25 };
	char text[NUMBER_MAX + 1];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(as_text(number_double(text, cases[i].value), text),
				    cases[i].text);
	for (size_t i = 0; i < sizeof(back) / sizeof(back[0]); i++)
		assert_true(strtod(as_text(number_double(text, back[i]), text), NULL) == back[i]);
}

static void bucket_bounds_are_canonical(void **state)
{
	static const struct {
		double value;
		const char *text;
	} cases[] = {
		{ 0, "0.0" },	      { 0.001, "0.001" },   { 1, "1.0" },
		{ 10, "10.0" },	      { 1000, "1000.0" },   { 100000, "100000.0" },
		{ 1000000, "1e+06" }, { 1e10, "1e+10" },    { 0.0001, "0.0001" },
		{ 0.00001, "1e-05" }, { 2.5, "2.5" },	    { 2097152, "2.097152e+06" },
		{ 0.0025, "0.0025" }, { 32768, "32768.0" }, { INFINITY, "+Inf" },
	};
	char text[NUMBER_MAX + 1];

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_string_equal(as_text(number_canonical(text, cases[i].value), text),
				    cases[i].text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unsigned_numbers_are_written_whole),
		cmocka_unit_test(nanoseconds_become_exact_seconds),
		cmocka_unit_test(doubles_are_short_and_read_back_the_same),
		cmocka_unit_test(bucket_bounds_are_canonical),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
