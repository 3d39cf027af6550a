/* SPDX-License-Identifier: GPL-2.0-only */
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "exporters/number.h"

#define DIGITS_MAX	   17
#define EXACT_INTEGER	   9007199254740992.0 /* 2^53 */
#define FRACTION_DIGITS	   9
#define FIXED_LEAST	   (-4) /* decimal exponents Go's %g writes without an exponent: */
#define FIXED_TOO_LARGE	   21	/* ... for a number, */
#define FIXED_TOO_LARGE_LE 6	/* ... and for a label */

size_t number_unsigned(char *ret_bytes, uint64_t value)
{
	char digits[20];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	memcpy(ret_bytes, digits + at, sizeof(digits) - at);
	return sizeof(digits) - at;
}

size_t number_seconds(char *ret_bytes, uint64_t value_ns)
{
	size_t length = number_unsigned(ret_bytes, value_ns / NS_PER_S);
	uint64_t fraction = value_ns % NS_PER_S;

	if (!fraction)
		return length;
	ret_bytes[length] = '.';
	for (unsigned int i = FRACTION_DIGITS; i > 0; i--) {
		ret_bytes[length + i] = (char)('0' + fraction % 10);
		fraction /= 10;
	}
	length += 1 + FRACTION_DIGITS;
	while (ret_bytes[length - 1] == '0')
		length--;
	return length;
}

static size_t special(char *ret_bytes, double value)
{
	const char *text = isnan(value) ? "NaN" : value > 0 ? "+Inf" : "-Inf";
	size_t length = strlen(text);

	memcpy(ret_bytes, text, length);
	return length;
}

struct decimal {
	char digits[DIGITS_MAX];
	int count;
	int exponent; /* of the first digit */
};

/* The locale's decimal point is jumped over, never copied. `value` is finite and >= 0. */
static struct decimal shortest(double value)
{
	struct decimal decimal = { .count = 0 };
	char buffer[NUMBER_MAX];
	const char *e;

	for (int precision = 0; precision < DIGITS_MAX; precision++) {
		snprintf(buffer, sizeof(buffer), "%.*e", precision, value);
		if (strtod(buffer, NULL) == value)
			break;
	}
	e = strchr(buffer, 'e');
	for (const char *c = buffer; c < e && decimal.count < DIGITS_MAX; c++)
		if (*c >= '0' && *c <= '9')
			decimal.digits[decimal.count++] = *c;
	decimal.exponent = atoi(e + 1);
	return decimal;
}

static size_t fixed(char *ret_bytes, const struct decimal *decimal)
{
	size_t length = 0;
	int integer_digits = decimal->exponent + 1;

	if (integer_digits <= 0) {
		ret_bytes[length++] = '0';
		ret_bytes[length++] = '.';
		for (int i = integer_digits; i < 0; i++)
			ret_bytes[length++] = '0';
	}
	for (int i = 0; i < decimal->count || i < integer_digits; i++) {
		if (i > 0 && i == integer_digits)
			ret_bytes[length++] = '.';
		ret_bytes[length++] = i < decimal->count ? decimal->digits[i] : '0';
	}
	return length;
}

static size_t scientific(char *ret_bytes, const struct decimal *decimal)
{
	size_t length = 0;
	int exponent = decimal->exponent;

	ret_bytes[length++] = decimal->digits[0];
	if (decimal->count > 1)
		ret_bytes[length++] = '.';
	memcpy(ret_bytes + length, decimal->digits + 1, (size_t)decimal->count - 1);
	length += (size_t)decimal->count - 1;
	ret_bytes[length++] = 'e';
	ret_bytes[length++] = exponent < 0 ? '-' : '+';
	exponent = abs(exponent);
	if (exponent < 10)
		ret_bytes[length++] = '0';
	return length + number_unsigned(ret_bytes + length, (uint64_t)exponent);
}

static size_t finite_number(char *ret_bytes, double value, int too_large)
{
	struct decimal decimal = shortest(fabs(value));
	size_t sign = 0;

	if (signbit(value) && value != 0)
		ret_bytes[sign++] = '-';
	if (decimal.exponent < FIXED_LEAST || decimal.exponent >= too_large)
		return sign + scientific(ret_bytes + sign, &decimal);
	return sign + fixed(ret_bytes + sign, &decimal);
}

size_t number_double(char *ret_bytes, double value)
{
	if (!isfinite(value))
		return special(ret_bytes, value);
	if (value >= 0 && value < EXACT_INTEGER && value == (double)(uint64_t)value)
		return number_unsigned(ret_bytes, (uint64_t)value);
	return finite_number(ret_bytes, value, FIXED_TOO_LARGE);
}

size_t number_canonical(char *ret_bytes, double value)
{
	size_t length;

	if (!isfinite(value))
		return special(ret_bytes, value);
	length = finite_number(ret_bytes, value, FIXED_TOO_LARGE_LE);
	for (size_t i = 0; i < length; i++)
		if (ret_bytes[i] == '.' || ret_bytes[i] == 'e')
			return length;
	memcpy(ret_bytes + length, ".0", 2);
	return length + 2;
}
