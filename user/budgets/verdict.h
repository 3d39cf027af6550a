/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * From a window to a state, in two steps without side effects elsewhere: what
 * this second says (raw), and what the hold times make of it (state).
 */
#ifndef BUDGETS_VERDICT_H
#define BUDGETS_VERDICT_H

#include <stdbool.h>

#include "budgets/budgets.h"
#include "budgets/window.h"

struct verdict {
	double value; /* on the side of each line that the counts say */
	bool over_target;
	enum budget_state raw;
};

/* The window must hold a request, but for throughput. */
void verdict_reach(const struct budget_line *line, const struct window *window,
		   const struct bounds *durations, struct verdict *ret_verdict);

/* Sets raw and its times, returns the state that follows from them. */
enum budget_state verdict_hold(struct budget *budget, enum budget_state raw, uint64_t now_ns);

#endif
