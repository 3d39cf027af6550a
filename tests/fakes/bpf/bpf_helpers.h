/* SPDX-License-Identifier: GPL-2.0-only */
/* What libbpf's header of this name gives a BPF source, for the host. */
#ifndef FAKES_BPF_HELPERS_H
#define FAKES_BPF_HELPERS_H

#include <vmlinux.h>

#include "fake_kernel.h"
#include "fake_maps.h"

#undef __always_inline
#undef __noinline
#undef __weak
#define SEC(name)
#define __uint(name, value)  int(*name)[value]
#define __type(name, value)  __typeof__(value) *name
#define __array(name, value) __typeof__(value) *name[]
#define __always_inline	     inline __attribute__((always_inline))
#define __noinline	     __attribute__((noinline))
#define __weak		     __attribute__((weak))
#define __hidden	     __attribute__((visibility("hidden")))
#define __ksym
#define __kconfig
#define barrier_var(variable) __asm__ volatile("" : "+r"(variable))

#endif
