/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The HTTP server of the tests: it does exactly what the path says, with the
 * family of system calls it is told to use, and writes down what it did. Its
 * own clock is the truth the agent is compared with.
 *
 *	/sleep/US /bytes/N /chunked/N/CHUNK /sendfile/N /close-delimited/N /status/CODE
 *	/slow-head/MS /continue /hints /early /reset /gate /websocket /sse/EVENTS/MS
 *	/split/PIECES/MS /headers/N, CONNECT; every other path answers "ok".
 *
 * Truth: one line per request, "method path status first_ns done_ns body_in body_out", where
 * first_ns is when the first byte was in the buffer and done_ns when the kernel had the whole
 * response (CLOCK_MONOTONIC). Status 0: no response was sent.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>

#include "connection.h"

struct request {
	char method[32];
	char path[256]; /* cut, for handlers and the truth file */
	int minor, status;
	bool chunked, expects_continue, keep_alive;
	int64_t content_length; /* -1: none */
	uint64_t first_ns, body_in, body_out;
	bool has_body_read, done, closes;
};

static struct {
	enum stream_family family;
	int workers; /* 0: a thread per connection */
	int listener, truth, large_file;
	bool raw;
	sem_t gate;
} server = { .family = STREAM_SEND_RECV, .truth = -1, .large_file = -1 };

static bool read_body(struct connection *connection, struct request *request)
{
	if (request->has_body_read)
		return true;
	request->has_body_read = true;
	if (request->chunked)
		return skip_chunked(connection, &request->body_in);
	if (request->content_length <= 0)
		return true;
	request->body_in = (uint64_t)request->content_length;
	return skip_bytes(connection, request->body_in);
}

static void output_head(struct connection *connection, struct request *request, int status,
			const char *framing)
{
	request->status = status;
	output_printf(connection, "HTTP/1.%d %d Reason\r\n%s%s", request->minor, status, framing,
		      request->closes || !request->keep_alive ? "Connection: close\r\n"
		      : request->minor == 0		      ? "Connection: keep-alive\r\n"
							      : "");
}

static bool has_response_body(const struct request *request)
{
	return strcmp(request->method, "HEAD") != 0 && request->status != 204 &&
	       request->status != 304;
}

static void answer(struct connection *connection, struct request *request, int status,
		   uint64_t size)
{
	char framing[64] = "";

	read_body(connection, request);
	if (status != 204)
		snprintf(framing, sizeof(framing), "Content-Length: %" PRIu64 "\r\n", size);
	output_head(connection, request, status, framing);
	output_append(connection, "\r\n", 2);
	if (has_response_body(request)) {
		output_fill(connection, size);
		request->body_out = size;
	}
	output_flush(connection);
}

/* ---- what a path asks for ---- */

/* The nth number of a path: number_at("/chunked/100/7", 1) is 7; 0 if there is none. */
static uint64_t number_at(const char *path, int index)
{
	for (const char *at = strchr(path + 1, '/'); at; at = strchr(at + 1, '/')) {
		if (index-- == 0)
			return strtoull(at + 1, NULL, 10);
	}
	return 0;
}

static void serve_ok(struct connection *connection, struct request *request)
{
	answer(connection, request, 200, 3);
}

static void serve_sleep(struct connection *connection, struct request *request)
{
	stream_sleep_ns(number_at(request->path, 0) * 1000);
	serve_ok(connection, request);
}

static void serve_bytes(struct connection *connection, struct request *request)
{
	answer(connection, request, 200, number_at(request->path, 0));
}

static void serve_status(struct connection *connection, struct request *request)
{
	answer(connection, request, (int)number_at(request->path, 0), 3);
}

static void serve_chunked(struct connection *connection, struct request *request)
{
	uint64_t left = number_at(request->path, 0), chunk = number_at(request->path, 1);

	read_body(connection, request);
	output_head(connection, request, 200, "Transfer-Encoding: chunked\r\n");
	output_append(connection, "\r\n", 2);
	request->body_out = left;
	while (left > 0 && !connection->failed) {
		uint64_t size = chunk && chunk < left ? chunk : left;

		output_printf(connection, "%" PRIx64 "\r\n", size);
		output_fill(connection, size);
		output_append(connection, "\r\n", 2);
		left -= size;
	}
	output_append(connection, "0\r\n\r\n", 5);
	output_flush(connection);
}

static void serve_sendfile(struct connection *connection, struct request *request)
{
	uint64_t left = number_at(request->path, 0);
	off_t offset = 0;
	char framing[64];

	read_body(connection, request);
	if (ftruncate(server.large_file, 256 << 20))
		abort();
	snprintf(framing, sizeof(framing), "Content-Length: %" PRIu64 "\r\n", left);
	output_head(connection, request, 200, framing);
	output_append(connection, "\r\n", 2);
	output_flush(connection);
	request->body_out = left;
	while (left > 0) {
		ssize_t sent = sendfile(connection->stream.fd, server.large_file, &offset, left);

		if (sent <= 0) {
			connection->failed = true;
			return;
		}
		left -= (uint64_t)sent;
	}
}

static void serve_close_delimited(struct connection *connection, struct request *request)
{
	read_body(connection, request);
	request->closes = true;
	request->body_out = number_at(request->path, 0);
	output_head(connection, request, 200, "");
	output_append(connection, "\r\n", 2);
	output_fill(connection, request->body_out);
	output_flush(connection);
}

static void serve_slow_head(struct connection *connection, struct request *request)
{
	static const char head[] = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n";
	uint64_t pause_ns = number_at(request->path, 0) * 1000000;

	read_body(connection, request);
	request->status = 200;
	request->body_out = 3;
	for (size_t i = 0; i < sizeof(head) - 1; i++) {
		output_append(connection, &head[i], 1);
		output_flush(connection);
		if (head[i] != '\n') /* so that the last byte is not followed by a wait */
			stream_sleep_ns(pause_ns);
	}
}

static void serve_continue(struct connection *connection, struct request *request)
{
	if (request->expects_continue) {
		output_printf(connection, "HTTP/1.1 100 Continue\r\n\r\n");
		output_flush(connection);
	}
	serve_ok(connection, request);
}

static void serve_hints(struct connection *connection, struct request *request)
{
	output_printf(connection, "HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n");
	output_flush(connection);
	serve_ok(connection, request);
}

static void serve_early(struct connection *connection, struct request *request)
{
	output_head(connection, request, 413, "Content-Length: 3\r\n");
	output_append(connection, "\r\nno\n", 5);
	output_flush(connection);
	request->body_out = 3;
	read_body(connection, request);
}

static void serve_reset(struct connection *connection, struct request *request)
{
	read_body(connection, request);
	stream_reset(&connection->stream);
	connection->failed = true;
}

static void serve_gate(struct connection *connection, struct request *request)
{
	while (sem_wait(&server.gate) && errno == EINTR)
		;
	sem_post(&server.gate); /* once open, it stays open */
	serve_ok(connection, request);
}

static void echo(struct connection *connection)
{
	do {
		output_append(connection, connection->input + connection->start,
			      connection->end - connection->start);
		connection->start = connection->end = 0;
		output_flush(connection);
	} while (!connection->failed && fill(connection));
	connection->failed = true;
}

static void truth_write(const struct request *request);

static void serve_websocket(struct connection *connection, struct request *request)
{
	request->status = 101;
	output_printf(connection, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
				  "Connection: Upgrade\r\n"
				  "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n");
	output_flush(connection);
	truth_write(request);
	request->done = true;
	echo(connection);
}

static void serve_tunnel(struct connection *connection, struct request *request)
{
	request->status = 200;
	output_printf(connection, "HTTP/1.1 200 Connection Established\r\n\r\n");
	output_flush(connection);
	truth_write(request);
	request->done = true;
	echo(connection);
}

static void serve_sse(struct connection *connection, struct request *request)
{
	uint64_t events = number_at(request->path, 0), pause_ns;

	pause_ns = number_at(request->path, 1) * 1000000;
	output_head(connection, request, 200,
		    "Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n");
	output_append(connection, "\r\n", 2);
	output_flush(connection);
	for (uint64_t i = 0; i < events && !connection->failed; i++) {
		stream_sleep_ns(pause_ns);
		output_printf(connection, "d\r\ndata: event\r\n\r\n");
		output_flush(connection);
		request->body_out += 13;
	}
	output_append(connection, "0\r\n\r\n", 5);
	output_flush(connection);
}

static void serve_split(struct connection *connection, struct request *request)
{
	uint64_t pieces = number_at(request->path, 0), pause_ns;
	char whole[512], *at = whole;
	size_t left;

	pause_ns = number_at(request->path, 1) * 1000000;
	read_body(connection, request);
	request->status = 200;
	request->body_out = 97;
	left = (size_t)snprintf(whole, sizeof(whole),
				"HTTP/1.1 200 OK\r\nContent-Length: 97\r\n\r\n%097d", 0);
	for (; pieces > 0; pieces--) {
		size_t size = pieces == 1 ? left : left / pieces;

		output_append(connection, at, size);
		output_flush(connection);
		at += size;
		left -= size;
		if (pieces > 1)
			stream_sleep_ns(pause_ns);
	}
}

static void serve_headers(struct connection *connection, struct request *request)
{
	read_body(connection, request);
	output_head(connection, request, 200, "X-Padding: ");
	output_fill(connection, number_at(request->path, 0));
	output_printf(connection, "\r\nContent-Length: 3\r\n\r\nok\n");
	output_flush(connection);
	request->body_out = 3;
}

static const struct {
	const char *prefix;
	void (*serve)(struct connection *connection, struct request *request);
} handlers[] = {
	{ "/sleep/", serve_sleep },
	{ "/bytes/", serve_bytes },
	{ "/chunked/", serve_chunked },
	{ "/sendfile/", serve_sendfile },
	{ "/close-delimited/", serve_close_delimited },
	{ "/status/", serve_status },
	{ "/slow-head/", serve_slow_head },
	{ "/continue", serve_continue },
	{ "/hints", serve_hints },
	{ "/early", serve_early },
	{ "/reset", serve_reset },
	{ "/gate", serve_gate },
	{ "/websocket", serve_websocket },
	{ "/sse/", serve_sse },
	{ "/split/", serve_split },
	{ "/headers/", serve_headers },
	{ "", serve_ok },
};

/* ---- one request ---- */

static void truth_write(const struct request *request)
{
	char line[512];
	int size;

	if (server.truth < 0 || request->done)
		return;
	size = snprintf(line, sizeof(line),
			"%s %s %d %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
			request->method, request->path, request->status, request->first_ns,
			stream_clock_ns(), request->body_in, request->body_out);
	if (write(server.truth, line, (size_t)size) != size)
		abort();
}

static bool parse_request_line(char *line, struct request *request)
{
	char *path = strchr(line, ' ');
	char *version = path ? strchr(path + 1, ' ') : NULL;

	if (!version || strncmp(version + 1, "HTTP/1.", 7) != 0)
		return false;
	*path++ = '\0';
	*version++ = '\0';
	request->minor = version[7] == '0' ? 0 : 1;
	request->keep_alive = request->minor == 1;
	snprintf(request->method, sizeof(request->method), "%s", line);
	snprintf(request->path, sizeof(request->path), "%s", path);
	return true;
}

/* 1: a request, 0: not one, -1: the stream ended first. */
static int parse_head(struct connection *connection, struct request *request)
{
	char *line = take_line(connection);

	if (!line)
		return -1;
	if (!parse_request_line(line, request))
		return 0;
	request->content_length = -1;
	while ((line = take_line(connection)) && *line) {
		if (strncasecmp(line, "content-length:", 15) == 0)
			request->content_length = strtoll(line + 15, NULL, 10);
		else if (strncasecmp(line, "transfer-encoding: chunked", 26) == 0)
			request->chunked = true;
		else if (strncasecmp(line, "expect: 100", 11) == 0)
			request->expects_continue = true;
		else if (strncasecmp(line, "connection: close", 17) == 0)
			request->keep_alive = false;
		else if (strncasecmp(line, "connection: keep-alive", 22) == 0)
			request->keep_alive = true;
	}
	return line ? 1 : -1;
}

/* false: the connection is over. */
static bool serve_one(struct connection *connection)
{
	struct request request = { .status = 0 };
	size_t i = 0;
	int parsed;

	if (connection->start == connection->end && !fill(connection))
		return false;
	if (server.raw) {
		echo(connection);
		return false;
	}
	request.first_ns = stream_clock_ns();
	parsed = parse_head(connection, &request);
	if (parsed < 1) {
		request.closes = true;
		if (parsed == 0)
			answer(connection, &request, 400, 0);
		return false;
	}
	if (strcmp(request.method, "CONNECT") == 0) {
		serve_tunnel(connection, &request);
		return false;
	}
	while (strncmp(request.path, handlers[i].prefix, strlen(handlers[i].prefix)) != 0)
		i++;
	handlers[i].serve(connection, &request);
	truth_write(&request);
	return !connection->failed && request.keep_alive && !request.closes;
}

/* ---- connections ---- */

static void *connection_thread(void *argument)
{
	struct connection *connection = argument;

	while (serve_one(connection))
		;
	connection_free(connection);
	return NULL;
}

/* One thread, many connections, one request at a time: others wait in their sockets. */
static void *worker_thread(void *argument)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLEXCLUSIVE }, ready;
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	(void)argument;
	if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, server.listener, &event))
		abort();
	for (;;) {
		struct connection *connection;
		bool alive;

		if (epoll_wait(epoll, &ready, 1, -1) < 1)
			continue;
		connection = ready.data.ptr;
		if (!connection) {
			int fd = accept4(server.listener, NULL, NULL, SOCK_CLOEXEC);

			if (fd < 0)
				continue;
			event = (struct epoll_event){ .events = EPOLLIN,
						      .data.ptr =
							      connection_new(fd, server.family) };
			if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
				abort();
			continue;
		}
		do {
			alive = serve_one(connection);
		} while (alive && connection->start < connection->end);
		if (!alive)
			connection_free(connection); /* closing takes it out of the epoll */
	}
	return NULL;
}

static void accept_forever(void)
{
	pthread_attr_t detached;
	pthread_t thread;

	pthread_attr_init(&detached);
	pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&detached, 256 << 10);
	for (;;) {
		int fd = accept4(server.listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0)
			continue;
		if (pthread_create(&thread, &detached, connection_thread,
				   connection_new(fd, server.family)))
			abort();
	}
}

/* ---- start ---- */

static int listen_on(int port, bool ipv6)
{
	struct sockaddr_in6 any6 = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };
	struct sockaddr_in any4 = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	socklen_t size = sizeof(any6);
	int one = 1, fd;

	fd = socket(ipv6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	any4.sin_addr.s_addr = htonl(INADDR_ANY);
	if (fd < 0 ||
	    bind(fd, ipv6 ? (struct sockaddr *)&any6 : (struct sockaddr *)&any4,
		 ipv6 ? sizeof(any6) : sizeof(any4)) ||
	    listen(fd, 4096) || getsockname(fd, (struct sockaddr *)&any6, &size)) {
		perror("http_server: listen");
		exit(1);
	}
	printf("listening %d\n", ntohs(any6.sin6_port)); /* the port stands at the same place */
	fflush(stdout);
	return fd;
}

static void open_gate(int signal_number)
{
	(void)signal_number;
	sem_post(&server.gate);
}

static void usage(void)
{
	fprintf(stderr, "usage: http_server [--port N] [--ipv6] [--io FAMILY] [--workers N] "
			"[--truth FILE] [--raw]\n"
			"--workers 0 is a thread per connection; SIGUSR1 opens /gate\n");
	exit(2);
}

int main(int argc, char **argv)
{
	bool ipv6 = false;
	pthread_t thread;
	int port = 0;

	for (int i = 1; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : NULL;

		if (strcmp(argv[i], "--ipv6") == 0)
			ipv6 = true;
		else if (strcmp(argv[i], "--raw") == 0)
			server.raw = true;
		else if (!value)
			usage();
		else if (strcmp(argv[i], "--port") == 0)
			port = atoi(argv[++i]);
		else if (strcmp(argv[i], "--workers") == 0)
			server.workers = atoi(argv[++i]);
		else if (strcmp(argv[i], "--truth") == 0)
			server.truth =
				open(argv[++i], O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0644);
		else if (strcmp(argv[i], "--io") != 0 ||
			 stream_family_parse(argv[++i], &server.family))
			usage();
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that dies leaves no server behind */
	signal(SIGPIPE, SIG_IGN);
	sem_init(&server.gate, 0, 0);
	signal(SIGUSR1, open_gate);
	server.large_file = memfd_create("large", MFD_CLOEXEC);
	server.listener = listen_on(port, ipv6);
	for (int i = 0; i < server.workers; i++) {
		if (pthread_create(&thread, NULL, worker_thread, NULL))
			abort();
	}
	if (server.workers > 0)
		pthread_join(thread, NULL);
	accept_forever();
	return 0;
}
