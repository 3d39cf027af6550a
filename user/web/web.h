/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The HTTP server: /metrics, /health, /health/ready, /health/live and a short
 * page at /. It runs inside the agent's epoll loop (no thread of its own): the
 * agent adds web_fd() to its epoll and calls web_run() when it is readable or
 * web_timeout_ms() has passed. Limits per client on connections, size and time;
 * an answer is rendered once per sweep and shared by concurrent scrapes.
 */
#ifndef WEB_WEB_H
#define WEB_WEB_H

#include <stdbool.h>
#include <stdint.h>

#include "base/text.h"
#include "series/series.h"

/* What the server asks the agent for. All calls come from web_run(). */
struct web_source {
	void *context;
	/* Brings the store up to date (drains tables) before a scrape. */
	void (*refresh)(void *context);
	const struct series_store *store;
	/* NULL: ready. Otherwise why not (static string). */
	const char *(*ready)(void *context);
	/* NULL: alive. Otherwise why not. */
	const char *(*alive)(void *context);
	/* Appends the detailed health answer, one JSON object. ret: HTTP status 200 or 503. */
	int (*health)(void *context, struct text *ret_json);
	/* Told after each scrape: what it cost, for the agent's own series. */
	void (*scraped)(void *context, uint64_t duration_ns, uint64_t bytes);
};

struct web;

/* "address:port", "[v6]:port" or ":port". NULL with errno (EADDRINUSE, EINVAL, ...). */
struct web *web_open(const char *listen, const struct web_source *source);
void web_close(struct web *web);
int web_fd(const struct web *web);
int web_timeout_ms(const struct web *web); /* -1: none */
void web_run(struct web *web);

#endif
