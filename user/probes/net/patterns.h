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

/* NULL with errno ENOMEM. `map_fd` is pl_patterns, borrowed; -1 keeps everything in user space. */
struct patterns *patterns_new(const struct config *config, int map_fd);
void patterns_free(struct patterns *patterns);

/*
 * The state in which paths of this service enter the automaton, compiled and loaded when it is
 * asked for the first time; 0 if no pattern is meant for it (or memory or the kernel's table ran
 * out, which is logged: the heuristic then names its routes).
 */
uint32_t patterns_start(struct patterns *patterns, const char *service);

/* Number of states so far; 0: no pattern is in use. */
uint32_t patterns_states(const struct patterns *patterns);

/* The pattern a request counted under ROUTE_PATTERN_BASE | number matched; never NULL. */
const char *patterns_text(const struct patterns *patterns, uint32_t number);

/* The pattern that a path or a heuristic route of this service matches, or NULL. */
const char *patterns_match(struct patterns *patterns, const char *service, const char *path);

/* The kernel's hash of one segment; the same arithmetic as bpf/net/http1.bpf.h. */
uint64_t patterns_segment_hash(const char *segment, uint32_t length);

#endif
