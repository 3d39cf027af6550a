/* SPDX-License-Identifier: GPL-2.0-only */
/* Where messages begin and end, however the bytes come. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "connection.h"

struct exchange_text {
	const char *request;
	const char *response;
	enum http_method method;
	int status;
	const char *path;
	__u64 request_bytes, response_bytes;
};

static int reset(void **state)
{
	(void)state;
	machine_reset();
	return 0;
}

static void send_in_two(struct connection *connection, bool request, const char *text, size_t at)
{
	size_t length = strlen(text);

	at = min(at, length);
	if (request) {
		connection_request(connection, text, at);
		clock_step(MS);
		connection_request(connection, text + at, length - at);
	} else {
		connection_response(connection, text, at);
		clock_step(MS);
		connection_response(connection, text + at, length - at);
	}
}

static void send_in_pieces(struct connection *connection, bool request, const char *text,
			   size_t piece)
{
	size_t length = strlen(text);

	for (size_t at = 0; at < length; at += piece) {
		size_t count = min(piece, length - at);

		if (request)
			connection_request(connection, text + at, count);
		else
			connection_response(connection, text + at, count);
	}
}

/* Exactly one exchange was counted, this one, and nothing was lost. */
static void check_exchange(const struct exchange_text *expected, const char *how, size_t at)
{
	struct request_slot *slot = counted_slot(expected->method, expected->status, 0);
	char path[PATH_MAX_BYTES + 1];

	if (counted(-1) != 1 || lost_any() || !slot)
		fail_msg("%s at %zu: counted %llu, lost %llu, %s\n%s%s", how, at, counted(-1),
			 lost_any(), slot ? "right key" : "not under method and status",
			 expected->request, expected->response);
	recorded_path(slot->key.route, path);
	assert_string_equal(path, expected->path);
	if (slot->request_bytes != expected->request_bytes ||
	    slot->response_bytes != expected->response_bytes)
		fail_msg("%s at %zu: bodies of %llu and %llu bytes", how, at, slot->request_bytes,
			 slot->response_bytes);
}

static void check_follow_up(struct connection *connection, const char *how, size_t at)
{
	connection_request(connection, TEXT("GET /next HTTP/1.1\r\n\r\n"));
	connection_response(connection, TEXT("HTTP/1.1 418 I'm\r\nContent-Length: 0\r\n\r\n"));
	if (counted(418) != 1)
		fail_msg("%s at %zu: the next request is not counted", how, at);
}

static void check_split_everywhere(const struct exchange_text *text, bool is_client)
{
	size_t request_length = strlen(text->request), response_length = strlen(text->response);
	struct connection connection;

	for (size_t at = 0; at < request_length + response_length; at++) {
		bool request = at < request_length;

		machine_reset();
		connection_open(&connection, is_client);
		send_in_two(&connection, true, text->request, request ? at : 0);
		send_in_two(&connection, false, text->response, request ? 0 : at - request_length);
		check_exchange(text, request ? "request cut" : "response cut",
			       request ? at : at - request_length);
		check_follow_up(&connection, "cut", at);
		connection_free(&connection);
	}
	for (size_t piece = 1; piece < 70; piece++) {
		machine_reset();
		connection_open(&connection, is_client);
		send_in_pieces(&connection, true, text->request, piece);
		send_in_pieces(&connection, false, text->response, piece);
		check_exchange(text, "pieces", piece);
		check_follow_up(&connection, "pieces", piece);
		connection_free(&connection);
	}
	machine_reset();
}

static void check_split_on_both_ends(const struct exchange_text *text)
{
	check_split_everywhere(text, false);
	check_split_everywhere(text, true);
}

static void counts_a_single_request_with_its_numbers(void **state)
{
	struct connection connection;
	struct request_slot *slot;
	char path[PATH_MAX_BYTES + 1];

	(void)state;
	connection_open(&connection, false);
	connection_arrive(&connection, 43);
	clock_step(2 * MS); /* in the socket's queue */
	connection_read(&connection, TEXT("GET /users/4711?all=1 HTTP/1.1\r\nHost: a\r\n\r\n"));
	clock_step(5 * MS);
	connection_send(&connection, TEXT("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n"));
	clock_step(3 * MS);
	connection_send(&connection, TEXT("hello\n"));
	slot = counted_slot(HTTP_GET, 200, 0);
	assert_non_null(slot);
	assert_int_equal(counted(-1), 1);
	assert_int_equal(lost_any(), 0);
	assert_int_equal(slot->sum_ns, 10 * MS);
	assert_int_equal(slot->late_ns, 3 * MS);
	assert_int_equal(slot->late[4], 1);
	assert_int_equal(slot->first_byte[3], 1); /* above 4 ms, up to 8 ms */
	assert_int_equal(slot->response_bytes, 6);
	assert_int_equal(slot->request_bytes, 0);
	assert_int_equal(slot->key.role, REQUEST_ROLE_SERVER);
	assert_int_equal(slot->key.port, FAKE_SERVER_PORT);
	assert_int_equal(slot->classic[4], 1); /* above 8 ms, up to 16 ms */
	assert_int_equal(slot->exponential[exp_bucket_of_ns(10 * MS)], 1);
	recorded_path(slot->key.route, path);
	assert_string_equal(path, "/users/4711");
	connection_free(&connection);
	assert_int_equal(counted(-1), 1);
}

static void counts_in_the_client_role_from_hand_over_to_last_byte(void **state)
{
	struct connection connection;
	struct request_slot *slot;

	(void)state;
	connection_open(&connection, true);
	connection_send(&connection, TEXT("PUT /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"));
	clock_step(4 * MS);
	connection_arrive(&connection, 42);
	clock_step(1 * MS);
	connection_read(&connection, TEXT("HTTP/1.1 201 Created\r\nContent-Length: 4\r\n\r\n"));
	connection_read(&connection, TEXT("abcd"));
	slot = counted_slot(HTTP_PUT, 201, 0);
	assert_non_null(slot);
	assert_int_equal(slot->sum_ns, 5 * MS);
	assert_int_equal(slot->key.role, REQUEST_ROLE_CLIENT);
	assert_int_equal(slot->key.port, FAKE_SERVER_PORT);
	assert_int_equal(slot->request_bytes, 3);
	assert_int_equal(slot->response_bytes, 4);
	connection_free(&connection);
}

static void counts_once_wherever_a_head_is_cut(void **state)
{
	static const struct exchange_text text = {
		"GET /a/b?c HTTP/1.1\r\nHost: example.org\r\nX-Content-Length: "
		"9\r\nAccept: */*\r\n\r\n",
		"HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 12\r\nContent-Type: "
		"text/plain\r\n\r\n"
		"GET / HTTP/1",
		HTTP_GET,
		200,
		"/a/b",
		0,
		12,
	};

	(void)state;
	check_split_on_both_ends(&text);
}

static void counts_once_wherever_a_request_with_a_body_is_cut(void **state)
{
	static const struct exchange_text text = {
		"DELETE /a/77 HTTP/1.1\r\nContent-Length: 20\r\n\r\nGET / "
		"HTTP/1.1\r\n\r\n\r\n",
		"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
		HTTP_DELETE,
		404,
		"/a/77",
		20,
		0,
	};

	(void)state;
	check_split_on_both_ends(&text);
}

static void counts_once_wherever_a_chunked_body_is_cut(void **state)
{
	static const struct exchange_text text = {
		"POST /up HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
		"5\r\nhello\r\n"
		"0b;name=\"value\"\r\n\r\n0\r\n\r\nGET \r\n"
		"0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"
		"1B ; a=b\r\nHTTP/1.1 500 Oh no\r\n\r\n0\r\n\r\n\r\n"
		"1;aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\nx\r\n"
		"000\r\nTrailer: value\r\nContent-Length: 7\r\n\r\n",
		HTTP_POST,
		200,
		"/up",
		16,
		28,
	};

	(void)state;
	check_split_on_both_ends(&text);
}

static void reads_a_content_length_however_it_is_written(void **state)
{
	static const char *const fields[] = {
		"Content-Length: 5",	 "cOnTeNt-LeNgTh:5",
		"content-length:\t5",	 "CONTENT-LENGTH: \t \t5",
		"Content-Length:     5", "Content-Length: 5 ",
		"Content-Length: 00005", "Content-Length:                     5",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		char request[200], response[200];
		struct exchange_text text = { request, response, HTTP_POST, 200, "/", 5, 5 };

		snprintf(request, sizeof(request), "POST / HTTP/1.1\r\n%s\r\n\r\nHTTP/", fields[i]);
		snprintf(response, sizeof(response), "HTTP/1.1 200 OK\r\n%s\r\n\r\nGET /",
			 fields[i]);
		check_split_everywhere(&text, false);
	}
}

static void believes_chunked_over_content_length(void **state)
{
	static const struct exchange_text texts[] = {
		{ "POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: "
		  "chunked\r\n\r\n"
		  "6\r\nabcdef\r\n0\r\n\r\n",
		  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: "
		  "3\r\n\r\n"
		  "7\r\nabcdefg\r\n0\r\n\r\n",
		  HTTP_POST, 200, "/", 6, 7 },
		{ "POST / "
		  "HTTP/1.1\r\ntransfer-encoding:CHUNKED\r\n\r\n6\r\nabcdef\r\n0\r\n\r\n",
		  "HTTP/1.1 200 OK\r\ntRANSFER-eNCODING: "
		  "gzip,chunked\r\n\r\n7\r\nabcdefg\r\n0\r\n\r\n",
		  HTTP_POST, 200, "/", 6, 7 },
	};

	(void)state;
	for (size_t i = 0; i < 2; i++)
		check_split_on_both_ends(&texts[i]);
}

static void reads_chunked_with_blanks_behind_it(void **state)
{
	static const struct exchange_text text = {
		"GET / HTTP/1.1\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked "
		"\t\r\n\r\n7\r\nabcdefg\r\n0\r\n\r\n",
		HTTP_GET,
		200,
		"/",
		0,
		7,
	};
	struct connection connection;

	(void)state;
	connection_open(&connection, false);
	connection_request(&connection, text.request, strlen(text.request));
	connection_response(&connection, text.response, strlen(text.response));
	check_exchange(&text, "whole", 0);
	connection_free(&connection);
}

static void passes_over_long_lines_and_long_heads(void **state)
{
	static const size_t sizes[] = { 39, 40, 41, 255, 256, 257, 511, 512, 513, 8192, 20000 };
	static char request[44000], response[24000], filler[20001];

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct exchange_text text = { request, response, HTTP_POST, 500, "/p", 3, 4 };

		memset(filler, 'c', sizes[i]);
		filler[sizes[i]] = 0;
		snprintf(request, sizeof(request),
			 "POST /p HTTP/1.1\r\nCookie: %s\r\nContent-Length: 3\r\nt: "
			 "%s\r\n\r\nabc",
			 filler, filler);
		snprintf(response, sizeof(response),
			 "HTTP/1.1 500 Oh\r\n%s: x\r\nContent-Length: 4\r\n\r\nabcd", filler);
		for (size_t piece = 1; piece < 10000; piece = piece * 3 + 1) {
			struct connection connection;

			machine_reset();
			connection_open(&connection, false);
			send_in_pieces(&connection, true, request, piece);
			send_in_pieces(&connection, false, response, piece);
			check_exchange(&text, "long head in pieces", piece);
			check_follow_up(&connection, "long head in pieces", piece);
			connection_free(&connection);
		}
	}
}

static void passes_over_heads_of_many_short_lines(void **state)
{
	static char request[3000] = "GET /many HTTP/1.1\r\n", response[3000] = "HTTP/1.0 200 OK\n";
	struct exchange_text text = { request, response, HTTP_GET, 200, "/many", 0, 2 };

	(void)state;
	for (size_t i = 0; i < 300; i++) {
		strcat(request, "a:\r\n");
		strcat(response, "t\n");
	}
	strcat(request, "\r\n");
	strcat(response, "Content-Length: 2\n\nhi");
	check_split_everywhere(&text, false);
}

static void keeps_framing_over_large_bodies(void **state)
{
	static char body[100000];
	struct connection connection;
	struct request_slot *slot;

	(void)state;
	connection_open(&connection, false);
	connection_request(&connection,
			   TEXT("PUT /big HTTP/1.1\r\nContent-Length: 104857600\r\n\r\n"));
	memset(body, '\n', sizeof(body));
	for (__u32 left = 104857600; left;) {
		__u32 count = min(left, (__u32)sizeof(body));

		connection_request(&connection, body, count);
		left -= count;
	}
	connection_response(&connection,
			    TEXT("HTTP/1.1 200 OK\r\nContent-Length: 5000000000\r\n\r\n"));
	for (__u64 left = 5000000000ULL; left;) {
		__u32 count = min(left, 1000000000ULL);

		connection_skip(&connection, true, count - 1);
		connection_response(&connection, "x", 1);
		left -= count;
	}
	slot = counted_slot(HTTP_PUT, 200, 0);
	assert_non_null(slot);
	assert_int_equal(slot->request_bytes, 104857600);
	assert_int_equal(slot->response_bytes, 5000000000ULL);
	check_follow_up(&connection, "large", 0);
	assert_int_equal(lost_any(), 0);
	connection_free(&connection);
}

static void ends_a_body_without_a_length_with_the_connection(void **state)
{
	struct connection connection;
	struct request_slot *slot;

	(void)state;
	connection_open(&connection, false);
	connection_request(&connection, TEXT("GET /old HTTP/1.0\r\n\r\n"));
	clock_step(3 * MS);
	connection_response(&connection, TEXT("HTTP/1.0 200 OK\r\n\r\nHTTP/1.0 200 OK\r\n\r\n"));
	connection_response(&connection, TEXT("more"));
	assert_int_equal(counted(-1), 0);
	clock_step(100 * MS); /* closing late is not part of the answer */
	connection_state(&connection, TCP_FIN_WAIT1);
	slot = counted_slot(HTTP_GET, 200, 0);
	assert_non_null(slot);
	assert_int_equal(slot->response_bytes, 23);
	assert_int_equal(slot->sum_ns, 3 * MS);
	connection_free(&connection);
	assert_int_equal(counted(-1), 1);
	assert_int_equal(lost_any(), 0);
}

static void ends_a_body_without_a_length_where_the_client_reads_the_end(void **state)
{
	(void)state;
	for (int rung = RUNG_FENTRY; rung <= RUNG_TRACEPOINT; rung++) {
		struct connection connection;

		machine_reset();
		connection_open(&connection, true);
		connection.rung = rung;
		connection_request(&connection, TEXT("GET /old HTTP/1.0\r\n\r\n"));
		clock_step(3 * MS);
		connection_response(&connection, TEXT("HTTP/1.0 200 OK\r\n\r\nsome"));
		connection_response(&connection, TEXT("thing"));
		assert_int_equal(counted(-1), 0);
		clock_step(100 * MS);
		connection_read_end(&connection);
		assert_int_equal(counted(200), 1);
		assert_int_equal(counted_slot(HTTP_GET, 200, 0)->response_bytes, 9);
		assert_int_equal(counted_slot(HTTP_GET, 200, 0)->sum_ns, 3 * MS);
		connection_free(&connection);
		assert_int_equal(counted(-1), 1);
	}
}

static void keeps_framing_over_bytes_nobody_saw_inside_a_body(void **state)
{
	struct connection connection;

	(void)state;
	for (int is_client = 0; is_client < 2; is_client++) {
		machine_reset();
		connection_open(&connection, is_client);
		connection_request(&connection,
				   TEXT("POST /a HTTP/1.1\r\nContent-Length: 50\r\n\r\n12"));
		connection_skip(&connection, is_client, 48);
		connection_response(&connection,
				    TEXT("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nab"));
		connection_skip(&connection, !is_client, 500);
		connection_response(&connection, TEXT("GET"));
		connection_skip(&connection, !is_client, 495);
		check_follow_up(&connection, "gap", 0);
		assert_int_equal(counted(200), 1);
		/* inside a chunk too */
		connection_request(&connection, TEXT("GET /b HTTP/1.1\r\n\r\n"));
		connection_response(
			&connection,
			TEXT("HTTP/1.1 203 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nab"));
		connection_skip(&connection, !is_client, 98);
		connection_response(&connection, TEXT("\r\n0\r\n\r\n"));
		assert_int_equal(counted(203), 1);
		assert_int_equal(lost_any(), 0);
		connection_free(&connection);
	}
}

static void counts_again_after_a_gap_inside_a_head(void **state)
{
	struct connection connection;

	(void)state;
	for (int in_response = 0; in_response < 2; in_response++) {
		machine_reset();
		connection_open(&connection, false);
		connection_request(&connection, TEXT("GET /a HTTP/1.1\r\nHos"));
		connection_skip(&connection, false, in_response ? 0 : 5);
		connection_request(&connection, TEXT("t: a\r\n\r\n"));
		connection_response(&connection, TEXT("HTTP/1.1 200 OK\r\nContent-"));
		connection_skip(&connection, true, in_response ? 5 : 0);
		connection_response(&connection, TEXT("Length: 0\r\n\r\n"));
		check_follow_up(&connection, "gap", in_response);
		connection_request(&connection, TEXT("GET /next HTTP/1.1\r\n\r\n"));
		connection_response(&connection,
				    TEXT("HTTP/1.1 419 I'm\r\nContent-Length: 0\r\n\r\n"));
		assert_int_equal(counted(419), 1);
		assert_int_equal(counted(-1), 2);
		/* what could not be told is a number */
		assert_int_equal(lost_any(), 1);
		connection_free(&connection);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(counts_a_single_request_with_its_numbers, reset),
		cmocka_unit_test_setup(counts_in_the_client_role_from_hand_over_to_last_byte,
				       reset),
		cmocka_unit_test_setup(counts_once_wherever_a_head_is_cut, reset),
		cmocka_unit_test_setup(counts_once_wherever_a_request_with_a_body_is_cut, reset),
		cmocka_unit_test_setup(counts_once_wherever_a_chunked_body_is_cut, reset),
		cmocka_unit_test_setup(reads_a_content_length_however_it_is_written, reset),
		cmocka_unit_test_setup(believes_chunked_over_content_length, reset),
		cmocka_unit_test_setup(reads_chunked_with_blanks_behind_it, reset),
		cmocka_unit_test_setup(passes_over_long_lines_and_long_heads, reset),
		cmocka_unit_test_setup(passes_over_heads_of_many_short_lines, reset),
		cmocka_unit_test_setup(keeps_framing_over_large_bodies, reset),
		cmocka_unit_test_setup(ends_a_body_without_a_length_with_the_connection, reset),
		cmocka_unit_test_setup(ends_a_body_without_a_length_where_the_client_reads_the_end,
				       reset),
		cmocka_unit_test_setup(keeps_framing_over_bytes_nobody_saw_inside_a_body, reset),
		cmocka_unit_test_setup(counts_again_after_a_gap_inside_a_head, reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
