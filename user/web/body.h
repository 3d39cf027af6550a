/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The bytes of an answer: written piece by piece, kept compressed (gzip, RFC 1952), and read back
 * either as they are kept or unpacked piece by piece. A large exposition never lies in memory as
 * plain text, whoever asks for it. Bytes live in chunks of their own mappings: a scrape gives all
 * of its memory back and leaves no holes in the heap.
 */
#ifndef WEB_BODY_H
#define WEB_BODY_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#define BODY_SIZE_MAX	(1UL << 30) /* plain */
#define BODY_PACKED_MAX (256UL << 20)

struct body;

/* NULL with errno ENOMEM. */
struct body *body_new(void);
void body_free(struct body *body);

/* A sink for exporters: `body` is a struct body. 0, -ENOMEM or -EFBIG. */
int body_append(void *body, const char *bytes, size_t length);

/* No append after this. 0, -ENOMEM or -EFBIG. */
int body_finish(struct body *body);

/* Bytes appended, and bytes they take packed. */
size_t body_size(const struct body *body);
size_t body_packed_size(const struct body *body);

/* Where the packed bytes lie, borrowed; valid after body_finish(). */
const struct iovec *body_chunks(const struct body *body, unsigned int *ret_count);

/* Reads a finished body unpacked, from the front; the body must outlive it. NULL with ENOMEM. */
struct body_reader *body_reader_new(const struct body *body);
void body_reader_free(struct body_reader *reader);

/* Bytes read (fewer than `size` only at the end), 0 at the end, or -EBADMSG. */
ssize_t body_read(struct body_reader *reader, char *bytes, size_t size);

#endif
