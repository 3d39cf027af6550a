/* SPDX-License-Identifier: GPL-2.0-only */
#include "base/clock.h"

#include <time.h>

static uint64_t read_clock_ns(clockid_t id)
{
	struct timespec now = { 0 };

	clock_gettime(id, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

uint64_t clock_monotonic_ns(void)
{
	return read_clock_ns(CLOCK_MONOTONIC);
}

uint64_t clock_coarse_ns(void)
{
	return read_clock_ns(CLOCK_MONOTONIC_COARSE);
}

uint64_t clock_wall_ns(void)
{
	return read_clock_ns(CLOCK_REALTIME);
}

void clock_format_utc(uint64_t wall_ns, char *ret_text, size_t size)
{
	time_t seconds = (time_t)(wall_ns / NS_PER_S);
	struct tm utc;

	if (size == 0)
		return;
	if (!gmtime_r(&seconds, &utc) || !strftime(ret_text, size, "%Y-%m-%dT%H:%M:%SZ", &utc))
		ret_text[0] = '\0';
}
