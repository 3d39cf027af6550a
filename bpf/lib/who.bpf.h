/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * From the running task to the index of its process (plimsoll/who.h), and the
 * ring buffer and loss counters all probes share. These maps exist once:
 * user/kernel creates them and every object is given the same ones.
 */
#ifndef LIB_WHO_BPF_H
#define LIB_WHO_BPF_H

#include "lib/plimsoll.bpf.h"

#include <plimsoll/who.h>

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} pl_records SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct shared);
} pl_shared SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, __u32);
} pl_process_of SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, struct process_slot);
} pl_processes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_STACK);
	__uint(max_entries, 16384);
	__uint(value_size, sizeof(__u32));
} pl_process_free SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, SERVICES_MAX);
	__type(key, __u32);
	__type(value, struct service_slot);
} pl_services SEC(".maps");

#define SCRATCHES 4

struct scratch {
	struct process_record record;
	__u32 busy;
	__u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SCRATCHES);
	__type(key, __u32);
	__type(value, struct scratch);
} pl_who_scratch SEC(".maps");

static __always_inline struct shared *shared_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&pl_shared, &zero);
}

/* Nothing is lost in silence: counted against the process, or index 0 where none is known. */
static __always_inline int count_loss(__u32 process, enum loss_reason reason)
{
	struct process_slot *slot = bpf_map_lookup_elem(&pl_processes, &process);

	if (slot)
		atomic_add(&slot->losses[reason], 1);
	return 0;
}

static __always_inline void cgroup_names(struct kernfs_node *node, struct process_record *record)
{
#pragma unroll
	for (int level = 0; level < CGROUP_LEVELS; level++) {
		record->cgroup[level][0] = 0;
		if (!node)
			continue;
		bpf_probe_read_kernel_str(record->cgroup[level], CGROUP_NAME_MAX,
					  BPF_CORE_READ(node, name));
		node = kernfs_parent(node);
	}
}

/*
 * The cgroup a person knows the task by: its place in the v2 tree, or, where everything sits in
 * the v2 root (hybrid and v1 hosts), in the tree of the memory controller.
 */
static __always_inline struct kernfs_node *task_cgroup_node(struct task_struct *task)
{
	struct css_set *set = BPF_CORE_READ(task, cgroups);
	struct kernfs_node *node = BPF_CORE_READ(set, dfl_cgrp, kn);
	struct cgroup_subsys_state *css = NULL;

	if (kernfs_parent(node))
		return node;
	if (!bpf_core_enum_value_exists(enum cgroup_subsys_id, memory_cgrp_id))
		return node;
	bpf_probe_read_kernel(
		&css, sizeof(css),
		(void *)set + bpf_core_field_offset(struct css_set, subsys) +
			sizeof(css) * bpf_core_enum_value(enum cgroup_subsys_id, memory_cgrp_id));
	return css ? BPF_CORE_READ(css, cgroup, kn) : node;
}

struct environment_walk {
	__u64 at, end;
	struct process_record *record;
};

/* One string of the environment; stops at OTEL_SERVICE_NAME=, which stays in record->otel. */
static long environment_step(__u32 index, struct environment_walk *walk)
{
	struct process_record *record = walk->record;
	long length;

	if (walk->at >= walk->end)
		return 1;
	length = bpf_probe_read_user_str(record->otel, OTEL_VALUE_MAX, (void *)walk->at);
	if (length <= 0)
		goto none;
	if (load64(record->otel) == 0x5245535f4c45544fULL /* OTEL_SER */ &&
	    load64(record->otel + 8) == 0x4d414e5f45434956ULL /* VICE_NAM */ &&
	    record->otel[16] == 'E' && record->otel[17] == '=')
		return 1;
	/* a longer string is walked in pieces; none of them can pass for the name's start */
	walk->at += length == OTEL_VALUE_MAX ? length - 1 : length;
none:
	record->otel[0] = 0;
	return length <= 0;
}

/* Where a record is put together. Several programs may be at it on one CPU, one above the other. */
static __always_inline struct scratch *scratch_take(void)
{
	for (__u32 at = 0; at < SCRATCHES; at++) {
		__u32 index = at;
		struct scratch *scratch = bpf_map_lookup_elem(&pl_who_scratch, &index);

		if (scratch && !*(volatile __u32 *)&scratch->busy) {
			*(volatile __u32 *)&scratch->busy = 1;
			return scratch;
		}
	}
	return NULL;
}

/* What is known of a process, to user space. `current`: it is running. */
static __always_inline void process_tell(struct task_struct *task, __u32 index, __u32 tgid,
					 __u64 now_ns, bool current)
{
	struct scratch *scratch = scratch_take();
	struct environment_walk walk = {};
	struct process_record *record;

	if (!scratch) {
		count_loss(index, LOSS_RING_FULL); /* user space reads /proc instead */
		return;
	}
	record = &scratch->record;
	record->header.kind = RECORD_PROCESS;
	record->header.size = sizeof(*record);
	record->header.pid = tgid;
	record->header.time_ns = now_ns;
	record->index = index;
	bpf_probe_read_kernel_str(record->comm, sizeof(record->comm), task->comm);
	bpf_probe_read_kernel_str(record->executable, sizeof(record->executable),
				  BPF_CORE_READ(task, mm, exe_file, f_path.dentry, d_name.name));
	cgroup_names(task_cgroup_node(task), record);
	record->otel[0] = 0;
	if (current) {
		walk.record = record;
		walk.at = BPF_CORE_READ(task, mm, env_start);
		walk.end = BPF_CORE_READ(task, mm, env_end);
		bpf_loop(1024, environment_step, &walk, 0);
	}
	if (bpf_ringbuf_output(&pl_records, record, sizeof(*record), BPF_RB_NO_WAKEUP))
		count_loss(index, LOSS_RING_FULL);
	*(volatile __u32 *)&scratch->busy = 0;
}

/* Gives a process an index and tells user space of it. */
static __always_inline __u32 process_new(struct task_struct *task, __u32 tgid, bool current)
{
	struct process_slot *slot;
	__u32 *known, index = 0;

	if (bpf_map_pop_elem(&pl_process_free, &index)) {
		count_loss(PROCESS_UNKNOWN, LOSS_PROCESSES_FULL);
		return PROCESS_UNKNOWN;
	}
	slot = bpf_map_lookup_elem(&pl_processes, &index);
	if (!slot)
		return PROCESS_UNKNOWN;
	/* race: another thread of the process came first; its index is the one. */
	if (bpf_map_update_elem(&pl_process_of, &tgid, &index, BPF_NOEXIST)) {
		bpf_map_push_elem(&pl_process_free, &index, 0);
		known = bpf_map_lookup_elem(&pl_process_of, &tgid);
		return known ? *known : PROCESS_UNKNOWN;
	}
	slot->tgid = tgid;
	slot->seen_ns = bpf_ktime_get_ns();
	process_tell(task, index, tgid, slot->seen_ns, current);
	return index;
}

/* verifier: global, walked once. */
__weak __noinline int process_current(void)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	__u32 *index = bpf_map_lookup_elem(&pl_process_of, &tgid);

	return index ? *index : process_new((void *)bpf_get_current_task(), tgid, true);
}

/* kernel: bpf_loop since 5.17; before it user space reads the environment while it can. */
static __always_inline __u32 process_current_without_environment(void)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	__u32 *index = bpf_map_lookup_elem(&pl_process_of, &tgid);

	return index ? *index : process_new((void *)bpf_get_current_task(), tgid, false);
}

/* An index is not handed out again while a socket still carries it. */
static __always_inline void process_hold(__u32 process)
{
	struct process_slot *slot = bpf_map_lookup_elem(&pl_processes, &process);

	if (slot)
		atomic_add(&slot->sockets, 1);
}

static __always_inline void process_release(__u32 process)
{
	struct process_slot *slot = bpf_map_lookup_elem(&pl_processes, &process);

	if (slot)
		atomic_add(&slot->sockets, -1);
}

/* The key under which a process counts: its service, or itself until user space named it. */
static __always_inline __u32 service_of(__u32 process)
{
	struct process_slot *slot = bpf_map_lookup_elem(&pl_processes, &process);

	if (!slot)
		return 0;
	return slot->service ? slot->service : (SERVICE_PROVISIONAL | process);
}

#endif
