/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Hostile traffic against the request tap: the real programs of bpf/net/request.bpf.c
 * on the pretended kernel of tests/fakes. An input is a script of operations on up to
 * four connections: raw bytes in either direction cut as the script says, bytes nobody
 * sees, time, states of the socket, and well-formed messages.
 *
 * After every input: nothing read or written out of bounds (AddressSanitizer), never
 * more answers counted than a search for heads finds, never more requests kept than
 * the pipeline holds, every histogram adds up to the same count. A connection that
 * carried nothing but well-formed messages has exactly its answers counted.
 *
 * flags: -Itests/fakes -Ibpf -fno-sanitize=alignment
 */
#include <stdio.h>

#include "connection.h"

#define CONNECTIONS 4
#define STREAM_MAX  32768
#define BYTES_MAX   4096

#define ARRAY_COUNT(array) (sizeof(array) / sizeof((array)[0]))

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct script {
	const __u8 *at, *end;
};

/* What one direction carried, for the reference parser; a gap becomes a NUL byte. */
struct stream {
	size_t length;
	__u8 bytes[STREAM_MAX];
};

/* Well-formed messages on their way: cut as the script says, both directions mixed. */
struct queue {
	size_t at, length;
	char bytes[STREAM_MAX];
};

/* A connection and what a reference that knows nothing of the tap expects of it. */
struct subject {
	struct stream *streams; /* [sent] */
	struct queue *queues;	/* [sent] */
	struct connection connection;
	bool is_open;
	bool is_dirty;	  /* carried something else than well-formed messages */
	bool is_finished; /* nothing can follow on this connection */
	int until_close;  /* template of an answer that lasts until the end, or -1 */
	int asked_until_close;
	struct {
		int which;	   /* template */
		size_t end;	   /* where it ends in the queue */
	} asked[PIPELINE_MAX + 1]; /* requests without an answer */
	__u32 asked_count;
	__u32 unsent;			      /* answers that may still be in the queue */
	__u32 expected[HTTP_METHOD_COUNT][8]; /* answers by method and template */
};

struct message_template {
	const char *head, *body;
	int kind; /* method or status */
};

static const struct message_template requests[] = {
	{ "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "", HTTP_GET },
	{ "GET /users/4711/orders?x=1 HTTP/1.1\r\nHost: a\r\nAccept: */*\r\n\r\n", "", HTTP_GET },
	{ "HEAD /a HTTP/1.1\r\n\r\n", "", HTTP_HEAD },
	{ "POST /b HTTP/1.1\r\nContent-Length: 18\r\n\r\n", "GET / HTTP/1.1\r\n\r\n", HTTP_POST },
	{ "PUT /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
	  "5;name=value\r\nhello\r\n1a\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\nx\r\n0\r\nTrailer: "
	  "x\r\n\r\n",
	  HTTP_PUT },
	{ "DELETE /d/0123456789abcdef0 HTTP/1.1\r\ncontent-length:0\r\n\r\n", "", HTTP_DELETE },
	{ "OPTIONS * HTTP/1.1\r\nX-Long: "
	  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	  "\r\n\r\n",
	  "", HTTP_OPTIONS },
	{ "PATCH http://host/e HTTP/1.1\r\nCONTENT-LENGTH:  \t3\r\n\r\n", "abc", HTTP_PATCH },
};

static const struct message_template responses[] = {
	{ "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "", 200 },
	{ "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n", "HTTP/1.1 500 Oh\r\n\r\nx", 200 },
	{ "HTTP/1.1 404 Not Found\r\nServer: x\r\ntransfer-encoding:chunked\r\n\r\n",
	  "1\r\nx\r\n0003;a=\"b\"\r\n\r\n\r\r\n0\r\n\r\n", 404 },
	{ "HTTP/1.1 204 No Content\r\nContent-Length: 7\r\n\r\n", "", 204 },
	{ "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", "", 304 },
	{ "HTTP/1.1 100 Continue\r\n\r\n", "", 100 },
	{ "HTTP/1.0 503 \r\n\r\n", "until close", 503 },
	{ "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n", "\x81\x01x", 101 },
};

static struct subject subjects[CONNECTIONS];
static struct stream streams_of[CONNECTIONS][2];
static struct queue queues_of[CONNECTIONS][2];

_Static_assert(ARRAY_COUNT(responses) == ARRAY_COUNT(subjects[0].expected[0]), "one each");

#define REQUIRE(promise)                                                                    \
	do {                                                                                \
		if (!(promise)) {                                                           \
			fprintf(stderr, "http1_fuzz:%d: broken: %s\n", __LINE__, #promise); \
			abort();                                                            \
		}                                                                           \
	} while (0)

static __u8 next(struct script *script)
{
	return script->at < script->end ? *script->at++ : 0;
}

/* FUZZ_TRACE=1 tells what an input does, to make a test of it. */
static void trace(const struct subject *subject, const char *what, const char *bytes, size_t length)
{
	static int wanted = -1;

	if (wanted < 0)
		wanted = getenv("FUZZ_TRACE") != NULL;
	if (!wanted)
		return;
	fprintf(stderr, "%d %s rung %d access %d piece %zu: %s %zu \"", (int)(subject - subjects),
		subject->connection.is_client ? "client" : "server", subject->connection.rung,
		subject->connection.access, subject->connection.piece, what, length);
	for (size_t i = 0; bytes && i < length; i++)
		fprintf(stderr, bytes[i] >= ' ' && bytes[i] < 0x7f ? "%c" : "\\x%02x",
			(__u8)bytes[i]);
	fprintf(stderr, "\"\n");
}

static void remember(struct subject *subject, bool sent, const void *bytes, size_t length)
{
	struct stream *stream = &subject->streams[sent];

	length = min(length, sizeof(stream->bytes) - stream->length);
	memcpy(stream->bytes + stream->length, bytes, length);
	stream->length += length;
}

/* In pieces of `piece` bytes, or all at once. */
static void carry(struct subject *subject, bool sent, const char *bytes, size_t length,
		  size_t piece)
{
	/* of one call's vectors only the first VECTOR_MAX are looked at */
	size_t most = subject->connection.piece ? VECTOR_MAX * subject->connection.piece : length;

	if (!piece || piece > most)
		piece = most;
	remember(subject, sent, bytes, length);
	for (size_t at = 0; at < length; at += piece) {
		size_t count = min(piece, length - at);

		trace(subject, sent ? "sends" : "receives", bytes + at, count);
		if (sent)
			connection_send(&subject->connection, bytes + at, count);
		else
			connection_receive(&subject->connection, bytes + at, count);
		clock_step(1000);
	}
}

static void open_subject(struct subject *subject, __u8 kind)
{
	static const enum tap_rung rungs[] = { RUNG_TRACEPOINT, RUNG_FENTRY, RUNG_KPROBE,
					       RUNG_TRACEPOINT };
	static const enum access accesses[] = { ACCESS_BUFFER, ACCESS_BUFFER, ACCESS_VECTOR,
						ACCESS_MESSAGE };
	__u16 port = FAKE_SERVER_PORT + (subject - subjects);
	struct sock_common *common;

	connection_open(&subject->connection, kind & 1);
	common = &((struct sock *)subject->connection.socket)->__sk_common;
	if (kind & 1)
		common->skc_dport = bpf_htons(port);
	else
		common->skc_num = port;
	subject->connection.rung = rungs[kind >> 1 & 3];
	subject->connection.access = accesses[kind >> 3 & 3];
	subject->connection.piece = (kind >> 5) * 8;
	subject->is_open = true;
	subject->is_finished = false;
	subject->until_close = -1;
	subject->asked_count = subject->unsent = 0;
	for (int i = 0; i < 2; i++)
		subject->queues[i].at = subject->queues[i].length = 0;
}

/* Sends up to `count` bytes of what is queued, in one call. */
static void flush(struct subject *subject, bool sent, size_t count)
{
	struct queue *queue = &subject->queues[sent];

	count = min(count, queue->length - queue->at);
	carry(subject, sent, queue->bytes + queue->at, count, 0);
	queue->at += count;
}

/* A response never overtakes its request, so requests go first. */
static void flush_all(struct subject *subject)
{
	flush(subject, subject->connection.is_client, STREAM_MAX);
	flush(subject, !subject->connection.is_client, STREAM_MAX);
}

static void close_subject(struct subject *subject, int state)
{
	if (!subject->is_open)
		return;
	flush_all(subject);
	trace(subject, "state", NULL, state);
	connection_state(&subject->connection, state);
	/* a server's answer ends with its FIN, a client knows only at the very end */
	if (state == TCP_CLOSE ||
	    (!subject->connection.is_client && (state == TCP_FIN_WAIT1 || state == TCP_LAST_ACK))) {
		if (subject->until_close >= 0)
			subject->expected[subject->asked_until_close][subject->until_close]++;
		subject->until_close = -1;
		subject->is_finished = true;
	}
	if (state == TCP_CLOSE) {
		connection_free(&subject->connection);
		subject->is_open = false;
	}
}

static void raw(struct subject *subject, struct script *script, bool sent)
{
	size_t length = next(script), piece = next(script) & 31;

	length = min(length, (size_t)(script->end - script->at));
	flush_all(subject);
	subject->is_dirty = true;
	carry(subject, sent, (const char *)script->at, length, piece);
	script->at += length;
}

static void unseen(struct subject *subject, bool sent, __u32 length)
{
	flush_all(subject);
	subject->is_dirty = true;
	trace(subject, sent ? "sends unseen" : "receives unseen", NULL, length);
	/* none at all, or more than sequence numbers can tell, is no gap */
	if (length && length <= 0x7fffffff)
		remember(subject, sent, "", 1);
	connection_skip(&subject->connection, sent, length);
}

static bool enqueue(struct subject *subject, bool sent, const char *text)
{
	struct queue *queue = &subject->queues[sent];
	size_t length = strlen(text);

	if (length > sizeof(queue->bytes) - queue->length)
		return false;
	memcpy(queue->bytes + queue->length, text, length);
	queue->length += length;
	return true;
}

static void ask(struct subject *subject, __u8 which, size_t count)
{
	const struct message_template *request = &requests[which];
	bool sent = subject->connection.is_client;

	if (subject->is_finished || subject->until_close >= 0 ||
	    subject->asked_count >= ARRAY_COUNT(subject->asked) ||
	    subject->queues[sent].length + 1024 > STREAM_MAX)
		return;
	/* more than the pipeline holds are lost on purpose */
	if (subject->asked_count + subject->unsent >= ARRAY_COUNT(subject->asked)) {
		flush(subject, !sent, STREAM_MAX);
		subject->unsent = 0;
	}
	enqueue(subject, sent, request->head);
	enqueue(subject, sent, request->body);
	subject->asked[subject->asked_count].which = which;
	subject->asked[subject->asked_count++].end = subject->queues[sent].length;
	flush(subject, sent, count ? count : STREAM_MAX);
}

static void answer(struct subject *subject, __u8 which, size_t count)
{
	const struct message_template *response = &responses[which];
	bool sent = !subject->connection.is_client;
	int method = requests[subject->asked[0].which].kind;

	if (subject->is_finished || subject->until_close >= 0 || !subject->asked_count ||
	    subject->queues[!sent].at < subject->asked[0].end ||
	    subject->queues[sent].length + 1024 > STREAM_MAX)
		return;
	enqueue(subject, sent, response->head);
	if (method != HTTP_HEAD || response->kind == 101)
		enqueue(subject, sent, response->body);
	flush(subject, sent, count ? count : STREAM_MAX);
	if (response->kind == 100)
		return;
	subject->unsent++;
	if (response->kind == 503 && method != HTTP_HEAD) {
		subject->until_close = which;
		subject->asked_until_close = method;
	} else {
		subject->expected[method][which]++;
	}
	if (response->kind == 101)
		subject->is_finished = true;
	subject->asked_count--;
	memmove(subject->asked, subject->asked + 1,
		subject->asked_count * sizeof(subject->asked[0]));
}

static void step(struct script *script)
{
	static const int states[] = { TCP_CLOSE, TCP_FIN_WAIT1, TCP_CLOSE_WAIT, TCP_LAST_ACK };
	__u8 operation = next(script), argument = operation >> 2 & 7;
	struct subject *subject = &subjects[operation & 3];

	if (!subject->is_open)
		open_subject(subject, argument == 7 ? next(script) : 0);
	switch (argument) {
	case 0:
	case 1:
		raw(subject, script, argument);
		break;
	case 2:
		ask(subject, operation >> 5, next(script));
		break;
	case 3:
		answer(subject, operation >> 5, next(script));
		break;
	case 4:
		unseen(subject, operation >> 7, (__u32)next(script) << (operation >> 5 & 3) * 8);
		break;
	case 5:
		clock_step(next(script) * MS << (operation >> 5));
		break;
	case 6:
		close_subject(subject, states[operation >> 5 & 3]);
		break;
	case 7:
		flush(subject, operation >> 7, next(script));
		break;
	}
}

/* How many messages with a head like this a stream can have held at most. */
static __u32 heads_of_responses(const struct stream *stream)
{
	__u32 count = 0;

	for (size_t i = 0; i + 7 <= stream->length; i++)
		count += memcmp(stream->bytes + i, "HTTP/1.", 7) == 0;
	return count;
}

static __u32 heads_of_requests(const struct stream *stream)
{
	__u32 count = 0;

	for (size_t i = 0; i + 1 < stream->length; i++)
		count += stream->bytes[i] >= 'A' && stream->bytes[i] <= 'Z' &&
			 stream->bytes[i + 1] == ' ';
	return count;
}

static void check_slot(const struct request_slot *slot, __u32 *answers, __u32 *errors)
{
	__u64 count = slot_count(slot), exponential = 0, first = 0, late = 0, sizes[2] = { 0 };
	__u32 at = slot->key.port - FAKE_SERVER_PORT;

	for (int i = 0; i < EXP_BUCKETS; i++)
		exponential += slot->exponential[i];
	for (int i = 0; i < BOUND_BUCKETS; i++) {
		REQUIRE(slot->late[i] <= slot->classic[i]);
		late += slot->late[i];
		first += slot->first_byte[i];
	}
	for (int i = 0; i < SIZE_BUCKETS; i++) {
		sizes[0] += slot->request_size[i];
		sizes[1] += slot->response_size[i];
	}
	REQUIRE(exponential == count && first == late);
	REQUIRE(sizes[0] <= count && sizes[1] <= count);
	REQUIRE(!count == !slot->sum_ns && slot->late_ns <= slot->sum_ns);
	if (!count)
		return;
	/* an end opened as the server may ask first: then it is the client, of a port all share */
	if (slot->key.port == FAKE_CLIENT_PORT)
		return;
	REQUIRE(at < CONNECTIONS);
	REQUIRE(slot->key.method < HTTP_METHOD_COUNT && slot->key.error < REQUEST_ERROR_COUNT);
	REQUIRE(slot->key.role == REQUEST_ROLE_SERVER || slot->key.role == REQUEST_ROLE_CLIENT);
	REQUIRE(slot->key.error ? !slot->key.status
				: slot->key.status >= 100 && slot->key.status <= 999);
	*(slot->key.error ? &errors[at] : &answers[at]) += count;
}

/* Every answer under the method and the status of its own exchange. */
static void check_expected(const struct subject *subject)
{
	__u16 port = FAKE_SERVER_PORT + (subject - subjects);

	for (int method = 0; method < HTTP_METHOD_COUNT; method++) {
		for (size_t i = 0; i < ARRAY_COUNT(responses); i++) {
			__u64 expected = 0, found = 0;

			for (size_t j = 0; j < ARRAY_COUNT(responses); j++)
				if (responses[j].kind == responses[i].kind)
					expected += subject->expected[method][j];
			slots_for_each(element)
			{
				const struct request_slot *slot = element->value;

				if (slot->key.port == port && slot->key.method == method &&
				    slot->key.status == responses[i].kind)
					found += slot_count(slot);
			}
			REQUIRE(found == expected);
		}
	}
}

static void check(void)
{
	__u32 answers[CONNECTIONS] = { 0 }, errors[CONNECTIONS] = { 0 };

	slots_for_each(element) check_slot(element->value, answers, errors);
	for (int i = 0; i < CONNECTIONS; i++) {
		struct subject *subject = &subjects[i];
		const struct stream *streams = subject->streams;

		if (streams[0].length < STREAM_MAX && streams[1].length < STREAM_MAX) {
			REQUIRE(answers[i] <=
				heads_of_responses(&streams[0]) + heads_of_responses(&streams[1]));
			REQUIRE(answers[i] + errors[i] <=
				heads_of_requests(&streams[0]) + heads_of_requests(&streams[1]));
		}
		/* with all slots in use the rest is a counted loss */
		if (!subject->is_dirty && !lost(LOSS_KEYS_FULL))
			check_expected(subject);
	}
	fake_map_for_each(&pl_taps, element)
		REQUIRE(((struct tap *)element->value)->pending <= PIPELINE_MAX + 1);
	fake_map_for_each(&pl_taps_by_sk, element)
		REQUIRE(((struct tap *)element->value)->pending <= PIPELINE_MAX + 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct script script = { .at = data, .end = data + min(size, (size_t)BYTES_MAX) };

	machine_reset();
	for (int i = 0; i < CONNECTIONS; i++) {
		memset(&subjects[i], 0, sizeof(subjects[i]));
		subjects[i].streams = streams_of[i];
		subjects[i].queues = queues_of[i];
		streams_of[i][0].length = streams_of[i][1].length = 0;
	}
	while (script.at < script.end)
		step(&script);
	for (int i = 0; i < CONNECTIONS; i++)
		if (subjects[i].is_open)
			flush_all(&subjects[i]);
	check();
	for (int i = 0; i < CONNECTIONS; i++)
		close_subject(&subjects[i], TCP_CLOSE);
	check();
	for (int i = 0; i < CONNECTIONS; i++)
		connection_free(&subjects[i].connection);
	fake_map_for_each(&pl_processes, element)
		REQUIRE(!((struct process_slot *)element->value)->sockets);
	machine_reset();
	return 0;
}
