/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "web/body.h"
#include "web/scrape.h"

#define FRESH_NS	  (100 * NS_PER_MS)
#define FRESH_PER_COST_NS 8

_Static_assert(sizeof(struct MHD_IoVec) == sizeof(struct iovec) &&
		       offsetof(struct MHD_IoVec, iov_len) == offsetof(struct iovec, iov_len),
	       "chunks are handed to the daemon as they are");

void scrape_init(struct scrape *scrape, const struct web_source *source)
{
	memset(scrape, 0, sizeof(*scrape));
	scrape->source = source;
}

/* Called by the daemon when the last reference is gone. */
static void free_answer(void *context)
{
	struct scrape_answer *answer = context;
	struct scrape_answer **at = &answer->scrape->newest;

	while (*at != answer)
		at = &(*at)->next;
	*at = answer->next;
	answer->scrape->live--;
	body_free(answer->body);
	free(answer);
}

static void drop(struct scrape *scrape, unsigned int format, unsigned int gzip)
{
	struct scrape_answer *answer = scrape->cached[format][gzip].answer;

	scrape->cached[format][gzip].answer = NULL;
	if (answer)
		MHD_destroy_response(answer->response);
}

void scrape_fini(struct scrape *scrape)
{
	for (unsigned int format = 0; format < 2; format++)
		for (unsigned int gzip = 0; gzip < 2; gzip++)
			drop(scrape, format, gzip);
}

static int add_headers(struct MHD_Response *response, enum prometheus_format format, bool gzip)
{
	if (MHD_add_response_header(response, "Content-Type", prometheus_content_type(format)) &&
	    MHD_add_response_header(response, "Vary", "Accept, Accept-Encoding") &&
	    MHD_add_response_header(response, "Cache-Control", "no-store") &&
	    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff") &&
	    (!gzip || MHD_add_response_header(response, "Content-Encoding", "gzip")))
		return 0;
	return -ENOMEM;
}

static int render(struct scrape *scrape, enum prometheus_format format, bool gzip,
		  struct body **ret_body)
{
	struct body *body = body_new(gzip);
	int err;

	if (!body)
		return -errno;
	err = prometheus_write(scrape->source->store, format, body_append, body);
	if (!err)
		err = body_finish(body);
	if (err)
		body_free(body);
	else
		*ret_body = body;
	return err;
}

static int new_answer(struct scrape *scrape, enum prometheus_format format, bool gzip,
		      struct scrape_answer **ret_answer)
{
	struct scrape_answer *answer = calloc(1, sizeof(*answer));
	const struct iovec *chunks;
	unsigned int count;
	int err;

	if (!answer)
		return -ENOMEM;
	err = render(scrape, format, gzip, &answer->body);
	if (err) {
		free(answer);
		return err;
	}
	chunks = body_chunks(answer->body, &count);
	answer->size = body_size(answer->body);
	answer->scrape = scrape;
	answer->response = MHD_create_response_from_iovec((const struct MHD_IoVec *)chunks, count,
							  free_answer, answer);
	if (!answer->response) {
		body_free(answer->body);
		free(answer);
		return -ENOMEM;
	}
	answer->next = scrape->newest;
	scrape->newest = answer;
	scrape->live++;
	err = add_headers(answer->response, format, gzip);
	if (err)
		MHD_destroy_response(answer->response);
	else
		*ret_answer = answer;
	return err;
}

/* All formats rendered within one while show the same numbers as far as the source goes. */
static void refresh(struct scrape *scrape, uint64_t now_ns)
{
	if (scrape->refreshed_ns && now_ns - scrape->refreshed_ns < FRESH_NS)
		return;
	scrape->source->refresh(scrape->source->context);
	scrape->refreshed_ns = clock_monotonic_ns();
}

struct scrape_answer *scrape_get(struct scrape *scrape, enum prometheus_format format, bool gzip)
{
	uint64_t start_ns = clock_monotonic_ns(), end_ns, fresh_ns;
	struct scrape_answer *answer = scrape->cached[format][gzip].answer;
	int err;

	if (answer && start_ns < scrape->cached[format][gzip].fresh_until_ns)
		return answer;
	drop(scrape, format, gzip);
	refresh(scrape, start_ns);
	err = new_answer(scrape, format, gzip, &answer);
	if (err) {
		errno = -err;
		return NULL;
	}
	end_ns = clock_monotonic_ns();
	fresh_ns = (end_ns - start_ns) * FRESH_PER_COST_NS;
	scrape->cached[format][gzip].answer = answer;
	scrape->cached[format][gzip].fresh_until_ns =
		end_ns + (fresh_ns > FRESH_NS ? fresh_ns : FRESH_NS);
	return answer;
}

void scrape_tick(struct scrape *scrape, uint64_t now_ns)
{
	for (unsigned int format = 0; format < 2; format++)
		for (unsigned int gzip = 0; gzip < 2; gzip++)
			if (now_ns >= scrape->cached[format][gzip].fresh_until_ns)
				drop(scrape, format, gzip);
}

uint64_t scrape_deadline_ns(const struct scrape *scrape)
{
	uint64_t deadline_ns = 0;

	for (unsigned int format = 0; format < 2; format++) {
		for (unsigned int gzip = 0; gzip < 2; gzip++) {
			uint64_t until_ns = scrape->cached[format][gzip].fresh_until_ns;

			if (scrape->cached[format][gzip].answer &&
			    (!deadline_ns || until_ns < deadline_ns))
				deadline_ns = until_ns;
		}
	}
	return deadline_ns;
}
