/* SPDX-License-Identifier: GPL-2.0-only */
#include "base/hashmap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

#define SLOT_EMPTY     0
#define SLOT_REMOVED   1
#define FIRST_CAPACITY 16

static uint64_t fold(uint64_t left, uint64_t right)
{
	unsigned __int128 product = (unsigned __int128)left * right;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t hash_seeded(uint64_t seed, const void *bytes, size_t size)
{
	const unsigned char *at = bytes;
	uint64_t hash = seed ^ 0x9e3779b97f4a7c15ULL;
	uint64_t word;

	for (size_t left = size; left > 0;) {
		size_t step = left < sizeof(word) ? left : sizeof(word);

		word = 0;
		memcpy(&word, at, step);
		hash = fold(hash ^ word, 0xd6e8feb86659fd93ULL) + word;
		at += step;
		left -= step;
	}
	return fold(hash ^ size, 0xa0761d6478bd642fULL);
}

uint64_t hashmap_hash(const void *bytes, size_t size)
{
	return hash_seeded(0, bytes, size);
}

/* Keys come from the wire; a seed of this process keeps others from choosing colliding ones. */
static uint64_t slot_hash(const void *key, size_t key_size)
{
	const void *random = (const void *)getauxval(AT_RANDOM);
	uint64_t seed = 0;
	uint64_t hash;

	if (random)
		memcpy(&seed, random, sizeof(seed));
	hash = hash_seeded(seed, key, key_size);
	return hash > SLOT_REMOVED ? hash : hash + 2;
}

void hashmap_init(struct hashmap *map,
		  bool (*matches)(const void *value, const void *key, size_t key_size))
{
	memset(map, 0, sizeof(*map));
	map->matches = matches;
}

void hashmap_fini(struct hashmap *map)
{
	free(map->slots);
	map->slots = NULL;
	map->capacity = map->count = map->used = 0;
}

static struct hashmap_slot *find_slot(const struct hashmap *map, const void *key, size_t key_size)
{
	uint64_t hash;

	if (map->count == 0)
		return NULL;
	hash = slot_hash(key, key_size);
	/* Ends: at least a quarter of the slots is empty. */
	for (size_t i = hash & (map->capacity - 1);; i = (i + 1) & (map->capacity - 1)) {
		struct hashmap_slot *slot = &map->slots[i];

		if (slot->hash == SLOT_EMPTY)
			return NULL;
		if (slot->hash == hash && map->matches(slot->value, key, key_size))
			return slot;
	}
}

void *hashmap_find(const struct hashmap *map, const void *key, size_t key_size)
{
	struct hashmap_slot *slot = find_slot(map, key, key_size);

	return slot ? slot->value : NULL;
}

static void place(struct hashmap *map, uint64_t hash, void *value)
{
	size_t i = hash & (map->capacity - 1);

	while (map->slots[i].hash > SLOT_REMOVED)
		i = (i + 1) & (map->capacity - 1);
	if (map->slots[i].hash == SLOT_EMPTY)
		map->used++;
	map->slots[i].hash = hash;
	map->slots[i].value = value;
	map->count++;
}

/* Doubles only when values need the room; otherwise it just sweeps out the removed. */
static int rehash(struct hashmap *map)
{
	struct hashmap old = *map;
	size_t capacity = old.capacity ? old.capacity : FIRST_CAPACITY;

	if (old.count >= capacity / 2)
		capacity *= 2;
	map->slots = calloc(capacity, sizeof(*map->slots));
	if (!map->slots) {
		map->slots = old.slots;
		return -ENOMEM;
	}
	map->capacity = capacity;
	map->count = map->used = 0;
	for (size_t i = 0; i < old.capacity; i++)
		if (old.slots[i].hash > SLOT_REMOVED)
			place(map, old.slots[i].hash, old.slots[i].value);
	free(old.slots);
	return 0;
}

int hashmap_add(struct hashmap *map, const void *key, size_t key_size, void *value)
{
	if (map->used + 1 > map->capacity / 4 * 3) {
		int err = rehash(map);

		if (err)
			return err;
	}
	place(map, slot_hash(key, key_size), value);
	return 0;
}

void *hashmap_remove(struct hashmap *map, const void *key, size_t key_size)
{
	struct hashmap_slot *slot = find_slot(map, key, key_size);
	void *value;

	if (!slot)
		return NULL;
	value = slot->value;
	slot->hash = SLOT_REMOVED;
	slot->value = NULL;
	map->count--;
	return value;
}

void *hashmap_next(const struct hashmap *map, size_t *cursor)
{
	while (*cursor < map->capacity) {
		const struct hashmap_slot *slot = &map->slots[(*cursor)++];

		if (slot->hash > SLOT_REMOVED)
			return slot->value;
	}
	return NULL;
}
