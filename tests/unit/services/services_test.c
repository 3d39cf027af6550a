/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/text.h"
#include "services/services.h"

#define ID "4f2a9c0e1b3d5f7a9c0e1b3d5f7a9c0e1b3d5f7a9c0e1b3d5f7a9c0e1b3d5f7a"

/* Checks the name of a process "runner" (comm "worker") in a v2 cgroup path. */
static void assert_path_named(const char *path, const char *expected)
{
	struct process_facts facts = { .comm = "worker", .executable = "runner" };
	char lines[512], name[64];

	snprintf(lines, sizeof(lines), "0::%s\n", path);
	services_split_cgroup(lines, &facts);
	services_name(&facts, name, sizeof(name));
	if (strcmp(name, expected))
		print_error("path %s\n", path);
	assert_string_equal(name, expected);
}

static void assert_executable_named(const char *executable, const char *expected)
{
	struct process_facts facts = { .comm = "worker" };
	char name[64];

	text_copy(facts.executable, sizeof(facts.executable), executable);
	services_name(&facts, name, sizeof(name));
	assert_string_equal(name, expected);
}

static void the_name_the_application_gives_wins(void **state)
{
	struct process_facts facts = { .otel_service = "checkout",
				       .executable = "java",
				       .cgroup = { "nginx.service", "system.slice" } };
	char name[64];

	(void)state;
	services_name(&facts, name, sizeof(name));
	assert_string_equal(name, "checkout");
}

static void a_systemd_service_names_its_processes(void **state)
{
	(void)state;
	assert_path_named("/system.slice/nginx.service", "nginx");
	assert_path_named("/system.slice/foo.service/worker-1", "foo");
	assert_path_named("/system.slice/foo\\x2dbar.service", "foo-bar");
	assert_path_named("/user.slice/user-1000.slice/user@1000.service/app.slice/foo.service",
			  "foo");
	assert_path_named("/user.slice/user-1000.slice/user@1000.service/app.slice/foo.scope",
			  "foo");
	assert_path_named("/system.slice/run-postgres.service", "run-postgres");
}

static void instances_of_a_template_are_one_service(void **state)
{
	(void)state;
	assert_path_named("/system.slice/system-foo.slice/foo@1.service", "foo");
	assert_path_named(
		"/system.slice/system-sshd.slice/sshd@3-10.0.0.1:22-10.0.0.2:4711.service", "sshd");
	assert_path_named("/system.slice/system-postgresql.slice/postgresql@15-main.service",
			  "postgresql@15-main");
}

static void units_made_on_the_fly_fall_to_the_executable(void **state)
{
	(void)state;
	assert_path_named("/", "runner");
	assert_path_named("", "runner");
	assert_path_named("/init.scope", "runner");
	assert_path_named("/user.slice/user-1000.slice/session-3.scope", "runner");
	assert_path_named("/user.slice/user-1000.slice/user@1000.service/init.scope", "runner");
	assert_path_named("/user.slice/user-1000.slice/user@1000.service/app.slice/"
			  "app-gnome-firefox-4711.scope",
			  "runner");
	assert_path_named("/system.slice/run-u12.service", "runner");
	assert_path_named("/system.slice/run-p77-i99.service", "runner");
	assert_path_named("/system.slice/run-r0123456789abcdef0123456789abcdef.service", "runner");
	assert_path_named("/machine.slice", "runner");
}

static void a_container_is_named_by_twelve_digits(void **state)
{
	(void)state;
	assert_path_named("/docker/" ID, "4f2a9c0e1b3d");
	assert_path_named("/system.slice/docker-" ID ".scope", "4f2a9c0e1b3d");
	assert_path_named("/" ID, "4f2a9c0e1b3d");
	assert_path_named("/machine.slice/libpod-" ID ".scope", "4f2a9c0e1b3d");
	assert_path_named("/machine.slice/libpod-" ID ".scope/container", "4f2a9c0e1b3d");
	assert_path_named("/libpod_parent/libpod-payload-" ID, "4f2a9c0e1b3d");
	assert_path_named("/system.slice/nerdctl-" ID ".scope", "4f2a9c0e1b3d");
	assert_path_named("/docker/" ID "/init.scope", "4f2a9c0e1b3d");
	assert_path_named("/docker/" ID "/system.slice/nginx.service", "nginx");
	assert_path_named("/lxc.payload.web/init.scope", "web");
}

static void a_container_of_a_pod_wins_over_what_is_above_it(void **state)
{
	static const char pod[] =
		"kubepods-burstable-pod0f1e2d3c_4b5a_6978_8796_a5b4c3d2e1f0.slice";
	char path[512];

	(void)state;
	snprintf(path, sizeof(path), "/kubepods.slice/%s/cri-containerd-" ID ".scope", pod);
	assert_path_named(path, "4f2a9c0e1b3d");
	snprintf(path, sizeof(path), "/kubepods.slice/%s/crio-" ID ".scope", pod);
	assert_path_named(path, "4f2a9c0e1b3d");
	assert_path_named("/kubepods/besteffort/pod0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0/" ID,
			  "4f2a9c0e1b3d");
	snprintf(path, sizeof(path), "/system.slice/kubelet.service/%s/crio-" ID ".scope", pod);
	assert_path_named(path, "4f2a9c0e1b3d");
	snprintf(path, sizeof(path), "/system.slice/kubelet.service/%s", pod);
	assert_path_named(path, "runner");
	snprintf(path, sizeof(path), "/kubepods.slice/%s/crio-conmon-" ID ".scope", pod);
	assert_path_named(path, "runner");
}

static void an_executable_loses_its_version(void **state)
{
	(void)state;
	assert_executable_named("python3.11", "python3");
	assert_executable_named("python3", "python3");
	assert_executable_named("php-fpm8.2", "php-fpm");
	assert_executable_named("php8.2", "php");
	assert_executable_named("ruby3.1", "ruby");
	assert_executable_named("perl5.36.0", "perl");
	assert_executable_named("node", "node");
	assert_executable_named("java", "java");
	assert_executable_named("python3-config", "python3-config");
	assert_executable_named("app2", "app2");
	assert_executable_named("nginx (deleted)", "nginx");
	assert_executable_named("", "worker");
}

static void a_name_is_printable_and_never_empty(void **state)
{
	struct process_facts facts = { .otel_service = "a\x1b[31mb\xff\xc3\xa4\xc2\x9b" };
	char name[64], small[4];

	(void)state;
	services_name(&facts, name, sizeof(name));
	assert_string_equal(name, "a_[31mb_\xc3\xa4__");
	memset(&facts, 0, sizeof(facts));
	services_name(&facts, name, sizeof(name));
	assert_string_equal(name, "unknown");
	text_copy(facts.otel_service, sizeof(facts.otel_service), "   ");
	text_copy(facts.comm, sizeof(facts.comm), "sh");
	services_name(&facts, name, sizeof(name));
	assert_string_equal(name, "sh");
	services_clean_name("ab\xc3\xa4", small, sizeof(small));
	assert_string_equal(small, "ab");
}

static void names_that_fill_their_room_stay_inside_it(void **state)
{
	struct process_facts facts;
	char name[64];

	(void)state;
	memset(&facts, 'a', sizeof(facts));
	services_name(&facts, name, sizeof(name));
	assert_true(strlen(name) < sizeof(name));
	memset(facts.otel_service, 0, sizeof(facts.otel_service));
	services_name(&facts, name, sizeof(name));
	assert_string_equal(name, "aaaaaaaaaaaa");
}

static void the_second_tree_is_preferred_where_it_says_something(void **state)
{
	char hybrid[] = "9:name=systemd:/\n4:memory:/docker/" ID "\n0::/\n";
	char systemd[] = "4:memory:/user.slice\n1:name=systemd:/system.slice/nginx.service\n0::/\n";
	char both[] = "1:name=systemd:/old\n0::/../../system.slice/new.service\n";
	struct process_facts facts = { .pid = 1 };

	(void)state;
	services_split_cgroup(hybrid, &facts);
	assert_string_equal(facts.cgroup[0], ID);
	assert_string_equal(facts.cgroup[1], "docker");
	memset(&facts, 0, sizeof(facts));
	services_split_cgroup(systemd, &facts);
	assert_string_equal(facts.cgroup[0], "nginx.service");
	memset(&facts, 0, sizeof(facts));
	services_split_cgroup(both, &facts);
	assert_string_equal(facts.cgroup[0], "new.service");
	assert_string_equal(facts.cgroup[1], "system.slice");
	assert_string_equal(facts.cgroup[2], "");
}

static void one_name_is_one_service(void **state)
{
	struct services services;
	struct service *nginx;

	(void)state;
	assert_int_equal(services_init(&services, 10), 0);
	nginx = services_get(&services, "nginx");
	assert_int_equal(nginx->id, 2);
	assert_ptr_equal(services_get(&services, "nginx"), nginx);
	assert_ptr_equal(services_by_id(&services, 2), nginx);
	assert_int_equal(services_get(&services, "other")->id, SERVICE_OTHER);
	assert_string_equal(services_get(&services, "")->name, "unknown");
	assert_null(services_by_id(&services, 0));
	assert_null(services_by_id(&services, 4));
	services_fini(&services);
}

static void what_comes_after_the_limit_is_other(void **state)
{
	struct services services;
	char name[16];

	(void)state;
	assert_int_equal(services_init(&services, 0), -EINVAL);
	assert_int_equal(services_init(&services, 100), 0);
	for (unsigned int i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "service-%u", i);
		assert_int_equal(services_get(&services, name)->id, i < 99 ? i + 2 : SERVICE_OTHER);
	}
	assert_int_equal(services.overflowed, 901);
	assert_int_equal(services.count, 100);
	services_fini(&services);
}

static void a_forgotten_service_makes_room(void **state)
{
	struct services services;
	struct service *first;

	(void)state;
	assert_int_equal(services_init(&services, 3), 0);
	first = services_get(&services, "first");
	services_get(&services, "second");
	assert_int_equal(services_get(&services, "third")->id, SERVICE_OTHER);
	first->processes = 1;
	assert_int_equal(services_remove(&services, first), -EBUSY);
	first->processes = 0;
	assert_int_equal(services_remove(&services, first), 0);
	assert_null(services_by_id(&services, 2));
	assert_int_equal(services_get(&services, "third")->id, 2);
	assert_int_equal(services_remove(&services, services_by_id(&services, SERVICE_OTHER)),
			 -EBUSY);
	services_fini(&services);
}

/* A child of known environment and executable, alive until killed. */
static pid_t start_sleep(const char *variable)
{
	char *const arguments[] = { "sleep", "60", NULL };
	char *padding = malloc(10000), *environment[] = { NULL, NULL, NULL };
	int ready[2];
	char byte;
	pid_t pid;

	assert_non_null(padding);
	memset(padding, 'P', 9999);
	padding[9999] = '\0';
	padding[1] = '=';
	environment[0] = padding;
	environment[1] = (char *)variable;
	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		execve("/usr/bin/sleep", arguments, environment);
		execve("/bin/sleep", arguments, environment);
		_exit(127);
	}
	/* The pipe closes with exec: from then on /proc shows the new program. */
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 0);
	close(ready[0]);
	free(padding);
	return pid;
}

static void reads_a_living_process(void **state)
{
	pid_t pid = start_sleep("OTEL_SERVICE_NAME=check-out");
	struct process_facts facts = { .pid = pid };

	(void)state;
	services_read_proc(&facts);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	assert_string_equal(facts.otel_service, "check-out");
	assert_string_equal(facts.comm, "sleep");
	/* One binary may serve many names. */
	assert_true(!strcmp(facts.executable, "sleep") || !strcmp(facts.executable, "coreutils") ||
		    !strcmp(facts.executable, "busybox"));
}

static void keeps_what_the_kernel_told(void **state)
{
	pid_t pid = start_sleep("NOT_OTEL_SERVICE_NAME=no");
	struct process_facts facts = { .pid = pid, .comm = "told", .executable = "by-kernel" };

	(void)state;
	services_read_proc(&facts);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	assert_string_equal(facts.otel_service, "");
	assert_string_equal(facts.comm, "told");
	assert_string_equal(facts.executable, "by-kernel");
}

static void a_process_that_is_gone_leaves_the_facts_alone(void **state)
{
	struct process_facts facts = { .pid = 0x7ffffff0, .comm = "gone" }, none = { 0 };

	(void)state;
	services_read_proc(&facts);
	assert_string_equal(facts.comm, "gone");
	assert_string_equal(facts.executable, "");
	services_read_proc(&none);
	assert_string_equal(none.comm, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_name_the_application_gives_wins),
		cmocka_unit_test(a_systemd_service_names_its_processes),
		cmocka_unit_test(instances_of_a_template_are_one_service),
		cmocka_unit_test(units_made_on_the_fly_fall_to_the_executable),
		cmocka_unit_test(a_container_is_named_by_twelve_digits),
		cmocka_unit_test(a_container_of_a_pod_wins_over_what_is_above_it),
		cmocka_unit_test(an_executable_loses_its_version),
		cmocka_unit_test(a_name_is_printable_and_never_empty),
		cmocka_unit_test(names_that_fill_their_room_stay_inside_it),
		cmocka_unit_test(the_second_tree_is_preferred_where_it_says_something),
		cmocka_unit_test(one_name_is_one_service),
		cmocka_unit_test(what_comes_after_the_limit_is_other),
		cmocka_unit_test(a_forgotten_service_makes_room),
		cmocka_unit_test(reads_a_living_process),
		cmocka_unit_test(keeps_what_the_kernel_told),
		cmocka_unit_test(a_process_that_is_gone_leaves_the_facts_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
