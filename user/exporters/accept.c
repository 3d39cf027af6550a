/* SPDX-License-Identifier: GPL-2.0-only */
#include <string.h>
#include <strings.h>

#include "exporters/accept.h"

#define QUALITY_FULL 1000

struct span {
	const char *start;
	size_t length;
};

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static struct span trimmed(const char *start, const char *end)
{
	while (start < end && is_blank(*start))
		start++;
	while (end > start && is_blank(end[-1]))
		end--;
	return (struct span){ start, (size_t)(end - start) };
}

static bool span_is(struct span span, const char *name)
{
	return span.length == strlen(name) && strncasecmp(span.start, name, span.length) == 0;
}

/* "0", "0.5", "1.000"; anything else is 0, so that what we cannot read is never preferred. */
static unsigned int quality_of(struct span text)
{
	unsigned int quality, digit_worth = QUALITY_FULL / 10;

	if (!text.length || (text.start[0] != '0' && text.start[0] != '1'))
		return 0;
	quality = text.start[0] == '1' ? QUALITY_FULL : 0;
	if (text.length == 1)
		return quality;
	if (text.start[1] != '.' || text.length > 5)
		return 0;
	for (size_t i = 2; i < text.length; i++) {
		if (text.start[i] < '0' || text.start[i] > '9')
			return 0;
		quality += (unsigned int)(text.start[i] - '0') * digit_worth;
		digit_worth /= 10;
	}
	return quality > QUALITY_FULL ? 0 : quality;
}

static void read_parameter(struct span parameter, struct accept_item *item)
{
	const char *equals = memchr(parameter.start, '=', parameter.length);
	const char *end = parameter.start + parameter.length;
	struct span name, value;

	if (!equals)
		return;
	name = trimmed(parameter.start, equals);
	value = trimmed(equals + 1, end);
	if (value.length >= 2 && value.start[0] == '"' && value.start[value.length - 1] == '"') {
		value.start++;
		value.length -= 2;
	}
	if (span_is(name, "q")) {
		item->quality = quality_of(value);
	} else if (span_is(name, "version")) {
		item->version = value.start;
		item->version_length = value.length;
	}
}

static void read_item(const char *start, const char *end, struct accept_item *ret_item)
{
	const char *semicolon = memchr(start, ';', (size_t)(end - start));
	struct span name = trimmed(start, semicolon ? semicolon : end);

	*ret_item = (struct accept_item){ .name = name.start,
					  .name_length = name.length,
					  .quality = QUALITY_FULL };
	while (semicolon) {
		const char *from = semicolon + 1;

		semicolon = memchr(from, ';', (size_t)(end - from));
		read_parameter(trimmed(from, semicolon ? semicolon : end), ret_item);
	}
}

bool accept_next(const char **cursor, struct accept_item *ret_item)
{
	while (**cursor) {
		const char *start = *cursor;
		const char *end = strchrnul(start, ',');

		*cursor = *end ? end + 1 : end;
		read_item(start, end, ret_item);
		if (ret_item->name_length)
			return true;
	}
	return false;
}

bool accept_is(const struct accept_item *item, const char *name)
{
	return span_is((struct span){ item->name, item->name_length }, name);
}

bool accept_gzip(const char *accept_encoding)
{
	int gzip = -1, any = -1, identity = -1;
	struct accept_item item;

	if (!accept_encoding)
		return false;
	while (accept_next(&accept_encoding, &item)) {
		if (accept_is(&item, "gzip") || accept_is(&item, "x-gzip"))
			gzip = (int)item.quality;
		else if (accept_is(&item, "identity"))
			identity = (int)item.quality;
		else if (accept_is(&item, "*"))
			any = (int)item.quality;
	}
	if (gzip < 0)
		gzip = any;
	return gzip > 0 && gzip >= identity;
}
