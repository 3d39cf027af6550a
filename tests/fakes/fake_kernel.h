/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The rest of the kernel as BPF programs see it: a clock that stands still until a
 * test moves it, one task with its registers, user memory that can be read only
 * where a test says there is some, and a ring buffer that keeps what it is given.
 */
#ifndef FAKES_FAKE_KERNEL_H
#define FAKES_FAKE_KERNEL_H

#include <vmlinux.h>

#define FAKE_REGIONS 64
#define FAKE_RECORDS 4096

static __u64 fake_now_ns;
static struct pt_regs fake_regs;
static struct task_struct fake_task;
static __s64 fake_function_result; /* of the call a fexit program is attached to */

static struct {
	const __u8 *base;
	size_t length;
} fake_regions[FAKE_REGIONS];
static size_t fake_region_count;

static struct fake_record {
	void *bytes;
	size_t size;
} fake_records[FAKE_RECORDS];
static size_t fake_record_count;
static size_t fake_ring_bytes; /* room left */

static void fake_user_add(const void *base, size_t length)
{
	if (fake_region_count == FAKE_REGIONS)
		abort();
	fake_regions[fake_region_count].base = base;
	fake_regions[fake_region_count++].length = length;
}

static void fake_user_clear(void)
{
	fake_region_count = 0;
}

/* How many bytes can be read from `from` on. */
static size_t fake_user_readable(const void *from)
{
	__u64 at = (__u64)from;

	for (size_t i = 0; i < fake_region_count; i++) {
		__u64 base = (__u64)fake_regions[i].base;

		if (at >= base && at < base + fake_regions[i].length)
			return base + fake_regions[i].length - at;
	}
	return 0;
}

static long bpf_probe_read_user(void *into, __u32 size, const void *from)
{
	if (size > fake_user_readable(from)) {
		memset(into, 0, size);
		return -EFAULT;
	}
	memcpy(into, from, size);
	return 0;
}

static long fake_string_copy(char *into, __u32 size, const char *from, size_t readable)
{
	for (__u32 i = 0; i < size; i++) {
		if (i >= readable) {
			memset(into, 0, size);
			return -EFAULT;
		}
		into[i] = from[i];
		if (!from[i])
			return i + 1;
	}
	into[size - 1] = 0;
	return size;
}

static long bpf_probe_read_user_str(void *into, __u32 size, const void *from)
{
	return size ? fake_string_copy(into, size, from, fake_user_readable(from)) : 0;
}

/* Kernel memory is the test's own; only the first page is known not to be there. */
static long bpf_probe_read_kernel(void *into, __u32 size, const void *from)
{
	if ((__u64)from < 4096) {
		memset(into, 0, size);
		return -EFAULT;
	}
	memcpy(into, from, size);
	return 0;
}

static long bpf_probe_read_kernel_str(void *into, __u32 size, const void *from)
{
	return size ? fake_string_copy(into, size, from, (__u64)from < 4096 ? 0 : SIZE_MAX) : 0;
}

static __u64 bpf_ktime_get_ns(void)
{
	return fake_now_ns;
}

static __u64 bpf_ktime_get_boot_ns(void)
{
	return fake_now_ns;
}

static __u64 bpf_ktime_get_coarse_ns(void)
{
	return fake_now_ns;
}

static struct task_struct *bpf_get_current_task_btf(void)
{
	return &fake_task;
}

static __u64 bpf_get_current_task(void)
{
	return (__u64)&fake_task;
}

static long bpf_task_pt_regs(struct task_struct *task)
{
	return (long)task->fake_regs;
}

static __u64 bpf_get_current_pid_tgid(void)
{
	return (__u64)fake_task.tgid << 32 | (__u32)fake_task.pid;
}

static __u32 bpf_get_smp_processor_id(void)
{
	return 0;
}

static long bpf_get_func_ret(void *ctx, __u64 *ret_value)
{
	*ret_value = (__u64)fake_function_result;
	return 0;
}

static struct tcp_sock *bpf_skc_to_tcp_sock(void *sk)
{
	return sk;
}

static void *fake_ring_reserve(__u64 size)
{
	struct fake_record *record = &fake_records[fake_record_count];

	if (fake_record_count == FAKE_RECORDS || size > fake_ring_bytes)
		return NULL;
	record->bytes = malloc(size);
	if (!record->bytes)
		abort();
	memset(record->bytes, 0xa5, size); /* what an earlier record left there */
	record->size = size;
	fake_ring_bytes -= size;
	fake_record_count++;
	return record->bytes;
}

static void fake_ring_submit(void *bytes)
{
	/* one CPU: what is submitted is what was reserved last, or a record was forgotten */
	if (!fake_record_count || fake_records[fake_record_count - 1].bytes != bytes)
		abort();
}

static void fake_ring_discard(void *bytes)
{
	fake_ring_submit(bytes);
	fake_ring_bytes += fake_records[--fake_record_count].size;
	free(bytes);
}

static long fake_ring_output(const void *bytes, __u64 size)
{
	void *record = fake_ring_reserve(size);

	if (!record)
		return -EAGAIN;
	memcpy(record, bytes, size);
	return 0;
}

static void fake_ring_reset(void)
{
	while (fake_record_count)
		free(fake_records[--fake_record_count].bytes);
	fake_ring_bytes = 1 << 20;
}

#define bpf_ringbuf_reserve(map, size, flags)	    fake_ring_reserve(size)
#define bpf_ringbuf_submit(bytes, flags)	    fake_ring_submit(bytes)
#define bpf_ringbuf_discard(bytes, flags)	    fake_ring_discard(bytes)
#define bpf_ringbuf_output(map, bytes, size, flags) fake_ring_output(bytes, size)
#define bpf_ringbuf_query(map, flags)		    ((__u64)0)

/* The callback says 1 to stop; the loop's value is how often it was called. */
#define bpf_loop(count, callback, context, flags)                                 \
	({                                                                        \
		const __u32 fake_end = (count);                                   \
		long fake_calls = 0;                                              \
		while (fake_calls < fake_end && !callback(fake_calls++, context)) \
			;                                                         \
		fake_calls;                                                       \
	})

#define bpf_printk(...) ((void)0)

static void fake_kernel_reset(void)
{
	fake_ring_reset();
	fake_user_clear();
	memset(&fake_regs, 0, sizeof(fake_regs));
	memset(&fake_task, 0, sizeof(fake_task));
	fake_task.pid = fake_task.tgid = 4711;
	fake_task.fake_regs = &fake_regs;
	memcpy(fake_task.comm, "fake", 5);
	fake_now_ns = 1000000000ULL;
	fake_function_result = 0;
}

#endif
