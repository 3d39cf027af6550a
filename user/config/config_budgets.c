/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Budgets as people write them: a component of measures (performance_sla.json),
 * "/path: P95 < 100ms", or an entry of `budgets:` with everything spelled out.
 * All three are one shape here: options and measures in one mapping.
 */
#include "config/reader.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <strings.h>

#include "config/config_build.h"
#include "config/value.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

#define WINDOW_DEFAULT_S 60
#define WINDOW_MAX_S	 3600
#define HOLD_MAX_S	 86400
#define LEAST_DEFAULT	 10
#define LEAST_MAX	 1000000000
#define LATENCY_MAX_MS	 120000 /* the histogram ends at 128 s */
#define ACTION_SIZE	 257
#define URL_SIZE	 513

struct limits_of_measure {
	bool is_set;
	bool lower_is_worse;
	double target, warning, critical;
};

/* Strings point into the document. */
struct item {
	struct budget_line line; /* what all measures of the item share */
	struct limits_of_measure measures[MEASURE_COUNT];
	size_t measure_count; /* known to this version or a later one */
	char *actions[CONFIG_ACTIONS_MAX + 1];
};

struct measure_name {
	const char *name;
	enum budget_measure measure; /* MEASURE_COUNT: judged by a later version */
};

static const struct measure_name measure_names[] = {
	{ "p50_response_time_ms", MEASURE_P50 },
	{ "p95_response_time_ms", MEASURE_P95 },
	{ "p99_response_time_ms", MEASURE_P99 },
	{ "error_rate_percent", MEASURE_ERROR_RATE },
	{ "throughput_requests_per_second", MEASURE_THROUGHPUT },
	{ "p50", MEASURE_P50 },
	{ "p95", MEASURE_P95 },
	{ "p99", MEASURE_P99 },
	{ "error_rate", MEASURE_ERROR_RATE },
	{ "throughput", MEASURE_THROUGHPUT },
	{ "handshake_time_ms", MEASURE_COUNT },
	{ "message_latency_ms", MEASURE_COUNT },
	{ "connection_success_rate_percent", MEASURE_COUNT },
};

static const struct measure_name *find_measure(const char *name)
{
	for (size_t i = 0; i < COUNT_OF(measure_names); i++) {
		if (!strcasecmp(measure_names[i].name, name))
			return &measure_names[i];
	}
	return NULL;
}

static const char *expected_of(enum budget_measure measure)
{
	switch (measure) {
	case MEASURE_ERROR_RATE:
		return "0 to 100 per cent, such as 0.5 or 0.5%";
	case MEASURE_THROUGHPUT:
		return "0 to 1000000000 requests per second, such as 100";
	default:
		return "more than 0 and at most 120000 ms, such as 250, 250ms or 2s";
	}
}

static int parse_limit(const char *text, enum budget_measure measure, double *ret_limit)
{
	double value;

	switch (measure) {
	case MEASURE_ERROR_RATE:
		if (value_percent(text, &value) || value < 0 || value > 100)
			return -EINVAL;
		break;
	case MEASURE_THROUGHPUT:
		if (value_rate(text, &value) || value < 0 || value > 1e9)
			return -EINVAL;
		break;
	default:
		if (value_duration_s(text, 1e-3, &value) || value > LATENCY_MAX_MS / 1e3)
			return -EINVAL;
		/* Whole ns: the threshold must be the same number here and as a bucket bound. */
		value = round(value * 1e9) / 1e6;
		if (value <= 0)
			return -EINVAL;
		break;
	}
	*ret_limit = value;
	return 0;
}

static bool read_limit(struct reader *reader, const struct place *place, const yaml_node_t *node,
		       enum budget_measure measure, double *ret_limit)
{
	const char *expected = expected_of(measure);
	const char *text = reader_scalar(reader, node, place, expected);

	if (!text)
		return false;
	if (!parse_limit(text, measure, ret_limit))
		return true;
	reader_error(reader, reader_line(node), place, "\"%s\" does not fit (expected %s)",
		     reader_quote(text).text, expected);
	return false;
}

/* Fills the gaps, finds the direction, refuses limits in no order. */
static void settle_limits(struct reader *reader, const struct place *place, const yaml_node_t *node,
			  enum budget_measure measure, struct limits_of_measure *limits)
{
	double far;

	if (isnan(limits->warning))
		limits->warning = isnan(limits->critical) ? limits->target : limits->critical;
	if (isnan(limits->target))
		limits->target = limits->warning;
	if (isnan(limits->target)) {
		reader_error(reader, reader_line(node), place,
			     "no line is drawn (expected target, warning or critical)");
		return;
	}
	far = isnan(limits->critical) ? limits->warning : limits->critical;
	limits->lower_is_worse =
		limits->target > far || (limits->target == far && measure == MEASURE_THROUGHPUT);
	if (limits->warning < fmin(limits->target, far) ||
	    limits->warning > fmax(limits->target, far)) {
		reader_error(reader, reader_line(node), place,
			     "warning %g is not between target %g and critical %g "
			     "(expected an order from good to bad)",
			     limits->warning, limits->target, far);
		return;
	}
	if (limits->target != far && limits->lower_is_worse != (measure == MEASURE_THROUGHPUT))
		reader_warn(reader, reader_line(node), place,
			    "target %g and critical %g: taken as %s is worse", limits->target, far,
			    limits->lower_is_worse ? "lower" : "higher");
	limits->is_set = true;
}

static void read_limits(struct reader *reader, const struct place *place, const yaml_node_t *node,
			enum budget_measure measure, struct limits_of_measure *limits)
{
	static const char *const known[] = { "target", "warning", "critical", NULL };
	double *const fields[] = { &limits->target, &limits->warning, &limits->critical };
	struct pair pair;
	size_t cursor = 0;
	bool good = true;

	if (limits->is_set) {
		reader_error(reader, reader_line(node), place,
			     "the same measure under two names (expected once)");
		return;
	}
	limits->target = limits->warning = limits->critical = NAN;
	if (node->type != YAML_MAPPING_NODE) {
		if (!read_limit(reader, place, node, measure, &limits->target))
			return;
		limits->warning = limits->critical = limits->target;
	}
	while (reader_next_pair(reader, node, &cursor, &pair)) {
		const struct place here = { .parent = place, .key = pair.key };
		int index = 0;

		while (known[index] && strcmp(known[index], pair.key))
			index++;
		if (!known[index])
			reader_unknown(reader, &pair, &here, known);
		else if (!reader_is_null(pair.value))
			good &= read_limit(reader, &here, pair.value, measure, fields[index]);
	}
	if (good)
		settle_limits(reader, place, node, measure, limits);
}

static void read_name(struct reader *reader, const struct place *place, const yaml_node_t *node,
		      struct item *item)
{
	reader_string(reader, node, place, item->line.name, sizeof(item->line.name));
}

static void read_service(struct reader *reader, const struct place *place, const yaml_node_t *node,
			 struct item *item)
{
	reader_string(reader, node, place, item->line.service, sizeof(item->line.service));
}

static bool set_endpoint(struct reader *reader, const struct place *place, size_t line,
			 const char *endpoint, struct item *item)
{
	const char *problem = config_build_pattern_problem(endpoint);

	if (!problem && strlen(endpoint) >= sizeof(item->line.endpoint))
		problem = "is longer than 127 bytes";
	if (problem) {
		reader_error(reader, line, place, "\"%s\" %s (expected /path or /path/{id})",
			     reader_quote(endpoint).text, problem);
		return false;
	}
	return text_copy(item->line.endpoint, sizeof(item->line.endpoint), endpoint);
}

static void read_endpoint(struct reader *reader, const struct place *place, const yaml_node_t *node,
			  struct item *item)
{
	const char *text = reader_scalar(reader, node, place, "/path or /path/{id}");

	if (text)
		set_endpoint(reader, place, reader_line(node), text, item);
}

static void read_role(struct reader *reader, const struct place *place, const yaml_node_t *node,
		      struct item *item)
{
	static const char *const words[] = { "server", "client", NULL };
	int word = reader_word(reader, node, place, words);

	if (word >= 0)
		item->line.role = word ? ROLE_CLIENT : ROLE_SERVER;
}

static void read_window(struct reader *reader, const struct place *place, const yaml_node_t *node,
			struct item *item)
{
	reader_seconds(reader, node, place, 1, WINDOW_MAX_S, &item->line.window_s);
}

static void read_hold(struct reader *reader, const struct place *place, const yaml_node_t *node,
		      struct item *item)
{
	reader_seconds(reader, node, place, 0, HOLD_MAX_S, &item->line.hold_s);
}

static void read_least(struct reader *reader, const struct place *place, const yaml_node_t *node,
		       struct item *item)
{
	reader_unsigned(reader, node, place, 0, LEAST_MAX, &item->line.least_requests);
}

static void read_critical(struct reader *reader, const struct place *place, const yaml_node_t *node,
			  struct item *item)
{
	reader_boolean(reader, node, place, &item->line.endpoint_critical);
}

static void read_action(struct reader *reader, const struct place *place, const yaml_node_t *node,
			struct item *item, size_t index)
{
	char action[ACTION_SIZE];

	if (index >= CONFIG_ACTIONS_MAX) {
		if (index == CONFIG_ACTIONS_MAX)
			reader_error(reader, reader_line(node), place,
				     "too many actions (expected at most %d)", CONFIG_ACTIONS_MAX);
		return;
	}
	if (reader_string(reader, node, place, action, sizeof(action)))
		item->actions[index] = (char *)node->data.scalar.value;
}

static void read_actions(struct reader *reader, const struct place *place, const yaml_node_t *node,
			 struct item *item)
{
	const yaml_node_t *entry;
	size_t cursor = 0;

	memset(item->actions, 0, sizeof(item->actions));
	if (node->type != YAML_SEQUENCE_NODE) {
		read_action(reader, place, node, item, 0);
		return;
	}
	while ((entry = reader_next_item(reader, node, &cursor))) {
		const struct place here = { .parent = place, .index = cursor - 1 };

		read_action(reader, &here, entry, item, cursor - 1);
	}
}

static void read_runbook(struct reader *reader, const struct place *place, const yaml_node_t *node,
			 struct item *item)
{
	char url[URL_SIZE];

	if (!reader_string(reader, node, place, url, sizeof(url)))
		return;
	if (strncasecmp(url, "https://", 8) && strncasecmp(url, "http://", 7)) {
		reader_error(reader, reader_line(node), place,
			     "\"%s\" is not a web address (expected https://...)",
			     reader_quote(url).text);
		return;
	}
	item->line.runbook_url = (char *)node->data.scalar.value;
}

struct option {
	const char *name;
	void (*read)(struct reader *reader, const struct place *place, const yaml_node_t *node,
		     struct item *item);
};

static const struct option options[] = {
	{ "name", read_name },		{ "service", read_service },
	{ "endpoint", read_endpoint },	{ "role", read_role },
	{ "window", read_window },	{ "hold", read_hold },
	{ "min_requests", read_least }, { "critical", read_critical },
	{ "actions", read_actions },	{ "runbook_url", read_runbook },
};

static void read_measure(struct reader *reader, const struct place *place,
			 const struct measure_name *name, const yaml_node_t *node,
			 struct item *item)
{
	item->measure_count++;
	if (name->measure == MEASURE_COUNT)
		reader_warn(reader, reader_line(node), place, "not judged by this version");
	else
		read_limits(reader, place, node, name->measure, &item->measures[name->measure]);
}

static bool has_limits(const struct reader *reader, const yaml_node_t *node)
{
	struct pair pair;
	size_t cursor = 0;

	while (reader_next_pair(reader, node, &cursor, &pair)) {
		if (!strcmp(pair.key, "target") || !strcmp(pair.key, "critical"))
			return true;
	}
	return false;
}

static void read_pair(struct reader *reader, const struct place *place, const struct pair *pair,
		      struct item *item)
{
	const char *known[COUNT_OF(options) + COUNT_OF(measure_names) + 1] = { NULL };
	const struct measure_name *measure = find_measure(pair->key);
	size_t count = 0;

	if (measure) {
		read_measure(reader, place, measure, pair->value, item);
		return;
	}
	for (size_t i = 0; i < COUNT_OF(options); i++) {
		if (!strcmp(options[i].name, pair->key)) {
			if (!reader_is_null(pair->value))
				options[i].read(reader, place, pair->value, item);
			return;
		}
		known[count++] = options[i].name;
	}
	for (size_t i = 0; i < COUNT_OF(measure_names); i++)
		known[count++] = measure_names[i].name;
	/* A measure nobody here knows is still one: files of other tools must load. */
	if (has_limits(reader, pair->value))
		item->measure_count++;
	reader_unknown(reader, pair, place, known);
}

static bool find_sla_measure(const char *word, size_t length, enum budget_measure *ret_measure)
{
	char name[40];

	while (length && (word[length - 1] == ' ' || word[length - 1] == '\t'))
		length--;
	if (!length || length >= sizeof(name))
		return false;
	for (size_t i = 0; i < length; i++)
		name[i] = word[i] == ' ' ? '_' : word[i];
	name[length] = '\0';
	for (size_t i = 0; i < COUNT_OF(measure_names); i++) {
		if (strcasecmp(measure_names[i].name, name) ||
		    measure_names[i].measure == MEASURE_COUNT)
			continue;
		*ret_measure = measure_names[i].measure;
		return true;
	}
	return false;
}

/* "P95 < 100ms" */
static void read_sla(struct reader *reader, const struct place *place, const yaml_node_t *node,
		     struct item *item)
{
	static const char expected[] = "such as P95 < 100ms, error rate < 1% or throughput > 50";
	const char *text = reader_scalar(reader, node, place, expected);
	struct limits_of_measure *limits;
	enum budget_measure measure;
	const char *sign;
	double limit;

	if (!text)
		return;
	sign = strpbrk(text, "<>");
	if (!sign || !find_sla_measure(text, sign - text, &measure) ||
	    (*sign == '>') != (measure == MEASURE_THROUGHPUT)) {
		reader_error(reader, reader_line(node), place,
			     "\"%s\" is not understood (expected %s)", reader_quote(text).text,
			     expected);
		return;
	}
	if (parse_limit(sign + (sign[1] == '=' ? 2 : 1), measure, &limit)) {
		reader_error(reader, reader_line(node), place, "\"%s\" does not fit (expected %s)",
			     reader_quote(text).text, expected_of(measure));
		return;
	}
	item->measure_count++;
	limits = &item->measures[measure];
	limits->target = limits->warning = limits->critical = limit;
	limits->lower_is_worse = measure == MEASURE_THROUGHPUT;
	limits->is_set = true;
}

static void add_lines(struct reader *reader, const struct place *place, const yaml_node_t *node,
		      struct item *item)
{
	for (int measure = 0; measure < MEASURE_COUNT; measure++) {
		const struct limits_of_measure *limits = &item->measures[measure];
		struct budget_line line = item->line;
		int err;

		if (!limits->is_set)
			continue;
		line.measure = measure;
		line.target = limits->target;
		line.warning = limits->warning;
		line.critical = limits->critical;
		line.lower_is_worse = limits->lower_is_worse;
		line.actions = item->actions[0] ? item->actions : NULL;
		err = config_build_budget(reader->config, &line);
		if (err == -EEXIST)
			reader_error(reader, reader_line(node), place,
				     "%s of \"%s\" is drawn twice (expected another name)",
				     budget_measure_name(measure), reader_quote(line.name).text);
		else if (err == -E2BIG)
			reader_error(reader, reader_line(node), place,
				     "too many budgets (expected at most %d lines)",
				     CONFIG_BUDGETS_MAX);
		else if (err)
			reader_out_of_memory(reader);
		if (err)
			return;
		reader->budgets_named = true;
	}
}

/* The item as a whole, once its parts are fine. */
static void check_item(struct reader *reader, const struct place *place, const yaml_node_t *node,
		       struct item *item)
{
	struct budget_line *line = &item->line;

	if (reader->err)
		return;
	if (!item->measure_count)
		reader_error(reader, reader_line(node), place,
			     "names no measure (expected one such as %s)", measure_names[1].name);
	else if (!line->name[0] && !line->endpoint[0])
		reader_error(reader, reader_line(node), place, "has no name (expected name: ...)");
	if (!line->name[0])
		config_build_copy(line->name, sizeof(line->name), line->endpoint);
}

void config_budgets_read_one(struct reader *reader, const struct place *place,
			     const yaml_node_t *node, const char *name, const char *endpoint)
{
	struct item item = { .line = { .service = "*",
				       .role = ROLE_SERVER,
				       .window_s = WINDOW_DEFAULT_S,
				       .least_requests = LEAST_DEFAULT } };
	struct budget_line *line = &item.line;
	int earlier = reader->err;
	struct pair pair;
	size_t cursor = 0;

	if (endpoint && !set_endpoint(reader, place, reader_line(node), endpoint, &item))
		return;
	if (name &&
	    (!reader_is_printable(name) || !text_copy(line->name, sizeof(line->name), name))) {
		reader_error(reader, reader_line(node), place,
			     "not a name (expected at most 63 printable bytes)");
		return;
	}
	/* Only this item's own errors keep it from being looked at as a whole. */
	reader->err = 0;
	if (node->type == YAML_SCALAR_NODE && endpoint)
		read_sla(reader, place, node, &item);
	else if (node->type != YAML_MAPPING_NODE)
		reader_error(reader, reader_line(node), place,
			     "not a budget (expected measures such as %s)", measure_names[1].name);
	while (reader_next_pair(reader, node, &cursor, &pair)) {
		const struct place here = { .parent = place, .key = pair.key };

		read_pair(reader, &here, &pair, &item);
	}
	check_item(reader, place, node, &item);
	if (!reader->err)
		add_lines(reader, place, node, &item);
	if (earlier)
		reader->err = earlier;
}

void config_budgets_read(struct reader *reader, const struct place *place, const yaml_node_t *node)
{
	const yaml_node_t *item;
	struct pair pair;
	size_t cursor = 0;

	if (node->type == YAML_SCALAR_NODE) {
		reader_error(reader, reader_line(node), place,
			     "not a list (expected entries with a name and measures, or [])");
		return;
	}
	while ((item = reader_next_item(reader, node, &cursor))) {
		const struct place here = { .parent = place, .index = cursor - 1 };

		config_budgets_read_one(reader, &here, item, NULL, NULL);
	}
	while (reader_next_pair(reader, node, &cursor, &pair)) {
		const struct place here = { .parent = place, .key = pair.key };

		config_budgets_read_one(reader, &here, pair.value, pair.key, NULL);
	}
	/* An empty list is a decision: no budgets at all. */
	if (!cursor)
		reader->budgets_named = true;
}

void config_budgets_read_endpoints(struct reader *reader, const struct place *place,
				   const yaml_node_t *node)
{
	struct pair pair;
	size_t cursor = 0;

	if (node->type != YAML_MAPPING_NODE) {
		reader_error(reader, reader_line(node), place,
			     "not a mapping (expected lines such as /health: P95 < 100ms)");
		return;
	}
	while (reader_next_pair(reader, node, &cursor, &pair)) {
		const struct place here = { .parent = place, .key = pair.key };

		config_budgets_read_one(reader, &here, pair.value, NULL, pair.key);
	}
}

bool config_budgets_is_component(const struct reader *reader, const yaml_node_t *node)
{
	struct pair pair;
	size_t cursor = 0;

	while (reader_next_pair(reader, node, &cursor, &pair)) {
		if (find_measure(pair.key) || has_limits(reader, pair.value))
			return true;
	}
	return false;
}
