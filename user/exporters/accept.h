/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Accept and Accept-Encoding headers as lists of weighted names (RFC 9110).
 * Pure functions over foreign bytes: bounded by the header's own length, no
 * memory of their own, fuzzed in tests/fuzz/negotiate_fuzz.c.
 */
#ifndef EXPORTERS_ACCEPT_H
#define EXPORTERS_ACCEPT_H

#include <stdbool.h>
#include <stddef.h>

/* One element of the list; pointers into the header, not terminated. */
struct accept_item {
	const char *name;
	size_t name_length;
	const char *version; /* value of the version parameter, or NULL */
	size_t version_length;
	unsigned int quality; /* thousandths; 1000 without q, 0 for a malformed one */
};

/* Start with *cursor = the header. False at the end; empty elements are skipped. */
bool accept_next(const char **cursor, struct accept_item *ret_item);

/* Compares without regard to case. */
bool accept_is(const struct accept_item *item, const char *name);

/* May the answer be compressed with gzip? False without a header: identity is always right. */
bool accept_gzip(const char *accept_encoding);

#endif
