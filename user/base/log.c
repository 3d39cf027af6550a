/* SPDX-License-Identifier: GPL-2.0-only */
#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"

static const struct {
	const char *name;
	const char *colour;
} levels[] = {
	[LOG_LEVEL_ERROR] = { "ERROR", "\x1b[31m" },
	[LOG_LEVEL_WARN] = { "WARN", "\x1b[33m" },
	[LOG_LEVEL_INFO] = { "INFO", "\x1b[32m" },
	[LOG_LEVEL_DEBUG] = { "DEBUG", "\x1b[2m" },
};

static atomic_int least_level = LOG_LEVEL_INFO;
static atomic_bool is_json;
static atomic_bool is_coloured;

/* Recursive, so that a hook may itself log (to standard error). */
static pthread_mutex_t hook_lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static void (*hook_function)(void *context, const char *line);
static void *hook_context;
static bool is_in_hook;

void log_init(enum log_format format, enum log_level least)
{
	const char *no_color = getenv("NO_COLOR");
	const char *term = getenv("TERM");
	bool is_terminal = isatty(STDERR_FILENO) == 1;

	atomic_store(&least_level, (int)least);
	atomic_store(&is_json,
		     format == LOG_FORMAT_JSON || (format == LOG_FORMAT_AUTO && !is_terminal));
	atomic_store(&is_coloured, is_terminal && !(no_color && no_color[0]) &&
					   !(term && strcmp(term, "dumb") == 0));
}

void log_set_hook(void (*hook)(void *context, const char *line), void *context)
{
	pthread_mutex_lock(&hook_lock);
	hook_function = hook;
	hook_context = context;
	pthread_mutex_unlock(&hook_lock);
}

static bool give_to_hook(const char *line)
{
	bool is_taken = false;

	pthread_mutex_lock(&hook_lock);
	if (hook_function && !is_in_hook) {
		is_in_hook = true;
		hook_function(hook_context, line);
		is_in_hook = false;
		is_taken = true;
	}
	pthread_mutex_unlock(&hook_lock);
	return is_taken;
}

static void write_whole(const char *bytes, size_t length)
{
	while (length > 0) {
		ssize_t written = write(STDERR_FILENO, bytes, length);

		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			return; /* nobody left to tell */
		bytes += written;
		length -= (size_t)written;
	}
}

static void append_json_line(struct text *line, enum log_level level, const char *message)
{
	uint64_t wall_ns = clock_wall_ns();
	char when[32];

	clock_format_utc(wall_ns, when, sizeof(when));
	when[strcspn(when, "Z")] = '\0';
	text_printf(line, "{\"timestamp\":\"%s.%03uZ\",\"level\":\"%s\",\"logger\":\"plimsoll\",",
		    when, (unsigned int)(wall_ns % NS_PER_S / NS_PER_MS), levels[level].name);
	text_append_string(line, "\"message\":");
	text_append_json(line, message);
	text_append_string(line, "}\n");
}

/* Returns false if a hook has taken the line. */
static bool append_text_line(struct text *line, enum log_level level, const char *message)
{
	bool has_colour = atomic_load(&is_coloured);

	text_printf(line, "%-5s ", levels[level].name);
	text_append_printable(line, message);
	if (line->failed || give_to_hook(line->bytes))
		return line->failed;
	text_clear(line);
	text_printf(line, "%s%-5s%s ", has_colour ? levels[level].colour : "", levels[level].name,
		    has_colour ? "\x1b[0m" : "");
	text_append_printable(line, message);
	text_append_string(line, "\n");
	return true;
}

static void log_line(enum log_level level, const struct text *message)
{
	static const char lost[] = "ERROR log line lost: out of memory\n";
	struct text line = { 0 };
	bool is_ours = true;

	if (!message->failed && atomic_load(&is_json))
		append_json_line(&line, level, message->bytes ? message->bytes : "");
	else if (!message->failed)
		is_ours = append_text_line(&line, level, message->bytes ? message->bytes : "");
	if (message->failed || line.failed)
		write_whole(lost, sizeof(lost) - 1);
	else if (is_ours)
		write_whole(line.bytes, line.length);
	text_fini(&line);
}

__attribute__((format(printf, 3, 0))) static void
log_arguments(enum log_level level, int err, const char *format, va_list arguments)
{
	int saved_errno = errno;
	struct text message = { 0 };

	if ((int)level > atomic_load(&least_level))
		return;
	text_vprintf(&message, format, arguments);
	if (err)
		text_printf(&message, ": %s", strerror(abs(err)));
	log_line(level, &message);
	text_fini(&message);
	errno = saved_errno;
}

void log_error(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	log_arguments(LOG_LEVEL_ERROR, 0, format, arguments);
	va_end(arguments);
}

void log_warn(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	log_arguments(LOG_LEVEL_WARN, 0, format, arguments);
	va_end(arguments);
}

void log_info(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	log_arguments(LOG_LEVEL_INFO, 0, format, arguments);
	va_end(arguments);
}

void log_debug(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	log_arguments(LOG_LEVEL_DEBUG, 0, format, arguments);
	va_end(arguments);
}

int log_errno(int err, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	log_arguments(LOG_LEVEL_ERROR, err, format, arguments);
	va_end(arguments);
	return err;
}
