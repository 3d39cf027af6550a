/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Route patterns of the user's, compiled for the kernel: all patterns together
 * become one deterministic automaton over path segments, walked by net/request
 * with one look-up per segment. Of several patterns that fit a path the most
 * specific one wins: compared segment by segment from the left, a literal beats
 * {anything}.
 */
#ifndef PROBES_NET_PATTERNS_H
#define PROBES_NET_PATTERNS_H

#include <stdint.h>

#include "config/config.h"

struct patterns;

/* NULL when the configuration names none, or with errno set when memory ran out. */
struct patterns *patterns_new(const struct config *config);
void patterns_free(struct patterns *patterns);

/* Fills pl_patterns. 0 or negative errno (-E2BIG: too many states). */
int patterns_load(const struct patterns *patterns, int map_fd);

/* 0: none. */
uint32_t patterns_states(const struct patterns *patterns);

/* The pattern a request counted under ROUTE_PATTERN_BASE | number matched; never NULL. */
const char *patterns_text(const struct patterns *patterns, uint32_t number);

/* The kernel's hash of one segment; the same arithmetic as bpf/net/http1.bpf.h. */
uint64_t patterns_segment_hash(const char *segment, uint32_t length);

#endif
