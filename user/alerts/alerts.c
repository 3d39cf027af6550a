/* SPDX-License-Identifier: GPL-2.0-only */
#include "alerts/alerts.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "alerts/wording.h"
#include "base/clock.h"
#include "base/hashmap.h"

static const char *const no_actions[] = { NULL };

static const struct series_spec alerts_spec = {
	.name = "plimsoll_alerts",
	.kind = SERIES_GAUGE,
	.labels = { "alertname", "service_name", "state" },
	.help = "Alerts in this state; one name and service may fire for several endpoints.",
};

static const struct series_spec notices_spec = {
	.name = "plimsoll_alert_notices_total",
	.kind = SERIES_COUNTER,
	.labels = { "severity" },
	.help = "Notices handed to the channels.",
};

/* What makes two changes the same alert; zeroed before it is filled, compared as bytes. */
struct fingerprint {
	char budget[64];
	char service[64];
	char endpoint[128];
	uint32_t role;
	uint32_t measure;
};

/* One that fires; resolved ones are freed. */
struct alert {
	struct fingerprint fingerprint;
	enum alert_severity told; /* the highest so far */
};

struct alerts {
	const struct config *config; /* borrowed */
	struct series_store *store;  /* borrowed */
	void (*deliver)(void *context, const struct notice *notice);
	void *context;
	struct family *firing, *notices;
	struct hashmap by_fingerprint;
};

static bool fingerprint_matches(const void *value, const void *key, size_t key_size)
{
	const struct alert *alert = value;

	return key_size == sizeof(alert->fingerprint) &&
	       !memcmp(&alert->fingerprint, key, key_size);
}

struct alerts *alerts_new(const struct config *config, struct series_store *store,
			  void (*deliver)(void *context, const struct notice *notice),
			  void *context)
{
	static const char *const severities[] = { "warning", "critical", "resolved" };
	struct alerts *alerts = calloc(1, sizeof(*alerts));
	unsigned int i;

	if (!alerts)
		return NULL;
	alerts->config = config;
	alerts->store = store;
	alerts->deliver = deliver;
	alerts->context = context;
	hashmap_init(&alerts->by_fingerprint, fingerprint_matches);
	alerts->firing = series_family(store, &alerts_spec);
	alerts->notices = series_family(store, &notices_spec);
	if (!alerts->firing || !alerts->notices) {
		alerts_free(alerts);
		errno = ENOMEM;
		return NULL;
	}
	for (i = 0; i < 3; i++)
		series_get(alerts->notices, &severities[i]);
	return alerts;
}

void alerts_free(struct alerts *alerts)
{
	struct alert *alert;
	size_t cursor;

	if (!alerts)
		return;
	hashmap_for_each (&alerts->by_fingerprint, cursor, alert) {
		hashmap_remove(&alerts->by_fingerprint, &alert->fingerprint,
			       sizeof(alert->fingerprint));
		free(alert);
	}
	hashmap_fini(&alerts->by_fingerprint);
	free(alerts);
}

unsigned int alerts_firing(const struct alerts *alerts)
{
	return (unsigned int)alerts->by_fingerprint.count;
}

static void take_fingerprint(const struct budget *budget, struct fingerprint *ret_fingerprint)
{
	memset(ret_fingerprint, 0, sizeof(*ret_fingerprint));
	text_copy(ret_fingerprint->budget, sizeof(ret_fingerprint->budget), budget->line->name);
	text_copy(ret_fingerprint->service, sizeof(ret_fingerprint->service), budget->service);
	text_copy(ret_fingerprint->endpoint, sizeof(ret_fingerprint->endpoint),
		  budget->line->endpoint);
	ret_fingerprint->role = budget->line->role;
	ret_fingerprint->measure = budget->line->measure;
}

/* Endpoints and roles share the labels of their service: the value counts them. */
static void publish(struct alerts *alerts, const struct fingerprint *of)
{
	char name[160];
	const char *labels[] = { name, of->service, "firing" };
	const struct alert *alert;
	struct series *series;
	unsigned int count = 0;
	size_t cursor;

	hashmap_for_each (&alerts->by_fingerprint, cursor, alert) {
		if (alert->fingerprint.measure == of->measure &&
		    !strcmp(alert->fingerprint.budget, of->budget) &&
		    !strcmp(alert->fingerprint.service, of->service))
			count++;
	}
	wording_alert_name(of->budget, (enum budget_measure)of->measure, name, sizeof(name));
	series = series_get(alerts->firing, labels);
	if (series && !series->is_other)
		series_set(series, count);
}

struct words {
	struct text title, message, details;
};

/* Fills in the words, hands the notice over, frees the words. */
static void hand_over(struct alerts *alerts, struct notice *notice, struct words *words)
{
	const char *severity = notice->severity == ALERT_CRITICAL  ? "critical"
			       : notice->severity == ALERT_WARNING ? "warning"
								   : "resolved";
	struct series *count = series_get(alerts->notices, &severity);

	notice->product = alerts->config->product;
	notice->wall_ns = clock_wall_ns();
	/* Short of memory a poor notice still beats none. */
	notice->title = words->title.failed ? notice->component : words->title.bytes;
	notice->message = words->message.failed ? "out of memory while wording this notice"
						: words->message.bytes;
	notice->details_json = words->details.failed ? "{}" : words->details.bytes;
	if (alerts->deliver)
		alerts->deliver(alerts->context, notice);
	if (count)
		series_add(count, 1);
	text_fini(&words->title);
	text_fini(&words->message);
	text_fini(&words->details);
}

static void tell(struct alerts *alerts, const struct budget_change *change,
		 enum alert_severity severity)
{
	const struct budget_line *line = change->budget->line;
	struct words words = { 0 };
	struct notice notice = {
		.severity = severity,
		.component = line->name,
		.actions = no_actions,
		.runbook_url = severity == ALERT_RESOLVED ? NULL : line->runbook_url,
	};

	wording_title(change, &words.title);
	wording_message(change, &words.message);
	wording_details(change, &words.details);
	if (severity != ALERT_RESOLVED && line->actions)
		notice.actions = (const char *const *)line->actions;
	hand_over(alerts, &notice, &words);
}

/* NULL if there is no memory: the notice goes out all the same, but fires again next time. */
static struct alert *new_alert(struct alerts *alerts, const struct fingerprint *fingerprint)
{
	struct alert *alert = calloc(1, sizeof(*alert));

	if (!alert)
		return NULL;
	alert->fingerprint = *fingerprint;
	if (hashmap_add(&alerts->by_fingerprint, &alert->fingerprint, sizeof(alert->fingerprint),
			alert)) {
		free(alert);
		return NULL;
	}
	return alert;
}

static void resolve(struct alerts *alerts, const struct budget_change *change, struct alert *alert)
{
	struct fingerprint fingerprint = alert->fingerprint;

	hashmap_remove(&alerts->by_fingerprint, &fingerprint, sizeof(fingerprint));
	free(alert);
	publish(alerts, &fingerprint);
	tell(alerts, change, ALERT_RESOLVED);
}

void alerts_reload(struct alerts *alerts, const struct config *config)
{
	struct fingerprint fingerprint;
	struct alert *alert;
	size_t cursor;

	alerts->config = config;
	hashmap_for_each (&alerts->by_fingerprint, cursor, alert) {
		struct notice notice = {
			.severity = ALERT_RESOLVED,
			.component = fingerprint.budget,
			.actions = no_actions,
		};
		struct words words = { 0 };

		fingerprint = alert->fingerprint;
		hashmap_remove(&alerts->by_fingerprint, &fingerprint, sizeof(fingerprint));
		free(alert);
		publish(alerts, &fingerprint);
		wording_reload((enum budget_measure)fingerprint.measure, fingerprint.service,
			       fingerprint.endpoint, &words.title, &words.message, &words.details);
		hand_over(alerts, &notice, &words);
	}
}

void alerts_budget_changed(struct alerts *alerts, const struct budget_change *change)
{
	enum alert_severity severity =
		change->to == BUDGET_CRITICAL ? ALERT_CRITICAL : ALERT_WARNING;
	struct fingerprint fingerprint;
	struct alert *alert;

	take_fingerprint(change->budget, &fingerprint);
	alert = hashmap_find(&alerts->by_fingerprint, &fingerprint, sizeof(fingerprint));
	if (change->to == BUDGET_WITHIN) {
		if (alert)
			resolve(alerts, change, alert);
		return;
	}
	if (alert && alert->told >= severity)
		return;
	if (!alert) {
		alert = new_alert(alerts, &fingerprint);
		publish(alerts, &fingerprint);
	}
	if (alert)
		alert->told = severity;
	tell(alerts, change, severity);
}
