/* SPDX-License-Identifier: GPL-2.0-only */
#include "kernel/ladder.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <bpf/btf.h>

#include "base/log.h"
#include "base/text.h"

/* libbpf says most about a failure in its warnings; the last one is kept for the reason. */
static char last_warning[RUNG_REASON_MAX];

/* Of a verifier's log the line before the tally is the complaint. */
static void keep_complaint(char *log)
{
	char *tally = strstr(log, "\nprocessed "), *start;

	if (!tally)
		tally = strstr(log, "\n-- END PROG LOAD LOG");
	if (!tally)
		return;
	*tally = 0;
	start = strrchr(log, '\n');
	snprintf(last_warning, sizeof(last_warning), "verifier: %.200s", start ? start + 1 : log);
}

static int libbpf_line(enum libbpf_print_level level, const char *format, va_list args)
	__attribute__((format(printf, 2, 0)));

static int libbpf_line(enum libbpf_print_level level, const char *format, va_list args)
{
	char *text = NULL;

	if (level == LIBBPF_DEBUG || vasprintf(&text, format, args) < 0)
		return 0;
	if (strstr(text, "BEGIN PROG LOAD LOG")) {
		log_debug("%.4000s", text);
		keep_complaint(text);
	} else {
		text[strcspn(text, "\n")] = 0;
		if (level == LIBBPF_WARN && strncmp(last_warning, "verifier:", 9) != 0)
			text_copy(last_warning, sizeof(last_warning), text);
		log_debug("%s", text);
	}
	free(text);
	return 0;
}

void ladder_init_log(void)
{
	libbpf_set_print(libbpf_line);
	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
}

static const char *advice(int err)
{
	switch (-err) {
	case EPERM:
		return "the kernel refuses this kind of program here (lockdown, missing "
		       "CAP_BPF/CAP_PERFMON, or a kernel built without it)";
	case ENOENT:
	case ESRCH:
		return "this kernel has no such hook (or tracefs is not mounted at "
		       "/sys/kernel/tracing)";
	case EINVAL:
		return "this kernel does not know a feature the program needs";
	case ENOTSUP:
		return "not supported by this kernel";
	case E2BIG:
	case EACCES:
		return "the verifier of this kernel rejects the program; please report it";
	case ENOMEM:
		return "out of memory, or the locked-memory limit (ulimit -l) is too low";
	default:
		return "see the debug log";
	}
}

static void explain(char *ret_reason, size_t size, const char *step, const char *what, int err)
{
	snprintf(ret_reason, size, "%s %s: %s: %s", step, what, strerror(-err), advice(err));
}

static bool in_list(const char *const *list, size_t max, const char *name)
{
	for (size_t i = 0; i < max && list[i]; i++)
		if (strcmp(list[i], name) == 0)
			return true;
	return false;
}

/* Cheaper than loading programs that then cannot be attached, and says more. */
static int ask_first(const struct rung *rung, char *ret_reason)
{
	if (rung->needs_helper &&
	    libbpf_probe_bpf_helper(BPF_PROG_TYPE_KPROBE, rung->needs_helper, NULL) == 0) {
		snprintf(ret_reason, RUNG_REASON_MAX, "this kernel has no %s", rung->needs);
		return -ENOTSUP;
	}
	if (strcmp(rung->name, "kprobe") == 0 &&
	    access("/sys/bus/event_source/devices/kprobe/type", R_OK)) {
		snprintf(ret_reason, RUNG_REASON_MAX,
			 "this kernel is built without kprobes (CONFIG_KPROBE_EVENTS)");
		return -ENOTSUP;
	}
	return 0;
}

static struct btf *kernel_types; /* of the running kernel, while ladders are climbed */

/* True, too, where the kernel's types cannot be read: then trying decides. */
static bool kernel_has(const char *name, __u32 kind)
{
	if (!kernel_types)
		kernel_types = btf__load_vmlinux_btf();
	return !kernel_types || btf__find_by_name_kind(kernel_types, name, kind) > 0;
}

/* Has this kernel the function or tracepoint a program wants? Unknown counts as yes. */
static bool hook_exists(const struct bpf_program *program)
{
	const char *section = bpf_program__section_name(program);
	const char *hook = strchr(section, '/');
	char name[128];

	section += section[0] == '?';
	if (!hook)
		return true;
	hook++;
	if (strncmp(section, "tp_btf/", 7) == 0) {
		snprintf(name, sizeof(name), "btf_trace_%s", hook);
		return kernel_has(name, BTF_KIND_TYPEDEF);
	}
	if (strncmp(section, "fentry/", 7) == 0 || strncmp(section, "fexit/", 6) == 0 ||
	    strncmp(section, "kprobe/", 7) == 0 || strncmp(section, "kretprobe/", 10) == 0)
		return kernel_has(hook, BTF_KIND_FUNC);
	return true;
}

void ladder_done(void)
{
	btf__free(kernel_types);
	kernel_types = NULL;
}

/*
 * Does this kernel take the CPU from a task that is in a program? What it was built for, where it
 * does not say what it does.
 */
static bool kernel_preempts(void)
{
	FILE *file = fopen("/sys/kernel/debug/sched/preempt", "re");
	struct utsname name;
	char modes[64] = "";

	if (file) {
		if (!fgets(modes, sizeof(modes), file))
			modes[0] = 0;
		fclose(file);
	}
	if (strchr(modes, '('))
		return strstr(modes, "(full)") || strstr(modes, "(lazy)");
	return uname(&name) == 0 && strstr(name.version, "PREEMPT");
}

/*
 * kernel: since 7.0 SRCU protects who is called by a tracepoint, where preemption was off before
 * (6.13 to 6.19 have no such symbol; of those before, none preempts itself by default).
 */
static bool tracepoints_are_preempted(void)
{
	FILE *file = fopen("/proc/kallsyms", "re");
	bool found = false;
	char line[512];

	while (file && !found && fgets(line, sizeof(line), file))
		found = strstr(line, " tracepoint_srcu\n");
	if (file)
		fclose(file);
	return found;
}

/* Is the program of a kind that other tasks get in the way of on this kernel? */
static bool is_preempted(const struct bpf_program *program)
{
	static int kernel = -1, tracepoints = -1;

	if (kernel < 0)
		kernel = kernel_preempts();
	if (kernel && tracepoints < 0)
		tracepoints = tracepoints_are_preempted();
	return kernel && (tracepoints || !strstr(bpf_program__section_name(program), "tp_btf/"));
}

/* `skip` has one bit per optional program that this kernel is known not to take. */
static int open_rung(const struct ladder *ladder, const struct maps *maps, const struct rung *rung,
		     unsigned int skip, struct attached *attached, char *ret_reason)
{
	LIBBPF_OPTS(bpf_object_open_opts, options, .object_name = "plimsoll");
	struct bpf_program *program;
	const void *elf;
	size_t size;
	int err;

	err = ask_first(rung, ret_reason);
	if (err)
		return err;
	elf = ladder->elf(&size);
	attached->object = bpf_object__open_mem(elf, size, &options);
	if (!attached->object) {
		err = -errno;
		explain(ret_reason, RUNG_REASON_MAX, "open", ladder->probe, err);
		return err;
	}
	bpf_object__for_each_program (program, attached->object) {
		const char *name = bpf_program__name(program);
		bool wanted = in_list(rung->programs, RUNG_PROGRAMS_MAX, name);

		for (size_t i = 0; i < RUNG_PROGRAMS_MAX / 2 && rung->optional[i]; i++)
			if (strcmp(rung->optional[i], name) == 0)
				wanted = !(skip & (1u << i));
		if (in_list(rung->if_preempted, RUNG_PROGRAMS_MAX / 2, name))
			wanted = is_preempted(program);
		if (wanted && !hook_exists(program)) {
			if (in_list(rung->programs, RUNG_PROGRAMS_MAX, name)) {
				snprintf(ret_reason, RUNG_REASON_MAX, "this kernel has no %s",
					 strchr(bpf_program__section_name(program), '/') + 1);
				return -ENOTSUP;
			}
			wanted = false;
		}
		bpf_program__set_autoload(program, wanted);
	}
	for (size_t i = 0; i < 4 && rung->unused_maps[i]; i++) {
		struct bpf_map *map =
			bpf_object__find_map_by_name(attached->object, rung->unused_maps[i]);

		if (map)
			bpf_map__set_autocreate(map, false);
	}
	err = maps_share(maps, attached->object);
	if (!err && ladder->configure)
		err = ladder->configure(ladder->context, attached->object, rung);
	if (err) {
		explain(ret_reason, RUNG_REASON_MAX, "configure", ladder->probe, err);
		return err;
	}
	last_warning[0] = 0;
	err = bpf_object__load(attached->object);
	if (err)
		explain(ret_reason, RUNG_REASON_MAX, "load", last_warning, err);
	return err;
}

/* -ENOENT for a required program means that fewer optional ones will not help. */
static int attach_programs(struct attached *attached, const struct rung *rung, bool *ret_final,
			   char *ret_reason)
{
	struct bpf_program *program;

	bpf_object__for_each_program (program, attached->object) {
		struct bpf_link *link;
		int err;

		if (!bpf_program__autoload(program) ||
		    bpf_program__type(program) == BPF_PROG_TYPE_UNSPEC)
			continue;
		if (strncmp(bpf_program__section_name(program), "iter", 4) == 0 ||
		    strncmp(bpf_program__section_name(program), "?iter", 5) == 0)
			continue; /* run when asked, by the probe */
		link = bpf_program__attach(program);
		if (!link) {
			err = -errno;
			explain(ret_reason, RUNG_REASON_MAX, "attach", bpf_program__name(program),
				err);
			*ret_final = in_list(rung->programs, RUNG_PROGRAMS_MAX,
					     bpf_program__name(program));
			return err;
		}
		attached->links[attached->link_count++] = link;
	}
	return 0;
}

void ladder_leave(struct attached *attached)
{
	for (size_t i = 0; i < attached->link_count; i++)
		bpf_link__destroy(attached->links[i]);
	attached->link_count = 0;
	bpf_object__close(attached->object);
	attached->object = NULL;
}

static int take_rung(const struct ladder *ladder, const struct maps *maps, const struct rung *rung,
		     struct attached *attached, char *ret_reason)
{
	unsigned int skip = 0, optionals = 0;
	bool final = false;
	int err;

	while (optionals < RUNG_PROGRAMS_MAX / 2 && rung->optional[optionals])
		optionals++;
	/* first with every optional program, then without the last one, and so on */
	for (unsigned int left_out = 0;; left_out++) {
		attached->link_count = 0;
		err = open_rung(ladder, maps, rung, skip, attached, ret_reason);
		if (!err)
			err = attach_programs(attached, rung, &final, ret_reason);
		if (!err) {
			attached->rung = rung;
			return 0;
		}
		ladder_leave(attached);
		/* a kernel that refuses the kind of program refuses it without the optional ones */
		if (left_out >= optionals || final || err == -EPERM || err == -ENOTSUP)
			return err;
		skip |= 1u << (optionals - 1 - left_out);
	}
}

int ladder_try(const struct ladder *ladder, const struct maps *maps, const struct rung *rung,
	       char *ret_reason, size_t size)
{
	char reason[RUNG_REASON_MAX] = "";
	struct attached attached = {};
	int err = take_rung(ladder, maps, rung, &attached, reason);

	if (!err)
		ladder_leave(&attached);
	text_copy(ret_reason, size, err ? reason : "");
	return err;
}

int ladder_climb(const struct ladder *ladder, const struct maps *maps, const char *forced,
		 struct attached *ret_attached)
{
	int err = -EINVAL;

	memset(ret_attached, 0, sizeof(*ret_attached));
	for (size_t i = 0; ladder->rungs[i].name && i < LADDER_RUNGS_MAX; i++) {
		const struct rung *rung = &ladder->rungs[i];

		if (forced && strcmp(forced, rung->name) != 0)
			continue;
		err = take_rung(ladder, maps, rung, ret_attached, ret_attached->reasons[i]);
		if (!err) {
			ret_attached->reasons[i][0] = 0;
			return 0;
		}
		log_debug("probe %s: rung %s: %s", ladder->probe, rung->name,
			  ret_attached->reasons[i]);
	}
	return err;
}
