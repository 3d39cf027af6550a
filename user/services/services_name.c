/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * From facts to a name. The cgroup is read from the leaf up; the first level
 * that a person would recognise wins: a container, a systemd service, a named
 * scope. Levels made on the fly (session-3.scope, run-u12.service) and groups
 * (slices) say nothing; a user's own manager or a pod without a container ends
 * the search, because what lies above them is not who serves.
 */
#include "services/services.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

#define CONTAINER_ID_SIZE  64
#define CONTAINER_ID_SHOWN 12

/* Bytes of the UTF-8 character at `at`, 0 if it is none or must not be printed. */
static size_t character_size(const unsigned char *at)
{
	uint32_t code;
	size_t size;

	if (at[0] < 0x80)
		return at[0] >= 0x20 && at[0] != 0x7f;
	if (at[0] >= 0xc2 && at[0] < 0xe0)
		size = 2;
	else if (at[0] >= 0xe0 && at[0] < 0xf0)
		size = 3;
	else if (at[0] >= 0xf0 && at[0] < 0xf5)
		size = 4;
	else
		return 0;
	code = at[0] & (0x7f >> size);
	for (size_t i = 1; i < size; i++) {
		if ((at[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (at[i] & 0x3f);
	}
	if (code < 0xa0 || (size == 3 && code < 0x800) || (size == 4 && code < 0x10000) ||
	    (code >= 0xd800 && code < 0xe000) || code > 0x10ffff || code == 0x2028 ||
	    code == 0x2029)
		return 0;
	return size;
}

void services_clean_name(const char *text, char *ret_name, size_t size)
{
	const unsigned char *at = (const unsigned char *)text;
	size_t length = 0;

	while (*at == ' ')
		at++;
	while (*at) {
		size_t step = character_size(at);

		if (length + (step ? step : 1) >= size)
			break;
		if (step)
			memcpy(ret_name + length, at, step);
		else
			ret_name[length] = '_';
		length += step ? step : 1;
		at += step ? step : 1;
	}
	while (length && ret_name[length - 1] == ' ')
		length--;
	ret_name[length] = '\0';
}

/* Facts come from another program's memory: a full field need not be terminated. */
static void take(char *ret_text, const char *field, size_t size)
{
	memcpy(ret_text, field, size - 1);
	ret_text[size - 1] = '\0';
}

static bool has_prefix(const char *text, const char *prefix)
{
	return !strncmp(text, prefix, strlen(prefix));
}

static bool has_suffix(const char *text, const char *suffix)
{
	size_t length = strlen(text), suffix_length = strlen(suffix);

	return length > suffix_length && !strcmp(text + length - suffix_length, suffix);
}

/*
 * The 64 hex digits every container runtime ends its cgroup with, bare or behind
 * "docker-", "cri-containerd-", "kubepods-...slice:cri-containerd:" and the like.
 * Long names arrive cut, so fewer digits do when the name fills its room.
 */
static bool find_container(const char *level, size_t room, char *ret_name, size_t size)
{
	const char *id = level, *separator;
	size_t digits;

	for (separator = level; *separator; separator++) {
		if (*separator == '-' || *separator == ':')
			id = separator + 1;
	}
	digits = strspn(id, "0123456789abcdef");
	if (id[digits] && strcmp(id + digits, ".scope"))
		return false;
	if (digits != CONTAINER_ID_SIZE && !(strlen(level) == room && digits >= CONTAINER_ID_SHOWN))
		return false;
	if (size > CONTAINER_ID_SHOWN)
		size = CONTAINER_ID_SHOWN + 1;
	text_copy(ret_name, size, id);
	return true;
}

/* Undoes systemd's escapes: "foo\x2dbar" is foo-bar. */
static void unescape(char *name)
{
	char *to = name;

	for (const char *from = name; *from; from++) {
		if (from[0] == '\\' && from[1] == 'x' && isxdigit((unsigned char)from[2]) &&
		    isxdigit((unsigned char)from[3])) {
			const char digits[] = { from[2], from[3], '\0' };
			char byte = (char)strtoul(digits, NULL, 16);

			*to++ = byte ? byte : '_';
			from += 3;
		} else {
			*to++ = *from;
		}
	}
	*to = '\0';
}

/*
 * worker@1 and worker@2 are one service, and so are the instances a socket unit
 * makes per connection (sshd@3-10.0.0.1:22-...); postgresql@15-main is itself.
 */
static void drop_instance(char *name)
{
	char *at = strchr(name, '@');

	if (!at || at == name)
		return;
	if (!at[1] || !at[1 + strspn(at + 1, "0123456789")] || strchr(at, ':'))
		*at = '\0';
}

/* What systemd-run makes: run-u12.service, run-p77-i99.service, run-r<hex>.service. */
static bool is_transient(const char *level)
{
	if (strncmp(level, "run-", 4) || !level[4] || !strchr("upr", level[4]))
		return false;
	return strpbrk(level + 5, "0123456789") &&
	       level[5 + strspn(level + 5, "0123456789abcdefi-")] == '.';
}

static bool find_unit(const char *level, char *ret_name, size_t size)
{
	char name[80];
	bool scope = has_suffix(level, ".scope");

	if (!scope && !has_suffix(level, ".service"))
		return false;
	/* A scope with a number in its name is one of many, made on the fly. */
	if (scope && (strpbrk(level, "0123456789") || !strcmp(level, "init.scope")))
		return false;
	if (is_transient(level))
		return false;
	text_copy(name, sizeof(name), level);
	*strrchr(name, '.') = '\0';
	unescape(name);
	drop_instance(name);
	services_clean_name(name, ret_name, size);
	return ret_name[0];
}

/* conmon's own scope carries the id of the container it minds but is not the container. */
static bool is_minder(const char *level)
{
	return strstr(level, "-conmon-");
}

/* Above these nobody is found who serves: a user's manager, a pod without a container. */
static bool ends_search(const char *level)
{
	return (has_prefix(level, "user@") && has_suffix(level, ".service")) ||
	       has_prefix(level, "kubepods");
}

static bool find_in_cgroup(const struct process_facts *facts, char *ret_name, size_t size)
{
	static const char lxc[] = "lxc.payload.";
	const size_t room = sizeof(facts->cgroup[0]) - 1;

	for (size_t i = 0; i < sizeof(facts->cgroup) / sizeof(facts->cgroup[0]); i++) {
		char level[sizeof(facts->cgroup[0])];

		take(level, facts->cgroup[i], sizeof(level));
		if (is_minder(level))
			return false;
		if (find_container(level, room, ret_name, size))
			return true;
		if (has_prefix(level, lxc)) {
			services_clean_name(level + strlen(lxc), ret_name, size);
			return ret_name[0];
		}
		if (ends_search(level))
			return false;
		if (find_unit(level, ret_name, size))
			return true;
	}
	return false;
}

/* python3.11 is python3 and php-fpm8.2 is php-fpm: an upgrade does not make another service. */
static void drop_version(char *name)
{
	static const char *const interpreters[] = { "python", "php-fpm", "php-cgi", "php", "ruby",
						    "perl",   "lua",	 "node",    "pypy" };

	for (size_t i = 0; i < sizeof(interpreters) / sizeof(interpreters[0]); i++) {
		size_t length = strlen(interpreters[i]);

		if (strncmp(name, interpreters[i], length) ||
		    name[length + strspn(name + length, "0123456789.")])
			continue;
		if (interpreters[i][0] == 'p' && interpreters[i][1] == 'y' &&
		    isdigit((unsigned char)name[length]))
			length++;
		name[length] = '\0';
		return;
	}
}

static bool find_executable(const struct process_facts *facts, char *ret_name, size_t size)
{
	static const char deleted[] = " (deleted)";
	char name[sizeof(facts->executable)];

	take(name, facts->executable, sizeof(name));
	if (has_suffix(name, deleted))
		name[strlen(name) - strlen(deleted)] = '\0';
	drop_version(name);
	services_clean_name(name, ret_name, size);
	return ret_name[0];
}

void services_name(const struct process_facts *facts, char *ret_name, size_t size)
{
	char otel[sizeof(facts->otel_service)], comm[sizeof(facts->comm)];

	if (!size)
		return;
	take(otel, facts->otel_service, sizeof(otel));
	services_clean_name(otel, ret_name, size);
	if (ret_name[0] || find_in_cgroup(facts, ret_name, size) ||
	    find_executable(facts, ret_name, size))
		return;
	take(comm, facts->comm, sizeof(comm));
	drop_version(comm);
	services_clean_name(comm, ret_name, size);
	if (!ret_name[0])
		text_copy(ret_name, size, SERVICE_NAME_UNKNOWN);
}
