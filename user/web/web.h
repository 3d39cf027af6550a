/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The HTTP server: /metrics, /health, /health/ready, /health/live and a short
 * page at /. It runs inside the agent's epoll loop (no thread of its own): the
 * agent adds web_fd() to its epoll and calls web_run() when it is readable or
 * web_timeout_ms() has passed. Limits per client on connections, size and time;
 * an answer is rendered once per sweep and shared by concurrent scrapes.
 *
 * A client has to send its request head within a deadline and to read its answer
 * within another, however busy it keeps the connection; one that does not is cut.
 * Connections beyond the limits are closed as they come, and both are counted.
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

struct web_limits {
	unsigned int connections;	      /* in all, at most WEB_CONNECTIONS_MAX */
	unsigned int connections_per_address; /* of one client */
	unsigned int idle_s;		      /* without a byte in either direction */
	unsigned int head_ms;	/* from connecting, or the last answer, to a whole head */
	unsigned int answer_ms; /* from the head to the last byte of the answer */
};

#define WEB_CONNECTIONS_MAX 256
#define WEB_LIMITS_DEFAULT                                                                        \
	{                                                                                         \
		.connections = 64, .connections_per_address = 32, .idle_s = 10, .head_ms = 15000, \
		.answer_ms = 30000                                                                \
	}

/* Since the start, for the agent's own series. */
struct web_counts {
	uint64_t requests; /* answered, whatever the status */
	uint64_t refused;  /* connections closed at once: a limit was reached */
	uint64_t cut;	   /* connections closed because a deadline had passed */
	unsigned int open; /* connections now */
};

struct web;

/*
 * "address:port", "[v6]:port" or ":port" (all addresses); port 0 takes a free one. `source` is
 * copied. NULL with errno (EADDRINUSE, EADDRNOTAVAIL, EACCES, EINVAL, ENOMEM, ...).
 */
struct web *web_open(const char *listen, const struct web_source *source);
struct web *web_open_limited(const char *listen, const struct web_source *source,
			     const struct web_limits *limits);
void web_close(struct web *web);
int web_fd(const struct web *web);
int web_timeout_ms(const struct web *web); /* -1: none */
void web_run(struct web *web);
uint16_t web_port(const struct web *web); /* the one taken, where 0 was asked for */
struct web_counts web_counts(const struct web *web);

#endif
