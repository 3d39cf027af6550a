/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The console channel, always on: the fixed layout of ALR-08, in colour only
 * on a terminal; where log lines are JSON, the notice is one JSON line instead
 * of the block. The caller writes the text to standard error in one write.
 *
 * Both forms end in a newline. Control characters in what a service says of
 * itself are replaced: a name must not steer a terminal or forge a line.
 */
#ifndef CHANNELS_CONSOLE_H
#define CHANNELS_CONSOLE_H

#include <stdbool.h>

#include "alerts/alerts.h"

/* Appends the block. */
void console_format(const struct notice *notice, bool colour, struct text *ret_text);

/* Appends one log line: timestamp, level, logger, message and the notice under "data". */
void console_format_json(const struct notice *notice, struct text *ret_text);

#endif
