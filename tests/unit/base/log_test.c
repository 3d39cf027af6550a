/* SPDX-License-Identifier: GPL-2.0-only */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/log.h"

/* Standard error goes to a file (or a pseudo terminal) while a test looks at it. */
static char captured[1 << 20];
static int saved_stderr;
static int capture_fd;

static void capture_begin(int fd)
{
	capture_fd = fd;
	assert_true(fd >= 0);
	fflush(stderr);
	saved_stderr = dup(STDERR_FILENO);
	assert_true(dup2(fd, STDERR_FILENO) >= 0);
}

static void capture_end(void)
{
	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stderr);
}

static void capture_file_begin(void)
{
	FILE *file = tmpfile();

	assert_non_null(file);
	capture_begin(dup(fileno(file)));
	fclose(file);
}

static const char *capture_file_end(void)
{
	ssize_t size;

	capture_end();
	size = pread(capture_fd, captured, sizeof(captured) - 1, 0);
	assert_true(size >= 0);
	captured[size] = '\0';
	close(capture_fd);
	return captured;
}

/* What a terminal gets to see for one INFO line. */
static const char *line_on_terminal(enum log_format format)
{
	int terminal = posix_openpt(O_RDWR | O_NOCTTY);
	int line;
	ssize_t size;

	assert_true(terminal >= 0);
	assert_int_equal(grantpt(terminal), 0);
	assert_int_equal(unlockpt(terminal), 0);
	line = open(ptsname(terminal), O_RDWR | O_NOCTTY);
	capture_begin(line);
	log_init(format, LOG_LEVEL_INFO);
	log_info("hello");
	capture_end();
	size = read(terminal, captured, sizeof(captured) - 1);
	assert_true(size > 0);
	captured[size] = '\0';
	close(line);
	close(terminal);
	return captured;
}

static int restore(void **state)
{
	(void)state;
	log_set_hook(NULL, NULL);
	log_init(LOG_FORMAT_AUTO, LOG_LEVEL_INFO);
	unsetenv("NO_COLOR");
	setenv("TERM", "xterm", 1);
	return 0;
}

static void assert_matches(const char *text, const char *pattern)
{
	regex_t regex;

	assert_int_equal(regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB), 0);
	if (regexec(&regex, text, 0, NULL, 0))
		fail_msg("'%s' does not match '%s'", text, pattern);
	regfree(&regex);
}

static void writes_one_json_object_per_line_where_nobody_watches(void **state)
{
	(void)state;
	capture_file_begin();
	log_init(LOG_FORMAT_AUTO, LOG_LEVEL_INFO);
	log_info("probe %s: rung %s \"best\"", "net/request", "fentry");
	capture_file_end();
	assert_matches(captured,
		       "^\\{\"timestamp\":\"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:"
		       "[0-9]{2}\\.[0-9]{3}Z\",\"level\":\"INFO\",\"logger\":\"plimsoll\","
		       "\"message\":\"probe net/request: rung fentry \\\\\"best\\\\\"\"\\}\n$");
}

static void writes_level_and_message_as_text(void **state)
{
	(void)state;
	capture_file_begin();
	log_init(LOG_FORMAT_TEXT, LOG_LEVEL_DEBUG);
	log_error("one");
	log_warn("two");
	log_info("three");
	log_debug("four");
	assert_string_equal(capture_file_end(), "ERROR one\nWARN  two\nINFO  three\nDEBUG four\n");
}

static void leaves_out_what_is_below_the_least_level(void **state)
{
	(void)state;
	capture_file_begin();
	log_init(LOG_FORMAT_TEXT, LOG_LEVEL_WARN);
	log_error("one");
	log_warn("two");
	log_info("three");
	log_debug("four");
	assert_string_equal(capture_file_end(), "ERROR one\nWARN  two\n");
}

static void uses_colour_on_a_terminal_only(void **state)
{
	(void)state;
	assert_string_equal(line_on_terminal(LOG_FORMAT_AUTO), "\x1b[32mINFO \x1b[0m hello\r\n");
}

static void honours_no_color_unless_it_is_empty(void **state)
{
	(void)state;
	setenv("NO_COLOR", "1", 1);
	assert_string_equal(line_on_terminal(LOG_FORMAT_AUTO), "INFO  hello\r\n");
	setenv("NO_COLOR", "", 1);
	assert_string_equal(line_on_terminal(LOG_FORMAT_AUTO), "\x1b[32mINFO \x1b[0m hello\r\n");
}

static void json_can_be_asked_for_on_a_terminal(void **state)
{
	(void)state;
	assert_matches(line_on_terminal(LOG_FORMAT_JSON), "^\\{\"timestamp\".*\"hello\"\\}\r\n$");
}

static void a_message_can_neither_break_the_line_nor_drive_the_terminal(void **state)
{
	(void)state;
	capture_file_begin();
	log_init(LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
	log_info("GET /\x1b[2J\nERROR forged");
	log_init(LOG_FORMAT_JSON, LOG_LEVEL_INFO);
	log_info("a\nb\xff");
	capture_file_end();
	assert_ptr_equal(strstr(captured, "INFO  GET /\\x1b[2J\\nERROR forged\n{"), captured);
	assert_non_null(strstr(captured, "\"message\":\"a\\nb\xef\xbf\xbd\"}\n"));
}

static void says_what_an_errno_means_and_returns_it(void **state)
{
	(void)state;
	capture_file_begin();
	log_init(LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
	errno = EAGAIN;
	assert_int_equal(log_errno(-ENOENT, "budgets: cannot open %s", "/x"), -ENOENT);
	assert_int_equal(errno, EAGAIN);
	assert_string_equal(capture_file_end(),
			    "ERROR budgets: cannot open /x: No such file or directory\n");
}

static void writes_a_message_of_any_length_whole(void **state)
{
	char *message = malloc(100001);

	(void)state;
	assert_non_null(message);
	memset(message, 'x', 100000);
	message[100000] = '\0';
	capture_file_begin();
	log_init(LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
	log_info("%s", message);
	capture_file_end();
	assert_int_equal(strlen(captured), 6 + 100000 + 1);
	free(message);
}

static void collect(void *context, const char *line)
{
	strcat(context, line);
	strcat(context, "|");
	log_info("from the hook");
}

static void gives_text_lines_to_the_hook_while_there_is_one(void **state)
{
	char lines[100] = "";

	(void)state;
	capture_file_begin();
	log_init(LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
	log_set_hook(collect, lines);
	log_info("one");
	log_warn("two\n");
	log_set_hook(NULL, NULL);
	log_info("three");
	capture_file_end();
	assert_string_equal(lines, "INFO  one|WARN  two\\n|");
	assert_string_equal(captured, "INFO  from the hook\nINFO  from the hook\nINFO  three\n");
}

static void *log_many(void *name)
{
	for (int i = 0; i < 1000; i++)
		log_info("%s says the same thing again", (const char *)name);
	return NULL;
}

static void lines_of_several_threads_never_mix(void **state)
{
	static const char expected[] = "INFO  a says the same thing again\n";
	pthread_t a, b;

	(void)state;
	capture_file_begin();
	log_init(LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
	assert_int_equal(fcntl(STDERR_FILENO, F_SETFL, O_APPEND), 0);
	assert_int_equal(pthread_create(&a, NULL, log_many, "a"), 0);
	assert_int_equal(pthread_create(&b, NULL, log_many, "b"), 0);
	pthread_join(a, NULL);
	pthread_join(b, NULL);
	capture_file_end();
	assert_int_equal(strlen(captured), 2000 * (sizeof(expected) - 1));
	for (char *line = captured; *line; line += sizeof(expected) - 1) {
		assert_true(line[6] == 'a' || line[6] == 'b');
		line[6] = 'a';
		assert_memory_equal(line, expected, sizeof(expected) - 1);
	}
}

static void a_closed_standard_error_harms_nobody(void **state)
{
	(void)state;
	capture_file_begin();
	log_init(LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
	close(STDERR_FILENO);
	log_info("lost");
	assert_string_equal(capture_file_end(), "");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, restore, restore)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(writes_one_json_object_per_line_where_nobody_watches),
		TEST(writes_level_and_message_as_text),
		TEST(leaves_out_what_is_below_the_least_level),
		TEST(uses_colour_on_a_terminal_only),
		TEST(honours_no_color_unless_it_is_empty),
		TEST(json_can_be_asked_for_on_a_terminal),
		TEST(a_message_can_neither_break_the_line_nor_drive_the_terminal),
		TEST(says_what_an_errno_means_and_returns_it),
		TEST(writes_a_message_of_any_length_whole),
		TEST(gives_text_lines_to_the_hook_while_there_is_one),
		TEST(lines_of_several_threads_never_mix),
		TEST(a_closed_standard_error_harms_nobody),
	};

	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
