/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Climbing a ladder: open the probe's object, switch on the programs of one
 * rung, load, attach; if that fails, throw it away and try the next. Decided by
 * trying, never by kernel version: configuration bits do not tell what a kernel
 * refuses.
 */
#ifndef KERNEL_LADDER_H
#define KERNEL_LADDER_H

#include <stdbool.h>
#include <stddef.h>

#include <linux/bpf.h>
#include <bpf/libbpf.h>

#include "kernel/maps.h"

#define RUNG_PROGRAMS_MAX 12
#define RUNG_REASON_MAX	  256
#define LADDER_RUNGS_MAX  4

/* One way to attach a probe. Lists end with NULL. */
struct rung {
	const char *name;
	const char *programs[RUNG_PROGRAMS_MAX];	 /* all must attach */
	const char *optional[RUNG_PROGRAMS_MAX / 2];	 /* where the kernel has the hook */
	const char *if_preempted[RUNG_PROGRAMS_MAX / 2]; /* where tasks preempt programs */
	const char *unused_maps[4];			 /* not created on this rung */
	/* A helper the kernel must have, asked for before anything is loaded; 0: none. */
	enum bpf_func_id needs_helper;
	const char *needs; /* what to call it: "bpf_loop (kernel 5.17)" */
};

struct ladder {
	const char *probe;	  /* "net/request" */
	const struct rung *rungs; /* best first, ends with a nameless one */
	const void *(*elf)(size_t *ret_size);
	/* Before load: sizes of maps, read-only knobs. May be NULL. */
	int (*configure)(void *context, struct bpf_object *object, const struct rung *rung);
	void *context;
};

struct attached {
	struct bpf_object *object;
	struct bpf_link *links[RUNG_PROGRAMS_MAX * 2];
	size_t link_count;
	const struct rung *rung;
	/* why each better rung was not taken, in the order of the ladder; "" where not tried */
	char reasons[LADDER_RUNGS_MAX][RUNG_REASON_MAX];
};

/*
 * Takes the best rung that works, or only `forced` if it is not NULL. 0, or the
 * negative errno of the last rung tried with its reason in ret_attached->reasons.
 * -EINVAL: no rung has the forced name.
 */
int ladder_climb(const struct ladder *ladder, const struct maps *maps, const char *forced,
		 struct attached *ret_attached);
void ladder_leave(struct attached *attached);

/* Tries one rung and lets go of it again: for doctor. */
int ladder_try(const struct ladder *ladder, const struct maps *maps, const struct rung *rung,
	       char *ret_reason, size_t size);

/* libbpf's own lines go to the debug log; call once before any other. */
void ladder_init_log(void);

/* Frees what was kept of the kernel's types; more climbing loads it again. */
void ladder_done(void);

#endif
