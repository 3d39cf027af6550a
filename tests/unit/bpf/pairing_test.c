/* SPDX-License-Identifier: GPL-2.0-only */
/* Which answer belongs to which request, and what becomes of those without one.
 */
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

static void ask(const char *text)
{
	connection_request(&connection, text, strlen(text));
}

static void answer(const char *text)
{
	connection_response(&connection, text, strlen(text));
}

/* Request number `i` names its own answer: whoever counts another pair has
 * mixed them up. */
static size_t numbered_request(char *into, int i)
{
	return (size_t)sprintf(into, "GET /r%c%c HTTP/1.1\r\n\r\n", 'a' + i / 26, 'a' + i % 26);
}

static size_t numbered_response(char *into, int i)
{
	return (size_t)sprintf(into, "HTTP/1.1 %d OK\r\nContent-Length: 2\r\n\r\nok", 400 + i);
}

#define NUMBERED 60
static __u64 numbered_routes[NUMBERED];

/* What each of them counts as when it is alone. */
static int learn_numbered(void **state)
{
	char text[100];

	(void)state;
	for (int i = 0; i < NUMBERED; i++) {
		machine_reset();
		connection_open(&connection, false);
		connection_request(&connection, text, numbered_request(text, i));
		connection_response(&connection, text, numbered_response(text, i));
		numbered_routes[i] = counted_slot(HTTP_GET, 400 + i, 0)->key.route;
		connection_free(&connection);
	}
	return 0;
}

static void check_numbered(const struct request_slot *slot)
{
	int i = slot->key.status - 400;

	assert_in_range(i, 0, NUMBERED - 1);
	assert_int_equal(slot->key.route, numbered_routes[i]);
	assert_int_equal(slot_count(slot), 1);
}

static int count_numbered(void)
{
	int count = 0;

	slots_for_each(element)
	{
		const struct request_slot *slot = element->value;

		if (!slot_count(slot))
			continue;
		check_numbered(slot);
		count++;
	}
	return count;
}

static void pairs_a_pipeline_read_and_answered_in_one_call_each(void **state)
{
	char requests[4000], responses[4000];
	size_t asked = 0, answered = 0;

	(void)state;
	for (int i = 0; i < 23; i++) {
		asked += numbered_request(requests + asked, i);
		answered += numbered_response(responses + answered, i);
	}
	connection_request(&connection, requests, asked);
	clock_step(7 * MS);
	connection_response(&connection, responses, answered);
	assert_int_equal(count_numbered(), 23);
	assert_int_equal(lost_any(), 0);
	slots_for_each(element)
	{
		const struct request_slot *slot = element->value;

		assert_int_equal(slot->sum_ns, slot_count(slot) * 7 * MS);
	}
}

static void tells_the_path_of_every_request_of_a_pipeline(void **state)
{
	char requests[4000];
	size_t asked = 0;

	(void)state;
	for (int i = 0; i < 23; i++)
		asked += numbered_request(requests + asked, i);
	connection_request(&connection, requests, asked);
	for (int i = 0; i < 23; i++)
		answer(OK_EMPTY);
	assert_int_equal(counted(200), 23);
	for (int i = 0; i < 23; i++) {
		char path[PATH_MAX_BYTES + 1], expected[20];

		recorded_path(numbered_routes[i], path);
		sprintf(expected, "/r%c%c", 'a' + i / 26, 'a' + i % 26);
		assert_string_equal(path, expected);
	}
}

static void pairs_a_pipeline_cut_in_pieces_of_any_size(void **state)
{
	char requests[4000], responses[4000];
	size_t asked = 0, answered = 0;

	(void)state;
	for (int i = 0; i < 23; i++) {
		asked += numbered_request(requests + asked, i);
		answered += numbered_response(responses + answered, i);
	}
	for (size_t piece = 1; piece < 300; piece++) {
		connection_free(&connection);
		machine_reset();
		connection_open(&connection, piece & 1);
		for (size_t at = 0; at < asked; at += piece)
			connection_request(&connection, requests + at, min(piece, asked - at));
		for (size_t at = 0; at < answered; at += piece)
			connection_response(&connection, responses + at, min(piece, answered - at));
		if (count_numbered() != 23 || lost_any())
			fail_msg("in pieces of %zu", piece);
	}
}

static void pairs_requests_that_come_while_answers_go(void **state)
{
	char requests[4000], responses[4000];
	size_t asked = 0, answered = 0;

	(void)state;
	for (int i = 0; i < 23; i++) {
		asked += numbered_request(requests + asked, i);
		answered += numbered_response(responses + answered, i);
	}
	/* both in pieces that match no message, the answers one and a half requests
	 * behind */
	for (size_t piece = 1; piece < 60; piece++) {
		size_t in = 0, out = 0;

		connection_free(&connection);
		machine_reset();
		connection_open(&connection, false);
		while (in < asked || out < answered) {
			size_t count = min(piece, asked - in);

			connection_request(&connection, requests + in, count);
			in += count;
			while (out < answered && out / (answered / 23) + 2 < in / (asked / 23)) {
				count = min(piece, answered - out);
				connection_response(&connection, responses + out, count);
				out += count;
			}
			if (in == asked && out < answered) {
				count = min(piece, answered - out);
				connection_response(&connection, responses + out, count);
				out += count;
			}
		}
		if (count_numbered() != 23 || lost_any())
			fail_msg("in pieces of %zu: %d counted, %llu lost", piece, count_numbered(),
				 lost_any());
	}
}

static void counts_a_pipeline_too_deep_as_lost_and_pairs_nothing_wrongly(void **state)
{
	char text[100];
	int counted_before;

	(void)state;
	for (int i = 0; i < 40; i++)
		connection_request(&connection, text, numbered_request(text, i));
	assert_int_equal(lost(LOSS_PIPELINE_FULL), 40 - 1 - PIPELINE_MAX);
	/* room again, while answers to requests that were not kept are still to come
	 */
	connection_response(&connection, text, numbered_response(text, 0));
	connection_request(&connection, text, numbered_request(text, 40));
	for (int i = 1; i < 41; i++)
		connection_response(&connection, text, numbered_response(text, i));
	counted_before = count_numbered();
	assert_true(counted_before >= 1 + PIPELINE_MAX);
	/* once it is empty all is well again */
	connection_request(&connection, text, numbered_request(text, 50));
	connection_response(&connection, text, numbered_response(text, 50));
	assert_int_equal(count_numbered(), counted_before + 1);
}

static void knows_answers_that_have_no_body(void **state)
{
	(void)state;
	ask("HEAD /a HTTP/1.1\r\n\r\n");
	answer("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
	ask("GET /a HTTP/1.1\r\n\r\n");
	answer("HTTP/1.1 204 No Content\r\nContent-Length: 1000\r\n\r\n");
	ask("GET /a HTTP/1.1\r\n\r\n");
	answer("HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n");
	ask("HEAD /b HTTP/1.1\r\n\r\n");
	answer("HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n");
	assert_int_equal(counted(-1), 4);
	assert_int_equal(counted_slot(HTTP_HEAD, 200, 0)->response_bytes, 0);
	assert_int_equal(counted_slot(HTTP_GET, 204, 0)->response_bytes, 0);
	assert_non_null(counted_slot(HTTP_GET, 304, 0));
	assert_non_null(counted_slot(HTTP_HEAD, 404, 0));
	assert_int_equal(lost_any(), 0);
}

static void knows_heads_in_a_pipeline(void **state)
{
	(void)state;
	ask("GET /a HTTP/1.1\r\n\r\nHEAD /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n");
	answer("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 200 "
	       "OK\r\nContent-Length: 3"
	       "\r\n\r\nHTTP/1.1 201 OK\r\nContent-Length: 3\r\n\r\nabc");
	assert_int_equal(counted(-1), 3);
	assert_non_null(counted_slot(HTTP_HEAD, 200, 0));
	assert_non_null(counted_slot(HTTP_GET, 201, 0));
	assert_int_equal(lost_any(), 0);
}

static void passes_over_interim_answers(void **state)
{
	struct request_slot *slot;

	(void)state;
	ask("PUT /up HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
	clock_step(MS);
	answer("HTTP/1.1 100 Continue\r\n\r\n");
	clock_step(MS);
	ask("hello");
	clock_step(2 * MS);
	answer("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 201 Created\r\n"
	       "Content-Length: 0\r\n\r\n");
	slot = counted_slot(HTTP_PUT, 201, 0);
	assert_non_null(slot);
	assert_int_equal(slot->sum_ns, 4 * MS);
	assert_int_equal(slot->late_ns, 0);
	assert_int_equal(slot->request_bytes, 5);
	assert_int_equal(counted(-1), 1);
	assert_int_equal(lost_any(), 0);
}

static const struct stream_slot *streams(void)
{
	return fake_map_oldest(&pl_streams) ? fake_map_oldest(&pl_streams)->value : NULL;
}

static void counts_an_upgrade_when_it_is_granted_and_its_life_apart(void **state)
{
	(void)state;
	ask("GET /chat HTTP/1.1\r\nUpgrade: websocket\r\nConnection: "
	    "Upgrade\r\n\r\n");
	clock_step(3 * MS);
	answer("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n");
	assert_int_equal(counted(101), 1);
	assert_int_equal(counted_slot(HTTP_GET, 101, 0)->sum_ns, 3 * MS);
	ask("GET /not-a-request HTTP/1.1\r\n\r\n");
	answer(OK_EMPTY);
	clock_step(500 * MS);
	connection_free(&connection);
	assert_int_equal(counted(-1), 1);
	assert_int_equal(lost_any(), 0);
	assert_int_equal(streams()->opened[STREAM_WEBSOCKET], 1);
	assert_int_equal(streams()->closed[STREAM_WEBSOCKET], 1);
	assert_int_equal(streams()->life_ns[STREAM_WEBSOCKET], 500 * MS);
}

static void counts_an_event_stream_at_its_first_byte(void **state)
{
	(void)state;
	ask("GET /events HTTP/1.1\r\n\r\n");
	clock_step(3 * MS);
	answer("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream;charset=utf-8\r\n"
	       "Transfer-Encoding: chunked\r\n\r\n");
	assert_int_equal(counted(200), 1);
	assert_int_equal(counted_slot(HTTP_GET, 200, 0)->sum_ns, 3 * MS);
	clock_step(100 * MS);
	answer("9\r\ndata: 1\n\n\r\n");
	clock_step(100 * MS);
	answer("0\r\n\r\n");
	assert_int_equal(streams()->opened[STREAM_EVENTS], 1);
	assert_int_equal(streams()->closed[STREAM_EVENTS], 1);
	assert_int_equal(streams()->life_ns[STREAM_EVENTS], 200 * MS);
	ask("GET /after HTTP/1.1\r\n\r\n");
	answer("HTTP/1.1 202 OK\r\nContent-Length: 0\r\n\r\n");
	assert_int_equal(counted(202), 1);
	assert_int_equal(counted(-1), 2);
	assert_int_equal(lost_any(), 0);
}

static void ends_an_event_stream_with_its_connection(void **state)
{
	(void)state;
	ask("GET /events HTTP/1.1\r\n\r\n");
	answer("HTTP/1.1 200 OK\r\ncontent-type:text/event-stream\r\n\r\n");
	clock_step(100 * MS);
	connection_state(&connection, TCP_CLOSE);
	assert_int_equal(counted(-1), 1);
	assert_int_equal(streams()->closed[STREAM_EVENTS], 1);
	assert_int_equal(streams()->life_ns[STREAM_EVENTS], 100 * MS);
}

static void leaves_a_tunnel_alone(void **state)
{
	(void)state;
	ask("CONNECT example.org:443 HTTP/1.1\r\nHost: example.org\r\n\r\n");
	answer("HTTP/1.1 200 Connection established\r\n\r\n");
	ask("\x16\x03\x01\x02");
	answer("\x16\x03\x03\x02");
	connection_free(&connection);
	assert_int_equal(counted(-1), 1);
	assert_non_null(counted_slot(HTTP_CONNECT, 200, 0));
	assert_int_equal(lost_any(), 0);
	assert_int_equal(streams()->opened[STREAM_TUNNEL], 1);
	assert_int_equal(streams()->closed[STREAM_TUNNEL], 1);
}

static void counts_an_answer_that_comes_before_the_request_is_complete(void **state)
{
	(void)state;
	ask("POST /early HTTP/1.1\r\nHost: a\r\nContent-Len");
	answer("HTTP/1.1 431 Too Large\r\nContent-Length: 0\r\n\r\n");
	assert_int_equal(counted(431), 1);
	assert_non_null(counted_slot(HTTP_POST, 431, 0));
	ask("gth: 3\r\n\r\nabc");
	ask("GET /next HTTP/1.1\r\n\r\n");
	answer(OK_EMPTY);
	assert_non_null(counted_slot(HTTP_GET, 200, 0));
	assert_int_equal(counted(-1), 2);
	assert_int_equal(lost_any(), 0);
}

static void counts_an_answer_before_the_request_is_complete_wherever_it_is_cut(void **state)
{
	static const char response[] = "HTTP/1.1 431 Too Large\r\nContent-Length: 0\r\n\r\n";

	(void)state;
	for (size_t at = 1; at < sizeof(response) - 1; at++) {
		char path[PATH_MAX_BYTES + 1];

		connection_free(&connection);
		machine_reset();
		connection_open(&connection, false);
		ask("POST /early HTTP/1.1\r\nHost: a\r\nContent-Len");
		connection_response(&connection, response, at);
		connection_response(&connection, response + at, sizeof(response) - 1 - at);
		if (!counted_slot(HTTP_POST, 431, 0))
			fail_msg("answer cut at %zu: counted %llu, lost %llu", at, counted(-1),
				 lost_any());
		recorded_path(counted_slot(HTTP_POST, 431, 0)->key.route, path);
		assert_string_equal(path, "/early");
	}
}

/* The head of the next request is under way while the answer to the first one
 * begins. */
static void keeps_both_directions_apart_wherever_they_are_cut(void **state)
{
	static const char request[] = "DELETE /two HTTP/1.1\r\nHost: a\r\n\r\n",
			  response[] = OK_EMPTY;

	(void)state;
	for (size_t cut = 1; cut < sizeof(request) - 1; cut++) {
		for (size_t at = 1; at < 20; at++) {
			struct request_slot *slot;
			char path[PATH_MAX_BYTES + 1];

			connection_free(&connection);
			machine_reset();
			connection_open(&connection, false);
			ask("GET /one HTTP/1.1\r\n\r\n");
			connection_response(&connection, response, at);
			connection_request(&connection, request, cut);
			connection_response(&connection, response + at, sizeof(response) - 1 - at);
			connection_request(&connection, request + cut, sizeof(request) - 1 - cut);
			answer("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n");
			/* its text may be forgotten, but never be that of the next one */
			slot = counted_slot(HTTP_GET, 200, 0);
			assert_non_null(slot);
			recorded_path(slot->key.route, path);
			if (path[0])
				assert_string_equal(path, "/one");
			slot = counted_slot(HTTP_DELETE, 404, 0);
			if (!slot || counted(-1) != 2 || lost_any())
				fail_msg("request cut at %zu, answer at %zu: counted %llu, lost "
					 "%llu",
					 cut, at, counted(-1), lost_any());
			recorded_path(slot->key.route, path);
			assert_string_equal(path, "/two");
		}
	}
}

static void tells_what_was_reset_before_its_answer(void **state)
{
	struct request_slot *slot;

	(void)state;
	ask("GET /never HTTP/1.1\r\n\r\n");
	clock_step(9 * MS);
	connection_state(&connection, TCP_CLOSE);
	slot = counted_slot(HTTP_GET, 0, 0);
	assert_non_null(slot);
	assert_int_equal(slot->key.error, REQUEST_RESET);
	assert_int_equal(slot->sum_ns, 9 * MS);
	assert_int_equal(counted(-1), 1);
	assert_int_equal(lost_any(), 0);
}

static void accounts_for_every_request_of_a_pipeline_that_was_reset(void **state)
{
	char text[100];

	(void)state;
	for (int i = 0; i < 5; i++)
		connection_request(&connection, text, numbered_request(text, i));
	connection_response(&connection, text, numbered_response(text, 0));
	connection_state(&connection, TCP_CLOSE);
	assert_int_equal(counted(400), 1);
	/* counted with an error type or as lost, but not gone */
	assert_int_equal(counted(0) + lost_any(), 4);
}

static void never_gives_an_answer_cut_off_in_its_head_the_status_of_another(void **state)
{
	static const char response[] = "HTTP/1.1 503 Oh\r\nContent-Length: 0\r\n\r\n";

	(void)state;
	for (size_t at = 1; at < sizeof(response) - 1; at++) {
		connection_free(&connection);
		machine_reset();
		connection_open(&connection, false);
		ask("GET /a HTTP/1.1\r\n\r\n");
		answer(OK_EMPTY);
		ask("GET /b HTTP/1.1\r\n\r\n");
		connection_response(&connection, response, at);
		connection_state(&connection, TCP_CLOSE);
		if (counted(200) != 1)
			fail_msg("cut off at %zu: 200 counted %llu times", at, counted(200));
		slots_for_each(element)
		{
			const struct request_slot *slot = element->value;

			if (slot_count(slot) && !slot->key.error)
				assert_true(slot->key.status == 200 || slot->key.status == 503);
		}
	}
}

static void counts_an_answer_cut_off_in_its_body(void **state)
{
	(void)state;
	ask("GET /a HTTP/1.1\r\n\r\n");
	answer("HTTP/1.1 500 Oh\r\nContent-Length: 100\r\n\r\nonly this");
	connection_state(&connection, TCP_CLOSE);
	assert_int_equal(counted(500), 1);
	assert_int_equal(counted(-1), 1);
}

static void counts_an_answer_nobody_asked_for_as_lost(void **state)
{
	(void)state;
	answer(OK_EMPTY);
	assert_int_equal(counted(-1), 0);
	assert_int_equal(lost_any(), 1);
	ask("GET /a HTTP/1.1\r\n\r\n");
	answer(OK_EMPTY);
	assert_int_equal(counted(200), 1);
	answer(OK_EMPTY);
	assert_int_equal(lost(LOSS_UNPAIRED), 1);
	assert_int_equal(counted(-1), 1);
}

static void counts_what_has_no_room_as_lost_or_other(void **state)
{
	char text[100];
	__u64 total;

	(void)state;
	/* every path is a key of its own until the service may have no more */
	shared_get()->keys_per_service = 7;
	for (int i = 0; i < 23; i++) {
		connection_request(&connection, text, numbered_request(text, i));
		answer(OK_EMPTY);
	}
	assert_int_equal(counted(200), 23);
	assert_int_equal(slot_count(counted_slot(HTTP_GET, 200, ROUTE_OTHER)), 23 - 7);
	/* no slot at all is left: each of them is a counted loss */
	shared_get()->keys_per_service = 1000;
	for (int i = 0; i < 100; i++) {
		connection_request(&connection, text, numbered_request(text, i));
		connection_response(&connection, text, numbered_response(text, i));
	}
	total = counted(-1) + lost(LOSS_KEYS_FULL);
	assert_true(lost(LOSS_KEYS_FULL) > 0);
	assert_int_equal(total, 123);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(pairs_a_pipeline_read_and_answered_in_one_call_each,
						reset, finish),
		cmocka_unit_test_setup_teardown(tells_the_path_of_every_request_of_a_pipeline,
						reset, finish),
		cmocka_unit_test_setup_teardown(pairs_a_pipeline_cut_in_pieces_of_any_size, reset,
						finish),
		cmocka_unit_test_setup_teardown(pairs_requests_that_come_while_answers_go, reset,
						finish),
		cmocka_unit_test_setup_teardown(
			counts_a_pipeline_too_deep_as_lost_and_pairs_nothing_wrongly, reset,
			finish),
		cmocka_unit_test_setup_teardown(knows_answers_that_have_no_body, reset, finish),
		cmocka_unit_test_setup_teardown(knows_heads_in_a_pipeline, reset, finish),
		cmocka_unit_test_setup_teardown(passes_over_interim_answers, reset, finish),
		cmocka_unit_test_setup_teardown(
			counts_an_upgrade_when_it_is_granted_and_its_life_apart, reset, finish),
		cmocka_unit_test_setup_teardown(counts_an_event_stream_at_its_first_byte, reset,
						finish),
		cmocka_unit_test_setup_teardown(ends_an_event_stream_with_its_connection, reset,
						finish),
		cmocka_unit_test_setup_teardown(leaves_a_tunnel_alone, reset, finish),
		cmocka_unit_test_setup_teardown(
			counts_an_answer_that_comes_before_the_request_is_complete, reset, finish),
		cmocka_unit_test_setup_teardown(
			counts_an_answer_before_the_request_is_complete_wherever_it_is_cut, reset,
			finish),
		cmocka_unit_test_setup_teardown(keeps_both_directions_apart_wherever_they_are_cut,
						reset, finish),
		cmocka_unit_test_setup_teardown(tells_what_was_reset_before_its_answer, reset,
						finish),
		cmocka_unit_test_setup_teardown(
			accounts_for_every_request_of_a_pipeline_that_was_reset, reset, finish),
		cmocka_unit_test_setup_teardown(
			never_gives_an_answer_cut_off_in_its_head_the_status_of_another, reset,
			finish),
		cmocka_unit_test_setup_teardown(counts_an_answer_cut_off_in_its_body, reset,
						finish),
		cmocka_unit_test_setup_teardown(counts_an_answer_nobody_asked_for_as_lost, reset,
						finish),
		cmocka_unit_test_setup_teardown(counts_what_has_no_room_as_lost_or_other, reset,
						finish),
	};

	return cmocka_run_group_tests(tests, learn_numbered, NULL);
}
