/* SPDX-License-Identifier: GPL-2.0-only */
#include "budgets/budgets.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hashmap.h"
#include "base/log.h"
#include "base/text.h"
#include "budgets/selection.h"
#include "budgets/state.h"
#include "budgets/window.h"

#define WINDOW_MEMORY_LIMIT (32UL << 20)

static const struct series_spec unjudged_spec = {
	.name = "plimsoll_budget_unjudged_requests_total",
	.kind = SERIES_COUNTER,
	.help = "Requests that no budget looked at because the limit of windows was reached.",
};

static bool service_matches(const void *value, const void *key, size_t key_size)
{
	const struct judged_service *service = value;

	return strlen(service->name) == key_size && !memcmp(service->name, key, key_size);
}

static bool endpoint_matches(const void *value, const void *key, size_t key_size)
{
	return strlen(value) == key_size && !memcmp(value, key, key_size);
}

static int learn_endpoints(struct budgets *budgets)
{
	size_t i;
	int err;

	for (i = 0; i < budgets->config->budget_count; i++) {
		char *name = budgets->endpoints[i];

		selection_normalise(budgets->config->budgets[i].endpoint, name,
				    SELECTION_ENDPOINT_MAX);
		if (!name[0] || hashmap_find(&budgets->endpoint_names, name, strlen(name)))
			continue;
		err = hashmap_add(&budgets->endpoint_names, name, strlen(name), name);
		if (err)
			return err;
	}
	return 0;
}

struct budgets *budgets_new(const struct config *config, struct series_store *store,
			    void (*changed)(void *context, const struct budget_change *change),
			    void *context)
{
	struct budgets *budgets = calloc(1, sizeof(*budgets));

	if (!budgets)
		return NULL;
	budgets->config = config;
	budgets->store = store;
	budgets->changed = changed;
	budgets->context = context;
	budgets->memory.limit_bytes = WINDOW_MEMORY_LIMIT;
	budgets->second = SECOND_ORIGIN - 1;
	hashmap_init(&budgets->endpoint_names, endpoint_matches);
	hashmap_init(&budgets->services, service_matches);
	hashmap_init(&budgets->by_key, selection_matches);
	budgets->endpoints = calloc(config->budget_count + 1, sizeof(*budgets->endpoints));
	budgets->unjudged = series_family(store, &unjudged_spec);
	if (!budgets->endpoints || !budgets->unjudged || tick_declare(budgets) ||
	    learn_endpoints(budgets)) {
		budgets_free(budgets);
		errno = ENOMEM;
		return NULL;
	}
	series_get(budgets->unjudged, (const char *[]){ NULL });
	return budgets;
}

static void free_service(struct budgets *budgets, struct judged_service *service)
{
	if (service->selections)
		return;
	hashmap_remove(&budgets->services, service->name, strlen(service->name));
	free(service);
}

void state_free_selection(struct budgets *budgets, struct selection *selection)
{
	struct window *window;

	while ((window = selection->windows) != NULL) {
		selection->windows = window->next;
		window_free(window);
		budgets->window_count--;
	}
	if (hashmap_find(&budgets->by_key, selection->key, selection->key_size) == selection)
		hashmap_remove(&budgets->by_key, selection->key, selection->key_size);
	selection->service->selections--;
	free_service(budgets, selection->service);
	free(selection);
}

void budgets_free(struct budgets *budgets)
{
	struct selection *selection;
	struct budget *budget;

	if (!budgets)
		return;
	while ((budget = budgets->first) != NULL) {
		budgets->first = budget->next;
		tick_unpublish(budgets, budget);
		free(budget);
	}
	while ((selection = budgets->selections) != NULL) {
		budgets->selections = selection->next;
		state_free_selection(budgets, selection);
	}
	hashmap_fini(&budgets->by_key);
	hashmap_fini(&budgets->services);
	hashmap_fini(&budgets->endpoint_names);
	free(budgets->endpoints);
	free(budgets);
}

static void report_limit(struct budgets *budgets, const char *what)
{
	if (budgets->limit_logged)
		return;
	budgets->limit_logged = true;
	log_warn("budgets: no room for more %s (%zu budgets, %zu windows, %zu KiB): further "
		 "services are counted but not judged",
		 what, budgets->budget_count, budgets->window_count,
		 budgets->memory.used_bytes >> 10);
}

static struct judged_service *service_get(struct budgets *budgets, const char *name)
{
	size_t size = strnlen(name, sizeof(((struct judged_service *)0)->name) - 1);
	struct judged_service *service = hashmap_find(&budgets->services, name, size);

	if (service)
		return service;
	service = calloc(1, sizeof(*service));
	if (!service)
		return NULL;
	memcpy(service->name, name, size);
	service->completeness = 1;
	if (hashmap_add(&budgets->services, service->name, size, service)) {
		free(service);
		return NULL;
	}
	return service;
}

static bool line_applies(const struct budgets *budgets, size_t index, const char *service,
			 enum role role, const char *endpoint)
{
	const struct budget_line *line = &budgets->config->budgets[index];
	enum role line_role = line->role == ROLE_UNKNOWN ? ROLE_SERVER : line->role;

	return line_role == role && !strcmp(budgets->endpoints[index], endpoint) &&
	       config_glob_matches(line->service, service);
}

static struct window *window_for(struct budgets *budgets, struct selection *selection,
				 unsigned int length_s)
{
	struct window *window = NULL;

	if (length_s < 1)
		length_s = 1;
	if (length_s > WINDOW_SECONDS_MAX)
		length_s = WINDOW_SECONDS_MAX;
	for (window = selection->windows; window; window = window->next)
		if (window->length_s == length_s)
			return window;
	if (budgets->window_count < WINDOWS_MAX)
		window = window_new(&budgets->memory, length_s, budgets->second);
	if (!window) {
		report_limit(budgets, "windows");
		return NULL;
	}
	window->next = selection->windows;
	selection->windows = window;
	budgets->window_count++;
	return window;
}

static void add_budget(struct budgets *budgets, struct selection *selection,
		       const struct budget_line *line)
{
	struct window *window;
	struct budget *budget;

	if (budgets->budget_count >= BUDGETS_MAX) {
		report_limit(budgets, "budgets");
		return;
	}
	window = window_for(budgets, selection, line->window_s);
	budget = window ? calloc(1, sizeof(*budget)) : NULL;
	if (!budget)
		return;
	budget->line = line;
	budget->selection = selection;
	budget->window = window;
	budget->value = NAN;
	budget->completeness = selection->service->completeness;
	text_copy(budget->service, sizeof(budget->service), selection->service->name);
	if (budgets->last)
		budgets->last->next = budget;
	else
		budgets->first = budget;
	budgets->last = budget;
	budgets->budget_count++;
}

static struct selection *new_selection(struct budgets *budgets, const char *service, enum role role,
				       const char *endpoint)
{
	struct selection *selection = calloc(1, sizeof(*selection));
	struct judged_service *owner = selection ? service_get(budgets, service) : NULL;

	if (!owner) {
		free(selection);
		return NULL;
	}
	selection->service = owner;
	selection->role = role;
	selection->first_second = budgets->second + 1;
	selection->key_size = selection_key(role, owner->name, endpoint, selection->key);
	owner->selections++;
	if ((!endpoint[0] && !window_for(budgets, selection, BUDGET_VIEW_S)) ||
	    hashmap_add(&budgets->by_key, selection->key, selection->key_size, selection)) {
		state_free_selection(budgets, selection);
		return NULL;
	}
	return selection;
}

/* NULL: nothing judges it; *ret_refused says if only for want of room. */
static struct selection *select_requests(struct budgets *budgets, const char *service,
					 enum role role, const char *endpoint, bool *ret_refused)
{
	char key[SELECTION_KEY_MAX];
	size_t key_size = selection_key(role, service, endpoint, key);
	struct selection *selection = hashmap_find(&budgets->by_key, key, key_size);
	bool wanted = !endpoint[0];
	size_t i;

	*ret_refused = false;
	if (selection)
		return selection;
	for (i = 0; i < budgets->config->budget_count && !wanted; i++)
		wanted = line_applies(budgets, i, service, role, endpoint);
	if (!wanted)
		return NULL;
	*ret_refused = true;
	if (budgets->window_count >= WINDOWS_MAX) {
		report_limit(budgets, "windows");
		return NULL;
	}
	selection = new_selection(budgets, service, role, endpoint);
	if (!selection)
		return NULL;
	for (i = 0; i < budgets->config->budget_count; i++)
		if (line_applies(budgets, i, selection->service->name, role, endpoint))
			add_budget(budgets, selection, &budgets->config->budgets[i]);
	if (budgets->last_selection)
		budgets->last_selection->next = selection;
	else
		budgets->selections = selection;
	budgets->last_selection = selection;
	*ret_refused = false;
	return selection;
}

/* False if no line names this route; ret_endpoint is the route in the words of the lines. */
static bool find_endpoint(const struct budgets *budgets, const char *route,
			  char ret_endpoint[SELECTION_ENDPOINT_MAX])
{
	if (!route || !budgets->endpoint_names.count)
		return false;
	selection_normalise(route, ret_endpoint, SELECTION_ENDPOINT_MAX);
	return hashmap_find(&budgets->endpoint_names, ret_endpoint, strlen(ret_endpoint));
}

static bool is_known_role(enum role role)
{
	return (unsigned int)role < SELECTION_ROLES;
}

static void count_requests(struct budgets *budgets, const struct request_delta *delta,
			   const char *endpoint)
{
	struct selection *selection;
	struct window *window;
	struct series *unjudged;
	bool refused;

	selection = select_requests(budgets, delta->service, delta->role, endpoint, &refused);
	if (refused) {
		unjudged = series_get(budgets->unjudged, (const char *[]){ NULL });
		if (unjudged)
			series_add(unjudged, (double)delta->duration.count);
	}
	if (!selection)
		return;
	selection->server_port = delta->server_port;
	selection->active_second = budgets->second + 1;
	for (window = selection->windows; window; window = window->next)
		window_add(window, delta);
}

void budgets_requests(struct budgets *budgets, const struct request_delta *delta)
{
	char endpoint[SELECTION_ENDPOINT_MAX];

	if (!delta->service || !is_known_role(delta->role) || !delta->duration.count)
		return;
	count_requests(budgets, delta, "");
	if (find_endpoint(budgets, delta->route, endpoint))
		count_requests(budgets, delta, endpoint);
}

static void keep_detail(struct budgets *budgets, const struct request_detail *detail,
			const char *endpoint)
{
	struct selection *selection;
	struct window *window;
	bool refused;

	selection = select_requests(budgets, detail->service, detail->role, endpoint, &refused);
	if (!selection)
		return;
	selection->active_second = budgets->second + 1;
	for (window = selection->windows; window; window = window->next)
		window_add_detail(window, detail);
}

void budgets_detail(struct budgets *budgets, const struct request_detail *detail)
{
	char endpoint[SELECTION_ENDPOINT_MAX];

	if (!detail->service || !is_known_role(detail->role))
		return;
	keep_detail(budgets, detail, "");
	if (find_endpoint(budgets, detail->route, endpoint))
		keep_detail(budgets, detail, endpoint);
}

void budgets_completeness(struct budgets *budgets, const char *service, double ratio)
{
	struct judged_service *known = hashmap_find(&budgets->services, service, strlen(service));

	if (known && ratio >= 0)
		known->completeness = ratio > 1 ? 1 : ratio;
}

uint64_t budgets_detail_threshold_ns(const struct budgets *budgets, const char *service,
				     const char *route, enum role role)
{
	uint64_t tail_ns = UINT64_MAX, median_ns = UINT64_MAX;
	char endpoint[SELECTION_ENDPOINT_MAX];
	bool is_named = find_endpoint(budgets, route, endpoint);
	size_t i;

	for (i = 0; i < budgets->config->budget_count; i++) {
		const struct budget_line *line = &budgets->config->budgets[i];
		double limit_ms = !isnan(line->warning)	   ? line->warning
				  : !isnan(line->critical) ? line->critical
							   : line->target;
		uint64_t *lowest = line->measure == MEASURE_P50 ? &median_ns : &tail_ns;

		if (line->measure > MEASURE_P99 || !(limit_ms >= 0 && limit_ms < 1e9))
			continue;
		if (!line_applies(budgets, i, service, role, "") &&
		    !(is_named && line_applies(budgets, i, service, role, endpoint)))
			continue;
		if ((uint64_t)llround(limit_ms * NS_PER_MS) < *lowest)
			*lowest = (uint64_t)llround(limit_ms * NS_PER_MS);
	}
	return tail_ns != UINT64_MAX ? tail_ns : median_ns;
}

const struct budget *budgets_first(const struct budgets *budgets)
{
	return budgets->first;
}

static void view_selection(const struct budgets *budgets, const struct selection *selection,
			   struct service_view *ret_view)
{
	const struct window *window = selection->windows;
	const struct bounds *durations = &budgets->store->durations;
	uint64_t age_s = budgets->second + 1 - selection->first_second;

	while (window->length_s != BUDGET_VIEW_S)
		window = window->next;
	if (age_s < 1)
		age_s = 1;
	if (age_s > BUDGET_VIEW_S)
		age_s = BUDGET_VIEW_S;
	*ret_view = (struct service_view){
		.service = selection->service->name,
		.role = selection->role,
		.server_port = selection->server_port,
		.rate = window->requests ? (double)window->requests / (double)age_s : NAN,
		.p50_ms = window_quantile_ns(window, durations, 0.50) / NS_PER_MS,
		.p95_ms = window_quantile_ns(window, durations, 0.95) / NS_PER_MS,
		.p99_ms = window_quantile_ns(window, durations, 0.99) / NS_PER_MS,
		.error_percent = window->requests
					 ? (double)window->errors * 100 / (double)window->requests
					 : NAN,
		.completeness = selection->service->completeness,
		.state = selection->service->worst[selection->role],
		.over_target = selection->service->over_target[selection->role],
		.requests = window->requests,
	};
}

size_t budgets_services(const struct budgets *budgets, struct service_view *ret_views, size_t max)
{
	const struct selection *selection;
	size_t count = 0;

	for (selection = budgets->selections; selection && count < max; selection = selection->next)
		if (!selection_endpoint(selection)[0])
			view_selection(budgets, selection, &ret_views[count++]);
	return count;
}
