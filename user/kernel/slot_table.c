/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/bpf.h>

#include "base/log.h"
#include "kernel/slot_table.h"

static struct bpf_map *map_of(struct bpf_object *object, const char *prefix, const char *what)
{
	char name[32];

	snprintf(name, sizeof(name), "%s_%s", prefix, what);
	return bpf_object__find_map_by_name(object, name);
}

int slot_table_configure(struct bpf_object *object, const char *prefix, uint32_t max)
{
	static const char *const parts[] = { "keys", "slots", "free" };
	int err = 0;

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]) && !err; i++)
		err = bpf_map__set_max_entries(map_of(object, prefix, parts[i]), max);
	return err;
}

int slot_table_open(struct slot_table *table, struct bpf_object *object, const char *prefix,
		    size_t slot_size, uint32_t max, struct slot_books *books)
{
	int err;

	table->books = books;
	table->slot_size = slot_size;
	table->max = max;
	table->keys_fd = bpf_map__fd(map_of(object, prefix, "keys"));
	table->free_fd = bpf_map__fd(map_of(object, prefix, "free"));
	table->leaving = calloc(max, sizeof(*table->leaving));
	if (!table->leaving)
		return -ENOMEM;
	err = growing_map_open(&table->slots, bpf_map__fd(map_of(object, prefix, "slots")),
			       slot_size, max);
	if (!err)
		err = maps_fill_free(table->free_fd, 0, max);
	if (!err)
		books->free = max;
	return err;
}

void slot_table_close(struct slot_table *table)
{
	growing_map_close(&table->slots);
	free(table->leaving);
	table->leaving = NULL;
}

uint32_t slot_table_cover(struct slot_table *table)
{
	uint32_t count = *(volatile __u32 *)&table->books->used;

	if (count > table->max)
		count = table->max;
	return growing_map_cover(&table->slots, count * table->slot_size) ? 0 : count;
}

bool slot_table_leave(struct slot_table *table, uint32_t index, const void *key)
{
	if (bpf_map_delete_elem(table->keys_fd, key))
		return false;
	table->leaving[index] = true;
	return true;
}

void slot_table_give_back(struct slot_table *table, uint32_t index)
{
	memset(slot_table_at(table, index), 0, table->slot_size);
	table->leaving[index] = false;
	if (bpf_map_update_elem(table->free_fd, NULL, &index, 0))
		log_debug("slot %u cannot be given back: %s", index, strerror(errno));
	else
		__atomic_fetch_add(&table->books->free, 1, __ATOMIC_RELAXED);
}
