/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * BPF maps in process memory. A map is known by the address of its declaration,
 * from whose type its kind and sizes are read, as the loader reads them from BTF.
 * Every value is an allocation of its own, so that AddressSanitizer sees a step
 * over its end, or a use after it was deleted. Elements of arrays come into being,
 * all zero, when first looked at.
 *
 * A test can make a map smaller than declared with fake_map_limit(), and starts
 * from nothing with fake_maps_reset().
 */
#ifndef FAKES_FAKE_MAPS_H
#define FAKES_FAKE_MAPS_H

#include <vmlinux.h>

#define FAKE_BUCKETS 256

struct fake_element {
	struct fake_element *next;  /* in its bucket */
	struct fake_element *older; /* in the map */
	struct fake_element *newer;
	void *value;
	__u8 key[64];
};

struct fake_map {
	struct fake_map *next;
	const void *declaration;
	__u32 type, key_size, value_size, max_entries;
	__u32 limit, count;
	struct fake_element *buckets[FAKE_BUCKETS];
	struct fake_element *oldest, *newest;
	__u8 *stack;
	__u32 stack_room;
};

static struct fake_map *fake_maps;

static struct fake_map *fake_map_get(const void *declaration, __u32 type, size_t key_size,
				     size_t value_size, size_t max_entries)
{
	struct fake_map *map;

	for (map = fake_maps; map; map = map->next)
		if (map->declaration == declaration)
			return map;
	map = calloc(1, sizeof(*map));
	if (!map || key_size > sizeof(map->oldest->key))
		abort();
	map->declaration = declaration;
	map->type = type;
	map->key_size = key_size;
	map->value_size = value_size;
	map->max_entries = map->limit = max_entries;
	map->next = fake_maps;
	fake_maps = map;
	return map;
}

#define FAKE_NUMBER(pointer) (sizeof(*(pointer)) / sizeof(int))

#define FAKE_MAP_OF(map, key_size, value_size, entries)                                    \
	({                                                                                 \
		static struct fake_map *fake_known;                                        \
		if (!fake_known)                                                           \
			fake_known = fake_map_get(map, FAKE_NUMBER((map)->type), key_size, \
						  value_size, entries);                    \
		fake_known;                                                                \
	})
#define FAKE_MAP(map)                                                \
	FAKE_MAP_OF(map, sizeof(*(map)->key), sizeof(*(map)->value), \
		    FAKE_NUMBER((map)->max_entries))
#define FAKE_STACK(map) \
	FAKE_MAP_OF(map, 0, FAKE_NUMBER((map)->value_size), FAKE_NUMBER((map)->max_entries))
#define FAKE_STORAGE(map) FAKE_MAP_OF(map, sizeof(void *), sizeof(*(map)->value), ~0u)

static bool fake_map_is_array(const struct fake_map *map)
{
	return map->type == BPF_MAP_TYPE_ARRAY || map->type == BPF_MAP_TYPE_PERCPU_ARRAY;
}

static struct fake_element **fake_bucket(struct fake_map *map, const void *key)
{
	const __u8 *bytes = key;
	__u32 hash = 2166136261u;

	for (__u32 i = 0; i < map->key_size; i++)
		hash = (hash ^ bytes[i]) * 16777619u;
	return &map->buckets[(hash ^ hash >> 16) % FAKE_BUCKETS];
}

static struct fake_element *fake_element_find(struct fake_map *map, const void *key)
{
	struct fake_element *element;

	for (element = *fake_bucket(map, key); element; element = element->next)
		if (memcmp(element->key, key, map->key_size) == 0)
			return element;
	return NULL;
}

static void *fake_map_add(struct fake_map *map, const void *key, const void *value)
{
	struct fake_element **bucket = fake_bucket(map, key);
	struct fake_element *element = calloc(1, sizeof(*element));

	if (!element)
		abort();
	element->value = calloc(1, map->value_size);
	if (!element->value)
		abort();
	memcpy(element->key, key, map->key_size);
	if (value)
		memcpy(element->value, value, map->value_size);
	element->next = *bucket;
	*bucket = element;
	element->older = map->newest;
	if (map->newest)
		map->newest->newer = element;
	else
		map->oldest = element;
	map->newest = element;
	map->count++;
	return element->value;
}

static long fake_map_delete(struct fake_map *map, const void *key)
{
	struct fake_element **at = fake_bucket(map, key), *element;

	while (*at && memcmp((*at)->key, key, map->key_size) != 0)
		at = &(*at)->next;
	element = *at;
	if (!element)
		return -ENOENT;
	*at = element->next;
	if (element->older)
		element->older->newer = element->newer;
	else
		map->oldest = element->newer;
	if (element->newer)
		element->newer->older = element->older;
	else
		map->newest = element->older;
	free(element->value);
	free(element);
	map->count--;
	return 0;
}

static void *fake_map_lookup(struct fake_map *map, const void *key)
{
	struct fake_element *element = fake_element_find(map, key);
	__u32 index;

	if (element)
		return element->value;
	if (!fake_map_is_array(map))
		return NULL;
	memcpy(&index, key, sizeof(index));
	return index < map->limit ? fake_map_add(map, key, NULL) : NULL;
}

static long fake_map_update(struct fake_map *map, const void *key, const void *value, __u64 flags)
{
	void *known = fake_map_lookup(map, key);

	if (known) {
		if (flags == BPF_NOEXIST)
			return -EEXIST;
		memcpy(known, value, map->value_size);
		return 0;
	}
	if (flags == BPF_EXIST || fake_map_is_array(map))
		return fake_map_is_array(map) ? -E2BIG : -ENOENT;
	if (map->count >= map->limit) {
		if (map->type != BPF_MAP_TYPE_LRU_HASH || !map->oldest)
			return -E2BIG;
		fake_map_delete(map, map->oldest->key);
	}
	fake_map_add(map, key, value);
	return 0;
}

static long fake_stack_push(struct fake_map *map, const void *value)
{
	if (map->count >= map->limit)
		return -E2BIG;
	if (map->count == map->stack_room) {
		map->stack_room = map->stack_room ? 2 * map->stack_room : 64;
		map->stack = realloc(map->stack, (size_t)map->stack_room * map->value_size);
		if (!map->stack)
			abort();
	}
	memcpy(map->stack + (size_t)map->count++ * map->value_size, value, map->value_size);
	return 0;
}

static long fake_stack_pop(struct fake_map *map, void *ret_value)
{
	if (!map->count)
		return -ENOENT;
	memcpy(ret_value, map->stack + (size_t)--map->count * map->value_size, map->value_size);
	return 0;
}

static void *fake_storage_get(struct fake_map *map, const void *owner, const void *value,
			      __u64 flags)
{
	void *known = owner ? fake_map_lookup(map, &owner) : NULL;

	if (known || !owner || !(flags & BPF_LOCAL_STORAGE_GET_F_CREATE) ||
	    map->count >= map->limit)
		return known;
	return fake_map_add(map, &owner, value);
}

/* What the kernel does when a socket or task is gone: its storage goes with it. */
static void fake_storage_free(const void *owner)
{
	for (struct fake_map *map = fake_maps; map; map = map->next)
		if (map->type == BPF_MAP_TYPE_SK_STORAGE || map->type == BPF_MAP_TYPE_TASK_STORAGE)
			fake_map_delete(map, &owner);
}

static void fake_maps_reset(void)
{
	for (struct fake_map *map = fake_maps; map; map = map->next) {
		while (map->oldest)
			fake_map_delete(map, map->oldest->key);
		map->count = 0;
		map->limit = map->max_entries;
	}
}

#define fake_map_limit(map, entries) ((void)(FAKE_MAP(map)->limit = (entries)))

static struct fake_element *fake_map_oldest(const void *declaration)
{
	for (struct fake_map *map = fake_maps; map; map = map->next)
		if (map->declaration == declaration)
			return map->oldest;
	return NULL;
}

/* Every element there is, oldest first. */
#define fake_map_for_each(map, element)                                              \
	for (struct fake_element *element = fake_map_oldest(map); (element) != NULL; \
	     element = (element)->newer)

#define bpf_map_lookup_elem(map, key) fake_map_lookup(FAKE_MAP(map), key)
#define bpf_map_update_elem(map, key, value, flags) \
	fake_map_update(FAKE_MAP(map), key, value, flags)
#define bpf_map_delete_elem(map, key)	     fake_map_delete(FAKE_MAP(map), key)
#define bpf_map_push_elem(map, value, flags) fake_stack_push(FAKE_STACK(map), value)
#define bpf_map_pop_elem(map, value)	     fake_stack_pop(FAKE_STACK(map), value)
#define bpf_sk_storage_get(map, owner, value, flags) \
	fake_storage_get(FAKE_STORAGE(map), owner, value, flags)
#define bpf_task_storage_get(map, owner, value, flags) \
	fake_storage_get(FAKE_STORAGE(map), owner, value, flags)
#define bpf_sk_storage_delete(map, owner) \
	fake_map_delete(FAKE_STORAGE(map), &(const void *){ owner })
#define bpf_task_storage_delete(map, owner) \
	fake_map_delete(FAKE_STORAGE(map), &(const void *){ owner })

#endif
