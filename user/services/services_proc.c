/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What /proc still tells of a process. Everything is best effort: it may be
 * gone, another user's, or replaced by another of the same number.
 */
#include "services/services.h"

#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"

#define ENVIRONMENT_READ_MAX (256 * 1024)
#define CHUNK		     4096

static const char otel_name[] = "OTEL_SERVICE_NAME=";

/* Reads up to size - 1 bytes and terminates; false when there is nothing to read. */
static bool read_file(uint32_t pid, const char *file, char *ret_text, size_t size)
{
	char path[64];
	size_t length = 0;
	ssize_t count;
	int fd;

	snprintf(path, sizeof(path), "/proc/%u/%s", pid, file);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	while (length < size - 1) {
		count = read(fd, ret_text + length, size - 1 - length);
		if (count <= 0)
			break;
		length += count;
	}
	close(fd);
	ret_text[length] = '\0';
	return length > 0;
}

/* Looks for one name in NUL-separated strings that arrive in pieces. */
struct search {
	size_t matched; /* bytes of otel_name; SIZE_MAX: not in this string */
	size_t length;	/* of the value so far */
	bool is_done;
};

static void search_byte(struct search *search, char byte, char *ret_value, size_t size)
{
	const size_t name_length = sizeof(otel_name) - 1;

	if (search->matched == name_length) {
		if (!byte || search->length + 1 >= size)
			search->is_done = true;
		else
			ret_value[search->length++] = byte;
		ret_value[search->length] = '\0';
	} else if (!byte) {
		search->matched = 0;
	} else if (search->matched != SIZE_MAX) {
		search->matched =
			otel_name[search->matched] == byte ? search->matched + 1 : SIZE_MAX;
	}
}

/* The environment holds secrets: it passes through one buffer, which is wiped. */
static void read_environment(uint32_t pid, char *ret_value, size_t size)
{
	struct search search = { 0 };
	size_t total = 0;
	char path[64], chunk[CHUNK];
	ssize_t count;
	int fd;

	snprintf(path, sizeof(path), "/proc/%u/environ", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	while (!search.is_done && total < ENVIRONMENT_READ_MAX) {
		count = read(fd, chunk, sizeof(chunk));
		if (count <= 0)
			break;
		total += count;
		for (ssize_t i = 0; i < count && !search.is_done; i++)
			search_byte(&search, chunk[i], ret_value, size);
	}
	close(fd);
	explicit_bzero(chunk, sizeof(chunk));
}

static void read_executable(uint32_t pid, char *ret_name, size_t size)
{
	static const char deleted[] = " (deleted)";
	char path[64], target[PATH_MAX];
	const char *base;
	ssize_t length;

	snprintf(path, sizeof(path), "/proc/%u/exe", pid);
	length = readlink(path, target, sizeof(target) - 1);
	if (length <= 0)
		return;
	target[length] = '\0';
	if ((size_t)length > sizeof(deleted) - 1 &&
	    !strcmp(target + length - (sizeof(deleted) - 1), deleted))
		target[length - (sizeof(deleted) - 1)] = '\0';
	base = strrchr(target, '/');
	text_copy(ret_name, size, base ? base + 1 : target);
}

/* Which line names the process best: the v2 tree, else systemd's own, else any controller's. */
static int line_rank(const char *controllers)
{
	if (!*controllers)
		return 3;
	return !strcmp(controllers, "name=systemd") ? 2 : 1;
}

void services_split_cgroup(char *lines, struct process_facts *ret_facts)
{
	const size_t levels = sizeof(ret_facts->cgroup) / sizeof(ret_facts->cgroup[0]);
	char *best = NULL, *line, *after_line = NULL, *slash;
	int best_rank = 0;
	size_t level = 0;

	for (line = strtok_r(lines, "\n", &after_line); line;
	     line = strtok_r(NULL, "\n", &after_line)) {
		char *controllers = strchr(line, ':'), *path;

		path = controllers ? strchr(controllers + 1, ':') : NULL;
		if (!path)
			continue;
		*path++ = '\0';
		if (line_rank(controllers + 1) > best_rank && strspn(path, "/.") != strlen(path)) {
			best_rank = line_rank(controllers + 1);
			best = path;
		}
	}
	while (best && level < levels && (slash = strrchr(best, '/'))) {
		*slash = '\0';
		if (slash[1] && strcmp(slash + 1, ".."))
			text_copy(ret_facts->cgroup[level++], sizeof(ret_facts->cgroup[0]),
				  slash + 1);
	}
}

void services_read_proc(struct process_facts *facts)
{
	char text[8192];

	if (!facts->pid)
		return;
	if (!facts->otel_service[0])
		read_environment(facts->pid, facts->otel_service, sizeof(facts->otel_service));
	if (!facts->executable[0])
		read_executable(facts->pid, facts->executable, sizeof(facts->executable));
	if (!facts->comm[0] && read_file(facts->pid, "comm", text, sizeof(text))) {
		text[strcspn(text, "\n")] = '\0';
		text_copy(facts->comm, sizeof(facts->comm), text);
	}
	if (!facts->cgroup[0][0] && read_file(facts->pid, "cgroup", text, sizeof(text)))
		services_split_cgroup(text, facts);
}
