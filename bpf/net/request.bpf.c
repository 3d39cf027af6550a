// SPDX-License-Identifier: GPL-2.0-only
/*
 * net/request: HTTP/1.x requests, in the server and the client role.
 *
 * Sees: every byte a TCP socket takes from or gives to a process. Requests are
 * recognised by their bytes, never by port, paired with their answers, and counted
 * in the kernel by (service, role, port, method, route, status). Only the first of
 * a kind, a breach or an error becomes a record.
 *
 * Hooks: where TCP hands bytes over. fentry and kprobe take tcp_sendmsg and
 * tcp_recvmsg, the tracepoint rung sock_send_length and sock_recv_length. A server's
 * request begins when its first byte reaches the socket (tcp_data_ready, or the
 * tracepoint sk_data_ready), not when it is read: time in the queue is latency too.
 *
 * Cost: three short programs per request; see docs/BENCHMARKS.md.
 *
 * Blind spots: TLS and HTTP/2 (counted as ignored connections), MPTCP, 32-bit
 * programs, and on the tracepoint rung io_uring (counted as unresolved).
 */
#include "lib/guard.bpf.h"
#include "net/messages.bpf.h"

char LICENSE[] SEC("license") = "GPL";

enum tap_rung { RUNG_FENTRY, RUNG_KPROBE, RUNG_TRACEPOINT };

#define SCAN_SEND 0
#define SCAN_RECV 1

#define MSG_PEEK	 2
#define RECEIVE_SHUTDOWN 1
#define BOTH_SHUTDOWN	 3 /* close(2): nobody will read any more */
#define PROTOCOL_TCP	 6
#define FAMILY_INET	 2
#define FAMILY_INET6	 10
#define STEPS_MAX	 2048 /* message parts and windows in one call */

/* What a function rung keeps between the entry and the return of a call. */
struct call {
	struct sock *sk;
	struct source source;
	__u32 flags;
	__u32 kind;	/* call_kind, of the call that is under way */
	__u32 received; /* bytes of it that are dealt with */
	__u32 number;	/* of the system call */
};

enum call_kind { CALL_OVER, CALL_SENDS, CALL_RECEIVES };

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct call);
} pl_calls SEC(".maps");

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

static __always_inline bool source_resolve(struct source *source, struct call *call)
{
	if (source_from_registers(source, bpf_get_current_task_btf()))
		return true;
	if (call && call->source.kind) {
		*source = call->source;
		return true;
	}
	return false;
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
	__u32 unread = BPF_CORE_READ(tcp, rcv_nxt) - BPF_CORE_READ(tcp, copied_seq);
	__u32 unacknowledged = BPF_CORE_READ(tcp, write_seq) - BPF_CORE_READ(tcp, snd_una);
	__u64 received =
		BPF_CORE_READ(tcp, bytes_received) - unread - end_was_read(sk, unread, RUNG_KPROBE);
	__u64 handed_over = BPF_CORE_READ(tcp, bytes_acked) + unacknowledged;

	if (sent)
		return received || handed_over > (__u64)count + 1;
	return received > (__u64)count || handed_over > 1;
}

/*
 * Bytes were sent or received: the one handler behind every rung. `count` since the call began, of
 * which `before` were dealt with.
 */
static __always_inline int bytes_moved(struct sock *sk, int count, int before, bool sent,
				       enum tap_rung rung, struct call *call)
{
	__u32 slot = sent ? SCAN_SEND : SCAN_RECV, end, unread = 0;
	struct passage passage = {};
	struct message *message;
	struct tap *tap;

	if (count <= 0 || !is_tcp(sk, rung))
		return 0;
	tap = tap_find(sk, rung);
	if (!tap) {
		tap = tap_create(sk, rung);
		if (!tap)
			return count_loss(process_current(), LOSS_STATE_FULL);
	}
	if (tap->protocol >= TAP_STREAM)
		return 0;
	if (!tap->process) {
		struct shared *shared = shared_get();

		if (shared && shared->agent_tgid == bpf_get_current_pid_tgid() >> 32) {
			tap->protocol = TAP_IGNORED;
			return 0;
		}
		tap->process = process_current();
		process_hold(tap->process);
		if (bytes_before(sk, count - before, sent))
			tap->flags |= TAP_MIDSTREAM;
	}
	/* the reset that ended the connection was taken in within this very send */
	if (sent && tap->released)
		return 0;
	passage.tap = tap;
	passage.scan = bpf_map_lookup_elem(&pl_scans, &slot);
	if (!passage.scan)
		return 0;
	passage.scan->offset = before;
	passage.scan->length = count;
	passage.scan->now_ns = 0;
	passage.scan->source.kind = SOURCE_NONE;
	source_resolve(&passage.scan->source, call);
	if (tap->protocol == TAP_UNDECIDED &&
	    !tap_decide(tap, passage.scan, sent, sock_ports(sk, rung)))
		goto consumed;

	if (rung == RUNG_KPROBE) {
		struct tcp_sock *tcp = (struct tcp_sock *)sk;

		end = sent ? BPF_CORE_READ(tcp, write_seq) : BPF_CORE_READ(tcp, copied_seq);
		if (!sent)
			unread = BPF_CORE_READ(tcp, rcv_nxt) - end;
	} else {
		struct tcp_sock *tcp = bpf_skc_to_tcp_sock(sk);

		if (!tcp)
			return 0;
		end = sent ? tcp->write_seq : tcp->copied_seq;
		if (!sent)
			unread = tcp->rcv_nxt - end;
	}
	if (!sent)
		end -= end_was_read(sk, unread, rung);
	passage.scan->is_request = sent == (tap->role == REQUEST_ROLE_CLIENT);
	message = message_of(tap, passage.scan);
	if (!passage.scan->is_request) {
		passage.scan->now_ns = bpf_ktime_get_ns();
		tap->last_ns = passage.scan->now_ns;
	}
	bytes_unseen(tap, passage.scan, message, end - (count - before));
	message->next = end;
	message->known = 1;
	/* head, body, done: what goes beyond is rare enough for a loop by callback */
	if (message_step(tap, passage.scan) && passage.scan->offset < passage.scan->length &&
	    message_step(tap, passage.scan) && message_step(tap, passage.scan))
		bpf_loop(STEPS_MAX, passage_step, &passage, 0);
	if (passage.scan->offset < passage.scan->length && tap->protocol == TAP_HTTP1 &&
	    message->state != MESSAGE_LOST) {
		/* more parts than one call is given time for */
		message->state = MESSAGE_LOST;
		count_loss(tap->process, LOSS_UNPARSED);
	}
	tap->entry_ns = 0;
	if (passage.scan->is_request && tap->pending && cannot_be_answered(sk, tap, rung))
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

/* Harmless when it comes twice (lib/guard.bpf.h). */
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

/* --- rung fentry ---------------------------------------------------------------------------- */

static __always_inline struct call *call_begin(struct sock *sk, struct msghdr *message,
					       enum call_kind kind)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct call *call;

	call = bpf_task_storage_get(&pl_calls, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!call)
		return NULL;
	/* kernel: a kretprobe has few instances; a send whose return it missed is still under way
	 */
	if (call->kind == CALL_SENDS)
		count_loss(process_current(), LOSS_MISSED);
	call->kind = kind;
	call->sk = sk;
	call->received = 0;
	call->number = regs_nr((struct pt_regs *)bpf_task_pt_regs(task));
	call->source.kind = SOURCE_NONE;
	if (task_is_io_uring(task))
		source_from_iterator(&call->source, message);
	return call;
}

/* What the return of a function tells of the buffer is enough but for io_uring. */
static __always_inline void call_begin_fentry(struct sock *sk, struct msghdr *message)
{
	if (task_is_io_uring(bpf_get_current_task_btf()))
		call_begin(sk, message, CALL_OVER);
}

static __always_inline struct call *call_find(void)
{
	return bpf_task_storage_get(&pl_calls, bpf_get_current_task_btf(), NULL, 0);
}

/* A client's request begins when it is handed over, not when that call returns. */
static __always_inline int send_begins(struct sock *sk, enum tap_rung rung)
{
	struct tap *tap = is_tcp(sk, rung) ? tap_find(sk, rung) : NULL;

	if (tap && (tap->role == REQUEST_ROLE_SERVER || tap->protocol >= TAP_STREAM))
		return 0;
	if (!tap && is_tcp(sk, rung))
		tap = tap_create(sk, rung);
	if (tap && !tap->entry_ns)
		tap->entry_ns = bpf_ktime_get_ns();
	return 0;
}

SEC("?fentry/tcp_sendmsg")
int BPF_PROG(send_enter_fentry, struct sock *sk, struct msghdr *message, size_t size)
{
	call_begin_fentry(sk, message);
	return guarded(send_begins(sk, RUNG_FENTRY));
}

SEC("?fexit/tcp_sendmsg")
int BPF_PROG(send_fentry, struct sock *sk, struct msghdr *message, size_t size, int count)
{
	struct call *call = task_is_io_uring(bpf_get_current_task_btf()) ? call_find() : NULL;

	return guarded(bytes_moved(sk, count, 0, true, RUNG_FENTRY, call));
}

SEC("?fentry/tcp_recvmsg")
int BPF_PROG(recv_enter_fentry, struct sock *sk, struct msghdr *message)
{
	call_begin_fentry(sk, message);
	return 0;
}

/* kernel: tcp_recvmsg lost its last argument in 7.1, so the result is asked for, not counted out.
 */
SEC("?fexit/tcp_recvmsg")
int BPF_PROG(recv_fentry, struct sock *sk, struct msghdr *message, size_t size, int flags)
{
	struct call *call = task_is_io_uring(bpf_get_current_task_btf()) ? call_find() : NULL;
	__u64 count = 0;

	if (flags & MSG_PEEK || bpf_get_func_ret(ctx, &count))
		return 0;
	if (!count)
		return guarded(end_read(sk, RUNG_FENTRY));
	return guarded(bytes_moved(sk, count, 0, false, RUNG_FENTRY, call));
}

/* kernel: before 6.5 sendfile did not go through tcp_sendmsg (commit 2dc334f1a63a). */
SEC("?fexit/tcp_sendpage")
int BPF_PROG(sendpage_fentry, struct sock *sk, struct page *page, int offset, size_t size,
	     int flags, int count)
{
	return guarded(bytes_moved(sk, count, 0, true, RUNG_FENTRY, NULL));
}

SEC("?fentry/tcp_data_ready")
int BPF_PROG(arrived_fentry, struct sock *sk)
{
	return guarded(data_arrived(sk, RUNG_FENTRY));
}

SEC("?tp_btf/inet_sock_set_state")
int BPF_PROG(state_fentry, struct sock *sk, int old, int state)
{
	return guarded(state_changed(sk, old, state, RUNG_FENTRY));
}

SEC("?tp_btf/inet_sock_set_state")
int BPF_PROG(state_again_fentry, struct sock *sk, int old, int state)
{
	return guarded(state_changed(sk, old, state, RUNG_FENTRY));
}

/* --- rung kprobe ---------------------------------------------------------------------------- */

SEC("?kprobe/tcp_sendmsg")
int BPF_KPROBE(send_enter_kprobe, struct sock *sk, struct msghdr *message)
{
	call_begin(sk, message, CALL_SENDS);
	send_begins(sk, RUNG_KPROBE);
	return 0;
}

/* The send that returns now, if its entry was seen. */
static __always_inline struct call *call_return(void)
{
	struct call *call = call_find();

	if (!call || call->kind != CALL_SENDS)
		return NULL;
	call->kind = CALL_OVER;
	return call;
}

/* A thread that ends sends nothing any more: a send still under way is one whose return was missed.
 */
SEC("?tracepoint/sched/sched_process_exit")
int exit_kprobe(void *ctx)
{
	if (call_return())
		count_loss(process_current(), LOSS_MISSED);
	return 0;
}

SEC("?kretprobe/tcp_sendmsg")
int BPF_KRETPROBE(send_kprobe, int count)
{
	struct call *call = call_return();

	return call && call->sk ? bytes_moved(call->sk, count, 0, true, RUNG_KPROBE, call) : 0;
}

SEC("?kprobe/tcp_recvmsg")
int BPF_KPROBE(recv_enter_kprobe, struct sock *sk, struct msghdr *message, size_t size, int flags)
{
	struct call *call = call_begin(sk, message, CALL_RECEIVES);

	if (call)
		call->flags = flags;
	return 0;
}

/*
 * A thread may wait for ever in tcp_recvmsg, and a kretprobe follows few calls at a time (10 on a
 * small machine). tcp_cleanup_rbuf is told how much was copied whenever that pauses or ends; others
 * call it too, but not within a receive of this thread's.
 */
static __always_inline int received_kprobe(struct sock *sk, int copied)
{
	struct call *call = call_find();
	__u32 before;

	if (!call || call->kind != CALL_RECEIVES || call->sk != sk || call->flags & MSG_PEEK)
		return 0;
	if (call->number !=
	    (__u32)regs_nr((struct pt_regs *)bpf_task_pt_regs(bpf_get_current_task_btf())))
		return 0;
	if (!copied)
		return end_read(sk, RUNG_KPROBE);
	before = call->received;
	if (copied <= (int)before)
		return 0;
	call->received = copied;
	return bytes_moved(sk, copied, before, false, RUNG_KPROBE, call);
}

SEC("?kprobe/tcp_cleanup_rbuf")
int BPF_KPROBE(recv_kprobe, struct sock *sk, int copied)
{
	return received_kprobe(sk, copied);
}

/* kernel: since 6.4 tcp_cleanup_rbuf may be inlined around this (commit e5c6de5fa025). */
SEC("?kprobe/__tcp_cleanup_rbuf")
int BPF_KPROBE(recv_inner_kprobe, struct sock *sk, int copied)
{
	return received_kprobe(sk, copied);
}

SEC("?kprobe/tcp_sendpage")
int BPF_KPROBE(sendpage_enter_kprobe, struct sock *sk)
{
	struct call *call = bpf_task_storage_get(&pl_calls, bpf_get_current_task_btf(), NULL,
						 BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (call) {
		call->kind = CALL_SENDS;
		call->sk = sk;
		call->source.kind = SOURCE_NONE;
	}
	return 0;
}

SEC("?kretprobe/tcp_sendpage")
int BPF_KRETPROBE(sendpage_kprobe, int count)
{
	struct call *call = call_return();

	return call && call->sk ? bytes_moved(call->sk, count, 0, true, RUNG_KPROBE, call) : 0;
}

SEC("?kprobe/tcp_data_ready")
int BPF_KPROBE(arrived_kprobe, struct sock *sk)
{
	return data_arrived(sk, RUNG_KPROBE);
}

/* kernel: a plain tracepoint would be skipped while any kprobe program runs on that CPU. */
SEC("?tp_btf/inet_sock_set_state")
int BPF_PROG(state_kprobe, struct sock *sk, int old, int state)
{
	return guarded(state_changed(sk, old, state, RUNG_KPROBE));
}

SEC("?tp_btf/inet_sock_set_state")
int BPF_PROG(state_again_kprobe, struct sock *sk, int old, int state)
{
	return guarded(state_changed(sk, old, state, RUNG_KPROBE));
}

/* --- rung tracepoint ------------------------------------------------------------------------ */

SEC("?tp_btf/sock_send_length")
int BPF_PROG(send_tracepoint, struct sock *sk, int count, int flags)
{
	return guarded(bytes_moved(sk, count, 0, true, RUNG_TRACEPOINT, NULL));
}

SEC("?tp_btf/sock_recv_length")
int BPF_PROG(recv_tracepoint, struct sock *sk, int count, int flags)
{
	if (flags & MSG_PEEK)
		return 0;
	if (!count)
		return guarded(end_read(sk, RUNG_TRACEPOINT));
	return guarded(bytes_moved(sk, count, 0, false, RUNG_TRACEPOINT, NULL));
}

SEC("?tp_btf/sk_data_ready")
int BPF_PROG(arrived_tracepoint, struct sock *sk)
{
	return guarded(data_arrived(sk, RUNG_TRACEPOINT));
}

SEC("?tp_btf/inet_sock_set_state")
int BPF_PROG(state_tracepoint, struct sock *sk, int old, int state)
{
	return guarded(state_changed(sk, old, state, RUNG_TRACEPOINT));
}

SEC("?tp_btf/inet_sock_set_state")
int BPF_PROG(state_again_tracepoint, struct sock *sk, int old, int state)
{
	return guarded(state_changed(sk, old, state, RUNG_TRACEPOINT));
}
