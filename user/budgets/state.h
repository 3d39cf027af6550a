/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What budgets.c (who is judged, on what requests) and tick.c (the verdict once
 * a second) share. Private to user/budgets.
 */
#ifndef BUDGETS_STATE_H
#define BUDGETS_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/hashmap.h"
#include "budgets/budgets.h"
#include "budgets/selection.h"
#include "budgets/window.h"

#define SECOND_ORIGIN (WINDOW_SECONDS_MAX + 1) /* so that no window reaches below 0 */

struct budgets {
	const struct config *config; /* borrowed */
	struct series_store *store;  /* borrowed */
	void (*changed)(void *context, const struct budget_change *change);
	void *context;
	struct family *state, *value, *limit, *unjudged;

	char (*endpoints)[SELECTION_ENDPOINT_MAX]; /* of each line, normalised */
	struct hashmap endpoint_names;		   /* into endpoints */
	struct hashmap services;
	struct hashmap by_key;
	struct selection *selections, *last_selection;
	struct budget *first, *last;
	size_t budget_count, window_count;
	struct window_memory memory;
	bool limit_logged;

	bool started;
	uint64_t origin_ns, now_ns; /* first and latest tick */
	uint64_t second;	    /* of the latest tick */
};

/* Takes it out of the maps and frees it; the caller has taken it out of the list. */
void state_free_selection(struct budgets *budgets, struct selection *selection);

/* Declares the families of budgets_tick(). 0 or -ENOMEM. */
int tick_declare(struct budgets *budgets);

/* Takes the series of a budget out of the store. */
void tick_unpublish(struct budgets *budgets, const struct budget *budget);

#endif
