/* SPDX-License-Identifier: GPL-2.0-only */
/* From where the bytes come: every rung, every system call, and whose they are.
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

#define REQUEST	 "POST /a/b HTTP/1.1\r\nHost: example.org\r\nContent-Length: 5\r\n\r\nhello"
#define RESPONSE "HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 7\r\n\r\nanswers"

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

static void exchange(void)
{
	connection_request(&connection, TEXT(REQUEST));
	clock_step(3 * MS);
	connection_response(&connection, TEXT(RESPONSE));
}

static void check_exchange(const char *how)
{
	struct request_slot *slot = counted_slot(HTTP_POST, 200, 0);
	char path[PATH_MAX_BYTES + 1];

	if (!slot || counted(-1) != 1 || lost_any())
		fail_msg("%s, rung %d, access %d, pieces of %zu: counted %llu, lost %llu", how,
			 connection.rung, connection.access, connection.piece, counted(-1),
			 lost_any());
	assert_int_equal(slot->sum_ns, 3 * MS);
	assert_int_equal(slot->request_bytes, 5);
	assert_int_equal(slot->response_bytes, 7);
	recorded_path(slot->key.route, path);
	assert_string_equal(path, "/a/b");
}

static void counts_on_every_rung_through_every_call(void **state)
{
	(void)state;
	for (int rung = RUNG_FENTRY; rung <= RUNG_TRACEPOINT; rung++) {
		for (int access = ACCESS_BUFFER; access <= ACCESS_MESSAGE; access++) {
			for (size_t piece = 0; piece < 80; piece++) {
				again(piece & 1);
				connection.rung = rung;
				connection.access = access;
				/* one byte each would be more vectors than are looked at */
				connection.piece = piece == 1 ? 2 : piece;
				exchange();
				connection_free(&connection);
				check_exchange("registers");
			}
		}
	}
}

static void counts_io_uring_where_the_iterator_is_seen(void **state)
{
	(void)state;
	for (int rung = RUNG_FENTRY; rung <= RUNG_KPROBE; rung++) {
		for (size_t piece = 0; piece < 80; piece += 8) {
			again(piece & 8);
			connection.rung = rung;
			connection.access = ACCESS_IO_URING;
			connection.piece = piece;
			exchange();
			check_exchange("iterator");
		}
	}
}

static void counts_what_it_cannot_read_as_unresolved(void **state)
{
	(void)state;
	connection.access = ACCESS_IO_URING; /* on the tracepoint rung */
	for (int i = 0; i < 5; i++)
		exchange();
	assert_int_equal(counted(-1), 0);
	assert_int_equal(lost(LOSS_UNRESOLVED), 1);
	assert_int_equal(ignored(IGNORED_OTHER), 1);
}

static void counts_a_head_it_cannot_read_as_lost_and_goes_on(void **state)
{
	(void)state;
	exchange();
	connection.access = ACCESS_UNKNOWN;
	exchange();
	assert_true(lost(LOSS_UNRESOLVED) >= 1);
	connection.access = ACCESS_BUFFER;
	exchange();
	assert_int_equal(counted(-1), 2);
}

static void counts_unmapped_memory_as_lost(void **state)
{
	(void)state;
	exchange();
	fake_regs.orig_ax = NR_read;
	fake_regs.si = 4096;
	connection.socket->rcv_nxt += 100;
	connection.socket->copied_seq += 100;
	recv_tracepoint(NULL, (struct sock *)connection.socket, 100, 0);
	assert_int_equal(lost(LOSS_UNREADABLE), 1);
	exchange();
	assert_int_equal(counted(-1), 2);
}

static void does_not_read_a_head_twice_that_was_only_peeked_at(void **state)
{
	(void)state;
	connection_arrive(&connection, sizeof(REQUEST) - 1);
	fake_user_add(REQUEST, sizeof(REQUEST) - 1);
	fake_regs.orig_ax = NR_recvfrom;
	fake_regs.si = (unsigned long)REQUEST;
	recv_tracepoint(NULL, (struct sock *)connection.socket, sizeof(REQUEST) - 1, MSG_PEEK);
	connection_read(&connection, TEXT(REQUEST));
	clock_step(3 * MS);
	connection_response(&connection, TEXT(RESPONSE));
	check_exchange("peeked");
}

static void passes_over_calls_that_moved_nothing(void **state)
{
	struct sock *sk = (struct sock *)connection.socket;

	(void)state;
	send_tracepoint(NULL, sk, -11, 0);
	recv_tracepoint(NULL, sk, 0, 0);
	recv_tracepoint(NULL, sk, -104, 0);
	exchange();
	check_exchange("after errors");
}

static void leaves_other_sockets_alone(void **state)
{
	struct sock *sk = (struct sock *)connection.socket;

	(void)state;
	sk->sk_protocol = 17;
	exchange();
	sk->sk_protocol = PROTOCOL_TCP;
	sk->__sk_common.skc_family = 1;
	exchange();
	assert_int_equal(counted(-1) + lost_any(), 0);
	assert_null(fake_map_oldest(&pl_taps));
}

static void leaves_the_agents_own_traffic_alone(void **state)
{
	(void)state;
	shared_get()->agent_tgid = fake_task.tgid;
	exchange();
	exchange();
	assert_int_equal(counted(-1) + lost_any(), 0);
	assert_int_equal(ignored(IGNORED_OTHER), 0);
}

static void gives_back_what_a_connection_held(void **state)
{
	(void)state;
	for (int rung = RUNG_FENTRY; rung <= RUNG_TRACEPOINT; rung++) {
		again(false);
		connection.rung = rung;
		exchange();
		assert_int_equal(
			((struct process_slot *)fake_map_oldest(&pl_processes)->value)->sockets, 1);
		connection_free(&connection);
		assert_int_equal(
			((struct process_slot *)fake_map_oldest(&pl_processes)->value)->sockets, 0);
		assert_null(fake_map_oldest(&pl_taps));
		assert_null(fake_map_oldest(&pl_taps_by_sk));
		assert_null(fake_map_oldest(&pl_pipelines));
	}
}

static void counts_a_full_table_of_connections(void **state)
{
	(void)state;
	connection.rung = RUNG_KPROBE;
	fake_map_limit(&pl_taps_by_sk, 0);
	exchange();
	assert_int_equal(counted(-1), 0);
	assert_int_equal(lost(LOSS_STATE_FULL), 2);
}

static void counts_records_that_found_no_room(void **state)
{
	(void)state;
	exchange();
	again(false);
	fake_ring_bytes = 0;
	exchange();
	assert_int_equal(counted(200), 1);
	/* the process and the first of its kind */
	assert_int_equal(lost(LOSS_RING_FULL), 2);
}

static void tells_who_a_process_is(void **state)
{
	static const char environment[] = "PATH=/usr/bin\0"
					  "X_OTEL_SERVICE_NAME=wrong\0"
					  "OTEL_SERVICE_NAMES=wrong\0"
					  "OTEL_SERVICE_NAME=checkout\0"
					  "OTEL_SERVICE_NAME=second";
	struct dentry dentry = { .d_name.name = (const unsigned char *)"server-binary" };
	struct file file = { .f_path.dentry = &dentry };
	struct mm_struct mm = {
		.exe_file = &file,
		.env_start = (unsigned long)environment,
		.env_end = (unsigned long)environment + sizeof(environment),
	};
	struct kernfs_node nodes[3] = { { "", NULL },
					{ "system.slice", &nodes[0] },
					{ "web.service", &nodes[1] } };
	struct cgroup cgroup = { .kn = &nodes[2] };
	struct css_set set = { .dfl_cgrp = &cgroup };
	const struct process_record *record;

	(void)state;
	fake_task.mm = &mm;
	fake_task.cgroups = &set;
	/* the whole environment is readable while the call's own memory is cleared
	 * each time */
	fake_user_clear();
	fake_user_add(environment, sizeof(environment));
	process_current();
	record = record_of(RECORD_PROCESS, 0);
	assert_non_null(record);
	assert_string_equal(record->otel, "OTEL_SERVICE_NAME=checkout");
	assert_string_equal(record->comm, "fake");
	assert_string_equal(record->executable, "server-binary");
	assert_string_equal(record->cgroup[0], "web.service");
	assert_string_equal(record->cgroup[1], "system.slice");
	assert_string_equal(record->cgroup[3], "");
	assert_int_equal(record->header.pid, fake_task.tgid);
	assert_int_equal(record->index, process_current());
	assert_int_equal(fake_record_count, 1);
}

static void counts_a_process_it_has_no_index_for(void **state)
{
	__u32 index;

	(void)state;
	while (!bpf_map_pop_elem(&pl_process_free, &index))
		;
	exchange();
	assert_true(lost(LOSS_PROCESSES_FULL) >= 1);
	assert_int_equal(counted(200), 1);
}

static void counts_under_the_service_user_space_named(void **state)
{
	(void)state;
	exchange();
	assert_true(counted_slot(HTTP_POST, 200, 0)->key.service & SERVICE_PROVISIONAL);
	/* index 1 is the first that is handed out */
	((struct process_slot *)bpf_map_lookup_elem(&pl_processes, &(__u32){ 1 }))->service = 77;
	for (int i = 0; i < 3; i++)
		exchange();
	assert_int_equal(counted(200), 4);
	slots_for_each(element)
	{
		const struct request_slot *slot = element->value;

		if (slot->key.service == 77)
			assert_int_equal(slot_count(slot), 3);
	}
}

static void puts_every_duration_in_its_bucket(void **state)
{
	static const __u64 durations[] = { 1,	     MS - 1,	     MS,       MS + 1,
					   2 * MS,   2 * MS + 1,     500 * MS, (MS << 19) - 1,
					   MS << 19, (MS << 19) + 1, MS << 30 };

	(void)state;
	for (size_t i = 0; i < sizeof(durations) / sizeof(durations[0]); i++) {
		const __u64 *bounds;
		struct request_slot *slot;
		int bucket = 0;

		again(false);
		bounds = shared_get()->bounds_ns;
		while (bounds[bucket] != BOUND_NONE && bounds[bucket] < durations[i])
			bucket++;
		connection_request(&connection, TEXT("GET / HTTP/1.1\r\n\r\n"));
		clock_step(durations[i]);
		connection_response(&connection,
				    TEXT("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
		slot = counted_slot(HTTP_GET, 200, 0);
		assert_non_null(slot);
		assert_int_equal(slot->sum_ns, durations[i]);
		assert_int_equal(slot->classic[bucket], 1);
		assert_int_equal(slot->exponential[exp_bucket_of_ns(durations[i])], 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(counts_on_every_rung_through_every_call, reset,
						finish),
		cmocka_unit_test_setup_teardown(counts_io_uring_where_the_iterator_is_seen, reset,
						finish),
		cmocka_unit_test_setup_teardown(counts_what_it_cannot_read_as_unresolved, reset,
						finish),
		cmocka_unit_test_setup_teardown(counts_a_head_it_cannot_read_as_lost_and_goes_on,
						reset, finish),
		cmocka_unit_test_setup_teardown(counts_unmapped_memory_as_lost, reset, finish),
		cmocka_unit_test_setup_teardown(does_not_read_a_head_twice_that_was_only_peeked_at,
						reset, finish),
		cmocka_unit_test_setup_teardown(passes_over_calls_that_moved_nothing, reset,
						finish),
		cmocka_unit_test_setup_teardown(leaves_other_sockets_alone, reset, finish),
		cmocka_unit_test_setup_teardown(leaves_the_agents_own_traffic_alone, reset, finish),
		cmocka_unit_test_setup_teardown(gives_back_what_a_connection_held, reset, finish),
		cmocka_unit_test_setup_teardown(counts_a_full_table_of_connections, reset, finish),
		cmocka_unit_test_setup_teardown(counts_records_that_found_no_room, reset, finish),
		cmocka_unit_test_setup_teardown(tells_who_a_process_is, reset, finish),
		cmocka_unit_test_setup_teardown(counts_a_process_it_has_no_index_for, reset,
						finish),
		cmocka_unit_test_setup_teardown(counts_under_the_service_user_space_named, reset,
						finish),
		cmocka_unit_test_setup_teardown(puts_every_duration_in_its_bucket, reset, finish),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
