/* SPDX-License-Identifier: GPL-2.0-only */
/* What the server answers, asked by curl and promtool. */
#include "unit/web/server.h"

static void serves_the_text_format_by_default(void **state)
{
	struct server *server = server_open(NULL, 3);
	char *answer = curl(server, "/metrics", "");

	(void)state;
	must_contain(answer, "HTTP/1.1 200 OK\r\n");
	must_contain(answer, "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n");
	must_contain(answer, "X-Content-Type-Options: nosniff\r\n");
	must_contain(answer, "Cache-Control: no-store\r\n");
	must_contain(answer, "\nshop_requests_total{service=\"shop\"} 23\n");
	must_contain(answer, "le=\"+Inf\"} 6\n");
	must_contain(answer, "<exit 0>");
	assert_null(strstr(answer, "Content-Encoding"));
	assert_null(strstr(answer, "# EOF"));
	assert_int_equal(server->refreshes, 1);
	assert_int_equal(server->scrapes, 1);
	free(answer);
	server_close(server);
}

static void serves_openmetrics_to_those_who_ask(void **state)
{
	struct server *server = server_open(NULL, 3);
	char *answer = curl(server, "/metrics",
			    "-H 'Accept: application/openmetrics-text;version=1.0.0,*/*;q=0.1'");

	(void)state;
	must_contain(answer, "Content-Type: application/openmetrics-text; version=1.0.0; "
			     "charset=utf-8\r\n");
	must_contain(answer, "\n# TYPE shop_requests counter\n");
	must_contain(answer, "\n# EOF\n<exit 0>");
	free(answer);
	server_close(server);
}

static void a_compressed_answer_unpacks_to_the_plain_one(void **state)
{
	struct server *server = server_open(NULL, 2000);
	char *gzip = curl(server, "/metrics", "--compressed");
	uint64_t gzip_bytes = server->scraped_bytes;
	char *plain = curl(server, "/metrics", "-H 'Accept-Encoding: gzip;q=0'");

	(void)state;
	must_contain(gzip, "Content-Encoding: gzip\r\n");
	must_contain(gzip, "Vary: Accept, Accept-Encoding\r\n");
	assert_null(strstr(plain, "Content-Encoding"));
	assert_true(server->scraped_bytes > BODY_BYTES_AT_LEAST);
	assert_true(gzip_bytes < server->scraped_bytes / 10);
	assert_string_equal(strstr(gzip, "\r\n\r\n"), strstr(plain, "\r\n\r\n"));
	free(gzip);
	free(plain);
	server_close(server);
}

static void promtool_finds_nothing_to_say(void **state)
{
	struct server *server = server_open(NULL, 50);
	char command[256], *output;

	(void)state;
	if (system("command -v promtool >/dev/null")) {
		server_close(server);
		skip();
	}
	snprintf(command, sizeof(command),
		 "curl -s http://127.0.0.1:%u/metrics | promtool check metrics 2>&1",
		 web_port(server->web));
	output = shell(server, command);
	assert_string_equal(output, "<exit 0>");
	free(output);
	server_close(server);
}

static void head_tells_the_size_and_sends_no_body(void **state)
{
	struct server *server = server_open(NULL, 3);
	char *answer = curl(server, "/metrics", "-I"), length[64];

	(void)state;
	snprintf(length, sizeof(length), "Content-Length: %llu\r\n",
		 (unsigned long long)server->scraped_bytes);
	must_contain(answer, "HTTP/1.1 200 OK\r\n");
	must_contain(answer, length);
	must_contain(answer, "\r\n\r\n<exit 0>");
	free(answer);
	must_answer(server, "/health", "-I", "HTTP/1.1 200 OK\r\n", "\r\n\r\n<exit 0>");
	server_close(server);
}

static void health_says_what_the_agent_says(void **state)
{
	struct server *server = server_open(NULL, 0);

	(void)state;
	must_answer(server, "/health", "", "HTTP/1.1 200 OK\r\n", "{\"overall_status\":");
	must_answer(server, "/health", "", "Content-Type: application/json\r\n", "nosniff");
	must_answer(server, "/?health", "", "HTTP/1.1 200 OK\r\n", "{\"overall_status\":");
	must_answer(server, "/?health=1&x", "", "HTTP/1.1 200 OK\r\n", "{\"overall_status\":");
	must_answer(server, "/health/ready", "", " 200 OK\r\n", "\r\n{\"status\":\"ready\"}\n<");
	must_answer(server, "/health/live", "", " 200 OK\r\n", "\r\n{\"status\":\"alive\"}\n<");
	server->health_status = 503;
	server->not_ready = "the \"ring\" is full";
	server->not_alive = "stuck";
	must_answer(server, "/health", "", "HTTP/1.1 503 ", "{\"overall_status\":");
	must_answer(server, "/health/ready", "", "HTTP/1.1 503 ",
		    "{\"status\":\"not ready\",\"reason\":\"the \\\"ring\\\" is full\"}\n<");
	must_answer(server, "/health/live", "", "HTTP/1.1 503 ",
		    "{\"status\":\"not alive\",\"reason\":\"stuck\"}\n<");
	assert_int_equal(server->refreshes, 0);
	server_close(server);
}

static void the_front_page_links_to_everything(void **state)
{
	struct server *server = server_open(NULL, 0);

	(void)state;
	must_answer(server, "/", "", "Content-Type: text/html", "<a href=\"/metrics\">");
	must_answer(server, "/", "", "Content-Security-Policy: default-src 'none'",
		    "<a href=\"/health/live\">");
	server_close(server);
}

static void refuses_what_it_does_not_serve(void **state)
{
	struct server *server = server_open(NULL, 0);
	char url[1200] = "/";

	(void)state;
	must_answer(server, "/nope", "", "HTTP/1.1 404 Not Found\r\n", "{\"error\":\"not found\"}");
	must_answer(server, "/metrics/", "", "HTTP/1.1 404 ", "nosniff");
	must_answer(server, "/metrics", "-X DELETE", "HTTP/1.1 405 ", "Allow: GET, HEAD\r\n");
	must_answer(server, "/metrics", "-X OPTIONS", "HTTP/1.1 405 ", "Allow: GET, HEAD\r\n");
	must_answer(server, "/metrics", "-X POST", "HTTP/1.1 405 ", "Allow: GET, HEAD\r\n");
	memset(url + 1, 'a', sizeof(url) - 2);
	must_answer(server, url, "", "HTTP/1.1 414 ", "URL too long");
	server_close(server);
}

static void takes_no_request_bodies(void **state)
{
	struct server *server = server_open(NULL, 0);

	(void)state;
	must_answer(server, "/metrics", "-d x=1", "HTTP/1.1 413 ", "Connection: close\r\n");
	must_answer(server, "/metrics", "-X GET -d x=1", "HTTP/1.1 413 ", "Connection: close\r\n");
	must_answer(server, "/metrics", "-X PUT -d x=1", "HTTP/1.1 413 ", "Connection: close\r\n");
	must_answer(server, "/metrics", "-d x=1 -H 'Transfer-Encoding: chunked'", "HTTP/1.1 413 ",
		    "Connection: close\r\n");
	must_answer(server, "/metrics", "-d x=1 -H 'Expect: 100-continue'", "HTTP/1.1 413 ",
		    "Connection: close\r\n");
	assert_int_equal(server->scrapes, 0);
	must_answer(server, "/health/live", "", "HTTP/1.1 200 OK\r\n", "alive");
	server_close(server);
}

static void concurrent_scrapes_share_one_rendering(void **state)
{
	struct server *server = server_open(NULL, 100);
	char command[256], *output;

	(void)state;
	snprintf(command, sizeof(command),
		 "curl -s http://127.0.0.1:%u/metrics?[1-20] | grep -c '^# TYPE'",
		 web_port(server->web));
	output = shell(server, command);
	assert_string_equal(output, "40\n<exit 0>");
	assert_int_equal(server->scrapes, 20);
	assert_true(server->refreshes <= 5);
	free(output);
	run_for_ms(server, 250);
	output = curl(server, "/metrics", "");
	assert_true(server->refreshes >= 2);
	free(output);
	server_close(server);
}

static void says_why_it_cannot_listen(void **state)
{
	struct server *server = server_open(NULL, 0);
	char listen[32];

	(void)state;
	snprintf(listen, sizeof(listen), "127.0.0.1:%u", web_port(server->web));
	errno = 0;
	assert_null(web_open(listen, &server->source));
	assert_int_equal(errno, EADDRINUSE);
	assert_null(web_open("nonsense", &server->source));
	assert_int_equal(errno, EINVAL);
	assert_null(web_open("192.0.2.1:0", &server->source));
	assert_int_equal(errno, EADDRNOTAVAIL);
	web_close(NULL);
	server_close(server);
}

static void listens_on_ipv6_and_on_all_addresses(void **state)
{
	struct server *server = server_open(NULL, 0);
	static const char *const listens[] = { "[::1]:0", ":0" };
	static const char *const hosts[] = { "[::1]", "127.0.0.1" };
	char command[128], *answer;

	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		web_close(server->web);
		server->web = web_open(listens[i], &server->source);
		if (!server->web && i == 0 && (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL))
			continue; /* no IPv6 here */
		assert_non_null(server->web);
		snprintf(command, sizeof(command), "curl -gs http://%s:%u/health/live", hosts[i],
			 web_port(server->web));
		answer = shell(server, command);
		assert_string_equal(answer, "{\"status\":\"alive\"}\n<exit 0>");
		free(answer);
	}
	server_close(server);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(serves_the_text_format_by_default),
		cmocka_unit_test(serves_openmetrics_to_those_who_ask),
		cmocka_unit_test(a_compressed_answer_unpacks_to_the_plain_one),
		cmocka_unit_test(promtool_finds_nothing_to_say),
		cmocka_unit_test(head_tells_the_size_and_sends_no_body),
		cmocka_unit_test(health_says_what_the_agent_says),
		cmocka_unit_test(the_front_page_links_to_everything),
		cmocka_unit_test(refuses_what_it_does_not_serve),
		cmocka_unit_test(takes_no_request_bodies),
		cmocka_unit_test(concurrent_scrapes_share_one_rendering),
		cmocka_unit_test(says_why_it_cannot_listen),
		cmocka_unit_test(listens_on_ipv6_and_on_all_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
