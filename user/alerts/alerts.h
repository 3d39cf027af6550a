/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Alerts: a budget crossed for long enough (its hold time) becomes firing, later
 * resolved; each change is one notice handed to the channels (console in this
 * slice). An alert is known by its fingerprint: budget, measure, service, role
 * and endpoint. From warning to critical is told again, once; from critical back
 * to warning is not told and resolves nothing.
 *
 * Nothing of a change is kept but the fingerprint; `config` and `store`
 * must outlive alerts.
 */
#ifndef ALERTS_ALERTS_H
#define ALERTS_ALERTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"
#include "budgets/budgets.h"
#include "series/series.h"

enum alert_severity { ALERT_RESOLVED, ALERT_INFO, ALERT_WARNING, ALERT_CRITICAL };

/* Ready to be told: every string is owned by the caller of the channel for the call. */
struct notice {
	enum alert_severity severity;
	const char *product;
	const char *title;
	const char *component;
	const char *message;
	uint64_t wall_ns;
	const char *const *actions; /* NULL-terminated; empty for resolved */
	const char *runbook_url;    /* or NULL */
	const char *details_json;   /* one object on one line */
};

struct alerts;

struct alerts *alerts_new(const struct config *config, struct series_store *store,
			  void (*deliver)(void *context, const struct notice *notice),
			  void *context);
void alerts_free(struct alerts *alerts);

/*
 * For a new config whose budgets start anew: what fires is resolved with a notice that says
 * so (it fires again if it is still so), and `config` takes the place of the old one.
 */
void alerts_reload(struct alerts *alerts, const struct config *config);

void alerts_budget_changed(struct alerts *alerts, const struct budget_change *change);
unsigned int alerts_firing(const struct alerts *alerts);

#endif
