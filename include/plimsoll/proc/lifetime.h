/* SPDX-License-Identifier: GPL-2.0-only */
/* Contract of the probe proc/lifetime: it only sends RECORD_PROCESS_GONE (plimsoll/who.h). */
#ifndef PLIMSOLL_PROC_LIFETIME_H
#define PLIMSOLL_PROC_LIFETIME_H

#include <plimsoll/who.h>

#endif
