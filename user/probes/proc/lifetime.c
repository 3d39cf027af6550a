/* SPDX-License-Identifier: GPL-2.0-only */
/* proc/lifetime: its records belong to services/processes; nothing to do here but attach. */
#include "probes/probe.h"

#include "proc/lifetime.skel.h"

static const struct rung rungs[] = { { .name = "tp_btf",
				       .programs = { "process_exit", "process_exit_again",
						     "process_exec", "process_exec_again" } },
				     {} };

const struct probe_type proc_lifetime_probe = {
	.name = "proc/lifetime",
	.purpose = "processes that end or become another program",
	.rungs = rungs,
	.elf = lifetime_bpf__elf_bytes,
};
