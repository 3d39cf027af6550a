/* SPDX-License-Identifier: GPL-2.0-only */
#include "agent/agent.h"

#include <cap-ng.h>
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "agent/health.h"
#include "base/clock.h"
#include "base/exit.h"
#include "base/log.h"
#include "channels/console.h"

#define DRAIN_NS  (100 * NS_PER_MS)
#define VIEWS_MAX 2000

/* --- configuration -------------------------------------------------------------------------- */

int agent_load_config(struct config *ret_config, const struct agent_options *options)
{
	struct text problems = {};
	int err;

	err = options->config_path ? config_load(ret_config, options->config_path, &problems)
				   : config_init(ret_config);
	if (!err) {
		err = config_apply_environment(ret_config, &problems);
		for (size_t i = 0; i < options->rung_count && !err; i++) {
			err = config_add_rung(ret_config, options->rungs[i]);
			if (err)
				text_printf(&problems, "--rung %s: want PROBE=RUNG\n",
					    options->rungs[i]);
		}
		if (!err && options->listen) {
			if (!config_is_listen(options->listen)) {
				text_printf(&problems,
					    "--listen %s: want ADDRESS:PORT, such as "
					    "127.0.0.1:9926, [::1]:9926 or :9926\n",
					    options->listen);
				err = -EINVAL;
			} else {
				text_copy(ret_config->listen, sizeof(ret_config->listen),
					  options->listen);
			}
		}
		if (err)
			config_fini(ret_config);
	}
	if (problems.bytes) {
		char *line = problems.bytes, *end;

		for (; (end = strchr(line, '\n')); line = end + 1) {
			*end = 0;
			if (strncmp(line, "warning: ", 9) == 0)
				log_warn("%s", line + 9);
			else
				log_error("%s", line);
		}
	} else if (err) {
		log_errno(err, "config: cannot be loaded");
	}
	text_fini(&problems);
	return err;
}

/* --- what others call back ------------------------------------------------------------------ */

static void print_notice(struct agent *agent, const struct text *text)
{
	size_t done = 0;

	if (!text->bytes || text->failed)
		return;
	if (agent->screen) {
		screen_print(agent->screen, text->bytes);
		return;
	}
	while (done < text->length) {
		ssize_t wrote = write(STDERR_FILENO, text->bytes + done, text->length - done);

		if (wrote <= 0 && errno != EINTR)
			return;
		done += wrote > 0 ? (size_t)wrote : 0;
	}
}

static void deliver(void *context, const struct notice *notice)
{
	struct agent *agent = context;
	struct text text = {};

	if (agent->json)
		console_format_json(notice, &text);
	else
		console_format(notice, agent->colour, &text);
	print_notice(agent, &text);
	text_fini(&text);
}

static void budget_changed(void *context, const struct budget_change *change)
{
	struct agent *agent = context;

	alerts_budget_changed(agent->alerts, change);
}

static void requests(void *context, const struct request_delta *delta)
{
	struct agent *agent = context;

	budgets_requests(agent->budgets, delta);
}

static void detail(void *context, const struct request_detail *request)
{
	struct agent *agent = context;

	budgets_detail(agent->budgets, request);
}

static uint64_t threshold_ns(void *context, const char *service, const char *route, enum role role)
{
	struct agent *agent = context;

	return budgets_detail_threshold_ns(agent->budgets, service, route, role);
}

static void log_above_screen(void *context, const char *line)
{
	screen_print(context, line);
}

/* --- records, sweeps, ticks ----------------------------------------------------------------- */

static int record_taken(void *context, void *data, size_t size)
{
	const struct record_header *header = data;
	struct agent *agent = context;

	if (size < sizeof(*header) || header->size > size)
		return 0;
	agent->self.records++;
	if (header->kind == RECORD_PROCESS || header->kind == RECORD_PROCESS_GONE) {
		processes_record(&agent->processes, header);
		return 0;
	}
	for (size_t i = 0; i < agent->probe_count; i++) {
		struct probe *probe = &agent->probes[i];

		if (probe->up && probe->type->record && probe->type->record(probe->state, header))
			break;
	}
	return 0;
}

/* Records before tables: a table must not name what a record has yet to explain. */
static void sweep(struct agent *agent)
{
	uint64_t start_ns = clock_monotonic_ns();

	ring_buffer__consume(agent->ring);
	for (size_t i = 0; i < agent->probe_count; i++) {
		struct probe *probe = &agent->probes[i];

		if (probe->up && probe->type->sweep)
			probe->type->sweep(probe->state, start_ns);
	}
	processes_sweep(&agent->processes, start_ns);
	self_swept(&agent->self, clock_monotonic_ns() - start_ns);
}

static uint64_t requests_seen(const struct agent *agent)
{
	double sum = 0;
	struct family *family;
	struct series *series;

	family_for_each (agent->store, family) {
		if (strcmp(family->spec->name, "plimsoll_requests_total") != 0)
			continue;
		series_for_each (family, series)
			sum += series->value;
	}
	return (uint64_t)sum;
}

static void draw(struct agent *agent, const struct service_view *views, size_t count)
{
	struct screen_probe probes[AGENT_PROBES_MAX];
	struct screen_model model = {
		.version = PLIMSOLL_VERSION,
		.probes = probes,
		.probe_count = agent->probe_count,
		.services = views,
		.service_count = count,
		.alerts_firing = alerts_firing(agent->alerts),
		.requests_total = requests_seen(agent),
		.losses_total = agent->processes.losses_total,
		.cpu_percent = agent->self.cpu_percent,
		.rss_mib = agent->self.rss_bytes / (1024 * 1024),
		.uptime_s = (clock_monotonic_ns() - agent->started_ns) / NS_PER_S,
	};
	char url[96];

	for (size_t i = 0; i < agent->probe_count; i++) {
		const struct probe *probe = &agent->probes[i];

		probes[i] = (struct screen_probe){
			.name = probe->type->name,
			.rung = probe->up ? probe->attached.rung->name : NULL,
			.reason = probe->up ? NULL : probe->reason,
		};
	}
	snprintf(url, sizeof(url), "http://%s%s/metrics",
		 agent->config.listen[0] == ':' ? "127.0.0.1" : "", agent->config.listen);
	model.listen = url;
	screen_draw(agent->screen, &model);
}

static void tick(struct agent *agent)
{
	static struct service_view views[VIEWS_MAX];
	struct services *services = &agent->processes.services;
	size_t count;

	sweep(agent);
	for (uint32_t id = 1; id <= services->count; id++) {
		const struct service *service = services_by_id(services, id);

		if (service)
			budgets_completeness(agent->budgets, service->name,
					     processes_completeness(&agent->processes, service));
	}
	agent->ticked_ns = clock_monotonic_ns();
	budgets_tick(agent->budgets, agent->ticked_ns);
	count = budgets_services(agent->budgets, views, VIEWS_MAX);
	self_services(&agent->self, views, count);
	self_tick(&agent->self, agent->probes, agent->probe_count, &agent->processes, agent->web,
		  agent->started_ns);
	if (agent->screen)
		draw(agent, views, count);
}

/* --- the HTTP server's questions ------------------------------------------------------------ */

static void web_refresh(void *context)
{
	sweep(context);
}

static const char *web_ready(void *context)
{
	return health_ready(context);
}

static const char *web_alive(void *context)
{
	return health_alive(context);
}

static int web_health(void *context, struct text *ret_json)
{
	return health_report(context, ret_json);
}

static void web_scraped(void *context, uint64_t duration_ns, uint64_t bytes)
{
	struct agent *agent = context;

	(void)bytes;
	self_scraped(&agent->self, duration_ns);
}

static int open_web(struct agent *agent)
{
	struct web_source source = {
		.context = agent,
		.refresh = web_refresh,
		.store = agent->store,
		.ready = web_ready,
		.alive = web_alive,
		.health = web_health,
		.scraped = web_scraped,
	};
	int err;

	agent->web = web_open(agent->config.listen, &source);
	if (agent->web)
		return 0;
	err = -errno;
	return log_errno(err, "cannot listen on %s%s", agent->config.listen,
			 err == -EADDRINUSE ? " (another agent? choose another with --listen)"
					    : "");
}

/* --- start ---------------------------------------------------------------------------------- */

static int open_store(struct agent *agent)
{
	uint64_t thresholds[BOUNDS_MAX];
	unsigned int dropped = 0;
	size_t count;

	agent->store = series_store_new(agent->config.series_max);
	if (!agent->store)
		return -ENOMEM;
	count = config_thresholds_ns(&agent->config, thresholds, BOUNDS_MAX);
	bounds_init_durations(&agent->store->durations, thresholds, (unsigned int)count, &dropped);
	bounds_init_sizes(&agent->store->sizes);
	if (dropped)
		log_warn("budgets: %u thresholds are beyond the %u exact ones and are judged to "
			 "within 2.2 %%",
			 dropped, BOUNDS_MAX);
	return 0;
}

/* For requests whose service is not known yet: the lowest line anybody has drawn. */
static uint64_t least_threshold_ns(const struct config *config)
{
	uint64_t thresholds[BOUNDS_MAX];

	return config_thresholds_ns(config, thresholds, BOUNDS_MAX) ? thresholds[0] : UINT64_MAX;
}

static void share_bounds(struct agent *agent)
{
	struct shared *shared = agent->maps.shared;

	for (unsigned int i = 0; i <= BOUNDS_MAX; i++)
		shared->bounds_ns[i] = i < agent->store->durations.count
					       ? agent->store->durations.upper[i]
					       : BOUND_NONE;
	shared->threshold_ns = least_threshold_ns(&agent->config);
}

static int open_kernel(struct agent *agent)
{
	int err;

	ladder_init_log();
	err = maps_open(&agent->maps, &agent->config);
	if (err == -EPERM || err == -EACCES)
		log_error("plimsoll needs root, or CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE");
	if (err)
		return err;
	share_bounds(agent);
	err = processes_init(&agent->processes, &agent->maps, agent->store);
	if (err)
		return err;
	agent->ring = ring_buffer__new(agent->maps.fds[MAP_RECORDS], record_taken, agent, NULL);
	if (!agent->ring)
		return log_errno(-errno, "cannot open the ring buffer");
	agent->environment = (struct probe_environment){
		.config = &agent->config,
		.maps = &agent->maps,
		.store = agent->store,
		.processes = &agent->processes,
		.observer = { .context = agent,
			      .requests = requests,
			      .detail = detail,
			      .threshold_ns = threshold_ns,
			      .generation = 1 },
	};
	for (size_t i = 0; probe_types[i] && i < AGENT_PROBES_MAX; i++) {
		probe_start(&agent->probes[i], probe_types[i], &agent->environment);
		self_probe(&agent->self, &agent->probes[i]);
		agent->probe_count++;
	}
	return 0;
}

static int open_timer(uint64_t period_ns)
{
	struct itimerspec spec = {};
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);

	spec.it_interval.tv_sec = (time_t)(period_ns / NS_PER_S);
	spec.it_interval.tv_nsec = (long)(period_ns % NS_PER_S);
	spec.it_value = spec.it_interval;
	if (fd >= 0)
		timerfd_settime(fd, 0, &spec, NULL);
	return fd;
}

static int watch(struct agent *agent, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

	return fd < 0 || epoll_ctl(agent->epoll_fd, EPOLL_CTL_ADD, fd, &event) ? -errno : 0;
}

static int open_loop(struct agent *agent)
{
	sigset_t signals;
	int err;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	signal(SIGPIPE, SIG_IGN);
	agent->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	agent->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	agent->drain_fd = open_timer(DRAIN_NS);
	agent->tick_fd = open_timer(NS_PER_S);
	err = agent->epoll_fd < 0 ? -errno : watch(agent, agent->signal_fd);
	if (!err)
		err = watch(agent, agent->drain_fd);
	if (!err)
		err = watch(agent, agent->tick_fd);
	if (!err)
		err = watch(agent, web_fd(agent->web));
	return err ? log_errno(err, "cannot open the event loop") : 0;
}

/* What is needed once everything is attached: updating maps, reading /proc of others. */
static void drop_privileges(void)
{
	capng_clear(CAPNG_SELECT_BOTH);
	capng_updatev(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, CAP_BPF, CAP_SYS_PTRACE,
		      CAP_DAC_READ_SEARCH, -1);
	if (capng_apply(CAPNG_SELECT_CAPS))
		log_warn("capabilities could not be dropped: %s", strerror(errno));
	else
		log_debug("capabilities left: CAP_BPF, CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH");
}

/* --- reload --------------------------------------------------------------------------------- */

static bool needs_restart(const struct config *old, const struct config *fresh)
{
	bool changed =
		strcmp(old->listen, fresh->listen) != 0 ||
		old->endpoints_per_service != fresh->endpoints_per_service ||
		old->endpoints_max != fresh->endpoints_max ||
		old->connections_max != fresh->connections_max ||
		old->processes_max != fresh->processes_max ||
		old->series_max != fresh->series_max || old->ring_bytes != fresh->ring_bytes ||
		old->arrival_stamps != fresh->arrival_stamps ||
		old->route_count != fresh->route_count || old->rung_count != fresh->rung_count;

	for (size_t i = 0; !changed && i < fresh->route_count; i++)
		changed = strcmp(old->routes[i].pattern, fresh->routes[i].pattern) != 0 ||
			  strcmp(old->routes[i].service, fresh->routes[i].service) != 0;
	for (size_t i = 0; !changed && i < fresh->rung_count; i++)
		changed = strcmp(old->rungs[i].probe, fresh->rungs[i].probe) != 0 ||
			  strcmp(old->rungs[i].rung, fresh->rungs[i].rung) != 0;
	return changed;
}

static void reload(struct agent *agent)
{
	struct config fresh;

	if (agent_load_config(&fresh, agent->options)) {
		agent->self.reloads_failed++;
		log_error("reload: the new configuration is not used, the old one stays in force");
		return;
	}
	budgets_free(agent->budgets);
	agent->budgets = budgets_new(&fresh, agent->store, budget_changed, agent);
	if (!agent->budgets) {
		agent->budgets = budgets_new(&agent->config, agent->store, budget_changed, agent);
		config_fini(&fresh);
		agent->self.reloads_failed++;
		return;
	}
	alerts_reload(agent->alerts, &fresh);
	/* tables were sized and listeners opened from the old one: those keys need a restart */
	if (needs_restart(&agent->config, &fresh))
		log_warn("reload: listen, limits, arrival_stamps, routes and rungs take effect at "
			 "the next start");
	config_fini(&agent->config);
	agent->config = fresh;
	agent->environment.observer.generation++;
	agent->maps.shared->threshold_ns = least_threshold_ns(&agent->config);
	agent->self.reloads_ok++;
	log_info("reload: the new configuration is in force, %zu budget lines",
		 agent->config.budget_count);
}

/* --- loop and end --------------------------------------------------------------------------- */

/* A terminal that is closed says SIGHUP too; then there is nobody left to reload for. */
static bool terminal_gone(const struct agent *agent)
{
	struct winsize size;

	return agent->screen && ioctl(STDERR_FILENO, TIOCGWINSZ, &size) && errno == EIO;
}

static void take_signal(struct agent *agent)
{
	struct signalfd_siginfo info;

	while (read(agent->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		if (info.ssi_signo == SIGHUP && !terminal_gone(agent)) {
			reload(agent);
			continue;
		}
		log_info("stopping: %s", strsignal((int)info.ssi_signo));
		agent->stopping = true;
	}
}

static bool timer_fired(int fd)
{
	uint64_t times;

	return read(fd, &times, sizeof(times)) == (ssize_t)sizeof(times);
}

static void loop(struct agent *agent)
{
	struct epoll_event events[8];

	while (!agent->stopping) {
		int count = epoll_wait(agent->epoll_fd, events, 8, web_timeout_ms(agent->web));

		if (count < 0 && errno != EINTR) {
			log_errno(-errno, "event loop");
			return;
		}
		for (int i = 0; i < count; i++) {
			int fd = events[i].data.fd;

			if (fd == agent->signal_fd)
				take_signal(agent);
			else if (fd == agent->drain_fd && timer_fired(fd))
				ring_buffer__consume(agent->ring);
			else if (fd == agent->tick_fd && timer_fired(fd))
				tick(agent);
		}
		web_run(agent->web);
	}
}

/* Links first, so that the numbers stand still; then what they left behind is counted. */
static void stop(struct agent *agent)
{
	for (size_t i = 0; i < agent->probe_count; i++) {
		struct attached *attached = &agent->probes[i].attached;

		for (size_t link = 0; link < attached->link_count; link++)
			bpf_link__destroy(attached->links[link]);
		attached->link_count = 0;
	}
	if (agent->ring && agent->alerts) {
		sweep(agent);
		log_info("stopped: %llu requests and %llu losses counted",
			 (unsigned long long)requests_seen(agent),
			 (unsigned long long)agent->processes.losses_total);
	}
	log_set_hook(NULL, NULL);
	screen_close(agent->screen);
	web_close(agent->web);
	for (size_t i = agent->probe_count; i-- > 0;)
		probe_stop(&agent->probes[i]);
	ring_buffer__free(agent->ring);
	if (agent->processes.maps)
		processes_fini(&agent->processes);
	maps_close(&agent->maps);
	alerts_free(agent->alerts);
	budgets_free(agent->budgets);
	series_store_free(agent->store);
	config_fini(&agent->config);
	for (int i = 0; i < 4; i++) {
		int fd = (&agent->epoll_fd)[i];

		if (fd >= 0)
			close(fd);
	}
}

static void choose_output(struct agent *agent)
{
	bool terminal = isatty(STDERR_FILENO);
	enum log_format format = agent->options->log_format;

	if (format == LOG_FORMAT_AUTO)
		format = agent->config.log_format;
	log_init(format, agent->options->debug ? LOG_LEVEL_DEBUG : agent->config.log_level);
	agent->json = format == LOG_FORMAT_JSON || (format == LOG_FORMAT_AUTO && !terminal);
	agent->colour = terminal && !agent->options->no_colour && !getenv("NO_COLOR");
	if (terminal && !agent->json && !agent->options->no_screen)
		agent->screen = screen_open(STDERR_FILENO, agent->colour);
	if (agent->screen)
		log_set_hook(log_above_screen, agent->screen);
}

static int start(struct agent *agent)
{
	unsigned int up = 0;
	int err;

	err = open_store(agent);
	if (!err)
		err = self_init(&agent->self, agent->store);
	if (err)
		return EXIT_RUNTIME;
	agent->budgets = budgets_new(&agent->config, agent->store, budget_changed, agent);
	agent->alerts = alerts_new(&agent->config, agent->store, deliver, agent);
	if (!agent->budgets || !agent->alerts)
		return EXIT_RUNTIME;
	/* the port before the kernel: a second agent must not attach anything */
	if (open_web(agent))
		return EXIT_RUNTIME;
	err = open_kernel(agent);
	if (err)
		return EXIT_KERNEL;
	for (size_t i = 0; i < agent->probe_count; i++)
		up += agent->probes[i].up;
	if (!up) {
		log_error("no probe could be attached; plimsoll doctor says why");
		return EXIT_KERNEL;
	}
	if (open_loop(agent))
		return EXIT_RUNTIME;
	drop_privileges();
	/* loading left a few MB of free heap behind */
	ladder_done();
	malloc_trim(0);
	return 0;
}

int agent_run(const struct agent_options *options)
{
	struct agent *agent = calloc(1, sizeof(*agent));
	int code;

	if (!agent)
		return EXIT_RUNTIME;
	agent->options = options;
	agent->epoll_fd = agent->signal_fd = agent->drain_fd = agent->tick_fd = -1;
	agent->started_ns = clock_monotonic_ns();
	log_init(options->log_format, options->debug ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO);
	if (agent_load_config(&agent->config, options)) {
		free(agent);
		return EXIT_USAGE;
	}
	if (!agent->config.enabled) {
		log_info("MONITORING_ENABLED is false: nothing to do");
		config_fini(&agent->config);
		free(agent);
		return EXIT_OK;
	}
	choose_output(agent);
	code = start(agent);
	if (!code) {
		log_info("ready after %llu ms, metrics on %s",
			 (unsigned long long)((clock_monotonic_ns() - agent->started_ns) /
					      NS_PER_MS),
			 agent->config.listen);
		tick(agent);
		loop(agent);
	}
	stop(agent);
	free(agent);
	return code;
}
