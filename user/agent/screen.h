/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a person sees on a terminal: probes and rungs, where /metrics is, and
 * one refreshing line per service (rate, p50/p95/p99, errors, budget state).
 * Log lines and alert blocks scroll above it. Draws in one write per refresh,
 * copes with any window size (asked anew for each draw; COLUMNS and LINES where
 * the terminal does not say), restores the terminal on close. Not used when
 * standard error is not a terminal.
 *
 * A terminal that is stopped (^S) or a link that is dead never blocks the agent:
 * draws are left out, prints are counted and owned up to later. While a screen
 * is open nobody else may write to its terminal. What screen_render.h makes of
 * a model is pure text.
 */
#ifndef AGENT_SCREEN_H
#define AGENT_SCREEN_H

#include <stdbool.h>
#include <stddef.h>

#include "budgets/budgets.h"

struct screen_probe {
	const char *name;
	const char *rung;   /* NULL: off */
	const char *reason; /* why off, or NULL */
};

struct screen_model {
	const char *version;
	const char *listen; /* "http://127.0.0.1:9926/metrics" */
	const struct screen_probe *probes;
	size_t probe_count;
	const struct service_view *services; /* any order: shown worst state first, then by rate */
	size_t service_count;
	unsigned int alerts_firing;
	uint64_t requests_total, losses_total;
	double cpu_percent, rss_mib;
	uint64_t uptime_s;
};

struct screen;

struct screen *screen_open(int fd, bool colour);
void screen_close(struct screen *screen);
void screen_draw(struct screen *screen, const struct screen_model *model);
/* Prints above the live part (may hold several lines). */
void screen_print(struct screen *screen, const char *text);

#endif
