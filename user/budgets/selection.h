/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is judged: the requests of a service in one role, all of them or those
 * of one endpoint, with the windows over them. Selections belong to the
 * service they select from; both are owned by struct budgets.
 */
#ifndef BUDGETS_SELECTION_H
#define BUDGETS_SELECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/hashmap.h"
#include "budgets/budgets.h"
#include "budgets/window.h"

#define SELECTION_ROLES	       (ROLE_CLIENT + 1)
#define SELECTION_ENDPOINT_MAX 128
#define SELECTION_KEY_MAX      (1 + 64 + 1 + SELECTION_ENDPOINT_MAX)

struct judged_service {
	char name[64];
	unsigned int selections; /* that refer to this; 0: to be freed */
	double completeness;
	enum budget_state worst[SELECTION_ROLES]; /* of all budgets, endpoints included */
	bool over_target[SELECTION_ROLES];
};

struct selection {
	struct selection *next;
	struct judged_service *service;
	struct window *windows;
	enum role role;
	uint16_t server_port; /* of the latest request */
	uint64_t first_second, active_second;
	size_t key_size;
	char key[SELECTION_KEY_MAX];
};

/* Writes "role service NUL endpoint"; returns the size. The endpoint must be normalised. */
size_t selection_key(enum role role, const char *service, const char *endpoint,
		     char ret_key[SELECTION_KEY_MAX]);

bool selection_matches(const void *value, const void *key, size_t key_size);
const char *selection_endpoint(const struct selection *selection); /* "": the whole service */

/*
 * "/a/{name}/?x=1" and "/a/{id}" are the same endpoint: parameter names, the query
 * and a slash at the end do not count.
 */
void selection_normalise(const char *route, char *ret_endpoint, size_t size);

#endif
