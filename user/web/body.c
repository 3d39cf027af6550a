/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <zlib.h>

#include "web/body.h"

#define CHUNK_SIZE	 (256UL << 10)
#define CHUNKS_MAX	 (BODY_SIZE_MAX / CHUNK_SIZE)
#define GZIP_LEVEL	 1
#define GZIP_WINDOW_BITS (15 + 16) /* + 16: a gzip header, not zlib's */
#define GZIP_MEMORY	 8

struct body {
	bool gzip, has_stream;
	z_stream stream;
	unsigned int count;
	struct iovec chunks[CHUNKS_MAX]; /* iov_len is what is used of CHUNK_SIZE */
};

struct body *body_new(bool gzip)
{
	struct body *body = calloc(1, sizeof(*body));

	if (!body)
		return NULL;
	body->gzip = gzip;
	if (gzip && deflateInit2(&body->stream, GZIP_LEVEL, Z_DEFLATED, GZIP_WINDOW_BITS,
				 GZIP_MEMORY, Z_DEFAULT_STRATEGY) != Z_OK) {
		free(body);
		errno = ENOMEM;
		return NULL;
	}
	body->has_stream = gzip;
	return body;
}

static void end_stream(struct body *body)
{
	if (body->has_stream)
		deflateEnd(&body->stream);
	body->has_stream = false;
}

void body_free(struct body *body)
{
	if (!body)
		return;
	end_stream(body);
	for (unsigned int i = 0; i < body->count; i++)
		munmap(body->chunks[i].iov_base, CHUNK_SIZE);
	free(body);
}

/* The last chunk with room in it. NULL with *ret_err set. */
static struct iovec *chunk_with_room(struct body *body, int *ret_err)
{
	struct iovec *chunk = body->count ? &body->chunks[body->count - 1] : NULL;
	void *memory;

	if (chunk && chunk->iov_len < CHUNK_SIZE)
		return chunk;
	if (body->count == CHUNKS_MAX) {
		*ret_err = -EFBIG;
		return NULL;
	}
	memory = mmap(NULL, CHUNK_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED) {
		*ret_err = -ENOMEM;
		return NULL;
	}
	chunk = &body->chunks[body->count++];
	*chunk = (struct iovec){ .iov_base = memory };
	return chunk;
}

static int append_plain(struct body *body, const char *bytes, size_t length)
{
	while (length) {
		int err = 0;
		struct iovec *chunk = chunk_with_room(body, &err);
		size_t part;

		if (!chunk)
			return err;
		part = CHUNK_SIZE - chunk->iov_len;
		if (part > length)
			part = length;
		memcpy((char *)chunk->iov_base + chunk->iov_len, bytes, part);
		chunk->iov_len += part;
		bytes += part;
		length -= part;
	}
	return 0;
}

/* Feeds the stream until it wants no more room. */
static int deflate_all(struct body *body, int flush)
{
	int result;

	do {
		int err = 0;
		struct iovec *chunk = chunk_with_room(body, &err);

		if (!chunk)
			return err;
		body->stream.next_out = (Bytef *)chunk->iov_base + chunk->iov_len;
		body->stream.avail_out = (uInt)(CHUNK_SIZE - chunk->iov_len);
		result = deflate(&body->stream, flush);
		if (result == Z_STREAM_ERROR)
			return -ENOMEM;
		chunk->iov_len = CHUNK_SIZE - body->stream.avail_out;
	} while (flush == Z_FINISH ? result != Z_STREAM_END : body->stream.avail_in > 0);
	return 0;
}

int body_append(void *context, const char *bytes, size_t length)
{
	struct body *body = context;

	if (!body->gzip)
		return append_plain(body, bytes, length);
	body->stream.next_in = (z_const Bytef *)bytes;
	body->stream.avail_in = (uInt)length;
	return deflate_all(body, Z_NO_FLUSH);
}

int body_finish(struct body *body)
{
	int err = 0;

	if (body->has_stream) {
		body->stream.avail_in = 0;
		err = deflate_all(body, Z_FINISH);
	}
	end_stream(body);
	return err;
}

size_t body_size(const struct body *body)
{
	size_t size = 0;

	for (unsigned int i = 0; i < body->count; i++)
		size += body->chunks[i].iov_len;
	return size;
}

const struct iovec *body_chunks(const struct body *body, unsigned int *ret_count)
{
	*ret_count = body->count;
	return body->chunks;
}
