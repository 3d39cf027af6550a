/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The answers to GET /metrics: rendered at most once in a while per format, kept
 * packed, and shared by every client that asks meanwhile; a client that does not
 * take gzip has it unpacked on its way out. The while is 100 ms or eight times what
 * rendering took, whichever is longer, so that no number of scrapers can keep the
 * loop busy with rendering; after it the memory is given back. An answer lives on
 * until the last client has read it.
 */
#ifndef WEB_SCRAPE_H
#define WEB_SCRAPE_H

#include <microhttpd.h>

#include "exporters/prometheus.h"
#include "web/web.h"

struct scrape_answer {
	struct scrape_answer *next;  /* older */
	struct MHD_Response *packed; /* owned by the cache, which drops it when it is stale */
	struct body *body;
	struct scrape *scrape;
	enum prometheus_format format;
	unsigned int references; /* responses made of it */
};

struct scrape {
	const struct web_source *source;
	/* By format; the scrape holds a reference of its own. */
	struct {
		struct scrape_answer *answer; /* or NULL */
		uint64_t fresh_until_ns;
	} cached[2];
	uint64_t refreshed_ns;
	struct scrape_answer *newest; /* all that live, cached or being read */
	unsigned int live;
};

void scrape_init(struct scrape *scrape, const struct web_source *source);
/* After the daemon is stopped: nobody may be reading any more. */
void scrape_fini(struct scrape *scrape);

/* Borrowed until the next call. NULL with errno (ENOMEM, EFBIG). */
struct scrape_answer *scrape_get(struct scrape *scrape, enum prometheus_format format);

/* A response that unpacks the answer, for one client; to be destroyed. NULL with errno ENOMEM. */
struct MHD_Response *scrape_plain(struct scrape_answer *answer);

/* Drops what is no longer fresh. */
void scrape_tick(struct scrape *scrape, uint64_t now_ns);

/* When scrape_tick() is wanted next, 0: never. */
uint64_t scrape_deadline_ns(const struct scrape *scrape);

#endif
