/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Walks a parsed YAML or JSON document and keeps the list of problems, each
 * with file, line and key. Private to user/config. By the time a struct reader
 * is handed out, the document was checked: no aliases, bounded depth and size,
 * every key a string, no key twice in a mapping, no NUL in any string.
 */
#ifndef CONFIG_READER_H
#define CONFIG_READER_H

#include <stdbool.h>
#include <stddef.h>

#include <yaml.h>

#include "base/text.h"
#include "config/config.h"

#define READER_PROBLEMS_MAX 64

/* Where in the document we are; lives on the stack, printed as "budgets[2].window". */
struct place {
	const struct place *parent;
	const char *key; /* NULL: an entry of a list */
	size_t index;
};

struct reader {
	const char *name; /* of the file */
	yaml_document_t *document;
	struct text *problems;
	unsigned int problem_count;
	int err; /* the first error, 0 while all is well */
	struct config *config;
	bool budgets_named; /* the document has a say on budgets: no built-in ones */
};

struct pair {
	const char *key;
	const yaml_node_t *key_node;
	const yaml_node_t *value;
};

size_t reader_line(const yaml_node_t *node); /* 1-based */

/* One line each; `line` 0 leaves the number out, `place` may be NULL. */
void reader_error(struct reader *reader, size_t line, const struct place *place, const char *format,
		  ...) __attribute__((format(printf, 4, 5)));
void reader_warn(struct reader *reader, size_t line, const struct place *place, const char *format,
		 ...) __attribute__((format(printf, 4, 5)));
void reader_out_of_memory(struct reader *reader);

/* "unknown key, ignored (did you mean ...?)"; `known` is NULL-terminated. */
void reader_unknown(struct reader *reader, const struct pair *pair, const struct place *place,
		    const char *const *known);

/* Free of control characters? The text is valid UTF-8. */
bool reader_is_printable(const char *text);

/* Printable and bounded, for quoting what the file says in a message. */
struct quoted {
	char text[64];
};
struct quoted reader_quote(const char *text);

/* Iterates a mapping; start with *cursor = 0. */
bool reader_next_pair(const struct reader *reader, const yaml_node_t *mapping, size_t *cursor,
		      struct pair *ret_pair);

/* Iterates a sequence; NULL at the end. */
const yaml_node_t *reader_next_item(const struct reader *reader, const yaml_node_t *sequence,
				    size_t *cursor);

/* Absent, "~", "null" or nothing. */
bool reader_is_null(const yaml_node_t *node);

/* The node as text, or NULL after an error that says what was `expected`. */
const char *reader_scalar(struct reader *reader, const yaml_node_t *node, const struct place *place,
			  const char *expected);

/* Copies printable text of 1 to size - 1 bytes; false after an error. */
bool reader_string(struct reader *reader, const yaml_node_t *node, const struct place *place,
		   char *ret_text, size_t size);

/* A whole number of `low` to `high`; false after an error. */
bool reader_unsigned(struct reader *reader, const yaml_node_t *node, const struct place *place,
		     unsigned int low, unsigned int high, unsigned int *ret_number);

/* Whole seconds of `low` to `high`; false after an error. */
bool reader_seconds(struct reader *reader, const yaml_node_t *node, const struct place *place,
		    unsigned int low, unsigned int high, unsigned int *ret_seconds);

bool reader_boolean(struct reader *reader, const yaml_node_t *node, const struct place *place,
		    bool *ret_boolean);

/* The index of the node's word among `words` (NULL-terminated), or -1 after an error. */
int reader_word(struct reader *reader, const yaml_node_t *node, const struct place *place,
		const char *const *words);

/* Reads the checked document into reader->config (config_keys.c). */
void config_keys_read(struct reader *reader, const yaml_node_t *root);

/* One budget: `name` and `endpoint` come from its key, or are NULL (config_budgets.c). */
void config_budgets_read_one(struct reader *reader, const struct place *place,
			     const yaml_node_t *node, const char *name, const char *endpoint);
void config_budgets_read(struct reader *reader, const struct place *place, const yaml_node_t *node);
void config_budgets_read_endpoints(struct reader *reader, const struct place *place,
				   const yaml_node_t *node);

/* Does a mapping under a free name look like a component of budgets? */
bool config_budgets_is_component(const struct reader *reader, const yaml_node_t *node);

#endif
