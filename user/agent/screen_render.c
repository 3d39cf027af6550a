/* SPDX-License-Identifier: GPL-2.0-only */
#include "agent/screen_render.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STYLE_GREEN   "\033[32m"
#define STYLE_YELLOW  "\033[33m"
#define STYLE_RED     "\033[1;31m"
#define STYLE_BOLD    "\033[1m"
#define STYLE_DIM     "\033[2m"
#define STYLE_END     "\033[0m"
#define SERVICE_LEAST 10
#define CELL_MAX      32

struct render {
	struct screen_block *block;
	struct text scratch;
	unsigned int columns, lines; /* room */
	unsigned int used;	     /* columns of the running line */
	bool colour;
};

enum column_id {
	COLUMN_SERVICE,
	COLUMN_ROLE,
	COLUMN_PORT,
	COLUMN_RATE,
	COLUMN_P50,
	COLUMN_P95,
	COLUMN_P99,
	COLUMN_ERRORS,
	COLUMN_SEEN,
	COLUMN_BUDGET,
	COLUMN_COUNT
};

struct column {
	const char *title;
	unsigned int width;
	bool right;
	unsigned int dropped; /* which one a narrow screen loses first; 0: none */
};

static const struct column column_specs[COLUMN_COUNT] = {
	[COLUMN_SERVICE] = { "SERVICE", 0, false, 0 }, [COLUMN_ROLE] = { "ROLE", 6, false, 5 },
	[COLUMN_PORT] = { "PORT", 5, true, 1 },	       [COLUMN_RATE] = { "REQ/S", 5, true, 0 },
	[COLUMN_P50] = { "P50", 6, true, 3 },	       [COLUMN_P95] = { "P95", 6, true, 0 },
	[COLUMN_P99] = { "P99", 6, true, 4 },	       [COLUMN_ERRORS] = { "ERR%", 5, true, 6 },
	[COLUMN_SEEN] = { "SEEN", 4, true, 2 },	       [COLUMN_BUDGET] = { "BUDGET", 8, false, 0 },
};

struct table {
	unsigned int widths[COLUMN_COUNT]; /* 0: not shown */
};

void screen_block_fini(struct screen_block *block)
{
	text_fini(&block->text);
	block->line_count = 0;
}

void screen_render_duration(double duration_ms, char *ret_text, size_t size)
{
	double duration_s = duration_ms / 1000;

	if (isnan(duration_ms))
		snprintf(ret_text, size, "-");
	else if (duration_ms < 0.9995)
		snprintf(ret_text, size, "%.0fµs", duration_ms * 1000);
	else if (duration_ms < 999.5)
		snprintf(ret_text, size, "%.*fms",
			 duration_ms < 9.995   ? 2
			 : duration_ms < 99.95 ? 1
					       : 0,
			 duration_ms);
	else
		snprintf(ret_text, size, "%.*fs",
			 duration_s < 9.995   ? 2
			 : duration_s < 99.95 ? 1
					      : 0,
			 duration_s);
}

void screen_render_rate(double rate, char *ret_text, size_t size)
{
	const char *unit = "";

	if (isnan(rate)) {
		snprintf(ret_text, size, "-");
		return;
	}
	if (rate >= 999500) {
		rate /= 1e6;
		unit = "M";
	} else if (rate >= 999.5) {
		rate /= 1e3;
		unit = "k";
	}
	snprintf(ret_text, size, "%.*f%s",
		 rate < 0.995 && !unit[0] ? 2
		 : rate < 99.95		  ? 1
					  : 0,
		 rate, unit);
}

static void format_percent(double percent, char *ret_text, size_t size)
{
	if (isnan(percent))
		snprintf(ret_text, size, "-");
	else if (percent == 0)
		snprintf(ret_text, size, "0");
	else
		snprintf(ret_text, size, "%.*f",
			 percent < 9.995   ? 2
			 : percent < 99.95 ? 1
					   : 0,
			 percent);
}

static void format_uptime(uint64_t uptime_s, char *ret_text, size_t size)
{
	unsigned long long seconds = uptime_s;

	if (seconds < 60)
		snprintf(ret_text, size, "%llu s", seconds);
	else if (seconds < 3600)
		snprintf(ret_text, size, "%llu m %02llu s", seconds / 60, seconds % 60);
	else if (seconds < 86400)
		snprintf(ret_text, size, "%llu h %02llu m", seconds / 3600, seconds / 60 % 60);
	else
		snprintf(ret_text, size, "%llu d %02llu h", seconds / 86400, seconds / 3600 % 24);
}

/* Bytes of the character at `at` and the columns it takes; rather one too many than a wrap. */
static size_t character(const char *at, unsigned int *ret_columns)
{
	unsigned char lead = (unsigned char)*at;
	size_t length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
	/* From U+1100 on wide scripts begin; general punctuation and box drawing do not. */
	bool is_wide = lead >= 0xe1 && lead != 0xe2 && strncmp(at, "\xef\xbf\xbd", 3);

	*ret_columns = is_wide ? 2 : 1;
	return strnlen(at, length);
}

static unsigned int columns_of(const char *string)
{
	unsigned int columns = 0, width;

	while (*string) {
		string += character(string, &width);
		columns += width;
	}
	return columns;
}

/* Appends at most `room` columns; a cut string ends in "…". Returns the columns used. */
static unsigned int append_cut(struct text *text, const char *string, unsigned int room)
{
	bool is_cut = columns_of(string) > room;
	unsigned int used = 0, width;
	const char *at = string;

	while (*at) {
		size_t length = character(at, &width);

		if (used + width > room - is_cut)
			break;
		used += width;
		at += length;
	}
	text_append(text, string, (size_t)(at - string));
	if (!is_cut)
		return used;
	text_append_string(text, "…");
	return used + 1;
}

/* Appends foreign text in at most `room` columns, padded to `least`. */
static void put(struct render *render, const char *style, const char *string, unsigned int room,
		unsigned int least, bool right)
{
	struct text *out = &render->block->text;
	unsigned int left = render->columns - render->used;
	unsigned int width, padding;
	bool is_styled = render->colour && style;

	text_clear(&render->scratch);
	text_append_printable(&render->scratch, string ? string : "-");
	if (room > left)
		room = left;
	if (!room || render->block->line_count >= render->lines || render->scratch.failed ||
	    !render->scratch.bytes)
		return;
	if (least > room)
		least = room;
	width = columns_of(render->scratch.bytes);
	padding = width < least ? least - width : 0;
	if (right && padding)
		text_printf(out, "%*s", (int)padding, "");
	if (is_styled)
		text_append_string(out, style);
	render->used += append_cut(out, render->scratch.bytes, room) + padding;
	if (is_styled)
		text_append_string(out, STYLE_END);
	if (!right && padding)
		text_printf(out, "%*s", (int)padding, "");
}

static void say(struct render *render, const char *style, const char *string)
{
	put(render, style, string, render->columns, 0, false);
}

static void end_line(struct render *render)
{
	struct screen_block *block = render->block;

	if (block->line_count < render->lines) {
		text_append(&block->text, "\n", 1);
		block->widths[block->line_count++] = render->used;
	}
	render->used = 0;
}

static void render_title(struct render *render, const struct screen_model *model)
{
	char uptime[48];

	format_uptime(model->uptime_s, uptime, sizeof(uptime));
	say(render, STYLE_BOLD, "plimsoll ");
	say(render, STYLE_BOLD, model->version);
	say(render, NULL, "   up ");
	say(render, NULL, uptime);
	say(render, NULL, "   metrics ");
	say(render, STYLE_BOLD, model->listen);
	end_line(render);
}

static void render_numbers(struct render *render, const struct screen_model *model)
{
	char line[192];

	snprintf(line, sizeof(line), "requests %llu   ", (unsigned long long)model->requests_total);
	say(render, NULL, line);
	snprintf(line, sizeof(line), "lost %llu", (unsigned long long)model->losses_total);
	say(render, model->losses_total ? STYLE_YELLOW : NULL, line);
	say(render, NULL, "   ");
	snprintf(line, sizeof(line), "alerts firing %u", model->alerts_firing);
	say(render, model->alerts_firing ? STYLE_RED : NULL, line);
	snprintf(line, sizeof(line), "   cpu %.1f %%   rss %.1f MiB", model->cpu_percent,
		 model->rss_mib);
	say(render, NULL, line);
	end_line(render);
}

static void render_probe_up(struct render *render, const struct screen_probe *probe)
{
	unsigned int width = columns_of(probe->name) + 1 + columns_of(probe->rung) + 3;

	if (render->used > 8 && render->used + width > render->columns) {
		end_line(render);
		say(render, NULL, "        ");
	}
	say(render, NULL, probe->name);
	say(render, NULL, " ");
	say(render, STYLE_GREEN, probe->rung);
	say(render, NULL, "   ");
}

static void render_probes(struct render *render, const struct screen_model *model)
{
	unsigned int last_line = render->block->line_count + render->lines / 3 + 1;
	bool any = false;
	size_t i;

	for (i = 0; i < model->probe_count; i++) {
		if (!model->probes[i].rung)
			continue;
		if (!any)
			say(render, NULL, "probes  ");
		any = true;
		render_probe_up(render, &model->probes[i]);
	}
	if (any)
		end_line(render);
	for (i = 0; i < model->probe_count && render->block->line_count < last_line; i++) {
		const struct screen_probe *probe = &model->probes[i];

		if (probe->rung)
			continue;
		say(render, STYLE_RED, "off     ");
		say(render, STYLE_RED, probe->name);
		say(render, NULL, "   ");
		say(render, NULL, probe->reason ? probe->reason : "no reason known");
		end_line(render);
	}
}

static unsigned int fixed_columns(const struct table *table)
{
	unsigned int sum = 0;
	unsigned int i;

	for (i = 0; i < COLUMN_COUNT; i++)
		if (i != COLUMN_SERVICE && table->widths[i])
			sum += table->widths[i] + 1;
	return sum;
}

/* As put() will write it: a spelled out control character is wider than it was. */
static unsigned int printed_columns(struct render *render, const char *string)
{
	text_clear(&render->scratch);
	text_append_printable(&render->scratch, string);
	return render->scratch.failed || !render->scratch.bytes ? 0
								: columns_of(render->scratch.bytes);
}

static void plan_table(struct render *render, const struct screen_model *model,
		       struct table *ret_table)
{
	unsigned int longest = columns_of(column_specs[COLUMN_SERVICE].title);
	unsigned int drop, i;
	size_t service;

	for (i = 0; i < COLUMN_COUNT; i++)
		ret_table->widths[i] = column_specs[i].width;
	for (drop = 1; fixed_columns(ret_table) + SERVICE_LEAST > render->columns && drop <= 6;
	     drop++)
		for (i = 0; i < COLUMN_COUNT; i++)
			if (column_specs[i].dropped == drop)
				ret_table->widths[i] = 0;
	for (service = 0; service < model->service_count; service++) {
		unsigned int width = printed_columns(render, model->services[service].service);

		longest = width > longest ? width : longest;
	}
	ret_table->widths[COLUMN_SERVICE] = longest;
	if (fixed_columns(ret_table) + longest > render->columns)
		ret_table->widths[COLUMN_SERVICE] =
			fixed_columns(ret_table) + SERVICE_LEAST < render->columns
				? render->columns - fixed_columns(ret_table)
				: SERVICE_LEAST;
}

static void render_header(struct render *render, const struct table *table)
{
	unsigned int i;

	for (i = 0; i < COLUMN_COUNT; i++) {
		if (!table->widths[i])
			continue;
		if (i)
			say(render, NULL, " ");
		put(render, STYLE_BOLD, column_specs[i].title, table->widths[i], table->widths[i],
		    column_specs[i].right);
	}
	end_line(render);
}

static const char *budget_word(const struct service_view *view, const char **ret_style)
{
	*ret_style = STYLE_RED;
	if (view->state == BUDGET_CRITICAL)
		return "critical";
	*ret_style = STYLE_YELLOW;
	if (view->state == BUDGET_WARNING)
		return "warning";
	if (view->over_target)
		return "over";
	*ret_style = view->requests ? STYLE_GREEN : STYLE_DIM;
	return view->requests ? "ok" : "idle";
}

static void render_service(struct render *render, const struct table *table,
			   const struct service_view *view)
{
	char cells[COLUMN_COUNT][CELL_MAX] = { { 0 } };
	const char *budget_style;
	const char *budget = budget_word(view, &budget_style);
	unsigned int i;

	text_copy(cells[COLUMN_ROLE], CELL_MAX,
		  view->role == ROLE_SERVER   ? "server"
		  : view->role == ROLE_CLIENT ? "client"
					      : "-");
	snprintf(cells[COLUMN_PORT], CELL_MAX, view->server_port ? "%u" : "-", view->server_port);
	screen_render_rate(view->rate, cells[COLUMN_RATE], CELL_MAX);
	screen_render_duration(view->p50_ms, cells[COLUMN_P50], CELL_MAX);
	screen_render_duration(view->p95_ms, cells[COLUMN_P95], CELL_MAX);
	screen_render_duration(view->p99_ms, cells[COLUMN_P99], CELL_MAX);
	format_percent(view->error_percent, cells[COLUMN_ERRORS], CELL_MAX);
	/* Cut, not rounded: anything lost must not show as 100. */
	snprintf(cells[COLUMN_SEEN], CELL_MAX, "%.0f%%", floor(view->completeness * 100 + 1e-9));

	put(render, NULL, view->service, table->widths[COLUMN_SERVICE],
	    table->widths[COLUMN_SERVICE], false);
	for (i = COLUMN_ROLE; i < COLUMN_BUDGET; i++) {
		if (!table->widths[i])
			continue;
		say(render, NULL, " ");
		put(render, NULL, cells[i], table->widths[i], table->widths[i],
		    column_specs[i].right);
	}
	say(render, NULL, " ");
	say(render, budget_style, budget);
	end_line(render);
}

static int compare_views(const void *a, const void *b)
{
	const struct service_view *left = *(const struct service_view *const *)a;
	const struct service_view *right = *(const struct service_view *const *)b;
	double left_rate = isnan(left->rate) ? -1 : left->rate;
	double right_rate = isnan(right->rate) ? -1 : right->rate;
	int order;

	if (left->state != right->state)
		return left->state > right->state ? -1 : 1;
	if (left_rate != right_rate)
		return left_rate > right_rate ? -1 : 1;
	order = strcmp(left->service, right->service);
	return order ? order : (int)left->role - (int)right->role;
}

static void render_services(struct render *render, const struct screen_model *model)
{
	const struct service_view **sorted = calloc(model->service_count, sizeof(*sorted));
	struct table table;
	char more[48];
	size_t room, i;

	if (!sorted)
		return;
	for (i = 0; i < model->service_count; i++)
		sorted[i] = &model->services[i];
	qsort(sorted, model->service_count, sizeof(*sorted), compare_views);
	plan_table(render, model, &table);
	render_header(render, &table);
	room = render->lines > render->block->line_count ? render->lines - render->block->line_count
							 : 0;
	if (room < model->service_count && room)
		room--;
	for (i = 0; i < model->service_count && i < room; i++)
		render_service(render, &table, sorted[i]);
	if (i < model->service_count) {
		snprintf(more, sizeof(more), "+ %zu more service%s", model->service_count - i,
			 model->service_count - i == 1 ? "" : "s");
		say(render, STYLE_DIM, more);
		end_line(render);
	}
	free(sorted);
}

void screen_render(const struct screen_model *model, unsigned int columns, unsigned int lines,
		   bool colour, struct screen_block *block)
{
	struct render render = { .block = block, .colour = colour };

	render.columns = columns < 1			? 1
			 : columns > SCREEN_COLUMNS_MAX ? SCREEN_COLUMNS_MAX
							: columns;
	render.lines = lines > SCREEN_LINES_MAX ? SCREEN_LINES_MAX : lines;
	text_clear(&block->text);
	block->line_count = 0;
	render_title(&render, model);
	render_numbers(&render, model);
	render_probes(&render, model);
	end_line(&render);
	if (model->service_count) {
		render_services(&render, model);
	} else {
		say(&render, NULL,
		    "waiting for the first request: try curl against any local HTTP server");
		end_line(&render);
	}
	text_fini(&render.scratch);
}
