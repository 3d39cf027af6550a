/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Puts a struct config together: defaults and bounded lists. Private to
 * user/config. All return 0, -ENOMEM, -E2BIG (the list is full) or -EEXIST.
 */
#ifndef CONFIG_CONFIG_BUILD_H
#define CONFIG_CONFIG_BUILD_H

#include "config/config.h"

#define CONFIG_BUDGETS_MAX 1024
#define CONFIG_ROUTES_MAX  1024
#define CONFIG_RUNGS_MAX   64
#define CONFIG_ACTIONS_MAX 16

/* Everything but budgets. */
void config_build_defaults(struct config *ret_config);

/* The built-in budget, for a configuration that names none. */
int config_build_default_budgets(struct config *config);

/*
 * Adds a copy of the line, its actions and runbook included; without actions the
 * advice for its measure is taken. -EEXIST: the same line is there already.
 */
int config_build_budget(struct config *config, const struct budget_line *line);

/* A route that is there already is no error. */
int config_build_route(struct config *config, const char *service, const char *pattern);

int config_build_rung(struct config *config, const char *probe, const char *rung);

/* Frees a NULL-terminated list; NULL is accepted. */
void config_build_free_actions(char **actions);

/* Copies whole UTF-8 characters only. */
void config_build_copy(char *ret_text, size_t size, const char *text);

/* "/api/{id}", or a reason why not. */
const char *config_build_pattern_problem(const char *pattern);

#endif
