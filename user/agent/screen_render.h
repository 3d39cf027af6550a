/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The live part of the screen as text: no terminal, no I/O. Every line fits
 * into the width (foreign names cannot carry control characters into it), all
 * lines fit into the height; what does not is named in a last line.
 */
#ifndef AGENT_SCREEN_RENDER_H
#define AGENT_SCREEN_RENDER_H

#include <stdbool.h>

#include "agent/screen.h"
#include "base/text.h"

#define SCREEN_LINES_MAX   200
#define SCREEN_COLUMNS_MAX 400

struct screen_block {
	struct text text; /* lines, each with its newline */
	unsigned int line_count;
	unsigned int widths[SCREEN_LINES_MAX]; /* columns each line takes */
};

void screen_block_fini(struct screen_block *block);

/* Replaces what the block held. Texts that failed show in block->text.failed. */
void screen_render(const struct screen_model *model, unsigned int columns, unsigned int lines,
		   bool colour, struct screen_block *block);

/* "850µs", "1.25ms", "12.5ms", "812ms", "1.25s"; at most 6 columns up to 99999 s, "-" for NAN. */
void screen_render_duration(double duration_ms, char *ret_text, size_t size);

/* "0.43", "7.5", "231", "1.2k", "123k", "1.2M"; "-" for NAN. */
void screen_render_rate(double rate, char *ret_text, size_t size);

#endif
