/* SPDX-License-Identifier: GPL-2.0-only */
/* The books of a table of slots (bpf/lib/slots.bpf.h, user/kernel/slot_table.h). */
#ifndef PLIMSOLL_SLOTS_H
#define PLIMSOLL_SLOTS_H

#include <plimsoll/histogram.h>

struct slot_books {
	__u32 used; /* no slot from here on has ever been taken */
	__u32 free;
};

#endif
