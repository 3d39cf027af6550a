/* SPDX-License-Identifier: GPL-2.0-only */
#include "config/reader.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "config/value.h"

#define DISTANCE_MAX 2

size_t reader_line(const yaml_node_t *node)
{
	return node ? node->start_mark.line + 1 : 0;
}

/* Control characters: C0, DEL, and C1 as UTF-8 writes them (a terminal obeys all of these). */
static bool is_control(const char *at)
{
	const unsigned char *byte = (const unsigned char *)at;

	return byte[0] < 0x20 || byte[0] == 0x7f ||
	       (byte[0] == 0xc2 && byte[1] >= 0x80 && byte[1] <= 0x9f);
}

bool reader_is_printable(const char *text)
{
	for (; *text; text++) {
		if (is_control(text))
			return false;
	}
	return true;
}

struct quoted reader_quote(const char *text)
{
	struct quoted quoted;
	size_t length = 0;

	for (; *text && length < sizeof(quoted.text) - 4; text++) {
		bool control = is_control(text);

		quoted.text[length++] = control ? '?' : *text;
		if (control && (unsigned char)*text == 0xc2)
			text++;
	}
	if (*text) {
		/* Never end inside a UTF-8 sequence. */
		while (length && ((unsigned char)quoted.text[length - 1] & 0xc0) == 0x80)
			length--;
		if (length && (unsigned char)quoted.text[length - 1] >= 0xc0)
			length--;
		memcpy(quoted.text + length, "...", 3);
		length += 3;
	}
	quoted.text[length] = '\0';
	return quoted;
}

static void append_place(struct text *text, const struct place *place)
{
	if (!place)
		return;
	append_place(text, place->parent);
	if (!place->key)
		text_printf(text, "[%zu]", place->index);
	else
		text_printf(text, "%s%s", place->parent ? "." : "", reader_quote(place->key).text);
}

static void add_problem(struct reader *reader, const char *severity, size_t line,
			const struct place *place, const char *format, va_list arguments)
	__attribute__((format(printf, 5, 0)));

static void add_problem(struct reader *reader, const char *severity, size_t line,
			const struct place *place, const char *format, va_list arguments)
{
	char message[512];

	if (reader->problem_count >= READER_PROBLEMS_MAX)
		return;
	if (++reader->problem_count == READER_PROBLEMS_MAX) {
		text_printf(reader->problems, "%s%s: more problems follow, the rest is left out\n",
			    severity, reader->name);
		return;
	}
	text_printf(reader->problems, "%s%s:", severity, reader->name);
	if (line)
		text_printf(reader->problems, "%zu:", line);
	text_append_string(reader->problems, " ");
	if (place) {
		append_place(reader->problems, place);
		text_append_string(reader->problems, ": ");
	}
	vsnprintf(message, sizeof(message), format, arguments);
	text_append_string(reader->problems, message);
	text_append_string(reader->problems, "\n");
}

void reader_error(struct reader *reader, size_t line, const struct place *place, const char *format,
		  ...)
{
	va_list arguments;

	if (!reader->err)
		reader->err = -EINVAL;
	va_start(arguments, format);
	add_problem(reader, "", line, place, format, arguments);
	va_end(arguments);
}

void reader_warn(struct reader *reader, size_t line, const struct place *place, const char *format,
		 ...)
{
	va_list arguments;

	va_start(arguments, format);
	add_problem(reader, "warning: ", line, place, format, arguments);
	va_end(arguments);
}

void reader_out_of_memory(struct reader *reader)
{
	if (reader->err == -ENOMEM)
		return;
	reader_error(reader, 0, NULL, "out of memory");
	reader->err = -ENOMEM;
}

void reader_unknown(struct reader *reader, const struct pair *pair, const struct place *place,
		    const char *const *known)
{
	unsigned int best = DISTANCE_MAX + 1;
	const char *nearest = NULL;

	for (; *known; known++) {
		unsigned int distance = value_edit_distance(pair->key, *known, DISTANCE_MAX);

		if (distance < best) {
			best = distance;
			nearest = *known;
		}
	}
	if (nearest)
		reader_warn(reader, reader_line(pair->key_node), place,
			    "unknown key, ignored (did you mean %s?)", nearest);
	else
		reader_warn(reader, reader_line(pair->key_node), place, "unknown key, ignored");
}

static const yaml_node_t *node_at(const struct reader *reader, int index)
{
	return yaml_document_get_node(reader->document, index);
}

bool reader_next_pair(const struct reader *reader, const yaml_node_t *mapping, size_t *cursor,
		      struct pair *ret_pair)
{
	const yaml_node_pair_t *at;

	if (mapping->type != YAML_MAPPING_NODE)
		return false;
	at = mapping->data.mapping.pairs.start + *cursor;
	if (at >= mapping->data.mapping.pairs.top)
		return false;
	(*cursor)++;
	ret_pair->key_node = node_at(reader, at->key);
	ret_pair->value = node_at(reader, at->value);
	ret_pair->key = (const char *)ret_pair->key_node->data.scalar.value;
	return true;
}

const yaml_node_t *reader_next_item(const struct reader *reader, const yaml_node_t *sequence,
				    size_t *cursor)
{
	const yaml_node_item_t *at;

	if (sequence->type != YAML_SEQUENCE_NODE)
		return NULL;
	at = sequence->data.sequence.items.start + *cursor;
	if (at >= sequence->data.sequence.items.top)
		return NULL;
	(*cursor)++;
	return node_at(reader, *at);
}

bool reader_is_null(const yaml_node_t *node)
{
	const char *text;

	if (!node)
		return true;
	if (node->type != YAML_SCALAR_NODE || node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
		return false;
	text = (const char *)node->data.scalar.value;
	return !*text || !strcmp(text, "~") || !strcasecmp(text, "null");
}

const char *reader_scalar(struct reader *reader, const yaml_node_t *node, const struct place *place,
			  const char *expected)
{
	if (node->type == YAML_SCALAR_NODE && !reader_is_null(node))
		return (const char *)node->data.scalar.value;
	reader_error(reader, reader_line(node), place, "%s where a value belongs (expected %s)",
		     node->type == YAML_MAPPING_NODE	? "a mapping"
		     : node->type == YAML_SEQUENCE_NODE ? "a list"
							: "nothing",
		     expected);
	return NULL;
}

bool reader_string(struct reader *reader, const yaml_node_t *node, const struct place *place,
		   char *ret_text, size_t size)
{
	const char *text = reader_scalar(reader, node, place, "text");

	if (!text)
		return false;
	if (!*text || strlen(text) >= size || !reader_is_printable(text)) {
		reader_error(reader, reader_line(node), place,
			     "\"%s\" does not fit (expected 1 to %zu printable bytes)",
			     reader_quote(text).text, size - 1);
		return false;
	}
	return text_copy(ret_text, size, text);
}

bool reader_unsigned(struct reader *reader, const yaml_node_t *node, const struct place *place,
		     unsigned int low, unsigned int high, unsigned int *ret_number)
{
	const char *text = reader_scalar(reader, node, place, "a whole number");
	double number;

	if (!text)
		return false;
	if (value_number(text, &number) || number != floor(number) || number < low ||
	    number > high) {
		reader_error(reader, reader_line(node), place,
			     "\"%s\" is out of range (expected a whole number from %u to %u)",
			     reader_quote(text).text, low, high);
		return false;
	}
	*ret_number = (unsigned int)number;
	return true;
}

bool reader_seconds(struct reader *reader, const yaml_node_t *node, const struct place *place,
		    unsigned int low, unsigned int high, unsigned int *ret_seconds)
{
	const char *text = reader_scalar(reader, node, place, "a time such as 30s");
	double seconds;

	if (!text)
		return false;
	if (value_duration_s(text, 1, &seconds) || seconds != floor(seconds) || seconds < low ||
	    seconds > high) {
		reader_error(reader, reader_line(node), place,
			     "\"%s\" is not a usable time "
			     "(expected whole seconds from %u to %u, such as 30s or 5m)",
			     reader_quote(text).text, low, high);
		return false;
	}
	*ret_seconds = (unsigned int)seconds;
	return true;
}

bool reader_boolean(struct reader *reader, const yaml_node_t *node, const struct place *place,
		    bool *ret_boolean)
{
	const char *text = reader_scalar(reader, node, place, "true or false");

	if (!text)
		return false;
	if (value_boolean(text, ret_boolean)) {
		reader_error(reader, reader_line(node), place,
			     "\"%s\" is neither (expected true or false)", reader_quote(text).text);
		return false;
	}
	return true;
}

int reader_word(struct reader *reader, const yaml_node_t *node, const struct place *place,
		const char *const *words)
{
	char expected[128] = "";
	size_t length = 0;
	const char *text;

	for (int i = 0; words[i] && length < sizeof(expected); i++)
		length += snprintf(expected + length, sizeof(expected) - length, "%s%s",
				   i ? ", " : "", words[i]);
	text = reader_scalar(reader, node, place, expected);
	if (!text)
		return -1;
	for (int i = 0; words[i]; i++) {
		if (!strcasecmp(words[i], text))
			return i;
	}
	reader_error(reader, reader_line(node), place, "\"%s\" is none of them (expected %s)",
		     reader_quote(text).text, expected);
	return -1;
}
