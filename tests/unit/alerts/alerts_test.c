/* SPDX-License-Identifier: GPL-2.0-only */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "alerts/alerts.h"
#include "base/clock.h"

struct heard {
	enum alert_severity severity;
	uint64_t wall_ns;
	char title[256], component[64], message[512], product[64], details[4096];
	char first_action[128];
};

static struct series_store *store;
static struct alerts *alerts;
static struct heard heard[8];
static unsigned int heard_count;
static struct budget_line line;
static struct budget budget;
static struct config config;
static char *actions[] = { "Investigate slow endpoints and database queries", NULL };

static void deliver(void *context, const struct notice *notice)
{
	struct heard *one = &heard[heard_count++ % 8];

	assert_ptr_equal(context, &config);
	one->severity = notice->severity;
	one->wall_ns = notice->wall_ns;
	text_copy(one->title, sizeof(one->title), notice->title);
	text_copy(one->component, sizeof(one->component), notice->component);
	text_copy(one->message, sizeof(one->message), notice->message);
	text_copy(one->product, sizeof(one->product), notice->product);
	assert_true(text_copy(one->details, sizeof(one->details), notice->details_json));
	text_copy(one->first_action, sizeof(one->first_action),
		  notice->actions[0] ? notice->actions[0] : "");
}

static int set_up(void **state)
{
	(void)state;
	memset(heard, 0, sizeof(heard));
	heard_count = 0;
	config = (struct config){ .product = "PLIMSOLL" };
	line = (struct budget_line){ .name = "api_endpoints",
				     .service = "*",
				     .endpoint = "/api/x",
				     .role = ROLE_SERVER,
				     .measure = MEASURE_P95,
				     .target = 200,
				     .warning = 300,
				     .critical = 500,
				     .window_s = 30,
				     .least_requests = 10,
				     .actions = actions };
	budget = (struct budget){ .line = &line,
				  .service = "shop",
				  .has_value = true,
				  .value = 812.4,
				  .completeness = 1 };
	store = series_store_new(1000);
	alerts = alerts_new(&config, store, deliver, &config);
	assert_non_null(alerts);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	alerts_free(alerts);
	series_store_free(store);
	return 0;
}

static struct budget_change change_to(enum budget_state to)
{
	struct budget_change change = {
		.budget = &budget, .from = budget.state, .to = to, .requests = 231
	};

	budget.state = to;
	return change;
}

static void move_to(enum budget_state to)
{
	struct budget_change change = change_to(to);

	alerts_budget_changed(alerts, &change);
}

static double firing_series(void)
{
	const char *labels[] = { "api_endpoints_p95_response_time_ms", "shop", "firing" };
	struct family *family;

	family_for_each (store, family) {
		if (!strcmp(family->spec->name, "plimsoll_alerts"))
			return series_get(family, labels)->value;
	}
	fail();
	return NAN;
}

static void says_what_was_measured_against_which_line(void **state)
{
	(void)state;
	move_to(BUDGET_CRITICAL);
	assert_int_equal(heard_count, 1);
	assert_int_equal(heard[0].severity, ALERT_CRITICAL);
	assert_string_equal(heard[0].product, "PLIMSOLL");
	assert_string_equal(heard[0].title, "p95 response time over budget: shop");
	assert_string_equal(heard[0].component, "api_endpoints");
	assert_string_equal(heard[0].message,
			    "p95 response time 812.4 ms is over the critical line of 500 ms "
			    "(service shop, endpoint /api/x, 231 requests in 30 s)");
	assert_string_equal(heard[0].first_action, actions[0]);
	assert_true(clock_wall_ns() - heard[0].wall_ns < 60 * NS_PER_S);
}

static void says_how_much_was_seen_when_not_all_was(void **state)
{
	(void)state;
	budget.completeness = 0.979;
	move_to(BUDGET_WARNING);
	assert_string_equal(heard[0].message,
			    "p95 response time 812.4 ms is over the warning line of 300 ms "
			    "(service shop, endpoint /api/x, 231 requests in 30 s, "
			    "seen 97 % of requests)");
	budget.completeness = 0.99;
	move_to(BUDGET_CRITICAL);
	assert_null(strstr(heard[1].message, "seen"));
}

static void words_every_measure_and_direction(void **state)
{
	(void)state;
	line.endpoint[0] = '\0';
	line.measure = MEASURE_ERROR_RATE;
	line.critical = 5;
	budget.value = 12.5;
	move_to(BUDGET_CRITICAL);
	assert_string_equal(heard[0].title, "error rate over budget: shop");
	assert_string_equal(heard[0].message, "error rate 12.5 % is over the critical line of 5 % "
					      "(service shop, 231 requests in 30 s)");
	line.measure = MEASURE_THROUGHPUT;
	line.lower_is_worse = true;
	line.role = ROLE_CLIENT;
	line.critical = 25;
	budget.value = 7.7;
	move_to(BUDGET_CRITICAL);
	assert_string_equal(heard[1].title, "throughput under budget: shop");
	assert_string_equal(heard[1].message,
			    "throughput 7.70 requests/s is under the critical line of 25 "
			    "requests/s (service shop as client, 231 requests in 30 s)");
}

static void tells_an_escalation_once_and_a_descent_not(void **state)
{
	(void)state;
	move_to(BUDGET_WARNING);
	move_to(BUDGET_CRITICAL);
	assert_int_equal(heard_count, 2);
	assert_int_equal(heard[0].severity, ALERT_WARNING);
	assert_int_equal(heard[1].severity, ALERT_CRITICAL);
	move_to(BUDGET_WARNING);
	move_to(BUDGET_CRITICAL);
	assert_int_equal(heard_count, 2);
	assert_int_equal(alerts_firing(alerts), 1);
	move_to(BUDGET_WITHIN);
	assert_int_equal(heard_count, 3);
	assert_int_equal(heard[2].severity, ALERT_RESOLVED);
	assert_int_equal(alerts_firing(alerts), 0);
	move_to(BUDGET_WARNING);
	assert_int_equal(heard_count, 4);
}

static void resolves_with_the_value_that_is_good_again(void **state)
{
	(void)state;
	move_to(BUDGET_CRITICAL);
	budget.value = 87.25;
	move_to(BUDGET_WITHIN);
	assert_string_equal(heard[1].title, "p95 response time back within budget: shop");
	assert_string_equal(heard[1].message,
			    "p95 response time 87.2 ms is within the warning line of 300 ms "
			    "(service shop, endpoint /api/x, 231 requests in 30 s)");
	assert_string_equal(heard[1].first_action, "");
}

static void resolves_an_idle_service_in_words(void **state)
{
	struct budget_change change;

	(void)state;
	move_to(BUDGET_CRITICAL);
	budget.has_value = false;
	budget.value = NAN;
	change = change_to(BUDGET_WITHIN);
	change.requests = 0;
	alerts_budget_changed(alerts, &change);
	assert_non_null(strstr(heard[1].message, "no requests in the window"));
	assert_non_null(strstr(heard[1].details, "\"measured\": null"));
	move_to(BUDGET_CRITICAL);
	change = change_to(BUDGET_WITHIN);
	change.requests = 4;
	alerts_budget_changed(alerts, &change);
	assert_non_null(strstr(heard[3].message, "too few requests in the window"));
}

static void ignores_what_never_fired(void **state)
{
	(void)state;
	move_to(BUDGET_WITHIN);
	assert_int_equal(heard_count, 0);
	assert_int_equal(alerts_firing(alerts), 0);
}

static void keeps_endpoints_and_services_apart(void **state)
{
	(void)state;
	move_to(BUDGET_CRITICAL);
	assert_true(firing_series() == 1);
	strcpy(line.endpoint, "/api/y");
	move_to(BUDGET_CRITICAL);
	assert_int_equal(heard_count, 2);
	assert_int_equal(alerts_firing(alerts), 2);
	assert_true(firing_series() == 2);
	strcpy(budget.service, "bank");
	move_to(BUDGET_CRITICAL);
	assert_int_equal(alerts_firing(alerts), 3);
	assert_true(firing_series() == 2);
	strcpy(budget.service, "shop");
	move_to(BUDGET_WITHIN);
	assert_int_equal(alerts_firing(alerts), 2);
	assert_true(firing_series() == 1);
	strcpy(line.endpoint, "/api/x");
	move_to(BUDGET_WITHIN);
	assert_true(firing_series() == 0);
}

static void details_carry_the_slowest_requests_as_json(void **state)
{
	struct budget_evidence evidence[2] = {
		{ .wall_ns = 1736782245 * NS_PER_S,
		  .duration_ns = 1812345678,
		  .first_byte_ns = 1800 * NS_PER_MS,
		  .queue_ns = 700 * NS_PER_MS,
		  .status = 200,
		  .pid = 4711,
		  .method = "GET",
		  .path = "/cart/17" },
		{ .status = 0, .method = "POST", .path = "/b" },
	};
	struct budget_change change = change_to(BUDGET_CRITICAL);

	(void)state;
	change.slowest = evidence;
	change.slowest_count = 2;
	alerts_budget_changed(alerts, &change);
	assert_string_equal(
		heard[0].details,
		"{\"service\": \"shop\", \"role\": \"server\", \"endpoint\": \"/api/x\", "
		"\"measure\": \"p95_response_time_ms\", \"measured\": 812.4, \"line\": 500, "
		"\"window_s\": 30, \"requests\": 231, \"completeness\": 1, \"slowest\": ["
		"{\"time\": \"2025-01-13T15:30:45Z\", \"method\": \"GET\", \"path\": \"/cart/17\", "
		"\"status\": 200, \"duration_ms\": 1812.346, \"first_byte_ms\": 1800.000, "
		"\"queue_ms\": 700.000, \"pid\": 4711}, "
		"{\"time\": \"1970-01-01T00:00:00Z\", \"method\": \"POST\", \"path\": \"/b\", "
		"\"status\": 0, \"duration_ms\": 0.000, \"first_byte_ms\": 0.000, "
		"\"queue_ms\": 0.000, \"pid\": 0}]}");
}

static void hostile_names_stay_inside_their_json_strings(void **state)
{
	struct budget_evidence evidence = { .method = "G\"\\\n", .path = "/\"}]\x01\xff\x9b" };
	struct budget_change change;

	(void)state;
	strcpy(budget.service, "a\"b\\\n\x1b[2J\xc3");
	change = change_to(BUDGET_CRITICAL);
	change.slowest = &evidence;
	change.slowest_count = 1;
	alerts_budget_changed(alerts, &change);
	assert_null(strpbrk(heard[0].details, "\n\x01\x1b"));
	assert_non_null(strstr(heard[0].details, "{\"service\": \"a\\\"b\\\\\\n\\u001b[2J"));
	assert_non_null(strstr(heard[0].details, "\"method\": \"G\\\"\\\\\\n\""));
	assert_non_null(strstr(heard[0].details, "\"path\": \"/\\\"}]\\u0001"));
}

static void a_reload_resolves_what_fires_and_says_why(void **state)
{
	(void)state;
	move_to(BUDGET_CRITICAL);
	line.endpoint[0] = '\0';
	move_to(BUDGET_CRITICAL);
	alerts_reload(alerts, &config);
	assert_int_equal(heard_count, 4);
	assert_int_equal(alerts_firing(alerts), 0);
	assert_true(firing_series() == 0);
	assert_int_equal(heard[2].severity, ALERT_RESOLVED);
	assert_int_equal(heard[3].severity, ALERT_RESOLVED);
	assert_string_equal(heard[2].component, "api_endpoints");
	assert_non_null(strstr(heard[2].message, "the configuration was reloaded"));
	assert_non_null(strstr(heard[2].details, "\"reason\": \"reload\"}"));
	move_to(BUDGET_CRITICAL);
	assert_int_equal(heard_count, 5);
}

static void frees_what_still_fires(void **state)
{
	(void)state;
	move_to(BUDGET_CRITICAL);
	alerts_free(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(says_what_was_measured_against_which_line),
		TEST(says_how_much_was_seen_when_not_all_was),
		TEST(words_every_measure_and_direction),
		TEST(tells_an_escalation_once_and_a_descent_not),
		TEST(resolves_with_the_value_that_is_good_again),
		TEST(resolves_an_idle_service_in_words),
		TEST(ignores_what_never_fired),
		TEST(keeps_endpoints_and_services_apart),
		TEST(details_carry_the_slowest_requests_as_json),
		TEST(hostile_names_stay_inside_their_json_strings),
		TEST(a_reload_resolves_what_fires_and_says_why),
		TEST(frees_what_still_fires),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
