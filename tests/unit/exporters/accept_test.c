/* SPDX-License-Identifier: GPL-2.0-only */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "exporters/accept.h"

static void splits_a_list_into_weighted_names(void **state)
{
	const char *cursor =
		" , text/plain ; version=\"0.0.4\" ;q=0.25,\t*/* ; q=0.001 ,x;q=0.1234";
	struct accept_item item;

	(void)state;
	assert_true(accept_next(&cursor, &item));
	assert_true(accept_is(&item, "TEXT/plain"));
	assert_int_equal(item.quality, 250);
	assert_int_equal(item.version_length, 5);
	assert_memory_equal(item.version, "0.0.4", 5);
	assert_true(accept_next(&cursor, &item));
	assert_true(accept_is(&item, "*/*"));
	assert_int_equal(item.quality, 1);
	assert_null(item.version);
	assert_true(accept_next(&cursor, &item));
	assert_int_equal(item.quality, 0); /* four digits are malformed */
	assert_false(accept_next(&cursor, &item));
}

static void gzip_is_used_only_where_it_is_welcome(void **state)
{
	static const struct {
		const char *header;
		bool gzip;
	} cases[] = {
		{ NULL, false },
		{ "", false },
		{ "gzip", true },
		{ "deflate, GZIP;q=1.0, *;q=0.5", true },
		{ "x-gzip", true },
		{ "*", true },
		{ "*;q=0", false },
		{ "gzip;q=0", false },
		{ "gzip;q=0.000", false },
		{ "gzip; q=0.001", true },
		{ "gzip;q=0, *", false },
		{ "identity", false },
		{ "identity, gzip;q=0.5", false },
		{ "gzip;q=0.5, identity;q=0.5", true },
		{ "identity;q=0, gzip;q=0.1", true },
		{ "br, deflate", false },
		{ "gzipped", false },
		{ "gzip;q=", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (accept_gzip(cases[i].header) != cases[i].gzip)
			fail_msg("Accept-Encoding: %s",
				 cases[i].header ? cases[i].header : "(none)");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(splits_a_list_into_weighted_names),
		cmocka_unit_test(gzip_is_used_only_where_it_is_welcome),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
