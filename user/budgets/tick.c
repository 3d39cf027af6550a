/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "budgets/budgets.h"
#include "budgets/state.h"
#include "budgets/verdict.h"

static const struct series_spec state_spec = {
	.name = "plimsoll_budget_state",
	.kind = SERIES_GAUGE,
	.labels = { "budget", "service_name", "endpoint", "measure" },
	.help = "State of a budget: 0 within, 1 over the warning line, 2 over the critical line.",
};

static const struct series_spec value_spec = {
	.name = "plimsoll_budget_value",
	.kind = SERIES_GAUGE,
	.labels = { "budget", "service_name", "endpoint", "measure" },
	.help = "What the budget measured in its window, in the unit its measure names; "
		"NaN without a verdict.",
};

static const struct series_spec limit_spec = {
	.name = "plimsoll_budget_limit",
	.kind = SERIES_GAUGE,
	.labels = { "budget", "service_name", "endpoint", "measure", "line" },
	.help = "The lines drawn: target, warning and critical, in the unit of the measure.",
};

int tick_declare(struct budgets *budgets)
{
	budgets->state = series_family(budgets->store, &state_spec);
	budgets->value = series_family(budgets->store, &value_spec);
	budgets->limit = series_family(budgets->store, &limit_spec);
	return budgets->state && budgets->value && budgets->limit ? 0 : -ENOMEM;
}

static void set_series(struct family *family, const char *const *labels, double value)
{
	struct series *series = series_get(family, labels);

	/* The overflow series stands for many budgets: no one value would be true of it. */
	if (series && !series->is_other)
		series_set(series, value);
}

static void publish(struct budgets *budgets, const struct budget *budget)
{
	const struct budget_line *line = budget->line;
	const char *const names[] = { "target", "warning", "critical" };
	const double limits[] = { line->target, line->warning, line->critical };
	const char *labels[] = { line->name, budget->service, line->endpoint,
				 budget_measure_name(line->measure), NULL };
	unsigned int i;

	set_series(budgets->state, labels, budget->state);
	set_series(budgets->value, labels, budget->has_value ? budget->value : NAN);
	for (i = 0; i < 3; i++) {
		if (isnan(limits[i]))
			continue;
		labels[4] = names[i];
		set_series(budgets->limit, labels, limits[i]);
	}
}

static void remove_one(struct family *family, const char *const *labels)
{
	struct series *series = series_get(family, labels);

	if (series && !series->is_other)
		series_remove(series);
}

void tick_unpublish(struct budgets *budgets, const struct budget *budget)
{
	const char *const names[] = { "target", "warning", "critical" };
	const char *labels[] = { budget->line->name, budget->service, budget->line->endpoint,
				 budget_measure_name(budget->line->measure), NULL };
	unsigned int i;

	remove_one(budgets->state, labels);
	remove_one(budgets->value, labels);
	for (i = 0; i < 3; i++) {
		labels[4] = names[i];
		remove_one(budgets->limit, labels);
	}
}

static void change_state(struct budgets *budgets, struct budget *budget, enum budget_state to)
{
	const struct evidence *evidence = budget->line->measure == MEASURE_ERROR_RATE
						  ? budget->window->failed
						  : budget->window->slowest;
	struct budget_change change = {
		.budget = budget,
		.from = budget->state,
		.to = to,
		.slowest = evidence ? evidence->items : NULL,
		.slowest_count = evidence ? evidence->count : 0,
		.requests = budget->window->requests,
	};

	budget->state = to;
	if (budgets->changed)
		budgets->changed(budgets->context, &change);
}

static bool can_judge(const struct budgets *budgets, struct budget *budget)
{
	unsigned int least = budget->line->least_requests ? budget->line->least_requests : 1;
	const struct window *window = budget->window;

	if (budget->line->measure != MEASURE_THROUGHPUT)
		return window->requests >= least;
	if (window->requests >= least)
		budget->armed = true;
	return budget->armed &&
	       budgets->second - budget->selection->first_second >= window->length_s;
}

/* Without a verdict: has the evidence of the last one left the window? */
static bool has_lapsed(const struct budgets *budgets, const struct budget *budget)
{
	return !budget->window->requests ||
	       budgets->now_ns - budget->judged_ns >= budget->window->length_s * NS_PER_S;
}

static void settle_within(struct budget *budget, uint64_t now_ns)
{
	if (budget->raw != BUDGET_WITHIN)
		budget->raw_since_ns = now_ns;
	budget->raw = BUDGET_WITHIN;
	budget->level_since_ns[BUDGET_WARNING] = now_ns;
	budget->level_since_ns[BUDGET_CRITICAL] = now_ns;
}

static void judge(struct budgets *budgets, struct budget *budget)
{
	struct judged_service *service = budget->selection->service;
	enum role role = budget->selection->role;
	enum budget_state state = budget->state;
	bool had_value = budget->has_value;
	struct verdict verdict;

	budget->completeness = service->completeness;
	budget->has_value = can_judge(budgets, budget);
	if (budget->has_value) {
		verdict_reach(budget->line, budget->window, &budgets->store->durations, &verdict);
		budget->value = verdict.value;
		budget->over_target = verdict.over_target;
		budget->judged_ns = budgets->now_ns;
		state = verdict_hold(budget, verdict.raw, budgets->now_ns);
	} else {
		budget->value = NAN;
		budget->over_target = false;
		if (has_lapsed(budgets, budget)) {
			settle_within(budget, budgets->now_ns);
			state = BUDGET_WITHIN;
		}
	}
	if (state > service->worst[role])
		service->worst[role] = state;
	service->over_target[role] |= budget->over_target;
	/* Idle budgets leave their series alone, so that a service that is gone can lose them. */
	if (budget->window->requests || had_value || budget->has_value || state != budget->state) {
		enum budget_state from = budget->state;

		if (state != from)
			change_state(budgets, budget, state);
		publish(budgets, budget);
	}
}

static bool is_forgotten(const struct budgets *budgets, const struct selection *selection)
{
	const struct window *window;

	if (budgets->second - selection->active_second < BUDGET_FORGET_S)
		return false;
	for (window = selection->windows; window; window = window->next)
		if (window->requests)
			return false;
	return true;
}

static void forget_budgets(struct budgets *budgets)
{
	struct budget **link = &budgets->first;
	struct budget *budget;

	budgets->last = NULL;
	while ((budget = *link) != NULL) {
		if (!is_forgotten(budgets, budget->selection)) {
			budgets->last = budget;
			link = &budget->next;
			continue;
		}
		budget->has_value = false;
		budget->value = NAN;
		if (budget->state != BUDGET_WITHIN)
			change_state(budgets, budget, BUDGET_WITHIN);
		tick_unpublish(budgets, budget);
		*link = budget->next;
		budgets->budget_count--;
		free(budget);
	}
}

static void forget_idle(struct budgets *budgets)
{
	struct selection **link = &budgets->selections;
	struct selection *selection;
	bool any = false;

	for (selection = budgets->selections; selection && !any; selection = selection->next)
		any = is_forgotten(budgets, selection);
	if (!any)
		return;
	forget_budgets(budgets);
	budgets->last_selection = NULL;
	while ((selection = *link) != NULL) {
		if (is_forgotten(budgets, selection)) {
			*link = selection->next;
			state_free_selection(budgets, selection);
		} else {
			budgets->last_selection = selection;
			link = &selection->next;
		}
	}
}

void budgets_tick(struct budgets *budgets, uint64_t monotonic_ns)
{
	struct judged_service *service;
	struct selection *selection;
	struct window *window;
	struct budget *budget;
	size_t cursor;

	if (!budgets->started) {
		budgets->started = true;
		budgets->origin_ns = monotonic_ns;
		budgets->now_ns = monotonic_ns;
	}
	if (monotonic_ns < budgets->now_ns)
		return;
	budgets->now_ns = monotonic_ns;
	/* Rounded, so that a timer that fires a little early or late still steps by one. */
	budgets->second =
		SECOND_ORIGIN + (monotonic_ns - budgets->origin_ns + NS_PER_S / 2) / NS_PER_S;

	for (selection = budgets->selections; selection; selection = selection->next)
		for (window = selection->windows; window; window = window->next)
			window_tick(window, budgets->second);
	hashmap_for_each (&budgets->services, cursor, service) {
		memset(service->worst, 0, sizeof(service->worst));
		memset(service->over_target, 0, sizeof(service->over_target));
	}
	for (budget = budgets->first; budget; budget = budget->next)
		judge(budgets, budget);
	forget_idle(budgets);
}
