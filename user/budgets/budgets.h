/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Budgets: lines drawn on requests, judged once a second over windows that
 * slide on one-second steps of exact histogram differences (never averages of
 * percentiles). One struct budget per (line, service[, endpoint]) that showed up.
 *
 * Verdict: a percentile is over its line when more than its share of the
 * window's requests lies above the line, counted exactly (lines are classic
 * bounds); the value shown never contradicts it. Errors are status >= 500 and
 * requests without a response. Upward the state follows once the raw state held
 * for hold_s (0: at once), downward after max(hold_s, BUDGET_RECOVERY_S).
 * With fewer than least_requests in the window there is no verdict: the state
 * stays until the evidence it rests on has left the window, then it is WITHIN.
 * Throughput is judged from a full window after the service was first seen, and
 * only once it had least_requests in a window; then silence counts as 0. After
 * BUDGET_FORGET_S without a request a service and its budgets are forgotten.
 *
 * At most BUDGETS_MAX budgets and WINDOWS_MAX windows; what finds no place is
 * logged once and counted in plimsoll_budget_unjudged_requests_total.
 */
#ifndef BUDGETS_BUDGETS_H
#define BUDGETS_BUDGETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"
#include "series/observation.h"
#include "series/series.h"

enum budget_state { BUDGET_WITHIN = 0, BUDGET_WARNING = 1, BUDGET_CRITICAL = 2 };

#define BUDGET_DETAILS_MAX 5
#define BUDGETS_MAX	   4096
#define WINDOWS_MAX	   2000
#define BUDGET_RECOVERY_S  5  /* least time below a line before it counts as recovered */
#define BUDGET_VIEW_S	   30 /* the window of budgets_services() */
#define BUDGET_FORGET_S	   3600

/* A detail record kept as evidence: owned copies, bounded. */
struct budget_evidence {
	uint64_t wall_ns, duration_ns, first_byte_ns, queue_ns;
	uint16_t status;
	uint32_t pid;
	char method[16];
	char path[128];
};

struct window;	  /* window.h */
struct selection; /* selection.h */

struct budget {
	const struct budget_line *line;
	char service[64];
	struct budget *next;
	struct window *window;	      /* shared by all budgets of the same selection */
	struct selection *selection;  /* service, role and endpoint that are judged */
	bool has_value;		      /* enough requests in the window */
	double value;		      /* measured, unit of the measure */
	bool over_target;	      /* between target and warning: still WITHIN, shown apart */
	enum budget_state raw, state; /* raw: this second; state: after the hold time */
	uint64_t raw_since_ns;	      /* monotonic */
	/* Since when raw is at or above, or below, each level: holds survive WARNING <-> CRITICAL.
	 */
	uint64_t level_since_ns[BUDGET_CRITICAL + 1];
	uint64_t judged_ns;  /* monotonic, last tick with a verdict */
	bool armed;	     /* throughput: there was traffic worth judging */
	double completeness; /* of the service in the window, 1 when nothing was lost */
};

/* A change of state that someone must hear of. */
struct budget_change {
	const struct budget *budget;
	enum budget_state from, to;
	const struct budget_evidence *slowest; /* slowest first */
	size_t slowest_count;
	uint64_t requests; /* in the window */
};

struct budgets;

/* Borrows config and store: both must outlive it. NULL with errno ENOMEM. */
struct budgets *budgets_new(const struct config *config, struct series_store *store,
			    void (*changed)(void *context, const struct budget_change *change),
			    void *context);
/* Takes its series out of the store; tells no change (see alerts_reload()). */
void budgets_free(struct budgets *budgets);

/*
 * Series: plimsoll_budget_state, plimsoll_budget_value, plimsoll_budget_limit, written by
 * budgets_tick() while a budget has requests; what came in shows at the next tick.
 */
void budgets_requests(struct budgets *budgets, const struct request_delta *delta);
void budgets_detail(struct budgets *budgets, const struct request_detail *detail);

/*
 * The share of a service's requests that was seen, for evidence and guard (1 = all). Holds until
 * told anew; a service without requests so far is not remembered.
 */
void budgets_completeness(struct budgets *budgets, const char *service, double ratio);

/* Once a second. */
void budgets_tick(struct budgets *budgets, uint64_t monotonic_ns);

/*
 * The threshold (ns) above which a request of this service and route is worth a detail
 * record: the lowest line on p95 or p99 that applies (p50 only where there is no other);
 * UINT64_MAX if there is none. A NULL or empty route asks for the service as a whole.
 */
uint64_t budgets_detail_threshold_ns(const struct budgets *budgets, const char *service,
				     const char *route, enum role role);

/* For screens and APIs: NULL-terminated list by `next`. */
const struct budget *budgets_first(const struct budgets *budgets);

/* Worst state and the p50/p95/p99, rate and error share of a service's server role now. */
struct service_view {
	const char *service;
	enum role role;
	uint16_t server_port;
	double rate, p50_ms, p95_ms, p99_ms, error_percent; /* NAN: no requests in the window */
	double completeness;
	enum budget_state state;
	bool over_target;
	uint64_t requests; /* in the window */
};
size_t budgets_services(const struct budgets *budgets, struct service_view *ret_views, size_t max);

#endif
