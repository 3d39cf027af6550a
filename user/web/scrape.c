/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "web/body.h"
#include "web/scrape.h"

#define FRESH_NS	  (100 * NS_PER_MS)
#define FRESH_PER_COST_NS 8
#define FORMATS		  2
#define UNPACKED_PIECE	  32768 /* bytes unpacked at a time */

_Static_assert(sizeof(struct MHD_IoVec) == sizeof(struct iovec) &&
		       offsetof(struct MHD_IoVec, iov_len) == offsetof(struct iovec, iov_len),
	       "chunks are handed to the daemon as they are");

void scrape_init(struct scrape *scrape, const struct web_source *source)
{
	memset(scrape, 0, sizeof(*scrape));
	scrape->source = source;
}

static void unreference(struct scrape_answer *answer)
{
	struct scrape_answer **at = &answer->scrape->newest;

	if (--answer->references)
		return;
	while (*at != answer)
		at = &(*at)->next;
	*at = answer->next;
	answer->scrape->live--;
	body_free(answer->body);
	free(answer);
}

/* Called by the daemon when nobody reads the packed response any more. */
static void free_packed(void *context)
{
	unreference(context);
}

static void drop(struct scrape *scrape, unsigned int format)
{
	struct scrape_answer *answer = scrape->cached[format].answer;

	scrape->cached[format].answer = NULL;
	if (answer)
		MHD_destroy_response(answer->packed);
}

void scrape_fini(struct scrape *scrape)
{
	for (unsigned int format = 0; format < FORMATS; format++)
		drop(scrape, format);
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

static int render(struct scrape *scrape, enum prometheus_format format, struct body **ret_body)
{
	struct body *body = body_new();
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

static int new_answer(struct scrape *scrape, enum prometheus_format format,
		      struct scrape_answer **ret_answer)
{
	struct scrape_answer *answer = calloc(1, sizeof(*answer));
	const struct iovec *chunks;
	unsigned int count;
	int err;

	if (!answer)
		return -ENOMEM;
	err = render(scrape, format, &answer->body);
	if (err) {
		free(answer);
		return err;
	}
	chunks = body_chunks(answer->body, &count);
	answer->scrape = scrape;
	answer->format = format;
	answer->packed = MHD_create_response_from_iovec((const struct MHD_IoVec *)chunks, count,
							free_packed, answer);
	if (!answer->packed) {
		body_free(answer->body);
		free(answer);
		return -ENOMEM;
	}
	answer->references = 1;
	answer->next = scrape->newest;
	scrape->newest = answer;
	scrape->live++;
	err = add_headers(answer->packed, format, true);
	if (err)
		MHD_destroy_response(answer->packed);
	else
		*ret_answer = answer;
	return err;
}

/* One client's way through an answer. */
struct unpacking {
	struct scrape_answer *answer;
	struct body_reader *reader;
};

static ssize_t unpack(void *context, uint64_t position, char *bytes, size_t size)
{
	struct unpacking *unpacking = context;
	ssize_t length = body_read(unpacking->reader, bytes, size);

	(void)position; /* the daemon asks for each piece once, in order */
	if (length < 0)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	return length ? length : MHD_CONTENT_READER_END_OF_STREAM;
}

static void free_unpacking(void *context)
{
	struct unpacking *unpacking = context;

	body_reader_free(unpacking->reader);
	unreference(unpacking->answer);
	free(unpacking);
}

struct MHD_Response *scrape_plain(struct scrape_answer *answer)
{
	struct unpacking *unpacking = calloc(1, sizeof(*unpacking));
	struct MHD_Response *response = NULL;

	if (!unpacking)
		return NULL;
	unpacking->answer = answer;
	unpacking->reader = body_reader_new(answer->body);
	if (unpacking->reader)
		response = MHD_create_response_from_callback(
			body_size(answer->body), UNPACKED_PIECE, unpack, unpacking, free_unpacking);
	if (!response) {
		body_reader_free(unpacking->reader);
		free(unpacking);
		errno = ENOMEM;
		return NULL;
	}
	answer->references++;
	if (add_headers(response, answer->format, false)) {
		MHD_destroy_response(response);
		errno = ENOMEM;
		return NULL;
	}
	return response;
}

/* All formats rendered within one while show the same numbers as far as the source goes. */
static void refresh(struct scrape *scrape, uint64_t now_ns)
{
	if (scrape->refreshed_ns && now_ns - scrape->refreshed_ns < FRESH_NS)
		return;
	scrape->source->refresh(scrape->source->context);
	scrape->refreshed_ns = clock_monotonic_ns();
}

struct scrape_answer *scrape_get(struct scrape *scrape, enum prometheus_format format)
{
	uint64_t start_ns = clock_monotonic_ns(), end_ns, fresh_ns;
	struct scrape_answer *answer = scrape->cached[format].answer;
	int err;

	if (answer && start_ns < scrape->cached[format].fresh_until_ns)
		return answer;
	drop(scrape, format);
	refresh(scrape, start_ns);
	err = new_answer(scrape, format, &answer);
	if (err) {
		errno = -err;
		return NULL;
	}
	end_ns = clock_monotonic_ns();
	fresh_ns = (end_ns - start_ns) * FRESH_PER_COST_NS;
	scrape->cached[format].answer = answer;
	scrape->cached[format].fresh_until_ns =
		end_ns + (fresh_ns > FRESH_NS ? fresh_ns : FRESH_NS);
	return answer;
}

void scrape_tick(struct scrape *scrape, uint64_t now_ns)
{
	for (unsigned int format = 0; format < FORMATS; format++)
		if (now_ns >= scrape->cached[format].fresh_until_ns)
			drop(scrape, format);
}

uint64_t scrape_deadline_ns(const struct scrape *scrape)
{
	uint64_t deadline_ns = 0;

	for (unsigned int format = 0; format < FORMATS; format++) {
		uint64_t until_ns = scrape->cached[format].fresh_until_ns;

		if (scrape->cached[format].answer && (!deadline_ns || until_ns < deadline_ns))
			deadline_ns = until_ns;
	}
	return deadline_ns;
}
