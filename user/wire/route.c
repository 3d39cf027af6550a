/* SPDX-License-Identifier: GPL-2.0-only */
#include "wire/route.h"

#include <stdbool.h>
#include <string.h>

#define LONG_HEX 16

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_hex_letter(char c)
{
	return ((c | 0x20) >= 'a' && (c | 0x20) <= 'f') && c > 0;
}

static bool segment_is_id(const char *segment, size_t length)
{
	size_t digits = 0, others = 0;

	for (size_t i = 0; i < length; i++) {
		if (is_digit(segment[i]))
			digits++;
		else if (!is_hex_letter(segment[i]) && segment[i] != '-')
			others++;
	}
	return length && (digits == length || (length >= LONG_HEX && digits && !others));
}

static char printable(char c)
{
	return c > 0x20 && c < 0x7f ? c : '_';
}

void route_path(const char *path, size_t length, char *ret_text, size_t size)
{
	size_t i;

	for (i = 0; i < length && i + 1 < size; i++)
		ret_text[i] = printable(path[i]);
	ret_text[i] = 0;
}

void route_text(const char *path, size_t length, char *ret_text)
{
	size_t at = 0, out = 0;

	while (at < length && out + 6 < ROUTE_TEXT_MAX) {
		size_t end = at;

		if (path[at] == '/') {
			ret_text[out++] = '/';
			at++;
			continue;
		}
		while (end < length && path[end] != '/')
			end++;
		if (segment_is_id(path + at, end - at)) {
			memcpy(ret_text + out, "{id}", 4);
			out += 4;
		} else {
			for (size_t i = at; i < end && out + 1 < ROUTE_TEXT_MAX; i++)
				ret_text[out++] = printable(path[i]);
		}
		at = end;
	}
	ret_text[out] = 0;
}
