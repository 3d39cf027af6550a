/* SPDX-License-Identifier: GPL-2.0-only */
#include "budgets/window.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

bool window_is_error(uint16_t status)
{
	return status == 0 || status >= 500;
}

static void *charged_calloc(struct window_memory *memory, size_t count, size_t size)
{
	void *bytes;

	if (count * size > memory->limit_bytes - memory->used_bytes) {
		errno = ENOMEM;
		return NULL;
	}
	bytes = calloc(count, size);
	if (bytes)
		memory->used_bytes += count * size;
	return bytes;
}

static void charged_free(struct window_memory *memory, void *bytes, size_t count, size_t size)
{
	if (!bytes)
		return;
	memory->used_bytes -= count * size;
	free(bytes);
}

static void forget_current(struct window *window)
{
	window->current_low = WINDOW_SLOTS;
	window->current_high = 0;
	window->current_requests = 0;
	window->current_errors = 0;
}

struct window *window_new(struct window_memory *memory, unsigned int length_s, uint64_t second)
{
	struct window *window = charged_calloc(memory, 1, sizeof(*window));

	if (!window)
		return NULL;
	window->memory = memory;
	window->length_s = length_s < 1			   ? 1
			   : length_s > WINDOW_SECONDS_MAX ? WINDOW_SECONDS_MAX
							   : length_s;
	window->second = second;
	forget_current(window);
	window->ring = charged_calloc(memory, window->length_s, sizeof(*window->ring));
	if (!window->ring) {
		charged_free(memory, window, 1, sizeof(*window));
		errno = ENOMEM;
		return NULL;
	}
	return window;
}

void window_free(struct window *window)
{
	struct window_memory *memory;
	unsigned int i;

	if (!window)
		return;
	memory = window->memory;
	for (i = 0; i < window->length_s; i++)
		charged_free(memory, window->ring[i].pairs, window->ring[i].pair_count,
			     sizeof(struct window_pair));
	charged_free(memory, window->ring, window->length_s, sizeof(*window->ring));
	charged_free(memory, window->slowest, 1, sizeof(*window->slowest));
	charged_free(memory, window->failed, 1, sizeof(*window->failed));
	charged_free(memory, window, 1, sizeof(*window));
}

static void add_slot(struct window *window, unsigned int slot, uint32_t count)
{
	uint32_t room = UINT32_MAX - window->current[slot];

	/* What leaves the sum later must be what entered it, so both stop at the same place. */
	if (count > room)
		count = room;
	window->current[slot] += count;
	window->sum[slot] += count;
	if (slot < window->current_low)
		window->current_low = slot;
	if (slot > window->current_high)
		window->current_high = slot;
}

void window_add(struct window *window, const struct request_delta *delta)
{
	const struct histogram_delta *duration = &delta->duration;
	unsigned int i;

	window->requests += duration->count;
	window->current_requests += duration->count;
	if (window_is_error(delta->status)) {
		window->errors += duration->count;
		window->current_errors += duration->count;
	}
	if (duration->exp) {
		for (i = duration->exp_low; i <= duration->exp_high && i < EXP_BUCKETS; i++)
			if (duration->exp[i])
				add_slot(window, i, duration->exp[i]);
	}
	if (duration->classic) {
		for (i = 0; i < BOUND_BUCKETS; i++)
			if (duration->classic[i])
				add_slot(window, EXP_BUCKETS + i, duration->classic[i]);
	}
}

void window_add_detail(struct window *window, const struct request_detail *detail)
{
	if (!window->slowest)
		window->slowest = charged_calloc(window->memory, 1, sizeof(*window->slowest));
	if (window->slowest)
		evidence_add(window->slowest, detail, window->second + 1);
	if (!window_is_error(detail->status))
		return;
	if (!window->failed)
		window->failed = charged_calloc(window->memory, 1, sizeof(*window->failed));
	if (window->failed)
		evidence_add(window->failed, detail, window->second + 1);
}

static void drop_second(struct window *window, struct window_second *past)
{
	uint32_t i;

	window->requests -= past->requests;
	window->errors -= past->errors;
	for (i = 0; i < past->pair_count; i++)
		window->sum[past->pairs[i].slot] -= past->pairs[i].count;
	charged_free(window->memory, past->pairs, past->pair_count, sizeof(*past->pairs));
	memset(past, 0, sizeof(*past));
}

static void close_second(struct window *window, struct window_second *ret_second)
{
	uint32_t used = 0;
	unsigned int i;

	ret_second->requests = window->current_requests;
	ret_second->errors = window->current_errors;
	for (i = window->current_low; i <= window->current_high; i++)
		used += window->current[i] != 0;
	if (used)
		ret_second->pairs =
			charged_calloc(window->memory, used, sizeof(*ret_second->pairs));
	if (used && !ret_second->pairs)
		window->memory->refused++;
	for (i = window->current_low; i <= window->current_high; i++) {
		if (!window->current[i])
			continue;
		if (ret_second->pairs)
			ret_second->pairs[ret_second->pair_count++] =
				(struct window_pair){ .slot = (uint16_t)i,
						      .count = window->current[i] };
		else
			window->sum[i] -= window->current[i];
		window->current[i] = 0;
	}
	forget_current(window);
}

void window_tick(struct window *window, uint64_t second)
{
	uint64_t passed, oldest, i;

	assert(window->length_s); /* window_new() refuses it */
	if (second <= window->second)
		return;
	passed = second - window->second;
	if (passed > window->length_s)
		passed = window->length_s;
	for (i = 0; i < passed; i++)
		drop_second(window, &window->ring[(second - i) % window->length_s]);
	close_second(window, &window->ring[second % window->length_s]);
	window->second = second;
	oldest = second < window->length_s ? 0 : second - window->length_s + 1;
	if (window->slowest)
		evidence_expire(window->slowest, oldest);
	if (window->failed)
		evidence_expire(window->failed, oldest);
}

bool window_above(const struct window *window, const struct bounds *bounds, double limit_ns,
		  uint64_t *ret_above)
{
	const uint64_t *classic = window->sum + EXP_BUCKETS;
	uint64_t total = 0, within = 0;
	bool found = false;
	unsigned int i;

	for (i = 0; i <= bounds->count && i < BOUND_BUCKETS; i++) {
		total += classic[i];
		if (found || i == bounds->count)
			continue;
		within += classic[i];
		/* A limit in ms may have been rounded or cut on its way to whole ns. */
		found = fabs((double)bounds->upper[i] - limit_ns) <= 1.0;
	}
	if (!found || total != window->requests)
		return false;
	*ret_above = total - within;
	return true;
}

static double classic_quantile_ns(const struct window *window, const struct bounds *bounds,
				  double q)
{
	const uint64_t *classic = window->sum + EXP_BUCKETS;
	uint64_t total = 0, seen = 0;
	unsigned int i;

	for (i = 0; i <= bounds->count && i < BOUND_BUCKETS; i++)
		total += classic[i];
	if (!total || !bounds->count)
		return NAN;
	for (i = 0; i < bounds->count; i++) {
		seen += classic[i];
		if ((double)seen >= q * (double)total)
			return (double)bounds->upper[i];
	}
	return (double)bounds->upper[bounds->count - 1];
}

double window_quantile_ns(const struct window *window, const struct bounds *bounds, double q)
{
	double value_ns;

	if (!window->requests)
		return NAN;
	value_ns = histogram_quantile_ns(window->sum, 0, EXP_BUCKETS, q);
	return isnan(value_ns) ? classic_quantile_ns(window, bounds, q) : value_ns;
}
