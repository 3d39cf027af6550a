/* SPDX-License-Identifier: GPL-2.0-only */
/* The keys of a configuration file, top level first. docs/CONFIG.md lists the same. */
#include "config/reader.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "config/config_build.h"
#include "config/value.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

struct key {
	const char *name;
	void (*read)(struct reader *reader, const struct place *place, const yaml_node_t *node);
};

static void read_keys(struct reader *reader, const struct place *parent, const yaml_node_t *node,
		      const struct key *keys, size_t key_count);

static void read_product(struct reader *reader, const struct place *place, const yaml_node_t *node)
{
	reader_string(reader, node, place, reader->config->product,
		      sizeof(reader->config->product));
}

static void read_environment(struct reader *reader, const struct place *place,
			     const yaml_node_t *node)
{
	reader_string(reader, node, place, reader->config->environment,
		      sizeof(reader->config->environment));
}

static void read_listen(struct reader *reader, const struct place *place, const yaml_node_t *node)
{
	static const char expected[] = "127.0.0.1:9926, [::1]:9926 or :9926";
	const char *text = reader_scalar(reader, node, place, expected);

	if (!text)
		return;
	if (!config_is_listen(text)) {
		reader_error(reader, reader_line(node), place,
			     "\"%s\" is not an address and port (expected %s)",
			     reader_quote(text).text, expected);
		return;
	}
	text_copy(reader->config->listen, sizeof(reader->config->listen), text);
}

static void read_log_format(struct reader *reader, const struct place *place,
			    const yaml_node_t *node)
{
	static const enum log_format formats[] = { LOG_FORMAT_AUTO, LOG_FORMAT_TEXT,
						   LOG_FORMAT_JSON };
	static const char *const words[] = { "auto", "text", "json", NULL };
	int word = reader_word(reader, node, place, words);

	if (word >= 0)
		reader->config->log_format = formats[word];
}

static void read_log_level(struct reader *reader, const struct place *place,
			   const yaml_node_t *node)
{
	static const enum log_level levels[] = { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO,
						 LOG_LEVEL_DEBUG };
	static const char *const words[] = { "error", "warn", "info", "debug", NULL };
	int word = reader_word(reader, node, place, words);

	if (word >= 0)
		reader->config->log_level = levels[word];
}

static void read_log(struct reader *reader, const struct place *place, const yaml_node_t *node)
{
	static const struct key keys[] = {
		{ "format", read_log_format },
		{ "level", read_log_level },
	};

	read_keys(reader, place, node, keys, COUNT_OF(keys));
}

static void read_arrival_stamps(struct reader *reader, const struct place *place,
				const yaml_node_t *node)
{
	reader_boolean(reader, node, place, &reader->config->arrival_stamps);
}

static void read_ring_bytes(struct reader *reader, const struct place *place,
			    const yaml_node_t *node)
{
	static const char expected[] = "a power of two from 64 KiB to 256 MiB";
	const char *text = reader_scalar(reader, node, place, expected);
	uint64_t bytes;

	if (!text)
		return;
	if (value_bytes(text, &bytes) || bytes < 64 * 1024 || bytes > 256 * 1024 * 1024 ||
	    (bytes & (bytes - 1))) {
		reader_error(reader, reader_line(node), place, "\"%s\" does not fit (expected %s)",
			     reader_quote(text).text, expected);
		return;
	}
	reader->config->ring_bytes = (unsigned int)bytes;
}

struct limit {
	const char *name;
	size_t offset; /* in struct config */
	unsigned int low, high;
};

static const struct limit limits[] = {
	{ "endpoints_per_service", offsetof(struct config, endpoints_per_service), 1, 1000000 },
	{ "endpoints_max", offsetof(struct config, endpoints_max), 16, 1000000 },
	{ "connections_max", offsetof(struct config, connections_max), 16, 1000000 },
	{ "processes_max", offsetof(struct config, processes_max), 64, 1000000 },
	{ "series_max", offsetof(struct config, series_max), 16, 1000000 },
};

/* The field comes from the name at the end of the place, so one function serves every limit. */
static void read_limit(struct reader *reader, const struct place *place, const yaml_node_t *node)
{
	for (size_t i = 0; i < COUNT_OF(limits); i++) {
		void *field = (char *)reader->config + limits[i].offset;

		if (!strcmp(limits[i].name, place->key))
			reader_unsigned(reader, node, place, limits[i].low, limits[i].high, field);
	}
}

static void read_limits(struct reader *reader, const struct place *place, const yaml_node_t *node)
{
	struct config *config = reader->config;
	struct key keys[COUNT_OF(limits) + 1] = { { "ring_bytes", read_ring_bytes } };

	for (size_t i = 0; i < COUNT_OF(limits); i++)
		keys[i + 1] = (struct key){ limits[i].name, read_limit };
	read_keys(reader, place, node, keys, COUNT_OF(keys));
	if (config->endpoints_per_service > config->endpoints_max) {
		reader_warn(reader, reader_line(node), place,
			    "endpoints_per_service (%u) is more than endpoints_max, %u is used",
			    config->endpoints_per_service, config->endpoints_max);
		config->endpoints_per_service = config->endpoints_max;
	}
}

static void read_route(struct reader *reader, const struct place *place, const yaml_node_t *node)
{
	struct route_pattern route = { .service = "*" };
	const yaml_node_t *pattern_node = NULL;
	const char *problem;
	struct pair pair;
	size_t cursor = 0;
	int err;

	if (node->type != YAML_MAPPING_NODE)
		pattern_node = node;
	while (reader_next_pair(reader, node, &cursor, &pair)) {
		static const char *const known[] = { "service", "pattern", NULL };
		const struct place here = { .parent = place, .key = pair.key };

		if (!strcmp(pair.key, "service"))
			reader_string(reader, pair.value, &here, route.service,
				      sizeof(route.service));
		else if (!strcmp(pair.key, "pattern"))
			pattern_node = pair.value;
		else
			reader_unknown(reader, &pair, &here, known);
	}
	if (!pattern_node) {
		reader_error(reader, reader_line(node), place,
			     "names no pattern (expected one such as /api/projects/{id}/ast)");
		return;
	}
	if (!reader_string(reader, pattern_node, place, route.pattern, sizeof(route.pattern)))
		return;
	problem = config_build_pattern_problem(route.pattern);
	if (problem) {
		reader_error(reader, reader_line(pattern_node), place,
			     "\"%s\" %s (expected a pattern such as /api/projects/{id}/ast)",
			     reader_quote(route.pattern).text, problem);
		return;
	}
	err = config_build_route(reader->config, route.service, route.pattern);
	if (err == -E2BIG)
		reader_error(reader, reader_line(node), place,
			     "too many routes (expected at most %d)", CONFIG_ROUTES_MAX);
	else if (err)
		reader_out_of_memory(reader);
}

static void read_routes(struct reader *reader, const struct place *place, const yaml_node_t *node)
{
	const yaml_node_t *item;
	size_t cursor = 0;

	if (node->type != YAML_SEQUENCE_NODE) {
		reader_error(reader, reader_line(node), place,
			     "not a list (expected patterns such as \"/api/projects/{id}/ast\")");
		return;
	}
	while ((item = reader_next_item(reader, node, &cursor))) {
		const struct place here = { .parent = place, .index = cursor - 1 };

		read_route(reader, &here, item);
	}
}

static void read_rungs(struct reader *reader, const struct place *place, const yaml_node_t *node)
{
	char both[sizeof(struct rung_choice) + 1];
	struct pair pair;
	size_t cursor = 0;

	if (node->type != YAML_MAPPING_NODE) {
		reader_error(
			reader, reader_line(node), place,
			"not a mapping (expected probes and rungs: {net/request: tracepoint})");
		return;
	}
	while (reader_next_pair(reader, node, &cursor, &pair)) {
		const struct place here = { .parent = place, .key = pair.key };
		const char *rung = reader_scalar(reader, pair.value, &here, "a rung");
		int length, err = -EINVAL;

		if (!rung)
			continue;
		length = snprintf(both, sizeof(both), "%s=%s", pair.key, rung);
		if (length > 0 && (size_t)length < sizeof(both))
			err = config_add_rung(reader->config, both);
		if (err == -EINVAL)
			reader_error(reader, reader_line(pair.value), &here,
				     "not the names of a probe and a rung "
				     "(expected net/request: tracepoint)");
		else if (err == -E2BIG)
			reader_error(reader, reader_line(pair.value), &here,
				     "too many rungs (expected at most %d)", CONFIG_RUNGS_MAX);
		else if (err)
			reader_out_of_memory(reader);
	}
}

/* Read by later versions; files that carry them must load today. */
static void read_later(struct reader *reader, const struct place *place, const yaml_node_t *node)
{
	reader_warn(reader, reader_line(node), place, "not used by this version, ignored");
}

static const struct key top_keys[] = {
	{ "product", read_product },
	{ "environment", read_environment },
	{ "listen", read_listen },
	{ "log", read_log },
	{ "arrival_stamps", read_arrival_stamps },
	{ "limits", read_limits },
	{ "routes", read_routes },
	{ "rungs", read_rungs },
	{ "budgets", config_budgets_read },
	{ "endpoints", config_budgets_read_endpoints },
	{ "monitoring_interval", read_later },
	{ "alert_channels", read_later },
	{ "probe_timeout", read_later },
	{ "comprehensive_probes", read_later },
	{ "critical_probes", read_later },
	{ "canary_monitoring", read_later },
	{ "global_targets", read_later },
	{ "per_module_targets", read_later },
};

static const struct key *find_key(const struct key *keys, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++) {
		if (!strcmp(keys[i].name, name))
			return &keys[i];
	}
	return NULL;
}

static void unknown_key(struct reader *reader, const struct place *place, const struct pair *pair,
			const struct key *keys, size_t count)
{
	const char *known[COUNT_OF(top_keys) + 1] = { NULL };

	for (size_t i = 0; i < count && i < COUNT_OF(top_keys); i++)
		known[i] = keys[i].name;
	reader_unknown(reader, pair, place, known);
}

static void read_keys(struct reader *reader, const struct place *parent, const yaml_node_t *node,
		      const struct key *keys, size_t key_count)
{
	struct pair pair;
	size_t cursor = 0;

	if (node->type != YAML_MAPPING_NODE) {
		if (!reader_is_null(node))
			reader_error(reader, reader_line(node), parent,
				     "not a mapping (expected keys such as %s)", keys[0].name);
		return;
	}
	while (reader_next_pair(reader, node, &cursor, &pair)) {
		const struct place place = { .parent = parent, .key = pair.key };
		const struct key *key = find_key(keys, key_count, pair.key);

		if (key && !reader_is_null(pair.value))
			key->read(reader, &place, pair.value);
		else if (!key)
			unknown_key(reader, &place, &pair, keys, key_count);
	}
}

/* A key without a value ("routes:") keeps the default: what a commented-out list leaves behind. */
static void read_top_pair(struct reader *reader, const struct pair *pair)
{
	const struct place place = { .key = pair->key };
	const struct key *key = find_key(top_keys, COUNT_OF(top_keys), pair->key);

	if (key) {
		if (!reader_is_null(pair->value))
			key->read(reader, &place, pair->value);
	} else if (pair->key[0] == '/') {
		config_budgets_read_one(reader, &place, pair->value, NULL, pair->key);
	} else if (config_budgets_is_component(reader, pair->value)) {
		config_budgets_read_one(reader, &place, pair->value, pair->key, NULL);
	} else {
		unknown_key(reader, &place, pair, top_keys, COUNT_OF(top_keys));
	}
}

/* A budget must see the requests of its own endpoint, whatever the heuristic would make of them. */
static void add_budget_routes(struct reader *reader)
{
	struct config *config = reader->config;

	for (size_t i = 0; i < config->budget_count && !reader->err; i++) {
		const struct budget_line *line = &config->budgets[i];
		int err;

		if (!line->endpoint[0])
			continue;
		err = config_build_route(config, line->service, line->endpoint);
		if (err == -E2BIG)
			reader_error(reader, 0, NULL,
				     "too many routes and endpoints (expected at most %d)",
				     CONFIG_ROUTES_MAX);
		else if (err)
			reader_out_of_memory(reader);
	}
}

void config_keys_read(struct reader *reader, const yaml_node_t *root)
{
	struct pair pair;
	size_t cursor = 0;

	while (reader_next_pair(reader, root, &cursor, &pair))
		read_top_pair(reader, &pair);
	add_budget_routes(reader);
}
