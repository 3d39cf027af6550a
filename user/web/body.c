/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <zlib.h>

#include "web/body.h"

#define CHUNK_SIZE	 (256UL << 10)
#define CHUNKS_MAX	 (BODY_PACKED_MAX / CHUNK_SIZE)
#define GZIP_LEVEL	 1
#define GZIP_WINDOW_BITS (15 + 16) /* + 16: a gzip header, not zlib's */
#define GZIP_MEMORY	 8

struct body {
	bool has_stream;
	z_stream stream;
	size_t size;
	unsigned int count;
	struct iovec chunks[CHUNKS_MAX]; /* iov_len is what is used of CHUNK_SIZE */
};

struct body_reader {
	const struct body *body;
	z_stream stream;
	unsigned int next; /* chunk */
};

struct body *body_new(void)
{
	struct body *body = calloc(1, sizeof(*body));

	if (!body)
		return NULL;
	if (deflateInit2(&body->stream, GZIP_LEVEL, Z_DEFLATED, GZIP_WINDOW_BITS, GZIP_MEMORY,
			 Z_DEFAULT_STRATEGY) != Z_OK) {
		free(body);
		errno = ENOMEM;
		return NULL;
	}
	body->has_stream = true;
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

	if (length > BODY_SIZE_MAX - body->size)
		return -EFBIG;
	body->size += length;
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
	return body->size;
}

size_t body_packed_size(const struct body *body)
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

struct body_reader *body_reader_new(const struct body *body)
{
	struct body_reader *reader = calloc(1, sizeof(*reader));

	if (!reader)
		return NULL;
	reader->body = body;
	if (inflateInit2(&reader->stream, GZIP_WINDOW_BITS) != Z_OK) {
		free(reader);
		errno = ENOMEM;
		return NULL;
	}
	return reader;
}

void body_reader_free(struct body_reader *reader)
{
	if (!reader)
		return;
	inflateEnd(&reader->stream);
	free(reader);
}

ssize_t body_read(struct body_reader *reader, char *bytes, size_t size)
{
	z_stream *stream = &reader->stream;
	int result = Z_OK;

	stream->next_out = (Bytef *)bytes;
	stream->avail_out = (uInt)size;
	while (stream->avail_out && result == Z_OK) {
		if (!stream->avail_in) {
			const struct iovec *chunk = &reader->body->chunks[reader->next];

			if (reader->next == reader->body->count)
				break;
			reader->next++;
			stream->next_in = chunk->iov_base;
			stream->avail_in = (uInt)chunk->iov_len;
		}
		result = inflate(stream, Z_NO_FLUSH);
	}
	if (result != Z_OK && result != Z_STREAM_END)
		return -EBADMSG;
	return (ssize_t)(size - stream->avail_out);
}
