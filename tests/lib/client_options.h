/* SPDX-License-Identifier: GPL-2.0-only */
/* The command line of http_client, and nothing else: what it means is in http_client.c. */
#ifndef TESTS_LIB_CLIENT_OPTIONS_H
#define TESTS_LIB_CLIENT_OPTIONS_H

#include <arpa/inet.h>
#include <pthread.h>

#include "stream.h"

enum verb { VERB_RUN, VERB_UPGRADE, VERB_RAW, VERB_SPAWN };

static struct {
	enum verb verb;
	struct sockaddr_storage address;
	socklen_t address_size;
	enum stream_family family;
	const char *host, *method, *path, *connection_header, *kind, *file;
	uint64_t body, chunk, header_bytes, split_bytes, split_us, think_us, slow_ms, abort_us,
		close_us, size;
	int port, connections, count, depth, minor, parallel;
	bool each, half_close, expect, early, wait, hold, strict;
	pthread_barrier_t ready, go, done, end;
} options = { .host = "127.0.0.1",
	      .method = "GET",
	      .path = "/",
	      .family = STREAM_SEND_RECV,
	      .connections = 1,
	      .depth = 1,
	      .minor = 1,
	      .parallel = 1 };

static inline void usage(void)
{
	fprintf(stderr,
		"usage: http_client --port N [--host ADDRESS] [--io FAMILY] [--connections N]\n"
		"  [--method M] [--path P] [--http10] [--connection VALUE] [--body N] [--chunk N]\n"
		"  [--expect] [--early] [--header-bytes N] [--split N] [--split-us N] [--think-us "
		"N]\n"
		"  [--slow-ms N] [--abort-us N] [--close-us N] [--each] [--half-close] [--depth "
		"N]\n"
		"  [--wait] [--hold] [--strict] [--parallel N] VERB: run N | upgrade KIND N SIZE | "
		"raw FILE | "
		"spawn N\n");
	exit(2);
}

static const struct number_option {
	const char *name;
	uint64_t *value;
} numbers[] = {
	{ "body", &options.body },
	{ "chunk", &options.chunk },
	{ "header-bytes", &options.header_bytes },
	{ "split", &options.split_bytes },
	{ "split-us", &options.split_us },
	{ "think-us", &options.think_us },
	{ "slow-ms", &options.slow_ms },
	{ "abort-us", &options.abort_us },
	{ "close-us", &options.close_us },
};

static const struct flag_option {
	const char *name;
	bool *value;
} flags[] = {
	{ "each", &options.each },     { "half-close", &options.half_close },
	{ "expect", &options.expect }, { "early", &options.early },
	{ "wait", &options.wait },     { "hold", &options.hold },
	{ "strict", &options.strict },
};

static const struct count_option {
	const char *name;
	int *value;
} counts[] = {
	{ "port", &options.port },
	{ "connections", &options.connections },
	{ "depth", &options.depth },
	{ "parallel", &options.parallel },
};

static const struct text_option {
	const char *name;
	const char **value;
} texts[] = {
	{ "host", &options.host },
	{ "method", &options.method },
	{ "path", &options.path },
	{ "connection", &options.connection_header },
};

/* How many arguments it took: 0 is an unknown option. */
static inline int parse_option(const char *name, const char *value)
{
	for (size_t i = 0; i < sizeof(flags) / sizeof(*flags); i++) {
		if (strcmp(name, flags[i].name) == 0) {
			*flags[i].value = true;
			return 1;
		}
	}
	if (strcmp(name, "http10") == 0) {
		options.minor = 0;
		return 1;
	}
	if (!value)
		return 0;
	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
		if (strcmp(name, numbers[i].name) == 0) {
			*numbers[i].value = strtoull(value, NULL, 10);
			return 2;
		}
	}
	for (size_t i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
		if (strcmp(name, counts[i].name) == 0) {
			*counts[i].value = atoi(value);
			return *counts[i].value > 0 ? 2 : 0;
		}
	}
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		if (strcmp(name, texts[i].name) == 0) {
			*texts[i].value = value;
			return 2;
		}
	}
	if (strcmp(name, "io") != 0 || stream_family_parse(value, &options.family))
		return 0;
	return 2;
}

static inline void parse_verb(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[0], "run") == 0) {
		options.verb = VERB_RUN;
		options.count = atoi(argv[1]);
	} else if (argc == 2 && strcmp(argv[0], "raw") == 0) {
		options.verb = VERB_RAW;
		options.file = argv[1];
	} else if (argc == 2 && strcmp(argv[0], "spawn") == 0) {
		options.verb = VERB_SPAWN;
		options.count = atoi(argv[1]);
	} else if (argc == 4 && strcmp(argv[0], "upgrade") == 0) {
		options.verb = VERB_UPGRADE;
		options.kind = argv[1];
		options.count = atoi(argv[2]);
		options.size = strtoull(argv[3], NULL, 10);
	} else {
		usage();
	}
}

static inline void resolve(void)
{
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)&options.address;
	struct sockaddr_in *four = (struct sockaddr_in *)&options.address;

	if (inet_pton(AF_INET, options.host, &four->sin_addr) == 1) {
		four->sin_family = AF_INET;
		four->sin_port = htons((uint16_t)options.port);
		options.address_size = sizeof(*four);
	} else if (inet_pton(AF_INET6, options.host, &six->sin6_addr) == 1) {
		six->sin6_family = AF_INET6;
		six->sin6_port = htons((uint16_t)options.port);
		options.address_size = sizeof(*six);
	} else {
		usage();
	}
}

static inline void parse_arguments(int argc, char **argv)
{
	int i = 1;

	while (i < argc && strncmp(argv[i], "--", 2) == 0) {
		int taken = parse_option(argv[i] + 2, i + 1 < argc ? argv[i + 1] : NULL);

		if (!taken)
			usage();
		i += taken;
	}
	parse_verb(argc - i, argv + i);
	resolve();
}

#endif
