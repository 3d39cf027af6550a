/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The slowest detail records of a window, kept as proof for whoever reads an
 * alert. Bounded: a record that is faster than all kept ones is dropped, and
 * records leave with the second they came in.
 */
#ifndef BUDGETS_EVIDENCE_H
#define BUDGETS_EVIDENCE_H

#include <stddef.h>
#include <stdint.h>

#include "budgets/budgets.h"

struct evidence {
	size_t count;
	uint64_t seconds[BUDGET_DETAILS_MAX];		  /* when each came in */
	struct budget_evidence items[BUDGET_DETAILS_MAX]; /* slowest first */
};

/* Copies what is kept; `second` counts the budgets' ticks. */
void evidence_add(struct evidence *evidence, const struct request_detail *detail, uint64_t second);

/* Drops what came in before `oldest_second`. */
void evidence_expire(struct evidence *evidence, uint64_t oldest_second);

#endif
