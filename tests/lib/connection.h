/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A stream with a buffer on each side, as http_server and http_client need it:
 * lines and bodies in, text and filler out. What does not fit the programs'
 * limits ends the connection; running out of memory ends the program.
 */
#ifndef TESTS_LIB_CONNECTION_H
#define TESTS_LIB_CONNECTION_H

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>

#include "stream.h"

#define INPUT_MAX   (4 << 20)
#define OUTPUT_SIZE 65536

struct connection {
	struct stream stream;
	char *input;
	size_t capacity, start, end; /* unread bytes are input[start..end) */
	char *output;
	size_t output_used;
	bool failed;
	uint64_t pause_ns; /* a slow reader waits this long before each read */
};

static inline struct connection *connection_new(int fd, enum stream_family family)
{
	struct connection *connection = calloc(1, sizeof(*connection));
	int one = 1;

	if (!connection)
		abort();
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	connection->stream = (struct stream){ .fd = fd, .family = family };
	connection->capacity = OUTPUT_SIZE;
	connection->input = malloc(connection->capacity);
	connection->output = malloc(OUTPUT_SIZE);
	if (!connection->input || !connection->output)
		abort();
	return connection;
}

static inline void connection_free(struct connection *connection)
{
	if (connection->stream.fd >= 0)
		close(connection->stream.fd);
	free(connection->input);
	free(connection->output);
	free(connection);
}

/* ---- bytes in ---- */

/* 1: there is more, 0: end of stream or error. */
static inline int fill(struct connection *connection)
{
	ssize_t got;

	if (connection->start > 0) {
		memmove(connection->input, connection->input + connection->start,
			connection->end - connection->start);
		connection->end -= connection->start;
		connection->start = 0;
	}
	if (connection->end == connection->capacity) {
		if (connection->capacity >= INPUT_MAX)
			return 0;
		connection->capacity *= 2;
		connection->input = realloc(connection->input, connection->capacity);
		if (!connection->input)
			abort();
	}
	if (connection->pause_ns)
		stream_sleep_ns(connection->pause_ns);
	do {
		got = stream_read(&connection->stream, connection->input + connection->end,
				  connection->capacity - connection->end);
	} while (got < 0 && errno == EINTR);
	if (got <= 0)
		return 0;
	connection->end += (size_t)got;
	return 1;
}

static inline bool skip_bytes(struct connection *connection, uint64_t left)
{
	while (left > 0) {
		size_t held = connection->end - connection->start;
		size_t taken = held < left ? held : left;

		connection->start += taken;
		left -= taken;
		if (left > 0 && !fill(connection))
			return false;
	}
	return true;
}

/* A NUL-terminated line without its CRLF, valid until the next fill; NULL at the end. */
static inline char *take_line(struct connection *connection)
{
	for (;;) {
		char *first = connection->input + connection->start;
		char *end = memmem(first, connection->end - connection->start, "\r\n", 2);

		if (end) {
			*end = '\0';
			connection->start += (size_t)(end - first) + 2;
			return first;
		}
		if (!fill(connection))
			return NULL;
	}
}

static inline bool skip_chunked(struct connection *connection, uint64_t *ret_size)
{
	char *line;

	*ret_size = 0;
	for (;;) {
		uint64_t size;

		line = take_line(connection);
		if (!line)
			return false;
		size = strtoull(line, NULL, 16);
		if (size == 0)
			break;
		*ret_size += size;
		if (!skip_bytes(connection, size + 2))
			return false;
	}
	while ((line = take_line(connection)) && *line)
		;
	return line != NULL;
}

/* ---- bytes out ---- */

static inline void output_flush(struct connection *connection)
{
	if (!connection->failed && connection->output_used > 0 &&
	    stream_write_all(&connection->stream, connection->output, connection->output_used))
		connection->failed = true;
	connection->output_used = 0;
}

static inline void output_append(struct connection *connection, const char *bytes, size_t size)
{
	while (size > 0) {
		size_t room = OUTPUT_SIZE - connection->output_used;
		size_t taken = size < room ? size : room;

		memcpy(connection->output + connection->output_used, bytes, taken);
		connection->output_used += taken;
		bytes += taken;
		size -= taken;
		if (connection->output_used == OUTPUT_SIZE)
			output_flush(connection);
	}
}

static inline void output_fill(struct connection *connection, uint64_t size)
{
	while (size > 0 && !connection->failed) {
		size_t room = OUTPUT_SIZE - connection->output_used;
		size_t taken = size < room ? size : room;

		memset(connection->output + connection->output_used, 'b', taken);
		connection->output_used += taken;
		size -= taken;
		if (connection->output_used == OUTPUT_SIZE)
			output_flush(connection);
	}
}

static inline void output_printf(struct connection *connection, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static inline void output_printf(struct connection *connection, const char *format, ...)
{
	char text[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	output_append(connection, text, strlen(text));
}

#endif
