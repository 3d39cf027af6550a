/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * From a file to a checked document. Two passes over the bytes: the first looks
 * at parser events alone and refuses what could cost time or memory (aliases,
 * depth, number of values) before the second builds the tree.
 */
#include "config/config.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/config_build.h"
#include "config/reader.h"

#define FILE_SIZE_MAX (1024 * 1024)
#define DEPTH_MAX     16
#define VALUES_MAX    20000
#define PIPE_WAIT_MS  2000

/* Does the text, comments set aside, begin with a brace? */
static bool is_json_like(const char *text, size_t size)
{
	size_t at = 0;

	if (size >= 3 && !memcmp(text, "\xef\xbb\xbf", 3))
		at = 3;
	while (at < size) {
		if (text[at] == '{')
			return true;
		if (text[at] == '#' || (text[at] == '/' && at + 1 < size && text[at + 1] == '/')) {
			while (at < size && text[at] != '\n')
				at++;
		} else if (!memchr(" \t\r\n", text[at], 4)) {
			return false;
		} else {
			at++;
		}
	}
	return false;
}

/* Overwrites // comments with blanks, so that lines and columns stay what they were. */
static void blank_comments(char *text, size_t size)
{
	char quote = '\0', before = '\0';

	for (size_t at = 0; at < size; at++) {
		if (quote) {
			if (text[at] == '\\' && quote == '"')
				at++;
			else if (text[at] == quote)
				quote = '\0';
			continue;
		}
		if (text[at] == '"' || (text[at] == '\'' && (!before || strchr("{[,:", before)))) {
			quote = text[at];
		} else if (text[at] == '/' && at + 1 < size && text[at + 1] == '/' &&
			   (!at || text[at - 1] != ':')) {
			while (at < size && text[at] != '\n')
				text[at++] = ' ';
		}
		if (at < size && !memchr(" \t\r\n", text[at], 4))
			before = text[at];
	}
}

static void report_syntax(struct reader *reader, const yaml_parser_t *parser, const char *text,
			  size_t size)
{
	const char *problem = parser->problem ? parser->problem : "cannot be read";
	size_t line = parser->problem_mark.line + 1;

	if (parser->error == YAML_MEMORY_ERROR) {
		reader_out_of_memory(reader);
		return;
	}
	if (parser->error == YAML_READER_ERROR) {
		line = 1;
		for (size_t at = 0; at < size && at < parser->problem_offset; at++)
			line += text[at] == '\n';
	}
	if (strstr(problem, "cannot start any token"))
		reader_error(reader, line, NULL,
			     "%s (expected YAML or JSON; tabs cannot indent YAML)", problem);
	else
		reader_error(reader, line, NULL, "%s%s%s (expected YAML or JSON)",
			     parser->context ? parser->context : "", parser->context ? ": " : "",
			     problem);
}

struct scan {
	unsigned int depth, values, documents;
};

/* false after an error. */
static bool check_event(struct reader *reader, const yaml_event_t *event, struct scan *scan)
{
	size_t line = event->start_mark.line + 1;

	switch (event->type) {
	case YAML_ALIAS_EVENT:
		reader_error(reader, line, NULL,
			     "an alias (*%s) is not accepted (expected the values written out)",
			     reader_quote((const char *)event->data.alias.anchor).text);
		return false;
	case YAML_DOCUMENT_START_EVENT:
		if (++scan->documents < 2)
			return true;
		reader_error(reader, line, NULL, "a second document begins (expected one)");
		return false;
	case YAML_SEQUENCE_START_EVENT:
	case YAML_MAPPING_START_EVENT:
		if (++scan->depth > DEPTH_MAX) {
			reader_error(reader, line, NULL, "nested too deep (expected at most %d)",
				     DEPTH_MAX);
			return false;
		}
		break;
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		scan->depth--;
		return true;
	case YAML_SCALAR_EVENT:
		if (memchr(event->data.scalar.value, '\0', event->data.scalar.length)) {
			reader_error(reader, line, NULL, "text with a NUL in it (expected none)");
			return false;
		}
		break;
	default:
		return true;
	}
	if (++scan->values > VALUES_MAX) {
		reader_error(reader, line, NULL, "too many values (expected at most %d)",
			     VALUES_MAX);
		return false;
	}
	return true;
}

/* Parser state is libyaml's; false after an error. */
static bool scan_events(struct reader *reader, const char *text, size_t size)
{
	struct scan scan = { 0 };
	yaml_parser_t parser;
	yaml_event_t event;
	bool good = true, at_end = false;

	if (!yaml_parser_initialize(&parser)) {
		reader_out_of_memory(reader);
		return false;
	}
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, size);
	while (good && !at_end) {
		if (!yaml_parser_parse(&parser, &event)) {
			report_syntax(reader, &parser, text, size);
			good = false;
			break;
		}
		at_end = event.type == YAML_STREAM_END_EVENT;
		good = check_event(reader, &event, &scan);
		yaml_event_delete(&event);
	}
	yaml_parser_delete(&parser);
	return good;
}

struct seen_key {
	const char *key;
	const yaml_node_t *node;
};

static int compare_keys(const void *left, const void *right)
{
	const struct seen_key *a = left, *b = right;
	int order = strcmp(a->key, b->key);

	if (order)
		return order;
	return a->node->start_mark.index < b->node->start_mark.index ? -1 : 1;
}

static void check_mapping(struct reader *reader, const yaml_node_t *mapping)
{
	const yaml_node_pair_t *pairs = mapping->data.mapping.pairs.start;
	size_t count = mapping->data.mapping.pairs.top - pairs;
	struct seen_key *seen = calloc(count ? count : 1, sizeof(*seen));

	if (!seen) {
		reader_out_of_memory(reader);
		return;
	}
	for (size_t i = 0; i < count; i++) {
		const yaml_node_t *key = yaml_document_get_node(reader->document, pairs[i].key);

		if (key->type != YAML_SCALAR_NODE) {
			reader_error(reader, reader_line(key), NULL,
				     "a list or mapping as a key (expected a name)");
			free(seen);
			return;
		}
		seen[i].key = (const char *)key->data.scalar.value;
		seen[i].node = key;
	}
	qsort(seen, count, sizeof(*seen), compare_keys);
	for (size_t i = 1; i < count; i++) {
		if (strcmp(seen[i - 1].key, seen[i].key))
			continue;
		reader_error(reader, reader_line(seen[i].node),
			     &(struct place){ .key = seen[i].key },
			     "given twice, first in line %zu (expected once)",
			     reader_line(seen[i - 1].node));
	}
	free(seen);
}

static void read_document(struct reader *reader)
{
	const yaml_node_t *root = yaml_document_get_root_node(reader->document);
	const yaml_node_t *node;

	for (int i = 1; (node = yaml_document_get_node(reader->document, i)); i++) {
		if (node->type == YAML_MAPPING_NODE)
			check_mapping(reader, node);
	}
	if (reader->err || reader_is_null(root))
		return;
	if (root->type != YAML_MAPPING_NODE) {
		reader_error(reader, reader_line(root), NULL,
			     "not a configuration (expected a mapping of keys to values)");
		return;
	}
	config_keys_read(reader, root);
}

static void parse(struct reader *reader, char *text, size_t size)
{
	yaml_parser_t parser;
	yaml_document_t document;

	if (is_json_like(text, size))
		blank_comments(text, size);
	if (!scan_events(reader, text, size))
		return;
	if (!yaml_parser_initialize(&parser)) {
		reader_out_of_memory(reader);
		return;
	}
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, size);
	if (!yaml_parser_load(&parser, &document)) {
		report_syntax(reader, &parser, text, size);
	} else {
		reader->document = &document;
		read_document(reader);
		reader->document = NULL;
		yaml_document_delete(&document);
	}
	yaml_parser_delete(&parser);
}

int config_load_bytes(struct config *ret_config, const char *name, const void *bytes, size_t size,
		      struct text *problems)
{
	struct config config;
	struct reader reader = { .name = name, .problems = problems, .config = &config };
	char *text;

	if (size > FILE_SIZE_MAX) {
		reader_error(&reader, 0, NULL, "too large (expected at most %d bytes)",
			     FILE_SIZE_MAX);
		return -EFBIG;
	}
	config_build_defaults(&config);
	text = malloc(size + 1);
	if (!text) {
		reader_out_of_memory(&reader);
		return -ENOMEM;
	}
	if (size)
		memcpy(text, bytes, size);
	text[size] = '\0';
	parse(&reader, text, size);
	free(text);
	if (!reader.err && !reader.budgets_named && config_build_default_budgets(&config))
		reader_out_of_memory(&reader);
	if (reader.err) {
		config_fini(&config);
		return reader.err;
	}
	*ret_config = config;
	return 0;
}

/* Bytes read, or a negative errno. A pipe whose writer says nothing must not hang a reload. */
static ssize_t read_bounded(int fd, char *buffer, size_t size)
{
	struct pollfd waiting = { .fd = fd, .events = POLLIN };
	size_t length = 0;
	ssize_t count;

	while (length < size) {
		count = read(fd, buffer + length, size - length);
		if (!count)
			break;
		if (count > 0) {
			length += count;
		} else if (errno == EAGAIN) {
			int ready = poll(&waiting, 1, PIPE_WAIT_MS);

			if (ready <= 0)
				return ready ? -errno : -ETIMEDOUT;
		} else if (errno != EINTR) {
			return -errno;
		}
	}
	return length;
}

int config_load(struct config *ret_config, const char *path, struct text *problems)
{
	char *bytes = malloc(FILE_SIZE_MAX + 1);
	ssize_t size;
	int fd, err;

	if (!bytes)
		return -ENOMEM;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0) {
		err = -errno;
		text_printf(problems, "%s: cannot open: %s\n", path, strerror(-err));
		goto out;
	}
	size = read_bounded(fd, bytes, FILE_SIZE_MAX + 1);
	close(fd);
	if (size < 0) {
		err = size;
		text_printf(problems, "%s: cannot read: %s\n", path, strerror(-err));
		goto out;
	}
	err = config_load_bytes(ret_config, path, bytes, size, problems);
out:
	free(bytes);
	return err;
}
