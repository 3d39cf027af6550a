/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The texts of routes: the kernel counts by a hash of a path and tells its text once, in a record.
 * At most ROUTES_MAX are kept.
 */
#ifndef PROBES_NET_ROUTES_H
#define PROBES_NET_ROUTES_H

#include <stdint.h>

#include "base/hashmap.h"

#define ROUTES_MAX 16384

struct routes {
	struct hashmap by_hash;
};

void routes_init(struct routes *routes);
void routes_fini(struct routes *routes);

/* The text stays what it was first. */
void routes_learn(struct routes *routes, uint64_t hash, const char *text);

/* From bytes start..end-1 of a request head as the kernel kept it (PATH_MAX_BYTES). */
void routes_learn_path(struct routes *routes, uint64_t hash, const uint8_t *head,
		       unsigned int start, unsigned int end);

/* Borrowed; NULL if it was never told. */
const char *routes_text(const struct routes *routes, uint64_t hash);

#endif
