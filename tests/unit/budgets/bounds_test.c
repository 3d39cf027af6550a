/* SPDX-License-Identifier: GPL-2.0-only */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "budgets/window.h"
#include "unit/budgets/fixture.h"

static struct fixture fixture;

static int stop(void **state)
{
	(void)state;
	fixture_stop(&fixture);
	return 0;
}

static double series_value(const char *family_name, const char *const *labels)
{
	struct family *family;

	family_for_each (fixture.store, family) {
		if (!strcmp(family->spec->name, family_name))
			return series_get(family, labels)->value;
	}
	fail_msg("no family %s", family_name);
	return NAN;
}

static void publishes_state_value_and_limits(void **state)
{
	const char *labels[] = { "api", "shop", "", "p95_response_time_ms", NULL };

	(void)state;
	fixture_line(&fixture, MEASURE_P95, 200, 300, 500);
	fixture_start(&fixture);
	fixture_requests(&fixture, 200, 900 * MS, 20);
	fixture_tick(&fixture);
	assert_true(series_value("plimsoll_budget_state", labels) == 2);
	assert_true(fabs(series_value("plimsoll_budget_value", labels) - 900) < 0.025 * 900);
	labels[4] = "critical";
	assert_true(series_value("plimsoll_budget_limit", labels) == 500);
	labels[4] = "target";
	assert_true(series_value("plimsoll_budget_limit", labels) == 200);
	fixture_ticks(&fixture, 30);
	assert_true(series_value("plimsoll_budget_state", labels) == 0);
	assert_true(isnan(series_value("plimsoll_budget_value", labels)));
	/* Idle, it does not bring back what was removed with its service. */
	series_remove_labelled(fixture.store, "service_name", "shop");
	fixture_ticks(&fixture, 5);
	assert_true(series_value("plimsoll_budget_limit", labels) == 0);
}

static void takes_its_series_along_when_freed(void **state)
{
	const char *labels[] = { "api", "shop", "", "p95_response_time_ms", "critical" };

	(void)state;
	fixture_line(&fixture, MEASURE_P95, 200, 300, 500);
	fixture_start(&fixture);
	fixture_requests(&fixture, 200, 900 * MS, 20);
	fixture_tick(&fixture);
	assert_true(series_value("plimsoll_budget_state", labels) == 2);
	budgets_free(fixture.budgets);
	fixture.budgets = NULL;
	assert_true(series_value("plimsoll_budget_state", labels) == 0);
	assert_true(series_value("plimsoll_budget_limit", labels) == 0);
}

static void views_tell_rate_percentiles_and_worst_state(void **state)
{
	struct service_view views[4];
	unsigned int i;

	(void)state;
	strcpy(fixture_line(&fixture, MEASURE_P95, 200, 300, 500)->endpoint, "/slow");
	fixture_start(&fixture);
	for (i = 0; i < 40; i++) {
		fixture_route(&fixture, "shop", "/", 200, 10 * MS, 18);
		fixture_route(&fixture, "shop", "/slow", 503, 900 * MS, 2);
		fixture_tick(&fixture);
	}
	fixture_route(&fixture, "bank", "/", 200, 10 * MS, 3);
	assert_int_equal(budgets_services(fixture.budgets, views, 1), 1);
	assert_int_equal(budgets_services(fixture.budgets, views, 4), 2);
	assert_string_equal(views[0].service, "shop");
	assert_int_equal(views[0].server_port, 8080);
	assert_int_equal(views[0].requests, 600);
	assert_true(views[0].rate == 20.0);
	assert_true(fabs(views[0].p50_ms - 10) < 0.25);
	assert_true(fabs(views[0].p99_ms - 900) < 22.5);
	assert_true(views[0].error_percent == 10.0);
	assert_int_equal(views[0].state, BUDGET_CRITICAL);
	assert_true(views[1].rate == 3.0);
	assert_int_equal(views[1].state, BUDGET_WITHIN);
	fixture_ticks(&fixture, 31);
	assert_int_equal(budgets_services(fixture.budgets, views, 4), 2);
	assert_true(isnan(views[1].rate));
	assert_true(isnan(views[1].p95_ms));
	assert_true(isnan(views[1].error_percent));
}

static void forgets_services_that_stay_away(void **state)
{
	const char *labels[] = { "api", "shop", "", "throughput_requests_per_second", NULL };
	struct service_view view;
	unsigned int i;

	(void)state;
	fixture_line(&fixture, MEASURE_THROUGHPUT, 100, 50, 25);
	fixture_start(&fixture);
	for (i = 0; i < 35; i++) {
		fixture_requests(&fixture, 200, MS, 10);
		fixture_tick(&fixture);
	}
	assert_int_equal(fixture_budget(&fixture)->state, BUDGET_CRITICAL);
	fixture_ticks(&fixture, BUDGET_FORGET_S - 1);
	fixture_route(&fixture, "bank", "/", 200, MS, 1);
	assert_int_equal(fixture.told_count, 1);
	fixture_tick(&fixture);
	assert_int_equal(fixture.told_count, 2);
	assert_int_equal(fixture_last(&fixture)->to, BUDGET_WITHIN);
	assert_false(fixture_last(&fixture)->has_value);
	assert_string_equal(fixture_budget(&fixture)->service, "bank");
	assert_null(fixture_budget(&fixture)->next);
	assert_int_equal(budgets_services(fixture.budgets, &view, 1), 1);
	assert_string_equal(view.service, "bank");
	assert_true(series_value("plimsoll_budget_state", labels) == 0);
	fixture_requests(&fixture, 200, MS, 10);
	fixture_tick(&fixture);
	assert_string_equal(fixture_budget(&fixture)->next->service, "shop");
}

static void stays_within_its_limits_and_counts_the_rest(void **state)
{
	const struct budget *budget;
	struct service_view *views = calloc(3 * WINDOWS_MAX, sizeof(*views));
	size_t budgets = 0;
	unsigned int i;
	char name[32];

	(void)state;
	fixture_line(&fixture, MEASURE_P50, 200, 300, 500);
	fixture_line(&fixture, MEASURE_P95, 200, 300, 500);
	fixture_line(&fixture, MEASURE_P99, 200, 300, 500);
	fixture_start(&fixture);
	for (i = 0; i < 3 * WINDOWS_MAX; i++) {
		snprintf(name, sizeof(name), "service-%u", i);
		fixture_route(&fixture, name, "/", 200, MS, 2);
	}
	fixture_tick(&fixture);
	for (budget = budgets_first(fixture.budgets); budget; budget = budget->next)
		budgets++;
	assert_int_equal(budgets, BUDGETS_MAX);
	assert_int_equal(budgets_services(fixture.budgets, views, 3 * WINDOWS_MAX), WINDOWS_MAX);
	assert_true(series_value("plimsoll_budget_unjudged_requests_total",
				 (const char *[]){ NULL }) == 2.0 * 2 * WINDOWS_MAX);
	free(views);
}

static void asks_for_details_above_the_lowest_tail_line(void **state)
{
	(void)state;
	fixture_line(&fixture, MEASURE_P50, 50, 100, 200);
	fixture_line(&fixture, MEASURE_P95, 200, 300, 500);
	fixture_line(&fixture, MEASURE_ERROR_RATE, 0.1, 1, 5);
	strcpy(fixture_line(&fixture, MEASURE_P95, 20, 40, 50)->endpoint, "/health");
	fixture_line(&fixture, MEASURE_P50, 5, 7, 9)->role = ROLE_CLIENT;
	fixture_start(&fixture);
	assert_int_equal(budgets_detail_threshold_ns(fixture.budgets, "a", NULL, ROLE_SERVER),
			 300 * MS);
	assert_int_equal(budgets_detail_threshold_ns(fixture.budgets, "a", "/x", ROLE_SERVER),
			 300 * MS);
	assert_int_equal(budgets_detail_threshold_ns(fixture.budgets, "a", "/health", ROLE_SERVER),
			 40 * MS);
	assert_int_equal(budgets_detail_threshold_ns(fixture.budgets, "a", "", ROLE_CLIENT),
			 7 * MS);
	assert_true(budgets_detail_threshold_ns(fixture.budgets, "a", "", ROLE_UNKNOWN) ==
		    UINT64_MAX);
}

static void survives_ticks_that_jump_jitter_or_go_back(void **state)
{
	const uint64_t start_ns = 77 * NS_PER_S + 999999999;
	unsigned int i;

	(void)state;
	fixture_line(&fixture, MEASURE_P95, 200, 300, 500);
	fixture_start(&fixture);
	for (i = 0; i < 60; i++) {
		uint64_t jitter_ns = ((i * 37 + 5) % 11) * 20 * MS;

		fixture_requests(&fixture, 200, MS, 20);
		budgets_tick(fixture.budgets, start_ns + i * NS_PER_S + jitter_ns);
	}
	assert_int_equal(fixture_budget(&fixture)->window->requests, 600);
	budgets_tick(fixture.budgets, 1);
	assert_int_equal(fixture_budget(&fixture)->window->requests, 600);
	budgets_tick(fixture.budgets, start_ns + 90000 * NS_PER_S);
	assert_int_equal(fixture.told_count, 0);
	budgets_tick(fixture.budgets, UINT64_MAX - 1);
}

static void ignores_nameless_and_empty_observations(void **state)
{
	struct request_delta delta = { .role = ROLE_SERVER, .duration = { .count = 1 } };
	struct request_detail detail = { .role = (enum role)99, .service = "shop" };

	(void)state;
	fixture_line(&fixture, MEASURE_P95, 200, 300, 500);
	strcpy(fixture_line(&fixture, MEASURE_P95, 200, 300, 500)->endpoint, "/x");
	fixture_start(&fixture);
	budgets_requests(fixture.budgets, &delta);
	delta.service = "shop";
	delta.role = (enum role)77;
	budgets_requests(fixture.budgets, &delta);
	delta.role = ROLE_SERVER;
	delta.duration.count = 0;
	budgets_requests(fixture.budgets, &delta);
	budgets_detail(fixture.budgets, &detail);
	assert_null(budgets_first(fixture.budgets));
	delta.duration.count = 20;
	budgets_requests(fixture.budgets, &delta);
	fixture_tick(&fixture);
	assert_true(isnan(fixture_budget(&fixture)->value));
	assert_int_equal(fixture.told_count, 0);
	budgets_free(NULL);
}

#define TEST(name) cmocka_unit_test_teardown(name, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(publishes_state_value_and_limits),
		TEST(takes_its_series_along_when_freed),
		TEST(views_tell_rate_percentiles_and_worst_state),
		TEST(forgets_services_that_stay_away),
		TEST(stays_within_its_limits_and_counts_the_rest),
		TEST(asks_for_details_above_the_lowest_tail_line),
		TEST(survives_ticks_that_jump_jitter_or_go_back),
		TEST(ignores_nameless_and_empty_observations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
