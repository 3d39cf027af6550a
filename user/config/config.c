/* SPDX-License-Identifier: GPL-2.0-only */
#include "config/config.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "config/config_build.h"
#include "config/value.h"

static const char *const measure_names[MEASURE_COUNT] = {
	[MEASURE_P50] = "p50_response_time_ms",
	[MEASURE_P95] = "p95_response_time_ms",
	[MEASURE_P99] = "p99_response_time_ms",
	[MEASURE_ERROR_RATE] = "error_rate_percent",
	[MEASURE_THROUGHPUT] = "throughput_requests_per_second",
};

int config_init(struct config *ret_config)
{
	int err;

	config_build_defaults(ret_config);
	err = config_build_default_budgets(ret_config);
	if (err)
		config_fini(ret_config);
	return err;
}

void config_fini(struct config *config)
{
	for (size_t i = 0; i < config->budget_count; i++) {
		config_build_free_actions(config->budgets[i].actions);
		free(config->budgets[i].runbook_url);
	}
	free(config->budgets);
	free(config->routes);
	free(config->rungs);
	memset(config, 0, sizeof(*config));
}

const char *budget_measure_name(enum budget_measure measure)
{
	return (unsigned int)measure < MEASURE_COUNT ? measure_names[measure] : "unknown";
}

bool config_is_listen(const char *listen)
{
	const char *colon = strrchr(listen, ':');
	unsigned char address[sizeof(struct in6_addr)];
	char host[64];
	unsigned long port;
	size_t length;

	if (!colon || strlen(listen) >= sizeof(((struct config *)0)->listen))
		return false;
	length = strspn(colon + 1, "0123456789");
	if (!length || length > 5 || colon[1 + length])
		return false;
	port = strtoul(colon + 1, NULL, 10);
	if (port > 65535)
		return false;
	length = colon - listen;
	memcpy(host, listen, length);
	host[length] = '\0';
	if (!length)
		return true;
	if (host[0] == '[' && host[length - 1] == ']') {
		host[length - 1] = '\0';
		return inet_pton(AF_INET6, host + 1, address) == 1;
	}
	return !strcmp(host, "localhost") || inet_pton(AF_INET, host, address) == 1;
}

static bool is_name_of(const char *text, size_t length, size_t size, const char *also)
{
	if (!length || length >= size)
		return false;
	for (size_t i = 0; i < length; i++) {
		if (!isalnum((unsigned char)text[i]) && !strchr(also, text[i]))
			return false;
	}
	return true;
}

int config_add_rung(struct config *config, const char *probe_equals_rung)
{
	struct rung_choice choice;
	const char *equals = strchr(probe_equals_rung, '=');
	size_t length;

	if (!equals)
		return -EINVAL;
	length = equals - probe_equals_rung;
	if (!is_name_of(probe_equals_rung, length, sizeof(choice.probe), "_/") ||
	    !is_name_of(equals + 1, strlen(equals + 1), sizeof(choice.rung), "_"))
		return -EINVAL;
	memcpy(choice.probe, probe_equals_rung, length);
	choice.probe[length] = '\0';
	return config_build_rung(config, choice.probe, equals + 1);
}

static int read_environment_switch(const char *name, bool *ret_value, struct text *problems)
{
	const char *text = getenv(name);

	if (!text || !*text)
		return 0;
	if (!value_boolean(text, ret_value))
		return 0;
	text_printf(problems,
		    "environment: %s: neither true nor false (expected true, false, 1, 0)\n", name);
	return -EINVAL;
}

static int read_environment_text(const char *name, char *ret_text, size_t size,
				 struct text *problems)
{
	const char *text = getenv(name);

	if (!text || !*text)
		return 0;
	for (const char *at = text; *at; at++) {
		if ((unsigned char)*at < 0x20 || *at == 0x7f || (size_t)(at - text) + 1 >= size) {
			text_printf(problems,
				    "environment: %s: does not fit (expected at most %zu "
				    "printable bytes)\n",
				    name, size - 1);
			return -EINVAL;
		}
	}
	text_copy(ret_text, size, text);
	return 0;
}

int config_apply_environment(struct config *config, struct text *problems)
{
	bool enabled = config->enabled, json = false;
	char environment[sizeof(config->environment)];
	char listen[sizeof(config->listen)];
	int err = 0;

	text_copy(environment, sizeof(environment), config->environment);
	text_copy(listen, sizeof(listen), config->listen);
	if (read_environment_switch("MONITORING_ENABLED", &enabled, problems))
		err = -EINVAL;
	if (read_environment_switch("ENABLE_JSON_LOGGING", &json, problems))
		err = -EINVAL;
	if (read_environment_text("ENVIRONMENT", environment, sizeof(environment), problems))
		err = -EINVAL;
	if (read_environment_text("PLIMSOLL_LISTEN", listen, sizeof(listen), problems)) {
		err = -EINVAL;
	} else if (!config_is_listen(listen)) {
		text_printf(problems, "environment: PLIMSOLL_LISTEN: not an address and port "
				      "(expected 127.0.0.1:9926, [::1]:9926 or :9926)\n");
		err = -EINVAL;
	}
	if (err)
		return err;
	config->enabled = enabled;
	if (json)
		config->log_format = LOG_FORMAT_JSON;
	text_copy(config->environment, sizeof(config->environment), environment);
	text_copy(config->listen, sizeof(config->listen), listen);
	return 0;
}

/* Keeps the list ascending and without doubles; when it is full the largest falls out. */
static size_t insert_threshold(uint64_t *thresholds, size_t count, size_t max, uint64_t value)
{
	size_t at = 0;

	while (at < count && thresholds[at] < value)
		at++;
	if (at == max || (at < count && thresholds[at] == value))
		return count;
	if (count == max)
		count--;
	memmove(thresholds + at + 1, thresholds + at, (count - at) * sizeof(*thresholds));
	thresholds[at] = value;
	return count + 1;
}

size_t config_thresholds_ns(const struct config *config, uint64_t *ret_thresholds, size_t max)
{
	size_t count = 0;

	for (size_t i = 0; i < config->budget_count; i++) {
		const struct budget_line *line = &config->budgets[i];
		const double limits_ms[] = { line->target, line->warning, line->critical };

		if (line->measure > MEASURE_P99)
			continue;
		for (size_t j = 0; j < 3; j++) {
			if (isnan(limits_ms[j]))
				continue;
			count = insert_threshold(ret_thresholds, count, max,
						 (uint64_t)llround(limits_ms[j] * 1e6));
		}
	}
	return count;
}

bool config_glob_matches(const char *pattern, const char *text)
{
	const char *star = NULL, *retry = NULL;

	while (*text) {
		if (*pattern == '*') {
			star = pattern++;
			retry = text;
		} else if (*pattern == '?' || *pattern == *text) {
			pattern++;
			text++;
		} else if (star) {
			/* Only the last star can need another try: no recursion, no blow-up. */
			pattern = star + 1;
			text = ++retry;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return !*pattern;
}
