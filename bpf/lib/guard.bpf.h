/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kernel skips a program that is hit while it is already running on that CPU. It happens when
 * a program in a task is interrupted and its hook is hit again before it goes on:
 *
 * - by a softirq. Hooks that both meet (changes of a socket's state) get the program twice: the
 *   second is hit even if the first is not, and finds nothing left to do if it was.
 * - by another task, on kernels that preempt themselves. The guard keeps the task on the CPU for as
 *   long as the program runs; what is left is the few instructions around it.
 *
 * What is skipped all the same is counted by the kernel: plimsoll_program_misses_total.
 */
#ifndef LIB_GUARD_BPF_H
#define LIB_GUARD_BPF_H

#include "lib/plimsoll.bpf.h"

/* kernel: since 6.10 (commit fc7566ad0a82); around calls of global functions since 6.15. */
extern void bpf_preempt_disable(void) __ksym __weak;
extern void bpf_preempt_enable(void) __ksym __weak;

/* Set by user/kernel/ladder.c where the kernel takes it. */
const volatile __u8 guard_is_usable SEC(".rodata.guard") = 0;

/* The value of `handler`, worked out without being preempted. */
#define guarded(handler)                       \
	({                                     \
		int guarded_result;            \
                                               \
		if (guard_is_usable)           \
			bpf_preempt_disable(); \
		guarded_result = (handler);    \
		if (guard_is_usable)           \
			bpf_preempt_enable();  \
		guarded_result;                \
	})

#endif
