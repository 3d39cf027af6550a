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
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "config/config.h"

static struct config config;
static struct text problems;
static bool is_loaded;

static int unload(void **state)
{
	(void)state;
	if (is_loaded)
		config_fini(&config);
	is_loaded = false;
	text_fini(&problems);
	return 0;
}

static int load_sized(const char *text, size_t size)
{
	int err;

	unload(NULL);
	err = config_load_bytes(&config, "f", text, size, &problems);
	is_loaded = !err;
	return err;
}

static int load(const char *text)
{
	return load_sized(text, strlen(text));
}

static const char *told(void)
{
	return problems.bytes ? problems.bytes : "";
}

static void assert_loads(const char *text)
{
	int err = load(text);

	if (err)
		print_error("%s", told());
	assert_int_equal(err, 0);
}

/* The one line of `expected` must be among the problems, from its start. */
static void assert_told(const char *expected)
{
	const char *at = strstr(told(), expected);

	if (!at || (at != told() && at[-1] != '\n'))
		print_error("expected: %s\ngot: %s", expected, told());
	assert_true(at && (at == told() || at[-1] == '\n'));
}

static void assert_refused(const char *text, const char *expected)
{
	assert_int_equal(load(text), -EINVAL);
	assert_told(expected);
}

static const struct budget_line *find_line(const char *name, enum budget_measure measure)
{
	for (size_t i = 0; i < config.budget_count; i++) {
		if (!strcmp(config.budgets[i].name, name) && config.budgets[i].measure == measure)
			return &config.budgets[i];
	}
	fail_msg("no line %s of %s", budget_measure_name(measure), name);
	return NULL;
}

static void assert_limits(const struct budget_line *line, double target, double warning,
			  double critical)
{
	assert_true(line->target == target);
	assert_true(line->warning == warning);
	assert_true(line->critical == critical || (isnan(line->critical) && isnan(critical)));
}

static const char components[] =
	"{\n"
	"  \"api_endpoints\": {\n"
	"    \"p50_response_time_ms\": {\"target\": 200, \"warning\": 300, \"critical\": 500},\n"
	"    \"p95_response_time_ms\": {\"target\": 400, \"warning\": 600, \"critical\": 1000},\n"
	"    \"p99_response_time_ms\": {\"target\": 800, \"warning\": 1200, \"critical\": 2000},\n"
	"    \"error_rate_percent\": {\"target\": 0.1, \"warning\": 1.0, \"critical\": 5.0},\n"
	"    \"throughput_requests_per_second\": {\"target\": 100, \"warning\": 50, "
	"\"critical\": 25}\n"
	"  }\n"
	"}\n";

static void a_component_file_loads_as_it_is(void **state)
{
	const struct budget_line *line;

	(void)state;
	assert_loads(components);
	assert_int_equal(problems.length, 0);
	assert_int_equal(config.budget_count, 5);
	assert_limits(find_line("api_endpoints", MEASURE_P50), 200, 300, 500);
	assert_limits(find_line("api_endpoints", MEASURE_P99), 800, 1200, 2000);
	assert_limits(find_line("api_endpoints", MEASURE_ERROR_RATE), 0.1, 1, 5);
	line = find_line("api_endpoints", MEASURE_P95);
	assert_limits(line, 400, 600, 1000);
	assert_false(line->lower_is_worse);
	assert_string_equal(line->service, "*");
	assert_string_equal(line->endpoint, "");
	assert_int_equal(line->role, ROLE_SERVER);
	assert_int_equal(line->window_s, 60);
	assert_int_equal(line->hold_s, 0);
	assert_int_equal(line->least_requests, 10);
	assert_non_null(line->actions[0]);
	assert_null(line->runbook_url);
}

static void direction_follows_from_target_and_critical(void **state)
{
	(void)state;
	assert_loads(components);
	assert_true(find_line("api_endpoints", MEASURE_THROUGHPUT)->lower_is_worse);
	assert_false(find_line("api_endpoints", MEASURE_P95)->lower_is_worse);
	assert_loads("a: {throughput: 50, p95: 50, error_rate: 5}");
	assert_true(find_line("a", MEASURE_THROUGHPUT)->lower_is_worse);
	assert_false(find_line("a", MEASURE_P95)->lower_is_worse);
	assert_loads("a: {throughput: {target: 100, critical: 900}}");
	assert_false(find_line("a", MEASURE_THROUGHPUT)->lower_is_worse);
	assert_told("warning: f:1: a.throughput: target 100 and critical 900: "
		    "taken as higher is worse");
}

static void limits_in_no_order_are_refused(void **state)
{
	(void)state;
	assert_refused("a:\n  p95: {target: 400, warning: 1200, critical: 1000}",
		       "f:2: a.p95: warning 1200 is not between target 400 and critical 1000 "
		       "(expected an order from good to bad)\n");
	assert_refused("a:\n  p95: {target: 400, warning: 300}\n  p99: {}\n",
		       "f:3: a.p99: no line is drawn (expected target, warning or critical)\n");
}

static void what_is_left_out_of_a_triple_is_filled_in(void **state)
{
	(void)state;
	assert_loads("a: {p50: 100ms, p95: {target: 0.2 s}, p99: {critical: 1s}, "
		     "error_rate: {target: 0.5%, critical: 1 %}}");
	assert_limits(find_line("a", MEASURE_P50), 100, 100, 100);
	assert_limits(find_line("a", MEASURE_P95), 200, 200, NAN);
	assert_limits(find_line("a", MEASURE_P99), 1000, 1000, 1000);
	assert_limits(find_line("a", MEASURE_ERROR_RATE), 0.5, 1, 1);
}

static void endpoint_lines_become_budgets_and_routes(void **state)
{
	const struct budget_line *line;

	(void)state;
	assert_loads("/health: P95 < 100ms          # Health checks must be very fast\n"
		     "/api/projects/{id}/ast: P95 < 1000ms  # AST parsing can be slower\n");
	assert_int_equal(problems.length, 0);
	assert_int_equal(config.budget_count, 2);
	line = find_line("/api/projects/{id}/ast", MEASURE_P95);
	assert_string_equal(line->endpoint, "/api/projects/{id}/ast");
	assert_limits(line, 1000, 1000, 1000);
	assert_int_equal(config.route_count, 2);
	assert_string_equal(config.routes[1].pattern, "/api/projects/{id}/ast");
	assert_string_equal(config.routes[1].service, "*");
}

static void an_endpoint_can_be_a_mapping(void **state)
{
	const struct budget_line *line;

	(void)state;
	assert_loads("endpoints:\n"
		     "  /health: p99 <= 0.1 s\n"
		     "  /pay: {critical: true, service: shop, p95_response_time_ms: "
		     "{target: 100, warning: 200, critical: 300}}\n"
		     "  /in: throughput > 50/s\n"
		     "  /out: Error rate < 1%\n");
	line = find_line("/pay", MEASURE_P95);
	assert_true(line->endpoint_critical);
	assert_string_equal(line->service, "shop");
	assert_limits(line, 100, 200, 300);
	assert_false(find_line("/health", MEASURE_P99)->endpoint_critical);
	assert_limits(find_line("/health", MEASURE_P99), 100, 100, 100);
	assert_true(find_line("/in", MEASURE_THROUGHPUT)->lower_is_worse);
	assert_limits(find_line("/out", MEASURE_ERROR_RATE), 1, 1, 1);
	assert_refused("endpoints: {/a: P95 > 100ms}", "f:1: endpoints./a: \"P95 > 100ms\" is not "
						       "understood");
	assert_refused("endpoints: {/a: soon}", "f:1: endpoints./a: \"soon\" is not understood");
	assert_refused("endpoints: {a: P95 < 1s}", "f:1: endpoints.a: \"a\" does not begin with /");
}

static const char full[] = "product: LEANVIBE\n"
			   "environment: staging\n"
			   "listen: '[::1]:1234'\n"
			   "log: {format: json, level: debug}\n"
			   "arrival_stamps: no\n"
			   "limits:\n"
			   "  endpoints_per_service: 10\n"
			   "  endpoints_max: 20\n"
			   "  connections_max: 30\n"
			   "  processes_max: 64\n"
			   "  series_max: 50\n"
			   "  ring_bytes: 64 KiB\n"
			   "routes:\n"
			   "- /api/projects/{id}/ast\n"
			   "- {service: shop*, pattern: '/cart/{item}'}\n"
			   "rungs: {net/request: tracepoint}\n"
			   "budgets:\n"
			   "- name: checkout\n"
			   "  service: shop*\n"
			   "  endpoint: /pay\n"
			   "  role: client\n"
			   "  window: 5m\n"
			   "  hold: 60 seconds\n"
			   "  min_requests: 3\n"
			   "  critical: true\n"
			   "  actions: [Call Ada, Call Grace]\n"
			   "  runbook_url: https://runbooks.example.com/pay\n"
			   "  p95: 1s\n"
			   "  error_rate: 1%\n";

static void every_key_is_read(void **state)
{
	(void)state;
	assert_loads(full);
	assert_int_equal(problems.length, 0);
	assert_string_equal(config.product, "LEANVIBE");
	assert_string_equal(config.environment, "staging");
	assert_string_equal(config.listen, "[::1]:1234");
	assert_int_equal(config.log_format, LOG_FORMAT_JSON);
	assert_int_equal(config.log_level, LOG_LEVEL_DEBUG);
	assert_false(config.arrival_stamps);
	assert_int_equal(config.endpoints_per_service, 10);
	assert_int_equal(config.endpoints_max, 20);
	assert_int_equal(config.connections_max, 30);
	assert_int_equal(config.processes_max, 64);
	assert_int_equal(config.series_max, 50);
	assert_int_equal(config.ring_bytes, 65536);
	assert_int_equal(config.route_count, 3);
	assert_string_equal(config.routes[1].service, "shop*");
	assert_string_equal(config.routes[1].pattern, "/cart/{item}");
	assert_string_equal(config.routes[2].pattern, "/pay");
	assert_int_equal(config.rung_count, 1);
	assert_string_equal(config.rungs[0].rung, "tracepoint");
}

static void every_key_of_a_budget_is_read(void **state)
{
	const struct budget_line *line;

	(void)state;
	assert_loads(full);
	line = find_line("checkout", MEASURE_ERROR_RATE);
	assert_string_equal(line->service, "shop*");
	assert_string_equal(line->endpoint, "/pay");
	assert_int_equal(line->role, ROLE_CLIENT);
	assert_int_equal(line->window_s, 300);
	assert_int_equal(line->hold_s, 60);
	assert_int_equal(line->least_requests, 3);
	assert_true(line->endpoint_critical);
	assert_string_equal(line->actions[1], "Call Grace");
	assert_null(line->actions[2]);
	assert_string_equal(line->runbook_url, "https://runbooks.example.com/pay");
}

static void without_a_budget_the_built_in_one_stands(void **state)
{
	static const char *const files[] = {
		"",   "\n# nothing\n",	"---\n", "product: X\n", "budgets:\n",
		"{}", "\xef\xbb\xbf{}", "~"
	};

	(void)state;
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		assert_loads(files[i]);
		assert_int_equal(config.budget_count, 2);
		assert_string_equal(config.budgets[0].name, "default");
	}
	assert_loads("budgets: []");
	assert_int_equal(config.budget_count, 0);
}

static void comments_in_json_are_blanked_and_lines_kept(void **state)
{
	(void)state;
	assert_loads("// first\n{ // \xf0\x9f \"quoted\n"
		     "  \"product\": \"a//b\", // it's\n"
		     "  \"listen\": \"127.0.0.1:80\" }");
	assert_string_equal(config.product, "a//b");
	assert_string_equal(config.listen, "127.0.0.1:80");
	assert_refused("{ // one\n // two\n \"product\": [] }",
		       "f:3: product: a list where a value belongs (expected text)\n");
	assert_loads("a:\n  p95: 1s\n  runbook_url: https://example.com//x\n");
	assert_string_equal(config.budgets[0].runbook_url, "https://example.com//x");
	assert_loads("{a: {p95: 1s, runbook_url: https://example.com/x}}");
	assert_string_equal(config.budgets[0].runbook_url, "https://example.com/x");
}

static void unknown_keys_are_warned_of_with_a_guess(void **state)
{
	(void)state;
	assert_loads("prodct: X\nnonsense: 1\nlimits: {series_mx: 5}\n"
		     "a:\n  p95: {target: 1, critcal: 2}\n  widow: 5\n");
	assert_told("warning: f:1: prodct: unknown key, ignored (did you mean product?)\n");
	assert_told("warning: f:2: nonsense: unknown key, ignored\n");
	assert_told("warning: f:3: limits.series_mx: unknown key, ignored (did you mean "
		    "series_max?)\n");
	assert_told("warning: f:5: a.p95.critcal: unknown key, ignored (did you mean critical?)\n");
	assert_told("warning: f:6: a.widow: unknown key, ignored (did you mean window?)\n");
}

static void measures_of_later_versions_do_not_fail(void **state)
{
	(void)state;
	assert_loads("{\"websocket_connections\": {\"handshake_time_ms\": {\"target\": 500}, "
		     "\"message_latency_ms\": 5, \"connection_success_rate_percent\": 99}, "
		     "\"monitoring_interval\": \"60 seconds\"}");
	assert_told("warning: f:1: websocket_connections.handshake_time_ms: not judged by this "
		    "version\n");
	assert_told("warning: f:1: monitoring_interval: not used by this version, ignored\n");
	assert_int_equal(config.budget_count, 2);
	assert_loads("{database: {query_time_ms: {target: 5, critical: 9}}}");
	assert_told("warning: f:1: database.query_time_ms: unknown key, ignored\n");
	assert_string_equal(config.budgets[0].name, "default");
}

static void a_bad_value_is_named_with_line_key_and_expectation(void **state)
{
	(void)state;
	assert_refused("product: X\nlisten: nowhere\n",
		       "f:2: listen: \"nowhere\" is not an address and port (expected "
		       "127.0.0.1:9926, [::1]:9926 or :9926)\n");
	assert_refused("limits:\n  ring_bytes: 100000\n", "f:2: limits.ring_bytes: \"100000\" ");
	assert_refused("limits:\n  series_max: 1_000\n", "f:2: limits.series_max: \"1_000\" ");
	assert_refused("log: {level: loud}", "f:1: log.level: \"loud\" is none of them (expected "
					     "error, warn, info, debug)\n");
	assert_refused("a:\n  p95: 10\n  window: 500ms\n", "f:3: a.window: \"500ms\" ");
	assert_refused("a: {p95: 0}", "f:1: a.p95: \"0\" does not fit (expected more than 0 ");
	assert_refused("a: {p95: 3m}", "f:1: a.p95: \"3m\" does not fit ");
	assert_refused("a: {error_rate: 101}", "f:1: a.error_rate: \"101\" ");
	assert_refused("a: {p95: nan}", "f:1: a.p95: \"nan\" ");
	assert_refused("a: {p95: 1, role: proxy}", "f:1: a.role: \"proxy\" ");
	assert_refused("a: {p95: 1, runbook_url: ftp://x}", "f:1: a.runbook_url: ");
	assert_refused("budgets:\n- name: a\n  p95: 1\n- p95: 1\n",
		       "f:4: budgets[1]: has no name (expected name: ...)\n");
	assert_refused("budgets: [{name: a}]", "f:1: budgets[0]: names no measure ");
	assert_refused("budgets: 5", "f:1: budgets: not a list ");
	assert_refused("routes: [/a b]", "f:1: routes[0]: \"/a b\" has a blank ");
	assert_refused("routes: ['/a/{id}x']", "f:1: routes[0]: \"/a/{id}x\" has braces ");
	assert_refused("routes: [/a/*]", "f:1: routes[0]: \"/a/*\" has a *");
	assert_refused("rungs: {net request: x}", "f:1: rungs.net request: ");
	assert_refused("product: \"a\\x9bb\"", "f:1: product: \"a?b\" does not fit ");
	assert_refused("- 1\n", "f:1: not a configuration ");
}

static void several_problems_are_told_at_once(void **state)
{
	(void)state;
	assert_refused("listen: x\nlog: {level: y}\na: {p95: -1, hold: -1}\n", "f:1: listen: ");
	assert_told("f:2: log.level: ");
	assert_told("f:3: a.p95: ");
	assert_told("f:3: a.hold: ");
}

static void a_key_given_twice_is_an_error(void **state)
{
	(void)state;
	assert_refused("product: a\nlisten: :1\nproduct: b\n",
		       "f:3: product: given twice, first in line 1 (expected once)\n");
	assert_refused("a:\n  p95: 1\n  p95: 2\n", "f:3: p95: given twice, first in line 2 ");
	assert_refused("a: {p95: 1, p95_response_time_ms: 2}", "f:1: a.p95_response_time_ms: the "
							       "same measure under two names");
	assert_refused("budgets:\n- {name: a, p95: 1}\n- {name: a, p95: 2}\n",
		       "f:3: budgets[1]: p95_response_time_ms of \"a\" is drawn twice ");
}

static void broken_text_is_named_by_its_line(void **state)
{
	(void)state;
	assert_refused("a: 1\nb: [1, 2\n", "f:3: ");
	assert_refused("product: x\n\tlisten: y\n", "f:2: ");
	assert_refused("a: 1\nb: \xff\n", "f:2: ");
	assert_refused("a: 1\n--- \nb: 2\n", "f:2: a second document begins (expected one)\n");
	assert_refused("a: \"x\\0y\"", "f:1: text with a NUL in it ");
	assert_refused("[a, b]: 1", "f:1: a list or mapping as a key ");
}

static void bombs_are_refused(void **state)
{
	char *large = malloc(1024 * 1024 + 2);

	(void)state;
	assert_non_null(large);
	assert_refused("a: &a [x, x]\nb: [*a, *a]\n", "f:2: an alias (*a) is not accepted ");
	assert_refused("a: &a [*a]\n", "f:1: an alias ");
	memset(large, '[', 1024 * 1024);
	assert_int_equal(load_sized(large, 1024 * 1024), -EINVAL);
	assert_told("f:1: nested too deep (expected at most 16)\n");
	for (size_t i = 0; i < 1024 * 1024; i += 2)
		memcpy(large + i, "-\n", 2);
	assert_int_equal(load_sized(large, 1024 * 1024), -EINVAL);
	assert_told("f:20000: too many values (expected at most 20000)\n");
	memset(large, ' ', 1024 * 1024 + 1);
	assert_int_equal(load_sized(large, 1024 * 1024 + 1), -EFBIG);
	assert_told("f: too large (expected at most 1048576 bytes)\n");
	assert_int_equal(load_sized(large, 1024 * 1024), 0);
	free(large);
}

static void the_list_of_problems_is_bounded(void **state)
{
	struct text file = { 0 };
	size_t lines = 0;

	(void)state;
	for (int i = 0; i < 5000; i++)
		text_printf(&file, "unknown_key_%d: 1\n", i);
	text_append_string(&file, "listen: x\n");
	/* Errors after the last line that fits still count. */
	assert_int_equal(load(file.bytes), -EINVAL);
	for (const char *at = told(); *at; at++)
		lines += *at == '\n';
	assert_int_equal(lines, 64);
	assert_non_null(strstr(told(), "more problems follow"));
	text_fini(&file);
}

static void a_refused_file_leaves_the_configuration_alone(void **state)
{
	struct config before;

	(void)state;
	memset(&config, 0x5a, sizeof(config));
	before = config;
	assert_int_equal(load("listen: x\na: {p95: 1}\nroutes: [/a]\n"), -EINVAL);
	assert_memory_equal(&config, &before, sizeof(config));
}

static void files_that_cannot_be_read_say_why(void **state)
{
	char path[] = "/tmp/plimsoll-config-XXXXXX";
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, full, strlen(full)), strlen(full));
	close(fd);
	assert_int_equal(config_load(&config, path, &problems), 0);
	is_loaded = true;
	assert_string_equal(config.product, "LEANVIBE");
	unlink(path);
	unload(NULL);
	assert_int_equal(config_load(&config, path, &problems), -ENOENT);
	assert_non_null(strstr(told(), ": cannot open: No such file or directory\n"));
	assert_int_equal(config_load(&config, "/tmp", &problems), -EISDIR);
	assert_int_equal(config_load(&config, "/dev/zero", &problems), -EFBIG);
	assert_int_equal(config_load(&config, "/dev/null", &problems), 0);
	is_loaded = true;
	assert_int_equal(config.budget_count, 2);
}

static void the_shipped_files_load_without_a_word(void **state)
{
	static const char *const paths[] = { "deploy/config/plimsoll.yaml",
					     "deploy/config/development.yaml",
					     "deploy/config/performance_sla.json" };

	(void)state;
	if (access("deploy/config", X_OK))
		skip();
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		unload(NULL);
		is_loaded = !config_load(&config, paths[i], &problems);
		if (problems.length)
			print_error("%s", told());
		assert_true(is_loaded);
		assert_int_equal(problems.length, 0);
		assert_true(config.budget_count > 1);
	}
}

#define PROMISE(function) cmocka_unit_test_teardown(function, unload)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PROMISE(a_component_file_loads_as_it_is),
		PROMISE(direction_follows_from_target_and_critical),
		PROMISE(limits_in_no_order_are_refused),
		PROMISE(what_is_left_out_of_a_triple_is_filled_in),
		PROMISE(endpoint_lines_become_budgets_and_routes),
		PROMISE(an_endpoint_can_be_a_mapping),
		PROMISE(every_key_is_read),
		PROMISE(every_key_of_a_budget_is_read),
		PROMISE(without_a_budget_the_built_in_one_stands),
		PROMISE(comments_in_json_are_blanked_and_lines_kept),
		PROMISE(unknown_keys_are_warned_of_with_a_guess),
		PROMISE(measures_of_later_versions_do_not_fail),
		PROMISE(a_bad_value_is_named_with_line_key_and_expectation),
		PROMISE(several_problems_are_told_at_once),
		PROMISE(a_key_given_twice_is_an_error),
		PROMISE(broken_text_is_named_by_its_line),
		PROMISE(bombs_are_refused),
		PROMISE(the_list_of_problems_is_bounded),
		PROMISE(a_refused_file_leaves_the_configuration_alone),
		PROMISE(files_that_cannot_be_read_say_why),
		PROMISE(the_shipped_files_load_without_a_word),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
