/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A table the kernel counts in (bpf/lib/slots.bpf.h): memory-mapped slots, each with its key in
 * front, a hash from key to index, and a stack of free indices; three maps named PREFIX_slots,
 * PREFIX_keys and PREFIX_free. A slot nobody adds to any more is given back in two steps, a sweep
 * apart, so that a program that had found it has long finished with it.
 */
#ifndef KERNEL_SLOT_TABLE_H
#define KERNEL_SLOT_TABLE_H

#include <stdbool.h>

#include <plimsoll/slots.h>

#include "kernel/maps.h"

struct slot_table {
	struct growing_map slots;
	size_t slot_size;
	struct slot_books *books; /* memory the kernel writes */
	int keys_fd, free_fd;
	uint32_t max;
	bool *leaving; /* by index: its key is deleted, the next sweep gives it back */
};

/* Before load: room for `max` slots. 0 or negative errno. */
int slot_table_configure(struct bpf_object *object, const char *prefix, uint32_t max);

/*
 * After load; `books` is borrowed, in memory shared with the kernel. 0 or negative errno;
 * slot_table_close() in either case, also of a zeroed table.
 */
int slot_table_open(struct slot_table *table, struct bpf_object *object, const char *prefix,
		    size_t slot_size, uint32_t max, struct slot_books *books);
void slot_table_close(struct slot_table *table);

/* Slots that may hold something, all mapped; 0 if they cannot be. */
uint32_t slot_table_cover(struct slot_table *table);

/* Borrowed, below what was covered. */
static inline void *slot_table_at(const struct slot_table *table, uint32_t index)
{
	return table->slots.base + index * table->slot_size;
}

/* Takes the key away: nobody finds the slot any more. False if it was not there. */
bool slot_table_leave(struct slot_table *table, uint32_t index, const void *key);

/* Zeroes a slot that has left and makes it free. */
void slot_table_give_back(struct slot_table *table, uint32_t index);

#endif
