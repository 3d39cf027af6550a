/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kernel's types as far as bpf/ looks at them, so that the real BPF sources
 * compile as ordinary C for the host. Only what is used is here: a source that
 * needs one more field fails to compile and says which.
 *
 * Use with -Itests/fakes -Ibpf before any system folder, and -fno-sanitize=alignment
 * (load64() reads unaligned words on purpose).
 */
#ifndef FAKES_VMLINUX_H
#define FAKES_VMLINUX_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>

#include <linux/bpf.h>
#include <linux/types.h>

/* BPF is built with other warnings than user space; these mean nothing here. */
#pragma GCC diagnostic ignored "-Wunknown-pragmas"
#pragma GCC diagnostic ignored "-Wunused-parameter"
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wmissing-prototypes"
#pragma GCC diagnostic ignored "-Wsign-compare"

#ifndef __TARGET_ARCH_x86
#define __TARGET_ARCH_x86
#endif

typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s32 s32;
typedef __s64 s64;

enum tcp_state {
	TCP_ESTABLISHED = 1,
	TCP_SYN_SENT,
	TCP_SYN_RECV,
	TCP_FIN_WAIT1,
	TCP_FIN_WAIT2,
	TCP_TIME_WAIT,
	TCP_CLOSE,
	TCP_CLOSE_WAIT,
	TCP_LAST_ACK,
	TCP_LISTEN,
	TCP_CLOSING,
	TCP_NEW_SYN_RECV,
};

enum iter_type { ITER_UBUF, ITER_IOVEC, ITER_BVEC, ITER_KVEC };

enum cgroup_subsys_id { cpuset_cgrp_id, cpu_cgrp_id, memory_cgrp_id, CGROUP_SUBSYS_COUNT };

struct pt_regs {
	unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax;
	unsigned long ip, cs, flags, sp, ss;
};

struct qstr {
	const unsigned char *name;
};

struct dentry {
	struct qstr d_name;
};

struct path {
	struct dentry *dentry;
};

struct file {
	struct path f_path;
};

struct mm_struct {
	struct file *exe_file;
	unsigned long arg_start, arg_end, env_start, env_end;
};

struct kernfs_node {
	const char *name;
	struct kernfs_node *__parent;
};

struct cgroup {
	struct kernfs_node *kn;
};

struct cgroup_subsys_state {
	struct cgroup *cgroup;
};

struct css_set {
	struct cgroup *dfl_cgrp;
	struct cgroup_subsys_state *subsys[CGROUP_SUBSYS_COUNT];
};

struct thread_info {
	unsigned long flags;
	__u32 status;
};

struct task_struct {
	struct thread_info thread_info;
	unsigned int flags;
	pid_t pid, tgid;
	struct task_struct *group_leader, *real_parent;
	struct mm_struct *mm;
	struct css_set *cgroups;
	__u64 start_time, start_boottime;
	char comm[16];
	struct pt_regs *fake_regs; /* what bpf_task_pt_regs() gives */
};

struct sock_common {
	__be32 skc_daddr, skc_rcv_saddr;
	__be16 skc_dport;
	__u16 skc_num;
	__u16 skc_family;
	volatile unsigned char skc_state;
};

struct socket;

struct sock {
	struct sock_common __sk_common;
	__u16 sk_type, sk_protocol;
	__u8 sk_shutdown;
	int sk_err, sk_err_soft, sk_ack_backlog, sk_max_ack_backlog, sk_wmem_queued;
	struct socket *sk_socket;
};

struct inet_sock {
	struct sock sk;
};

struct inet_connection_sock {
	struct inet_sock icsk_inet;
};

struct tcp_sock {
	struct inet_connection_sock inet_conn;
	__u32 write_seq, copied_seq, rcv_nxt, snd_nxt, snd_una, srtt_us, total_retrans;
	__u64 bytes_received, bytes_acked, bytes_sent;
};

struct iov_iter {
	__u8 iter_type;
	size_t iov_offset, count;
	unsigned long nr_segs;
	const struct iovec *__iov;
	void *ubuf;
};

struct msghdr {
	struct iov_iter msg_iter;
	unsigned int msg_flags;
};

struct page {
	unsigned long flags;
};

struct trace_event_raw_inet_sock_set_state {
	const void *skaddr;
	int oldstate, newstate;
	__u16 sport, dport, family, protocol;
};

#endif
