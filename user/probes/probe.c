/* SPDX-License-Identifier: GPL-2.0-only */
#include "probes/probe.h"

#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"

const struct probe_type *const probe_types[] = {
#define PROBE(identifier, name, purpose) &identifier##_probe,
#include <plimsoll/probes.def>
#undef PROBE
	NULL,
};

struct configure_context {
	const struct probe_type *type;
	const struct probe_environment *environment;
};

static struct configure_context configuring; /* ladders are climbed one at a time */

static int configure(void *context, struct bpf_object *object, const struct rung *rung)
{
	const struct configure_context *c = context;

	return c->type->configure ? c->type->configure(c->environment, object, rung) : 0;
}

struct ladder probe_ladder(const struct probe_type *type,
			   const struct probe_environment *environment)
{
	configuring.type = type;
	configuring.environment = environment;
	return (struct ladder){
		.probe = type->name,
		.rungs = type->rungs,
		.elf = type->elf,
		.configure = configure,
		.context = &configuring,
	};
}

static const char *forced_rung(const struct config *config, const char *probe)
{
	for (size_t i = 0; i < config->rung_count; i++)
		if (strcmp(config->rungs[i].probe, probe) == 0)
			return config->rungs[i].rung;
	return NULL;
}

static void turn_off(struct probe *probe, const char *reason)
{
	probe->up = false;
	text_copy(probe->reason, sizeof(probe->reason), reason);
	log_warn("probe %s is off: %s", probe->type->name, probe->reason);
}

void probe_start(struct probe *probe, const struct probe_type *type,
		 struct probe_environment *environment)
{
	const char *forced = forced_rung(environment->config, type->name);
	struct ladder ladder = probe_ladder(type, environment);
	const char *reason = "no rung works";
	int err;

	probe->type = type;
	err = ladder_climb(&ladder, environment->maps, forced, &probe->attached);
	if (err) {
		for (int i = 0; i < LADDER_RUNGS_MAX; i++)
			if (probe->attached.reasons[i][0])
				reason = probe->attached.reasons[i];
		turn_off(probe, err == -EINVAL && forced && reason[0] == 'n'
					? "it has no rung of the name that was asked for"
					: reason);
		return;
	}
	err = type->start ? type->start(environment, &probe->attached, &probe->state) : 0;
	if (err) {
		ladder_leave(&probe->attached);
		turn_off(probe, strerror(-err));
		return;
	}
	probe->up = true;
	log_info("probe %s: rung %s", type->name, probe->attached.rung->name);
}

void probe_stop(struct probe *probe)
{
	if (!probe->up)
		return;
	ladder_leave(&probe->attached);
	if (probe->type->stop)
		probe->type->stop(probe->state);
	probe->state = NULL;
	probe->up = false;
}
