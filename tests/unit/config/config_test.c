/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "config/config.h"

static void a_fresh_configuration_has_the_documented_defaults(void **state)
{
	struct config config;

	(void)state;
	assert_int_equal(config_init(&config), 0);
	assert_string_equal(config.product, "PLIMSOLL");
	assert_string_equal(config.listen, "127.0.0.1:9926");
	assert_true(config.enabled);
	assert_true(config.arrival_stamps);
	assert_int_equal(config.endpoints_per_service, 1000);
	assert_int_equal(config.endpoints_max, 4096);
	assert_int_equal(config.connections_max, 4096);
	assert_int_equal(config.processes_max, 16384);
	assert_int_equal(config.series_max, 20000);
	assert_int_equal(config.ring_bytes, 1048576);
	assert_int_equal(config.budget_count, 2);
	config_fini(&config);
}

static void the_built_in_budget_is_the_promised_one(void **state)
{
	struct config config;

	(void)state;
	assert_int_equal(config_init(&config), 0);
	for (size_t i = 0; i < 2; i++) {
		const struct budget_line *line = &config.budgets[i];

		assert_string_equal(line->name, "default");
		assert_string_equal(line->service, "*");
		assert_string_equal(line->endpoint, "");
		assert_int_equal(line->role, ROLE_SERVER);
		assert_int_equal(line->window_s, 30);
		assert_int_equal(line->hold_s, 0);
		assert_int_equal(line->least_requests, 10);
		assert_false(line->lower_is_worse);
		assert_non_null(line->actions[0]);
		assert_null(line->actions[3]);
	}
	assert_int_equal(config.budgets[0].measure, MEASURE_P95);
	assert_true(config.budgets[0].target == 500 && config.budgets[0].warning == 500 &&
		    config.budgets[0].critical == 1000);
	assert_string_equal(config.budgets[0].actions[0],
			    "Investigate slow endpoints and database queries");
	assert_int_equal(config.budgets[1].measure, MEASURE_ERROR_RATE);
	assert_true(config.budgets[1].target == 5 && config.budgets[1].critical == 5);
	assert_string_equal(config.budgets[1].actions[2], "Consider deployment rollback");
	config_fini(&config);
}

static void globs_match_without_blowing_up(void **state)
{
	char text[2001];

	(void)state;
	assert_true(config_glob_matches("*", ""));
	assert_true(config_glob_matches("*", "nginx"));
	assert_true(config_glob_matches("ng*x", "nginx"));
	assert_true(config_glob_matches("n?inx", "nginx"));
	assert_true(config_glob_matches("*a*b", "xaxbxb"));
	assert_false(config_glob_matches("n?nx", "nginx"));
	assert_false(config_glob_matches("", "nginx"));
	assert_false(config_glob_matches("nginx", "nginx2"));
	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_false(config_glob_matches("a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b", text));
}

static void thresholds_are_ascending_and_single(void **state)
{
	static const char file[] = "budgets:\n"
				   "- {name: a, p50: {target: 300, critical: 100ms}}\n"
				   "- {name: b, p95: {target: 100, critical: 2s}, error_rate: 5}\n"
				   "- {name: c, p99: 0.25}\n";
	struct config config;
	struct text problems = { 0 };
	uint64_t thresholds[8];

	(void)state;
	assert_int_equal(config_load_bytes(&config, "f", file, strlen(file), &problems), 0);
	assert_int_equal(config_thresholds_ns(&config, thresholds, 8), 4);
	assert_int_equal(thresholds[0], 250000);
	assert_int_equal(thresholds[1], 100000000);
	assert_int_equal(thresholds[2], 300000000);
	assert_int_equal(thresholds[3], 2000000000);
	assert_int_equal(config_thresholds_ns(&config, thresholds, 2), 2);
	assert_int_equal(thresholds[1], 100000000);
	assert_int_equal(config_thresholds_ns(&config, thresholds, 0), 0);
	config_fini(&config);
	text_fini(&problems);
}

static void a_listen_address_is_checked(void **state)
{
	static const char *const good[] = { "127.0.0.1:9926", "[::1]:9926", ":9926",
					    "0.0.0.0:0",      "[::]:65535", "localhost:80" };
	static const char *const bad[] = { "",
					   "9926",
					   "127.0.0.1",
					   "example:80",
					   "::1:9926",
					   "[::1:9926",
					   "127.0.0.1:",
					   ":65536",
					   ":-1",
					   ":99x",
					   "1.2.3.4.5:80",
					   "[]:80",
					   "[1.2.3.4]:80" };

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(config_is_listen(good[i]));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(config_is_listen(bad[i]));
}

static void a_rung_is_chosen_by_probe_and_name(void **state)
{
	struct config config;
	char text[64];

	(void)state;
	assert_int_equal(config_init(&config), 0);
	assert_int_equal(config_add_rung(&config, "net/request=kprobe"), 0);
	assert_int_equal(config_add_rung(&config, "net/request=tracepoint"), 0);
	assert_int_equal(config.rung_count, 1);
	assert_string_equal(config.rungs[0].probe, "net/request");
	assert_string_equal(config.rungs[0].rung, "tracepoint");
	assert_int_equal(config_add_rung(&config, "net/request"), -EINVAL);
	assert_int_equal(config_add_rung(&config, "=kprobe"), -EINVAL);
	assert_int_equal(config_add_rung(&config, "net/request="), -EINVAL);
	assert_int_equal(config_add_rung(&config, "net request=kprobe"), -EINVAL);
	for (int i = 1; i < 64; i++) {
		snprintf(text, sizeof(text), "p%d=r", i);
		assert_int_equal(config_add_rung(&config, text), 0);
	}
	assert_int_equal(config_add_rung(&config, "one_more=r"), -E2BIG);
	config_fini(&config);
}

static void the_environment_overrides(void **state)
{
	struct text problems = { 0 };
	struct config config;

	(void)state;
	assert_int_equal(config_init(&config), 0);
	setenv("MONITORING_ENABLED", "false", 1);
	setenv("ENVIRONMENT", "staging", 1);
	setenv("ENABLE_JSON_LOGGING", "true", 1);
	setenv("PLIMSOLL_LISTEN", ":8080", 1);
	assert_int_equal(config_apply_environment(&config, &problems), 0);
	assert_false(config.enabled);
	assert_string_equal(config.environment, "staging");
	assert_int_equal(config.log_format, LOG_FORMAT_JSON);
	assert_string_equal(config.listen, ":8080");
	assert_int_equal(problems.length, 0);
	config_fini(&config);
	text_fini(&problems);
}

static void a_bad_environment_is_named_and_changes_nothing(void **state)
{
	struct text problems = { 0 };
	struct config config;

	(void)state;
	assert_int_equal(config_init(&config), 0);
	setenv("MONITORING_ENABLED", "perhaps", 1);
	setenv("ENVIRONMENT", "an environment whose name is much too long", 1);
	setenv("ENABLE_JSON_LOGGING", "1", 1);
	setenv("PLIMSOLL_LISTEN", "nowhere", 1);
	assert_int_equal(config_apply_environment(&config, &problems), -EINVAL);
	assert_true(config.enabled);
	assert_string_equal(config.environment, "");
	assert_int_equal(config.log_format, LOG_FORMAT_AUTO);
	assert_string_equal(config.listen, "127.0.0.1:9926");
	assert_non_null(strstr(problems.bytes, "environment: MONITORING_ENABLED: "));
	assert_non_null(strstr(problems.bytes, "environment: ENVIRONMENT: "));
	assert_non_null(strstr(problems.bytes, "environment: PLIMSOLL_LISTEN: "));
	config_fini(&config);
	text_fini(&problems);
}

static int clear_environment(void **state)
{
	(void)state;
	unsetenv("MONITORING_ENABLED");
	unsetenv("ENVIRONMENT");
	unsetenv("ENABLE_JSON_LOGGING");
	unsetenv("PLIMSOLL_LISTEN");
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_fresh_configuration_has_the_documented_defaults),
		cmocka_unit_test(the_built_in_budget_is_the_promised_one),
		cmocka_unit_test(globs_match_without_blowing_up),
		cmocka_unit_test(thresholds_are_ascending_and_single),
		cmocka_unit_test(a_listen_address_is_checked),
		cmocka_unit_test(a_rung_is_chosen_by_probe_and_name),
		cmocka_unit_test_setup_teardown(the_environment_overrides, clear_environment,
						clear_environment),
		cmocka_unit_test_setup_teardown(a_bad_environment_is_named_and_changes_nothing,
						clear_environment, clear_environment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
