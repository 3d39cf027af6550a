/* SPDX-License-Identifier: GPL-2.0-only */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agent/screen.h"
#include "agent/screen_render.h"

#define ROWS_MAX    64
#define COLUMNS_MAX 200
#define SERVICES    15

/* As much of a terminal as the screen uses; one cell is one character, whatever its bytes. */
struct terminal {
	unsigned int rows, columns, row, column, scrolled;
	char cells[ROWS_MAX][COLUMNS_MAX][5];
	char history[ROWS_MAX * 4][COLUMNS_MAX * 4]; /* what scrolled off the top */
};

static struct terminal terminal;

static void read_row(unsigned int row, char *ret_line)
{
	unsigned int column;

	ret_line[0] = '\0';
	for (column = 0; column < terminal.columns; column++)
		strcat(ret_line,
		       terminal.cells[row][column][0] ? terminal.cells[row][column] : " ");
	column = (unsigned int)strlen(ret_line);
	while (column && ret_line[column - 1] == ' ')
		ret_line[--column] = '\0';
}

static void line_feed(void)
{
	if (terminal.row + 1 < terminal.rows) {
		terminal.row++;
		return;
	}
	read_row(0, terminal.history[terminal.scrolled++ % (ROWS_MAX * 4)]);
	memmove(terminal.cells[0], terminal.cells[1],
		(terminal.rows - 1) * sizeof(terminal.cells[0]));
	memset(terminal.cells[terminal.rows - 1], 0, sizeof(terminal.cells[0]));
}

static const char *control(const char *at)
{
	unsigned int number = 0, row;

	assert_int_equal(*at++, '[');
	while (*at >= '0' && *at <= '9')
		number = number * 10 + (unsigned int)(*at++ - '0');
	if (*at == ';')
		at += strspn(at, ";0123456789");
	switch (*at) {
	case 'A':
		terminal.row = number < terminal.row ? terminal.row - number : 0;
		break;
	case 'K':
		assert_int_equal(number, 2);
		memset(terminal.cells[terminal.row], 0, sizeof(terminal.cells[0]));
		break;
	case 'J':
		assert_int_equal(terminal.column, 0);
		for (row = terminal.row; row < terminal.rows; row++)
			memset(terminal.cells[row], 0, sizeof(terminal.cells[0]));
		break;
	case 'm':
		break;
	default:
		fail_msg("the terminal does not know %c", *at);
	}
	return at + 1;
}

static void feed(const char *at)
{
	while (*at) {
		unsigned char lead = (unsigned char)*at;
		size_t length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;

		if (*at == '\033') {
			at = control(at + 1);
			continue;
		}
		if (*at == '\r' || *at == '\n') {
			terminal.column = 0;
			if (*at++ == '\n')
				line_feed();
			continue;
		}
		assert_true(lead >= 0x20 && lead != 0x7f);
		if (terminal.column == terminal.columns) {
			terminal.column = 0;
			line_feed();
		}
		memcpy(terminal.cells[terminal.row][terminal.column++], at, length);
		at += length;
	}
}

static struct screen *screen;
static int memory_fd;
static struct service_view views[SERVICES];
static char names[SERVICES][64];
static const struct screen_probe probes[] = {
	{ "net/request", "fentry", NULL },
	{ "net/tcp_conn", "tracepoint", NULL },
	{ "tls/openssl", NULL, "no libssl found" },
};
static struct screen_model model;

static void resize(unsigned int columns, unsigned int rows)
{
	char number[16];

	snprintf(number, sizeof(number), "%u", columns);
	setenv("COLUMNS", number, 1);
	snprintf(number, sizeof(number), "%u", rows);
	setenv("LINES", number, 1);
	terminal.columns = columns;
	terminal.rows = rows;
}

static int set_up(void **state)
{
	unsigned int i;

	(void)state;
	memset(&terminal, 0, sizeof(terminal));
	resize(80, 24);
	for (i = 0; i < SERVICES; i++) {
		snprintf(names[i], sizeof(names[i]), "service-%02u", i);
		views[i] = (struct service_view){ .service = names[i],
						  .role = ROLE_SERVER,
						  .server_port = (uint16_t)(8000 + i),
						  .rate = 100 + i,
						  .p50_ms = 0.85,
						  .p95_ms = 12.5,
						  .p99_ms = 1250,
						  .error_percent = 0,
						  .completeness = 1,
						  .requests = 3000 };
	}
	model = (struct screen_model){ .version = "0.1.0",
				       .listen = "http://127.0.0.1:9926/metrics",
				       .probes = probes,
				       .probe_count = 3,
				       .services = views,
				       .service_count = 3,
				       .requests_total = 12345,
				       .cpu_percent = 0.4,
				       .rss_mib = 12.3,
				       .uptime_s = 3725 };
	memory_fd = memfd_create("screen", 0);
	assert_true(memory_fd >= 0);
	screen = screen_open(memory_fd, false);
	assert_non_null(screen);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	screen_close(screen);
	close(memory_fd);
	return 0;
}

/* Feeds the terminal what was written since the last call. */
static void flush(void)
{
	static char bytes[1 << 16];
	off_t size = lseek(memory_fd, 0, SEEK_END);

	assert_true(size < (off_t)sizeof(bytes));
	assert_int_equal(pread(memory_fd, bytes, (size_t)size, 0), size);
	bytes[size] = '\0';
	assert_int_equal(ftruncate(memory_fd, 0), 0);
	lseek(memory_fd, 0, SEEK_SET);
	feed(bytes);
}

static void draw(void)
{
	screen_draw(screen, &model);
	flush();
}

static void print(const char *text)
{
	screen_print(screen, text);
	flush();
}

static void assert_row(unsigned int row, const char *expected)
{
	char line[COLUMNS_MAX * 4 + 1];

	read_row(row, line);
	assert_string_equal(line, expected);
}

static int find_row(const char *part)
{
	char line[COLUMNS_MAX * 4 + 1];
	int found = -1;
	unsigned int row;

	for (row = 0; row < terminal.rows; row++) {
		read_row(row, line);
		if (!strstr(line, part))
			continue;
		if (found >= 0)
			fail_msg("'%s' stands on the screen twice", part);
		found = (int)row;
	}
	return found;
}

static void shows_what_a_person_wants_first(void **state)
{
	(void)state;
	views[1].state = BUDGET_CRITICAL;
	views[1].completeness = 0.9999;
	views[1].error_percent = 12.5;
	views[2].over_target = true;
	views[2].role = ROLE_CLIENT;
	draw();
	assert_row(0, "plimsoll 0.1.0   up 1 h 02 m   metrics http://127.0.0.1:9926/metrics");
	assert_row(1, "requests 12345   lost 0   alerts firing 0   cpu 0.4 %   rss 12.3 MiB");
	assert_row(2, "probes  net/request fentry   net/tcp_conn tracepoint");
	assert_row(3, "off     tls/openssl   no libssl found");
	assert_row(4, "");
	assert_row(5, "SERVICE    ROLE    PORT REQ/S    P50    P95    P99  ERR% SEEN BUDGET");
	assert_row(6, "service-01 server  8001   101  850µs 12.5ms  1.25s  12.5  99% critical");
	assert_row(7, "service-02 client  8002   102  850µs 12.5ms  1.25s     0 100% over");
	assert_row(8, "service-00 server  8000   100  850µs 12.5ms  1.25s     0 100% ok");
	assert_row(9, "");
}

static void redraws_in_place(void **state)
{
	unsigned int i;

	(void)state;
	feed("$ plimsoll agent\n");
	for (i = 0; i < 50; i++) {
		model.requests_total = i ? i : 1000000000000;
		model.service_count = 1 + i % 3;
		draw();
	}
	assert_int_equal(terminal.scrolled, 0);
	assert_row(0, "$ plimsoll agent");
	assert_int_equal(find_row("plimsoll 0.1.0"), 1);
	assert_row(2, "requests 49   lost 0   alerts firing 0   cpu 0.4 %   rss 12.3 MiB");
	assert_int_equal(find_row("service-01"), 7);
	assert_int_equal(find_row("service-00"), 8);
	assert_int_equal(find_row("service-02"), -1);
	assert_int_equal(terminal.row, 9);
}

static void prints_above_the_live_part(void **state)
{
	(void)state;
	print("before the first draw");
	draw();
	print("one line");
	print("two\nlines\n");
	draw();
	assert_row(0, "before the first draw");
	assert_row(1, "one line");
	assert_row(2, "two");
	assert_row(3, "lines");
	assert_int_equal(find_row("plimsoll 0.1.0"), 4);
	assert_int_equal(find_row("service-00"), 12);
}

static void keeps_the_log_whole_when_it_scrolls(void **state)
{
	unsigned int i;
	char line[32];

	(void)state;
	for (i = 0; i < 100; i++) {
		draw();
		snprintf(line, sizeof(line), "log line %u", i);
		print(line);
	}
	assert_int_equal(find_row("plimsoll 0.1.0"), 24 - 1 - 9);
	for (i = 0; i < 100; i++) {
		snprintf(line, sizeof(line), "log line %u", i);
		if (i < terminal.scrolled)
			assert_string_equal(terminal.history[i], line);
		else
			assert_row(i - terminal.scrolled, line);
	}
}

static void fits_any_size(void **state)
{
	unsigned int rows, columns;

	(void)state;
	model.service_count = SERVICES;
	strcpy(names[3], "a-service-with-a-name-that-is-far-too-long-for-a-small-terminal");
	views[3].state = BUDGET_WARNING;
	for (rows = 1; rows <= 40; rows += 3) {
		for (columns = 1; columns <= 190; columns += 7) {
			memset(&terminal, 0, sizeof(terminal));
			tear_down(NULL);
			memory_fd = memfd_create("screen", 0);
			screen = screen_open(memory_fd, true);
			resize(columns, rows);
			draw();
			draw();
			draw();
			assert_int_equal(terminal.scrolled, 0);
			if (rows > 12 && columns > 60)
				assert_int_equal(find_row("warning"), 6);
		}
	}
}

static void names_how_many_services_found_no_room(void **state)
{
	(void)state;
	model.service_count = SERVICES;
	resize(80, 12);
	draw();
	assert_int_equal(find_row("+ 11 more services"), 10);
	assert_int_equal(find_row("service-14"), 6);
	assert_int_equal(find_row("service-11"), 9);
	model.service_count = 5;
	draw();
	assert_int_equal(find_row("service-00"), 10);
	assert_int_equal(find_row("more"), -1);
}

static void narrow_screens_lose_columns_but_not_the_budget(void **state)
{
	(void)state;
	resize(40, 24);
	draw();
	assert_row(6, "SERVICE    REQ/S    P95  ERR% BUDGET");
	assert_row(7, "service-02   102 12.5ms     0 ok");
}

static void follows_a_terminal_made_narrower(void **state)
{
	(void)state;
	draw();
	/* The terminal wraps the lines that are too long: 9 lines now take 12 or more rows. */
	memset(&terminal, 0, sizeof(terminal));
	resize(60, 24);
	feed("above\n"
	     "plimsoll 0.1.0   up 1 h 02 m   metrics http://127.0.0.1:9926/metrics\n"
	     "requests 12345   lost 0   alerts firing 0   cpu 0.4 %   rss 12.3 MiB\n"
	     "probes  net/request fentry   net/tcp_conn tracepoint\n"
	     "off     tls/openssl   no libssl found\n\n"
	     "SERVICE    ROLE    PORT REQ/S    P50    P95    P99  ERR% SEEN BUDGET\n"
	     "service-02 server  8002   102  850us 12.5ms  1.25s     0 100% ok\n"
	     "service-01 server  8001   101  850us 12.5ms  1.25s     0 100% ok\n"
	     "service-00 server  8000   100  850us 12.5ms  1.25s     0 100% ok\n");
	draw();
	assert_row(0, "above");
	assert_int_equal(find_row("plimsoll 0.1.0"), 1);
	assert_int_equal(find_row("service-00"), 9);
}

static void without_services_says_what_to_do(void **state)
{
	(void)state;
	model.service_count = 0;
	draw();
	assert_row(5, "waiting for the first request: try curl against any local HTTP server");
}

static void idle_services_show_dashes(void **state)
{
	(void)state;
	model.service_count = 1;
	views[0].rate = views[0].p50_ms = views[0].p95_ms = views[0].p99_ms = NAN;
	views[0].error_percent = NAN;
	views[0].requests = 0;
	draw();
	assert_row(6, "service-00 server  8000     -      -      -      -     - 100% idle");
}

static void service_names_cannot_steer_the_terminal(void **state)
{
	(void)state;
	model.service_count = 1;
	strcpy(names[0], "x\033[2J\n\302\233A\xff");
	draw();
	assert_true(find_row("x\\x1b[2J\\n\\x9bA\xef\xbf\xbd ") == 6);
}

static void colours_follow_the_budget_state_only_if_asked(void **state)
{
	struct screen_block block = { 0 };

	(void)state;
	views[0].state = BUDGET_CRITICAL;
	views[1].state = BUDGET_WARNING;
	screen_render(&model, 79, 23, true, &block);
	assert_non_null(strstr(block.text.bytes, "\033[1;31mcritical\033[0m\n"));
	assert_non_null(strstr(block.text.bytes, "\033[33mwarning\033[0m\n"));
	assert_non_null(strstr(block.text.bytes, "\033[32mok\033[0m\n"));
	assert_non_null(strstr(block.text.bytes, "\033[32mfentry\033[0m"));
	assert_non_null(strstr(block.text.bytes, "\033[1;31mtls/openssl\033[0m"));
	screen_render(&model, 79, 23, false, &block);
	assert_null(strchr(block.text.bytes, '\033'));
	screen_block_fini(&block);
}

static void a_stopped_terminal_blocks_nothing_and_is_told_what_it_missed(void **state)
{
	static char bytes[1 << 17];
	struct screen *stuck;
	ssize_t length;
	int ends[2];

	(void)state;
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(fcntl(ends[1], F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
	while (write(ends[1], bytes, 4096) > 0)
		;
	stuck = screen_open(ends[1], false);
	screen_draw(stuck, &model);
	screen_print(stuck, "lost one");
	screen_print(stuck, "lost two");
	while (read(ends[0], bytes, sizeof(bytes)) > 0)
		;
	screen_print(stuck, "told");
	length = read(ends[0], bytes, sizeof(bytes) - 1);
	assert_true(length > 0);
	bytes[length] = '\0';
	assert_non_null(strstr(bytes, "2 messages not shown: the terminal was stopped\ntold\n"));
	screen_close(stuck);
	close(ends[0]);
	close(ends[1]);
}

static void assert_formats(void (*format)(double value, char *ret_text, size_t size), double value,
			   const char *expected)
{
	char text[32];

	format(value, text, sizeof(text));
	assert_string_equal(text, expected);
}

static void numbers_are_short_and_round_right(void **state)
{
	(void)state;
	assert_formats(screen_render_duration, 0.0076, "8µs");
	assert_formats(screen_render_duration, 0.9994, "999µs");
	assert_formats(screen_render_duration, 0.9996, "1.00ms");
	assert_formats(screen_render_duration, 9.996, "10.0ms");
	assert_formats(screen_render_duration, 99.96, "100ms");
	assert_formats(screen_render_duration, 812.4, "812ms");
	assert_formats(screen_render_duration, 999.6, "1.00s");
	assert_formats(screen_render_duration, 128000, "128s");
	assert_formats(screen_render_duration, NAN, "-");
	assert_formats(screen_render_rate, 0.4333, "0.43");
	assert_formats(screen_render_rate, 7.5, "7.5");
	assert_formats(screen_render_rate, 231.2, "231");
	assert_formats(screen_render_rate, 999.6, "1.0k");
	assert_formats(screen_render_rate, 152300, "152k");
	assert_formats(screen_render_rate, 1234567, "1.2M");
	assert_formats(screen_render_rate, NAN, "-");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(shows_what_a_person_wants_first),
		TEST(redraws_in_place),
		TEST(prints_above_the_live_part),
		TEST(keeps_the_log_whole_when_it_scrolls),
		TEST(fits_any_size),
		TEST(names_how_many_services_found_no_room),
		TEST(narrow_screens_lose_columns_but_not_the_budget),
		TEST(follows_a_terminal_made_narrower),
		TEST(without_services_says_what_to_do),
		TEST(idle_services_show_dashes),
		TEST(service_names_cannot_steer_the_terminal),
		TEST(colours_follow_the_budget_state_only_if_asked),
		TEST(a_stopped_terminal_blocks_nothing_and_is_told_what_it_missed),
		cmocka_unit_test(numbers_are_short_and_round_right),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
