/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The bytes of an answer, written piece by piece and compressed on the way if
 * asked for, so that a large exposition never lies in memory as plain text when
 * the client takes gzip. Bytes live in chunks of their own mappings: a scrape
 * gives all of its memory back and leaves no holes in the heap.
 */
#ifndef WEB_BODY_H
#define WEB_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

#define BODY_SIZE_MAX (256UL << 20)

struct body;

/* NULL with errno ENOMEM. */
struct body *body_new(bool gzip);
void body_free(struct body *body);

/* A sink for exporters: `body` is a struct body. 0, -ENOMEM or -EFBIG. */
int body_append(void *body, const char *bytes, size_t length);

/* No append after this. 0, -ENOMEM or -EFBIG. */
int body_finish(struct body *body);

size_t body_size(const struct body *body);

/* Where the bytes lie, borrowed; valid after body_finish(). */
const struct iovec *body_chunks(const struct body *body, unsigned int *ret_count);

#endif
