/* SPDX-License-Identifier: GPL-2.0-only */
#include "budgets/selection.h"

#include <string.h>

size_t selection_key(enum role role, const char *service, const char *endpoint,
		     char ret_key[SELECTION_KEY_MAX])
{
	size_t service_size = strnlen(service, 63);
	size_t endpoint_size = strnlen(endpoint, SELECTION_ENDPOINT_MAX - 1);

	ret_key[0] = (char)('0' + role);
	memcpy(ret_key + 1, service, service_size);
	ret_key[1 + service_size] = '\0';
	memcpy(ret_key + 2 + service_size, endpoint, endpoint_size);
	ret_key[2 + service_size + endpoint_size] = '\0';
	return 2 + service_size + endpoint_size;
}

bool selection_matches(const void *value, const void *key, size_t key_size)
{
	const struct selection *selection = value;

	return selection->key_size == key_size && !memcmp(selection->key, key, key_size);
}

const char *selection_endpoint(const struct selection *selection)
{
	return selection->key + strlen(selection->key) + 1;
}

void selection_normalise(const char *route, char *ret_endpoint, size_t size)
{
	size_t length = 0;

	while (*route && *route != '?' && *route != '#' && length + 3 <= size) {
		const char *close = *route == '{' ? strchr(route, '}') : NULL;

		if (close) {
			ret_endpoint[length++] = '{';
			ret_endpoint[length++] = '}';
			route = close + 1;
		} else {
			ret_endpoint[length++] = *route++;
		}
	}
	while (length > 1 && ret_endpoint[length - 1] == '/')
		length--;
	ret_endpoint[length] = '\0';
}
