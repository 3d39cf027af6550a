/* SPDX-License-Identifier: GPL-2.0-only */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/text.h"

#define U_FFFD "\xef\xbf\xbd"

static void assert_json(const char *string, const char *expected)
{
	struct text text = { 0 };

	text_append_json(&text, string);
	assert_false(text.failed);
	assert_string_equal(text.bytes, expected);
	text_fini(&text);
}

static void assert_printable(const char *string, const char *expected)
{
	struct text text = { 0 };

	text_append_printable(&text, string);
	assert_false(text.failed);
	assert_string_equal(text.length ? text.bytes : "", expected);
	text_fini(&text);
}

static void grows_over_any_number_of_appends(void **state)
{
	struct text text = { 0 };

	(void)state;
	for (int i = 0; i < 10007; i++)
		text_append(&text, "ab", 2);
	assert_int_equal(text.length, 20014);
	assert_int_equal(strlen(text.bytes), 20014);
	assert_true(text.capacity > text.length);
	assert_int_equal(text.bytes[20013], 'b');
	text_fini(&text);
	assert_null(text.bytes);
	assert_int_equal(text.capacity, 0);
}

static void terminates_after_an_empty_append(void **state)
{
	struct text text = { 0 };

	(void)state;
	text_append(&text, NULL, 0);
	assert_string_equal(text.bytes, "");
	text_fini(&text);
}

static void keeps_bytes_behind_a_nul(void **state)
{
	struct text text = { 0 };

	(void)state;
	text_append(&text, "a\0b", 3);
	assert_int_equal(text.length, 3);
	assert_memory_equal(text.bytes, "a\0b", 4);
	text_fini(&text);
}

static void prints_at_every_length_around_the_capacity(void **state)
{
	char expected[300];

	(void)state;
	for (int width = 1; width < 280; width++) {
		struct text text = { 0 };

		text_append_string(&text, "x");
		text_printf(&text, "%*d", width, 7);
		snprintf(expected, sizeof(expected), "x%*d", width, 7);
		assert_string_equal(text.bytes, expected);
		assert_int_equal(text.length, strlen(expected));
		text_fini(&text);
	}
}

static void keeps_the_memory_when_cleared(void **state)
{
	struct text text = { 0 };
	size_t capacity;

	(void)state;
	text_printf(&text, "%0500d", 1);
	capacity = text.capacity;
	text_clear(&text);
	assert_int_equal(text.length, 0);
	assert_int_equal(text.capacity, capacity);
	assert_string_equal(text.bytes, "");
	text_fini(&text);
}

static void fails_once_and_for_all_when_memory_is_short(void **state)
{
	struct text text = { 0 };

	(void)state;
	text_append_string(&text, "kept");
	text_append(&text, "never read", SIZE_MAX / 2);
	assert_true(text.failed);
	text_append_string(&text, "ignored");
	text_printf(&text, "%d", 1);
	text_append_json(&text, "ignored");
	text_append_printable(&text, "ignored");
	assert_string_equal(text.bytes, "kept");
	assert_int_equal(text.length, 4);
	text_fini(&text);
}

static void quotes_json_and_escapes_what_it_must(void **state)
{
	(void)state;
	assert_json("", "\"\"");
	assert_json("plain /path?x=1", "\"plain /path?x=1\"");
	assert_json("a\"b\\c", "\"a\\\"b\\\\c\"");
	assert_json("\n\r\t", "\"\\n\\r\\t\"");
	assert_json("\x01\x1f\x7f", "\"\\u0001\\u001f\\u007f\"");
}

static void keeps_well_formed_utf8_in_json(void **state)
{
	(void)state;
	assert_json("gr\xc3\xbc\xc3\x9f", "\"gr\xc3\xbc\xc3\x9f\"");
	assert_json("\xe2\x82\xac", "\"\xe2\x82\xac\"");
	assert_json("\xf0\x9f\x9a\xa2", "\"\xf0\x9f\x9a\xa2\"");
	assert_json("\xed\x9f\xbf\xee\x80\x80", "\"\xed\x9f\xbf\xee\x80\x80\"");
	assert_json("\xf4\x8f\xbf\xbf", "\"\xf4\x8f\xbf\xbf\"");
}

static void replaces_what_is_not_utf8(void **state)
{
	(void)state;
	assert_json("a\xff"
		    "b",
		    "\"a" U_FFFD "b\"");
	assert_json("\x80", "\"" U_FFFD "\"");
	assert_json("\xc0\xaf", "\"" U_FFFD U_FFFD "\"");	     /* overlong '/' */
	assert_json("\xe0\x9f\xbf", "\"" U_FFFD U_FFFD U_FFFD "\""); /* overlong */
	assert_json("\xed\xa0\x80", "\"" U_FFFD U_FFFD U_FFFD "\""); /* surrogate */
	assert_json("\xf4\x90\x80\x80", "\"" U_FFFD U_FFFD U_FFFD U_FFFD "\"");
	assert_json("\xf5", "\"" U_FFFD "\"");
	/* Cut in the middle of a character, at the very end. */
	assert_json("x\xe2\x82", "\"x" U_FFFD U_FFFD "\"");
	assert_json("\xf0\x9f\x9a", "\"" U_FFFD U_FFFD U_FFFD "\"");
	assert_json("\xc3", "\"" U_FFFD "\"");
}

static void lets_no_text_drive_the_terminal(void **state)
{
	(void)state;
	assert_printable("plain gr\xc3\xbc\xc3\x9f", "plain gr\xc3\xbc\xc3\x9f");
	assert_printable("\x1b[2Jx\a", "\\x1b[2Jx\\x07");
	assert_printable("a\nb\tc\r", "a\\nb c\\x0d");
	assert_printable("\xc2\x9b"
			 "31m",
			 "\\x9b31m");
	assert_printable("\xff\x7f", U_FFFD "\\x7f");
	assert_printable("", "");
}

static void copies_what_fits_and_says_whether_it_was_cut(void **state)
{
	char buffer[4];

	(void)state;
	assert_true(text_copy(buffer, sizeof(buffer), "abc"));
	assert_string_equal(buffer, "abc");
	assert_false(text_copy(buffer, sizeof(buffer), "abcd"));
	assert_string_equal(buffer, "abc");
	assert_true(text_copy(buffer, sizeof(buffer), ""));
	assert_string_equal(buffer, "");
	assert_false(text_copy(buffer, 1, "a"));
	assert_string_equal(buffer, "");
	assert_false(text_copy(buffer, 0, "a"));
}

static void cuts_in_front_of_a_character_never_inside(void **state)
{
	(void)state;
	assert_int_equal(text_utf8_cut("abc", 10), 3);
	assert_int_equal(text_utf8_cut("abc", 3), 3);
	assert_int_equal(text_utf8_cut("abcd", 3), 3);
	assert_int_equal(text_utf8_cut("ab\xc3\xbc", 3), 2);
	assert_int_equal(text_utf8_cut("ab\xc3\xbc", 4), 4);
	assert_int_equal(text_utf8_cut("\xc3\xbc\xc3\xbc", 2), 2);
	assert_int_equal(text_utf8_cut("a\xe2\x82\xac", 3), 1);
	assert_int_equal(text_utf8_cut("a\xf0\x9f\x9a\xa2", 4), 1);
	assert_int_equal(text_utf8_cut("a\xf0\x9f\x9a\xa2z", 5), 5);
	assert_int_equal(text_utf8_cut("\x80\x80\x80\x80\x80\x80", 5), 5);
	assert_int_equal(text_utf8_cut("abc", 0), 0);
	assert_int_equal(text_utf8_cut("", 5), 0);
}

/* Random bytes: output is well formed and ends; the sanitizers watch the rest. */
static void survives_any_bytes(void **state)
{
	unsigned int seed = 20250113;

	(void)state;
	for (int round = 0; round < 20000; round++) {
		struct text text = { 0 };
		char bytes[24];
		size_t size = (size_t)(rand_r(&seed) % (int)sizeof(bytes));

		for (size_t i = 0; i < size; i++)
			bytes[i] = (char)(rand_r(&seed) % 255 + 1);
		bytes[size] = '\0';
		text_append_json(&text, bytes);
		assert_true(text.length >= 2 && text.bytes[text.length - 1] == '"');
		for (size_t i = 0; i < text.length; i++)
			assert_true((unsigned char)text.bytes[i] >= 0x20);
		text_append_printable(&text, bytes);
		assert_true(text_utf8_cut(bytes, size / 2) <= size / 2);
		text_fini(&text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(grows_over_any_number_of_appends),
		cmocka_unit_test(terminates_after_an_empty_append),
		cmocka_unit_test(keeps_bytes_behind_a_nul),
		cmocka_unit_test(prints_at_every_length_around_the_capacity),
		cmocka_unit_test(keeps_the_memory_when_cleared),
		cmocka_unit_test(fails_once_and_for_all_when_memory_is_short),
		cmocka_unit_test(quotes_json_and_escapes_what_it_must),
		cmocka_unit_test(keeps_well_formed_utf8_in_json),
		cmocka_unit_test(replaces_what_is_not_utf8),
		cmocka_unit_test(lets_no_text_drive_the_terminal),
		cmocka_unit_test(copies_what_fits_and_says_whether_it_was_cut),
		cmocka_unit_test(cuts_in_front_of_a_character_never_inside),
		cmocka_unit_test(survives_any_bytes),
	};

	return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
