/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The last N seconds of one selection of requests: a running sum of histogram
 * differences and, per second, the sparse difference that leaves the sum again
 * when its second has passed. Sums are exact; nothing is averaged.
 *
 * A request belongs to the second whose tick follows it. A window of 30 holds
 * at tick n what ticks n-29 ... n brought. All memory of all windows is charged
 * to one struct window_memory; at its limit a second keeps its request and
 * error counts but not its histogram, which is counted in `refused`.
 */
#ifndef BUDGETS_WINDOW_H
#define BUDGETS_WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "budgets/evidence.h"
#include "series/histogram.h"
#include "series/observation.h"

#define WINDOW_SECONDS_MAX 3600
#define WINDOW_SLOTS	   (EXP_BUCKETS + BOUND_BUCKETS) /* exponential, then classic */

struct window_memory {
	size_t used_bytes;
	size_t limit_bytes;
	uint64_t refused; /* histograms of a second that found no memory */
};

/* Packed: a busy window holds a thousand of them. */
struct window_pair {
	uint16_t slot;
	uint32_t count;
} __attribute__((packed));

struct window_second {
	uint64_t requests, errors;
	struct window_pair *pairs;
	uint32_t pair_count;
};

struct window {
	struct window *next; /* of the same selection, other lengths */
	struct window_memory *memory;
	struct window_second *ring; /* [second % length_s] */
	struct evidence *slowest;   /* NULL until the first detail record */
	struct evidence *failed;    /* the slowest of those that failed */
	uint64_t second;	    /* of the last tick */
	unsigned int length_s;
	unsigned int current_low, current_high; /* used range of current; low > high: none */
	uint64_t requests, errors;		/* in the window */
	uint64_t current_requests, current_errors;
	uint64_t sum[WINDOW_SLOTS];
	uint32_t current[WINDOW_SLOTS]; /* of the running second; already part of sum */
};

/* length_s is brought into 1..WINDOW_SECONDS_MAX. NULL with errno ENOMEM. */
struct window *window_new(struct window_memory *memory, unsigned int length_s, uint64_t second);
void window_free(struct window *window);

void window_add(struct window *window, const struct request_delta *delta);
void window_add_detail(struct window *window, const struct request_detail *detail);

/* Closes the running second as `second`, lets go of what is length_s old. Never goes back. */
void window_tick(struct window *window, uint64_t second);

/*
 * How many requests lie above `limit_ns`, exactly. False if that is not known: the limit
 * is no classic bound, or some requests came without classic counts.
 */
bool window_above(const struct window *window, const struct bounds *bounds, double limit_ns,
		  uint64_t *ret_above);

/* NAN when there is nothing to tell from. */
double window_quantile_ns(const struct window *window, const struct bounds *bounds, double q);

/* No response, or a response that says the service failed. */
bool window_is_error(uint16_t status);

#endif
