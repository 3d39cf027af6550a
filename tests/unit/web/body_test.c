/* SPDX-License-Identifier: GPL-2.0-only */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "web/body.h"

#define PIECE_SIZE 70001
#define PIECES	   23

static char piece[PIECE_SIZE];

/* Noise does not compress, so that the stream, too, needs several chunks. */
static void fill_piece(void)
{
	uint32_t noise = 12345;

	for (size_t i = 0; i < sizeof(piece); i++) {
		noise = noise * 1664525 + 1013904223;
		piece[i] = (char)(noise >> 24);
	}
}

static struct body *filled(void)
{
	struct body *body = body_new();

	assert_non_null(body);
	fill_piece();
	for (unsigned int i = 0; i < PIECES; i++) {
		piece[0] = (char)i;
		assert_int_equal(body_append(body, piece, sizeof(piece)), 0);
	}
	assert_int_equal(body_finish(body), 0);
	return body;
}

/* All chunks in one, to free. */
static char *joined(const struct body *body)
{
	unsigned int count;
	const struct iovec *chunks = body_chunks(body, &count);
	char *bytes = malloc(body_packed_size(body) + 1);
	size_t length = 0;

	assert_non_null(bytes);
	for (unsigned int i = 0; i < count; i++) {
		memcpy(bytes + length, chunks[i].iov_base, chunks[i].iov_len);
		length += chunks[i].iov_len;
	}
	assert_int_equal(length, body_packed_size(body));
	return bytes;
}

static void check_pieces(const char *bytes)
{
	for (unsigned int i = 0; i < PIECES; i++) {
		piece[0] = (char)i;
		assert_memory_equal(bytes + i * sizeof(piece), piece, sizeof(piece));
	}
}

static void bytes_come_back_unpacked_in_pieces_of_any_size(void **state)
{
	struct body *body = filled();
	char *bytes = malloc(sizeof(piece) * PIECES + 1);

	(void)state;
	assert_non_null(bytes);
	assert_int_equal(body_size(body), sizeof(piece) * PIECES);
	for (size_t size = 1000; size < 2 * sizeof(piece); size *= 9) {
		struct body_reader *reader = body_reader_new(body);
		size_t length = 0;
		ssize_t part;

		assert_non_null(reader);
		while ((part = body_read(reader, bytes + length, size)) > 0) {
			assert_true((size_t)part == size ||
				    length + (size_t)part == body_size(body));
			length += (size_t)part;
			assert_true(length <= body_size(body));
		}
		assert_int_equal(part, 0);
		assert_int_equal(body_read(reader, bytes, size), 0);
		assert_int_equal(length, body_size(body));
		check_pieces(bytes);
		body_reader_free(reader);
	}
	free(bytes);
	body_free(body);
}

static void damage_is_noticed(void **state)
{
	struct body *body = filled();
	unsigned int count;
	const struct iovec *chunks = body_chunks(body, &count);
	struct body_reader *reader = body_reader_new(body);
	ssize_t part;

	(void)state;
	assert_non_null(reader);
	memset((char *)chunks[count / 2].iov_base + 1000, 0xff, 64);
	while ((part = body_read(reader, piece, sizeof(piece))) > 0)
		;
	assert_int_equal(part, -EBADMSG);
	body_reader_free(reader);
	body_free(body);
}

static void compressed_bytes_come_back_as_one_gzip_stream(void **state)
{
	struct body *body = filled();
	char *bytes = joined(body), *plain = malloc(sizeof(piece) * PIECES + 1);
	z_stream stream = { 0 };

	(void)state;
	assert_non_null(plain);
	assert_int_equal(inflateInit2(&stream, 15 + 16), Z_OK);
	stream.next_in = (Bytef *)bytes;
	stream.avail_in = (uInt)body_packed_size(body);
	stream.next_out = (Bytef *)plain;
	stream.avail_out = sizeof(piece) * PIECES + 1;
	assert_int_equal(inflate(&stream, Z_FINISH), Z_STREAM_END);
	assert_int_equal(stream.total_out, sizeof(piece) * PIECES);
	assert_int_equal(stream.avail_in, 0);
	check_pieces(plain);
	inflateEnd(&stream);
	free(plain);
	free(bytes);
	body_free(body);
}

static void nothing_is_still_a_valid_body(void **state)
{
	struct body *body = body_new();
	struct body_reader *reader;

	(void)state;
	assert_int_equal(body_finish(body), 0);
	assert_int_equal(body_size(body), 0);
	assert_int_equal(body_packed_size(body), 20); /* an empty gzip member */
	reader = body_reader_new(body);
	assert_non_null(reader);
	assert_int_equal(body_read(reader, piece, sizeof(piece)), 0);
	body_reader_free(reader);
	body_free(body);
	body_free(body_new()); /* never finished */
}

static void a_body_without_end_is_refused_at_the_limit(void **state)
{
	struct body *body = body_new();
	size_t size = 0;
	int err = 0;

	(void)state;
	while (!err && size <= BODY_SIZE_MAX) {
		err = body_append(body, piece, sizeof(piece));
		size += sizeof(piece);
	}
	assert_int_equal(err, -EFBIG);
	assert_true(body_size(body) <= BODY_SIZE_MAX);
	body_free(body);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bytes_come_back_unpacked_in_pieces_of_any_size),
		cmocka_unit_test(damage_is_noticed),
		cmocka_unit_test(compressed_bytes_come_back_as_one_gzip_stream),
		cmocka_unit_test(nothing_is_still_a_valid_body),
		cmocka_unit_test(a_body_without_end_is_refused_at_the_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
