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

static void tells_a_breach_at_the_tick_after_the_tenth_slow_request(void **state)
{
	unsigned int i;

	(void)state;
	fixture_line(&fixture, MEASURE_P95, 200, 300, 500);
	fixture_start(&fixture);
	fixture_tick(&fixture);
	for (i = 0; i < 9; i++) {
		fixture_requests(&fixture, 200, 812 * MS, 1);
		fixture_tick(&fixture);
		assert_int_equal(fixture.told_count, 0);
		assert_false(fixture_budget(&fixture)->has_value);
	}
	fixture_requests(&fixture, 200, 812 * MS, 1);
	assert_int_equal(fixture.told_count, 0);
	fixture_tick(&fixture);
	assert_int_equal(fixture.told_count, 1);
	assert_int_equal(fixture.told[0].from, BUDGET_WITHIN);
	assert_int_equal(fixture.told[0].to, BUDGET_CRITICAL);
	assert_int_equal(fixture.told[0].requests, 10);
	assert_true(fabs(fixture.told[0].value - 812) < 0.025 * 812);
}

static void decides_a_percentile_by_exact_counts(void **state)
{
	(void)state;
	fixture_line(&fixture, MEASURE_P95, 200, 300, 500);
	fixture_start(&fixture);
	/* 5 % above the line is not more than 5 %, however close the rest is to it. */
	fixture_requests(&fixture, 200, 500 * MS, 190);
	fixture_requests(&fixture, 200, 500 * MS + 1, 10);
	fixture_tick(&fixture);
	assert_int_equal(fixture_budget(&fixture)->state, BUDGET_WARNING);
	assert_true(fixture_budget(&fixture)->value <= 500);
	assert_true(fixture_budget(&fixture)->value > 300);
	fixture_requests(&fixture, 200, 500 * MS + 1, 1);
	fixture_tick(&fixture);
	assert_int_equal(fixture_budget(&fixture)->state, BUDGET_CRITICAL);
	assert_true(fixture_budget(&fixture)->value > 500);
	assert_true(fixture_budget(&fixture)->value < 513);
}

static void the_value_never_contradicts_the_verdict(void **state)
{
	unsigned int line_ms, side;

	(void)state;
	/* 35 lines over several buckets: the middle of the bucket lies on either side of some. */
	for (line_ms = 101; line_ms < 136; line_ms++) {
		for (side = 0; side < 2; side++) {
			fixture_line(&fixture, MEASURE_P95, NAN, line_ms, NAN);
			fixture_start(&fixture);
			fixture_requests(&fixture, 200, line_ms * MS + side, 20);
			fixture_tick(&fixture);
			assert_int_equal(fixture_budget(&fixture)->state, side);
			assert_int_equal(fixture_budget(&fixture)->value > line_ms, side);
			fixture_stop(&fixture);
		}
	}
	fixture_start(&fixture);
}

static void judges_the_median_and_the_99th_by_their_own_share(void **state)
{
	(void)state;
	fixture_line(&fixture, MEASURE_P50, 50, 100, 200);
	fixture_line(&fixture, MEASURE_P99, 200, 300, 500);
	fixture_start(&fixture);
	fixture_requests(&fixture, 200, 10 * MS, 100);
	fixture_requests(&fixture, 200, 900 * MS, 1);
	fixture_tick(&fixture);
	assert_int_equal(fixture.told_count, 0);
	fixture_requests(&fixture, 200, 900 * MS, 1);
	fixture_tick(&fixture);
	assert_int_equal(fixture.told_count, 1);
	assert_int_equal(fixture_last(&fixture)->measure, MEASURE_P99);
	fixture_requests(&fixture, 200, 150 * MS, 98);
	fixture_tick(&fixture);
	assert_int_equal(fixture.told_count, 1);
	fixture_requests(&fixture, 200, 150 * MS, 1);
	fixture_tick(&fixture);
	assert_int_equal(fixture.told_count, 2);
	assert_int_equal(fixture_last(&fixture)->measure, MEASURE_P50);
	assert_int_equal(fixture_last(&fixture)->to, BUDGET_WARNING);
}

static void between_target_and_warning_is_within_but_shown(void **state)
{
	(void)state;
	fixture_line(&fixture, MEASURE_P95, 200, 300, 500);
	fixture_start(&fixture);
	fixture_requests(&fixture, 200, 250 * MS, 20);
	fixture_tick(&fixture);
	assert_int_equal(fixture_budget(&fixture)->state, BUDGET_WITHIN);
	assert_true(fixture_budget(&fixture)->over_target);
	assert_int_equal(fixture.told_count, 0);
}

static void works_with_lines_left_out(void **state)
{
	(void)state;
	fixture_line(&fixture, MEASURE_P95, 200, 300, NAN);
	fixture_line(&fixture, MEASURE_P95, NAN, NAN, 500)->lower_is_worse = false;
	fixture_start(&fixture);
	fixture_requests(&fixture, 200, 5000 * MS, 20);
	fixture_tick(&fixture);
	assert_int_equal(fixture.told_count, 2);
	assert_int_equal(fixture.told[0].to, BUDGET_WARNING);
	assert_int_equal(fixture.told[1].to, BUDGET_CRITICAL);
}

static void counts_5xx_and_no_response_as_errors(void **state)
{
	(void)state;
	fixture_line(&fixture, MEASURE_ERROR_RATE, 0.1, 1, 5);
	fixture_start(&fixture);
	fixture_requests(&fixture, 200, MS, 89);
	fixture_requests(&fixture, 404, MS, 5);
	fixture_requests(&fixture, 499, MS, 1);
	fixture_requests(&fixture, 500, MS, 2);
	fixture_requests(&fixture, 599, MS, 2);
	fixture_requests(&fixture, 0, MS, 1);
	fixture_tick(&fixture);
	/* Exactly 5 of 100: on the critical line, not over it. */
	assert_true(fixture_budget(&fixture)->value == 5.0);
	assert_int_equal(fixture_budget(&fixture)->state, BUDGET_WARNING);
	fixture_requests(&fixture, 0, MS, 1);
	fixture_tick(&fixture);
	assert_int_equal(fixture_budget(&fixture)->state, BUDGET_CRITICAL);
}

static void recovers_when_the_slow_requests_have_left_the_window(void **state)
{
	unsigned int i;

	(void)state;
	fixture_line(&fixture, MEASURE_P95, 200, 300, 500);
	fixture_start(&fixture);
	fixture_requests(&fixture, 200, 900 * MS, 100);
	fixture_tick(&fixture);
	assert_int_equal(fixture.told_count, 1);
	for (i = 1; i < 30; i++) {
		fixture_requests(&fixture, 200, 10 * MS, 10);
		fixture_tick(&fixture);
		assert_int_equal(fixture_budget(&fixture)->raw, BUDGET_CRITICAL);
	}
	/* The 31st tick: the slow second is out; 5 s later it counts as recovered. */
	for (i = 0; i < BUDGET_RECOVERY_S; i++) {
		fixture_requests(&fixture, 200, 10 * MS, 10);
		fixture_tick(&fixture);
		assert_int_equal(fixture_budget(&fixture)->raw, BUDGET_WITHIN);
		assert_int_equal(fixture_budget(&fixture)->state, BUDGET_CRITICAL);
	}
	fixture_requests(&fixture, 200, 10 * MS, 10);
	fixture_tick(&fixture);
	assert_int_equal(fixture.told_count, 2);
	assert_int_equal(fixture_last(&fixture)->from, BUDGET_CRITICAL);
	assert_int_equal(fixture_last(&fixture)->to, BUDGET_WITHIN);
	assert_true(fixture_last(&fixture)->has_value);
}

static void holds_upward_for_hold_s_and_downward_as_long(void **state)
{
	unsigned int i;

	(void)state;
	fixture_line(&fixture, MEASURE_P95, 200, 300, 500)->hold_s = 7;
	fixture.lines[0].window_s = 1;
	fixture_start(&fixture);
	/* Changing between warning and critical must not start the hold of warning anew. */
	for (i = 0; i < 7; i++) {
		fixture_requests(&fixture, 200, (i & 1 ? 400 : 900) * MS, 20);
		fixture_tick(&fixture);
		assert_int_equal(fixture_budget(&fixture)->raw,
				 i & 1 ? BUDGET_WARNING : BUDGET_CRITICAL);
		assert_int_equal(fixture.told_count, 0);
	}
	for (i = 0; i < 7; i++) {
		fixture_requests(&fixture, 200, 900 * MS, 20);
		fixture_tick(&fixture);
	}
	/* At or over warning since tick 1, over critical without a break since tick 7. */
	assert_int_equal(fixture.told_count, 2);
	assert_int_equal(fixture.told[0].to, BUDGET_WARNING);
	assert_int_equal(fixture.told[0].second, 8);
	assert_int_equal(fixture.told[1].to, BUDGET_CRITICAL);
	assert_int_equal(fixture.told[1].second, 14);
	for (i = 0; i < 7; i++) {
		fixture_requests(&fixture, 200, MS, 20);
		fixture_tick(&fixture);
		assert_int_equal(fixture_budget(&fixture)->raw, BUDGET_WITHIN);
		assert_int_equal(fixture_budget(&fixture)->state, BUDGET_CRITICAL);
	}
	fixture_requests(&fixture, 200, MS, 20);
	fixture_tick(&fixture);
	assert_int_equal(fixture_budget(&fixture)->state, BUDGET_WITHIN);
}

static void a_short_spike_does_not_pass_the_hold(void **state)
{
	unsigned int i;

	(void)state;
	fixture_line(&fixture, MEASURE_P95, 200, 300, 500)->hold_s = 7;
	fixture.lines[0].window_s = 2;
	fixture_start(&fixture);
	for (i = 0; i < 40; i++) {
		fixture_requests(&fixture, 200, (i % 8 < 5 ? 900 : 1) * MS, 20);
		fixture_tick(&fixture);
	}
	assert_int_equal(fixture.told_count, 0);
}

static void throughput_is_worse_when_lower(void **state)
{
	unsigned int i;

	(void)state;
	fixture_line(&fixture, MEASURE_THROUGHPUT, 100, 50, 25)->window_s = 10;
	assert_true(fixture.lines[0].lower_is_worse);
	fixture_start(&fixture);
	for (i = 0; i < 10; i++) {
		fixture_requests(&fixture, 200, MS, 60);
		fixture_tick(&fixture);
		assert_false(fixture_budget(&fixture)->has_value);
	}
	fixture_requests(&fixture, 200, MS, 60);
	fixture_tick(&fixture);
	assert_true(fixture_budget(&fixture)->value == 60.0);
	assert_true(fixture_budget(&fixture)->over_target);
	assert_int_equal(fixture.told_count, 0);
	/* 60 a second for n seconds, then silence: under 50 at 40, under 25 at 24 or less. */
	for (i = 0; i < 2; i++)
		fixture_tick(&fixture);
	assert_int_equal(fixture_budget(&fixture)->state, BUDGET_WARNING);
	fixture_ticks(&fixture, 4);
	assert_int_equal(fixture_budget(&fixture)->state, BUDGET_CRITICAL);
	fixture_ticks(&fixture, 20);
	assert_int_equal(fixture_budget(&fixture)->state, BUDGET_CRITICAL);
	assert_true(fixture_budget(&fixture)->value == 0.0);
	assert_int_equal(fixture.told_count, 2);
}

static void throughput_never_fires_for_a_service_without_real_traffic(void **state)
{
	struct request_detail detail = { .service = "quiet", .role = ROLE_SERVER, .status = 200 };

	(void)state;
	fixture_line(&fixture, MEASURE_THROUGHPUT, 100, 50, 25)->window_s = 10;
	fixture_start(&fixture);
	budgets_detail(fixture.budgets, &detail);
	fixture_route(&fixture, "once", "/", 200, MS, 9);
	fixture_ticks(&fixture, 60);
	assert_int_equal(fixture.told_count, 0);
}

static void a_service_that_falls_idle_goes_back_within_when_its_window_is_empty(void **state)
{
	(void)state;
	fixture_line(&fixture, MEASURE_P95, 200, 300, 500);
	fixture_line(&fixture, MEASURE_ERROR_RATE, 0.1, 1, 5);
	fixture_start(&fixture);
	fixture_requests(&fixture, 503, 900 * MS, 20);
	fixture_ticks(&fixture, 30);
	assert_int_equal(fixture.told_count, 2);
	fixture_tick(&fixture);
	assert_int_equal(fixture.told_count, 4);
	assert_int_equal(fixture.told[2].to, BUDGET_WITHIN);
	assert_int_equal(fixture.told[2].requests, 0);
	assert_false(fixture.told[2].has_value);
	assert_int_equal(fixture.told[3].to, BUDGET_WITHIN);
}

static void a_trickle_keeps_the_state_until_the_evidence_has_left(void **state)
{
	unsigned int i;

	(void)state;
	fixture_line(&fixture, MEASURE_P95, 200, 300, 500);
	fixture_start(&fixture);
	fixture_requests(&fixture, 200, 900 * MS, 5);
	fixture_tick(&fixture);
	fixture_requests(&fixture, 200, 900 * MS, 5);
	fixture_tick(&fixture);
	assert_int_equal(fixture.told_count, 1);
	for (i = 3; i <= 65; i++) {
		if (i % 5 == 0)
			fixture_requests(&fixture, 200, 900 * MS, 1);
		fixture_tick(&fixture);
	}
	/* Ten were last in the window at tick 31; then a few always are, but never ten. */
	assert_int_equal(fixture.told_count, 2);
	assert_int_equal(fixture_last(&fixture)->second, 61);
	assert_int_equal(fixture_last(&fixture)->to, BUDGET_WITHIN);
	assert_true(fixture_last(&fixture)->requests > 0);
	assert_false(fixture_last(&fixture)->has_value);
}

static void judges_endpoints_apart_and_by_their_pattern(void **state)
{
	(void)state;
	strcpy(fixture_line(&fixture, MEASURE_P95, 200, 300, 500)->endpoint,
	       "/api/projects/{project_id}/");
	fixture_start(&fixture);
	fixture_route(&fixture, "shop", "/api/projects/{id}/ast", 200, 900 * MS, 50);
	fixture_route(&fixture, "shop", "/api/projects", 200, 900 * MS, 50);
	fixture_tick(&fixture);
	assert_null(budgets_first(fixture.budgets));
	fixture_route(&fixture, "shop", "/api/projects/{id}", 200, 900 * MS, 20);
	fixture_tick(&fixture);
	assert_int_equal(fixture.told_count, 1);
	assert_int_equal(fixture.told[0].requests, 20);
}

static void judges_each_service_that_matches_apart(void **state)
{
	(void)state;
	strcpy(fixture_line(&fixture, MEASURE_P95, 200, 300, 500)->service, "shop-*");
	fixture_start(&fixture);
	fixture_route(&fixture, "shop-a", "/", 200, 900 * MS, 20);
	fixture_route(&fixture, "shop-b", "/", 200, MS, 20);
	fixture_route(&fixture, "bank", "/", 200, 900 * MS, 20);
	fixture_tick(&fixture);
	assert_int_equal(fixture.told_count, 1);
	assert_string_equal(fixture.told[0].service, "shop-a");
}

static void budgets_of_one_selection_share_a_window(void **state)
{
	const struct budget *first;

	(void)state;
	fixture_line(&fixture, MEASURE_P95, 200, 300, 500);
	fixture_line(&fixture, MEASURE_ERROR_RATE, 0.1, 1, 5);
	fixture_line(&fixture, MEASURE_P99, 200, 300, 500)->window_s = 60;
	fixture_start(&fixture);
	fixture_requests(&fixture, 200, MS, 20);
	first = fixture_budget(&fixture);
	assert_ptr_equal(first->window, first->next->window);
	assert_ptr_not_equal(first->window, first->next->next->window);
	assert_null(first->next->next->next);
}

static void evidence_is_the_five_slowest_of_the_window(void **state)
{
	unsigned int i;

	(void)state;
	fixture_line(&fixture, MEASURE_P95, 200, 300, 500);
	fixture_start(&fixture);
	fixture_detail(&fixture, 200, 9999 * MS);
	fixture_requests(&fixture, 200, 9999 * MS, 1);
	fixture_ticks(&fixture, 30);
	for (i = 0; i < 20; i++) {
		fixture_detail(&fixture, 200, (600 + (i * 7) % 20) * MS);
		fixture_requests(&fixture, 200, (600 + (i * 7) % 20) * MS, 1);
	}
	/* At this tick the slowest of all is 30 s old and no longer counts. */
	fixture_tick(&fixture);
	assert_int_equal(fixture.told_count, 1);
	assert_int_equal(fixture.told[0].requests, 20);
	assert_int_equal(fixture.told[0].slowest_count, 4);
	for (i = 0; i < 4; i++)
		assert_int_equal(fixture.told[0].slowest[i].duration_ns, (619 - i) * MS);
	assert_string_equal(fixture.told[0].slowest[0].path, "/cart/17");
	assert_int_equal(fixture.told[0].slowest[0].pid, 4711);
}

static void error_budgets_show_requests_that_failed(void **state)
{
	(void)state;
	fixture_line(&fixture, MEASURE_ERROR_RATE, 0.1, 1, 5);
	fixture_start(&fixture);
	fixture_detail(&fixture, 200, 900 * MS);
	fixture_detail(&fixture, 503, 3 * MS);
	fixture_detail(&fixture, 0, 7 * MS);
	fixture_requests(&fixture, 503, 3 * MS, 20);
	fixture_tick(&fixture);
	assert_int_equal(fixture.told[0].slowest_count, 2);
	assert_int_equal(fixture.told[0].slowest[0].status, 0);
	assert_int_equal(fixture.told[0].slowest[1].status, 503);
}

static void carries_completeness_into_verdict_and_view(void **state)
{
	struct service_view view;

	(void)state;
	fixture_line(&fixture, MEASURE_P95, 200, 300, 500);
	fixture_start(&fixture);
	budgets_completeness(fixture.budgets, "nobody", 0.5);
	fixture_requests(&fixture, 200, 900 * MS, 20);
	budgets_completeness(fixture.budgets, "shop", 0.97);
	budgets_completeness(fixture.budgets, "shop", NAN);
	fixture_tick(&fixture);
	assert_true(fixture.told[0].completeness == 0.97);
	assert_int_equal(budgets_services(fixture.budgets, &view, 1), 1);
	assert_true(view.completeness == 0.97);
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
		TEST(tells_a_breach_at_the_tick_after_the_tenth_slow_request),
		TEST(decides_a_percentile_by_exact_counts),
		TEST(the_value_never_contradicts_the_verdict),
		TEST(judges_the_median_and_the_99th_by_their_own_share),
		TEST(between_target_and_warning_is_within_but_shown),
		TEST(works_with_lines_left_out),
		TEST(counts_5xx_and_no_response_as_errors),
		TEST(recovers_when_the_slow_requests_have_left_the_window),
		TEST(holds_upward_for_hold_s_and_downward_as_long),
		TEST(a_short_spike_does_not_pass_the_hold),
		TEST(throughput_is_worse_when_lower),
		TEST(throughput_never_fires_for_a_service_without_real_traffic),
		TEST(a_service_that_falls_idle_goes_back_within_when_its_window_is_empty),
		TEST(a_trickle_keeps_the_state_until_the_evidence_has_left),
		TEST(judges_endpoints_apart_and_by_their_pattern),
		TEST(judges_each_service_that_matches_apart),
		TEST(budgets_of_one_selection_share_a_window),
		TEST(evidence_is_the_five_slowest_of_the_window),
		TEST(error_budgets_show_requests_that_failed),
		TEST(carries_completeness_into_verdict_and_view),
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
