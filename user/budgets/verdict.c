/* SPDX-License-Identifier: GPL-2.0-only */
#include "budgets/verdict.h"

#include <math.h>

#include "base/clock.h"

/* Percentile of a measure, 0 for the others. */
static unsigned int percentile_of(enum budget_measure measure)
{
	switch (measure) {
	case MEASURE_P50:
		return 50;
	case MEASURE_P95:
		return 95;
	case MEASURE_P99:
		return 99;
	default:
		return 0;
	}
}

static double measure_window(enum budget_measure measure, const struct window *window,
			     const struct bounds *durations)
{
	unsigned int percentile = percentile_of(measure);

	if (percentile)
		return window_quantile_ns(window, durations, percentile / 100.0) / NS_PER_MS;
	if (measure == MEASURE_ERROR_RATE)
		return window->requests ? (double)window->errors * 100 / (double)window->requests
					: NAN;
	return (double)window->requests / window->length_s;
}

static bool is_crossed(const struct budget_line *line, const struct window *window,
		       const struct bounds *durations, double value, double limit)
{
	unsigned int percentile = percentile_of(line->measure);
	uint64_t above;

	if (isnan(limit))
		return false;
	if (line->lower_is_worse)
		return value < limit;
	if (percentile && window_above(window, durations, limit * NS_PER_MS, &above))
		return above * 100 > (100 - percentile) * window->requests;
	return value > limit;
}

void verdict_reach(const struct budget_line *line, const struct window *window,
		   const struct bounds *durations, struct verdict *ret_verdict)
{
	const double limits[] = { line->target, line->warning, line->critical };
	double value = measure_window(line->measure, window, durations);
	bool crossed[3];
	unsigned int i;

	for (i = 0; i < 3; i++)
		crossed[i] = is_crossed(line, window, durations, value, limits[i]);
	/* Counts are exact, the value comes from buckets 4 % wide: it yields to them. */
	for (i = 0; i < 3 && !line->lower_is_worse; i++) {
		if (crossed[i] && !(value > limits[i]))
			value = nextafter(limits[i], INFINITY);
	}
	for (i = 0; i < 3 && !line->lower_is_worse; i++) {
		if (!crossed[i] && value > limits[i])
			value = limits[i];
	}
	ret_verdict->value = value;
	ret_verdict->raw = crossed[2]	? BUDGET_CRITICAL
			   : crossed[1] ? BUDGET_WARNING
					: BUDGET_WITHIN;
	ret_verdict->over_target = crossed[0] && ret_verdict->raw == BUDGET_WITHIN;
}

static bool has_held(const struct budget *budget, unsigned int level, uint64_t now_ns,
		     unsigned int seconds)
{
	return now_ns - budget->level_since_ns[level] >= seconds * NS_PER_S;
}

enum budget_state verdict_hold(struct budget *budget, enum budget_state raw, uint64_t now_ns)
{
	unsigned int hold_s = budget->line->hold_s;
	unsigned int recovery_s = hold_s > BUDGET_RECOVERY_S ? hold_s : BUDGET_RECOVERY_S;
	unsigned int state = budget->state;
	unsigned int level;

	for (level = BUDGET_WARNING; level <= BUDGET_CRITICAL; level++)
		if ((raw >= level) != (budget->raw >= level))
			budget->level_since_ns[level] = now_ns;
	if (raw != budget->raw)
		budget->raw_since_ns = now_ns;
	budget->raw = raw;

	for (level = BUDGET_WARNING; level <= BUDGET_CRITICAL; level++)
		if (raw >= level && state < level && has_held(budget, level, now_ns, hold_s))
			state = level;
	for (level = BUDGET_CRITICAL; level >= BUDGET_WARNING; level--)
		if (raw < level && state >= level && has_held(budget, level, now_ns, recovery_s))
			state = level - 1;
	return (enum budget_state)state;
}
