/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "exporters/accept.h"
#include "web/address.h"
#include "web/body.h"
#include "web/scrape.h"

#define BACKLOG		  128
#define ACCEPTS_PER_RUN	  64 /* the loop has other work: the rest waits for its next turn */
#define ACCEPT_PAUSE_NS	  (500 * NS_PER_MS)
#define CONNECTION_MEMORY (32UL << 10) /* also bounds the request head */
#define URL_MAX		  1024
#define ANSWERS_LIVE_MAX  8

struct client {
	int fd; /* -1: free */
	struct in6_addr host;
	bool is_answering, is_cut;
	uint64_t since_ns;		    /* of the head or the answer, whichever is due */
	const struct scrape_answer *answer; /* being read, or NULL */
};

struct web {
	struct web_source source;
	struct web_limits limits;
	struct web_counts counts;
	struct scrape scrape;
	struct MHD_Daemon *daemon;
	int epoll_fd, listen_fd;
	uint16_t port;
	uint64_t accept_again_ns;    /* 0: accepting */
	const struct address *comer; /* while it is handed to the daemon */
	struct client clients[WEB_CONNECTIONS_MAX];
};

struct route {
	const char *path;
	enum MHD_Result (*answer)(struct web *web, struct MHD_Connection *connection);
};

static const char json_type[] = "application/json";
static const char html_type[] = "text/html; charset=utf-8";
static const char index_page[] =
	"<!DOCTYPE html>\n<html lang=\"en\"><head><title>plimsoll</title></head><body>"
	"<h1>plimsoll</h1><ul>\n"
	"<li><a href=\"/metrics\">/metrics</a> every number, for Prometheus</li>\n"
	"<li><a href=\"/health\">/health</a> the agent in detail</li>\n"
	"<li><a href=\"/health/ready\">/health/ready</a> are the probes attached?</li>\n"
	"<li><a href=\"/health/live\">/health/live</a> does the loop turn?</li>\n"
	"</ul></body></html>\n";

/* Copies the body. `header` and `value` may be NULL. */
static enum MHD_Result reply(struct MHD_Connection *connection, unsigned int status,
			     const char *type, const char *body, size_t length, const char *header,
			     const char *value)
{
	struct MHD_Response *response =
		MHD_create_response_from_buffer(length, (void *)body, MHD_RESPMEM_MUST_COPY);
	enum MHD_Result result = MHD_NO;

	if (!response)
		return MHD_NO;
	if (MHD_add_response_header(response, "Content-Type", type) &&
	    MHD_add_response_header(response, "Cache-Control", "no-store") &&
	    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff") &&
	    (type != html_type ||
	     MHD_add_response_header(response, "Content-Security-Policy", "default-src 'none'")) &&
	    (!header || MHD_add_response_header(response, header, value)))
		result = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return result;
}

/* `error` is one of our own words: nothing in it to escape. */
static enum MHD_Result reply_error(struct MHD_Connection *connection, unsigned int status,
				   const char *error, const char *header, const char *value)
{
	char body[64];
	int length = snprintf(body, sizeof(body), "{\"error\":\"%s\"}\n", error);

	return reply(connection, status, json_type, body, (size_t)length, header, value);
}

static enum MHD_Result reply_text(struct MHD_Connection *connection, unsigned int status,
				  struct text *text)
{
	enum MHD_Result result;

	if (text->failed || !text->length)
		result = reply_error(connection, MHD_HTTP_INTERNAL_SERVER_ERROR, "out of memory",
				     NULL, NULL);
	else
		result =
			reply(connection, status, json_type, text->bytes, text->length, NULL, NULL);
	text_fini(text);
	return result;
}

static enum MHD_Result reply_state(struct MHD_Connection *connection, const char *state,
				   const char *reason)
{
	struct text text = { 0 };

	text_append_string(&text, reason ? "{\"status\":\"not " : "{\"status\":\"");
	text_append_string(&text, state);
	text_append_string(&text, "\"");
	if (reason) {
		text_append_string(&text, ",\"reason\":");
		text_append_json(&text, reason);
	}
	text_append_string(&text, "}\n");
	return reply_text(connection, reason ? MHD_HTTP_SERVICE_UNAVAILABLE : MHD_HTTP_OK, &text);
}

static enum MHD_Result answer_ready(struct web *web, struct MHD_Connection *connection)
{
	return reply_state(connection, "ready", web->source.ready(web->source.context));
}

static enum MHD_Result answer_live(struct web *web, struct MHD_Connection *connection)
{
	return reply_state(connection, "alive", web->source.alive(web->source.context));
}

static enum MHD_Result answer_health(struct web *web, struct MHD_Connection *connection)
{
	struct text text = { 0 };
	int status = web->source.health(web->source.context, &text);

	return reply_text(connection, (unsigned int)status, &text);
}

static bool has_query(struct MHD_Connection *connection, const char *key)
{
	const char *value;
	size_t length;

	return MHD_lookup_connection_value_n(connection, MHD_GET_ARGUMENT_KIND, key, strlen(key),
					     &value, &length) == MHD_YES;
}

static enum MHD_Result answer_index(struct web *web, struct MHD_Connection *connection)
{
	if (has_query(connection, "health"))
		return answer_health(web, connection);
	return reply(connection, MHD_HTTP_OK, html_type, index_page, sizeof(index_page) - 1, NULL,
		     NULL);
}

static struct client *client_of(struct MHD_Connection *connection)
{
	return MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT)
		->socket_context;
}

/* The daemon sees the end of the stream at its next turn and lets go of everything. */
static void cut(struct web *web, struct client *client)
{
	if (client->is_cut)
		return;
	shutdown(client->fd, SHUT_RDWR);
	client->is_cut = true;
	web->counts.cut++;
}

/*
 * Every slow reader may hold an answer of its own age, so memory would grow with the number of
 * clients: beyond a few, those who hold the oldest are cut.
 */
static void bound_answers(struct web *web)
{
	const struct scrape_answer *oldest = NULL;

	if (web->scrape.live < ANSWERS_LIVE_MAX)
		return;
	for (const struct scrape_answer *a = web->scrape.newest; a; a = a->next)
		for (unsigned int i = 0; i < web->limits.connections; i++)
			if (web->clients[i].fd >= 0 && web->clients[i].answer == a &&
			    !web->clients[i].is_cut)
				oldest = a;
	for (unsigned int i = 0; oldest && i < web->limits.connections; i++)
		if (web->clients[i].fd >= 0 && web->clients[i].answer == oldest)
			cut(web, &web->clients[i]);
}

static enum MHD_Result answer_metrics(struct web *web, struct MHD_Connection *connection)
{
	const char *accept = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Accept");
	const char *encoding =
		MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Accept-Encoding");
	uint64_t start_ns = clock_monotonic_ns();
	bool gzip = accept_gzip(encoding);
	struct scrape_answer *answer;
	struct MHD_Response *response = NULL;
	enum MHD_Result result;

	bound_answers(web);
	answer = scrape_get(&web->scrape, prometheus_negotiate(accept));
	if (answer)
		response = gzip ? answer->packed : scrape_plain(answer);
	if (!response)
		return reply_error(connection, MHD_HTTP_SERVICE_UNAVAILABLE,
				   errno == EFBIG ? "too many series" : "out of memory",
				   "Retry-After", "10");
	client_of(connection)->answer = answer;
	result = MHD_queue_response(connection, MHD_HTTP_OK, response);
	if (!gzip)
		MHD_destroy_response(response);
	web->source.scraped(web->source.context, clock_monotonic_ns() - start_ns,
			    gzip ? body_packed_size(answer->body) : body_size(answer->body));
	return result;
}

static const struct route routes[] = {
	{ "/metrics", answer_metrics },
	{ "/health", answer_health },
	{ "/health/ready", answer_ready },
	{ "/health/live", answer_live },
	{ "/", answer_index },
};

static bool announces_body(struct MHD_Connection *connection)
{
	const char *length =
		MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Content-Length");

	return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Transfer-Encoding") ||
	       (length && strspn(length, "0") != strlen(length));
}

static enum MHD_Result dispatch(struct web *web, struct MHD_Connection *connection, const char *url,
				const char *method)
{
	const struct route *route = NULL;

	if (strlen(url) > URL_MAX)
		return reply_error(connection, MHD_HTTP_URI_TOO_LONG, "URL too long", NULL, NULL);
	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++)
		if (strcmp(url, routes[i].path) == 0)
			route = &routes[i];
	if (!route)
		return reply_error(connection, MHD_HTTP_NOT_FOUND, "not found", NULL, NULL);
	if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
		return reply_error(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "method not allowed",
				   "Allow", "GET, HEAD");
	return route->answer(web, connection);
}

static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *url,
				  const char *method, const char *version, const char *upload,
				  size_t *upload_size, void **request)
{
	struct web *web = context;
	struct client *client = client_of(connection);

	(void)version;
	(void)upload;
	if (*upload_size) /* a body we did not see announced */
		return MHD_NO;
	if (!*request) { /* the head is complete */
		*request = client;
		client->is_answering = true;
		client->since_ns = clock_monotonic_ns();
		web->counts.requests++;
		if (announces_body(connection))
			return reply_error(connection, MHD_HTTP_CONTENT_TOO_LARGE,
					   "no request bodies here", "Connection", "close");
		return MHD_YES;
	}
	return dispatch(web, connection, url, method);
}

static void on_completed(void *context, struct MHD_Connection *connection, void **request,
			 enum MHD_RequestTerminationCode code)
{
	struct client *client = client_of(connection);

	(void)context;
	(void)request;
	(void)code;
	client->is_answering = false;
	client->answer = NULL;
	client->since_ns = clock_monotonic_ns();
}

static void on_connection(void *context, struct MHD_Connection *connection, void **socket_context,
			  enum MHD_ConnectionNotificationCode code)
{
	struct web *web = context;
	struct client *client = *socket_context;

	if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
		client->fd = -1;
		web->counts.open--;
		return;
	}
	/* may_take() has seen to it that there is a free one */
	for (client = web->clients; client->fd >= 0; client++)
		;
	*client = (struct client){
		.fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD)
			      ->connect_fd,
		.host = address_host(web->comer),
		.since_ns = clock_monotonic_ns(),
	};
	*socket_context = client;
	web->counts.open++;
}

static bool may_take(const struct web *web, const struct address *comer)
{
	struct in6_addr host = address_host(comer);
	unsigned int same = 0;

	if (web->counts.open >= web->limits.connections)
		return false;
	for (unsigned int i = 0; i < web->limits.connections; i++)
		if (web->clients[i].fd >= 0 && IN6_ARE_ADDR_EQUAL(&web->clients[i].host, &host))
			same++;
	return same < web->limits.connections_per_address;
}

/* Out of descriptors: the listening socket stays readable, waiting on it would spin the loop. */
static void pause_accepting(struct web *web)
{
	epoll_ctl(web->epoll_fd, EPOLL_CTL_DEL, web->listen_fd, NULL);
	web->accept_again_ns = clock_monotonic_ns() + ACCEPT_PAUSE_NS;
}

static int watch(int epoll_fd, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

	return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

static bool is_accepting(struct web *web)
{
	if (!web->accept_again_ns)
		return true;
	if (clock_monotonic_ns() < web->accept_again_ns)
		return false;
	if (watch(web->epoll_fd, web->listen_fd)) {
		web->accept_again_ns += ACCEPT_PAUSE_NS;
		return false;
	}
	web->accept_again_ns = 0;
	return true;
}

static void accept_clients(struct web *web)
{
	for (unsigned int i = 0; i < ACCEPTS_PER_RUN && is_accepting(web); i++) {
		struct address comer = { .size = sizeof(comer.v6) };
		int fd = accept4(web->listen_fd, &comer.any, &comer.size,
				 SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0) {
			if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
			    errno == ENOMEM)
				pause_accepting(web);
			if (errno == ECONNABORTED || errno == EINTR)
				continue;
			return;
		}
		if (!may_take(web, &comer)) {
			close(fd);
			web->counts.refused++;
			continue;
		}
		web->comer = &comer;
		/* closes the socket itself when it fails */
		if (MHD_add_connection(web->daemon, fd, &comer.any, comer.size) != MHD_YES)
			web->counts.refused++;
		web->comer = NULL;
	}
}

static uint64_t deadline_ns(const struct web *web, const struct client *client)
{
	unsigned int allowed_ms =
		client->is_answering ? web->limits.answer_ms : web->limits.head_ms;

	return client->since_ns + allowed_ms * NS_PER_MS;
}

static void cut_late_clients(struct web *web, uint64_t now_ns)
{
	for (unsigned int i = 0; i < web->limits.connections; i++) {
		struct client *client = &web->clients[i];

		if (client->fd >= 0 && now_ns >= deadline_ns(web, client))
			cut(web, client);
	}
}

void web_run(struct web *web)
{
	uint64_t now_ns;

	MHD_run(web->daemon); /* first: it may free places for those who wait */
	accept_clients(web);
	now_ns = clock_monotonic_ns();
	cut_late_clients(web, now_ns);
	scrape_tick(&web->scrape, now_ns);
}

static uint64_t earlier(uint64_t a_ns, uint64_t b_ns)
{
	return !a_ns || (b_ns && b_ns < a_ns) ? b_ns : a_ns;
}

int web_timeout_ms(const struct web *web)
{
	uint64_t next_ns = earlier(scrape_deadline_ns(&web->scrape), web->accept_again_ns);
	uint64_t now_ns = clock_monotonic_ns(), wait_ms = UINT64_MAX;
	MHD_UNSIGNED_LONG_LONG daemon_ms;

	for (unsigned int i = 0; i < web->limits.connections; i++)
		if (web->clients[i].fd >= 0 && !web->clients[i].is_cut)
			next_ns = earlier(next_ns, deadline_ns(web, &web->clients[i]));
	if (next_ns)
		wait_ms = next_ns <= now_ns ? 0 : (next_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS;
	if (MHD_get_timeout(web->daemon, &daemon_ms) == MHD_YES && daemon_ms < wait_ms)
		wait_ms = daemon_ms;
	return wait_ms == UINT64_MAX ? -1 : wait_ms > INT_MAX ? INT_MAX : (int)wait_ms;
}

static int start_daemon(struct web *web)
{
	const union MHD_DaemonInfo *info;

	web->daemon = MHD_start_daemon(
		MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET, 0, NULL, NULL, on_request, web,
		MHD_OPTION_CONNECTION_LIMIT, web->limits.connections, MHD_OPTION_CONNECTION_TIMEOUT,
		web->limits.idle_s, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
		MHD_OPTION_NOTIFY_CONNECTION, on_connection, web, MHD_OPTION_NOTIFY_COMPLETED,
		on_completed, web, MHD_OPTION_END);
	if (!web->daemon)
		return errno ? -errno : -ENOMEM;
	info = MHD_get_daemon_info(web->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	return info ? watch(web->epoll_fd, info->epoll_fd) : -ENOTSUP;
}

static int open_sockets(struct web *web, const char *listen_address)
{
	struct address address;
	int err = address_parse(listen_address, &address);

	if (err)
		return err;
	web->listen_fd = address_listen(&address, BACKLOG);
	if (web->listen_fd < 0)
		return web->listen_fd;
	address.size = sizeof(address.v6);
	if (getsockname(web->listen_fd, &address.any, &address.size))
		return -errno;
	web->port = address_port(&address);
	web->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (web->epoll_fd < 0)
		return -errno;
	return watch(web->epoll_fd, web->listen_fd);
}

static bool is_valid(const struct web_source *source, const struct web_limits *limits)
{
	return source->refresh && source->store && source->ready && source->alive &&
	       source->health && source->scraped && limits->connections > 0 &&
	       limits->connections <= WEB_CONNECTIONS_MAX;
}

struct web *web_open_limited(const char *listen, const struct web_source *source,
			     const struct web_limits *limits)
{
	struct web *web;
	int err;

	if (!is_valid(source, limits)) {
		errno = EINVAL;
		return NULL;
	}
	web = calloc(1, sizeof(*web));
	if (!web)
		return NULL;
	web->source = *source;
	web->limits = *limits;
	web->listen_fd = web->epoll_fd = -1;
	for (unsigned int i = 0; i < WEB_CONNECTIONS_MAX; i++)
		web->clients[i].fd = -1;
	scrape_init(&web->scrape, &web->source);
	err = open_sockets(web, listen);
	if (!err)
		err = start_daemon(web);
	if (err) {
		web_close(web);
		errno = -err;
		return NULL;
	}
	return web;
}

struct web *web_open(const char *listen, const struct web_source *source)
{
	static const struct web_limits limits = WEB_LIMITS_DEFAULT;

	return web_open_limited(listen, source, &limits);
}

void web_close(struct web *web)
{
	if (!web)
		return;
	if (web->daemon)
		MHD_stop_daemon(web->daemon);
	scrape_fini(&web->scrape);
	if (web->listen_fd >= 0)
		close(web->listen_fd);
	if (web->epoll_fd >= 0)
		close(web->epoll_fd);
	free(web);
}

int web_fd(const struct web *web)
{
	return web->epoll_fd;
}

uint16_t web_port(const struct web *web)
{
	return web->port;
}

struct web_counts web_counts(const struct web *web)
{
	return web->counts;
}
