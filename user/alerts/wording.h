/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The words of a notice: title, message and details of a change of a budget.
 * Texts are appended to; a failed allocation shows in text->failed. Details are
 * one JSON object on one line, valid whatever bytes a service has in its name.
 */
#ifndef ALERTS_WORDING_H
#define ALERTS_WORDING_H

#include <stddef.h>

#include "base/text.h"
#include "budgets/budgets.h"

/* "api_endpoints_p95_response_time_ms" */
void wording_alert_name(const char *budget, enum budget_measure measure, char *ret_name,
			size_t size);

void wording_title(const struct budget_change *change, struct text *ret_text);
void wording_message(const struct budget_change *change, struct text *ret_text);
void wording_details(const struct budget_change *change, struct text *ret_json);

/* The same three for an alert that ends because the lines were drawn anew. */
void wording_reload(enum budget_measure measure, const char *service, const char *endpoint,
		    struct text *ret_title, struct text *ret_message, struct text *ret_json);

#endif
