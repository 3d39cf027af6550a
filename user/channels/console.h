/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The console channel, always on: the fixed layout of ALR-08, in colour only
 * on a terminal; where log lines are JSON, the notice is one JSON line instead
 * of the block. Written to standard error in one write.
 */
#ifndef CHANNELS_CONSOLE_H
#define CHANNELS_CONSOLE_H

#include <stdbool.h>

#include "alerts/alerts.h"

void console_format(const struct notice *notice, bool colour, struct text *ret_text);

#endif
