/* SPDX-License-Identifier: GPL-2.0-only */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "unit/budgets/fixture.h"

static struct fixture fixture;

static int stop(void **state)
{
	(void)state;
	fixture_stop(&fixture);
	return 0;
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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
