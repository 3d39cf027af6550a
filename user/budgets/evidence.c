/* SPDX-License-Identifier: GPL-2.0-only */
#include "budgets/evidence.h"

#include <string.h>

#include "base/text.h"

static void copy_detail(struct budget_evidence *item, const struct request_detail *detail)
{
	memset(item, 0, sizeof(*item));
	item->wall_ns = detail->wall_ns;
	item->duration_ns = detail->duration_ns;
	item->first_byte_ns = detail->first_byte_ns;
	item->queue_ns = detail->queue_ns;
	item->status = detail->status;
	item->pid = detail->pid;
	text_copy(item->method, sizeof(item->method), detail->method ? detail->method : "");
	text_copy(item->path, sizeof(item->path), detail->path ? detail->path : "");
}

void evidence_add(struct evidence *evidence, const struct request_detail *detail, uint64_t second)
{
	size_t place = evidence->count;
	size_t moved;

	while (place > 0 && evidence->items[place - 1].duration_ns < detail->duration_ns)
		place--;
	if (place == BUDGET_DETAILS_MAX)
		return;
	if (evidence->count < BUDGET_DETAILS_MAX)
		evidence->count++;
	moved = evidence->count - 1 - place;
	memmove(&evidence->items[place + 1], &evidence->items[place],
		moved * sizeof(evidence->items[0]));
	memmove(&evidence->seconds[place + 1], &evidence->seconds[place],
		moved * sizeof(evidence->seconds[0]));
	copy_detail(&evidence->items[place], detail);
	evidence->seconds[place] = second;
}

void evidence_expire(struct evidence *evidence, uint64_t oldest_second)
{
	size_t kept = 0;
	size_t i;

	for (i = 0; i < evidence->count; i++) {
		if (evidence->seconds[i] < oldest_second)
			continue;
		if (kept != i) {
			evidence->items[kept] = evidence->items[i];
			evidence->seconds[kept] = evidence->seconds[i];
		}
		kept++;
	}
	evidence->count = kept;
}
