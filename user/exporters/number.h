/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Numbers as the text formats want them, independent of the locale. Each
 * function writes without a NUL and returns the length; NUMBER_MAX bytes are
 * always enough.
 */
#ifndef EXPORTERS_NUMBER_H
#define EXPORTERS_NUMBER_H

#include <stddef.h>
#include <stdint.h>

#define NUMBER_MAX 40

size_t number_unsigned(char *ret_bytes, uint64_t value);

/* Nanoseconds as seconds: exact, without trailing zeros ("0.005", "1", "2.5"). */
size_t number_seconds(char *ret_bytes, uint64_t value_ns);

/* Shortest text that reads back as the same double; "NaN", "+Inf", "-Inf". */
size_t number_double(char *ret_bytes, double value);

/* OpenMetrics 1.0, "Canonical Numbers": as Go's %g, with ".0" where it would look like an int. */
size_t number_canonical(char *ret_bytes, double value);

#endif
