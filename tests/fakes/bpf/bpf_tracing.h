/* SPDX-License-Identifier: GPL-2.0-only */
/* Programs become functions with the arguments their hook would give them. */
#ifndef FAKES_BPF_TRACING_H
#define FAKES_BPF_TRACING_H

#define BPF_PROG(name, args...)	     name(unsigned long long *ctx, ##args)
#define BPF_KPROBE(name, args...)    name(struct pt_regs *ctx, ##args)
#define BPF_KRETPROBE(name, args...) name(struct pt_regs *ctx, ##args)

#endif
