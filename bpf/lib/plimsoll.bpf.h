/* SPDX-License-Identifier: GPL-2.0-only */
/* What every BPF source includes first. */
#ifndef LIB_PLIMSOLL_BPF_H
#define LIB_PLIMSOLL_BPF_H

#include <vmlinux.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>

#include "lib/core_compat.bpf.h"

/* A relaxed add that the compiler cannot split; one locked instruction. */
#define atomic_add(pointer, amount) __sync_fetch_and_add(pointer, amount)

#define min(a, b) ((a) < (b) ? (a) : (b))

/* An unaligned load in one instruction (memcpy would become eight byte loads). */
static __always_inline __u64 load64(const void *at)
{
	return *(const volatile __u64 *)at;
}

#endif
