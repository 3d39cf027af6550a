/* SPDX-License-Identifier: GPL-2.0-only */
#include "config/config_build.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const slow_actions[] = {
	"Investigate slow endpoints and database queries",
	"Check system resource utilization",
	"Review recent code changes for regressions",
	NULL,
};

static const char *const error_actions[] = {
	"Investigate error patterns and root causes",
	"Check for recent deployments",
	"Consider deployment rollback",
	NULL,
};

static const char *const throughput_actions[] = {
	"Check that clients and load balancers still reach the service",
	"Check the service for stalls, restarts and refused connections",
	"Compare with the load expected at this hour",
	NULL,
};

static const char *const *default_actions(enum budget_measure measure)
{
	switch (measure) {
	case MEASURE_ERROR_RATE:
		return error_actions;
	case MEASURE_THROUGHPUT:
		return throughput_actions;
	default:
		return slow_actions;
	}
}

void config_build_defaults(struct config *ret_config)
{
	memset(ret_config, 0, sizeof(*ret_config));
	text_copy(ret_config->product, sizeof(ret_config->product), "PLIMSOLL");
	text_copy(ret_config->listen, sizeof(ret_config->listen), "127.0.0.1:9926");
	ret_config->log_format = LOG_FORMAT_AUTO;
	ret_config->log_level = LOG_LEVEL_INFO;
	ret_config->enabled = true;
	ret_config->arrival_stamps = true;
	ret_config->endpoints_per_service = 1000;
	ret_config->endpoints_max = 4096;
	ret_config->connections_max = 4096;
	ret_config->processes_max = 16384;
	ret_config->series_max = 20000;
	ret_config->ring_bytes = 1024 * 1024;
}

int config_build_default_budgets(struct config *config)
{
	struct budget_line line = {
		.name = "default",
		.service = "*",
		.role = ROLE_SERVER,
		.window_s = 30,
		.least_requests = 10,
	};
	int err;

	line.measure = MEASURE_P95;
	line.target = 500;
	line.warning = 500;
	line.critical = 1000;
	err = config_build_budget(config, &line);
	if (err)
		return err;
	line.measure = MEASURE_ERROR_RATE;
	line.target = 5;
	line.warning = 5;
	line.critical = 5;
	return config_build_budget(config, &line);
}

void config_build_copy(char *ret_text, size_t size, const char *text)
{
	size_t length = strlen(text);

	if (length >= size) {
		length = size - 1;
		while (length && ((unsigned char)text[length] & 0xc0) == 0x80)
			length--;
	}
	memcpy(ret_text, text, length);
	ret_text[length] = '\0';
}

void config_build_free_actions(char **actions)
{
	for (char **action = actions; action && *action; action++)
		free(*action);
	free(actions);
}

static char **copy_actions(const char *const *actions)
{
	size_t count = 0;
	char **copy;

	while (actions[count])
		count++;
	copy = calloc(count + 1, sizeof(*copy));
	if (!copy)
		return NULL;
	for (size_t i = 0; i < count; i++) {
		copy[i] = strdup(actions[i]);
		if (!copy[i]) {
			config_build_free_actions(copy);
			return NULL;
		}
	}
	return copy;
}

/* Room for one more entry: grows by doubling, so `count` alone tells the capacity. */
static int make_room(void **list, size_t count, size_t entry_size, size_t most)
{
	void *larger;

	if (count >= most)
		return -E2BIG;
	if (count & (count - 1))
		return 0;
	larger = reallocarray(*list, count ? count * 2 : 1, entry_size);
	if (!larger)
		return -ENOMEM;
	*list = larger;
	return 0;
}

static bool is_same_line(const struct budget_line *a, const struct budget_line *b)
{
	return a->measure == b->measure && a->role == b->role && !strcmp(a->name, b->name) &&
	       !strcmp(a->service, b->service) && !strcmp(a->endpoint, b->endpoint);
}

int config_build_budget(struct config *config, const struct budget_line *line)
{
	struct budget_line copy = *line;
	void *list = config->budgets;
	int err;

	for (size_t i = 0; i < config->budget_count; i++) {
		if (is_same_line(&config->budgets[i], line))
			return -EEXIST;
	}
	err = make_room(&list, config->budget_count, sizeof(copy), CONFIG_BUDGETS_MAX);
	if (err)
		return err;
	config->budgets = list;
	copy.actions = copy_actions(line->actions ? (const char *const *)line->actions
						  : default_actions(line->measure));
	copy.runbook_url = line->runbook_url ? strdup(line->runbook_url) : NULL;
	if (!copy.actions || (line->runbook_url && !copy.runbook_url)) {
		config_build_free_actions(copy.actions);
		free(copy.runbook_url);
		return -ENOMEM;
	}
	config->budgets[config->budget_count++] = copy;
	return 0;
}

int config_build_route(struct config *config, const char *service, const char *pattern)
{
	void *list = config->routes;
	struct route_pattern *route;
	int err;

	for (size_t i = 0; i < config->route_count; i++) {
		if (!strcmp(config->routes[i].service, service) &&
		    !strcmp(config->routes[i].pattern, pattern))
			return 0;
	}
	err = make_room(&list, config->route_count, sizeof(*route), CONFIG_ROUTES_MAX);
	if (err)
		return err;
	config->routes = list;
	route = &config->routes[config->route_count++];
	memset(route, 0, sizeof(*route));
	text_copy(route->service, sizeof(route->service), service);
	text_copy(route->pattern, sizeof(route->pattern), pattern);
	return 0;
}

int config_build_rung(struct config *config, const char *probe, const char *rung)
{
	void *list = config->rungs;
	struct rung_choice *choice;
	int err;

	for (size_t i = 0; i < config->rung_count; i++) {
		choice = &config->rungs[i];
		if (!strcmp(choice->probe, probe)) {
			text_copy(choice->rung, sizeof(choice->rung), rung);
			return 0;
		}
	}
	err = make_room(&list, config->rung_count, sizeof(*choice), CONFIG_RUNGS_MAX);
	if (err)
		return err;
	config->rungs = list;
	choice = &config->rungs[config->rung_count++];
	memset(choice, 0, sizeof(*choice));
	text_copy(choice->probe, sizeof(choice->probe), probe);
	text_copy(choice->rung, sizeof(choice->rung), rung);
	return 0;
}

const char *config_build_pattern_problem(const char *pattern)
{
	const char *segment = pattern;

	if (*pattern != '/')
		return "does not begin with /";
	for (const char *at = pattern; *at; at++) {
		if ((unsigned char)*at <= 0x20 || *at == 0x7f)
			return "has a blank or control character";
		if (*at == '?' || *at == '#')
			return "has a query or fragment, which is not part of a route";
		if (*at == '*')
			return "has a *; {name} stands for one segment";
	}
	while (*segment) {
		size_t length = strcspn(++segment, "/");
		size_t braces = 0;

		for (size_t i = 0; i < length; i++)
			braces += segment[i] == '{' || segment[i] == '}';
		if (braces &&
		    (braces != 2 || length < 3 || segment[0] != '{' || segment[length - 1] != '}'))
			return "has braces that do not enclose one whole segment";
		segment += length;
	}
	return NULL;
}
