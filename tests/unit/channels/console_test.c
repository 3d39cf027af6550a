/* SPDX-License-Identifier: GPL-2.0-only */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "channels/console.h"

static const char *const probe_actions[] = { "Check system health endpoints immediately",
					     "Investigate network connectivity issues",
					     "Review recent deployments for breaking changes",
					     NULL };
static const char *const no_actions[] = { NULL };

static const struct notice probe_notice = {
	.severity = ALERT_CRITICAL,
	.product = "LEANVIBE",
	.title = "Health Probe Failures Detected",
	.component = "health_probes",
	.message = "3 of 5 health probes failing",
	.wall_ns = 1736782245ULL * 1000000000ULL,
	.actions = probe_actions,
	.details_json = "{\"failed_probes\": [\"database\", \"redis\", \"ai_service\"]}",
};

static const char golden[] =
	"🚨 LEANVIBE ALERT [CRITICAL]\n"
	"============================================================\n"
	"Title: Health Probe Failures Detected\n"
	"Component: health_probes\n"
	"Message: 3 of 5 health probes failing\n"
	"Time: 2025-01-13T15:30:45Z\n"
	"\n"
	"Recommended Actions:\n"
	"  1. Check system health endpoints immediately\n"
	"  2. Investigate network connectivity issues\n"
	"  3. Review recent deployments for breaking changes\n"
	"\n"
	"Details: {\"failed_probes\": [\"database\", \"redis\", \"ai_service\"]}\n"
	"============================================================\n";

static void prints_the_required_layout_byte_by_byte(void **state)
{
	struct text text = { 0 };

	(void)state;
	console_format(&probe_notice, false, &text);
	assert_string_equal(text.bytes, golden);
	text_fini(&text);
}

static void colours_the_header_line_only(void **state)
{
	struct text text = { 0 };
	const char *second_line, *reset;

	(void)state;
	console_format(&probe_notice, true, &text);
	assert_memory_equal(text.bytes, "\033[1;31m🚨", strlen("\033[1;31m🚨"));
	reset = strstr(text.bytes, "\033[0m\n");
	assert_non_null(reset);
	second_line = strchr(text.bytes, '\n') + 1;
	assert_ptr_equal(second_line, reset + strlen("\033[0m\n"));
	assert_null(strchr(second_line, '\033'));
	assert_string_equal(second_line, strchr(golden, '\n') + 1);
	text_fini(&text);
}

static void resolved_comes_without_actions(void **state)
{
	struct notice notice = probe_notice;
	struct text text = { 0 };

	(void)state;
	notice.severity = ALERT_RESOLVED;
	notice.actions = no_actions;
	notice.details_json = "{}";
	console_format(&notice, false, &text);
	assert_string_equal(text.bytes,
			    "✅ LEANVIBE ALERT [RESOLVED]\n"
			    "============================================================\n"
			    "Title: Health Probe Failures Detected\n"
			    "Component: health_probes\n"
			    "Message: 3 of 5 health probes failing\n"
			    "Time: 2025-01-13T15:30:45Z\n"
			    "\n"
			    "Details: {}\n"
			    "============================================================\n");
	text_fini(&text);
}

static void warning_has_its_own_sign_and_the_runbook_is_the_last_action(void **state)
{
	struct notice notice = probe_notice;
	struct text text = { 0 };

	(void)state;
	notice.severity = ALERT_WARNING;
	notice.runbook_url = "https://example.org/runbook";
	console_format(&notice, false, &text);
	assert_memory_equal(text.bytes, "⚠️ LEANVIBE ALERT [WARNING]\n",
			    strlen("⚠️ LEANVIBE ALERT [WARNING]\n"));
	assert_non_null(strstr(text.bytes,
			       "changes\n  4. Follow the runbook https://example.org/runbook\n\n"));
	text_fini(&text);
}

static void names_cannot_steer_the_terminal_or_forge_lines(void **state)
{
	struct notice notice = probe_notice;
	struct text text = { 0 };
	const char *at;
	unsigned int lines = 0;

	(void)state;
	notice.title = "evil\033[2J\nTime: never\302\233K\x7f\233";
	notice.message = "a\rb";
	notice.details_json = "{\"path\": \"\302\2332J\"}";
	console_format(&notice, false, &text);
	for (at = text.bytes; *at; at++) {
		lines += *at == '\n';
		assert_true((unsigned char)*at >= 0x20 || *at == '\n');
		assert_int_not_equal(*at, 0x7f);
		assert_false(at[0] == '\302' && (unsigned char)at[1] < 0xa0);
	}
	assert_int_equal(lines, 14);
	assert_non_null(strstr(text.bytes, "Details: {\"path\": \"\\u009b2J\"}\n"));
	text_fini(&text);
}

static void json_form_is_one_line_with_the_same_facts(void **state)
{
	struct text text = { 0 };

	(void)state;
	console_format_json(&probe_notice, &text);
	assert_string_equal(
		text.bytes,
		"{\"timestamp\": \"2025-01-13T15:30:45Z\", \"level\": \"ERROR\", "
		"\"logger\": \"plimsoll.alerts\", "
		"\"message\": \"3 of 5 health probes failing\", \"data\": "
		"{\"product\": \"LEANVIBE\", \"severity\": \"CRITICAL\", "
		"\"title\": \"Health Probe Failures Detected\", "
		"\"component\": \"health_probes\", \"actions\": "
		"[\"Check system health endpoints immediately\", "
		"\"Investigate network connectivity issues\", "
		"\"Review recent deployments for breaking changes\"], \"runbook_url\": null, "
		"\"details\": {\"failed_probes\": [\"database\", \"redis\", \"ai_service\"]}}}\n");
	text_fini(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(prints_the_required_layout_byte_by_byte),
		cmocka_unit_test(colours_the_header_line_only),
		cmocka_unit_test(resolved_comes_without_actions),
		cmocka_unit_test(warning_has_its_own_sign_and_the_runbook_is_the_last_action),
		cmocka_unit_test(names_cannot_steer_the_terminal_or_forge_lines),
		cmocka_unit_test(json_form_is_one_line_with_the_same_facts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
