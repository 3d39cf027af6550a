/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The server in the loop it is made for, with a real store behind it and real
 * clients: curl and promtool as child processes, hostile ones as plain sockets.
 */
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

static void refresh(void *context)
{
	((struct server *)context)->refreshes++;
}

static const char *ready(void *context)
{
	return ((struct server *)context)->not_ready;
}

static const char *alive(void *context)
{
	return ((struct server *)context)->not_alive;
}

static int health(void *context, struct text *ret_json)
{
	text_append_string(ret_json, "{\"overall_status\":\"healthy\",\"checks\":{}}\n");
	return ((struct server *)context)->health_status;
}

static void scraped(void *context, uint64_t duration_ns, uint64_t bytes)
{
	struct server *server = context;

	assert_true(duration_ns < GUARD_MS * NS_PER_MS);
	server->scrapes++;
	server->scraped_bytes = bytes;
}

static void fill_store(struct series_store *store, unsigned int routes)
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

static struct server *server_open(const struct web_limits *limits, unsigned int routes)
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

static void server_close(struct server *server)
{
	web_close(server->web);
	series_store_free(server->store);
	free(server);
}

/* One turn of the agent's loop, which also watches `other` (or -1). True if that is readable. */
static bool turn(struct server *server, int other, int at_most_ms)
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

static void run_for_ms(struct server *server, unsigned int ms)
{
	uint64_t end_ns = clock_monotonic_ns() + ms * NS_PER_MS, now_ns;

	while ((now_ns = clock_monotonic_ns()) < end_ns)
		turn(server, -1, (int)((end_ns - now_ns) / NS_PER_MS) + 1);
}

/* Runs a shell command while the server serves; its output, to free. */
static char *shell(struct server *server, const char *command)
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

static char *curl(struct server *server, const char *path, const char *options)
{
	char command[2048];

	snprintf(command, sizeof(command), "curl -s -i --max-time 10 %s 'http://127.0.0.1:%u%s'",
		 options, web_port(server->web), path);
	return shell(server, command);
}

static void must_contain(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("no \"%s\" in:\n%.2000s", part, text);
}

static void must_answer(struct server *server, const char *path, const char *options,
			const char *part, const char *other_part)
{
	char *answer = curl(server, path, options);

	must_contain(answer, part);
	must_contain(answer, other_part);
	must_contain(answer, "<exit 0>");
	free(answer);
}

static int connect_from(const struct server *server, const char *source)
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

static void say(int fd, const char *bytes, size_t length)
{
	assert_int_equal(send(fd, bytes, length, MSG_NOSIGNAL), length);
}

static bool is_closed(int fd)
{
	char buffer[65536];
	ssize_t got;

	do {
		got = recv(fd, buffer, sizeof(buffer), MSG_DONTWAIT);
	} while (got > 0);
	return got == 0 || errno != EAGAIN;
}

/* Serves until the peer has closed; what it said, to free. */
static char *until_closed(struct server *server, int fd)
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

static void serves_the_text_format_by_default(void **state)
{
	struct server *server = server_open(NULL, 3);
	char *answer = curl(server, "/metrics", "");

	(void)state;
	must_contain(answer, "HTTP/1.1 200 OK\r\n");
	must_contain(answer, "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n");
	must_contain(answer, "X-Content-Type-Options: nosniff\r\n");
	must_contain(answer, "Cache-Control: no-store\r\n");
	must_contain(answer, "\nshop_requests_total{service=\"shop\"} 23\n");
	must_contain(answer, "le=\"+Inf\"} 6\n");
	must_contain(answer, "<exit 0>");
	assert_null(strstr(answer, "Content-Encoding"));
	assert_null(strstr(answer, "# EOF"));
	assert_int_equal(server->refreshes, 1);
	assert_int_equal(server->scrapes, 1);
	free(answer);
	server_close(server);
}

static void serves_openmetrics_to_those_who_ask(void **state)
{
	struct server *server = server_open(NULL, 3);
	char *answer = curl(server, "/metrics",
			    "-H 'Accept: application/openmetrics-text;version=1.0.0,*/*;q=0.1'");

	(void)state;
	must_contain(answer, "Content-Type: application/openmetrics-text; version=1.0.0; "
			     "charset=utf-8\r\n");
	must_contain(answer, "\n# TYPE shop_requests counter\n");
	must_contain(answer, "\n# EOF\n<exit 0>");
	free(answer);
	server_close(server);
}

static void a_compressed_answer_unpacks_to_the_plain_one(void **state)
{
	struct server *server = server_open(NULL, 2000);
	char *gzip = curl(server, "/metrics", "--compressed");
	uint64_t gzip_bytes = server->scraped_bytes;
	char *plain = curl(server, "/metrics", "-H 'Accept-Encoding: gzip;q=0'");

	(void)state;
	must_contain(gzip, "Content-Encoding: gzip\r\n");
	must_contain(gzip, "Vary: Accept, Accept-Encoding\r\n");
	assert_null(strstr(plain, "Content-Encoding"));
	assert_true(server->scraped_bytes > BODY_BYTES_AT_LEAST);
	assert_true(gzip_bytes < server->scraped_bytes / 10);
	assert_string_equal(strstr(gzip, "\r\n\r\n"), strstr(plain, "\r\n\r\n"));
	free(gzip);
	free(plain);
	server_close(server);
}

static void promtool_finds_nothing_to_say(void **state)
{
	struct server *server = server_open(NULL, 50);
	char command[256], *output;

	(void)state;
	if (system("command -v promtool >/dev/null")) {
		server_close(server);
		skip();
	}
	snprintf(command, sizeof(command),
		 "curl -s http://127.0.0.1:%u/metrics | promtool check metrics 2>&1",
		 web_port(server->web));
	output = shell(server, command);
	assert_string_equal(output, "<exit 0>");
	free(output);
	server_close(server);
}

static void head_tells_the_size_and_sends_no_body(void **state)
{
	struct server *server = server_open(NULL, 3);
	char *answer = curl(server, "/metrics", "-I"), length[64];

	(void)state;
	snprintf(length, sizeof(length), "Content-Length: %llu\r\n",
		 (unsigned long long)server->scraped_bytes);
	must_contain(answer, "HTTP/1.1 200 OK\r\n");
	must_contain(answer, length);
	must_contain(answer, "\r\n\r\n<exit 0>");
	free(answer);
	must_answer(server, "/health", "-I", "HTTP/1.1 200 OK\r\n", "\r\n\r\n<exit 0>");
	server_close(server);
}

static void health_says_what_the_agent_says(void **state)
{
	struct server *server = server_open(NULL, 0);

	(void)state;
	must_answer(server, "/health", "", "HTTP/1.1 200 OK\r\n", "{\"overall_status\":");
	must_answer(server, "/health", "", "Content-Type: application/json\r\n", "nosniff");
	must_answer(server, "/?health", "", "HTTP/1.1 200 OK\r\n", "{\"overall_status\":");
	must_answer(server, "/?health=1&x", "", "HTTP/1.1 200 OK\r\n", "{\"overall_status\":");
	must_answer(server, "/health/ready", "", " 200 OK\r\n", "\r\n{\"status\":\"ready\"}\n<");
	must_answer(server, "/health/live", "", " 200 OK\r\n", "\r\n{\"status\":\"alive\"}\n<");
	server->health_status = 503;
	server->not_ready = "the \"ring\" is full";
	server->not_alive = "stuck";
	must_answer(server, "/health", "", "HTTP/1.1 503 ", "{\"overall_status\":");
	must_answer(server, "/health/ready", "", "HTTP/1.1 503 ",
		    "{\"status\":\"not ready\",\"reason\":\"the \\\"ring\\\" is full\"}\n<");
	must_answer(server, "/health/live", "", "HTTP/1.1 503 ",
		    "{\"status\":\"not alive\",\"reason\":\"stuck\"}\n<");
	assert_int_equal(server->refreshes, 0);
	server_close(server);
}

static void the_front_page_links_to_everything(void **state)
{
	struct server *server = server_open(NULL, 0);

	(void)state;
	must_answer(server, "/", "", "Content-Type: text/html", "<a href=\"/metrics\">");
	must_answer(server, "/", "", "Content-Security-Policy: default-src 'none'",
		    "<a href=\"/health/live\">");
	server_close(server);
}

static void refuses_what_it_does_not_serve(void **state)
{
	struct server *server = server_open(NULL, 0);
	char url[1200] = "/";

	(void)state;
	must_answer(server, "/nope", "", "HTTP/1.1 404 Not Found\r\n", "{\"error\":\"not found\"}");
	must_answer(server, "/metrics/", "", "HTTP/1.1 404 ", "nosniff");
	must_answer(server, "/metrics", "-X DELETE", "HTTP/1.1 405 ", "Allow: GET, HEAD\r\n");
	must_answer(server, "/metrics", "-X OPTIONS", "HTTP/1.1 405 ", "Allow: GET, HEAD\r\n");
	must_answer(server, "/metrics", "-X POST", "HTTP/1.1 405 ", "Allow: GET, HEAD\r\n");
	memset(url + 1, 'a', sizeof(url) - 2);
	must_answer(server, url, "", "HTTP/1.1 414 ", "URL too long");
	server_close(server);
}

static void takes_no_request_bodies(void **state)
{
	struct server *server = server_open(NULL, 0);

	(void)state;
	must_answer(server, "/metrics", "-d x=1", "HTTP/1.1 413 ", "Connection: close\r\n");
	must_answer(server, "/metrics", "-X GET -d x=1", "HTTP/1.1 413 ", "Connection: close\r\n");
	must_answer(server, "/metrics", "-X PUT -d x=1", "HTTP/1.1 413 ", "Connection: close\r\n");
	must_answer(server, "/metrics", "-d x=1 -H 'Transfer-Encoding: chunked'", "HTTP/1.1 413 ",
		    "Connection: close\r\n");
	must_answer(server, "/metrics", "-d x=1 -H 'Expect: 100-continue'", "HTTP/1.1 413 ",
		    "Connection: close\r\n");
	assert_int_equal(server->scrapes, 0);
	must_answer(server, "/health/live", "", "HTTP/1.1 200 OK\r\n", "alive");
	server_close(server);
}

static void concurrent_scrapes_share_one_rendering(void **state)
{
	struct server *server = server_open(NULL, 100);
	char command[256], *output;

	(void)state;
	snprintf(command, sizeof(command),
		 "curl -s http://127.0.0.1:%u/metrics?[1-20] | grep -c '^# TYPE'",
		 web_port(server->web));
	output = shell(server, command);
	assert_string_equal(output, "40\n<exit 0>");
	assert_int_equal(server->scrapes, 20);
	assert_true(server->refreshes <= 5);
	free(output);
	run_for_ms(server, 250);
	output = curl(server, "/metrics", "");
	assert_true(server->refreshes >= 2);
	free(output);
	server_close(server);
}

static void answers_pipelined_requests_in_order(void **state)
{
	static const char requests[] = "GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n"
				       "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n"
				       "GET /nope HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
	struct server *server = server_open(NULL, 2);
	int fd = connect_from(server, "127.0.0.1");
	char *answer, *live, *metrics, *nope;

	(void)state;
	say(fd, requests, sizeof(requests) - 1);
	answer = until_closed(server, fd);
	live = strstr(answer, "alive");
	metrics = strstr(answer, "shop_requests_total{");
	nope = strstr(answer, "not found");
	assert_true(live && metrics && nope && live < metrics && metrics < nope);
	assert_int_equal(web_counts(server->web).requests, 3);
	assert_int_equal(web_counts(server->web).open, 0);
	free(answer);
	close(fd);
	server_close(server);
}

static void a_huge_head_is_refused_and_harms_nobody(void **state)
{
	static char head[100000];
	struct server *server = server_open(NULL, 0);
	int fd = connect_from(server, "127.0.0.1");
	size_t length = (size_t)snprintf(head, sizeof(head), "GET /metrics HTTP/1.1\r\nX: ");
	char *answer;

	(void)state;
	memset(head + length, 'x', sizeof(head) - length);
	turn(server, -1, 100);
	assert_true(send(fd, head, sizeof(head), MSG_NOSIGNAL) > 40000);
	answer = until_closed(server, fd);
	assert_true(strstr(answer, "HTTP/1.1 431 ") || strstr(answer, "HTTP/1.1 413 "));
	assert_int_equal(server->scrapes, 0);
	free(answer);
	close(fd);
	must_answer(server, "/health/live", "", "HTTP/1.1 200 OK\r\n", "alive");
	server_close(server);
}

static void garbage_is_answered_with_an_error_or_not_at_all(void **state)
{
	static const char *const garbage[] = {
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", /* TLS */
		"GET\r\n\r\n",
		"\r\n\r\n\r\n\r\n",
		"GET /metrics HTTP/9.9\r\n\r\n",
		"GET /metrics HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
		"GET /metrics HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"GET /%00%ff%zz?%&=&health HTTP/1.1\r\nHost: a\r\n\r\n",
	};
	struct web_limits limits = WEB_LIMITS_DEFAULT;
	struct server *server;

	(void)state;
	limits.idle_s = 1; /* what is half a request waits this long for the rest */
	server = server_open(&limits, 0);
	for (size_t i = 0; i < sizeof(garbage) / sizeof(garbage[0]); i++) {
		int fd = connect_from(server, "127.0.0.1");
		char *answer;

		say(fd, garbage[i], strlen(garbage[i]));
		shutdown(fd, SHUT_WR);
		answer = until_closed(server, fd);
		assert_null(strstr(answer, "shop_requests_total"));
		free(answer);
		close(fd);
	}
	must_answer(server, "/health/live", "", "HTTP/1.1 200 OK\r\n", "alive");
	server_close(server);
}

static void a_dripping_client_is_cut_at_the_deadline(void **state)
{
	struct web_limits limits = WEB_LIMITS_DEFAULT;
	uint64_t start_ns, took_ms;
	struct server *server;
	int fd;

	(void)state;
	limits.head_ms = 600;
	server = server_open(&limits, 0);
	fd = connect_from(server, "127.0.0.1");
	start_ns = clock_monotonic_ns();
	turn(server, -1, 100);
	say(fd, "GET /metrics HTTP/1.1\r\n", 23);
	while (!is_closed(fd)) {
		assert_true(clock_monotonic_ns() - start_ns < 5 * NS_PER_S);
		send(fd, "X: y\r\n", 6, MSG_NOSIGNAL);
		run_for_ms(server, 50);
	}
	took_ms = (clock_monotonic_ns() - start_ns) / NS_PER_MS;
	assert_true(took_ms >= 600);
	assert_int_equal(web_counts(server->web).cut, 1);
	assert_int_equal(web_counts(server->web).open, 0);
	close(fd);
	server_close(server);
}

static void the_deadline_starts_anew_with_each_request(void **state)
{
	struct web_limits limits = WEB_LIMITS_DEFAULT;
	struct server *server;
	int fd;

	(void)state;
	limits.head_ms = 500;
	server = server_open(&limits, 0);
	fd = connect_from(server, "127.0.0.1");
	turn(server, -1, 100);
	for (unsigned int i = 0; i < 4; i++) {
		say(fd, "GET /health/live HTTP/1.1\r\nHost: a\r\n\r\n", 38);
		run_for_ms(server, 200);
		assert_false(is_closed(fd));
	}
	assert_int_equal(web_counts(server->web).requests, 4);
	run_for_ms(server, 700);
	assert_true(is_closed(fd));
	close(fd);
	server_close(server);
}

static void a_silent_client_is_closed_when_idle(void **state)
{
	struct web_limits limits = WEB_LIMITS_DEFAULT;
	struct server *server;
	int fd;

	(void)state;
	limits.idle_s = 1;
	server = server_open(&limits, 0);
	fd = connect_from(server, "127.0.0.1");
	run_for_ms(server, 300);
	assert_int_equal(web_counts(server->web).open, 1);
	free(until_closed(server, fd));
	assert_int_equal(web_counts(server->web).open, 0);
	assert_int_equal(web_counts(server->web).cut, 0);
	close(fd);
	server_close(server);
}

static int slow_reader(struct server *server)
{
	int fd = connect_from(server, "127.0.0.1"), small = 4096;

	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	turn(server, -1, 100);
	say(fd, "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n", 34);
	return fd;
}

static void a_client_that_does_not_read_is_cut(void **state)
{
	struct web_limits limits = WEB_LIMITS_DEFAULT;
	struct server *server;
	int fd;

	(void)state;
	limits.answer_ms = 500;
	server = server_open(&limits, 2000);
	fd = slow_reader(server);
	run_for_ms(server, 300);
	assert_int_equal(web_counts(server->web).open, 1);
	assert_int_equal(server->scrapes, 1);
	run_for_ms(server, 400);
	assert_int_equal(web_counts(server->web).open, 0);
	assert_int_equal(web_counts(server->web).cut, 1);
	close(fd);
	server_close(server);
}

static void slow_readers_cannot_pile_up_answers(void **state)
{
	struct server *server = server_open(NULL, 2000);
	int fds[12];

	(void)state;
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
		unsigned int refreshes = server->refreshes;
		uint64_t end_ns = clock_monotonic_ns() + 5 * NS_PER_S;

		fds[i] = slow_reader(server);
		while (server->scrapes <= i && clock_monotonic_ns() < end_ns)
			turn(server, -1, 10);
		assert_int_equal(server->scrapes, i + 1);
		assert_int_equal(server->refreshes, refreshes + 1);
		/* until the cached answer is stale, so that each client holds one of its own */
		while (web_timeout_ms(server->web) >= 0 && web_timeout_ms(server->web) < 3000 &&
		       clock_monotonic_ns() < end_ns)
			turn(server, -1, 100);
	}
	assert_true(web_counts(server->web).cut >= 4);
	assert_true(web_counts(server->web).open <= 8);
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		close(fds[i]);
	must_answer(server, "/metrics", "", "HTTP/1.1 200 OK\r\n", "shop_requests_total{");
	server_close(server);
}

static void a_crowd_is_turned_away_at_the_door(void **state)
{
	struct server *server = server_open(NULL, 0);
	static int fds[CROWD];
	unsigned int open = 0;
	int neighbour;
	char *answer;

	(void)state;
	for (unsigned int i = 0; i < CROWD; i++) {
		fds[i] = connect_from(server, "127.0.0.1");
		turn(server, -1, 0);
	}
	run_for_ms(server, 200);
	for (unsigned int i = 0; i < CROWD; i++)
		open += !is_closed(fds[i]);
	assert_int_equal(open, 32);
	assert_int_equal(web_counts(server->web).open, 32);
	assert_int_equal(web_counts(server->web).refused, CROWD - 32);
	assert_true(server->longest_turn_ns < 500 * NS_PER_MS);

	/* others are served meanwhile */
	neighbour = connect_from(server, "127.0.0.2");
	say(neighbour, "GET /health/live HTTP/1.0\r\n\r\n", 29);
	answer = until_closed(server, neighbour);
	must_contain(answer, "alive");
	free(answer);
	close(neighbour);

	for (unsigned int i = 0; i < CROWD; i++)
		close(fds[i]);
	run_for_ms(server, 50);
	assert_int_equal(web_counts(server->web).open, 0);
	must_answer(server, "/health/live", "", "HTTP/1.1 200 OK\r\n", "alive");
	server_close(server);
}

static void the_total_is_limited_whoever_comes(void **state)
{
	struct server *server = server_open(NULL, 0);
	char source[32];
	int fds[100];

	(void)state;
	for (unsigned int i = 0; i < 100; i++) {
		snprintf(source, sizeof(source), "127.0.0.%u", 1 + i % 10);
		fds[i] = connect_from(server, source);
		turn(server, -1, 0);
	}
	run_for_ms(server, 100);
	assert_int_equal(web_counts(server->web).open, 64);
	assert_int_equal(web_counts(server->web).refused, 36);
	for (unsigned int i = 0; i < 100; i++)
		close(fds[i]);
	server_close(server);
}

static void running_out_of_descriptors_does_not_spin(void **state)
{
	struct server *server = server_open(NULL, 0);
	int fd = connect_from(server, "127.0.0.1"), next;
	struct rlimit limit, low;
	char *answer;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	next = dup(fd);
	low = (struct rlimit){ .rlim_cur = (rlim_t)next, .rlim_max = limit.rlim_max };
	close(next);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	server->turns = 0;
	run_for_ms(server, 300);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	assert_int_equal(web_counts(server->web).open, 0);
	assert_true(server->turns < 20);
	say(fd, "GET /health/live HTTP/1.0\r\n\r\n", 29);
	answer = until_closed(server, fd);
	must_contain(answer, "alive");
	free(answer);
	close(fd);
	server_close(server);
}

static void an_idle_server_wants_no_attention(void **state)
{
	struct server *server = server_open(NULL, 10);

	(void)state;
	assert_int_equal(web_timeout_ms(server->web), -1);
	must_answer(server, "/metrics", "", "HTTP/1.1 200 OK\r\n", "shop_requests_total{");
	run_for_ms(server, 400);
	assert_int_equal(web_timeout_ms(server->web), -1);
	server->turns = 0;
	run_for_ms(server, 200);
	assert_true(server->turns <= 2);
	server_close(server);
}

static void says_why_it_cannot_listen(void **state)
{
	struct server *server = server_open(NULL, 0);
	char listen[32];

	(void)state;
	snprintf(listen, sizeof(listen), "127.0.0.1:%u", web_port(server->web));
	errno = 0;
	assert_null(web_open(listen, &server->source));
	assert_int_equal(errno, EADDRINUSE);
	assert_null(web_open("nonsense", &server->source));
	assert_int_equal(errno, EINVAL);
	assert_null(web_open("192.0.2.1:0", &server->source));
	assert_int_equal(errno, EADDRNOTAVAIL);
	web_close(NULL);
	server_close(server);
}

static void listens_on_ipv6_and_on_all_addresses(void **state)
{
	struct server *server = server_open(NULL, 0);
	static const char *const listens[] = { "[::1]:0", ":0" };
	static const char *const hosts[] = { "[::1]", "127.0.0.1" };
	char command[128], *answer;

	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		web_close(server->web);
		server->web = web_open(listens[i], &server->source);
		if (!server->web && i == 0 && (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL))
			continue; /* no IPv6 here */
		assert_non_null(server->web);
		snprintf(command, sizeof(command), "curl -gs http://%s:%u/health/live", hosts[i],
			 web_port(server->web));
		answer = shell(server, command);
		assert_string_equal(answer, "{\"status\":\"alive\"}\n<exit 0>");
		free(answer);
	}
	server_close(server);
}

static void closing_lets_go_of_clients_in_the_middle(void **state)
{
	struct server *server = server_open(NULL, 2000);
	int silent = connect_from(server, "127.0.0.1"), reading;

	(void)state;
	reading = slow_reader(server);
	run_for_ms(server, 100);
	assert_int_equal(web_counts(server->web).open, 2);
	assert_int_equal(server->scrapes, 1);
	server_close(server); /* under the sanitizers: no leak, no use after free */
	close(silent);
	close(reading);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(serves_the_text_format_by_default),
		cmocka_unit_test(serves_openmetrics_to_those_who_ask),
		cmocka_unit_test(a_compressed_answer_unpacks_to_the_plain_one),
		cmocka_unit_test(promtool_finds_nothing_to_say),
		cmocka_unit_test(head_tells_the_size_and_sends_no_body),
		cmocka_unit_test(health_says_what_the_agent_says),
		cmocka_unit_test(the_front_page_links_to_everything),
		cmocka_unit_test(refuses_what_it_does_not_serve),
		cmocka_unit_test(takes_no_request_bodies),
		cmocka_unit_test(concurrent_scrapes_share_one_rendering),
		cmocka_unit_test(answers_pipelined_requests_in_order),
		cmocka_unit_test(a_huge_head_is_refused_and_harms_nobody),
		cmocka_unit_test(garbage_is_answered_with_an_error_or_not_at_all),
		cmocka_unit_test(a_dripping_client_is_cut_at_the_deadline),
		cmocka_unit_test(the_deadline_starts_anew_with_each_request),
		cmocka_unit_test(a_silent_client_is_closed_when_idle),
		cmocka_unit_test(a_client_that_does_not_read_is_cut),
		cmocka_unit_test(slow_readers_cannot_pile_up_answers),
		cmocka_unit_test(a_crowd_is_turned_away_at_the_door),
		cmocka_unit_test(the_total_is_limited_whoever_comes),
		cmocka_unit_test(running_out_of_descriptors_does_not_spin),
		cmocka_unit_test(an_idle_server_wants_no_attention),
		cmocka_unit_test(says_why_it_cannot_listen),
		cmocka_unit_test(listens_on_ipv6_and_on_all_addresses),
		cmocka_unit_test(closing_lets_go_of_clients_in_the_middle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
