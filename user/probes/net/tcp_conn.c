/* SPDX-License-Identifier: GPL-2.0-only */
/* net/tcp_conn: finds the sockets that were open before, takes the kernel's slots into series. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include <plimsoll/net/tcp_conn.h>

#include "base/clock.h"
#include "base/log.h"
#include "kernel/slot_table.h"
#include "probes/probe.h"

#include "net/tcp_conn.skel.h"

#define TRAFFIC_WALK_NS (5 * NS_PER_S)

enum {
	OPENED,
	CLOSED,
	ACTIVE,
	FAILURES,
	CONNECT,
	LIFE,
	BYTES,
	RETRANSMITS,
	RTT,
	NO_SLOT,
	FAMILY_COUNT
};

#define CONN_LABELS                                   \
	{                                             \
		"service_name", "role", "server_port" \
	}

static const struct series_spec specs[FAMILY_COUNT + 1] = {
	[OPENED] = { .name = "plimsoll_tcp_connections_opened_total",
		     .kind = SERIES_COUNTER,
		     .labels = CONN_LABELS,
		     .help = "Connections accepted (server) or made (client), those that were "
			     "open at the start included." },
	[CLOSED] = { .name = "plimsoll_tcp_connections_closed_total",
		     .kind = SERIES_COUNTER,
		     .labels = CONN_LABELS,
		     .help = "Connections that ended." },
	[ACTIVE] = { .name = "plimsoll_tcp_connections_active",
		     .kind = SERIES_GAUGE,
		     .labels = CONN_LABELS,
		     .help = "Connections open now." },
	[FAILURES] = { .name = "plimsoll_tcp_connect_failures_total",
		       .kind = SERIES_COUNTER,
		       .labels = { "service_name", "server_port", "reason" },
		       .help = "Connects that failed, by reason (refused, timeout, unreachable, "
			       "reset, other)." },
	[CONNECT] = { .name = "plimsoll_tcp_connect_duration_seconds",
		      .kind = SERIES_HISTOGRAM,
		      .unit = UNIT_SECONDS,
		      .labels = { "service_name", "server_port" },
		      .help = "From SYN to established, client side." },
	[LIFE] = { .name = "plimsoll_tcp_connection_duration_seconds",
		   .kind = SERIES_HISTOGRAM,
		   .unit = UNIT_SECONDS,
		   .labels = CONN_LABELS,
		   .help = "Life time of connections, counted when they end." },
	[BYTES] = { .name = "plimsoll_tcp_bytes_total",
		    .kind = SERIES_COUNTER,
		    .labels = { "service_name", "role", "server_port", "direction" },
		    .help = "Bytes received, and bytes sent that were acknowledged; of open "
			    "connections as of the last walk (every 5 s)." },
	[RETRANSMITS] = { .name = "plimsoll_tcp_retransmits_total",
			  .kind = SERIES_COUNTER,
			  .labels = CONN_LABELS,
			  .help = "Segments sent again." },
	[RTT] = { .name = "plimsoll_tcp_rtt_seconds",
		  .kind = SERIES_HISTOGRAM,
		  .unit = UNIT_SECONDS,
		  .labels = CONN_LABELS,
		  .help = "Smoothed round trip time, sampled at close and on every walk over "
			  "connections that moved bytes." },
	[NO_SLOT] = { .name = "plimsoll_tcp_connections_uncounted_total",
		      .kind = SERIES_COUNTER,
		      .help = "Changes of connections that found no room in the kernel's table." },
	{}
};

static const struct rung rungs[] = {
	{ .name = "tp_btf",
	  .programs = { "conn_state_storage", "conn_state_again_storage", "conn_walk_files",
			"conn_walk_traffic" },
	  .unused_maps = { "pl_conns_by_sk" },
	  .needs_helper = BPF_FUNC_loop,
	  .needs = "bpf_loop (kernel 5.17)" },
	{ .name = "tracepoint", .programs = { "conn_state_hash" }, .unused_maps = { "pl_conns" } },
	{}
};

static const char *const failure_names[CONN_FAILURE_COUNT] = {
	[CONN_FAILURE_REFUSED] = "refused",
	[CONN_FAILURE_TIMEOUT] = "timeout",
	[CONN_FAILURE_UNREACHABLE] = "unreachable",
	[CONN_FAILURE_RESET] = "reset",
	[CONN_FAILURE_OTHER] = "other",
};

static const char *const role_names[] = { "unknown", "server", "client", "listener" };

struct state {
	struct probe_environment *environment;
	struct conn_shared *shared;
	struct slot_table slots;
	struct bpf_link *traffic;
	uint64_t walked_ns;
	struct family *families[FAMILY_COUNT];
};

/* Runs an iterator program to its end; what it prints is nothing. */
static int walk(struct bpf_link *link)
{
	char buffer[64];
	ssize_t got;
	int fd = bpf_iter_create(bpf_link__fd(link));

	if (fd < 0)
		return -errno;
	while ((got = read(fd, buffer, sizeof(buffer))) > 0 || (got < 0 && errno == EAGAIN))
		;
	close(fd);
	return got < 0 ? -errno : 0;
}

static int walk_once(struct bpf_program *program)
{
	struct bpf_link *link = bpf_program__attach_iter(program, NULL);
	int err;

	if (!link)
		return -errno;
	err = walk(link);
	bpf_link__destroy(link);
	return err;
}

static int find_open_sockets(struct state *state, struct bpf_object *object)
{
	struct bpf_program *program = bpf_object__find_program_by_name(object, "conn_walk_files");
	int err = 0;

	/* listeners first: they tell which end of a connection is the server */
	for (uint32_t pass = 0; pass < 2 && !err; pass++) {
		state->shared->pass = pass;
		err = walk_once(program);
	}
	return err;
}

static void open_traffic_walk(struct state *state, struct bpf_object *object)
{
	LIBBPF_OPTS(bpf_iter_attach_opts, options);
	union bpf_iter_link_info info = {};

	info.map.map_fd = (__u32)bpf_map__fd(bpf_object__find_map_by_name(object, "pl_conns"));
	options.link_info = &info;
	options.link_info_len = sizeof(info);
	state->traffic = bpf_program__attach_iter(
		bpf_object__find_program_by_name(object, "conn_walk_traffic"), &options);
	if (!state->traffic)
		log_warn("net/tcp_conn: bytes of open connections are only counted at close: %s",
			 strerror(errno));
}

static const char *const *labels(const char **values, const char *service, const char *role,
				 const char *port)
{
	values[0] = service;
	values[1] = role;
	values[2] = port;
	return values;
}

/* Counts first: a value is in the sum before it is counted, so no count is without its value. */
static void take_histogram(struct family *family, const char *const *values, __u32 *counters,
			   __u64 *sum)
{
	__u32 taken[BOUND_BUCKETS];
	struct histogram_delta delta = { .classic = taken };

	for (unsigned int i = 0; i < BOUND_BUCKETS; i++) {
		taken[i] = take32(&counters[i]);
		delta.count += taken[i];
	}
	if (!delta.count)
		return;
	delta.sum = take64(sum);
	series_add_histogram(series_get(family, values), &delta);
}

static void drain(struct state *state, struct conn_slot *slot)
{
	struct service *service =
		processes_service(state->environment->processes, slot->key.service);
	const char *role = role_names[slot->key.role % 4];
	struct family **families = state->families;
	const char *values[5];
	uint32_t opened, closed;
	char port[8];

	take32(&slot->touched);
	snprintf(port, sizeof(port), "%u", slot->key.port);
	labels(values, service->name, role, port);
	opened = take32(&slot->opened);
	closed = take32(&slot->closed);
	if (opened || closed) {
		struct series *active = series_get(families[ACTIVE], values);

		series_add(series_get(families[OPENED], values), opened);
		series_add(series_get(families[CLOSED], values), closed);
		series_set(active, active->value + opened - closed);
	}
	take_histogram(families[LIFE], values, slot->life, &slot->life_sum_ns);
	take_histogram(families[RTT], values, slot->rtt, &slot->rtt_sum_ns);
	series_add(series_get(families[RETRANSMITS], values), (double)take64(&slot->retransmits));
	values[3] = "sent";
	series_add(series_get(families[BYTES], values), (double)take64(&slot->sent_bytes));
	values[3] = "received";
	series_add(series_get(families[BYTES], values), (double)take64(&slot->received_bytes));

	values[1] = port;
	take_histogram(families[CONNECT], values, slot->connect, &slot->connect_sum_ns);
	for (int reason = 0; reason < CONN_FAILURE_COUNT; reason++) {
		uint32_t failed = take32(&slot->failed[reason]);

		values[2] = failure_names[reason];
		if (failed)
			series_add(series_get(families[FAILURES], values), failed);
	}
}

static void sweep_slot(struct state *state, struct conn_slot *slot, uint32_t index)
{
	bool leaving = state->slots.leaving[index];

	if (*(volatile __u32 *)&slot->touched)
		drain(state, slot);
	else if (!leaving && processes_is_settled(state->environment->processes, slot->key.service))
		slot_table_leave(&state->slots, index, &slot->key);
	if (leaving)
		slot_table_give_back(&state->slots, index);
}

static void sweep(void *context, uint64_t now_ns)
{
	struct state *state = context;
	uint64_t keys_full;
	uint32_t used;

	if (state->traffic && now_ns - state->walked_ns >= TRAFFIC_WALK_NS) {
		state->walked_ns = now_ns;
		walk(state->traffic);
	}
	used = slot_table_cover(&state->slots);
	for (uint32_t index = 0; index < used; index++) {
		struct conn_slot *slot = slot_table_at(&state->slots, index);

		if (*(volatile __u32 *)&slot->key.service)
			sweep_slot(state, slot, index);
	}
	keys_full = take64(&state->shared->keys_full);
	series_add(series_get(state->families[NO_SLOT], (const char *const[]){ NULL }),
		   (double)keys_full);
}

static int configure(const struct probe_environment *environment, struct bpf_object *object,
		     const struct rung *rung)
{
	(void)rung;
	return slot_table_configure(object, "pl_conn", environment->config->connections_max);
}

static void stop(void *context)
{
	struct state *state = context;

	if (!state)
		return;
	bpf_link__destroy(state->traffic);
	slot_table_close(&state->slots);
	if (state->shared)
		maps_unmap(state->shared, sizeof(*state->shared));
	free(state);
}

static int open_tables(struct state *state, struct bpf_object *object)
{
	int err;

	state->shared =
		maps_mmap(bpf_map__fd(bpf_object__find_map_by_name(object, "pl_conn_shared")), 0,
			  sizeof(*state->shared), &err);
	return err ? err
		   : slot_table_open(&state->slots, object, "pl_conn", sizeof(struct conn_slot),
				     state->environment->config->connections_max,
				     &state->shared->slots);
}

static int start(struct probe_environment *environment, struct attached *attached, void **ret_state)
{
	struct state *state = calloc(1, sizeof(*state));
	int err;

	if (!state)
		return -ENOMEM;
	state->environment = environment;
	err = open_tables(state, attached->object);
	for (int i = 0; i < FAMILY_COUNT && !err; i++) {
		state->families[i] = series_family(environment->store, &specs[i]);
		if (!state->families[i])
			err = -ENOMEM;
	}
	if (err) {
		stop(state);
		return err;
	}
	memcpy(state->shared->rtt_bounds_ns, environment->maps->shared->bounds_ns,
	       sizeof(state->shared->rtt_bounds_ns));
	memcpy(state->shared->life_bounds_ns, environment->maps->shared->bounds_ns,
	       sizeof(state->shared->life_bounds_ns));
	if (strcmp(attached->rung->name, "tp_btf") == 0) {
		err = find_open_sockets(state, attached->object);
		if (err)
			log_warn("net/tcp_conn: sockets open before the start are not counted: %s",
				 strerror(-err));
		open_traffic_walk(state, attached->object);
	}
	*ret_state = state;
	return 0;
}

const struct probe_type net_tcp_conn_probe = {
	.name = "net/tcp_conn",
	.purpose = "TCP connections: opened, failed, closed, bytes, round trips",
	.rungs = rungs,
	.series = specs,
	.elf = tcp_conn_bpf__elf_bytes,
	.configure = configure,
	.start = start,
	.stop = stop,
	.sweep = sweep,
};
