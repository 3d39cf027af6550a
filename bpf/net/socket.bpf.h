/* SPDX-License-Identifier: GPL-2.0-only */
/* What happens to a socket, whatever hook told of it: bytes move, data arrives, the state changes.
 */
#ifndef NET_SOCKET_BPF_H
#define NET_SOCKET_BPF_H

#include "net/messages.bpf.h"

enum tap_rung { RUNG_FENTRY, RUNG_KPROBE, RUNG_TRACEPOINT };

/* Whose scan: a program does not run twice on one CPU, but its twin may (docs/decisions/0008). */
enum scan_owner { SCAN_SEND, SCAN_SEND_AGAIN, SCAN_RECV, SCAN_RECV_AGAIN, SCAN_SENDPAGE };

#define RECEIVE_SHUTDOWN 1
#define BOTH_SHUTDOWN	 3 /* close(2): nobody will read any more */
#define PROTOCOL_TCP	 6
#define FAMILY_INET	 2
#define FAMILY_INET6	 10
#define STEPS_MAX	 2048 /* message parts and windows in one call */

static __always_inline bool is_tcp(struct sock *sk, enum tap_rung rung)
{
	__u16 family = rung == RUNG_KPROBE ? BPF_CORE_READ(sk, __sk_common.skc_family)
					   : sk->__sk_common.skc_family;
	__u16 protocol = rung == RUNG_KPROBE ? BPF_CORE_READ(sk, sk_protocol) : sk->sk_protocol;

	return protocol == PROTOCOL_TCP && (family == FAMILY_INET || family == FAMILY_INET6);
}

static __always_inline struct tap *tap_find(struct sock *sk, enum tap_rung rung)
{
	__u64 key = (__u64)sk;

	if (rung == RUNG_KPROBE)
		return bpf_map_lookup_elem(&pl_taps_by_sk, &key);
	return bpf_sk_storage_get(&pl_taps, sk, NULL, 0);
}

static const struct tap tap_zero;

static __always_inline struct tap *tap_create(struct sock *sk, enum tap_rung rung)
{
	__u64 key = (__u64)sk;

	if (rung != RUNG_KPROBE)
		return bpf_sk_storage_get(&pl_taps, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	bpf_map_update_elem(&pl_taps_by_sk, &key, &tap_zero, BPF_NOEXIST);
	return bpf_map_lookup_elem(&pl_taps_by_sk, &key);
}

/* The first bytes of a connection decide what it is and which end we are. */
__noinline int tap_decide(struct tap *tap, struct scan *scan, bool sent, __u32 ports)
{
	__u32 count;

	if (!tap || !scan)
		return 0;
	count = window_read(scan, scan->offset, min(scan->length - scan->offset, 24u));
	if ((int)count <= 0) {
		/* cannot be read (io_uring on this rung): give it a few more chances */
		if (++tap->tries > 3) {
			count_loss(tap->process, LOSS_UNRESOLVED);
			tap_ignore(tap, IGNORED_OTHER);
		}
		return 0;
	}
	switch (classify_bytes(scan, scan->window.bytes + CARRY_MAX, count)) {
	case FIRST_REQUEST:
	case FIRST_PARTIAL:
		tap->role = sent ? REQUEST_ROLE_CLIENT : REQUEST_ROLE_SERVER;
		break;
	case FIRST_RESPONSE:
		/* the request went by before we looked */
		tap->role = sent ? REQUEST_ROLE_SERVER : REQUEST_ROLE_CLIENT;
		tap->flags |= TAP_MIDSTREAM;
		break;
	case FIRST_TLS:
		tap_ignore(tap, IGNORED_TLS);
		return 0;
	case FIRST_HTTP2:
		tap_ignore(tap, IGNORED_HTTP2);
		return 0;
	default:
		/* a connection that was open before may be in the middle of a body */
		if (!(tap->flags & TAP_MIDSTREAM) || ++tap->tries > 16)
			tap_ignore(tap, IGNORED_OTHER);
		return 0;
	}
	tap->protocol = TAP_HTTP1;
	tap->port = tap->role == REQUEST_ROLE_SERVER ? ports & 0xffff : ports >> 16;
	return 1;
}

static __always_inline __u32 sock_ports(struct sock *sk, enum tap_rung rung)
{
	__u16 local, remote;

	if (rung == RUNG_KPROBE) {
		local = BPF_CORE_READ(sk, __sk_common.skc_num);
		remote = BPF_CORE_READ(sk, __sk_common.skc_dport);
	} else {
		local = sk->__sk_common.skc_num;
		remote = sk->__sk_common.skc_dport;
	}
	return local | (__u32)bpf_ntohs(remote) << 16;
}

/* Where the bytes are: the system call says, or what was seen on entry (`seen`, may be NULL). */
static __always_inline void source_resolve(struct source *source, const struct source *seen)
{
	source->kind = SOURCE_NONE;
	if (!source_from_registers(source, bpf_get_current_task_btf()) && seen && seen->kind)
		*source = *seen;
}

/* One request that was asked and never answered. */
static long unanswered_step(__u32 index, struct passage *walk)
{
	struct tap *tap = walk->tap;

	if (!tap->pending)
		return 1;
	response_counted(tap, REQUEST_RESET);
	return 0;
}

/* The sender of the response is done with the connection: what it leaves open is over. */
__noinline int responses_end(struct tap *tap, __u64 now_ns)
{
	struct passage walk = { .tap = tap };

	if (!tap)
		return 0;
	if (tap->streaming)
		stream_closed(tap, now_ns);
	if (tap->protocol != TAP_HTTP1 || !tap->pending)
		return 0;
	/* complete with the end of the connection, or cut off behind its status */
	if (tap->response.state != MESSAGE_START && tap->response.state != MESSAGE_HEAD &&
	    tap->response.state != MESSAGE_LOST)
		response_complete(tap);
	tap->last_ns = now_ns;
	tap->first_byte_ns = now_ns;
	bpf_loop(PIPELINE_MAX + 1, unanswered_step, &walk, 0);
	tap->pending = 0;
	return 0;
}

/*
 * race: the connection may have ended before the request that this call read or sent was known:
 * no change of state will come any more that could end it.
 */
static __always_inline bool cannot_be_answered(struct sock *sk, struct tap *tap, enum tap_rung rung)
{
	__u8 state = rung == RUNG_KPROBE ? BPF_CORE_READ(sk, __sk_common.skc_state)
					 : sk->__sk_common.skc_state;

	if (state != TCP_CLOSE)
		return false;
	return tap->role == REQUEST_ROLE_SERVER || BPF_CORE_READ(sk, sk_err);
}

/* A FIN is a byte to the sequence numbers. 1 if this socket's has been read past. */
static __always_inline __u32 end_was_read(struct sock *sk, __u32 unread, enum tap_rung rung)
{
	__u8 shutdown = 0;

	if (!unread)
		shutdown = rung == RUNG_KPROBE ? BPF_CORE_READ(sk, sk_shutdown) : sk->sk_shutdown;
	return !!(shutdown & RECEIVE_SHUTDOWN);
}

/*
 * Did the connection carry anything before this call? Then it was open before the agent, and may
 * be in the middle of something. A SYN of ours is acknowledged as one byte.
 */
static __always_inline bool bytes_before(struct sock *sk, int count, bool sent)
{
	struct tcp_sock *tcp = (struct tcp_sock *)sk;
	/* race: what arrives meanwhile on another CPU makes the differences smaller, never larger
	 */
	__s64 received = BPF_CORE_READ(tcp, bytes_received);
	__s64 handed_over = BPF_CORE_READ(tcp, bytes_acked);
	__u32 unacknowledged = BPF_CORE_READ(tcp, write_seq) - BPF_CORE_READ(tcp, snd_una);
	__u32 unread = BPF_CORE_READ(tcp, rcv_nxt) - BPF_CORE_READ(tcp, copied_seq);

	received -= unread + end_was_read(sk, unread, RUNG_KPROBE);
	handed_over += unacknowledged;
	if (sent)
		return received > 0 || handed_over > (__s64)count + 1;
	return received > count || handed_over > 1;
}

/* The state of a socket that is to be looked at; NULL if there is nothing to look for. */
static __always_inline struct tap *tap_for(struct sock *sk, int count, bool sent,
					   enum tap_rung rung)
{
	struct tap *tap = tap_find(sk, rung);

	if (!tap) {
		tap = tap_create(sk, rung);
		if (!tap) {
			count_loss(process_current(), LOSS_STATE_FULL);
			return NULL;
		}
	}
	if (tap->protocol >= TAP_STREAM)
		return NULL;
	if (!tap->process) {
		struct shared *shared = shared_get();

		if (shared && shared->agent_tgid == bpf_get_current_pid_tgid() >> 32) {
			tap->protocol = TAP_IGNORED;
			return NULL;
		}
		tap->process = process_current();
		if (!tap->released)
			process_hold(tap->process);
		if (bytes_before(sk, count, sent))
			tap->flags |= TAP_MIDSTREAM;
	}
	/* an answer, and the reset that ended the connection was taken in within this very send */
	return sent && tap->released && tap->role == REQUEST_ROLE_SERVER ? NULL : tap;
}

/* The sequence number behind what was moved, and how much waits to be read. */
static __always_inline bool moved_to(struct sock *sk, bool sent, enum tap_rung rung, __u32 *ret_end,
				     __u32 *ret_unread)
{
	__u32 end, unread = 0;

	if (rung == RUNG_KPROBE) {
		struct tcp_sock *tcp = (struct tcp_sock *)sk;

		end = sent ? BPF_CORE_READ(tcp, write_seq) : BPF_CORE_READ(tcp, copied_seq);
		if (!sent)
			unread = BPF_CORE_READ(tcp, rcv_nxt) - end;
	} else {
		struct tcp_sock *tcp = bpf_skc_to_tcp_sock(sk);

		if (!tcp)
			return false;
		end = sent ? tcp->write_seq : tcp->copied_seq;
		if (!sent)
			unread = tcp->rcv_nxt - end;
	}
	if (!sent)
		end -= end_was_read(sk, unread, rung);
	*ret_end = end;
	*ret_unread = unread;
	return true;
}

/*
 * Bytes were sent or received: the one handler behind every rung. `count` since the call began, of
 * which `before` were dealt with; `seen` as for source_resolve().
 */
static __always_inline int bytes_moved(struct sock *sk, int count, int before, bool sent,
				       enum tap_rung rung, const struct source *seen,
				       enum scan_owner owner)
{
	__u32 slot = owner, end, unread;
	struct passage passage = {};
	struct message *message;
	struct scan *scan;
	struct tap *tap;

	if (count <= 0 || !is_tcp(sk, rung))
		return 0;
	tap = tap_for(sk, count - before, sent, rung);
	scan = bpf_map_lookup_elem(&pl_scans, &slot);
	if (!tap || !scan || !moved_to(sk, sent, rung, &end, &unread))
		return 0;
	/* the other one of two programs dealt with this call (docs/decisions/0008) */
	if (tap->moved[sent] == (SEQUENCE_KNOWN | end))
		return 0;
	tap->moved[sent] = SEQUENCE_KNOWN | end;
	scan->offset = before;
	scan->length = count;
	scan->now_ns = 0;
	source_resolve(&scan->source, seen);
	if (tap->protocol == TAP_UNDECIDED && !tap_decide(tap, scan, sent, sock_ports(sk, rung)))
		goto consumed;

	scan->is_request = sent == (tap->role == REQUEST_ROLE_CLIENT);
	message = message_of(tap, scan);
	if (!scan->is_request) {
		scan->now_ns = bpf_ktime_get_ns();
		tap->last_ns = scan->now_ns;
	}
	bytes_unseen(tap, scan, message, end - (count - before));
	message->next = end;
	message->known = 1;
	/* head, body, done: what goes beyond is rare enough for a loop by callback */
	passage.tap = tap;
	passage.scan = scan;
	if (message_step(tap, scan) && scan->offset < scan->length && message_step(tap, scan) &&
	    message_step(tap, scan))
		bpf_loop(STEPS_MAX, passage_step, &passage, 0);
	if (scan->offset < scan->length && tap->protocol == TAP_HTTP1 &&
	    message->state != MESSAGE_LOST) {
		/* more parts than one call is given time for */
		message->state = MESSAGE_LOST;
		count_loss(tap->process, LOSS_UNPARSED);
	}
	tap->entry_ns = 0;
	if (scan->is_request && tap->pending && cannot_be_answered(sk, tap, rung))
		responses_end(tap, bpf_ktime_get_ns());
consumed:
	if (!sent && !unread)
		tap->arrival_ns = 0;
	return 0;
}

/* Data reached a socket: the moment a server's request begins. */
static __always_inline int data_arrived(struct sock *sk, enum tap_rung rung)
{
	struct tap *tap;
	__u8 state;

	if (!is_tcp(sk, rung))
		return 0;
	tap = tap_find(sk, rung);
	if (!tap) {
		state = rung == RUNG_KPROBE ? BPF_CORE_READ(sk, __sk_common.skc_state)
					    : sk->__sk_common.skc_state;
		if (state == TCP_LISTEN)
			return 0;
		tap = tap_create(sk, rung);
		if (!tap)
			return 0; /* counted when the bytes are read */
	}
	if (tap->arrival_ns || tap->protocol >= TAP_STREAM || tap->role == REQUEST_ROLE_CLIENT)
		return 0;
	tap->arrival_ns = bpf_ktime_get_ns();
	return 0;
}

/*
 * May the client still read an answer? Once both ends have said goodbye the socket is closed for
 * TCP while its last bytes wait to be received, or are being handed over at this moment: then the
 * end of what there is to read is the end (end_read()). A program that never reads it is not told
 * of.
 */
static __always_inline bool answer_may_come(struct sock *sk, struct tap *tap, int old)
{
	return tap->role == REQUEST_ROLE_CLIENT && old != TCP_ESTABLISHED &&
	       old != TCP_CLOSE_WAIT && !BPF_CORE_READ(sk, sk_err) && BPF_CORE_READ(sk, sk_socket);
}

/* Harmless when it comes twice (docs/decisions/0008). */
static __always_inline int state_changed(struct sock *sk, int old, int state, enum tap_rung rung)
{
	__u64 key = (__u64)sk;
	struct tap *tap;
	bool waits;

	if (!is_tcp(sk, rung))
		return 0;
	/* an address may have been another socket's: socket storage knows that by itself */
	if (rung == RUNG_KPROBE &&
	    (state == TCP_SYN_SENT || (old == TCP_SYN_RECV && state == TCP_ESTABLISHED)))
		bpf_map_delete_elem(&pl_taps_by_sk, &key);
	if (state == TCP_SYN_SENT || state == TCP_ESTABLISHED || state == TCP_LISTEN)
		return 0;
	tap = tap_find(sk, rung);
	if (!tap)
		return 0;
	waits = state == TCP_CLOSE && answer_may_come(sk, tap, old);
	if ((state == TCP_CLOSE && !waits) ||
	    ((state == TCP_FIN_WAIT1 || state == TCP_LAST_ACK) &&
	     (tap->role == REQUEST_ROLE_SERVER || BPF_CORE_READ(sk, sk_shutdown) == BOTH_SHUTDOWN)))
		responses_end(tap, bpf_ktime_get_ns());
	if (state != TCP_CLOSE)
		return 0;
	if (tap->process && !tap->released)
		process_release(tap->process);
	tap->released = 1;
	/* a program that still holds the socket may read what is left, and must find what it was */
	if (rung == RUNG_KPROBE && !BPF_CORE_READ(sk, sk_socket))
		bpf_map_delete_elem(&pl_taps_by_sk, &key);
	return 0;
}

/* The peer will send no more, and everything it sent has been read. */
static __always_inline int end_read(struct sock *sk, enum tap_rung rung)
{
	struct tap *tap = is_tcp(sk, rung) ? tap_find(sk, rung) : NULL;

	if (tap && tap->role == REQUEST_ROLE_CLIENT && tap->protocol != TAP_IGNORED &&
	    BPF_CORE_READ(sk, sk_shutdown) & RECEIVE_SHUTDOWN)
		responses_end(tap, bpf_ktime_get_ns());
	return 0;
}

#endif
