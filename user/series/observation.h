/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a probe tells those who judge: requests counted since the last sweep
 * (exact, per key) and single detail records (bounded, chosen). Pointers in
 * both are borrowed for the length of the call.
 */
#ifndef SERIES_OBSERVATION_H
#define SERIES_OBSERVATION_H

#include <stdint.h>

#include "series/histogram.h"

enum role { ROLE_UNKNOWN, ROLE_SERVER, ROLE_CLIENT };

/* Requests of one (service, role, port, method, route, status) since the last sweep. */
struct request_delta {
	const char *service;
	enum role role;
	uint16_t server_port;
	const char *method;
	const char *route;
	uint16_t status;   /* 0: no response (error says why) */
	const char *error; /* "" or "connection_reset", ... */
	struct histogram_delta duration;
};

/* One request worth telling of: a breach, an error, the first of its key. */
struct request_detail {
	uint64_t wall_ns; /* when it ended */
	const char *service;
	enum role role;
	uint16_t server_port;
	const char *method;
	const char *path;  /* as sent, query dropped, bounded */
	const char *route; /* normalised */
	uint16_t status;
	uint64_t duration_ns;
	uint64_t first_byte_ns; /* from the start of the request */
	uint64_t queue_ns;	/* first byte at the socket -> read by the service */
	uint64_t request_body_bytes, response_body_bytes;
	uint32_t pid;
};

struct observer {
	void *context;
	void (*requests)(void *context, const struct request_delta *delta);
	void (*detail)(void *context, const struct request_detail *detail);
	/* Above which duration (ns) a request of this kind is worth a detail record. */
	uint64_t (*threshold_ns)(void *context, const char *service, const char *route,
				 enum role role);
	unsigned int generation; /* grows when thresholds may have changed */
};

#endif
