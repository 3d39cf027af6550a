/* SPDX-License-Identifier: GPL-2.0-only */
/* The automaton user space makes of the user's patterns, walked by the kernel's own code. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "connection.h"
#include "probes/net/patterns.h"

#define NONE	     (~0u)
#define PATTERNS_MAX 64
#define SERVICE_ID   7

static struct route_pattern routes[PATTERNS_MAX];
static struct config config = { .routes = routes };
static struct patterns *patterns;
static __u64 random_state;

/* Instead of libbpf's: there is only one map that is filled here. */
int(bpf_map_update_elem)(int fd, const void *key, const void *value, __u64 flags);
int(bpf_map_update_elem)(int fd, const void *key, const void *value, __u64 flags)
{
	long err = bpf_map_update_elem(&pl_patterns, key, value, flags);

	(void)fd;
	if (!err)
		return 0;
	errno = (int)-err;
	return -1;
}

static int reset(void **state)
{
	(void)state;
	machine_reset();
	config.route_count = 0;
	random_state = 88172645463325252ULL;
	return 0;
}

static int finish(void **state)
{
	(void)state;
	patterns_free(patterns);
	patterns = NULL;
	machine_reset();
	return 0;
}

static __u32 random_below(__u32 end)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (__u32)(random_state >> 20) % end;
}

static void add_for(const char *service, const char *pattern)
{
	snprintf(routes[config.route_count].service, sizeof(routes[0].service), "%s", service);
	assert_in_range(config.route_count, 0, PATTERNS_MAX - 1);
	snprintf(routes[config.route_count++].pattern, sizeof(routes[0].pattern), "%s", pattern);
}

static void add(const char *pattern)
{
	add_for("*", pattern);
}

/* The process whose requests are counted becomes this service, as user space does it. */
static void serve(const char *name)
{
	__u32 process = process_current();
	struct process_slot *slot = bpf_map_lookup_elem(&pl_processes, &process);
	struct service_slot *service = bpf_map_lookup_elem(&pl_services, &(__u32){ SERVICE_ID });

	slot->service = SERVICE_ID;
	service->pattern_start = patterns_start(patterns, name);
	request_shared_get()->pattern_states = patterns_states(patterns);
}

static void load(void)
{
	patterns_free(patterns);
	patterns = patterns_new(&config, 0);
	assert_non_null(patterns);
	machine_reset();
	serve("web");
}

/* The number of the pattern a request for this path counts under, or NONE. */
static __u32 match(const char *path)
{
	struct connection connection;
	char request[400];
	__u32 found = NONE;

	connection_open(&connection, false);
	connection_request(
		&connection, request,
		(size_t)snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\n\r\n", path));
	connection_response(&connection, TEXT("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"));
	connection_free(&connection);
	assert_int_equal(counted(404), 1);
	slots_for_each(element)
	{
		struct request_slot *slot = element->value;

		if (slot_count(slot) && slot->key.route >= ROUTE_PATTERN_BASE)
			found = (__u32)slot->key.route;
		memset(slot->classic, 0, sizeof(slot->classic));
	}
	return found;
}

static void check_route(const char *path, const char *expected)
{
	__u32 found = match(path);

	assert_string_equal(found == NONE ? "none" : patterns_text(patterns, found), expected);
}

static void check_match(const char *path, const char *expected)
{
	__u32 found = match(path);
	const char *text = found == NONE ? "none" : patterns_text(patterns, found);

	if (strcmp(text, expected) != 0)
		fail_msg("%s matches %s, not %s", path, text, expected);
	/* user space, which matches what came before the service was known, says the same */
	if (path[0] != '/' || strchr(path, '?'))
		return;
	text = patterns_match(patterns, "web", path);
	if (strcmp(text ? text : "none", expected) != 0)
		fail_msg("%s matches %s in user space, not %s", path, text ? text : "none",
			 expected);
}

static void lets_the_most_specific_pattern_win(void **state)
{
	(void)state;
	add("/api/{version}/users/{id}");
	add("/api/v1/users/{id}");
	add("/api/{version}/users/me");
	add("/api/v1/users/me");
	add("/{a}/{b}/{c}/{d}");
	load();
	check_match("/api/v1/users/me", "/api/v1/users/me");
	check_match("/api/v1/users/7", "/api/v1/users/{id}");
	check_match("/api/v2/users/me", "/api/{version}/users/me");
	check_match("/api/v2/users/7", "/api/{version}/users/{id}");
	check_match("/app/v2/users/7", "/{a}/{b}/{c}/{d}");
	check_match("/api/v1/users", "none");
	check_match("/api/v1/users/7/8", "none");
}

static void goes_back_from_a_literal_that_leads_nowhere(void **state)
{
	(void)state;
	add("/a/b");
	add("/a/{x}/c");
	add("/{y}/b/d");
	load();
	check_match("/a/b", "/a/b");
	check_match("/a/b/c", "/a/{x}/c");
	check_match("/a/z/c", "/a/{x}/c");
	check_match("/a/b/d", "/{y}/b/d");
	check_match("/z/b/d", "/{y}/b/d");
	check_match("/a/z/d", "none");
	check_match("/a", "none");
}

static void keeps_root_and_trailing_slash_apart(void **state)
{
	(void)state;
	add("/");
	add("/a");
	add("/a/");
	load();
	check_match("/", "/");
	check_match("/?q=1", "/");
	check_match("/a", "/a");
	check_match("/a/", "/a/");
	check_match("/a?q", "/a");
	check_match("/a//", "none");
	check_match("//", "none");
	check_match("http://host/a", "/a");
	check_match("http://host/", "/");
}

static void takes_braces_for_a_placeholder_only_around_a_whole_segment(void **state)
{
	(void)state;
	add("/{}");
	add("/{id}.json");
	add("/x{id}/y");
	load();
	check_match("/1", "none");
	check_match("/{}", "/{}");
	check_match("/1.json", "none");
	check_match("/{id}.json", "/{id}.json");
	check_match("/x1/y", "none");
}

static void compares_whole_segments_whatever_their_length(void **state)
{
	(void)state;
	add("/abcdefgh");
	add("/abcdefg");
	add("/abcdefghi");
	add("/abcdefghabcdefgh/abcdefgh");
	load();
	check_match("/abcdef", "none");
	check_match("/abcdefg", "/abcdefg");
	check_match("/abcdefgh", "/abcdefgh");
	check_match("/abcdefghi", "/abcdefghi");
	check_match("/abcdefghij", "none");
	check_match("/abcdefghabcdefgh/abcdefgh", "/abcdefghabcdefgh/abcdefgh");
	check_match("/abcdefghabcdefgh/abcdefg", "none");
}

static void matches_as_many_segments_as_a_path_can_have(void **state)
{
	char pattern[PATH_MAX_BYTES] = "", path[PATH_MAX_BYTES] = "";

	(void)state;
	for (int i = 0; i < 32; i++)
		strcat(pattern, i % 2 ? "/{x}" : "/a");
	for (int i = 0; i < 32; i++)
		strcat(path, "/a");
	add(pattern);
	load();
	check_match(path, pattern);
	strcat(path, "/a");
	check_match(path, "none");
}

/* A pattern of more segments than are compiled must not fit shorter paths instead. */
static void never_shortens_a_pattern(void **state)
{
	char pattern[PATH_MAX_BYTES] = "", path[PATH_MAX_BYTES] = "";

	(void)state;
	for (int i = 0; i < 40; i++)
		strcat(pattern, "/a");
	for (int i = 0; i < 32; i++)
		strcat(path, "/a");
	add(pattern);
	load();
	check_match(path, "none");
}

/* What is cut off behind the kept bytes could be anything. */
static void does_not_match_what_was_cut_off(void **state)
{
	char path[300] = "/files/";

	(void)state;
	add("/files/{name}");
	load();
	memset(path + 7, 'x', 200);
	strcpy(path + 207, "/versions/7");
	check_match(path, "none");
}

static void matches_nothing_without_patterns(void **state)
{
	(void)state;
	load();
	assert_int_equal(patterns_states(patterns), 0);
	check_match("/a", "none");
	assert_string_equal(patterns_text(patterns, 0), "other");
}

static void keeps_the_patterns_of_services_apart(void **state)
{
	(void)state;
	add_for("web*", "/a/{x}");
	add_for("shop", "/a/b");
	add_for("*", "/{any}/b");
	load();
	serve("shop");
	check_route("/a/b", "/a/b");
	check_route("/a/c", "none");
	check_route("/z/b", "/{any}/b");
	serve("website");
	check_route("/a/b", "/a/{x}");
	check_route("/a/c", "/a/{x}");
	check_route("/z/b", "/{any}/b");
	serve("other");
	check_route("/a/b", "/{any}/b");
	check_route("/a/c", "none");
}

static void leaves_processes_without_a_service_to_user_space(void **state)
{
	__u32 process;

	(void)state;
	add("/a/{x}");
	load();
	process = process_current();
	((struct process_slot *)bpf_map_lookup_elem(&pl_processes, &process))->service = 0;
	check_route("/a/b", "none");
	assert_string_equal(patterns_match(patterns, "web", "/a/b"), "/a/{x}");
	/* a heuristic route stands for its paths */
	assert_string_equal(patterns_match(patterns, "web", "/a/{id}"), "/a/{x}");
	assert_null(patterns_match(patterns, "web", "/a"));
	assert_null(patterns_match(patterns, "web", ""));
}

static void refuses_more_than_the_kernels_table_holds(void **state)
{
	(void)state;
	add("/a/{x}");
	add("/b/{x}");
	patterns_free(patterns);
	patterns = patterns_new(&config, 0);
	machine_reset();
	fake_map_limit(&pl_patterns, 2);
	assert_int_equal(patterns_start(patterns, "web"), 0);
	serve("web");
	check_route("/a/b", "none");
}

/* --- against a matcher that tries them all ---------------------------------------------------- */

struct parts {
	const char *at[40];
	size_t length[40], count;
};

static void split(const char *text, struct parts *parts)
{
	parts->count = 0;
	for (text++;; text++) {
		parts->at[parts->count] = text;
		parts->length[parts->count] = strcspn(text, "/");
		text += parts->length[parts->count++];
		if (!*text)
			return;
	}
}

static bool part_is_any(const struct parts *parts, size_t i)
{
	return parts->length[i] > 2 && parts->at[i][0] == '{';
}

static bool fits(const struct parts *pattern, const struct parts *path)
{
	if (pattern->count != path->count)
		return false;
	for (size_t i = 0; i < path->count; i++)
		if (!part_is_any(pattern, i) &&
		    (pattern->length[i] != path->length[i] ||
		     memcmp(pattern->at[i], path->at[i], path->length[i]) != 0))
			return false;
	return true;
}

static __u32 match_by_trying(const char *path)
{
	struct parts wanted, best;
	__u32 found = NONE;

	split(path, &wanted);
	for (__u32 number = 0; number < config.route_count; number++) {
		struct parts pattern;
		size_t i = 0;

		split(routes[number].pattern, &pattern);
		if (!fits(&pattern, &wanted))
			continue;
		while (found != NONE && i < pattern.count &&
		       part_is_any(&pattern, i) == part_is_any(&best, i))
			i++;
		if (found == NONE || (i < pattern.count && !part_is_any(&pattern, i))) {
			found = number;
			best = pattern;
		}
	}
	return found;
}

static void random_text(char *into, bool is_pattern)
{
	static const char *const words[] = { "a", "b", "c", "{x}", "{y}", "{z}" };
	__u32 count = 1 + random_below(5);

	into[0] = 0;
	while (count--) {
		strcat(into, "/");
		strcat(into, words[random_below(is_pattern ? 6 : 3)]);
	}
}

static void agrees_with_trying_every_pattern(void **state)
{
	__u32 matched = 0;

	(void)state;
	for (int round = 0; round < 40; round++) {
		char text[PATH_MAX_BYTES];
		__u32 count = 1 + random_below(PATTERNS_MAX - 1);

		config.route_count = 0;
		while (config.route_count < count) {
			random_text(text, true);
			add(text);
		}
		load();
		for (int i = 0; i < 60; i++) {
			__u32 expected, found;

			random_text(text, false);
			expected = match_by_trying(text);
			found = match(text);
			matched += found != NONE;
			assert_true(!patterns_match(patterns, "web", text) == (found == NONE));
			/* of equal patterns any one may be told */
			if (found != expected &&
			    (found == NONE || expected == NONE ||
			     strcmp(routes[found].pattern, routes[expected].pattern) != 0))
				fail_msg("%s: pattern %s, expected %s", text,
					 found == NONE ? "none" : routes[found].pattern,
					 expected == NONE ? "none" : routes[expected].pattern);
		}
	}
	assert_in_range(matched, 500, 2300);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(lets_the_most_specific_pattern_win, reset, finish),
		cmocka_unit_test_setup_teardown(goes_back_from_a_literal_that_leads_nowhere, reset,
						finish),
		cmocka_unit_test_setup_teardown(keeps_root_and_trailing_slash_apart, reset, finish),
		cmocka_unit_test_setup_teardown(
			takes_braces_for_a_placeholder_only_around_a_whole_segment, reset, finish),
		cmocka_unit_test_setup_teardown(compares_whole_segments_whatever_their_length,
						reset, finish),
		cmocka_unit_test_setup_teardown(matches_as_many_segments_as_a_path_can_have, reset,
						finish),
		cmocka_unit_test_setup_teardown(never_shortens_a_pattern, reset, finish),
		cmocka_unit_test_setup_teardown(does_not_match_what_was_cut_off, reset, finish),
		cmocka_unit_test_setup_teardown(matches_nothing_without_patterns, reset, finish),
		cmocka_unit_test_setup_teardown(keeps_the_patterns_of_services_apart, reset,
						finish),
		cmocka_unit_test_setup_teardown(leaves_processes_without_a_service_to_user_space,
						reset, finish),
		cmocka_unit_test_setup_teardown(refuses_more_than_the_kernels_table_holds, reset,
						finish),
		cmocka_unit_test_setup_teardown(agrees_with_trying_every_pattern, reset, finish),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
