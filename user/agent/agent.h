/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The agent owns everything and turns it all with one epoll loop: records are
 * drained ten times a second, tables swept and budgets judged once a second and
 * before every scrape. Nothing includes this header but main.c and cmd/.
 */
#ifndef AGENT_AGENT_H
#define AGENT_AGENT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent/screen.h"
#include "agent/self.h"
#include "alerts/alerts.h"
#include "budgets/budgets.h"
#include "config/config.h"
#include "kernel/maps.h"
#include "probes/probe.h"
#include "services/processes.h"
#include "web/web.h"

#define AGENT_PROBES_MAX 16

/* What the command line says; it wins over file and environment, also after a reload. */
struct agent_options {
	const char *config_path; /* NULL: the embedded defaults */
	const char *listen;
	const char *rungs[AGENT_PROBES_MAX];
	size_t rung_count;
	enum log_format log_format;
	bool debug;
	bool no_colour;
	bool no_screen;
};

struct agent {
	const struct agent_options *options;
	struct config config;
	struct maps maps;
	struct series_store *store;
	struct processes processes;
	struct probe_environment environment;
	struct probe probes[AGENT_PROBES_MAX];
	size_t probe_count;
	struct ring_buffer *ring;
	struct budgets *budgets;
	struct alerts *alerts;
	struct web *web;
	struct screen *screen;
	struct self self;
	bool json; /* log lines and notices are JSON */
	bool colour;
	int epoll_fd, signal_fd, drain_fd, tick_fd;
	bool stopping;
	uint64_t started_ns;
	uint64_t ticked_ns;
};

/* Loads the configuration the way every command does; problems go to standard error. */
int agent_load_config(struct config *ret_config, const struct agent_options *options);

/* Runs until SIGTERM or SIGINT. Returns the exit code. */
int agent_run(const struct agent_options *options);

#endif
