/* SPDX-License-Identifier: GPL-2.0-only */
#include "channels/console.h"

#include <string.h>

#include "base/clock.h"

#define RULE "============================================================"

struct severity_words {
	const char *sign, *name, *colour, *level;
};

static const struct severity_words words_of[] = {
	[ALERT_RESOLVED] = { "✅", "RESOLVED", "\033[1;32m", "INFO" },
	[ALERT_INFO] = { "ℹ️", "INFO", "\033[1;36m", "INFO" },
	[ALERT_WARNING] = { "⚠️", "WARNING", "\033[1;33m", "WARN" },
	[ALERT_CRITICAL] = { "🚨", "CRITICAL", "\033[1;31m", "ERROR" },
};

/* JSON may hold C1 control characters as they are; a terminal must not see them. */
static void append_details(struct text *ret_text, const char *json)
{
	const char *from = json;
	const char *at;

	for (at = json; *at; at++) {
		unsigned char byte = (unsigned char)*at;
		unsigned char next = (unsigned char)at[1];

		if (byte != 0xc2 || next < 0x80 || next >= 0xa0)
			continue;
		text_append(ret_text, from, (size_t)(at - from));
		text_printf(ret_text, "\\u%04x", next);
		from = ++at + 1;
	}
	text_append(ret_text, from, (size_t)(at - from));
}

static void append_line(struct text *ret_text, const char *label, const char *value)
{
	text_printf(ret_text, "%s: ", label);
	text_append_printable(ret_text, value);
	text_append(ret_text, "\n", 1);
}

static void append_actions(const struct notice *notice, struct text *ret_text)
{
	unsigned int number = 0;

	if (!notice->actions[0] && !notice->runbook_url)
		return;
	text_append_string(ret_text, "Recommended Actions:\n");
	while (notice->actions[number]) {
		text_printf(ret_text, "  %u. ", number + 1);
		text_append_printable(ret_text, notice->actions[number++]);
		text_append(ret_text, "\n", 1);
	}
	if (notice->runbook_url) {
		text_printf(ret_text, "  %u. Follow the runbook ", number + 1);
		text_append_printable(ret_text, notice->runbook_url);
		text_append(ret_text, "\n", 1);
	}
	text_append(ret_text, "\n", 1);
}

void console_format(const struct notice *notice, bool colour, struct text *ret_text)
{
	const struct severity_words *words = &words_of[notice->severity];
	char time[32];

	clock_format_utc(notice->wall_ns, time, sizeof(time));
	text_printf(ret_text, "%s%s ", colour ? words->colour : "", words->sign);
	text_append_printable(ret_text, notice->product);
	text_printf(ret_text, " ALERT [%s]%s\n" RULE "\n", words->name, colour ? "\033[0m" : "");
	append_line(ret_text, "Title", notice->title);
	append_line(ret_text, "Component", notice->component);
	append_line(ret_text, "Message", notice->message);
	append_line(ret_text, "Time", time);
	text_append(ret_text, "\n", 1);
	append_actions(notice, ret_text);
	text_append_string(ret_text, "Details: ");
	append_details(ret_text, notice->details_json);
	text_append_string(ret_text, "\n" RULE "\n");
}

void console_format_json(const struct notice *notice, struct text *ret_text)
{
	const struct severity_words *words = &words_of[notice->severity];
	unsigned int i;
	char time[32];

	clock_format_utc(notice->wall_ns, time, sizeof(time));
	text_printf(ret_text, "{\"timestamp\": \"%s\", \"level\": \"%s\", \"logger\": ", time,
		    words->level);
	text_append_string(ret_text, "\"plimsoll.alerts\", \"message\": ");
	text_append_json(ret_text, notice->message);
	text_append_string(ret_text, ", \"data\": {\"product\": ");
	text_append_json(ret_text, notice->product);
	text_printf(ret_text, ", \"severity\": \"%s\", \"title\": ", words->name);
	text_append_json(ret_text, notice->title);
	text_append_string(ret_text, ", \"component\": ");
	text_append_json(ret_text, notice->component);
	text_append_string(ret_text, ", \"actions\": [");
	for (i = 0; notice->actions[i]; i++) {
		text_append_string(ret_text, i ? ", " : "");
		text_append_json(ret_text, notice->actions[i]);
	}
	text_append_string(ret_text, "], \"runbook_url\": ");
	if (notice->runbook_url)
		text_append_json(ret_text, notice->runbook_url);
	else
		text_append_string(ret_text, "null");
	text_append_string(ret_text, ", \"details\": ");
	append_details(ret_text, notice->details_json);
	text_append_string(ret_text, "}}\n");
}
