/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Log lines to standard error: one line of text on a terminal, one JSON object
 * per line otherwise. A line is written whole with one write(2), so lines of
 * several threads never mix. Libraries return errors; they log only where the
 * decision is made.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
enum log_format { LOG_FORMAT_AUTO, LOG_FORMAT_TEXT, LOG_FORMAT_JSON };

/* AUTO is TEXT on a terminal, JSON otherwise. May be called again at any time. */
void log_init(enum log_format format, enum log_level least);

void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Logs "text: what err says" as an error; err is a negative errno and is returned. */
int log_errno(int err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* While a hook is set, text lines go to it instead of standard error (the live screen owns it). */
void log_set_hook(void (*hook)(void *context, const char *line), void *context);

#endif
