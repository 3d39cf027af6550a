/* SPDX-License-Identifier: GPL-2.0-only */
#include "agent/screen.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "agent/screen_render.h"
#include "base/text.h"

#define PRINT_WAIT_MS 50

struct screen {
	int fd;
	bool colour;
	bool stopped;		   /* the terminal took nothing last time (^S, a dead link) */
	unsigned long dropped;	   /* prints it did not take */
	struct screen_block block; /* on the screen now */
	struct screen_block next;
	struct text out;
};

struct terminal_size {
	unsigned int columns, lines;
};

static unsigned int from_environment(const char *name, unsigned int otherwise)
{
	const char *value = getenv(name);
	char *end;
	unsigned long number;

	if (!value || *value < '0' || *value > '9')
		return otherwise;
	number = strtoul(value, &end, 10);
	return *end || !number || number > 10000 ? otherwise : (unsigned int)number;
}

/* Asked anew for each draw, so that no signal of a resize is needed. */
static struct terminal_size size_of(int fd)
{
	struct terminal_size size;
	struct winsize window;

	if (ioctl(fd, TIOCGWINSZ, &window) == 0 && window.ws_col && window.ws_row) {
		size.columns = window.ws_col;
		size.lines = window.ws_row;
	} else {
		size.columns = from_environment("COLUMNS", 80);
		size.lines = from_environment("LINES", 24);
	}
	return size;
}

struct screen *screen_open(int fd, bool colour)
{
	struct screen *screen = calloc(1, sizeof(*screen));

	if (!screen)
		return NULL;
	screen->fd = fd;
	screen->colour = colour;
	return screen;
}

static bool is_writable(const struct screen *screen, int timeout_ms)
{
	struct pollfd wanted = { .fd = screen->fd, .events = POLLOUT };

	return poll(&wanted, 1, timeout_ms) == 1 && (wanted.revents & POLLOUT);
}

static void write_out(struct screen *screen)
{
	const char *at = screen->out.bytes;
	size_t left = screen->out.length;

	while (left) {
		ssize_t written = write(screen->fd, at, left);

		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0 && errno == EAGAIN && is_writable(screen, PRINT_WAIT_MS))
			continue;
		if (written <= 0)
			return;
		at += written;
		left -= (size_t)written;
	}
}

/* Rows the block takes now: a terminal made narrower has wrapped its lines. */
static unsigned int rows_of(const struct screen_block *block, struct terminal_size size)
{
	unsigned int rows = 0;
	unsigned int i;

	for (i = 0; i < block->line_count; i++)
		rows += block->widths[i] ? (block->widths[i] + size.columns - 1) / size.columns : 1;
	return rows < size.lines ? rows : size.lines - 1;
}

static void append_home(struct screen *screen, struct terminal_size size)
{
	unsigned int rows = rows_of(&screen->block, size);

	text_append(&screen->out, "\r", 1);
	if (rows)
		text_printf(&screen->out, "\033[%uA", rows);
}

/* Each line is cleared before it is written: clearing behind a full line would eat its end. */
static void append_block(struct screen *screen, const struct screen_block *block)
{
	const char *at = block->text.bytes ? block->text.bytes : "";
	const char *end;

	while ((end = strchr(at, '\n')) != NULL) {
		text_append_string(&screen->out, "\033[2K");
		text_append(&screen->out, at, (size_t)(end + 1 - at));
		at = end + 1;
	}
	text_append_string(&screen->out, "\033[J");
}

void screen_draw(struct screen *screen, const struct screen_model *model)
{
	struct terminal_size size = size_of(screen->fd);
	struct screen_block old;

	screen->stopped = !is_writable(screen, 0);
	if (screen->stopped)
		return;
	/* One column and one line stay free: filling them would make the terminal wrap or scroll.
	 */
	screen_render(model, size.columns - 1, size.lines - 1, screen->colour, &screen->next);
	text_clear(&screen->out);
	append_home(screen, size);
	append_block(screen, &screen->next);
	if (screen->next.text.failed || screen->out.failed) {
		screen_block_fini(&screen->next);
		text_fini(&screen->out);
		return;
	}
	write_out(screen);
	old = screen->block;
	screen->block = screen->next;
	screen->next = old;
}

void screen_print(struct screen *screen, const char *text)
{
	size_t length = strlen(text);

	if (!is_writable(screen, screen->stopped ? 0 : PRINT_WAIT_MS)) {
		screen->stopped = true;
		screen->dropped++;
		return;
	}
	screen->stopped = false;
	text_clear(&screen->out);
	append_home(screen, size_of(screen->fd));
	text_append_string(&screen->out, "\033[J");
	if (screen->dropped)
		text_printf(&screen->out, "%lu messages not shown: the terminal was stopped\n",
			    screen->dropped);
	text_append(&screen->out, text, length);
	if (length && text[length - 1] != '\n')
		text_append(&screen->out, "\n", 1);
	append_block(screen, &screen->block);
	if (screen->out.failed) {
		text_fini(&screen->out);
		screen->dropped++;
		return;
	}
	screen->dropped = 0;
	write_out(screen);
}

void screen_close(struct screen *screen)
{
	if (!screen)
		return;
	text_clear(&screen->out);
	text_append_string(&screen->out, "\033[0m");
	if (!screen->out.failed && is_writable(screen, PRINT_WAIT_MS))
		write_out(screen);
	screen_block_fini(&screen->block);
	screen_block_fini(&screen->next);
	text_fini(&screen->out);
	free(screen);
}
