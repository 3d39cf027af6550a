// SPDX-License-Identifier: GPL-2.0-only
/*
 * net/tcp_conn: TCP connections, opened, failed, closed, with what they carried.
 *
 * Sees: every change of state of a TCP socket. A listener's state is cloned to the
 * sockets accepted from it, so an accepted connection has its service before the
 * server has touched it. Sockets open before the start are found by walking the
 * files of all tasks; bytes of long connections by walking the sockets now and then.
 *
 * Hooks: inet_sock_set_state, which every kernel since 4.16 has, as BTF tracepoint
 * (socket storage) or as plain tracepoint (hash by socket address, for kernels
 * before 5.11).
 *
 * Cost: three hits in the life of a connection, none per byte.
 *
 * Blind spots: MPTCP; TCP Fast Open data before the handshake is over. The plain
 * tracepoint rung does not find sockets that were open before.
 */
#include "lib/classic.bpf.h"
#include "lib/slots.bpf.h"
#include "lib/who.bpf.h"

#include <plimsoll/net/tcp_conn.h>

char LICENSE[] SEC("license") = "GPL";

enum conn_rung { RUNG_STORAGE, RUNG_HASH };

#define PROTOCOL_TCP	     6
#define FAMILY_INET	     2
#define FAMILY_INET6	     10
#define ERR_RESET	     104
#define ERR_TIMEOUT	     110
#define ERR_REFUSED	     111
#define ERR_HOST_DOWN	     112
#define ERR_HOST_UNREACHABLE 113
#define ERR_NET_UNREACHABLE  101
#define ERR_NET_DOWN	     100

struct conn {
	__u32 process;
	__u16 port;
	__u8 role;
	__u8 counted; /* as opened */
	__u64 start_ns;
	__u64 open_ns;
	__u64 sent_bytes; /* already counted */
	__u64 received_bytes;
	__u32 retransmits;
	__u32 slot;
	__u8 state; /* the last one seen */
	__u8 pad[7];
};

struct listening_port {
	__u64 net;
	__u32 port;
	__u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, struct conn);
} pl_conns SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, struct conn);
} pl_conns_by_sk SEC(".maps"); /* kernel: before 6.1 tracing may not allocate, so preallocated */

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct listening_port);
	__type(value, __u32); /* process index */
} pl_listeners SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct conn_shared);
} pl_conn_shared SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, struct conn_key);
	__type(value, __u32);
} pl_conn_keys SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, struct conn_slot);
} pl_conn_slots SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_STACK);
	__uint(max_entries, 4096);
	__uint(value_size, sizeof(__u32));
} pl_conn_free SEC(".maps");

static __always_inline struct conn_shared *conn_shared_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&pl_conn_shared, &zero);
}

/* kernel fields are read the same way on both rungs: connections are rare, clarity is cheap */
static __always_inline struct listening_port listener_of(struct sock *sk)
{
	struct listening_port listener = {
		.net = (__u64)BPF_CORE_READ(sk, __sk_common.skc_net.net),
		.port = BPF_CORE_READ(sk, __sk_common.skc_num),
	};

	return listener;
}

DEFINE_SLOT_TAKE(pl_conn, struct conn_key)

static __always_inline struct conn_slot *slot_of(struct conn *conn)
{
	struct conn_key key = {
		.service = service_of(conn->process),
		.port = conn->port,
		.role = conn->role,
	};
	struct conn_shared *shared = conn_shared_get();
	struct conn_slot *slot;
	__u32 *known, index;

	if (!shared)
		return NULL;
	index = conn->slot;
	slot = bpf_map_lookup_elem(&pl_conn_slots, &index);
	if (slot && load64(&slot->key) == load64(&key))
		return slot;
	known = bpf_map_lookup_elem(&pl_conn_keys, &key);
	index = known ? *known : pl_conn_take(&key, &shared->slots);
	if (index == SLOT_NONE) {
		atomic_add(&shared->keys_full, 1);
		return NULL;
	}
	conn->slot = index;
	return bpf_map_lookup_elem(&pl_conn_slots, &index);
}

static __always_inline struct conn *conn_find(struct sock *sk, enum conn_rung rung)
{
	__u64 key = (__u64)sk;

	if (rung == RUNG_HASH)
		return bpf_map_lookup_elem(&pl_conns_by_sk, &key);
	return bpf_sk_storage_get(&pl_conns, sk, NULL, 0);
}

static __always_inline struct conn *conn_create(struct sock *sk, enum conn_rung rung)
{
	struct conn zero = {};
	__u64 key = (__u64)sk;

	if (rung == RUNG_HASH) {
		bpf_map_update_elem(&pl_conns_by_sk, &key, &zero, BPF_ANY);
		return bpf_map_lookup_elem(&pl_conns_by_sk, &key);
	}
	return bpf_sk_storage_get(&pl_conns, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
}

static __always_inline void listening(struct sock *sk, struct conn *conn, __u32 process)
{
	struct listening_port listener = listener_of(sk);

	conn->process = process;
	conn->role = CONN_ROLE_LISTENER;
	conn->port = listener.port;
	process_hold(process);
	bpf_map_update_elem(&pl_listeners, &listener, &process, BPF_ANY);
}

static __always_inline void opened(struct conn *conn, __u64 now_ns)
{
	struct shared *shared = shared_get();
	struct conn_slot *slot = slot_of(conn);

	conn->counted = 1;
	conn->open_ns = now_ns;
	if (!slot || !shared)
		return;
	atomic_add(&slot->opened, 1);
	if (conn->role == CONN_ROLE_CLIENT && conn->start_ns) {
		__u64 took_ns = now_ns - conn->start_ns;

		atomic_add(&slot->connect_sum_ns, took_ns);
		atomic_add(&slot->connect[classic_bucket(shared->bounds_ns, took_ns)], 1);
	}
	atomic_add(&slot->touched, 1);
}

/* What the socket's own books say since we last looked. */
static __always_inline void count_traffic(struct sock *sk, struct conn *conn,
					  struct conn_slot *slot, struct conn_shared *shared)
{
	struct tcp_sock *tcp = (struct tcp_sock *)sk;
	__u64 received = BPF_CORE_READ(tcp, bytes_received);
	__u64 sent = BPF_CORE_READ(tcp, bytes_acked);
	__u32 retransmits = BPF_CORE_READ(tcp, total_retrans);
	__u64 rtt_ns = (BPF_CORE_READ(tcp, srtt_us) >> 3) * 1000ULL;

	/* an active opener's SYN is acknowledged as one byte */
	if (sent && conn->role == CONN_ROLE_CLIENT)
		sent--;
	if (received > conn->received_bytes)
		atomic_add(&slot->received_bytes, received - conn->received_bytes);
	if (sent > conn->sent_bytes)
		atomic_add(&slot->sent_bytes, sent - conn->sent_bytes);
	if (retransmits > conn->retransmits)
		atomic_add(&slot->retransmits, retransmits - conn->retransmits);
	if (rtt_ns && (received != conn->received_bytes || sent != conn->sent_bytes)) {
		atomic_add(&slot->rtt_sum_ns, rtt_ns);
		atomic_add(&slot->rtt[classic_bucket(shared->rtt_bounds_ns, rtt_ns)], 1);
	}
	conn->received_bytes = received;
	conn->sent_bytes = sent;
	conn->retransmits = retransmits;
	atomic_add(&slot->touched, 1);
}

static __always_inline void closed(struct sock *sk, struct conn *conn)
{
	struct conn_shared *shared = conn_shared_get();
	struct conn_slot *slot;
	__u64 life_ns;

	if (!conn->counted || !shared)
		return;
	slot = slot_of(conn);
	if (!slot)
		return;
	count_traffic(sk, conn, slot, shared);
	life_ns = bpf_ktime_get_ns() - conn->open_ns;
	atomic_add(&slot->life_sum_ns, life_ns);
	atomic_add(&slot->life[classic_bucket(shared->life_bounds_ns, life_ns)], 1);
	atomic_add(&slot->closed, 1);
	atomic_add(&slot->touched, 1);
}

static __always_inline void failed(struct sock *sk, struct conn *conn)
{
	enum conn_failure reason = CONN_FAILURE_OTHER;
	struct conn_slot *slot = slot_of(conn);

	if (!slot)
		return;
	switch (BPF_CORE_READ(sk, sk_err)) {
	case ERR_REFUSED:
		reason = CONN_FAILURE_REFUSED;
		break;
	case ERR_TIMEOUT:
		reason = CONN_FAILURE_TIMEOUT;
		break;
	case ERR_HOST_DOWN:
	case ERR_HOST_UNREACHABLE:
	case ERR_NET_UNREACHABLE:
	case ERR_NET_DOWN:
		reason = CONN_FAILURE_UNREACHABLE;
		break;
	case ERR_RESET:
		reason = CONN_FAILURE_RESET;
		break;
	}
	atomic_add(&slot->failed[reason], 1);
	atomic_add(&slot->touched, 1);
}

static __always_inline void accepted(struct sock *sk, struct conn *conn)
{
	struct listening_port listener = listener_of(sk);
	__u32 *process;

	if (!conn->process) { /* not cloned: found by its port */
		process = bpf_map_lookup_elem(&pl_listeners, &listener);
		conn->process = process ? *process : PROCESS_UNKNOWN;
	}
	process_hold(conn->process);
	conn->role = CONN_ROLE_SERVER;
	conn->port = listener.port;
	opened(conn, bpf_ktime_get_ns());
}

static __always_inline int state_changed(struct sock *sk, int old, int state, enum conn_rung rung)
{
	__u64 key = (__u64)sk;
	struct conn *conn;
	__u32 process = PROCESS_UNKNOWN;

	conn = conn_find(sk, rung);
	if (!conn && state != TCP_CLOSE) {
		conn = conn_create(sk, rung);
		if (!conn)
			return count_loss(PROCESS_UNKNOWN, LOSS_STATE_FULL);
	}
	/* the second of the two programs (docs/decisions/0008) */
	if (!conn || conn->state == state)
		return 0;
	conn->state = state;
	if (state == TCP_LISTEN || state == TCP_SYN_SENT)
		process = rung == RUNG_HASH ? process_current_without_environment()
					    : process_current();
	if (state == TCP_LISTEN) {
		listening(sk, conn, process);
	} else if (state == TCP_SYN_SENT) {
		conn->process = process;
		process_hold(conn->process);
		conn->role = CONN_ROLE_CLIENT;
		conn->port = bpf_ntohs(BPF_CORE_READ(sk, __sk_common.skc_dport));
		conn->start_ns = bpf_ktime_get_ns();
	} else if (state == TCP_ESTABLISHED && old == TCP_SYN_SENT) {
		opened(conn, bpf_ktime_get_ns());
	} else if (state == TCP_ESTABLISHED && old == TCP_SYN_RECV) {
		accepted(sk, conn);
	} else if (state == TCP_CLOSE) {
		if (old == TCP_SYN_SENT)
			failed(sk, conn);
		else
			closed(sk, conn);
		process_release(conn->process);
		conn->process = PROCESS_UNKNOWN;
		conn->counted = 0;
		if (rung == RUNG_HASH)
			bpf_map_delete_elem(&pl_conns_by_sk, &key);
	}
	return 0;
}

SEC("?tp_btf/inet_sock_set_state")
int BPF_PROG(conn_state_storage, struct sock *sk, int old, int state)
{
	__u16 protocol = sk->sk_protocol;

	return protocol == PROTOCOL_TCP ? state_changed(sk, old, state, RUNG_STORAGE) : 0;
}

SEC("?tp_btf/inet_sock_set_state")
int BPF_PROG(conn_state_again_storage, struct sock *sk, int old, int state)
{
	__u16 protocol = sk->sk_protocol;

	return protocol == PROTOCOL_TCP ? state_changed(sk, old, state, RUNG_STORAGE) : 0;
}

SEC("?tracepoint/sock/inet_sock_set_state")
int conn_state_hash(struct trace_event_raw_inet_sock_set_state *ctx)
{
	if (ctx->protocol != PROTOCOL_TCP)
		return 0;
	return state_changed((struct sock *)ctx->skaddr, ctx->oldstate, ctx->newstate, RUNG_HASH);
}

/* Sockets that were open before: every file of every task; listeners in the first pass. */
SEC("?iter/task_file")
int conn_walk_files(struct bpf_iter__task_file *ctx)
{
	struct conn_shared *shared = conn_shared_get();
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct listening_port listener;
	struct socket *socket;
	__u32 *index, tgid;
	struct conn *conn;
	struct sock *sk;
	__u8 state;

	if (!task || !file || !shared)
		return 0;
	socket = bpf_sock_from_file(file);
	if (!socket)
		return 0;
	sk = socket->sk;
	if (!sk || sk->sk_protocol != PROTOCOL_TCP ||
	    (sk->__sk_common.skc_family != FAMILY_INET &&
	     sk->__sk_common.skc_family != FAMILY_INET6))
		return 0;
	state = sk->__sk_common.skc_state;
	if (state == TCP_CLOSE || (state == TCP_LISTEN) != (shared->pass == 0))
		return 0;
	conn = bpf_sk_storage_get(&pl_conns, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!conn || conn->role)
		return 0;
	tgid = task->tgid;
	index = bpf_map_lookup_elem(&pl_process_of, &tgid);
	conn->process = index ? *index : process_new(task, tgid, false);
	if (state == TCP_LISTEN) {
		listening(sk, conn, conn->process);
		return 0;
	}
	listener = listener_of(sk);
	process_hold(conn->process);
	if (bpf_map_lookup_elem(&pl_listeners, &listener)) {
		conn->role = CONN_ROLE_SERVER;
		conn->port = listener.port;
	} else {
		conn->role = CONN_ROLE_CLIENT;
		conn->port = bpf_ntohs(sk->__sk_common.skc_dport);
	}
	conn->received_bytes = BPF_CORE_READ((struct tcp_sock *)sk, bytes_received);
	conn->sent_bytes = BPF_CORE_READ((struct tcp_sock *)sk, bytes_acked);
	conn->retransmits = BPF_CORE_READ((struct tcp_sock *)sk, total_retrans);
	if (state == TCP_SYN_SENT)
		return 0;
	opened(conn, bpf_ktime_get_ns());
	return 0;
}

/* What open connections have carried since the last walk. */
SEC("?iter/bpf_sk_storage_map")
int conn_walk_traffic(struct bpf_iter__bpf_sk_storage_map *ctx)
{
	struct conn_shared *shared = conn_shared_get();
	struct conn *conn = ctx->value;
	struct sock *sk = ctx->sk;
	struct conn_slot *slot;

	if (!sk || !conn || !shared || !conn->counted)
		return 0;
	if (BPF_CORE_READ((struct tcp_sock *)sk, bytes_received) == conn->received_bytes &&
	    BPF_CORE_READ((struct tcp_sock *)sk, bytes_acked) - (conn->role == CONN_ROLE_CLIENT) ==
		    conn->sent_bytes)
		return 0;
	slot = slot_of(conn);
	if (slot)
		count_traffic(sk, conn, slot, shared);
	return 0;
}
