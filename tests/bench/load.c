/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The load of the bench where wrk cannot make it: many paths, an open loop, idle connections.
 *
 *	load --port P [--connections N] [--paths K] [--requests N | --seconds S] [--rate R]
 *	load --port P --connections N --hold
 *
 * Without --rate each connection asks again as soon as it is answered. With it requests are due at
 * fixed times whatever became of the others, and latency counts from when a request was due, so a
 * slow server cannot hide behind a client that waits for it. --paths K asks for K paths in turn.
 * --hold asks once on each connection, says {"held":N}, and keeps them open until its input ends.
 * Prints one line of JSON. Loopback only, one thread.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SAMPLES_MAX (1u << 23)
#define EVENTS_MAX  256
#define NS	    1000000000ull

struct connection {
	int fd;
	uint64_t start_ns;   /* of the request under way */
	size_t seen, wanted; /* bytes of the response; wanted is 0 until its head was read */
	char head[512];
	struct connection *next_idle;
};

static struct {
	unsigned int port, connections, paths;
	uint64_t requests, rate;
	double seconds;
	bool hold;
} options = { .connections = 1, .paths = 1 };

static struct connection *connections, *idle;
static int events_fd;
static uint64_t asked, answered;
static uint64_t *samples;

static void fail(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS + (uint64_t)now.tv_nsec;
}

static void connection_open(struct connection *connection)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_port = htons((uint16_t)options.port),
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct epoll_event event = { .events = EPOLLIN, .data.ptr = connection };
	struct timeval patience = { .tv_sec = 30 };
	int one = 1;

	connection->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connection->fd < 0)
		fail("socket");
	if (connect(connection->fd, (struct sockaddr *)&address, sizeof(address)))
		fail("connect");
	setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(connection->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	if (epoll_ctl(events_fd, EPOLL_CTL_ADD, connection->fd, &event))
		fail("epoll_ctl");
}

/* Letters only, so that no route collapses into {id}. */
static void path_of(unsigned int number, char *ret_path, size_t size)
{
	char letters[8];
	int i;

	for (i = 0; i < 6; i++, number /= 18)
		letters[i] = (char)('g' + number % 18);
	letters[i] = 0;
	snprintf(ret_path, size, "/bench/%s", letters);
}

static void ask(struct connection *connection, uint64_t due_ns)
{
	char request[256], path[32];
	int length;

	path_of((unsigned int)(asked++ % options.paths), path, sizeof(path));
	length = snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: bench\r\n\r\n", path);
	connection->start_ns = due_ns;
	connection->seen = 0;
	connection->wanted = 0;
	if (send(connection->fd, request, (size_t)length, MSG_NOSIGNAL) != length)
		fail("send");
}

/* 0 while the head is not whole. */
static size_t response_size(const char *head)
{
	const char *end = strstr(head, "\r\n\r\n"), *length;

	if (!end)
		return 0;
	if (strncmp(head, "HTTP/1.1 200", 12) != 0) {
		fprintf(stderr, "load: not 200: %.40s\n", head);
		exit(1);
	}
	length = strcasestr(head, "\r\nContent-Length:");
	if (!length || length > end) {
		fputs("load: a response without Content-Length\n", stderr);
		exit(1);
	}
	return (size_t)(end + 4 - head) + strtoul(length + 17, NULL, 10);
}

/* True when the response is whole. */
static bool take(struct connection *connection)
{
	char bytes[16384];
	ssize_t count = recv(connection->fd, bytes, sizeof(bytes), 0);
	size_t room = sizeof(connection->head) - 1;

	if (count <= 0)
		fail(count ? "recv" : "recv: closed by the server");
	if (connection->seen < room) {
		room -= connection->seen;
		if (room > (size_t)count)
			room = (size_t)count;
		memcpy(connection->head + connection->seen, bytes, room);
		connection->head[connection->seen + room] = 0;
	}
	connection->seen += (size_t)count;
	if (!connection->wanted)
		connection->wanted = response_size(connection->head);
	if (!connection->wanted && connection->seen >= sizeof(connection->head)) {
		fputs("load: a response head beyond 511 bytes\n", stderr);
		exit(1);
	}
	return connection->wanted && connection->seen >= connection->wanted;
}

static void answered_now(struct connection *connection)
{
	if (answered < SAMPLES_MAX)
		samples[answered] = now_ns() - connection->start_ns;
	answered++;
	connection->next_idle = idle;
	idle = connection;
}

static bool may_ask(uint64_t start_ns, uint64_t now)
{
	if (options.requests && asked >= options.requests)
		return false;
	if (options.seconds > 0 && now - start_ns >= (uint64_t)(options.seconds * 1e9))
		return false;
	return !options.rate || start_ns + asked * NS / options.rate <= now;
}

/* An open loop waits for its next due time, a closed one never has nothing to do before its end. */
static bool is_over(uint64_t start_ns, uint64_t now)
{
	if (!options.rate || (options.requests && asked >= options.requests))
		return true;
	return options.seconds > 0 && now - start_ns >= (uint64_t)(options.seconds * 1e9);
}

/* Until everything was asked and answered; returns how long that took. */
static uint64_t run(void)
{
	struct epoll_event events[EVENTS_MAX];
	uint64_t start_ns = now_ns(), now = start_ns, due;
	struct connection *connection;
	struct timespec wait;
	int count;

	for (;;) {
		while (idle && may_ask(start_ns, now)) {
			connection = idle;
			idle = connection->next_idle;
			ask(connection,
			    options.rate ? start_ns + asked * NS / options.rate : now_ns());
		}
		if (asked == answered && is_over(start_ns, now))
			return now - start_ns;
		wait = (struct timespec){ .tv_sec = 1 };
		if (options.rate && idle) {
			due = start_ns + asked * NS / options.rate;
			due = due > now ? due - now : 0;
			wait = (struct timespec){ .tv_sec = (time_t)(due / NS),
						  .tv_nsec = (long)(due % NS) };
		}
		count = epoll_pwait2(events_fd, events, EVENTS_MAX, &wait, NULL);
		if (count < 0 && errno != EINTR)
			fail("epoll_pwait2");
		for (int i = 0; i < count; i++) {
			connection = (struct connection *)events[i].data.ptr;
			if (take(connection))
				answered_now(connection);
		}
		now = now_ns();
	}
}

static int by_size(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

	return (a > b) - (a < b);
}

static double quantile_us(uint64_t count, double q)
{
	uint64_t rank = (uint64_t)((double)count * q);

	return count ? (double)samples[rank < count ? rank : count - 1] / 1e3 : 0;
}

static void print_summary(uint64_t took_ns)
{
	uint64_t count = answered < SAMPLES_MAX ? answered : SAMPLES_MAX;

	qsort(samples, count, sizeof(*samples), by_size);
	printf("{\"requests\":%" PRIu64 ",\"seconds\":%.6f,\"rate\":%.1f,\"p50_us\":%.1f,"
	       "\"p90_us\":%.1f,\"p99_us\":%.1f,\"max_us\":%.1f}\n",
	       answered, (double)took_ns / 1e9, (double)answered * 1e9 / (double)took_ns,
	       quantile_us(count, 0.5), quantile_us(count, 0.9), quantile_us(count, 0.99),
	       quantile_us(count, 1));
}

static void hold(void)
{
	char byte;

	for (unsigned int i = 0; i < options.connections; i++) {
		ask(&connections[i], now_ns());
		while (!take(&connections[i]))
			;
	}
	printf("{\"held\":%u}\n", options.connections);
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
}

static void usage(void)
{
	fputs("usage: load --port P [--connections N] [--paths K] [--requests N | --seconds S] "
	      "[--rate R] [--hold]\n",
	      stderr);
	exit(2);
}

static void parse(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : "";

		if (strcmp(argv[i], "--hold") == 0) {
			options.hold = true;
			continue;
		}
		if (strcmp(argv[i], "--port") == 0)
			options.port = (unsigned int)strtoul(value, NULL, 10);
		else if (strcmp(argv[i], "--connections") == 0)
			options.connections = (unsigned int)strtoul(value, NULL, 10);
		else if (strcmp(argv[i], "--paths") == 0)
			options.paths = (unsigned int)strtoul(value, NULL, 10);
		else if (strcmp(argv[i], "--requests") == 0)
			options.requests = strtoull(value, NULL, 10);
		else if (strcmp(argv[i], "--rate") == 0)
			options.rate = strtoull(value, NULL, 10);
		else if (strcmp(argv[i], "--seconds") == 0)
			options.seconds = strtod(value, NULL);
		else
			usage();
		i++;
	}
	if (options.port < 1 || options.port > 65535 || options.connections < 1 ||
	    options.paths < 1 || (!options.hold && !options.requests && !(options.seconds > 0)))
		usage();
}

int main(int argc, char **argv)
{
	parse(argc, argv);
	prctl(PR_SET_TIMERSLACK, 1);
	events_fd = epoll_create1(EPOLL_CLOEXEC);
	connections = calloc(options.connections, sizeof(*connections));
	samples = malloc(SAMPLES_MAX * sizeof(*samples)); /* touched only as far as used */
	if (events_fd < 0 || !connections || !samples)
		fail("start");
	for (unsigned int i = 0; i < options.connections; i++) {
		connection_open(&connections[i]);
		connections[i].next_idle = idle;
		idle = &connections[i];
	}
	if (options.hold)
		hold();
	else
		print_summary(run());
	return 0;
}
