/* SPDX-License-Identifier: GPL-2.0-only */
/* The answers of /health, /health/ready and /health/live (HLT-01, 03, 04). */
#ifndef AGENT_HEALTH_H
#define AGENT_HEALTH_H

#include "base/text.h"

struct agent;

const char *health_ready(const struct agent *agent);		     /* NULL: ready, or why not */
const char *health_alive(const struct agent *agent);		     /* NULL: alive, or why not */
int health_report(const struct agent *agent, struct text *ret_json); /* HTTP status */

#endif
