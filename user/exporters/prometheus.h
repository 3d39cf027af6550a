/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Renders a series store in Prometheus text 0.0.4 or OpenMetrics 1.0.
 * Durations leave in seconds, sizes in bytes. Output is grouped by family and
 * stable in order. Empty label values are left out, and so are families
 * without series. Within one histogram the +Inf bucket always equals _count.
 *
 * The `le` of an OpenMetrics bucket is a canonical float ("1.0"), that of a
 * text bucket the shortest decimal ("1"), as the respective formats ask.
 */
#ifndef EXPORTERS_PROMETHEUS_H
#define EXPORTERS_PROMETHEUS_H

#include "base/text.h"
#include "series/series.h"

enum prometheus_format { PROMETHEUS_TEXT, PROMETHEUS_OPENMETRICS };

/* 0 or -ENOMEM; ret_text is appended to. */
int prometheus_render(const struct series_store *store, enum prometheus_format format,
		      struct text *ret_text);

/*
 * The same in pieces of at most PROMETHEUS_PIECE bytes, so that a large answer never
 * has to lie in memory as plain text. A non-zero return of `sink` ends it and is returned.
 */
#define PROMETHEUS_PIECE 65536
int prometheus_write(const struct series_store *store, enum prometheus_format format,
		     int (*sink)(void *context, const char *bytes, size_t length), void *context);

/* Picks the format from an Accept header (may be NULL), content type for the answer. */
enum prometheus_format prometheus_negotiate(const char *accept);
const char *prometheus_content_type(enum prometheus_format format);

#endif
