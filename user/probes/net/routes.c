/* SPDX-License-Identifier: GPL-2.0-only */
#include <stdlib.h>
#include <string.h>

#include <linux/types.h>
#include <plimsoll/net/request.h>

#include "probes/net/routes.h"
#include "wire/route.h"

struct route_entry {
	uint64_t hash;
	char text[]; /* NUL terminated */
};

static bool route_matches(const void *value, const void *key, size_t key_size)
{
	return memcmp(&((const struct route_entry *)value)->hash, key, key_size) == 0;
}

void routes_init(struct routes *routes)
{
	hashmap_init(&routes->by_hash, route_matches);
}

void routes_fini(struct routes *routes)
{
	struct route_entry *entry;
	size_t cursor;

	hashmap_for_each (&routes->by_hash, cursor, entry)
		free(entry);
	hashmap_fini(&routes->by_hash);
}

void routes_learn(struct routes *routes, uint64_t hash, const char *text)
{
	size_t length = strlen(text) + 1;
	struct route_entry *entry;

	if (routes->by_hash.count >= ROUTES_MAX || routes_text(routes, hash))
		return;
	entry = malloc(sizeof(*entry) + length);
	if (!entry)
		return;
	entry->hash = hash;
	memcpy(entry->text, text, length);
	if (hashmap_add(&routes->by_hash, &entry->hash, sizeof(entry->hash), entry))
		free(entry);
}

const char *routes_text(const struct routes *routes, uint64_t hash)
{
	const struct route_entry *entry = hashmap_find(&routes->by_hash, &hash, sizeof(hash));

	return entry ? entry->text : NULL;
}

void routes_learn_path(struct routes *routes, uint64_t hash, const uint8_t *head,
		       unsigned int start, unsigned int end)
{
	char text[ROUTE_TEXT_MAX];

	if (hash == ROUTE_OTHER || hash >= ROUTE_PATTERN_BASE || start > end || !end ||
	    end > PATH_MAX_BYTES)
		return;
	if (start == end) { /* an absolute form without a path */
		routes_learn(routes, hash, "/");
		return;
	}
	route_text((const char *)head + start, end - start, text);
	routes_learn(routes, hash, text);
}
