/* SPDX-License-Identifier: GPL-2.0-only */
#include "alerts/wording.h"

#include <math.h>
#include <stdio.h>

#include "base/clock.h"

#define COMPLETE_ENOUGH 0.99

struct measure_words {
	const char *name, *unit;
};

static const struct measure_words words_of[MEASURE_COUNT] = {
	[MEASURE_P50] = { "p50 response time", "ms" },
	[MEASURE_P95] = { "p95 response time", "ms" },
	[MEASURE_P99] = { "p99 response time", "ms" },
	[MEASURE_ERROR_RATE] = { "error rate", "%" },
	[MEASURE_THROUGHPUT] = { "throughput", "requests/s" },
};

void wording_alert_name(const char *budget, enum budget_measure measure, char *ret_name,
			size_t size)
{
	snprintf(ret_name, size, "%s_%s", budget, budget_measure_name(measure));
}

/* The line a change is about: the one crossed, or the lowest one it came back behind. */
static double line_value(const struct budget_change *change, const char **ret_name)
{
	const struct budget_line *line = change->budget->line;

	*ret_name = "critical";
	if (change->to == BUDGET_CRITICAL || isnan(line->warning))
		return line->critical;
	*ret_name = "warning";
	return line->warning;
}

void wording_title(const struct budget_change *change, struct text *ret_text)
{
	const struct budget *budget = change->budget;
	const char *where = change->to == BUDGET_WITHIN	   ? "back within"
			    : budget->line->lower_is_worse ? "under"
							   : "over";

	text_printf(ret_text, "%s %s budget: %s", words_of[budget->line->measure].name, where,
		    budget->service);
}

/* " (service shop, endpoint /api/x, 231 requests in 30 s, seen 97 % of requests)" */
static void append_context(const struct budget_change *change, struct text *ret_text)
{
	const struct budget *budget = change->budget;

	text_printf(ret_text, " (service %s%s", budget->service,
		    budget->line->role == ROLE_CLIENT ? " as client" : "");
	if (budget->line->endpoint[0])
		text_printf(ret_text, ", endpoint %s", budget->line->endpoint);
	text_printf(ret_text, ", %llu request%s in %u s", (unsigned long long)change->requests,
		    change->requests == 1 ? "" : "s", budget->line->window_s);
	/* Cut, not rounded: 98.9 % is not 99 %. */
	if (budget->completeness < COMPLETE_ENOUGH)
		text_printf(ret_text, ", seen %.0f %% of requests",
			    floor(budget->completeness * 100 + 1e-9));
	text_append_string(ret_text, ")");
}

static void append_measured(double value, const char *unit, struct text *ret_text)
{
	text_printf(ret_text, "%.*f %s",
		    fabs(value) >= 10  ? 1
		    : fabs(value) >= 1 ? 2
				       : 3,
		    value, unit);
}

static void append_no_verdict(const struct budget_change *change, struct text *ret_text)
{
	const struct budget_line *line = change->budget->line;

	if (!change->requests)
		text_printf(ret_text, "no requests in the window: %s can no longer be judged",
			    words_of[line->measure].name);
	else
		text_printf(ret_text,
			    "too few requests in the window: %s can no longer be judged below %u",
			    words_of[line->measure].name, line->least_requests);
	append_context(change, ret_text);
}

void wording_message(const struct budget_change *change, struct text *ret_text)
{
	const struct budget *budget = change->budget;
	const struct measure_words *words = &words_of[budget->line->measure];
	const char *line_name;
	double limit = line_value(change, &line_name);

	if (!budget->has_value) {
		append_no_verdict(change, ret_text);
		return;
	}
	text_printf(ret_text, "%s ", words->name);
	append_measured(budget->value, words->unit, ret_text);
	text_printf(ret_text, " is %s the %s line of %.10g %s",
		    change->to == BUDGET_WITHIN	   ? "within"
		    : budget->line->lower_is_worse ? "under"
						   : "over",
		    line_name, limit, words->unit);
	append_context(change, ret_text);
}

/* JSON has no NaN and no infinity. */
static void append_number(double value, struct text *ret_json)
{
	if (isfinite(value))
		text_printf(ret_json, "%.10g", value);
	else
		text_append_string(ret_json, "null");
}

static void append_ms(const char *key, uint64_t duration_ns, struct text *ret_json)
{
	text_printf(ret_json, ", \"%s\": %.3f", key, (double)duration_ns / NS_PER_MS);
}

static void append_evidence(const struct budget_evidence *evidence, struct text *ret_json)
{
	char time[32];

	clock_format_utc(evidence->wall_ns, time, sizeof(time));
	text_append_string(ret_json, "{\"time\": ");
	text_append_json(ret_json, time);
	text_append_string(ret_json, ", \"method\": ");
	text_append_json(ret_json, evidence->method);
	text_append_string(ret_json, ", \"path\": ");
	text_append_json(ret_json, evidence->path);
	text_printf(ret_json, ", \"status\": %u", evidence->status);
	append_ms("duration_ms", evidence->duration_ns, ret_json);
	append_ms("first_byte_ms", evidence->first_byte_ns, ret_json);
	append_ms("queue_ms", evidence->queue_ns, ret_json);
	text_printf(ret_json, ", \"pid\": %u}", evidence->pid);
}

void wording_details(const struct budget_change *change, struct text *ret_json)
{
	const struct budget *budget = change->budget;
	const char *line_name;
	size_t i;

	text_append_string(ret_json, "{\"service\": ");
	text_append_json(ret_json, budget->service);
	text_append_string(ret_json, ", \"role\": ");
	text_append_json(ret_json, budget->line->role == ROLE_CLIENT ? "client" : "server");
	text_append_string(ret_json, ", \"endpoint\": ");
	text_append_json(ret_json, budget->line->endpoint);
	text_append_string(ret_json, ", \"measure\": ");
	text_append_json(ret_json, budget_measure_name(budget->line->measure));
	text_append_string(ret_json, ", \"measured\": ");
	/* Four digits after the point are more than the buckets know. */
	append_number(budget->has_value ? round(budget->value * 1e4) / 1e4 : NAN, ret_json);
	text_append_string(ret_json, ", \"line\": ");
	append_number(line_value(change, &line_name), ret_json);
	text_printf(ret_json, ", \"window_s\": %u, \"requests\": %llu, \"completeness\": ",
		    budget->line->window_s, (unsigned long long)change->requests);
	append_number(budget->completeness, ret_json);
	text_append_string(ret_json, ", \"slowest\": [");
	for (i = 0; i < change->slowest_count; i++) {
		if (i)
			text_append_string(ret_json, ", ");
		append_evidence(&change->slowest[i], ret_json);
	}
	text_append_string(ret_json, "]}");
}

void wording_reload(enum budget_measure measure, const char *service, const char *endpoint,
		    struct text *ret_title, struct text *ret_message, struct text *ret_json)
{
	text_printf(ret_title, "%s judged anew: %s", words_of[measure].name, service);
	text_printf(ret_message,
		    "the configuration was reloaded: %s is judged anew against its lines "
		    "(service %s%s%s)",
		    words_of[measure].name, service, endpoint[0] ? ", endpoint " : "", endpoint);
	text_append_string(ret_json, "{\"service\": ");
	text_append_json(ret_json, service);
	text_append_string(ret_json, ", \"endpoint\": ");
	text_append_json(ret_json, endpoint);
	text_append_string(ret_json, ", \"measure\": ");
	text_append_json(ret_json, budget_measure_name(measure));
	text_append_string(ret_json, ", \"reason\": \"reload\"}");
}
