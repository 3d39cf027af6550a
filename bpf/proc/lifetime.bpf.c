// SPDX-License-Identifier: GPL-2.0-only
/*
 * proc/lifetime: processes that end, or become another program.
 *
 * Sees: the last thread of a process leaving, and exec. Either ends the identity
 * under which the process was known, so a recycled pid or a new program in the
 * same process never counts under the old name.
 *
 * Hooks: sched_process_exit and sched_process_exec; every kernel has them.
 *
 * Cost: one hash look-up per thread exit and per exec.
 *
 * Blind spots: none known.
 */
#include "lib/who.bpf.h"

#include <plimsoll/proc/lifetime.h>

char LICENSE[] SEC("license") = "GPL";

static __always_inline int process_gone(__u32 tgid)
{
	struct process_gone_record record = {};
	__u32 *index = bpf_map_lookup_elem(&pl_process_of, &tgid);

	if (!index)
		return 0;
	record.header.kind = RECORD_PROCESS_GONE;
	record.header.size = sizeof(record);
	record.header.pid = tgid;
	record.header.time_ns = bpf_ktime_get_ns();
	record.index = *index;
	bpf_map_delete_elem(&pl_process_of, &tgid);
	if (bpf_ringbuf_output(&pl_records, &record, sizeof(record), BPF_RB_NO_WAKEUP))
		count_loss(record.index, LOSS_RING_FULL); /* user space looks for the pid itself */
	return 0;
}

/* The thread group is over when nobody in it is alive any more. */
static __always_inline int task_exits(struct task_struct *task)
{
	return BPF_CORE_READ(task, signal, live.counter) > 0 ? 0 : process_gone(task->tgid);
}

SEC("?tp_btf/sched_process_exit")
int BPF_PROG(process_exit, struct task_struct *task)
{
	return task_exits(task);
}

SEC("?tp_btf/sched_process_exit")
int BPF_PROG(process_exit_again, struct task_struct *task)
{
	return task_exits(task);
}

SEC("?tp_btf/sched_process_exec")
int BPF_PROG(process_exec, struct task_struct *task)
{
	return process_gone(task->tgid);
}

SEC("?tp_btf/sched_process_exec")
int BPF_PROG(process_exec_again, struct task_struct *task)
{
	return process_gone(task->tgid);
}
