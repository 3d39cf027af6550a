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
#include "net/socket.bpf.h"

char LICENSE[] SEC("license") = "GPL";

#define MSG_PEEK 2

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

/* --- rung fentry ---------------------------------------------------------------------------- */

static __always_inline struct call *call_begin(struct sock *sk, struct msghdr *message,
					       enum call_kind kind)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct call *call;

	call = bpf_task_storage_get(&pl_calls, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!call)
		return NULL;
	/* kernel: a kretprobe has few instances; a send it did not follow is still under way */
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
	return send_begins(sk, RUNG_FENTRY);
}

static __always_inline int sent_fentry(struct sock *sk, int count, enum scan_owner owner)
{
	struct call *call = task_is_io_uring(bpf_get_current_task_btf()) ? call_find() : NULL;

	return bytes_moved(sk, count, 0, true, RUNG_FENTRY, call ? &call->source : NULL, owner);
}

SEC("?fexit/tcp_sendmsg")
int BPF_PROG(send_fentry, struct sock *sk, struct msghdr *message, size_t size, int count)
{
	return sent_fentry(sk, count, SCAN_SEND);
}

SEC("?fexit/tcp_sendmsg")
int BPF_PROG(send_again_fentry, struct sock *sk, struct msghdr *message, size_t size, int count)
{
	return sent_fentry(sk, count, SCAN_SEND_AGAIN);
}

SEC("?fentry/tcp_recvmsg")
int BPF_PROG(recv_enter_fentry, struct sock *sk, struct msghdr *message)
{
	call_begin_fentry(sk, message);
	return 0;
}

static __always_inline int received_fentry(struct sock *sk, int count, enum scan_owner owner)
{
	struct call *call = task_is_io_uring(bpf_get_current_task_btf()) ? call_find() : NULL;

	if (!count)
		return end_read(sk, RUNG_FENTRY);
	return bytes_moved(sk, count, 0, false, RUNG_FENTRY, call ? &call->source : NULL, owner);
}

/* kernel: tcp_recvmsg lost its last argument in 7.1, so the result is asked for, not counted out.
 */
SEC("?fexit/tcp_recvmsg")
int BPF_PROG(recv_fentry, struct sock *sk, struct msghdr *message, size_t size, int flags)
{
	__u64 count = 0;

	if (flags & MSG_PEEK || bpf_get_func_ret(ctx, &count))
		return 0;
	return received_fentry(sk, count, SCAN_RECV);
}

SEC("?fexit/tcp_recvmsg")
int BPF_PROG(recv_again_fentry, struct sock *sk, struct msghdr *message, size_t size, int flags)
{
	__u64 count = 0;

	if (flags & MSG_PEEK || bpf_get_func_ret(ctx, &count))
		return 0;
	return received_fentry(sk, count, SCAN_RECV_AGAIN);
}

/* kernel: before 6.5 sendfile did not go through tcp_sendmsg (commit 2dc334f1a63a). */
SEC("?fexit/tcp_sendpage")
int BPF_PROG(sendpage_fentry, struct sock *sk, struct page *page, int offset, size_t size,
	     int flags, int count)
{
	return bytes_moved(sk, count, 0, true, RUNG_FENTRY, NULL, SCAN_SENDPAGE);
}

SEC("?fentry/tcp_data_ready")
int BPF_PROG(arrived_fentry, struct sock *sk)
{
	return data_arrived(sk, RUNG_FENTRY);
}

/* Of the tracepoint rung, too: what matters is where the state of a socket is kept. */
SEC("?tp_btf/inet_sock_set_state")
int BPF_PROG(state_storage, struct sock *sk, int old, int state)
{
	return state_changed(sk, old, state, RUNG_FENTRY);
}

SEC("?tp_btf/inet_sock_set_state")
int BPF_PROG(state_again_storage, struct sock *sk, int old, int state)
{
	return state_changed(sk, old, state, RUNG_FENTRY);
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

static __always_inline int sent_kprobe(int count, enum scan_owner owner)
{
	struct call *call = call_return();

	return call && call->sk
		       ? bytes_moved(call->sk, count, 0, true, RUNG_KPROBE, &call->source, owner)
		       : 0;
}

SEC("?kretprobe/tcp_sendmsg")
int BPF_KRETPROBE(send_kprobe, int count)
{
	return sent_kprobe(count, SCAN_SEND);
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
	return bytes_moved(sk, copied, before, false, RUNG_KPROBE, &call->source, SCAN_RECV);
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
	return sent_kprobe(count, SCAN_SENDPAGE);
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
	return state_changed(sk, old, state, RUNG_KPROBE);
}

SEC("?tp_btf/inet_sock_set_state")
int BPF_PROG(state_again_kprobe, struct sock *sk, int old, int state)
{
	return state_changed(sk, old, state, RUNG_KPROBE);
}

/* --- rung tracepoint ------------------------------------------------------------------------ */

SEC("?tp_btf/sock_send_length")
int BPF_PROG(send_tracepoint, struct sock *sk, int count, int flags)
{
	return bytes_moved(sk, count, 0, true, RUNG_TRACEPOINT, NULL, SCAN_SEND);
}

SEC("?tp_btf/sock_send_length")
int BPF_PROG(send_again_tracepoint, struct sock *sk, int count, int flags)
{
	return bytes_moved(sk, count, 0, true, RUNG_TRACEPOINT, NULL, SCAN_SEND_AGAIN);
}

static __always_inline int received_tracepoint(struct sock *sk, int count, int flags,
					       enum scan_owner owner)
{
	if (flags & MSG_PEEK)
		return 0;
	if (!count)
		return end_read(sk, RUNG_TRACEPOINT);
	return bytes_moved(sk, count, 0, false, RUNG_TRACEPOINT, NULL, owner);
}

SEC("?tp_btf/sock_recv_length")
int BPF_PROG(recv_tracepoint, struct sock *sk, int count, int flags)
{
	return received_tracepoint(sk, count, flags, SCAN_RECV);
}

SEC("?tp_btf/sock_recv_length")
int BPF_PROG(recv_again_tracepoint, struct sock *sk, int count, int flags)
{
	return received_tracepoint(sk, count, flags, SCAN_RECV_AGAIN);
}

SEC("?tp_btf/sk_data_ready")
int BPF_PROG(arrived_tracepoint, struct sock *sk)
{
	return data_arrived(sk, RUNG_TRACEPOINT);
}
