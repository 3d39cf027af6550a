/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The life of an exchange on one connection: requests and responses as streams of
 * messages, paired in order, counted when the answer is complete. Positions are
 * TCP sequence numbers, so bytes that no hook saw (spliced, sendfile) still move
 * the stream on and never put a message head in the wrong place.
 */
#ifndef NET_EXCHANGE_BPF_H
#define NET_EXCHANGE_BPF_H

#include "lib/classic.bpf.h"
#include "lib/slots.bpf.h"
#include "lib/who.bpf.h"
#include "net/http1.bpf.h"

enum message_state {
	MESSAGE_START,	     /* the next byte begins a head */
	MESSAGE_HEAD,	     /* inside a head */
	MESSAGE_BODY,	     /* body_left bytes to go */
	MESSAGE_CHUNK_LINE,  /* inside a chunk-size line */
	MESSAGE_CHUNK,	     /* body_left bytes of a chunk and its CRLF to go */
	MESSAGE_TRAILER,     /* behind the last chunk, up to the blank line */
	MESSAGE_UNTIL_CLOSE, /* until the sender closes */
	MESSAGE_LOST,	     /* out of step: look for a head at the start of each call */
};

enum chunk_phase { CHUNK_DIGITS, CHUNK_EXTENSION };

/* One direction of a connection. */
struct message {
	__u32 next; /* sequence number behind the last byte looked at */
	__u8 state;
	__u8 known; /* `next` is valid */
	__u8 carried;
	__u8 flags;	 /* head_flags of the head being read */
	__u8 phase;	 /* chunk_phase */
	__u8 unverified; /* the head began with too few bytes to tell what it is */
	__u8 pad[6];
	__u64 body_left;
	__u64 body_bytes;
	__u64 content_length;
};

enum tap_protocol {
	TAP_UNDECIDED,
	TAP_HTTP1,
	TAP_STREAM, /* upgraded, or an event stream: only its end matters */
	TAP_IGNORED,
};

enum tap_flags {
	TAP_MIDSTREAM = 1, /* open before we looked */
};

#define STATUS_LINE_BYTES 16
#define SEQUENCE_KNOWN	  (1ULL << 32)

/*
 * All that is kept of a connection. Ordered by who writes it: the first line, which socket storage
 * shares with its own pointer, is read wherever data arrives, often on another CPU than the one
 * that runs the program. Nothing in it changes from request to request but the arrival stamp.
 */
struct tap {
	__u32 process;
	__u16 port;
	__u8 protocol;
	__u8 role;
	__u8 flags;
	__u8 tries; /* calls looked at in vain while undecided */
	__u8 stream_kind;
	__u8 streaming;
	__u8 released;	  /* the hold on its process is given back */
	__u8 proven;	  /* a request of it was understood */
	__u16 left_out;	  /* requests in flight beyond what is kept */
	__u64 arrival_ns; /* of the oldest unread byte; 0: none unread */
	__u64 stream_ns;  /* when the connection became a stream */
	__u8 line[24];	  /* to the end of the cache line */

	__u32 slot; /* of the last request counted here: a guess that is checked */
	__u16 status;
	__u8 method;  /* of the request being read */
	__u8 target;  /* where its target begins in head; 0: not known yet */
	__u8 pending; /* requests without an answer */
	__u8 head_length;
	__u8 status_length;
	__u8 pad[5];
	__u64 moved[2];	  /* SEQUENCE_KNOWN | number behind what was last [0] received, [1] sent */
	__u64 entry_ns;	  /* of the send under way (function rungs) */
	__u64 request_ns; /* start of the request being read */
	__u64 read_ns;	  /* when its first byte was read, 0: not measured */
	__u64 first_byte_ns;
	__u64 last_ns; /* of the response's last byte so far */

	struct exchange current;
	struct message request;
	struct message response;
	__u8 status_line[STATUS_LINE_BYTES];
	__u8 head[PATH_MAX_BYTES + 16]; /* the first bytes of the request head */
	__u8 request_carry[CARRY_MAX];	/* of a line that goes on in the next call */
	__u8 response_carry[CARRY_MAX];
};

_Static_assert(__builtin_offsetof(struct tap, slot) == 56, "the storage's pointer is before it");

/* More than one request in flight: rare, so apart. */
struct pipeline {
	__u32 first, count;
	struct exchange waiting[PIPELINE_MAX];
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct tap);
} pl_taps SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 32768);
	__type(key, __u64);
	__type(value, struct tap);
} pl_taps_by_sk SEC(".maps"); /* rungs that may not use socket storage */

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, __u64); /* address of the tap */
	__type(value, struct pipeline);
} pl_pipelines SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct pipeline);
} pl_pipeline_new SEC(".maps"); /* all zero: what a new one looks like */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct request_shared);
} pl_req_shared SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, struct request_key);
	__type(value, __u32);
} pl_req_keys SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, struct request_slot);
} pl_req_slots SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_STACK);
	__uint(max_entries, 4096);
	__uint(value_size, sizeof(__u32));
} pl_req_free SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, __u8);
} pl_routes SEC(".maps"); /* whose text user space has been told */

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, struct stream_slot);
} pl_streams SEC(".maps"); /* by process index */

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 5);
	__type(key, __u32);
	__type(value, struct scan);
} pl_scans SEC(".maps"); /* by scan_owner */

static __always_inline struct request_shared *request_shared_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&pl_req_shared, &zero);
}

/* --- counting ------------------------------------------------------------------------------- */

__noinline int request_detail_send(struct tap *tap, __u32 index, __u32 reason)
{
	struct request_slot *slot = bpf_map_lookup_elem(&pl_req_slots, &index);
	struct request_record *record;

	if (!tap || !slot)
		return 0;
	record = bpf_ringbuf_reserve(&pl_records, sizeof(*record), 0);
	if (!record)
		return count_loss(tap->process, LOSS_RING_FULL);
	record->header.kind = RECORD_REQUEST;
	record->header.size = sizeof(*record);
	record->header.time_ns = tap->last_ns;
	record->key = slot->key;
	record->duration_ns = tap->last_ns - tap->current.start_ns;
	record->first_byte_ns = tap->first_byte_ns - tap->current.start_ns;
	record->queue_ns = tap->current.queue_us * 1000ULL;
	record->request_bytes = tap->current.request_bytes;
	record->response_bytes = tap->response.body_bytes;
	record->slot = index;
	record->reason = reason;
	record->path_start = tap->current.has_path ? tap->current.path_start : 0;
	record->path_end = tap->current.has_path ? tap->current.path_end : 0;
	__builtin_memcpy(record->head, tap->head, PATH_MAX_BYTES);
	{
		__u32 owner = tap->process;
		struct process_slot *process = bpf_map_lookup_elem(&pl_processes, &owner);

		record->header.pid = process ? process->tgid : 0;
	}
	bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
	return 0;
}

__noinline int route_send(struct tap *tap, struct exchange *exchange)
{
	struct route_record *record;
	__u64 route;
	__u8 one = 1;

	if (!tap || !exchange)
		return 0;
	route = exchange->route;
	if (bpf_map_update_elem(&pl_routes, &route, &one, BPF_NOEXIST))
		return 0;
	record = bpf_ringbuf_reserve(&pl_records, sizeof(*record), 0);
	if (!record) {
		bpf_map_delete_elem(&pl_routes, &route);
		return count_loss(tap->process, LOSS_RING_FULL);
	}
	record->header.kind = RECORD_ROUTE;
	record->header.size = sizeof(*record);
	record->header.pid = 0;
	record->header.time_ns = tap->request_ns;
	record->route = route;
	record->path_start = exchange->path_start;
	record->path_end = exchange->path_end;
	__builtin_memset(record->pad, 0, sizeof(record->pad));
	__builtin_memcpy(record->head, tap->head, PATH_MAX_BYTES);
	bpf_ringbuf_submit(record, BPF_RB_NO_WAKEUP);
	return 0;
}

/* A route whose text would be lost before its answer comes. */
static __always_inline void route_told(struct tap *tap, struct exchange *exchange)
{
	__u64 route = exchange->route;

	if (!bpf_map_lookup_elem(&pl_routes, &route))
		route_send(tap, exchange);
}

static __always_inline void tap_ignore(struct tap *tap, enum ignored_protocol protocol)
{
	__u32 process = tap->process;
	struct process_slot *slot = bpf_map_lookup_elem(&pl_processes, &process);

	tap->protocol = TAP_IGNORED;
	if (slot)
		atomic_add(&slot->ignored[protocol], 1);
}

static __always_inline bool key_equals(const struct request_key *a, const struct request_key *b)
{
	return load64(a) == load64(b) && load64((void *)a + 8) == load64((void *)b + 8) &&
	       a->route == b->route;
}

/* Is the owner of a key allowed one more? Takes it if so. */
static __always_inline bool keys_take(const struct request_key *key, const struct shared *shared)
{
	__u32 owner = key->service & ~SERVICE_PROVISIONAL;
	struct process_slot *process;
	struct service_slot *service;
	__u32 *keys = NULL;

	if (key->service & SERVICE_PROVISIONAL) {
		process = bpf_map_lookup_elem(&pl_processes, &owner);
		if (process)
			keys = &process->keys;
	} else {
		service = bpf_map_lookup_elem(&pl_services, &owner);
		if (service)
			keys = &service->keys;
	}
	/* race: a few CPUs at once may go a few over; the table has its own limit */
	if (!keys || *keys >= shared->keys_per_service)
		return false;
	atomic_add(keys, 1);
	return true;
}

DEFINE_SLOT_TAKE(pl_req, struct request_key)

/* Makes a slot for a key that has none. Its index, or SLOT_NONE. */
static __always_inline __u32 slot_new(struct request_key *key, struct request_shared *tap_shared)
{
	/* one service with many endpoints must not blind the others: each gets its `other` */
	if (key->route != ROUTE_OTHER && tap_shared->slots.free <= tap_shared->slots_reserved)
		return SLOT_NONE;
	return pl_req_take(key, &tap_shared->slots);
}

/* The slow way to a slot: first request of a key on this connection. */
__noinline __u32 slot_find(struct tap *tap, struct request_key *wanted)
{
	struct request_shared *tap_shared = request_shared_get();
	struct shared *shared = shared_get();
	struct request_key key;
	__u32 *known, index;

	if (!tap || !wanted || !shared || !tap_shared)
		return SLOT_NONE;
	key = *wanted; /* see DEFINE_SLOT_TAKE */
	known = bpf_map_lookup_elem(&pl_req_keys, &key);
	if (known)
		return *known;
	if (keys_take(&key, shared)) {
		index = slot_new(&key, tap_shared);
		if (index != SLOT_NONE)
			return index;
	}
	/* no room: the overflow endpoint of the service, which needs a slot too */
	key.route = ROUTE_OTHER;
	known = bpf_map_lookup_elem(&pl_req_keys, &key);
	if (known)
		return *known;
	return slot_new(&key, tap_shared);
}

/* What the exchange adds to its slot, in the order of request_slot; its duration. */
static __always_inline __u64 slot_add(struct tap *tap, struct request_slot *slot,
				      const struct shared *shared, __u32 error)
{
	__u64 duration_ns = tap->last_ns - tap->current.start_ns;
	__u64 first_byte_ns = tap->first_byte_ns - tap->current.start_ns;
	__u32 bucket, exponential;

	if ((__s64)duration_ns < 1)
		duration_ns = 1;
	if ((__s64)first_byte_ns < 1)
		first_byte_ns = 1;
	/* what is counted first is never missing to what follows */
	atomic_add(&slot->sum_ns, duration_ns);
	/* bodies of no bytes are not counted here: what is missing to the total had none */
	if (tap->response.body_bytes && !error) {
		atomic_add(&slot->response_bytes, tap->response.body_bytes);
		atomic_add(&slot->response_size[size_bucket_of(tap->response.body_bytes) &
						(SIZE_BUCKETS - 1)],
			   1);
	}
	if (tap->current.request_bytes) {
		atomic_add(&slot->request_bytes, tap->current.request_bytes);
		atomic_add(&slot->request_size[size_bucket_of(tap->current.request_bytes) &
					       (SIZE_BUCKETS - 1)],
			   1);
	}
	bucket = classic_bucket(shared->bounds_ns, duration_ns);
	atomic_add(&slot->classic[bucket], 1);
	exponential = exp_bucket_of_ns(duration_ns);
	if (exponential < EXP_BUCKETS)
		atomic_add(&slot->exponential[exponential], 1);
	/* an answer sent in one piece has its first byte when it has its last */
	if (first_byte_ns < duration_ns) {
		atomic_add(&slot->late_ns, duration_ns - first_byte_ns);
		atomic_add(&slot->late[bucket], 1);
		bucket = classic_bucket(shared->bounds_ns, first_byte_ns);
		atomic_add(&slot->first_byte[bucket], 1);
	}
	return duration_ns;
}

/* At most a few a second are told of, and every one that is slower than those. */
static __always_inline bool worth_telling(struct tap *tap, struct request_slot *slot,
					  __u64 duration_ns)
{
	if (tap->last_ns - slot->detail_ns > 1000000000ULL) {
		slot->detail_ns = tap->last_ns;
		slot->detail_count = 0;
		slot->detail_max_ns = 0;
	}
	if (slot->detail_count >= 4 && duration_ns <= slot->detail_max_ns)
		return false;
	slot->detail_count++;
	if (duration_ns > slot->detail_max_ns)
		slot->detail_max_ns = duration_ns;
	return true;
}

/* One exchange is over: into its slot, and told of if it is worth it. */
__noinline int count_exchange(struct tap *tap, __u32 error)
{
	struct shared *shared = shared_get();
	struct request_slot *slot = NULL;
	__u64 duration_ns, threshold_ns;
	struct request_key key = {};
	__u32 index, reason = 0;

	if (!tap || !shared)
		return 0;
	key.service = service_of(tap->process);
	key.port = tap->port;
	key.role = tap->role;
	key.method = tap->current.method;
	key.status = error ? 0 : tap->status;
	key.error = error;
	key.route = tap->current.route;
	index = tap->slot;
	slot = bpf_map_lookup_elem(&pl_req_slots, &index);
	if (!slot || !key_equals(&slot->key, &key)) {
		index = slot_find(tap, &key);
		slot = bpf_map_lookup_elem(&pl_req_slots, &index);
		if (!slot)
			return count_loss(tap->process, LOSS_KEYS_FULL);
		tap->slot = index;
		if (!slot->detail_count)
			reason = DETAIL_FIRST;
	}
	duration_ns = slot_add(tap, slot, shared, error);

	/* judged here: only what is worth telling becomes a record */
	threshold_ns = slot->threshold_us ? slot->threshold_us * 1000ULL : shared->threshold_ns;
	if (duration_ns > threshold_ns)
		reason |= DETAIL_SLOW;
	if (error || tap->status >= 500)
		reason |= DETAIL_ERROR;
	if (!reason || !worth_telling(tap, slot, duration_ns))
		return 0;
	return request_detail_send(tap, index, reason);
}

/* --- pairing -------------------------------------------------------------------------------- */

__noinline int pipeline_push(struct tap *tap, struct exchange *exchange)
{
	__u64 key = (__u64)tap;
	struct pipeline *pipeline;
	__u32 zero = 0, at;

	if (!tap || !exchange)
		return 0;
	pipeline = bpf_map_lookup_elem(&pl_pipelines, &key);
	if (!pipeline) {
		struct pipeline *empty = bpf_map_lookup_elem(&pl_pipeline_new, &zero);

		if (!empty || bpf_map_update_elem(&pl_pipelines, &key, empty, BPF_ANY))
			return count_loss(tap->process, LOSS_STATE_FULL);
		pipeline = bpf_map_lookup_elem(&pl_pipelines, &key);
		if (!pipeline)
			return 0;
	}
	if (tap->pending == 1)
		pipeline->count = 0; /* whatever was left of an earlier life of this address */
	if (pipeline->count >= PIPELINE_MAX)
		return 0;
	at = (pipeline->first + pipeline->count) % PIPELINE_MAX;
	if (at < PIPELINE_MAX)
		pipeline->waiting[at] = *exchange;
	pipeline->count++;
	return 1;
}

__noinline int pipeline_pop(struct tap *tap)
{
	__u64 key = (__u64)tap;
	struct pipeline *pipeline;
	__u32 at;

	if (!tap)
		return 0;
	pipeline = bpf_map_lookup_elem(&pl_pipelines, &key);
	if (!pipeline || !pipeline->count)
		return 0;
	at = pipeline->first % PIPELINE_MAX;
	if (at < PIPELINE_MAX)
		tap->current = pipeline->waiting[at];
	pipeline->first = (at + 1) % PIPELINE_MAX;
	pipeline->count--;
	if (!pipeline->count)
		bpf_map_delete_elem(&pl_pipelines, &key);
	return 1;
}

#endif
