/* SPDX-License-Identifier: GPL-2.0-only */
/* The text user space gives a route must collapse exactly what the kernel's hash collapses. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "connection.h"
#include "wire/route.h"

#define PATHS 6007

struct sample {
	__u64 hash;
	char text[ROUTE_TEXT_MAX];
	char path[PATH_MAX_BYTES];
};

static struct sample samples[PATHS];
static __u64 random_state;

static int reset(void **state)
{
	(void)state;
	machine_reset();
	random_state = 88172645463325252ULL;
	return 0;
}

static __u32 random_below(__u32 end)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (__u32)(random_state >> 20) % end;
}

/* Sends the path through the real tap: its hash as counted, its text as user space learns it. */
static void sample_take(struct sample *sample, const char *path, const char *method)
{
	char request[400], seen[PATH_MAX_BYTES + 1];
	const struct request_slot *slot = NULL;
	struct connection connection;

	machine_reset();
	connection_open(&connection, false);
	connection_request(
		&connection, request,
		(size_t)snprintf(request, sizeof(request), "%s %s HTTP/1.1\r\n\r\n", method, path));
	connection_response(&connection, TEXT("HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"));
	slots_for_each(element)
	{
		if (slot_count(element->value))
			slot = element->value;
	}
	if (!slot)
		fail_msg("%s is not counted", path);
	sample->hash = slot->key.route;
	recorded_path(sample->hash, seen);
	route_text(seen, strlen(seen), sample->text);
	snprintf(sample->path, sizeof(sample->path), "%s", path);
	connection_free(&connection);
}

static void append(char *path, const char *alphabet, __u32 length)
{
	size_t at = strlen(path), letters = strlen(alphabet);

	while (length--)
		path[at++] = alphabet[random_below((__u32)letters)];
	path[at] = 0;
}

/* Few different texts, many different paths; ids of every shape and what comes close to one. */
static void random_path(char *path)
{
	__u32 segments = 1 + random_below(4);

	path[0] = 0;
	while (segments--) {
		strcat(path, "/");
		switch (random_below(11)) {
		case 0:
			append(path, "0123456789", 1 + random_below(20));
			break;
		case 1:
			append(path, "0123456789abcdefABCDEF", 14 + random_below(5));
			break;
		case 2:
			append(path, "01234567-", 14 + random_below(5));
			break;
		case 3:
			append(path, "abcdef-", 14 + random_below(5));
			break;
		case 4:
			append(path, "0123456789abcdef-,./:;@g`G", 15 + random_below(3));
			break;
		case 5:
			append(path, "ab", 7 + random_below(3));
			break;
		case 6:
			append(path, "0f", random_below(4));
			break;
		case 7:
			append(path, "/", random_below(2));
			break;
		case 8:
			append(path, "0123456789abcdef", 12 + random_below(5));
			append(path, "-,", 1 + random_below(3));
			break;
		default:
			append(path, "aZ-._~!$&'()*+,;=:@%", 1 + random_below(2));
		}
	}
	path[100] = 0;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(((const struct sample *)a)->text, ((const struct sample *)b)->text);
}

static int by_hash(const void *a, const void *b)
{
	__u64 left = ((const struct sample *)a)->hash, right = ((const struct sample *)b)->hash;

	return (left > right) - (left < right);
}

/* Equal texts have equal hashes and the other way round. */
static void check_agreement(size_t count)
{
	for (int pass = 0; pass < 2; pass++) {
		qsort(samples, count, sizeof(samples[0]), pass ? by_hash : by_text);
		for (size_t i = 1; i < count; i++) {
			const struct sample *a = &samples[i - 1], *b = &samples[i];

			if ((strcmp(a->text, b->text) == 0) != (a->hash == b->hash))
				fail_msg("%s is %s and %016llx\n%s is %s and %016llx", a->path,
					 a->text, a->hash, b->path, b->text, b->hash);
		}
	}
}

static void agrees_with_the_kernel_on_thousands_of_paths(void **state)
{
	size_t equal = 0;

	(void)state;
	for (size_t i = 0; i < PATHS; i++) {
		char path[200];

		do
			random_path(path);
		while (strchr(path, '#') || strchr(path, '?'));
		sample_take(&samples[i], path, "GET");
	}
	check_agreement(PATHS);
	for (size_t i = 1; i < PATHS; i++)
		equal += samples[i].hash == samples[i - 1].hash;
	/* the test would prove nothing if no two were equal, or all */
	assert_in_range(equal, PATHS / 20, PATHS / 2);
}

/* Right at the end of what is kept, where a segment may be cut. */
static void agrees_with_the_kernel_where_paths_are_cut(void **state)
{
	static const char *const fillers[] = { "x", "7", "/abcdefg", "a-1,", "0123456789abcdef/" };
	size_t count = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(fillers) / sizeof(fillers[0]); i++) {
		for (size_t length = 100; length < 180; length++) {
			char path[200];

			path[0] = '/';
			for (size_t at = 1; at < length; at++)
				path[at] = fillers[i][(at - 1) % strlen(fillers[i])];
			path[length] = 0;
			sample_take(&samples[count++], path, length & 1 ? "GET" : "PUT");
		}
	}
	check_agreement(count);
}

static void agrees_with_the_kernel_when_the_text_is_longer_than_the_path(void **state)
{
	char path[200] = "";
	size_t count = 0;

	(void)state;
	while (strlen(path) < 122) {
		strcat(path, "/1");
		sample_take(&samples[count++], path, "GET");
	}
	check_agreement(count);
}

static void collapses_ids_only(void **state)
{
	static const struct {
		const char *path, *text;
	} cases[] = {
		{ "/", "/" },
		{ "", "" },
		{ "/users", "/users" },
		{ "/users/4711", "/users/{id}" },
		{ "/users/4711/", "/users/{id}/" },
		{ "//4711//", "//{id}//" },
		{ "/v1/2", "/v1/{id}" },
		{ "/0123456789abcde", "/0123456789abcde" },
		{ "/0123456789abcdef", "/{id}" },
		{ "/0123456789ABCDEF", "/{id}" },
		{ "/0123456789abcdeg", "/0123456789abcdeg" },
		{ "/123e4567-e89b-12d3-a456-426614174000", "/{id}" },
		{ "/abcdefabcdefabcdef", "/abcdefabcdefabcdef" },
		{ "/deadbeefdeadbeef1", "/{id}" },
		{ "/12345.json", "/12345.json" },
		{ "/a\x01\xff", "/a__" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char text[ROUTE_TEXT_MAX];

		route_text(cases[i].path, strlen(cases[i].path), text);
		assert_string_equal(text, cases[i].text);
	}
}

static void stays_inside_its_buffer(void **state)
{
	char *text = malloc(ROUTE_TEXT_MAX), path[300];

	(void)state;
	assert_non_null(text);
	for (size_t i = 0; i < sizeof(path); i++)
		path[i] = i % 2 ? '1' : '/';
	for (size_t length = 0; length < sizeof(path); length++) {
		route_text(path, length, text);
		assert_in_range(strlen(text), 0, ROUTE_TEXT_MAX - 1);
	}
	memset(path, 'x', sizeof(path));
	route_text(path, sizeof(path), text);
	assert_in_range(strlen(text), 1, ROUTE_TEXT_MAX - 1);
	route_path(path, sizeof(path), text, 10);
	assert_int_equal(strlen(text), 9);
	route_path("/a\n\x7f", 4, text, 10);
	assert_string_equal(text, "/a__");
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(agrees_with_the_kernel_on_thousands_of_paths, reset),
		cmocka_unit_test_setup(agrees_with_the_kernel_where_paths_are_cut, reset),
		cmocka_unit_test_setup(agrees_with_the_kernel_when_the_text_is_longer_than_the_path,
				       reset),
		cmocka_unit_test_setup(collapses_ids_only, reset),
		cmocka_unit_test_setup(stays_inside_its_buffer, reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
