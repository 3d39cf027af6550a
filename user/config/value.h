/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Text of one configuration value -> number. Accepts what people write:
 * "60 seconds", "30s", "500ms", "0.5%", "1 MiB", plain numbers. No side effects;
 * every function returns 0, or -EINVAL with nothing written.
 */
#ifndef CONFIG_VALUE_H
#define CONFIG_VALUE_H

#include <stdbool.h>
#include <stdint.h>

/* A finite decimal number and nothing else. */
int value_number(const char *text, double *ret_number);

/* true/false, yes/no, on/off, 1/0; case does not matter. */
int value_boolean(const char *text, bool *ret_boolean);

/* A length of time; a number without a unit is in `plain_unit_s` seconds. */
int value_duration_s(const char *text, double plain_unit_s, double *ret_seconds);

/* "0.5%", "0.5 percent", "0.5": all are 0.5. */
int value_percent(const char *text, double *ret_percent);

/* "100", "100/s", "100 rps", per second. */
int value_rate(const char *text, double *ret_rate);

/* "1048576", "1 MiB", "64k"; units are powers of 1024. */
int value_bytes(const char *text, uint64_t *ret_bytes);

/* The number of single-character edits from a to b, counted up to `most` + 1. */
unsigned int value_edit_distance(const char *a, const char *b, unsigned int most);

#endif
