/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A growing string. The caller owns the struct (zeroed is empty) and frees it
 * with text_fini(). After a failed allocation `failed` is set, further appends
 * do nothing, and the owner checks once at the end.
 */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

struct text {
	char *bytes; /* always NUL terminated once anything was appended */
	size_t length;
	size_t capacity;
	bool failed;
};

void text_fini(struct text *text);
void text_clear(struct text *text); /* keeps the memory */
void text_append(struct text *text, const char *bytes, size_t length);
void text_append_string(struct text *text, const char *string);
void text_printf(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void text_vprintf(struct text *text, const char *format, va_list arguments)
	__attribute__((format(printf, 2, 0)));

/* Appends a JSON string literal with its quotes; invalid UTF-8 becomes U+FFFD. */
void text_append_json(struct text *text, const char *string);

/*
 * Appends foreign text so that a terminal cannot be driven by it: control
 * characters become \n or \x1b spelled out, invalid UTF-8 becomes U+FFFD.
 */
void text_append_printable(struct text *text, const char *string);

/* The length to keep of a string cut to at most `limit` bytes, never inside a UTF-8 character. */
size_t text_utf8_cut(const char *string, size_t limit);

/* Copies at most size - 1 bytes and always terminates; returns false if it was cut. */
bool text_copy(char *ret_buffer, size_t size, const char *source);

#endif
