/* SPDX-License-Identifier: GPL-2.0-only */
#include "config/value.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define EDIT_LENGTH_MAX 64

struct unit {
	const char *name;
	double factor;
};

static const struct unit duration_units[] = {
	{ "ns", 1e-9 },
	{ "us", 1e-6 },
	{ "\xc2\xb5s", 1e-6 },
	{ "ms", 1e-3 },
	{ "millisecond", 1e-3 },
	{ "milliseconds", 1e-3 },
	{ "s", 1 },
	{ "sec", 1 },
	{ "second", 1 },
	{ "seconds", 1 },
	{ "m", 60 },
	{ "min", 60 },
	{ "minute", 60 },
	{ "minutes", 60 },
	{ "h", 3600 },
	{ "hour", 3600 },
	{ "hours", 3600 },
	{ "d", 86400 },
	{ "day", 86400 },
	{ "days", 86400 },
	{ NULL, 0 },
};

static const struct unit byte_units[] = {
	{ "", 1 },	    { "b", 1 },		 { "bytes", 1 },       { "k", 1024 },
	{ "kb", 1024 },	    { "kib", 1024 },	 { "m", 1048576 },     { "mb", 1048576 },
	{ "mib", 1048576 }, { "g", 1073741824 }, { "gb", 1073741824 }, { "gib", 1073741824 },
	{ NULL, 0 },
};

static const struct unit percent_units[] = { { "", 1 }, { "%", 1 }, { "percent", 1 }, { NULL, 0 } };

static const struct unit rate_units[] = {
	{ "", 1 }, { "/s", 1 }, { "rps", 1 }, { "req/s", 1 }, { "per second", 1 }, { NULL, 0 },
};

static const char *skip_blanks(const char *text)
{
	while (*text == ' ' || *text == '\t')
		text++;
	return text;
}

static const char *skip_digits(const char *text)
{
	while (isdigit((unsigned char)*text))
		text++;
	return text;
}

/* Only plain decimals: strtod() alone would also take "nan", "infinity" and "0x1p3". */
static const char *number_end(const char *text)
{
	const char *at = text, *digits;

	if (*at == '-' || *at == '+')
		at++;
	digits = at;
	at = skip_digits(at);
	if (at == digits)
		return NULL;
	if (*at == '.') {
		digits = ++at;
		at = skip_digits(at);
		if (at == digits)
			return NULL;
	}
	if (*at == 'e' || *at == 'E') {
		const char *exponent = at + 1;

		if (*exponent == '-' || *exponent == '+')
			exponent++;
		if (isdigit((unsigned char)*exponent))
			at = skip_digits(exponent);
	}
	return at;
}

/* Splits "12.5 ms" into 12.5 and "ms"; `ret_unit` has room for 16 bytes. */
static int split(const char *text, double *ret_number, char *ret_unit)
{
	const char *end;
	char *stop;
	size_t length;

	text = skip_blanks(text);
	end = number_end(text);
	if (!end)
		return -EINVAL;
	*ret_number = strtod(text, &stop);
	if (stop != end || !isfinite(*ret_number))
		return -EINVAL;
	end = skip_blanks(end);
	length = strlen(end);
	while (length && (end[length - 1] == ' ' || end[length - 1] == '\t'))
		length--;
	if (length > 15)
		return -EINVAL;
	memcpy(ret_unit, end, length);
	ret_unit[length] = '\0';
	return 0;
}

static int scaled(const char *text, const struct unit *units, double *ret_number)
{
	char unit[16];
	double number;

	if (split(text, &number, unit))
		return -EINVAL;
	for (; units->name; units++) {
		if (strcasecmp(units->name, unit))
			continue;
		if (!isfinite(number * units->factor))
			return -EINVAL;
		*ret_number = number * units->factor;
		return 0;
	}
	return -EINVAL;
}

int value_number(const char *text, double *ret_number)
{
	char unit[16];
	double number;

	if (split(text, &number, unit) || unit[0])
		return -EINVAL;
	*ret_number = number;
	return 0;
}

int value_boolean(const char *text, bool *ret_boolean)
{
	static const char *const words[] = { "false", "true", "no", "yes", "off", "on", "0", "1" };

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (!strcasecmp(text, words[i])) {
			*ret_boolean = i & 1;
			return 0;
		}
	}
	return -EINVAL;
}

int value_duration_s(const char *text, double plain_unit_s, double *ret_seconds)
{
	double number;

	if (!value_number(text, &number)) {
		*ret_seconds = number * plain_unit_s;
		return 0;
	}
	return scaled(text, duration_units, ret_seconds);
}

int value_percent(const char *text, double *ret_percent)
{
	return scaled(text, percent_units, ret_percent);
}

int value_rate(const char *text, double *ret_rate)
{
	return scaled(text, rate_units, ret_rate);
}

int value_bytes(const char *text, uint64_t *ret_bytes)
{
	double bytes;

	if (scaled(text, byte_units, &bytes) || bytes < 0 || bytes > 9007199254740992.0 ||
	    bytes != floor(bytes))
		return -EINVAL;
	*ret_bytes = (uint64_t)bytes;
	return 0;
}

unsigned int value_edit_distance(const char *a, const char *b, unsigned int most)
{
	size_t a_length = strnlen(a, EDIT_LENGTH_MAX + 1),
	       b_length = strnlen(b, EDIT_LENGTH_MAX + 1);
	unsigned int row[EDIT_LENGTH_MAX + 1], diagonal, above;

	if (a_length > EDIT_LENGTH_MAX || b_length > EDIT_LENGTH_MAX)
		return most + 1;
	for (size_t j = 0; j <= b_length; j++)
		row[j] = j;
	for (size_t i = 1; i <= a_length; i++) {
		diagonal = row[0];
		row[0] = i;
		for (size_t j = 1; j <= b_length; j++) {
			unsigned int best = diagonal + (a[i - 1] != b[j - 1]);

			above = row[j];
			if (above + 1 < best)
				best = above + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			diagonal = above;
			row[j] = best;
		}
	}
	return row[b_length] > most ? most + 1 : row[b_length];
}
