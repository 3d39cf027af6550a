/* SPDX-License-Identifier: GPL-2.0-only */
#include "agent/health.h"

#include <math.h>

#include "agent/agent.h"
#include "base/clock.h"

#define TICK_LATE_NS (10 * NS_PER_S)

enum health { HEALTHY, WARNING, CRITICAL, HEALTH_COUNT };

static const char *const health_names[HEALTH_COUNT] = { "healthy", "warning", "critical" };

struct tally {
	unsigned int of[HEALTH_COUNT];
	unsigned int total;
};

const char *health_ready(const struct agent *agent)
{
	bool up = false;

	if (agent->stopping)
		return "shutting down";
	for (size_t i = 0; i < agent->probe_count; i++)
		up |= agent->probes[i].up;
	if (!up)
		return "no probe is attached";
	return agent->ticked_ns ? NULL : "starting";
}

const char *health_alive(const struct agent *agent)
{
	if (agent->ticked_ns && clock_monotonic_ns() - agent->ticked_ns > TICK_LATE_NS)
		return "the loop is late by more than 10 s";
	return NULL;
}

static void check(struct text *json, struct tally *tally, const char *name, enum health health,
		  const char *message)
{
	text_append_string(json, tally->total ? "," : "");
	text_append_json(json, name);
	text_printf(json, ":{\"status\":\"%s\",\"category\":\"application\",\"message\":",
		    health_names[health]);
	text_append_json(json, message);
	text_append_string(json, "}");
	tally->of[health]++;
	tally->total++;
}

static void checks(const struct agent *agent, struct text *json, struct tally *tally)
{
	const char *late = health_alive(agent);
	unsigned int firing = alerts_firing(agent->alerts);
	double least = 1;

	for (size_t i = 0; i < agent->probe_count; i++) {
		const struct probe *probe = &agent->probes[i];

		check(json, tally, probe->type->name, probe->up ? HEALTHY : WARNING,
		      probe->up ? probe->attached.rung->name : probe->reason);
	}
	check(json, tally, "loop", late ? CRITICAL : HEALTHY, late ? late : "on time");
	for (uint32_t id = 1; id <= agent->processes.services.count; id++) {
		const struct service *service = agent->processes.services.by_id[id];

		if (service)
			least = fmin(least, processes_completeness(&agent->processes, service));
	}
	check(json, tally, "completeness", least < 0.99 ? WARNING : HEALTHY,
	      least < 0.99 ? "requests of a service were lost in the last minute"
			   : "every request of the last minute was seen");
	check(json, tally, "budgets", firing ? WARNING : HEALTHY,
	      firing ? "a service is over its budget" : "no alert is firing");
}

int health_report(const struct agent *agent, struct text *ret_json)
{
	uint64_t uptime_s = (clock_monotonic_ns() - agent->started_ns) / NS_PER_S;
	struct tally tally = {};
	enum health overall;
	char now[32];

	struct text list = {};

	checks(agent, &list, &tally);
	overall = tally.of[CRITICAL] ? CRITICAL : tally.of[WARNING] ? WARNING : HEALTHY;
	clock_format_utc(clock_wall_ns(), now, sizeof(now));
	text_printf(ret_json,
		    "{\"status\":\"%s\",\"overall_status\":\"%s\",\"timestamp\":\"%s\","
		    "\"version\":\"%s\",\"uptime_seconds\":%llu,\"checks\":{",
		    overall == HEALTHY ? "healthy" : "degraded", health_names[overall], now,
		    PLIMSOLL_VERSION, (unsigned long long)uptime_s);
	if (list.bytes)
		text_append(ret_json, list.bytes, list.length);
	text_printf(ret_json,
		    "},\"summary\":{\"healthy\":%u,\"warning\":%u,\"critical\":%u,\"total\":%u},"
		    "\"healthy_count\":%u,\"critical_count\":%u,\"alerts_firing\":%u}\n",
		    tally.of[HEALTHY], tally.of[WARNING], tally.of[CRITICAL], tally.total,
		    tally.of[HEALTHY], tally.of[CRITICAL], alerts_firing(agent->alerts));
	text_fini(&list);
	return overall == CRITICAL ? 503 : 200;
}
