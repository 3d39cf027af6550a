/* SPDX-License-Identifier: GPL-2.0-only */
#include "services/services.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

#define LIMIT_MAX 1000000

static bool matches_name(const void *value, const void *key, size_t key_size)
{
	const struct service *service = value;

	return strlen(service->name) == key_size && !memcmp(service->name, key, key_size);
}

/* The lowest free id, or 0 at the limit. */
static uint32_t free_id(const struct services *services)
{
	if (services->count < services->limit)
		return services->count + 1;
	for (uint32_t id = SERVICE_OTHER + 1; id <= services->count; id++) {
		if (!services->by_id[id])
			return id;
	}
	return 0;
}

/* NULL at the limit or without memory. */
static struct service *add_service(struct services *services, const char *name)
{
	uint32_t id = free_id(services);
	struct service *service;

	if (!id)
		return NULL;
	service = calloc(1, sizeof(*service));
	if (!service)
		return NULL;
	service->id = id;
	text_copy(service->name, sizeof(service->name), name);
	if (hashmap_add(&services->by_name, service->name, strlen(service->name), service)) {
		free(service);
		return NULL;
	}
	services->by_id[id] = service;
	if (id > services->count)
		services->count = id;
	return service;
}

int services_init(struct services *services, uint32_t limit)
{
	memset(services, 0, sizeof(*services));
	if (!limit || limit > LIMIT_MAX)
		return -EINVAL;
	services->by_id = calloc((size_t)limit + 1, sizeof(*services->by_id));
	if (!services->by_id)
		return -ENOMEM;
	services->limit = limit;
	hashmap_init(&services->by_name, matches_name);
	if (!add_service(services, "other")) {
		services_fini(services);
		return -ENOMEM;
	}
	return 0;
}

void services_fini(struct services *services)
{
	for (uint32_t id = 1; id <= services->count; id++)
		free(services->by_id[id]);
	free(services->by_id);
	hashmap_fini(&services->by_name);
	memset(services, 0, sizeof(*services));
}

struct service *services_get(struct services *services, const char *name)
{
	char key[sizeof(((struct service *)0)->name)];
	struct service *service;

	services_clean_name(name, key, sizeof(key));
	if (!key[0])
		text_copy(key, sizeof(key), SERVICE_NAME_UNKNOWN);
	service = hashmap_find(&services->by_name, key, strlen(key));
	if (!service)
		service = add_service(services, key);
	if (!service) {
		services->overflowed++;
		service = services->by_id[SERVICE_OTHER];
	}
	return service;
}

struct service *services_by_id(struct services *services, uint32_t id)
{
	return id && id <= services->count ? services->by_id[id] : NULL;
}

int services_remove(struct services *services, struct service *service)
{
	if (service->id == SERVICE_OTHER || service->processes)
		return -EBUSY;
	hashmap_remove(&services->by_name, service->name, strlen(service->name));
	services->by_id[service->id] = NULL;
	free(service);
	return 0;
}
