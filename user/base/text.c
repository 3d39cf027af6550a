/* SPDX-License-Identifier: GPL-2.0-only */
#include "base/text.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_FIRST_CAPACITY 64

static const char replacement[] = "\xef\xbf\xbd"; /* U+FFFD */

void text_fini(struct text *text)
{
	free(text->bytes);
	memset(text, 0, sizeof(*text));
}

void text_clear(struct text *text)
{
	text->length = 0;
	text->failed = false;
	if (text->bytes)
		text->bytes[0] = '\0';
}

/* Room for `more` bytes and the NUL. */
static bool reserve(struct text *text, size_t more)
{
	size_t capacity = text->capacity ? text->capacity : TEXT_FIRST_CAPACITY;
	char *bytes;

	if (text->failed)
		return false;
	if (more < text->capacity - text->length)
		return true;
	if (more > SIZE_MAX / 4 - text->length) {
		text->failed = true;
		return false;
	}
	while (capacity - text->length <= more)
		capacity *= 2;
	bytes = realloc(text->bytes, capacity);
	if (!bytes) {
		text->failed = true;
		return false;
	}
	text->bytes = bytes;
	text->capacity = capacity;
	return true;
}

void text_append(struct text *text, const char *bytes, size_t length)
{
	if (!reserve(text, length))
		return;
	if (length > 0)
		memcpy(text->bytes + text->length, bytes, length);
	text->length += length;
	text->bytes[text->length] = '\0';
}

void text_append_string(struct text *text, const char *string)
{
	text_append(text, string, strlen(string));
}

void text_vprintf(struct text *text, const char *format, va_list arguments)
{
	va_list again;
	int length;

	if (!reserve(text, 1))
		return;
	va_copy(again, arguments);
	length =
		vsnprintf(text->bytes + text->length, text->capacity - text->length, format, again);
	va_end(again);
	if (length >= 0 && (size_t)length >= text->capacity - text->length) {
		if (!reserve(text, (size_t)length)) {
			text->bytes[text->length] = '\0';
			return;
		}
		length = vsnprintf(text->bytes + text->length, text->capacity - text->length,
				   format, arguments);
	}
	if (length < 0) {
		text->bytes[text->length] = '\0';
		text->failed = true;
		return;
	}
	text->length += (size_t)length;
}

void text_printf(struct text *text, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	text_vprintf(text, format, arguments);
	va_end(arguments);
}

/*
 * Length of the well-formed UTF-8 character at `bytes` (table 3-7 of the
 * Unicode standard), 0 if there is none. Reads no byte behind a NUL.
 */
static size_t utf8_length(const unsigned char *bytes)
{
	unsigned char least = 0x80, most = 0xbf;
	size_t length;

	if (bytes[0] < 0x80)
		return 1;
	if (bytes[0] >= 0xc2 && bytes[0] <= 0xdf)
		length = 2;
	else if (bytes[0] >= 0xe0 && bytes[0] <= 0xef)
		length = 3;
	else if (bytes[0] >= 0xf0 && bytes[0] <= 0xf4)
		length = 4;
	else
		return 0;
	if (bytes[0] == 0xe0)
		least = 0xa0;
	else if (bytes[0] == 0xed)
		most = 0x9f;
	else if (bytes[0] == 0xf0)
		least = 0x90;
	else if (bytes[0] == 0xf4)
		most = 0x8f;
	if (bytes[1] < least || bytes[1] > most)
		return 0;
	for (size_t i = 2; i < length; i++)
		if ((bytes[i] & 0xc0) != 0x80)
			return 0;
	return length;
}

static void append_json_escape(struct text *text, unsigned char byte)
{
	switch (byte) {
	case '"':
		text_append(text, "\\\"", 2);
		break;
	case '\\':
		text_append(text, "\\\\", 2);
		break;
	case '\n':
		text_append(text, "\\n", 2);
		break;
	case '\r':
		text_append(text, "\\r", 2);
		break;
	case '\t':
		text_append(text, "\\t", 2);
		break;
	default:
		text_printf(text, "\\u%04x", byte);
		break;
	}
}

void text_append_json(struct text *text, const char *string)
{
	const unsigned char *at = (const unsigned char *)string;
	const unsigned char *plain = at;

	text_append(text, "\"", 1);
	while (*at) {
		size_t length = utf8_length(at);
		bool is_plain = length > 1 || (length == 1 && *at >= 0x20 && *at != '"' &&
					       *at != '\\' && *at != 0x7f);

		if (is_plain) {
			at += length;
			continue;
		}
		text_append(text, (const char *)plain, (size_t)(at - plain));
		if (length == 0)
			text_append_string(text, replacement);
		else
			append_json_escape(text, *at);
		plain = ++at;
	}
	text_append(text, (const char *)plain, (size_t)(at - plain));
	text_append(text, "\"", 1);
}

void text_append_printable(struct text *text, const char *string)
{
	const unsigned char *at = (const unsigned char *)string;

	while (*at) {
		size_t length = utf8_length(at);

		if (length == 0) {
			text_append_string(text, replacement);
			at++;
		} else if (length == 2 && at[0] == 0xc2 && at[1] < 0xa0) {
			text_printf(text, "\\x%02x", at[1]);
			at += 2;
		} else if (length == 1 && (*at < 0x20 || *at == 0x7f)) {
			if (*at == '\n')
				text_append(text, "\\n", 2);
			else if (*at == '\t')
				text_append(text, " ", 1);
			else
				text_printf(text, "\\x%02x", *at);
			at++;
		} else {
			text_append(text, (const char *)at, length);
			at += length;
		}
	}
}

bool text_copy(char *ret_buffer, size_t size, const char *source)
{
	size_t length = strlen(source);
	bool fits = length < size;

	if (size == 0)
		return false;
	if (!fits)
		length = size - 1;
	memmove(ret_buffer, source, length);
	ret_buffer[length] = '\0';
	return fits;
}

size_t text_utf8_cut(const char *string, size_t limit)
{
	size_t length = strnlen(string, limit + 1);
	size_t start;

	if (length <= limit)
		return length;
	/* Only a character that began in front of the limit and runs over it is given up. */
	for (start = limit; start > 0 && limit - start < 3; start--)
		if (((unsigned char)string[start] & 0xc0) != 0x80)
			break;
	if (((unsigned char)string[start] & 0xc0) == 0x80)
		return limit; /* not UTF-8 anyway */
	return start;
}
