/* SPDX-License-Identifier: GPL-2.0-only */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/hashmap.h"

#define ITEM_COUNT 5003

struct item {
	uint32_t key;
	bool is_present;
	unsigned int visits;
};

static struct item items[ITEM_COUNT];

static bool has_key(const void *value, const void *key, size_t key_size)
{
	const struct item *item = value;

	return key_size == sizeof(item->key) && memcmp(&item->key, key, key_size) == 0;
}

static int reset_items(void **state)
{
	(void)state;
	memset(items, 0, sizeof(items));
	for (uint32_t i = 0; i < ITEM_COUNT; i++)
		items[i].key = i * 16; /* equal low bits: a poor hash would pile them up */
	return 0;
}

static void add(struct hashmap *map, struct item *item)
{
	assert_int_equal(hashmap_add(map, &item->key, sizeof(item->key), item), 0);
	item->is_present = true;
}

static void *find(const struct hashmap *map, const struct item *item)
{
	return hashmap_find(map, &item->key, sizeof(item->key));
}

static void finds_nothing_in_an_empty_map(void **state)
{
	struct hashmap map;
	size_t cursor = 0;

	(void)state;
	hashmap_init(&map, has_key);
	assert_null(find(&map, &items[0]));
	assert_null(hashmap_remove(&map, &items[0].key, sizeof(items[0].key)));
	assert_null(hashmap_next(&map, &cursor));
	hashmap_fini(&map);
	hashmap_fini(&map);
}

static void finds_each_value_by_its_key_while_growing(void **state)
{
	struct hashmap map;

	(void)state;
	hashmap_init(&map, has_key);
	for (int i = 0; i < ITEM_COUNT; i++) {
		assert_null(find(&map, &items[i]));
		add(&map, &items[i]);
	}
	assert_int_equal(map.count, ITEM_COUNT);
	for (int i = 0; i < ITEM_COUNT; i++)
		assert_ptr_equal(find(&map, &items[i]), &items[i]);
	assert_true(map.capacity <= 4 * ITEM_COUNT);
	hashmap_fini(&map);
}

static void agrees_with_a_plain_list_over_random_changes(void **state)
{
	struct hashmap map;
	unsigned int seed = 7;
	size_t count = 0;

	(void)state;
	hashmap_init(&map, has_key);
	for (int step = 0; step < 200000; step++) {
		struct item *item = &items[rand_r(&seed) % 501];

		assert_ptr_equal(find(&map, item), item->is_present ? item : NULL);
		if (item->is_present) {
			assert_ptr_equal(hashmap_remove(&map, &item->key, sizeof(item->key)), item);
			item->is_present = false;
			count--;
		} else {
			add(&map, item);
			count++;
		}
		assert_int_equal(map.count, count);
	}
	/* Removals leave marks; they must not make the map grow for ever. */
	assert_true(map.capacity <= 2048);
	hashmap_fini(&map);
}

static void visits_each_value_once(void **state)
{
	struct hashmap map;
	struct item *item;
	size_t cursor;

	(void)state;
	hashmap_init(&map, has_key);
	for (int i = 0; i < 997; i++)
		add(&map, &items[i]);
	hashmap_for_each (&map, cursor, item)
		item->visits++;
	for (int i = 0; i < 997; i++)
		assert_int_equal(items[i].visits, 1);
	hashmap_fini(&map);
}

static void the_current_value_may_be_removed_while_visiting(void **state)
{
	struct hashmap map;
	struct item *item;
	size_t cursor;

	(void)state;
	hashmap_init(&map, has_key);
	for (int i = 0; i < 997; i++)
		add(&map, &items[i]);
	hashmap_for_each (&map, cursor, item) {
		item->visits++;
		if (item->key % 32 == 0)
			hashmap_remove(&map, &item->key, sizeof(item->key));
	}
	assert_int_equal(map.count, 498);
	for (int i = 0; i < 997; i++) {
		assert_int_equal(items[i].visits, 1);
		assert_ptr_equal(find(&map, &items[i]), items[i].key % 32 ? &items[i] : NULL);
	}
	hashmap_fini(&map);
}

static void keys_of_no_bytes_are_keys_too(void **state)
{
	struct hashmap map;

	(void)state;
	hashmap_init(&map, has_key);
	assert_int_equal(hashmap_add(&map, "", 0, &items[0]), 0);
	assert_null(hashmap_find(&map, "", 0)); /* has_key() says no to it */
	hashmap_fini(&map);
}

static void hash_depends_on_every_byte_and_the_size(void **state)
{
	unsigned char bytes[41] = { 0 };

	(void)state;
	for (size_t size = 0; size < sizeof(bytes); size++) {
		uint64_t hash = hashmap_hash(bytes, size);

		assert_true(hash == hashmap_hash(bytes, size));
		if (size > 0)
			assert_true(hash != hashmap_hash(bytes, size - 1));
		for (size_t bit = 0; bit < size * 8; bit++) {
			bytes[bit / 8] ^= (unsigned char)(1 << (bit % 8));
			assert_true(hash != hashmap_hash(bytes, size));
			bytes[bit / 8] ^= (unsigned char)(1 << (bit % 8));
		}
	}
}

/* 2^16 keys into 2^8 buckets: chi-squared with 255 degrees of freedom, p = 1e-6 at 377. */
static void hash_spreads_counted_keys_evenly(void **state)
{
	unsigned int low[256] = { 0 }, high[256] = { 0 };
	double low_chi = 0, high_chi = 0;

	(void)state;
	for (uint32_t i = 0; i < 65536; i++) {
		uint64_t hash = hashmap_hash(&i, sizeof(i));

		low[hash & 255]++;
		high[hash >> 56]++;
	}
	for (int i = 0; i < 256; i++) {
		low_chi += (low[i] - 256.0) * (low[i] - 256.0) / 256;
		high_chi += (high[i] - 256.0) * (high[i] - 256.0) / 256;
	}
	assert_true(low_chi < 377);
	assert_true(high_chi < 377);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(finds_nothing_in_an_empty_map, reset_items),
		cmocka_unit_test_setup(finds_each_value_by_its_key_while_growing, reset_items),
		cmocka_unit_test_setup(agrees_with_a_plain_list_over_random_changes, reset_items),
		cmocka_unit_test_setup(visits_each_value_once, reset_items),
		cmocka_unit_test_setup(the_current_value_may_be_removed_while_visiting,
				       reset_items),
		cmocka_unit_test_setup(keys_of_no_bytes_are_keys_too, reset_items),
		cmocka_unit_test(hash_depends_on_every_byte_and_the_size),
		cmocka_unit_test(hash_spreads_counted_keys_evenly),
	};

	return cmocka_run_group_tests_name("hashmap", tests, NULL, NULL);
}
