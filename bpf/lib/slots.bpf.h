/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A table of slots: an array (memory-mapped) of slots that begin with their key, a hash from key
 * to index, a stack of free indices. User space fills the stack and gives slots back
 * (user/kernel/slot_table.h).
 */
#ifndef LIB_SLOTS_BPF_H
#define LIB_SLOTS_BPF_H

#include "lib/plimsoll.bpf.h"

#include <plimsoll/slots.h>

#define SLOT_NONE ~0u

/*
 * Defines PREFIX_take(key, books), which takes a slot for a key that was found to have none: its
 * index, or SLOT_NONE. `key` lies on the stack: before 6.2 one in the memory behind an argument
 * would be refused.
 */
#define DEFINE_SLOT_TAKE(prefix, key_type)                                                    \
	static __always_inline __u32 prefix##_take(key_type *key, struct slot_books *books)   \
	{                                                                                     \
		__u32 index, *known;                                                          \
		key_type *slot;                                                               \
                                                                                              \
		if (bpf_map_pop_elem(&prefix##_free, &index))                                 \
			return SLOT_NONE;                                                     \
		atomic_add(&books->free, -1);                                                 \
		slot = bpf_map_lookup_elem(&prefix##_slots, &index);                          \
		if (!slot)                                                                    \
			return SLOT_NONE;                                                     \
		*slot = *key;                                                                 \
		/* race: two CPUs may both write; the larger one wins soon enough, it only */ \
		/* bounds a search */                                                         \
		if (books->used <= index)                                                     \
			books->used = index + 1;                                              \
		if (!bpf_map_update_elem(&prefix##_keys, key, &index, BPF_NOEXIST))           \
			return index;                                                         \
		/* race: another CPU made it; or the hash is full */                          \
		__builtin_memset(slot, 0, sizeof(*slot));                                     \
		bpf_map_push_elem(&prefix##_free, &index, 0);                                 \
		atomic_add(&books->free, 1);                                                  \
		known = bpf_map_lookup_elem(&prefix##_keys, key);                             \
		return known ? *known : SLOT_NONE;                                            \
	}

#endif
