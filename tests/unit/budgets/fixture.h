/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A harbour for budgets: a store, a config of a few lines, a clock that only
 * moves when told, and a log of the changes that were told. The includer has
 * included cmocka.
 */
#ifndef TESTS_UNIT_BUDGETS_FIXTURE_H
#define TESTS_UNIT_BUDGETS_FIXTURE_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "budgets/budgets.h"

#define FIXTURE_LINES	16
#define FIXTURE_CHANGES 64
#define MS		NS_PER_MS

struct told {
	enum budget_state from, to;
	enum budget_measure measure;
	char service[64];
	uint64_t requests;
	bool has_value;
	double value, completeness;
	size_t slowest_count;
	struct budget_evidence slowest[BUDGET_DETAILS_MAX];
	unsigned int second;
};

struct fixture {
	struct budget_line lines[FIXTURE_LINES];
	struct config config;
	struct series_store *store;
	struct budgets *budgets;
	struct told told[FIXTURE_CHANGES];
	size_t told_count;
	unsigned int second;
};

static inline void fixture_changed(void *context, const struct budget_change *change)
{
	struct fixture *fixture = context;
	struct told *told = &fixture->told[fixture->told_count++ % FIXTURE_CHANGES];

	memset(told, 0, sizeof(*told));
	told->from = change->from;
	told->to = change->to;
	told->measure = change->budget->line->measure;
	strcpy(told->service, change->budget->service);
	told->requests = change->requests;
	told->has_value = change->budget->has_value;
	told->value = change->budget->value;
	told->completeness = change->budget->completeness;
	told->slowest_count = change->slowest_count;
	if (change->slowest_count)
		memcpy(told->slowest, change->slowest,
		       change->slowest_count * sizeof(told->slowest[0]));
	told->second = fixture->second;
}

/* A line with a 30 s window, judged from the tenth request on, at once. */
static inline struct budget_line *fixture_line(struct fixture *fixture, enum budget_measure measure,
					       double target, double warning, double critical)
{
	struct budget_line *line = &fixture->lines[fixture->config.budget_count++];

	strcpy(line->name, "api");
	strcpy(line->service, "*");
	line->role = ROLE_SERVER;
	line->measure = measure;
	line->target = target;
	line->warning = warning;
	line->critical = critical;
	line->lower_is_worse = target > critical;
	line->window_s = 30;
	line->least_requests = 10;
	return line;
}

static inline void fixture_start(struct fixture *fixture)
{
	uint64_t thresholds[FIXTURE_LINES * 3];
	size_t count;

	fixture->config.budgets = fixture->lines;
	fixture->store = series_store_new(10000);
	assert_non_null(fixture->store);
	count = config_thresholds_ns(&fixture->config, thresholds, FIXTURE_LINES * 3);
	bounds_init_durations(&fixture->store->durations, thresholds, (unsigned int)count, NULL);
	fixture->budgets = budgets_new(&fixture->config, fixture->store, fixture_changed, fixture);
	assert_non_null(fixture->budgets);
}

static inline void fixture_stop(struct fixture *fixture)
{
	budgets_free(fixture->budgets);
	series_store_free(fixture->store);
	memset(fixture, 0, sizeof(*fixture));
}

static inline void fixture_fill(const struct bounds *bounds, uint64_t duration_ns, uint32_t count,
				uint32_t classic[BOUND_BUCKETS], uint32_t exp[EXP_BUCKETS],
				struct histogram_delta *ret_delta)
{
	unsigned int bound = 0;
	unsigned int bucket = histogram_bucket_of_ns(duration_ns);

	while (bound < bounds->count && duration_ns > bounds->upper[bound])
		bound++;
	memset(classic, 0, BOUND_BUCKETS * sizeof(*classic));
	memset(exp, 0, EXP_BUCKETS * sizeof(*exp));
	classic[bound] = count;
	exp[bucket] = count;
	*ret_delta = (struct histogram_delta){ .count = count,
					       .sum = duration_ns * count,
					       .classic = classic,
					       .exp = exp,
					       .exp_low = (uint16_t)bucket,
					       .exp_high = (uint16_t)bucket };
}

static inline void fixture_route(struct fixture *fixture, const char *service, const char *route,
				 uint16_t status, uint64_t duration_ns, uint32_t count)
{
	uint32_t classic[BOUND_BUCKETS], exp[EXP_BUCKETS];
	struct request_delta delta = { .service = service,
				       .role = ROLE_SERVER,
				       .server_port = 8080,
				       .method = "GET",
				       .route = route,
				       .status = status,
				       .error = "" };

	fixture_fill(&fixture->store->durations, duration_ns, count, classic, exp, &delta.duration);
	budgets_requests(fixture->budgets, &delta);
}

static inline void fixture_requests(struct fixture *fixture, uint16_t status, uint64_t duration_ns,
				    uint32_t count)
{
	fixture_route(fixture, "shop", "/", status, duration_ns, count);
}

static inline void fixture_detail(struct fixture *fixture, uint16_t status, uint64_t duration_ns)
{
	struct request_detail detail = { .wall_ns = 1736782245 * NS_PER_S,
					 .service = "shop",
					 .role = ROLE_SERVER,
					 .server_port = 8080,
					 .method = "GET",
					 .path = "/cart/17",
					 .route = "/cart/{id}",
					 .status = status,
					 .duration_ns = duration_ns,
					 .pid = 4711 };

	budgets_detail(fixture->budgets, &detail);
}

static inline void fixture_tick(struct fixture *fixture)
{
	fixture->second++;
	budgets_tick(fixture->budgets, 1000 * NS_PER_S + fixture->second * NS_PER_S);
}

static inline void fixture_ticks(struct fixture *fixture, unsigned int count)
{
	while (count--)
		fixture_tick(fixture);
}

static inline const struct budget *fixture_budget(const struct fixture *fixture)
{
	const struct budget *budget = budgets_first(fixture->budgets);

	assert_non_null(budget);
	return budget;
}

static inline const struct told *fixture_last(const struct fixture *fixture)
{
	assert_true(fixture->told_count > 0);
	return &fixture->told[(fixture->told_count - 1) % FIXTURE_CHANGES];
}

#endif
