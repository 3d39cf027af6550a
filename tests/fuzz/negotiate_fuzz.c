/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Foreign bytes of the web server: the first one picks what reads the rest, as the
 * Accept or Accept-Encoding header of a scraper, the listening address of a user or
 * a label value on its way into the text format.
 *
 * sources: user/base/[a-z]*.c user/series/[a-z]*.c user/exporters/[a-z]*.c user/web/address.c
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "exporters/accept.h"
#include "exporters/prometheus.h"
#include "web/address.h"

#define CHECK(condition)          \
	do {                      \
		if (!(condition)) \
			abort();  \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Every element lies inside the header, in order, and has a quality that exists. */
static void walk(const char *header)
{
	const char *cursor = header, *end = header + strlen(header), *last = header;
	struct accept_item item;

	while (accept_next(&cursor, &item)) {
		CHECK(item.name >= last && item.name_length > 0);
		CHECK(item.name + item.name_length <= cursor && cursor <= end);
		CHECK(!item.version ||
		      (item.version >= item.name && item.version + item.version_length <= cursor));
		CHECK(item.quality <= 1000);
		last = item.name;
	}
	CHECK(cursor == end);
}

/* The quotes, backslashes and line ends of a value must not break out of its line. */
static void render(const char *value)
{
	static const struct series_spec spec = {
		.name = "fuzz_total",
		.kind = SERIES_COUNTER,
		.labels = { "value", NULL },
		.help = "Fuzz.",
	};
	struct series_store *store = series_store_new(2);
	struct text text = { 0 };
	const char *line, *end;

	CHECK(store && series_get(series_family(store, &spec), &value));
	CHECK(prometheus_render(store, PROMETHEUS_OPENMETRICS, &text) == 0);
	line = strstr(text.bytes, "\nfuzz_total") + 1;
	end = strchr(line, '\n');
	CHECK(end && strcmp(end, "\n# EOF\n") == 0);
	if (line[10] == '{') {
		CHECK(memcmp(line, "fuzz_total{value=\"", 18) == 0);
		for (line += 18; *line != '"'; line++)
			if (*line == '\\')
				CHECK(strchr("\\\"n", *++line));
		CHECK(end - line == 4 && memcmp(line, "\"} 0", 4) == 0);
	} else {
		CHECK(end - line == 12 && memcmp(line, "fuzz_total 0", 12) == 0);
	}
	text_fini(&text);
	series_store_free(store);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct address address;
	char *text;

	if (size < 1)
		return 0;
	text = malloc(size);
	CHECK(text);
	memcpy(text, data + 1, size - 1);
	text[size - 1] = '\0';
	switch (data[0] % 4) {
	case 0:
		prometheus_negotiate(text);
		walk(text);
		break;
	case 1:
		accept_gzip(text);
		walk(text);
		break;
	case 2:
		CHECK(address_parse(text, &address) || address_port(&address) <= 65535);
		break;
	case 3:
		render(text);
		break;
	}
	free(text);
	return 0;
}
