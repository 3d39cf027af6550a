/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One TCP stream, moved by the family of system calls a test asks for. Used by
 * http_server and http_client so that each family is tested in both roles.
 *
 * The vectored families scatter on purpose: the first bytes go through seven
 * odd-sized vectors that lie apart in memory with poison between them, so an
 * observer that follows only the first vector, or takes them for one piece of
 * memory, reads nonsense.
 */
#ifndef TESTS_LIB_STREAM_H
#define TESTS_LIB_STREAM_H

#include <errno.h>
#include <liburing.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum stream_family {
	STREAM_READ_WRITE,
	STREAM_SEND_RECV,
	STREAM_MSG,
	STREAM_MMSG,
	STREAM_VECTOR,
	STREAM_PEEK, /* every recv is preceded by a recv with MSG_PEEK */
	STREAM_URING,
	STREAM_URING_RW,
	STREAM_URING_MSG,
	STREAM_FAMILY_COUNT
};

static const char *const stream_family_names[STREAM_FAMILY_COUNT] = {
	"read-write", "send-recv", "msg", "mmsg", "vector", "peek", "uring", "uring-rw", "uring-msg"
};

struct stream {
	int fd;
	enum stream_family family;
};

#define STREAM_PIECES 7
#define STREAM_STRIDE 32

static const size_t stream_cuts[STREAM_PIECES] = { 1, 2, 3, 5, 7, 11, 13 };

static inline uint64_t stream_clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec;
}

static inline int stream_family_parse(const char *name, enum stream_family *ret_family)
{
	for (int i = 0; i < STREAM_FAMILY_COUNT; i++) {
		if (strcmp(name, stream_family_names[i]) == 0) {
			*ret_family = (enum stream_family)i;
			return 0;
		}
	}
	return -EINVAL;
}

/* Each thread has its own ring: a ring is not safe to share without locks. */
static inline struct io_uring *stream_ring(void)
{
	static __thread struct io_uring ring;
	static __thread bool ready;
	int err;

	if (ready)
		return &ring;
	err = io_uring_queue_init(8, &ring, 0);
	if (err) {
		fprintf(stderr, "io_uring_queue_init: %s\n", strerror(-err));
		exit(77);
	}
	ready = true;
	return &ring;
}

/* Fills `vectors` so that they cover `size` bytes; returns how many are used. */
static inline int stream_scatter(struct iovec *vectors, unsigned char *poison, const void *bytes,
				 size_t size, bool copy_in)
{
	size_t done = 0;
	int count = 0;

	memset(poison, 'X', STREAM_PIECES * STREAM_STRIDE);
	for (int i = 0; i < STREAM_PIECES && done < size; i++) {
		size_t length = stream_cuts[i] < size - done ? stream_cuts[i] : size - done;
		unsigned char *piece = poison + i * STREAM_STRIDE;

		if (copy_in)
			memcpy(piece, (const char *)bytes + done, length);
		vectors[count].iov_base = piece;
		vectors[count++].iov_len = length;
		done += length;
	}
	if (done < size) {
		vectors[count].iov_base = (char *)(uintptr_t)bytes + done;
		vectors[count++].iov_len = size - done;
	}
	return count;
}

/* Puts the bytes that a scattered read left in the small vectors where the caller wants them. */
static inline void stream_gather(const unsigned char *poison, void *bytes, size_t size)
{
	size_t done = 0;

	for (int i = 0; i < STREAM_PIECES && done < size; i++) {
		size_t length = stream_cuts[i] < size - done ? stream_cuts[i] : size - done;

		memcpy((char *)bytes + done, poison + i * STREAM_STRIDE, length);
		done += length;
	}
}

static inline ssize_t stream_uring_wait(struct io_uring *ring)
{
	struct io_uring_cqe *entry;
	ssize_t result;
	int err;

	err = io_uring_submit(ring);
	if (err < 0) {
		errno = -err;
		return -1;
	}
	do {
		err = io_uring_wait_cqe(ring, &entry);
	} while (err == -EINTR);
	if (err) {
		errno = -err;
		return -1;
	}
	result = entry->res;
	io_uring_cqe_seen(ring, entry);
	if (result < 0) {
		errno = (int)-result;
		return -1;
	}
	return result;
}

static inline ssize_t stream_vectored(struct stream *stream, void *bytes, size_t size,
				      bool is_write)
{
	unsigned char poison[STREAM_PIECES * STREAM_STRIDE];
	struct iovec vectors[STREAM_PIECES + 1];
	struct mmsghdr message = { .msg_hdr = { .msg_iov = vectors } };
	struct msghdr *header = &message.msg_hdr;
	struct io_uring *ring;
	ssize_t result = -1;

	header->msg_iovlen = (size_t)stream_scatter(vectors, poison, bytes, size, is_write);
	switch (stream->family) {
	case STREAM_MSG:
		result = is_write ? sendmsg(stream->fd, header, MSG_NOSIGNAL)
				  : recvmsg(stream->fd, header, 0);
		break;
	case STREAM_MMSG:
		result = is_write ? sendmmsg(stream->fd, &message, 1, MSG_NOSIGNAL)
				  : recvmmsg(stream->fd, &message, 1, 0, NULL);
		if (result == 1)
			result = message.msg_len;
		break;
	case STREAM_URING_MSG:
		ring = stream_ring();
		if (is_write)
			io_uring_prep_sendmsg(io_uring_get_sqe(ring), stream->fd, header,
					      MSG_NOSIGNAL);
		else
			io_uring_prep_recvmsg(io_uring_get_sqe(ring), stream->fd, header, 0);
		result = stream_uring_wait(ring);
		break;
	default:
		result = is_write ? writev(stream->fd, vectors, (int)header->msg_iovlen)
				  : readv(stream->fd, vectors, (int)header->msg_iovlen);
		break;
	}
	if (!is_write && result > 0)
		stream_gather(poison, bytes, (size_t)result);
	return result;
}

static inline ssize_t stream_read(struct stream *stream, void *bytes, size_t size)
{
	struct io_uring *ring;
	char peeked[256];
	ssize_t result;

	switch (stream->family) {
	case STREAM_READ_WRITE:
		return read(stream->fd, bytes, size);
	case STREAM_PEEK:
		result = recv(stream->fd, peeked, sizeof(peeked), MSG_PEEK);
		return result <= 0 ? result : recv(stream->fd, bytes, size, 0);
	case STREAM_SEND_RECV:
		return recv(stream->fd, bytes, size, 0);
	case STREAM_URING:
		ring = stream_ring();
		io_uring_prep_recv(io_uring_get_sqe(ring), stream->fd, bytes, size, 0);
		return stream_uring_wait(ring);
	case STREAM_URING_RW:
		ring = stream_ring();
		io_uring_prep_read(io_uring_get_sqe(ring), stream->fd, bytes, (unsigned int)size,
				   0);
		return stream_uring_wait(ring);
	default:
		return stream_vectored(stream, bytes, size, false);
	}
}

static inline ssize_t stream_write(struct stream *stream, const void *bytes, size_t size)
{
	struct io_uring *ring;

	switch (stream->family) {
	case STREAM_READ_WRITE:
		return write(stream->fd, bytes, size);
	case STREAM_PEEK:
	case STREAM_SEND_RECV:
		return send(stream->fd, bytes, size, MSG_NOSIGNAL);
	case STREAM_URING:
		ring = stream_ring();
		io_uring_prep_send(io_uring_get_sqe(ring), stream->fd, bytes, size, MSG_NOSIGNAL);
		return stream_uring_wait(ring);
	case STREAM_URING_RW:
		ring = stream_ring();
		io_uring_prep_write(io_uring_get_sqe(ring), stream->fd, bytes, (unsigned int)size,
				    0);
		return stream_uring_wait(ring);
	default:
		return stream_vectored(stream, (void *)(uintptr_t)bytes, size, true);
	}
}

/* All of it or -1 with errno. */
static inline int stream_write_all(struct stream *stream, const void *bytes, size_t size)
{
	size_t done = 0;

	while (done < size) {
		ssize_t sent = stream_write(stream, (const char *)bytes + done, size - done);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent <= 0)
			return -1;
		done += (size_t)sent;
	}
	return 0;
}

static inline void stream_sleep_ns(uint64_t duration_ns)
{
	struct timespec left = { (time_t)(duration_ns / 1000000000ULL),
				 (long)(duration_ns % 1000000000ULL) };

	while (clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) == EINTR)
		;
}

/* The peer gets a RST instead of a FIN. */
static inline void stream_reset(struct stream *stream)
{
	struct linger linger = { .l_onoff = 1, .l_linger = 0 };

	setsockopt(stream->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(stream->fd);
	stream->fd = -1;
}

#endif
