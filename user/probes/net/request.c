/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * net/request: takes the kernel's request slots into series, learns route texts
 * from records, hands details to those who judge, gives slots back that nobody
 * will add to any more.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>

#include <plimsoll/net/request.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "kernel/slot_table.h"
#include "probes/net/patterns.h"
#include "probes/net/routes.h"
#include "probes/probe.h"
#include "wire/route.h"

#include "net/request.skel.h"

#define OTHER_SHARE 8 /* one slot in so many is kept for overflow endpoints */

enum {
	SERVER_DURATION,
	CLIENT_DURATION,
	SERVER_FIRST_BYTE,
	CLIENT_FIRST_BYTE,
	SERVER_REQUEST_SIZE,
	CLIENT_REQUEST_SIZE,
	SERVER_RESPONSE_SIZE,
	CLIENT_RESPONSE_SIZE,
	STREAMS_ACTIVE,
	STREAM_LIFE,
	STREAMS_OPENED,
	REQUESTS,
	ENDPOINT_SLOTS,
	FAMILY_COUNT
};

#define REQUEST_LABELS                                                              \
	{                                                                           \
		"service_name", "server_port", "http_request_method", "http_route", \
			"http_response_status_code", "error_type"                   \
	}

static const struct series_spec specs[FAMILY_COUNT + 1] = {
	[SERVER_DURATION] = { .name = "http_server_request_duration_seconds",
			      .kind = SERIES_HISTOGRAM,
			      .unit = UNIT_SECONDS,
			      .labels = REQUEST_LABELS,
			      .help = "From the first byte of a request at the socket to the last "
				      "byte of its response handed to TCP." },
	[CLIENT_DURATION] = { .name = "http_client_request_duration_seconds",
			      .kind = SERIES_HISTOGRAM,
			      .unit = UNIT_SECONDS,
			      .labels = REQUEST_LABELS,
			      .help = "From the first byte of a request sent to the last byte of "
				      "its response read." },
	[SERVER_FIRST_BYTE] = { .name = "plimsoll_http_server_first_byte_seconds",
				.kind = SERIES_HISTOGRAM,
				.unit = UNIT_SECONDS,
				.labels = REQUEST_LABELS,
				.help = "From the first byte of a request at the socket to the "
					"first byte of its response handed to TCP." },
	[CLIENT_FIRST_BYTE] = { .name = "plimsoll_http_client_first_byte_seconds",
				.kind = SERIES_HISTOGRAM,
				.unit = UNIT_SECONDS,
				.labels = REQUEST_LABELS,
				.help = "From the first byte of a request sent to the first byte "
					"of its response read." },
	[SERVER_REQUEST_SIZE] = { .name = "http_server_request_body_size_bytes",
				  .kind = SERIES_HISTOGRAM,
				  .unit = UNIT_BYTES,
				  .labels = REQUEST_LABELS,
				  .help = "Bodies of requests received." },
	[CLIENT_REQUEST_SIZE] = { .name = "http_client_request_body_size_bytes",
				  .kind = SERIES_HISTOGRAM,
				  .unit = UNIT_BYTES,
				  .labels = REQUEST_LABELS,
				  .help = "Bodies of requests sent." },
	[SERVER_RESPONSE_SIZE] = { .name = "http_server_response_body_size_bytes",
				   .kind = SERIES_HISTOGRAM,
				   .unit = UNIT_BYTES,
				   .labels = REQUEST_LABELS,
				   .help = "Bodies of responses sent." },
	[CLIENT_RESPONSE_SIZE] = { .name = "http_client_response_body_size_bytes",
				   .kind = SERIES_HISTOGRAM,
				   .unit = UNIT_BYTES,
				   .labels = REQUEST_LABELS,
				   .help = "Bodies of responses received." },
	[STREAMS_ACTIVE] = { .name = "plimsoll_http_upgrades_active",
			     .kind = SERIES_GAUGE,
			     .labels = { "service_name", "role", "kind" },
			     .help = "Connections that became a WebSocket, a tunnel or an event "
				     "stream and are open." },
	[STREAM_LIFE] = { .name = "plimsoll_http_stream_duration_seconds",
			  .kind = SERIES_HISTOGRAM,
			  .unit = UNIT_SECONDS,
			  .labels = { "service_name", "role", "kind" },
			  .help = "Life time of such connections, counted when they end." },
	[STREAMS_OPENED] = { .name = "plimsoll_http_streams_opened_total",
			     .kind = SERIES_COUNTER,
			     .labels = { "service_name", "role", "kind" },
			     .help = "Connections that became a WebSocket, a tunnel or an event "
				     "stream." },
	[REQUESTS] = { .name = "plimsoll_requests_total",
		       .kind = SERIES_COUNTER,
		       .labels = { "service_name", "role" },
		       .help = "Requests counted, whatever their endpoint." },
	[ENDPOINT_SLOTS] = { .name = "plimsoll_endpoint_slots",
			     .kind = SERIES_GAUGE,
			     .labels = { "state" },
			     .help = "Room for kinds of requests in the kernel's table (used, "
				     "max)." },
	{}
};

static const struct rung rungs[] = {
	{ .name = "fentry",
	  .programs = { "send_enter_fentry", "send_fentry", "recv_enter_fentry", "recv_fentry",
			"state_storage", "state_again_storage" },
	  .optional = { "arrived_fentry", "sendpage_fentry" },
	  .if_preempted = { "send_again_fentry", "recv_again_fentry" },
	  .unused_maps = { "pl_taps_by_sk" },
	  .needs_helper = BPF_FUNC_loop,
	  .needs = "bpf_loop (kernel 5.17)" },
	{ .name = "kprobe",
	  .programs = { "send_enter_kprobe", "send_kprobe", "recv_enter_kprobe", "recv_kprobe",
			"state_kprobe", "state_again_kprobe", "exit_kprobe" },
	  .optional = { "arrived_kprobe", "recv_inner_kprobe", "sendpage_enter_kprobe",
			"sendpage_kprobe" },
	  .unused_maps = { "pl_taps" },
	  .needs_helper = BPF_FUNC_loop,
	  .needs = "bpf_loop (kernel 5.17)" },
	{ .name = "tracepoint",
	  .programs = { "send_tracepoint", "recv_tracepoint", "state_storage",
			"state_again_storage" },
	  .optional = { "arrived_tracepoint" },
	  .if_preempted = { "send_again_tracepoint", "recv_again_tracepoint" },
	  .unused_maps = { "pl_taps_by_sk", "pl_calls" },
	  .needs_helper = BPF_FUNC_loop,
	  .needs = "bpf_loop (kernel 5.17)" },
	{}
};

static const char *const method_names[HTTP_METHOD_COUNT] = {
	[HTTP_METHOD_OTHER] = "_OTHER", [HTTP_GET] = "GET",
	[HTTP_POST] = "POST",		[HTTP_PUT] = "PUT",
	[HTTP_HEAD] = "HEAD",		[HTTP_DELETE] = "DELETE",
	[HTTP_PATCH] = "PATCH",		[HTTP_OPTIONS] = "OPTIONS",
	[HTTP_CONNECT] = "CONNECT",	[HTTP_TRACE] = "TRACE",
};

static const char *const error_names[REQUEST_ERROR_COUNT] = {
	[REQUEST_OK] = "",
	[REQUEST_RESET] = "connection_reset",
};

static const char *const role_names[] = { "unknown", "server", "client" };
static const char *const kind_names[STREAM_KIND_COUNT] = { "websocket", "sse", "tunnel" };

/* What is known of a slot since it was first seen under this key. */
struct endpoint {
	struct request_key key;
	struct service *service;
	const char *route;
	struct series *duration, *first_byte, *request_size, *response_size, *requests;
	uint32_t request_sizes_ahead, response_sizes_ahead; /* counted before their requests */
	unsigned int generation; /* of the thresholds the slot was given */
	bool awaited;		 /* for the record that names its route */
	bool had_news;		 /* at the last sweep */
};

struct state {
	struct probe_environment *environment;
	struct slot_table slots;
	struct growing_map streams;
	struct request_shared *shared;
	struct endpoint *endpoints; /* by slot index */
	struct routes routes;
	struct patterns *patterns;
	struct family *families[FAMILY_COUNT];
};

static const char *route_name(struct state *state, uint64_t hash)
{
	if (hash == ROUTE_OTHER)
		return "other";
	if (hash >= ROUTE_PATTERN_BASE)
		return patterns_text(state->patterns, (uint32_t)hash);
	return routes_text(&state->routes, hash);
}

/* --- records -------------------------------------------------------------------------------- */

static void detail(struct state *state, const struct request_record *record)
{
	struct probe_environment *environment = state->environment;
	struct request_detail d = {};
	char path[PATH_MAX_BYTES + 1] = "";
	uint64_t now_ns = clock_monotonic_ns();
	const char *route;

	routes_learn_path(&state->routes, record->key.route, record->head, record->path_start,
			  record->path_end);
	if (record->reason == DETAIL_FIRST || !environment->observer.detail)
		return;
	if (record->path_start < record->path_end && record->path_end <= PATH_MAX_BYTES)
		route_path((const char *)record->head + record->path_start,
			   record->path_end - record->path_start, path, sizeof(path));
	route = route_name(state, record->key.route);
	d.wall_ns = clock_wall_ns() - (now_ns - record->header.time_ns);
	d.service = processes_service(environment->processes, record->key.service)->name;
	d.role = (enum role)record->key.role;
	d.server_port = record->key.port;
	d.method = method_names[record->key.method % HTTP_METHOD_COUNT];
	d.route = route ? route : "";
	d.path = path[0] ? path : d.route;
	d.status = record->key.status;
	d.duration_ns = record->duration_ns;
	d.first_byte_ns = record->first_byte_ns;
	d.queue_ns = record->queue_ns;
	d.request_body_bytes = record->request_bytes;
	d.response_body_bytes = record->response_bytes;
	d.pid = record->header.pid;
	environment->observer.detail(environment->observer.context, &d);
}

static bool record_take(void *context, const struct record_header *header)
{
	struct state *state = context;

	if (header->kind == RECORD_REQUEST && header->size >= sizeof(struct request_record)) {
		detail(state, (const struct request_record *)header);
		return true;
	}
	if (header->kind == RECORD_ROUTE && header->size >= sizeof(struct route_record)) {
		const struct route_record *record = (const struct route_record *)header;

		routes_learn_path(&state->routes, record->route, record->head, record->path_start,
				  record->path_end);
		return true;
	}
	return false;
}

/* --- sweep ---------------------------------------------------------------------------------- */

/* A key left behind by a process whose service has all the endpoints it may have. */
static bool over_limit(struct state *state, const struct request_key *key,
		       const struct service *service)
{
	const struct maps *maps = state->environment->maps;
	struct request_key own = *key;
	uint32_t index;

	if (!(key->service & SERVICE_PROVISIONAL) ||
	    maps->services[service->id].keys < maps->shared->keys_per_service)
		return false;
	own.service = service->id;
	return bpf_map_lookup_elem(state->slots.keys_fd, &own, &index) != 0;
}

static void endpoint_learn(struct state *state, struct endpoint *endpoint,
			   const struct request_key *key)
{
	bool server = key->role != REQUEST_ROLE_CLIENT;
	const char *route = route_name(state, key->route);
	char port[8], status[8] = "", unnamed[32];
	const char *values[6];

	endpoint->key = *key;
	endpoint->generation = 0;
	endpoint->service = processes_service(state->environment->processes, key->service);
	if (!route) {
		/* the record that named it was lost; the next detail of it names it again */
		snprintf(unnamed, sizeof(unnamed), "unnamed-%016llx",
			 (unsigned long long)key->route);
		routes_learn(&state->routes, key->route, unnamed);
		route = route_name(state, key->route);
	}
	if (route && key->route < ROUTE_PATTERN_BASE && key->route != ROUTE_OTHER) {
		const char *pattern =
			patterns_match(state->patterns, endpoint->service->name, route);

		route = pattern ? pattern : route;
	}
	endpoint->route = route && !over_limit(state, key, endpoint->service) ? route : "other";
	snprintf(port, sizeof(port), "%u", key->port);
	if (key->status)
		snprintf(status, sizeof(status), "%u", key->status);
	values[0] = endpoint->service->name;
	values[1] = port;
	values[2] = method_names[key->method % HTTP_METHOD_COUNT];
	values[3] = endpoint->route;
	values[4] = status;
	values[5] = error_names[key->error % REQUEST_ERROR_COUNT];
	endpoint->duration =
		series_get(state->families[server ? SERVER_DURATION : CLIENT_DURATION], values);
	endpoint->first_byte =
		series_get(state->families[server ? SERVER_FIRST_BYTE : CLIENT_FIRST_BYTE], values);
	endpoint->request_size = series_get(
		state->families[server ? SERVER_REQUEST_SIZE : CLIENT_REQUEST_SIZE], values);
	endpoint->response_size = series_get(
		state->families[server ? SERVER_RESPONSE_SIZE : CLIENT_RESPONSE_SIZE], values);
	endpoint->requests = series_get(
		state->families[REQUESTS],
		(const char *const[]){ endpoint->service->name, role_names[key->role % 3] });
}

/* Takes counters out of a table into `ret_taken`; their sum. */
static uint64_t take_all(__u32 *counters, unsigned int count, __u32 *ret_taken)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < count; i++) {
		ret_taken[i] = take32(&counters[i]);
		sum += ret_taken[i];
	}
	return sum;
}

/* Bodies of no bytes are not counted in the kernel: what is missing to the requests had none. */
static void drain_sizes(struct series *series, __u32 *sizes, __u64 *bytes, uint64_t requests,
			uint32_t *ahead)
{
	__u32 classic[BOUND_BUCKETS] = {};
	struct histogram_delta delta = { .classic = classic };
	uint64_t with_body = take_all(sizes, SIZE_BUCKETS, classic);
	uint64_t due = requests > *ahead ? requests - *ahead : 0;

	/* race: a size may have been counted whose request was not: it is, by the next sweep */
	*ahead = (uint32_t)(*ahead + with_body > requests ? *ahead + with_body - requests : 0);
	if (due > with_body)
		classic[0] += (__u32)(due - with_body);
	delta.count = due > with_body ? due : with_body;
	delta.sum = take64(bytes);
	series_add_histogram(series, &delta);
}

/* When first bytes came: of most answers when the last ones did, of the others apart. */
static void drain_first_bytes(struct series *series, const struct histogram_delta *duration,
			      const __u32 *late, const __u32 *first_byte, uint64_t late_ns)
{
	__u32 classic[BOUND_BUCKETS];
	struct histogram_delta delta = { .classic = classic };

	for (unsigned int i = 0; i < BOUND_BUCKETS; i++) {
		/* race: of one counted meanwhile the duration may be taken and the rest not yet */
		classic[i] = duration->classic[i] + first_byte[i];
		classic[i] -= late[i] < classic[i] ? late[i] : classic[i];
		delta.count += classic[i];
	}
	delta.sum = duration->sum > late_ns ? duration->sum - late_ns : 0;
	series_add_histogram(series, &delta);
}

/* Takes the numbers of a slot from the bottom up, as request_slot wants it. */
static void drain(struct state *state, struct request_slot *slot, struct endpoint *endpoint)
{
	struct probe_environment *environment = state->environment;
	__u32 classic[BOUND_BUCKETS], exponential[EXP_BUCKETS];
	__u32 first_byte[BOUND_BUCKETS], late[BOUND_BUCKETS];
	struct histogram_delta delta = { .classic = classic, .exp = exponential };
	struct request_delta told = {};
	uint64_t late_ns, requests;

	take_all(slot->first_byte, BOUND_BUCKETS, first_byte);
	take_all(slot->late, BOUND_BUCKETS, late);
	late_ns = take64(&slot->late_ns);
	take_all(slot->exponential, EXP_BUCKETS, exponential);
	delta.count = take_all(slot->classic, BOUND_BUCKETS, classic);
	delta.sum = take64(&slot->sum_ns);
	delta.exp_low = EXP_BUCKETS;
	for (unsigned int i = 0; i < EXP_BUCKETS; i++) {
		if (!exponential[i])
			continue;
		if (delta.exp_low == EXP_BUCKETS)
			delta.exp_low = (uint16_t)i;
		delta.exp_high = (uint16_t)i;
	}
	if (delta.exp_low == EXP_BUCKETS)
		delta.exp = NULL;
	requests = delta.count;
	series_add_histogram(endpoint->duration, &delta);
	series_add(endpoint->requests, (double)requests);

	told.service = endpoint->service->name;
	told.role = (enum role)endpoint->key.role;
	told.server_port = endpoint->key.port;
	told.method = method_names[endpoint->key.method % HTTP_METHOD_COUNT];
	told.route = endpoint->route;
	told.status = endpoint->key.status;
	told.error = error_names[endpoint->key.error % REQUEST_ERROR_COUNT];
	told.duration = delta;
	if (environment->observer.requests)
		environment->observer.requests(environment->observer.context, &told);
	processes_seen(environment->processes, endpoint->service, requests);

	drain_first_bytes(endpoint->first_byte, &delta, late, first_byte, late_ns);
	drain_sizes(endpoint->request_size, slot->request_size, &slot->request_bytes, requests,
		    &endpoint->request_sizes_ahead);
	drain_sizes(endpoint->response_size, slot->response_size, &slot->response_bytes,
		    endpoint->key.status ? requests : 0, &endpoint->response_sizes_ahead);
}

static void leave(struct state *state, uint32_t index)
{
	const struct endpoint *endpoint = &state->endpoints[index];
	uint32_t owner = endpoint->key.service & ~SERVICE_PROVISIONAL;

	if (slot_table_leave(&state->slots, index, &endpoint->key) &&
	    owner < state->environment->maps->processes_max)
		__atomic_fetch_sub(&state->environment->maps->processes[owner].keys, 1,
				   __ATOMIC_RELAXED);
}

/* The line above which the kernel tells of a request, judged where the request ends. */
static void threshold_set(struct state *state, struct request_slot *slot, struct endpoint *endpoint)
{
	const struct observer *observer = &state->environment->observer;
	uint64_t threshold_us;

	if (endpoint->generation == observer->generation || !observer->threshold_ns)
		return;
	endpoint->generation = observer->generation;
	threshold_us = observer->threshold_ns(observer->context, endpoint->service->name,
					      endpoint->route, (enum role)endpoint->key.role) /
		       1000;
	slot->threshold_us = threshold_us < UINT32_MAX ? (uint32_t)threshold_us : UINT32_MAX;
}

/*
 * A process has its service: what it counted so far becomes the service's, slot by slot, so
 * that an endpoint keeps the slot it got first. What the service has already stays where it is
 * and is folded by the sweep.
 */
static void process_named(void *context, uint32_t index, const struct service *service)
{
	struct state *state = context;
	struct maps *maps = state->environment->maps;
	uint32_t used = slot_table_cover(&state->slots);

	maps->services[service->id].pattern_start = patterns_start(state->patterns, service->name);
	state->shared->pattern_states = patterns_states(state->patterns);
	for (uint32_t at = 0; at < used; at++) {
		struct request_slot *slot = slot_table_at(&state->slots, at);
		struct request_key was = slot->key, key = slot->key;
		const char *route = route_name(state, key.route);

		if (was.service != (SERVICE_PROVISIONAL | index) || state->slots.leaving[at] ||
		    maps->services[service->id].keys >= maps->shared->keys_per_service ||
		    (route && patterns_match(state->patterns, service->name, route)))
			continue;
		key.service = service->id;
		if (bpf_map_update_elem(state->slots.keys_fd, &key, &at, BPF_NOEXIST))
			continue;
		slot->key = key;
		bpf_map_delete_elem(state->slots.keys_fd, &was);
		__atomic_fetch_add(&maps->services[service->id].keys, 1, __ATOMIC_RELAXED);
		__atomic_fetch_sub(&maps->processes[index].keys, 1, __ATOMIC_RELAXED);
	}
}

static void sweep_slot(struct state *state, struct request_slot *slot, uint32_t index)
{
	struct endpoint *endpoint = &state->endpoints[index];
	bool leaving = state->slots.leaving[index], news = *(volatile __u64 *)&slot->sum_ns;

	if (memcmp(&endpoint->key, &slot->key, sizeof(slot->key)) != 0) {
		/* race: the record that names a route comes just after its first request */
		if (!endpoint->awaited && !route_name(state, slot->key.route)) {
			endpoint->awaited = true;
			return;
		}
		endpoint_learn(state, endpoint, &slot->key);
	}
	threshold_set(state, slot, endpoint);
	if (news || endpoint->had_news)
		drain(state, slot, endpoint);
	else if (!leaving && processes_is_settled(state->environment->processes, slot->key.service))
		leave(state, index);
	endpoint->had_news = news;
	if (leaving) {
		slot_table_give_back(&state->slots, index);
		memset(endpoint, 0, sizeof(*endpoint));
	}
}

static void sweep_streams(struct state *state)
{
	struct processes *processes = state->environment->processes;
	size_t size = sizeof(struct stream_slot);

	if (!state->shared->streams)
		return;
	if (growing_map_cover(&state->streams, (processes->highest + 65) * size))
		return;
	for (uint32_t index = 0; index <= processes->highest + 64; index++) {
		struct stream_slot *slot =
			(struct stream_slot *)(state->streams.base + index * size);

		if (index >= state->environment->maps->processes_max)
			break;
		for (int at = 0; at < 2 * STREAM_KIND_COUNT; at++) {
			uint32_t opened = take32(&slot->opened[at]);
			uint32_t closed = take32(&slot->closed[at]);
			uint64_t life_ns = take64(&slot->life_ns[at]);
			__u32 life[BOUND_BUCKETS];
			struct histogram_delta delta = { .classic = life, .sum = life_ns };
			const char *values[3];
			struct series *active;

			if (!opened && !closed)
				continue;
			values[0] = processes_service(processes, SERVICE_PROVISIONAL | index)->name;
			values[1] = at < STREAM_KIND_COUNT ? "server" : "client";
			values[2] = kind_names[at % STREAM_KIND_COUNT];
			active = series_get(state->families[STREAMS_ACTIVE], values);
			series_set(active, active->value + opened - closed);
			series_add(series_get(state->families[STREAMS_OPENED], values), opened);
			delta.count = take_all(slot->life[at], BOUND_BUCKETS, life);
			if (delta.count)
				series_add_histogram(
					series_get(state->families[STREAM_LIFE], values), &delta);
		}
	}
}

static void sweep(void *context, uint64_t now_ns)
{
	struct state *state = context;
	uint32_t used = slot_table_cover(&state->slots), in_use = 0;

	(void)now_ns;
	for (uint32_t index = 0; index < used; index++) {
		struct request_slot *slot = slot_table_at(&state->slots, index);

		if (!*(volatile __u32 *)&slot->key.service)
			continue;
		in_use++;
		sweep_slot(state, slot, index);
	}
	series_set(series_get(state->families[ENDPOINT_SLOTS], (const char *const[]){ "used" }),
		   in_use);
	series_set(series_get(state->families[ENDPOINT_SLOTS], (const char *const[]){ "max" }),
		   state->slots.max);
	sweep_streams(state);
}

/* --- start and stop ------------------------------------------------------------------------- */

static int configure(const struct probe_environment *environment, struct bpf_object *object,
		     const struct rung *rung)
{
	const struct config *config = environment->config;
	struct bpf_program *program;
	int err = slot_table_configure(object, "pl_req", config->endpoints_max);

	(void)rung;
	if (!err)
		err = bpf_map__set_max_entries(bpf_object__find_map_by_name(object, "pl_streams"),
					       config->processes_max);
	if (!config->arrival_stamps) {
		bpf_object__for_each_program (program, object)
			if (strncmp(bpf_program__name(program), "arrived_", 8) == 0)
				bpf_program__set_autoload(program, false);
	}
	return err;
}

static int map_fd(struct bpf_object *object, const char *name)
{
	struct bpf_map *map = bpf_object__find_map_by_name(object, name);

	return map ? bpf_map__fd(map) : -ENOENT;
}

static void stop(void *context)
{
	struct state *state = context;

	if (!state)
		return;
	if (state->environment->processes->named_context == state)
		state->environment->processes->named = NULL;
	slot_table_close(&state->slots);
	growing_map_close(&state->streams);
	if (state->shared)
		maps_unmap(state->shared, sizeof(*state->shared));
	routes_fini(&state->routes);
	patterns_free(state->patterns);
	free(state->endpoints);
	free(state);
}

static int open_tables(struct state *state, struct bpf_object *object)
{
	const struct config *config = state->environment->config;
	int err;

	state->shared = maps_mmap(map_fd(object, "pl_req_shared"), 0, sizeof(*state->shared), &err);
	if (!err)
		err = slot_table_open(&state->slots, object, "pl_req", sizeof(struct request_slot),
				      config->endpoints_max, &state->shared->slots);
	if (!err)
		err = growing_map_open(&state->streams, map_fd(object, "pl_streams"),
				       sizeof(struct stream_slot), config->processes_max);
	return err;
}

static int start(struct probe_environment *environment, struct attached *attached, void **ret_state)
{
	struct state *state = calloc(1, sizeof(*state));
	int err;

	if (!state)
		return -ENOMEM;
	state->environment = environment;
	routes_init(&state->routes);
	state->endpoints = calloc(environment->config->endpoints_max, sizeof(*state->endpoints));
	err = state->endpoints ? open_tables(state, attached->object) : -ENOMEM;
	for (int i = 0; i < FAMILY_COUNT && !err; i++) {
		state->families[i] = series_family(environment->store, &specs[i]);
		if (!state->families[i])
			err = -ENOMEM;
	}
	if (!err) {
		state->patterns =
			patterns_new(environment->config, map_fd(attached->object, "pl_patterns"));
		err = state->patterns ? 0 : -ENOMEM;
	}
	if (err) {
		stop(state);
		return err;
	}
	state->shared->slots_reserved = environment->config->endpoints_max / OTHER_SHARE;
	environment->processes->named_context = state;
	environment->processes->named = process_named;
	*ret_state = state;
	return 0;
}

const struct probe_type net_request_probe = {
	.name = "net/request",
	.purpose = "HTTP/1.x requests, server and client side",
	.rungs = rungs,
	.series = specs,
	.elf = request_bpf__elf_bytes,
	.configure = configure,
	.start = start,
	.stop = stop,
	.record = record_take,
	.sweep = sweep,
};
