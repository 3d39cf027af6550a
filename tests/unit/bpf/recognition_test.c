/* SPDX-License-Identifier: GPL-2.0-only */
/* What is a request, and what is somebody else's protocol and none of our
 * business. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "connection.h"

#define OK_EMPTY "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

static struct connection connection;

static int reset(void **state)
{
	(void)state;
	machine_reset();
	connection_open(&connection, false);
	return 0;
}

static int finish(void **state)
{
	(void)state;
	connection_free(&connection);
	machine_reset();
	return 0;
}

static void again(bool is_client)
{
	connection_free(&connection);
	machine_reset();
	connection_open(&connection, is_client);
}

static void ask(const char *text)
{
	connection_request(&connection, text, strlen(text));
}

static void answer(const char *text)
{
	connection_response(&connection, text, strlen(text));
}

/* The path under which one request with this request line is counted; fails if
 * it is not. */
static void check_line(const char *line, enum http_method method, const char *path)
{
	char text[400], counted_path[PATH_MAX_BYTES + 1];
	size_t length =
		(size_t)snprintf(text, sizeof(text), "%s HTTP/1.1\r\nHost: a\r\n\r\n", line);
	struct request_slot *slot;

	for (size_t at = 0; at < length; at++) {
		again(at & 1);
		connection_request(&connection, text, at);
		connection_request(&connection, text + at, length - at);
		/* not 200, which would make a tunnel of a CONNECT */
		answer("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n");
		slot = counted_slot(method, 404, 0);
		if (!slot || lost_any() || counted(-1) != 1)
			fail_msg("%s cut at %zu: counted %llu, lost %llu", line, at, counted(-1),
				 lost_any());
		recorded_path(slot->key.route, counted_path);
		assert_string_equal(counted_path, path);
	}
}

static __u64 route_of_line(const char *line)
{
	char text[400];

	again(false);
	snprintf(text, sizeof(text), "%s HTTP/1.1\r\n\r\n", line);
	ask(text);
	answer("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n");
	slots_for_each(element)
	{
		const struct request_slot *slot = element->value;

		if (slot_count(slot))
			return slot->key.route;
	}
	fail_msg("%s is not counted", line);
	return 0;
}

static void knows_every_method(void **state)
{
	(void)state;
	check_line("GET /a", HTTP_GET, "/a");
	check_line("POST /a", HTTP_POST, "/a");
	check_line("PUT /a", HTTP_PUT, "/a");
	check_line("HEAD /a", HTTP_HEAD, "/a");
	check_line("DELETE /a", HTTP_DELETE, "/a");
	check_line("PATCH /a", HTTP_PATCH, "/a");
	check_line("OPTIONS /a", HTTP_OPTIONS, "/a");
	check_line("TRACE /a", HTTP_TRACE, "/a");
}

static void counts_methods_it_does_not_know_as_other(void **state)
{
	static const char *const methods[] = { "PROPFIND", "PURGE", "MKCOL", "REPORT", "LOCK" };

	(void)state;
	for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
		char text[100];

		again(false);
		snprintf(text, sizeof(text), "%s /a HTTP/1.1\r\n\r\n", methods[i]);
		ask(text);
		answer(OK_EMPTY);
		if (!counted_slot(HTTP_METHOD_OTHER, 200, 0) || counted(-1) != 1)
			fail_msg("%s is not counted", methods[i]);
		assert_int_equal(lost_any(), 0);
	}
}

static void counts_methods_it_does_not_know_wherever_they_are_cut(void **state)
{
	(void)state;
	check_line("PURGE /a", HTTP_METHOD_OTHER, "/a");
	check_line("PROPFIND /a", HTTP_METHOD_OTHER, "/a");
}

static void takes_the_path_from_an_absolute_target(void **state)
{
	(void)state;
	check_line("GET http://example.org:8080/a/b?c", HTTP_GET, "/a/b");
	check_line("GET HTTPS://example.org/", HTTP_GET, "/");
	assert_int_equal(route_of_line("GET http://example.org/a/1"), route_of_line("GET /a/2"));
	assert_int_equal(route_of_line("GET http://example.org/"), route_of_line("GET /"));
}

static void takes_an_absolute_target_without_a_path_for_the_root(void **state)
{
	(void)state;
	assert_int_equal(route_of_line("GET http://example.org"), route_of_line("GET /"));
	assert_int_equal(route_of_line("GET http://example.org?a=b"), route_of_line("GET /"));
}

static void keeps_the_asterisk_apart_from_the_root(void **state)
{
	(void)state;
	check_line("OPTIONS *", HTTP_OPTIONS, "*");
	assert_int_not_equal(route_of_line("OPTIONS *"), route_of_line("OPTIONS /"));
}

static void tells_the_authorities_of_tunnels_apart(void **state)
{
	(void)state;
	check_line("CONNECT example.org:443", HTTP_CONNECT, "example.org:443");
	assert_int_not_equal(route_of_line("CONNECT axample.org:443"),
			     route_of_line("CONNECT bxample.org:443"));
	check_line("CONNECT host.example.org:443", HTTP_CONNECT, "host.example.org:443");
}

static void ends_a_path_at_query_and_fragment(void **state)
{
	(void)state;
	check_line("GET /?a=/b", HTTP_GET, "/");
	check_line("GET /a#b/c", HTTP_GET, "/a");
	check_line("GET /aaaaaaa?", HTTP_GET, "/aaaaaaa");
	assert_int_equal(route_of_line("GET /a?b"), route_of_line("GET /a#c"));
	assert_int_not_equal(route_of_line("GET /a"), route_of_line("GET /a/"));
}

static void cuts_paths_longer_than_what_is_kept(void **state)
{
	char line[300] = "GET /", path[300];

	(void)state;
	memset(line + 5, 'x', 200);
	line[205] = 0;
	snprintf(path, sizeof(path), "%.*s", PATH_MAX_BYTES - 4, line + 4);
	check_line(line, HTTP_GET, path);
}

static void ignores_and_counts_tls(void **state)
{
	(void)state;
	for (int is_client = 0; is_client < 2; is_client++) {
		again(is_client);
		ask("\x16\x03\x01\x02\x01\x01");
		answer("\x16\x03\x03");
		ask("GET / HTTP/1.1\r\n\r\n");
		answer(OK_EMPTY);
		assert_int_equal(ignored(IGNORED_TLS), 1);
		assert_int_equal(counted(-1) + lost_any(), 0);
	}
}

static void ignores_and_counts_http2(void **state)
{
	static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

	(void)state;
	for (size_t at = 0; at < sizeof(preface) - 1; at++) {
		again(false);
		connection_request(&connection, preface, at);
		connection_request(&connection, preface + at, sizeof(preface) - 1 - at);
		answer("\x01\x02\x03");
		if (ignored(IGNORED_HTTP2) != 1 || counted(-1) || lost_any())
			fail_msg("cut at %zu: ignored %llu, lost %llu", at, ignored(IGNORED_HTTP2),
				 lost_any());
	}
}

static void ignores_and_counts_what_is_no_http(void **state)
{
	static const char *const texts[] = {
		"*1\r\n$4\r\nPING\r\n", "GET key\r\n",	       "PUT\r\n",
		"EHLO example.org\r\n", "220 ready\r\n",       "SSH-2.0-OpenSSH_9.2\r\n",
		"\x01\x02\x03\x04",	"get /a HTTP/1.1\r\n", "HTTP/2 200\r\n",
		" GET / HTTP/1.1\r\n",	"GET  / HTTP/1.1\r\n",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		again(i & 1);
		ask(texts[i]);
		answer("$5\r\nhello\r\n");
		if (ignored(IGNORED_OTHER) != 1 || counted(-1) || lost_any())
			fail_msg("%s: ignored %llu, counted %llu, lost %llu", texts[i],
				 ignored(IGNORED_OTHER), counted(-1), lost_any());
	}
}

static void ignores_redis_commands_whatever_the_key(void **state)
{
	static const char *const texts[] = { "GET hello\r\n", "GET /hello\r\n", "GET *\r\n",
					     "GET http://a\r\n" };

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		again(false);
		ask(texts[i]);
		answer("$5\r\nhello\r\n");
		ask(texts[i]);
		answer("$5\r\nhello\r\n");
		connection_state(&connection, TCP_CLOSE);
		if (counted(-1) || lost_any())
			fail_msg("%s: counted %llu, lost %llu", texts[i], counted(-1), lost_any());
	}
}

static void counts_what_only_began_like_http_as_ignored(void **state)
{
	static const char *const texts[] = { "GETTER\r\n", "POSTGRES\r\n", "HTTPS\r\n",
					     "PRIVMSG x\r\n" };

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		for (size_t at = 1; at < strlen(texts[i]); at++) {
			again(false);
			connection_request(&connection, texts[i], at);
			connection_request(&connection, texts[i] + at, strlen(texts[i]) - at);
			if (ignored(IGNORED_OTHER) != 1 || counted(-1))
				fail_msg("%s cut at %zu: ignored %llu", texts[i], at,
					 ignored(IGNORED_OTHER));
		}
	}
}

static void counts_garbage_on_an_http_connection_as_lost(void **state)
{
	(void)state;
	ask("GET /a HTTP/1.1\r\n\r\n");
	answer(OK_EMPTY);
	ask("\x80\x81\x82\x83 garbage");
	assert_int_equal(lost(LOSS_UNPARSED), 1);
	ask("GET /b HTTP/1.1\r\n\r\n");
	answer("HTTP/1.1 abc\r\n\r\n");
	assert_int_equal(lost(LOSS_UNPARSED), 2);
	ask("GET /c HTTP/1.1\r\n\r\n");
	answer("HTTP/1.1 201 OK\r\nContent-Length: 0\r\n\r\n");
	assert_int_equal(counted(201), 1);
	assert_int_equal(counted(-1), 2);
}

/* A body out of step, carried in calls that look like the start of a method, is
 * not the end. */
static void goes_on_after_bytes_out_of_step_that_look_like_a_method(void **state)
{
	(void)state;
	ask("GET /a HTTP/1.1\r\n\r\n");
	answer(OK_EMPTY);
	ask("\x80\x81\x82\x83 garbage");
	ask("P");
	ask("\x01\x02");
	ask("GET /b HTTP/1.1\r\n\r\n");
	answer("HTTP/1.1 201 OK\r\nContent-Length: 0\r\n\r\n");
	assert_int_equal(counted(201), 1);
}

/* Bytes went by before the agent looked: what is seen first may be the middle of a body. */
static void waits_for_a_head_on_a_connection_that_was_open_before(void **state)
{
	(void)state;
	for (int is_client = 0; is_client < 2; is_client++) {
		again(is_client);
		connection_skip(&connection, is_client, 1000);
		ask("the middle of something");
		ask("and more of it");
		ask("GET /a HTTP/1.1\r\n\r\n");
		answer(OK_EMPTY);
		assert_int_equal(counted(200), 1);
		assert_int_equal(ignored(IGNORED_OTHER), 0);
	}
	again(false);
	connection_skip(&connection, false, 1000);
	for (int i = 0; i < 40; i++)
		ask("never a head");
	assert_int_equal(ignored(IGNORED_OTHER), 1);
}

static void skips_empty_lines_before_a_request(void **state)
{
	(void)state;
	ask("GET /a HTTP/1.1\r\n\r\n");
	answer(OK_EMPTY);
	ask("\r\n\r\nGET /b HTTP/1.1\r\n\r\n");
	answer("HTTP/1.1 201 OK\r\nContent-Length: 0\r\n\r\n");
	assert_int_equal(counted(201), 1);
	assert_int_equal(lost_any(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(knows_every_method, reset, finish),
		cmocka_unit_test_setup_teardown(counts_methods_it_does_not_know_as_other, reset,
						finish),
		cmocka_unit_test_setup_teardown(
			counts_methods_it_does_not_know_wherever_they_are_cut, reset, finish),
		cmocka_unit_test_setup_teardown(takes_the_path_from_an_absolute_target, reset,
						finish),
		cmocka_unit_test_setup_teardown(
			takes_an_absolute_target_without_a_path_for_the_root, reset, finish),
		cmocka_unit_test_setup_teardown(keeps_the_asterisk_apart_from_the_root, reset,
						finish),
		cmocka_unit_test_setup_teardown(tells_the_authorities_of_tunnels_apart, reset,
						finish),
		cmocka_unit_test_setup_teardown(ends_a_path_at_query_and_fragment, reset, finish),
		cmocka_unit_test_setup_teardown(cuts_paths_longer_than_what_is_kept, reset, finish),
		cmocka_unit_test_setup_teardown(ignores_and_counts_tls, reset, finish),
		cmocka_unit_test_setup_teardown(ignores_and_counts_http2, reset, finish),
		cmocka_unit_test_setup_teardown(ignores_and_counts_what_is_no_http, reset, finish),
		cmocka_unit_test_setup_teardown(ignores_redis_commands_whatever_the_key, reset,
						finish),
		cmocka_unit_test_setup_teardown(counts_what_only_began_like_http_as_ignored, reset,
						finish),
		cmocka_unit_test_setup_teardown(counts_garbage_on_an_http_connection_as_lost, reset,
						finish),
		cmocka_unit_test_setup_teardown(
			goes_on_after_bytes_out_of_step_that_look_like_a_method, reset, finish),
		cmocka_unit_test_setup_teardown(
			waits_for_a_head_on_a_connection_that_was_open_before, reset, finish),
		cmocka_unit_test_setup_teardown(skips_empty_lines_before_a_request, reset, finish),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
