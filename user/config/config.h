/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The configuration as plain data. Loaded from YAML or JSON (with // comments
 * allowed), merged over the embedded defaults, then over environment variables
 * and command-line options. Owns everything it points to.
 */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "base/text.h"
#include "series/observation.h"

enum budget_measure {
	MEASURE_P50,	    /* ms */
	MEASURE_P95,	    /* ms */
	MEASURE_P99,	    /* ms */
	MEASURE_ERROR_RATE, /* per cent; 5xx, resets before a response */
	MEASURE_THROUGHPUT, /* requests per second */
	MEASURE_COUNT
};

/* One line drawn: target / warning / critical on one measure of what the selector matches. */
struct budget_line {
	char name[64];	    /* component, e.g. "api_endpoints" */
	char service[64];   /* glob over service names; "*" is every service, each judged apart */
	char endpoint[128]; /* route or pattern; "" is the whole service */
	enum role role;
	enum budget_measure measure;
	double target, warning, critical; /* critical NAN: no such line; the others never */
	bool lower_is_worse;		  /* inferred: target > critical */
	bool endpoint_critical;		  /* `critical: true` on an endpoint */
	unsigned int window_s, hold_s;
	unsigned int least_requests; /* no verdict below this many in the window */
	char **actions;		     /* NULL-terminated, never empty after loading */
	char *runbook_url;	     /* or NULL */
};

struct route_pattern {
	char service[64];  /* glob */
	char pattern[128]; /* "/api/projects/{id}/ast" */
};

struct rung_choice {
	char probe[32];
	char rung[32];
};

struct config {
	char product[64];     /* name in alert titles; default "PLIMSOLL" */
	char environment[32]; /* ENVIRONMENT */
	char listen[64];      /* "127.0.0.1:9926" */
	enum log_format log_format;
	enum log_level log_level;
	bool enabled;	     /* MONITORING_ENABLED=false turns this off */
	bool arrival_stamps; /* default true: latency begins at the socket, not at the read */
	unsigned int endpoints_per_service; /* default 1000 */
	unsigned int endpoints_max;	    /* table slots in all, default 4096 */
	unsigned int connections_max;	    /* connection keys in all, default 4096 */
	unsigned int processes_max;	    /* default 16384 */
	unsigned int series_max;	    /* per family, default 20000 */
	unsigned int ring_bytes;	    /* default 1 MiB, power of two */

	struct budget_line *budgets;
	size_t budget_count;
	struct route_pattern *routes;
	size_t route_count;
	struct rung_choice *rungs;
	size_t rung_count;
};

/* The embedded defaults, budgets included (docs/CONFIG.md). 0 or -ENOMEM. */
int config_init(struct config *ret_config);
void config_fini(struct config *config);

/*
 * Reads `path` over the defaults. On error returns a negative errno and leaves one
 * "path:line: key: reason" line per problem in `problems` (the first ones, bounded);
 * unknown keys are warnings there too ("warning: path:line: ...") but do not fail.
 * ret_config is only written on success; what it held before is the caller's to free.
 */
int config_load(struct config *ret_config, const char *path, struct text *problems);

/* The same from memory; `name` stands for the path in problems. */
int config_load_bytes(struct config *ret_config, const char *name, const void *bytes, size_t size,
		      struct text *problems);

/* Applies environment variables (docs/CONFIG.md). 0 or negative errno with a line in problems. */
int config_apply_environment(struct config *config, struct text *problems);

/* "net/request=tracepoint"; replaces an earlier choice. 0, -EINVAL, -E2BIG or -ENOMEM. */
int config_add_rung(struct config *config, const char *probe_equals_rung);

/*
 * "127.0.0.1:9926", "[::1]:9926", "localhost:9926" or ":9926"; other names are not looked up.
 * Port 0 is any free port. web/address.c reads the same.
 */
bool config_is_listen(const char *listen);

const char *budget_measure_name(enum budget_measure measure); /* "p95_response_time_ms" */

/*
 * Every duration threshold (ns) that must be an exact histogram bound, ascending, no doubles.
 * Returns how many were written; of more than `max` the smallest are kept.
 */
size_t config_thresholds_ns(const struct config *config, uint64_t *ret_thresholds, size_t max);

/* Shell-style glob: * and ? only. */
bool config_glob_matches(const char *pattern, const char *text);

#endif
