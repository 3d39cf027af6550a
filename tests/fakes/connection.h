/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A TCP connection as the probe net/request sees it: the real programs of
 * bpf/net/request.bpf.c, called the way their hooks call them, and what they counted
 * read back by the contract of plimsoll/net/request.h. Nothing in between is known
 * here, so it may change freely.
 */
#ifndef FAKES_CONNECTION_H
#define FAKES_CONNECTION_H

#include "net/request.bpf.c"

#define MS 1000000ULL

/* A literal as bytes and their number. */
#define TEXT(literal) literal, sizeof(literal) - 1

#define FAKE_SERVER_PORT 8080
#define FAKE_CLIENT_PORT 40001
#define FAKE_SLOTS	 64

/* Which system call carries the bytes. */
enum access { ACCESS_BUFFER, ACCESS_VECTOR, ACCESS_MESSAGE, ACCESS_IO_URING, ACCESS_UNKNOWN };

struct connection {
	struct tcp_sock *socket;
	bool is_client;
	enum tap_rung rung;
	enum access access;
	size_t piece; /* bytes per iovec; 0: all in one */
};

/* A machine that has just been booted, with the agent's free lists filled. */
static void machine_reset(void)
{
	struct shared *shared;

	fake_kernel_reset();
	fake_maps_reset();
	for (__u32 index = FAKE_SLOTS; index-- > 0;)
		bpf_map_push_elem(&pl_req_free, &index, 0);
	for (__u32 index = FAKE_SLOTS; index-- > PROCESS_UNKNOWN + 1;)
		bpf_map_push_elem(&pl_process_free, &index, 0);
	shared = shared_get();
	shared->agent_tgid = 1;
	shared->keys_per_service = 1000;
	shared->threshold_ns = 1000000 * MS;
	for (__u32 i = 0; i <= BOUNDS_MAX; i++)
		shared->bounds_ns[i] = i < 20 ? MS << i : BOUND_NONE;
	request_shared_get()->slots.free = FAKE_SLOTS;
	request_shared_get()->slots_reserved = 4;
}

static void clock_step(__u64 ns)
{
	fake_now_ns += ns;
}

static void connection_open(struct connection *connection, bool is_client)
{
	struct tcp_sock *tcp = calloc(1, sizeof(*tcp));
	struct sock_common *common = &((struct sock *)tcp)->__sk_common;

	if (!tcp)
		abort();
	memset(connection, 0, sizeof(*connection));
	connection->socket = tcp;
	connection->is_client = is_client;
	connection->rung = RUNG_TRACEPOINT;
	((struct sock *)tcp)->sk_protocol = PROTOCOL_TCP;
	common->skc_family = FAMILY_INET;
	common->skc_state = TCP_ESTABLISHED;
	common->skc_num = is_client ? FAKE_CLIENT_PORT : FAKE_SERVER_PORT;
	common->skc_dport = bpf_htons(is_client ? FAKE_SERVER_PORT : FAKE_CLIENT_PORT);
	/* sequence numbers that wrap soon */
	tcp->write_seq = 0xfffffff0u;
	tcp->copied_seq = tcp->rcv_nxt = 0xffffff00u;
	tcp->snd_una = tcp->write_seq;
	tcp->bytes_acked = is_client; /* its SYN */
}

static void connection_state(struct connection *connection, int state)
{
	struct sock *sk = (struct sock *)connection->socket;
	int old = sk->__sk_common.skc_state;

	if (connection->rung == RUNG_KPROBE) {
		state_kprobe(NULL, sk, old, state);
		state_again_kprobe(NULL, sk, old, state);
	} else {
		state_storage(NULL, sk, old, state);
		state_again_storage(NULL, sk, old, state);
	}
	sk->__sk_common.skc_state = state;
}

/* The socket is gone, in whatever state it was. */
static void connection_free(struct connection *connection)
{
	if (!connection->socket)
		return;
	if (((struct sock *)connection->socket)->__sk_common.skc_state != TCP_CLOSE)
		connection_state(connection, TCP_CLOSE);
	fake_storage_free(connection->socket);
	free(connection->socket);
	connection->socket = NULL;
}

/* The registers, vectors and iterator of one call; `ret_vector` is freed by the caller. */
static void call_describe(struct connection *connection, const void *bytes, size_t length,
			  bool sent, struct msghdr *ret_message, struct iovec **ret_vector,
			  __u64 ret_user_message[7])
{
	size_t piece = connection->piece ? connection->piece : length;
	size_t count = (length + piece - 1) / piece;
	struct iovec *vector = calloc(count + 1, sizeof(*vector));

	if (!vector)
		abort();
	for (size_t i = 0; i < count; i++) {
		vector[i].iov_base = (__u8 *)bytes + i * piece;
		vector[i].iov_len = min(piece, length - i * piece);
	}
	*ret_vector = vector;
	memset(ret_message, 0, sizeof(*ret_message));
	ret_message->msg_iter.iter_type = connection->piece ? ITER_IOVEC : ITER_UBUF;
	ret_message->msg_iter.ubuf = (void *)bytes;
	ret_message->msg_iter.__iov = vector;
	ret_message->msg_iter.nr_segs = count;
	ret_message->msg_iter.count = length;
	memset(ret_user_message, 0, 7 * sizeof(__u64));
	ret_user_message[2] = (__u64)vector;
	ret_user_message[3] = count;

	fake_user_clear();
	fake_user_add(bytes, length);
	memset(&fake_regs, 0xee, sizeof(fake_regs));
	switch (connection->access) {
	case ACCESS_BUFFER:
		fake_regs.orig_ax = sent ? NR_write : NR_read;
		fake_regs.si = (unsigned long)bytes;
		break;
	case ACCESS_VECTOR:
		fake_regs.orig_ax = sent ? NR_writev : NR_readv;
		fake_regs.si = (unsigned long)vector;
		fake_regs.dx = count;
		fake_user_add(vector, (count + 1) * sizeof(*vector));
		break;
	case ACCESS_MESSAGE:
		fake_regs.orig_ax = sent ? NR_sendmsg : NR_recvmsg;
		fake_regs.si = (unsigned long)ret_user_message;
		fake_user_add(vector, (count + 1) * sizeof(*vector));
		fake_user_add(ret_user_message, 7 * sizeof(__u64));
		break;
	case ACCESS_IO_URING:
		fake_regs.orig_ax = NR_io_uring;
		break;
	case ACCESS_UNKNOWN:
		fake_regs.orig_ax = 0xffff;
		break;
	}
}

static void call_send(struct connection *connection, struct msghdr *message, size_t length)
{
	struct sock *sk = (struct sock *)connection->socket;

	if (connection->rung == RUNG_FENTRY)
		send_enter_fentry(NULL, sk, message, length);
	else if (connection->rung == RUNG_KPROBE)
		send_enter_kprobe(&fake_regs, sk, message);
	connection->socket->write_seq += length;
	/* as the iterator is when the call returns */
	message->msg_iter.iov_offset = length;
	message->msg_iter.count = 0;
	if (connection->rung == RUNG_FENTRY) {
		send_fentry(NULL, sk, message, length, (int)length);
		send_again_fentry(NULL, sk, message, length, (int)length); /* docs/decisions/0008 */
	} else if (connection->rung == RUNG_KPROBE) {
		send_kprobe(&fake_regs, (int)length);
	} else {
		send_tracepoint(NULL, sk, (int)length, 0);
		send_again_tracepoint(NULL, sk, (int)length, 0);
	}
}

static void call_receive(struct connection *connection, struct msghdr *message, size_t length)
{
	struct sock *sk = (struct sock *)connection->socket;

	if (connection->rung == RUNG_FENTRY)
		recv_enter_fentry(NULL, sk, message);
	else if (connection->rung == RUNG_KPROBE)
		recv_enter_kprobe(&fake_regs, sk, message, length, 0);
	connection->socket->copied_seq += length;
	message->msg_iter.iov_offset = length;
	message->msg_iter.count = 0;
	fake_function_result = (__s64)length;
	if (connection->rung == RUNG_FENTRY) {
		recv_fentry(NULL, sk, message, length, 0);
		recv_again_fentry(NULL, sk, message, length, 0);
	} else if (connection->rung == RUNG_KPROBE) {
		recv_kprobe(&fake_regs, sk, (int)length);
		recv_inner_kprobe(&fake_regs, sk, (int)length);
	} else {
		recv_tracepoint(NULL, sk, (int)length, 0);
		recv_again_tracepoint(NULL, sk, (int)length, 0);
	}
}

/* What comes from the peer acknowledges all that was sent. */
static void acknowledge(struct tcp_sock *tcp)
{
	tcp->bytes_acked += tcp->write_seq - tcp->snd_una;
	tcp->snd_una = tcp->write_seq;
}

/* Data reaches the socket; nobody has read it yet. */
static void connection_arrive(struct connection *connection, size_t length)
{
	struct sock *sk = (struct sock *)connection->socket;

	acknowledge(connection->socket);
	connection->socket->rcv_nxt += length;
	connection->socket->bytes_received += length;
	if (connection->rung == RUNG_FENTRY)
		arrived_fentry(NULL, sk);
	else if (connection->rung == RUNG_KPROBE)
		arrived_kprobe(&fake_regs, sk);
	else
		arrived_tracepoint(NULL, sk);
}

static void connection_call(struct connection *connection, bool sent, const void *bytes,
			    size_t length)
{
	__u64 user_message[7];
	struct msghdr message;
	struct iovec *vector;
	/* a copy that ends where it ends, so that nothing behind it can be read unnoticed */
	void *copy = malloc(length ? length : 1);

	if (!copy)
		abort();
	memcpy(copy, bytes, length);
	call_describe(connection, copy, length, sent, &message, &vector, user_message);
	if (sent)
		call_send(connection, &message, length);
	else
		call_receive(connection, &message, length);
	fake_user_clear();
	free(vector);
	free(copy);
}

static void connection_send(struct connection *connection, const void *bytes, size_t length)
{
	if (length)
		connection_call(connection, true, bytes, length);
}

/* What has arrived is read. */
static void connection_read(struct connection *connection, const void *bytes, size_t length)
{
	if (length)
		connection_call(connection, false, bytes, length);
}

static void connection_receive(struct connection *connection, const void *bytes, size_t length)
{
	if (!length)
		return;
	connection_arrive(connection, length);
	connection_read(connection, bytes, length);
}

/* Bytes that no hook sees (spliced). */
static void connection_skip(struct connection *connection, bool sent, __u32 length)
{
	if (sent) {
		connection->socket->write_seq += length;
	} else {
		connection->socket->rcv_nxt += length;
		connection->socket->copied_seq += length;
		connection->socket->bytes_received += length;
	}
}

/* The peer has said goodbye, and the process reads that. */
static void connection_read_end(struct connection *connection)
{
	struct sock *sk = (struct sock *)connection->socket;

	sk->sk_shutdown |= RECEIVE_SHUTDOWN;
	connection->socket->rcv_nxt++;
	fake_function_result = 0;
	if (connection->rung == RUNG_FENTRY) {
		recv_fentry(NULL, sk, NULL, 0, 0);
	} else if (connection->rung == RUNG_KPROBE) {
		struct msghdr message = { 0 };

		recv_enter_kprobe(&fake_regs, sk, &message, 0, 0);
		recv_kprobe(&fake_regs, sk, 0);
	} else {
		recv_tracepoint(NULL, sk, 0, 0);
	}
}

/* Towards the server, whichever end is looked at. */
static void connection_request(struct connection *connection, const void *bytes, size_t length)
{
	if (connection->is_client)
		connection_send(connection, bytes, length);
	else
		connection_receive(connection, bytes, length);
}

static void connection_response(struct connection *connection, const void *bytes, size_t length)
{
	if (connection->is_client)
		connection_receive(connection, bytes, length);
	else
		connection_send(connection, bytes, length);
}

/* --- what was counted ----------------------------------------------------------------------- */

static __u64 slot_count(const struct request_slot *slot)
{
	__u64 count = 0;

	for (int i = 0; i < BOUND_BUCKETS; i++)
		count += slot->classic[i];
	return count;
}

/* Every slot there is, with something counted in it or not. */
#define slots_for_each(element) fake_map_for_each(&pl_req_slots, element)

/* Over every slot with this status, or all for -1. */
static __u64 counted(int status)
{
	__u64 count = 0;

	slots_for_each(element)
	{
		const struct request_slot *slot = element->value;

		if (status == -1 || slot->key.status == status)
			count += slot_count(slot);
	}
	return count;
}

static struct request_slot *counted_slot(enum http_method method, int status, __u64 route)
{
	slots_for_each(element)
	{
		struct request_slot *slot = element->value;

		if (slot->key.method == method && slot->key.status == status && slot_count(slot) &&
		    (!route || slot->key.route == route))
			return slot;
	}
	return NULL;
}

static __u64 lost(enum loss_reason reason)
{
	__u64 count = 0;

	fake_map_for_each(&pl_processes, element) count +=
		((struct process_slot *)element->value)->losses[reason];
	return count;
}

static __u64 lost_any(void)
{
	__u64 count = 0;

	for (int reason = 0; reason < LOSS_COUNT; reason++)
		count += lost(reason);
	return count;
}

static __u64 ignored(enum ignored_protocol protocol)
{
	__u64 count = 0;

	fake_map_for_each(&pl_processes, element) count +=
		((struct process_slot *)element->value)->ignored[protocol];
	return count;
}

/* The record of one kind that names this route, or NULL. */
static const void *record_of(enum record_kind kind, __u64 route)
{
	for (size_t i = 0; i < fake_record_count; i++) {
		const struct record_header *header = fake_records[i].bytes;

		if (header->kind != kind)
			continue;
		if (kind == RECORD_REQUEST &&
		    ((const struct request_record *)fake_records[i].bytes)->key.route == route)
			return header;
		if (kind == RECORD_ROUTE &&
		    ((const struct route_record *)fake_records[i].bytes)->route == route)
			return header;
		if (kind != RECORD_REQUEST && kind != RECORD_ROUTE)
			return header;
	}
	return NULL;
}

/* The path a detail or route record shows for this route; "" without one. */
static void recorded_path(__u64 route, char *ret_path)
{
	const struct request_record *request = record_of(RECORD_REQUEST, route);
	const struct route_record *learnt = record_of(RECORD_ROUTE, route);
	const __u8 *head = NULL;
	__u32 start = 0, end = 0;

	if (request && request->path_start < request->path_end) {
		head = request->head;
		start = request->path_start;
		end = request->path_end;
	} else if (learnt) {
		head = learnt->head;
		start = learnt->path_start;
		end = learnt->path_end;
	}
	end = min(end, (__u32)PATH_MAX_BYTES);
	if (start < end)
		memcpy(ret_path, head + start, end - start);
	ret_path[start < end ? end - start : 0] = 0;
}

#endif
