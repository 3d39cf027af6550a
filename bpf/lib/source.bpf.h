/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where the bytes of a send or receive are. The system call's own registers name
 * the user's buffer on every kernel and every rung, before and after the call
 * (an iterator has moved on by then). io_uring has no such registers: its buffer
 * comes from the message iterator, seen on entry by the function rungs.
 */
#ifndef LIB_SOURCE_BPF_H
#define LIB_SOURCE_BPF_H

#include "lib/plimsoll.bpf.h"

enum source_kind { SOURCE_NONE, SOURCE_BUFFER, SOURCE_VECTOR, SOURCE_KERNEL_VECTOR };

struct source {
	__u64 base;
	__u32 count; /* iovecs */
	__u32 kind;
};

#define VECTOR_MAX 64 /* iovecs looked at for one window */

#if defined(__TARGET_ARCH_x86)
#define NR_read	      0
#define NR_write      1
#define NR_readv      19
#define NR_writev     20
#define NR_sendto     44
#define NR_recvfrom   45
#define NR_sendmsg    46
#define NR_recvmsg    47
#define NR_io_uring   426
#define regs_nr(regs) ((regs)->orig_ax)
#define regs_a1(regs) ((regs)->si)
#define regs_a2(regs) ((regs)->dx)
#elif defined(__TARGET_ARCH_arm64)
#define NR_read	      63
#define NR_write      64
#define NR_readv      65
#define NR_writev     66
#define NR_sendto     206
#define NR_recvfrom   207
#define NR_sendmsg    211
#define NR_recvmsg    212
#define NR_io_uring   426
#define regs_nr(regs) ((regs)->syscallno)
#define regs_a1(regs) ((regs)->regs[1])
#define regs_a2(regs) ((regs)->regs[2])
#else
#error "no system call registers for this architecture"
#endif

#define TASK_IS_IO_WORKER 0x00000010 /* PF_IO_WORKER */
#define COMPAT_SYSCALL	  0x0002     /* TS_COMPAT, x86 */

static __always_inline bool task_is_compat(struct task_struct *task)
{
#if defined(__TARGET_ARCH_x86)
	return task->thread_info.status & COMPAT_SYSCALL;
#else
	return false;
#endif
}

/* user_msghdr: name 8, namelen 4 + 4, iov 8, iovlen 8 */
static __always_inline void source_from_msghdr(struct source *source, __u64 message)
{
	struct {
		__u64 vector, count;
	} pair;

	if (bpf_probe_read_user(&pair, sizeof(pair), (void *)(message + 16)))
		return;
	source->base = pair.vector;
	source->count = pair.count;
	source->kind = SOURCE_VECTOR;
}

/* True if the running system call names its buffer; false leaves `source` as it is. */
static __always_inline bool source_from_registers(struct source *source, struct task_struct *task)
{
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);

	if (task_is_compat(task))
		return false;
	switch ((__u32)regs_nr(regs)) {
	case NR_read:
	case NR_write:
	case NR_sendto:
	case NR_recvfrom:
		source->base = regs_a1(regs);
		source->kind = SOURCE_BUFFER;
		return true;
	case NR_readv:
	case NR_writev:
		source->base = regs_a1(regs);
		source->count = regs_a2(regs);
		source->kind = SOURCE_VECTOR;
		return true;
	case NR_sendmsg:
	case NR_recvmsg:
		source_from_msghdr(source, regs_a1(regs));
		return true;
	}
	return false;
}

static __always_inline bool task_is_io_uring(struct task_struct *task)
{
	struct pt_regs *regs;

	if (task->flags & TASK_IS_IO_WORKER)
		return true;
	regs = (struct pt_regs *)bpf_task_pt_regs(task);
	return (__u32)regs_nr(regs) == NR_io_uring;
}

/* On entry of tcp_sendmsg/tcp_recvmsg, while the iterator still points at the first byte. */
static __always_inline void source_from_iterator(struct source *source, struct msghdr *message)
{
	struct iov_iter *iter = &message->msg_iter;

	if (iter_is_user_buffer(iter)) {
		source->base = (__u64)BPF_CORE_READ(iter, ubuf) + BPF_CORE_READ(iter, iov_offset);
		source->kind = SOURCE_BUFFER;
	} else if (iter_is_vector(iter) && !BPF_CORE_READ(iter, iov_offset)) {
		source->base = (__u64)iter_vector(iter);
		source->count = BPF_CORE_READ(iter, nr_segs);
		source->kind = SOURCE_KERNEL_VECTOR;
	}
}

/* Where a window of bytes is looked at: room for a carried line, the window, and over-reads. */
#define CARRY_MAX    40
#define WINDOW_MAX   256
#define WINDOW_MASK  511
#define WINDOW_BYTES 576
#define CRUMB	     24 /* a shorter first iovec does not tell what begins with it */

struct window {
	__u8 bytes[WINDOW_BYTES];
};

struct gather {
	struct window *window;
	__u64 vector;
	__u32 count;
	__u32 kernel; /* the vector itself is kernel memory */
	__u32 skip;   /* bytes to pass over first */
	__u32 wanted; /* bytes still to copy */
	__u32 at;     /* where the next ones go */
	__u32 failed;
};

static long gather_step(__u32 index, struct gather *gather)
{
	void *from = (void *)(gather->vector + index * sizeof(struct iovec));
	__u32 length, at = gather->at;
	struct iovec entry = {};

	if (index >= gather->count || !gather->wanted)
		return 1;
	if (gather->kernel ? bpf_probe_read_kernel(&entry, sizeof(entry), from)
			   : bpf_probe_read_user(&entry, sizeof(entry), from)) {
		gather->failed = 1;
		return 1;
	}
	if (entry.iov_len <= gather->skip) {
		gather->skip -= entry.iov_len;
		return 0;
	}
	entry.iov_len -= gather->skip;
	length = gather->wanted;
	if (entry.iov_len < length)
		length = entry.iov_len;
	if (at >= CARRY_MAX + WINDOW_MAX || length > WINDOW_MAX)
		return 1;
	if (bpf_probe_read_user(gather->window->bytes + at, length,
				entry.iov_base + gather->skip)) {
		gather->failed = 1;
		return 1;
	}
	gather->skip = 0;
	gather->at += length;
	gather->wanted -= length;
	return 0;
}

/*
 * Copies up to `length` (1..WINDOW_MAX) bytes that lie `offset` bytes into the call's data to
 * window->bytes + CARRY_MAX: fewer where the first iovec ends before. Returns how many, or a
 * negative errno: -ENODATA (61) no buffer known, -EFAULT (14).
 */
static __always_inline int source_read(const struct source *source, __u32 offset, __u32 length,
				       struct window *window)
{
	struct gather gather = {};
	__u64 base = source->base;
	__u32 wanted = length;

	if (source->kind == SOURCE_NONE)
		return -61;
	if (source->kind == SOURCE_VECTOR) {
		struct iovec first;

		if (bpf_probe_read_user(&first, sizeof(first), (void *)base))
			return -14;
		if (first.iov_len <= offset)
			goto gather;
		/* a head has an iovec of its own more often than not; crumbs are put together */
		if (first.iov_len - offset < length) {
			length = first.iov_len - offset;
			if (length < CRUMB)
				goto gather;
		}
		base = (__u64)first.iov_base;
	} else if (source->kind == SOURCE_KERNEL_VECTOR) {
		goto gather;
	}
	/* verifier: keeps the compiler from dropping the bound it can prove and 6.1 cannot */
	asm volatile("" : "+r"(length));
	if (length > WINDOW_MAX)
		length = WINDOW_MAX;
	if (bpf_probe_read_user(window->bytes + CARRY_MAX, length, (void *)base + offset))
		return -14;
	return length;
gather:
	gather.window = window;
	gather.vector = source->base;
	gather.count = source->count;
	gather.kernel = source->kind == SOURCE_KERNEL_VECTOR;
	gather.skip = offset;
	gather.wanted = wanted;
	gather.at = CARRY_MAX;
	bpf_loop(VECTOR_MAX, gather_step, &gather, 0);
	return gather.failed || gather.wanted ? -14 : (int)wanted;
}

#endif
