/* SPDX-License-Identifier: GPL-2.0-only */
/* What clients can do to the server, and for how long. */
#include "unit/web/server.h"

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
		cmocka_unit_test(closing_lets_go_of_clients_in_the_middle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
