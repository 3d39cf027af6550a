/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Any bytes as a configuration file: an error with a line, or a configuration
 * that keeps its promises. Never a crash, a leak or more than a bounded list of
 * problems.
 *
 * sources: user/config/[a-z]*.c user/base/text.c
 * libs: yaml-0.1
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static void require(bool promise)
{
	if (!promise)
		abort();
}

static void check_line(const struct budget_line *line)
{
	require(memchr(line->name, 0, sizeof(line->name)) && line->name[0]);
	require(memchr(line->service, 0, sizeof(line->service)) && line->service[0]);
	require(memchr(line->endpoint, 0, sizeof(line->endpoint)));
	require(isfinite(line->target) && isfinite(line->warning) && !isinf(line->critical));
	require(line->measure < MEASURE_COUNT && line->window_s >= 1);
	require(line->role == ROLE_SERVER || line->role == ROLE_CLIENT);
	require(line->actions && line->actions[0]);
}

static void check_config(const struct config *config)
{
	uint64_t thresholds[31];
	size_t count = config_thresholds_ns(config, thresholds, 31);

	for (size_t i = 1; i < count; i++)
		require(thresholds[i - 1] < thresholds[i]);
	for (size_t i = 0; i < config->budget_count; i++)
		check_line(&config->budgets[i]);
	for (size_t i = 0; i < config->route_count; i++)
		require(config->routes[i].pattern[0] == '/');
	require(config_is_listen(config->listen));
	require(!(config->ring_bytes & (config->ring_bytes - 1)));
	require(config->endpoints_per_service <= config->endpoints_max);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
	struct text problems = { 0 };
	struct config config;

	if (!config_load_bytes(&config, "fuzz", bytes, size, &problems)) {
		check_config(&config);
		config_fini(&config);
	} else {
		require(problems.length > 0);
	}
	require(problems.length < 64 * 2048);
	text_fini(&problems);
	return 0;
}
