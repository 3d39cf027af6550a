/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Renders a series store in Prometheus text 0.0.4 or OpenMetrics 1.0.
 * Durations leave in seconds, sizes in bytes. Output is grouped by family and
 * stable in order. Empty label values are left out.
 */
#ifndef EXPORTERS_PROMETHEUS_H
#define EXPORTERS_PROMETHEUS_H

#include "base/text.h"
#include "series/series.h"

enum prometheus_format { PROMETHEUS_TEXT, PROMETHEUS_OPENMETRICS };

/* 0 or -ENOMEM; ret_text is appended to. */
int prometheus_render(const struct series_store *store, enum prometheus_format format,
		      struct text *ret_text);

/* Picks the format from an Accept header (may be NULL), content type for the answer. */
enum prometheus_format prometheus_negotiate(const char *accept);
const char *prometheus_content_type(enum prometheus_format format);

#endif
