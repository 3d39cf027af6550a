/* SPDX-License-Identifier: GPL-2.0-only */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <unistd.h>

#include "web/address.h"

static void reads_the_forms_a_user_writes(void **state)
{
	static const struct {
		const char *text, *host;
		uint16_t port;
	} cases[] = {
		{ "127.0.0.1:9926", "::ffff:127.0.0.1", 9926 },
		{ "localhost:80", "::ffff:127.0.0.1", 80 },
		{ "0.0.0.0:0", "::ffff:0.0.0.0", 0 },
		{ "[::1]:65535", "::1", 65535 },
		{ "[::]:9926", "::", 9926 },
		{ ":9926", "::", 9926 },
	};
	struct address address;
	struct in6_addr host, expected;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(address_parse(cases[i].text, &address), 0);
		assert_int_equal(address_port(&address), cases[i].port);
		host = address_host(&address);
		assert_int_equal(inet_pton(AF_INET6, cases[i].host, &expected), 1);
		assert_memory_equal(&host, &expected, sizeof(host));
	}
}

static const char too_long[] =
	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:80";

static void refuses_everything_else(void **state)
{
	static const char *const cases[] = {
		"",
		":",
		"127.0.0.1",
		"127.0.0.1:",
		"127.0.0.1:65536",
		"::1:9926",
		"[::1]",
		"[::1]9926",
		"[::1:9926",
		"127.0.0.1:99x",
		"host:9926",
		"127.0.0.1:-1",
		"127.0.0.1: 80",
		"[127.0.0.1]:80",
		"[]:80",
		"[:80",
		"]:80",
		"256.0.0.1:80",
		"127.0.0.1:+80",
		"127.0.0.1:99999999999999999999",
		too_long,
	};
	struct address address;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (address_parse(cases[i], &address) != -EINVAL)
			fail_msg("taken: %s", cases[i]);
}

static void an_address_in_use_is_said_to_be_so(void **state)
{
	struct address address;
	int first, second;

	(void)state;
	assert_int_equal(address_parse("127.0.0.1:0", &address), 0);
	first = address_listen(&address, 1);
	assert_true(first >= 0);
	address.size = sizeof(address.v6);
	assert_int_equal(getsockname(first, &address.any, &address.size), 0);
	second = address_listen(&address, 1);
	assert_int_equal(second, -EADDRINUSE);
	close(first);
	assert_int_equal(address_parse("192.0.2.1:0", &address), 0);
	assert_int_equal(address_listen(&address, 1), -EADDRNOTAVAIL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_the_forms_a_user_writes),
		cmocka_unit_test(refuses_everything_else),
		cmocka_unit_test(an_address_in_use_is_said_to_be_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
