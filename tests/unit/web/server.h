/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The web server in the loop it is made for, with a real store behind it, and the
 * clients its tests need: curl and the like as child processes, hostile ones as
 * plain sockets. One program includes it once.
 */
#ifndef UNIT_WEB_SERVER_H
#define UNIT_WEB_SERVER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "web/web.h"

#define GUARD_MS	    20000 /* no single wait of a test may take longer */
#define BODY_BYTES_AT_LEAST (4UL << 20)
#define CROWD		    300

struct server {
	struct web *web;
	struct series_store *store;
	struct web_source source;
	const char *not_ready, *not_alive;
	int health_status;
	unsigned int refreshes, scrapes, turns;
	uint64_t scraped_bytes, longest_turn_ns;
};

static const struct series_spec requests_spec = {
	.name = "shop_requests_total",
	.kind = SERIES_COUNTER,
	.labels = { "service", NULL },
	.help = "Requests.",
};
static const struct series_spec duration_spec = {
	.name = "shop_request_duration_seconds",
	.kind = SERIES_HISTOGRAM,
	.unit = UNIT_SECONDS,
	.labels = { "route", NULL },
	.help = "Time a request took.",
};

static inline void refresh(void *context)
{
	((struct server *)context)->refreshes++;
}

static inline const char *ready(void *context)
{
	return ((struct server *)context)->not_ready;
}

static inline const char *alive(void *context)
{
	return ((struct server *)context)->not_alive;
}

static inline int health(void *context, struct text *ret_json)
{
	text_append_string(ret_json, "{\"overall_status\":\"healthy\",\"checks\":{}}\n");
	return ((struct server *)context)->health_status;
}

static inline void scraped(void *context, uint64_t duration_ns, uint64_t bytes)
{
	struct server *server = context;

	assert_true(duration_ns < GUARD_MS * NS_PER_MS);
	server->scrapes++;
	server->scraped_bytes = bytes;
}

static inline void fill_store(struct series_store *store, unsigned int routes)
{
	struct family *requests = series_family(store, &requests_spec);
	struct family *durations = series_family(store, &duration_spec);
	const char *shop[] = { "shop" };
	uint32_t classic[BOUND_BUCKETS] = { 1, 2, 3 };
	struct histogram_delta delta = { .count = 6, .sum = 1234567, .classic = classic };

	series_set(series_get(requests, shop), 23);
	for (unsigned int i = 0; i < routes; i++) {
		char route[64];
		const char *values[] = { route };

		snprintf(route, sizeof(route), "/api/projects/{id}/things/%u", i);
		series_add_histogram(series_get(durations, values), &delta);
	}
}

static inline struct server *server_open(const struct web_limits *limits, unsigned int routes)
{
	static const struct web_limits defaults = WEB_LIMITS_DEFAULT;
	struct server *server = calloc(1, sizeof(*server));

	assert_non_null(server);
	server->store = series_store_new(10000);
	assert_non_null(server->store);
	bounds_init_durations(&server->store->durations, NULL, 0, NULL);
	fill_store(server->store, routes);
	server->health_status = 200;
	server->source = (struct web_source){
		.context = server,
		.refresh = refresh,
		.store = server->store,
		.ready = ready,
		.alive = alive,
		.health = health,
		.scraped = scraped,
	};
	server->web = web_open_limited("127.0.0.1:0", &server->source, limits ? limits : &defaults);
	assert_non_null(server->web);
	return server;
}

static inline void server_close(struct server *server)
{
	web_close(server->web);
	series_store_free(server->store);
	free(server);
}

/* One turn of the agent's loop, which also watches `other` (or -1). True if that is readable. */
static inline bool turn(struct server *server, int other, int at_most_ms)
{
	struct pollfd fds[] = { { .fd = web_fd(server->web), .events = POLLIN },
				{ .fd = other, .events = POLLIN } };
	int timeout_ms = web_timeout_ms(server->web);
	uint64_t start_ns;

	if (timeout_ms < 0 || timeout_ms > at_most_ms)
		timeout_ms = at_most_ms;
	poll(fds, 2, timeout_ms);
	start_ns = clock_monotonic_ns();
	web_run(server->web);
	start_ns = clock_monotonic_ns() - start_ns;
	if (start_ns > server->longest_turn_ns)
		server->longest_turn_ns = start_ns;
	server->turns++;
	return other >= 0 && fds[1].revents;
}

static inline void run_for_ms(struct server *server, unsigned int ms)
{
	uint64_t end_ns = clock_monotonic_ns() + ms * NS_PER_MS, now_ns;

	while ((now_ns = clock_monotonic_ns()) < end_ns)
		turn(server, -1, (int)((end_ns - now_ns) / NS_PER_MS) + 1);
}

/* Runs a shell command while the server serves; its output, to free. */
static inline char *shell(struct server *server, const char *command)
{
	uint64_t end_ns = clock_monotonic_ns() + GUARD_MS * NS_PER_MS;
	struct text output = { 0 };
	FILE *pipe = popen(command, "re");
	char buffer[65536];
	ssize_t got = 1;

	assert_non_null(pipe);
	while (got > 0) {
		assert_true(clock_monotonic_ns() < end_ns);
		if (!turn(server, fileno(pipe), 100))
			continue;
		got = read(fileno(pipe), buffer, sizeof(buffer));
		if (got > 0)
			text_append(&output, buffer, (size_t)got);
	}
	text_append(&output, "", 0);
	text_printf(&output, "<exit %d>", WEXITSTATUS(pclose(pipe)));
	assert_false(output.failed);
	return output.bytes;
}

static inline char *curl(struct server *server, const char *path, const char *options)
{
	char command[2048];

	snprintf(command, sizeof(command), "curl -s -i --max-time 10 %s 'http://127.0.0.1:%u%s'",
		 options, web_port(server->web), path);
	return shell(server, command);
}

static inline void must_contain(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("no \"%s\" in:\n%.2000s", part, text);
}

static inline void must_answer(struct server *server, const char *path, const char *options,
			       const char *part, const char *other_part)
{
	char *answer = curl(server, path, options);

	must_contain(answer, part);
	must_contain(answer, other_part);
	must_contain(answer, "<exit 0>");
	free(answer);
}

static inline int connect_from(const struct server *server, const char *source)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(web_port(server->web)) };
	struct sockaddr_in from = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
	inet_pton(AF_INET, source, &from.sin_addr);
	assert_int_equal(bind(fd, (struct sockaddr *)&from, sizeof(from)), 0);
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)))
		assert_int_equal(errno, EINPROGRESS);
	return fd;
}

static inline void say(int fd, const char *bytes, size_t length)
{
	assert_int_equal(send(fd, bytes, length, MSG_NOSIGNAL), length);
}

static inline bool is_closed(int fd)
{
	char buffer[65536];
	ssize_t got;

	do {
		got = recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT);
	} while (got > 0);
	return got == 0 || errno != EAGAIN;
}

/* Serves until the peer has closed; what it said, to free. */
static inline char *until_closed(struct server *server, int fd)
{
	uint64_t end_ns = clock_monotonic_ns() + GUARD_MS * NS_PER_MS;
	struct text answer = { 0 };
	char buffer[65536];
	ssize_t got = 1;

	while (got > 0) {
		assert_true(clock_monotonic_ns() < end_ns);
		if (!turn(server, fd, 100))
			continue;
		got = recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT);
		if (got > 0)
			text_append(&answer, buffer, (size_t)got);
		else if (got < 0 && errno == EAGAIN)
			got = 1;
	}
	text_append(&answer, "", 1);
	return answer.bytes;
}

#endif
