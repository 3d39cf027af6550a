/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Open addressing, keys are byte strings that live inside the values (the map
 * stores pointers and never owns them). Grows by doubling, never shrinks.
 */
#ifndef BASE_HASHMAP_H
#define BASE_HASHMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hashmap_slot {
	uint64_t hash; /* 0: empty, 1: removed */
	void *value;
};

struct hashmap {
	struct hashmap_slot *slots;
	size_t capacity; /* power of two */
	size_t count;
	size_t used; /* count + removed */
	/* Does the value carry this key? */
	bool (*matches)(const void *value, const void *key, size_t key_size);
};

void hashmap_init(struct hashmap *map,
		  bool (*matches)(const void *value, const void *key, size_t key_size));
void hashmap_fini(struct hashmap *map);

/* NULL if absent. */
void *hashmap_find(const struct hashmap *map, const void *key, size_t key_size);

/* The key must not be in the map yet. 0 or -ENOMEM. */
int hashmap_add(struct hashmap *map, const void *key, size_t key_size, void *value);

/* Returns the removed value or NULL. */
void *hashmap_remove(struct hashmap *map, const void *key, size_t key_size);

/* Iteration: start with *cursor = 0; NULL at the end. Removing the current value is allowed. */
void *hashmap_next(const struct hashmap *map, size_t *cursor);

#define hashmap_for_each(map, cursor, value) \
	for ((cursor) = 0; ((value) = hashmap_next((map), &(cursor))) != NULL;)

uint64_t hashmap_hash(const void *bytes, size_t size);

#endif
