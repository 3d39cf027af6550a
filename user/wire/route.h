/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The text of a route: what a request path looks like once ids are taken out.
 * Must collapse exactly what bpf/net/http1.bpf.h collapses when it hashes a path;
 * tests/unit/wire holds the two against each other.
 */
#ifndef WIRE_ROUTE_H
#define WIRE_ROUTE_H

#include <stddef.h>

#define ROUTE_TEXT_MAX 400 /* a path of 128 bytes may be 64 ids of one digit each */

/*
 * Writes the route of `length` path bytes: segments that are all digits, or 16 and more
 * hexadecimal digits and dashes with a digit among them, become {id}. Bytes that cannot be
 * printed become '_'. `ret_text` has ROUTE_TEXT_MAX bytes.
 */
void route_text(const char *path, size_t length, char *ret_text);

/* The path itself, printable and cut to `size` with NUL. */
void route_path(const char *path, size_t length, char *ret_text, size_t size);

#endif
