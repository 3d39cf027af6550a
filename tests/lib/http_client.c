/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The HTTP client of the tests: it sends exactly what it is told, the way it is
 * told, and prints one JSON summary of what really happened, with the latency of
 * each request from before its first send to after the last byte received.
 *
 *	http_client [options] run N                   N requests on each connection
 *	http_client [options] upgrade KIND N SIZE     KIND websocket or tunnel; N echoes of SIZE
 *	http_client [options] raw FILE                sends the bytes of FILE, reads to the end
 *	http_client [options] spawn N                 N processes, one request each
 *
 * With --wait it prints {"event":"connected"} once every connection is open and goes on at a line
 * on standard input; with --hold it prints {"event":"done"} and closes at a line or the end.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "client_options.h"
#include "connection.h"

extern char **environ;

struct result {
	uint64_t sent, responses, reset, ended, refused, aborted, connects, body_bytes;
	uint64_t status[600];
	uint64_t *latency_ns, *first_byte_ns; /* `responses` of each */
};

struct response {
	int status;
	int64_t content_length;
	bool chunked, closes;
	uint64_t first_ns, body;
};

/* ---- connections ---- */

static struct connection *open_connection(struct result *result)
{
	int fd = socket(options.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int small = 16384;
	struct connection *connection;

	if (options.slow_ms)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
	if (connect(fd, (struct sockaddr *)&options.address, options.address_size)) {
		result->refused++;
		close(fd);
		return NULL;
	}
	result->connects++;
	connection = connection_new(fd, options.family);
	connection->pause_ns = options.slow_ms * 1000000;
	return connection;
}

static void count_failure(struct result *result)
{
	if (errno == ECONNRESET || errno == EPIPE)
		result->reset++;
	else
		result->ended++;
}

/* ---- out ---- */

static void flush_split(struct connection *connection)
{
	size_t done = 0;

	if (!options.split_bytes) {
		output_flush(connection);
		return;
	}
	while (done < connection->output_used && !connection->failed) {
		size_t left = connection->output_used - done;
		size_t size = left < options.split_bytes ? left : options.split_bytes;

		if (done > 0)
			stream_sleep_ns(options.split_us * 1000);
		if (stream_write_all(&connection->stream, connection->output + done, size))
			connection->failed = true;
		done += size;
	}
	connection->output_used = 0;
}

/* Every %d of the path becomes the number of the request, %a the number in letters. */
static void append_path(struct connection *connection, int number)
{
	for (const char *at = options.path; *at; at++) {
		if (at[0] == '%' && at[1] == 'd') {
			output_printf(connection, "%d", number);
			at++;
		} else if (at[0] == '%' && at[1] == 'a') {
			for (int left = number, i = 0; i < 4; i++, left /= 26)
				output_printf(connection, "%c", 'a' + left % 26);
			at++;
		} else {
			output_append(connection, at, 1);
		}
	}
}

static void append_head(struct connection *connection, int number)
{
	output_printf(connection, "%s ", options.method);
	append_path(connection, number);
	output_printf(connection, " HTTP/1.%d\r\nHost: %s:%d\r\n", options.minor, options.host,
		      options.port);
	if (options.connection_header)
		output_printf(connection, "Connection: %s\r\n", options.connection_header);
	if (options.header_bytes) {
		output_printf(connection, "X-Padding: ");
		output_fill(connection, options.header_bytes);
		output_append(connection, "\r\n", 2);
	}
	if (options.expect)
		output_printf(connection, "Expect: 100-continue\r\n");
	if (options.chunk)
		output_printf(connection, "Transfer-Encoding: chunked\r\n");
	else if (options.body)
		output_printf(connection, "Content-Length: %" PRIu64 "\r\n", options.body);
	output_append(connection, "\r\n", 2);
}

static void append_body(struct connection *connection)
{
	if (!options.chunk) {
		output_fill(connection, options.early ? options.body / 2 : options.body);
		return;
	}
	for (uint64_t left = options.body; left > 0 && !connection->failed;) {
		uint64_t size = left < options.chunk ? left : options.chunk;

		output_printf(connection, "%" PRIx64 "\r\n", size);
		output_fill(connection, size);
		output_append(connection, "\r\n", 2);
		left -= size;
	}
	output_append(connection, "0\r\n\r\n", 5);
}

/* ---- in ---- */

static bool read_head(struct connection *connection, struct response *response)
{
	char *line;

	*response = (struct response){ .content_length = -1 };
	errno = 0;
	if (connection->start == connection->end && !fill(connection))
		return false;
	response->first_ns = stream_clock_ns();
	line = take_line(connection);
	if (!line || strlen(line) < 12)
		return false;
	response->status = atoi(line + 9);
	response->closes = strncmp(line, "HTTP/1.0", 8) == 0;
	while ((line = take_line(connection)) && *line) {
		if (strncasecmp(line, "content-length:", 15) == 0)
			response->content_length = strtoll(line + 15, NULL, 10);
		else if (strncasecmp(line, "transfer-encoding: chunked", 26) == 0)
			response->chunked = true;
		else if (strncasecmp(line, "connection: close", 17) == 0)
			response->closes = true;
		else if (strncasecmp(line, "connection: keep-alive", 22) == 0)
			response->closes = false;
	}
	return line != NULL;
}

static bool read_response(struct connection *connection, struct response *response)
{
	uint64_t first_ns = 0;

	do {
		if (!read_head(connection, response))
			return false;
		if (!first_ns)
			first_ns = response->first_ns;
	} while (response->status >= 100 && response->status < 200 && response->status != 101);
	response->first_ns = first_ns;
	if (strcmp(options.method, "HEAD") == 0 || response->status == 204 ||
	    response->status == 304 || response->status == 101)
		return true;
	if (response->chunked)
		return skip_chunked(connection, &response->body);
	if (response->content_length >= 0) {
		response->body = (uint64_t)response->content_length;
		return skip_bytes(connection, response->body);
	}
	response->closes = true;
	do {
		response->body += connection->end - connection->start;
		connection->start = connection->end = 0;
	} while (fill(connection));
	return errno == 0;
}

static void count_response(struct result *result, const struct response *response,
			   uint64_t start_ns)
{
	result->latency_ns[result->responses] = stream_clock_ns() - start_ns;
	result->first_byte_ns[result->responses++] = response->first_ns - start_ns;
	result->status[response->status < 600 ? response->status : 0]++;
	result->body_bytes += response->body;
}

/* ---- one batch of requests (more than one: pipelined) ---- */

/* The body waits for "100 Continue"; a final answer instead ends the request. */
static bool send_after_continue(struct connection *connection, struct response *response)
{
	flush_split(connection);
	if (!read_head(connection, response) || response->status != 100)
		return false;
	append_body(connection);
	output_flush(connection);
	return !connection->failed;
}

/* false: the connection cannot be used again. */
static bool exchange(struct connection *connection, struct result *result, int first, int depth)
{
	struct response response = { .closes = false };
	uint64_t start_ns = stream_clock_ns();

	for (int i = 0; i < depth; i++) {
		append_head(connection, first + i);
		if (!options.expect)
			append_body(connection);
	}
	result->sent += (uint64_t)depth;
	errno = 0;
	if (options.expect && !send_after_continue(connection, &response)) {
		count_failure(result);
		return false;
	}
	flush_split(connection);
	if (options.abort_us || options.close_us) {
		stream_sleep_ns((options.abort_us + options.close_us) * 1000);
		result->aborted++;
		if (options.abort_us)
			stream_reset(&connection->stream);
		return false;
	}
	if (options.half_close)
		shutdown(connection->stream.fd, SHUT_WR);
	for (int i = 0; i < depth; i++) {
		if (!read_response(connection, &response)) {
			count_failure(result);
			return false;
		}
		count_response(result, &response, start_ns);
	}
	if (options.early) {
		output_fill(connection, options.body - options.body / 2);
		output_flush(connection);
	}
	return !response.closes && !options.each && !options.half_close;
}

static struct connection *run_requests(struct connection *connection, struct result *result)
{
	for (int done = 0; done < options.count; done += options.depth) {
		int left = options.count - done;
		bool usable;

		if (!connection)
			connection = open_connection(result);
		if (!connection)
			continue;
		usable = exchange(connection, result, done,
				  left < options.depth ? left : options.depth);
		if (!usable) {
			connection_free(connection);
			connection = NULL;
		}
		if (options.think_us)
			stream_sleep_ns(options.think_us * 1000);
	}
	return connection;
}

static void run_upgrade(struct connection *connection, struct result *result)
{
	/* What passes inside looks like a request and must not be taken for one. */
	static const char inside[] = "GET /inside HTTP/1.1\r\nHost: x\r\n\r\n";
	bool is_tunnel = strcmp(options.kind, "tunnel") == 0;
	struct response response;
	uint64_t start_ns = stream_clock_ns();

	if (is_tunnel)
		output_printf(connection, "CONNECT upstream.example:443 HTTP/1.1\r\n"
					  "Host: upstream.example:443\r\n\r\n");
	else
		output_printf(connection,
			      "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\n"
			      "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
			      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
			      options.path, options.host);
	result->sent++;
	output_flush(connection);
	if (!read_head(connection, &response)) {
		count_failure(result);
		return;
	}
	count_response(result, &response, start_ns);
	for (int i = 0; i < options.count && !connection->failed; i++) {
		output_append(connection, inside, sizeof(inside) - 1);
		output_fill(connection, options.size);
		output_flush(connection);
		if (!skip_bytes(connection, options.size + sizeof(inside) - 1))
			count_failure(result);
		result->body_bytes += options.size + sizeof(inside) - 1;
	}
}

static void run_raw(struct connection *connection, struct result *result)
{
	int file = open(options.file, O_RDONLY | O_CLOEXEC);
	char bytes[OUTPUT_SIZE];
	ssize_t got;

	while ((got = read(file, bytes, sizeof(bytes))) > 0 && !connection->failed) {
		size_t room = OUTPUT_SIZE - connection->output_used;

		output_append(connection, bytes, (size_t)got < room ? (size_t)got : room - 1);
		flush_split(connection);
	}
	close(file);
	result->sent++;
	shutdown(connection->stream.fd, SHUT_WR);
	while (fill(connection)) {
		result->body_bytes += connection->end - connection->start;
		connection->start = connection->end = 0;
	}
}

/* ---- threads ---- */

static void *connection_thread(void *argument)
{
	struct result *result = argument;
	struct connection *connection = open_connection(result);
	size_t room = (size_t)options.count + 1;

	result->latency_ns = calloc(room, sizeof(uint64_t));
	result->first_byte_ns = calloc(room, sizeof(uint64_t));
	if (!result->latency_ns || !result->first_byte_ns)
		abort();
	pthread_barrier_wait(&options.ready);
	pthread_barrier_wait(&options.go);
	if (options.verb == VERB_RUN && connection)
		connection = run_requests(connection, result);
	else if (options.verb == VERB_UPGRADE && connection)
		run_upgrade(connection, result);
	else if (connection)
		run_raw(connection, result);
	pthread_barrier_wait(&options.done);
	pthread_barrier_wait(&options.end);
	if (connection)
		connection_free(connection);
	return NULL;
}

static void say(const char *event, bool wait)
{
	char line[64];

	if (!wait)
		return;
	printf("{\"event\":\"%s\",\"at_ns\":%llu}\n", event, (unsigned long long)stream_clock_ns());
	fflush(stdout);
	if (!fgets(line, sizeof(line), stdin))
		return;
}

static void print_latencies(const char *name, const struct result *results, size_t offset)
{
	const char *separator = "";

	printf(",\"%s\":[", name);
	for (int i = 0; i < options.connections; i++) {
		uint64_t *values = *(uint64_t *const *)((const char *)&results[i] + offset);

		for (uint64_t j = 0; j < results[i].responses; j++) {
			printf("%s%" PRIu64, separator, values[j]);
			separator = ",";
		}
	}
	printf("]");
}

static int print_summary(const struct result *results)
{
	/* In the order of struct result. */
	static const char *const names[] = { "sent",	"responses", "reset",	    "ended",
					     "refused", "aborted",   "connections", "body_bytes" };
	struct result all = { .sent = 0 };
	const char *separator = "";

	for (int i = 0; i < options.connections; i++) {
		const uint64_t *from = (const uint64_t *)&results[i];
		uint64_t *to = (uint64_t *)&all;

		for (size_t j = 0; j < offsetof(struct result, latency_ns) / sizeof(*to); j++)
			to[j] += from[j];
	}
	printf("{\"event\":\"summary\"");
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		printf(",\"%s\":%" PRIu64, names[i], ((uint64_t *)&all)[i]);
	printf(",\"status\":{");
	for (int i = 0; i < 600; i++) {
		if (all.status[i]) {
			printf("%s\"%d\":%" PRIu64, separator, i, all.status[i]);
			separator = ",";
		}
	}
	printf("}");
	print_latencies("latency_ns", results, offsetof(struct result, latency_ns));
	print_latencies("first_byte_ns", results, offsetof(struct result, first_byte_ns));
	printf("}\n");
	return options.strict && (all.responses != all.sent || all.refused) ? 1 : 0;
}

static int run_threads(void)
{
	unsigned int parties = (unsigned int)options.connections + 1;
	struct result *results = calloc(parties, sizeof(*results));
	pthread_t *threads = calloc(parties, sizeof(*threads));
	pthread_attr_t attributes;
	int status;

	if (!results || !threads)
		abort();
	pthread_barrier_init(&options.ready, NULL, parties);
	pthread_barrier_init(&options.go, NULL, parties);
	pthread_barrier_init(&options.done, NULL, parties);
	pthread_barrier_init(&options.end, NULL, parties);
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, 256 << 10);
	for (int i = 0; i < options.connections; i++) {
		if (pthread_create(&threads[i], &attributes, connection_thread, &results[i]))
			abort();
	}
	pthread_barrier_wait(&options.ready);
	say("connected", options.wait);
	pthread_barrier_wait(&options.go);
	pthread_barrier_wait(&options.done);
	say("done", options.hold);
	pthread_barrier_wait(&options.end);
	for (int i = 0; i < options.connections; i++)
		pthread_join(threads[i], NULL);
	status = print_summary(results);
	for (int i = 0; i < options.connections; i++) {
		free(results[i].latency_ns);
		free(results[i].first_byte_ns);
	}
	free(results);
	free(threads);
	return status;
}

/* The same command line with "spawn N" turned into "run 1", N times. */
static int run_spawn(int argc, char **argv)
{
	posix_spawn_file_actions_t actions;
	int succeeded = 0, running = 0, status;

	argv[argc - 2] = "run";
	argv[argc - 1] = "1";
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
	for (int i = 0; i < options.count || running > 0;) {
		pid_t child;

		if (i < options.count && running < options.parallel) {
			if (posix_spawn(&child, "/proc/self/exe", &actions, NULL, argv, environ))
				abort();
			i++;
			running++;
			continue;
		}
		if (wait(&status) < 0)
			abort();
		running--;
		succeeded += WIFEXITED(status) && WEXITSTATUS(status) == 0;
	}
	posix_spawn_file_actions_destroy(&actions);
	printf("{\"event\":\"summary\",\"sent\":%d,\"responses\":%d}\n", options.count, succeeded);
	return 0;
}

int main(int argc, char **argv)
{
	parse_arguments(argc, argv);
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that dies leaves no client behind */
	signal(SIGPIPE, SIG_IGN);
	return options.verb == VERB_SPAWN ? run_spawn(argc, argv) : run_threads();
}
