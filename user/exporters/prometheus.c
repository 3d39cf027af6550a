/* SPDX-License-Identifier: GPL-2.0-only */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "exporters/accept.h"
#include "exporters/number.h"
#include "exporters/prometheus.h"

static const char total_suffix[] = "_total";
static const char replacement[] = "\xef\xbf\xbd"; /* U+FFFD */

/* The end of a bucket line up to its value, made once per render: `le="0.005"} `. */
struct bucket_end {
	char bytes[NUMBER_MAX + 8];
	size_t length;
};

struct bucket_ends {
	const struct bounds *bounds;
	struct bucket_end ends[BOUND_BUCKETS];
};

struct writer {
	enum prometheus_format format;
	int (*sink)(void *context, const char *bytes, size_t length);
	void *context;
	int err;
	size_t length;
	char *bytes;	    /* PROMETHEUS_PIECE */
	struct text labels; /* of the series at hand: `a="b",c="d"` */
	struct text bucket; /* ... `name_bucket{a="b",c="d",` */
	struct bucket_ends durations, sizes;
};

static void flush(struct writer *writer)
{
	if (!writer->err && writer->length)
		writer->err = writer->sink(writer->context, writer->bytes, writer->length);
	writer->length = 0;
}

static void put(struct writer *writer, const char *bytes, size_t length)
{
	while (length > PROMETHEUS_PIECE - writer->length) {
		size_t fits = PROMETHEUS_PIECE - writer->length;

		memcpy(writer->bytes + writer->length, bytes, fits);
		writer->length += fits;
		bytes += fits;
		length -= fits;
		flush(writer);
	}
	memcpy(writer->bytes + writer->length, bytes, length);
	writer->length += length;
}

static void put_string(struct writer *writer, const char *string)
{
	put(writer, string, strlen(string));
}

/* Room for one number: the caller adds what number_*() wrote there to the length. */
static char *number_room(struct writer *writer)
{
	if (PROMETHEUS_PIECE - writer->length < NUMBER_MAX)
		flush(writer);
	return writer->bytes + writer->length;
}

static void put_unsigned(struct writer *writer, uint64_t value)
{
	writer->length += number_unsigned(number_room(writer), value);
}

/* Bytes of the UTF-8 character at `text`, 0 if it is none. Surrogates and overlong forms are none.
 */
static size_t utf8_length(const unsigned char *text)
{
	size_t length = text[0] < 0x80	 ? 1
			: text[0] < 0xc2 ? 0
			: text[0] < 0xe0 ? 2
			: text[0] < 0xf0 ? 3
			: text[0] < 0xf5 ? 4
					 : 0;

	for (size_t i = 1; i < length; i++)
		if ((text[i] & 0xc0) != 0x80)
			return 0;
	if ((text[0] == 0xe0 && text[1] < 0xa0) || (text[0] == 0xed && text[1] > 0x9f) ||
	    (text[0] == 0xf0 && text[1] < 0x90) || (text[0] == 0xf4 && text[1] > 0x8f))
		return 0;
	return length;
}

static bool needs_escape(const char *value)
{
	for (; *value; value++)
		if (*value == '\\' || *value == '"' || *value == '\n' || (*value & 0x80))
			return true;
	return false;
}

static void append_escaped(struct text *text, const char *value, bool escape_quotes)
{
	while (*value) {
		size_t length = utf8_length((const unsigned char *)value);

		if (length == 0)
			text_append(text, replacement, sizeof(replacement) - 1);
		else if (*value == '\n')
			text_append(text, "\\n", 2);
		else if (*value == '\\')
			text_append(text, "\\\\", 2);
		else if (*value == '"' && escape_quotes)
			text_append(text, "\\\"", 2);
		else
			text_append(text, value, length);
		value += length ? length : 1;
	}
}

static void make_labels(struct text *ret_labels, const struct series *series)
{
	const char *const *names = series->family->spec->labels;

	text_clear(ret_labels);
	for (unsigned int i = 0; names[i]; i++) {
		const char *value = series_label(series, i);

		if (!*value)
			continue;
		if (ret_labels->length)
			text_append(ret_labels, ",", 1);
		text_append_string(ret_labels, names[i]);
		text_append(ret_labels, "=\"", 2);
		if (needs_escape(value))
			append_escaped(ret_labels, value, true);
		else
			text_append_string(ret_labels, value);
		text_append(ret_labels, "\"", 1);
	}
}

/* With the underscore that must stand before it. */
static const char *unit_suffix(enum series_unit unit)
{
	switch (unit) {
	case UNIT_SECONDS:
		return "_seconds";
	case UNIT_BYTES:
		return "_bytes";
	case UNIT_RATIO:
		return "_ratio";
	case UNIT_NONE:
		break;
	}
	return NULL;
}

static bool ends_with(const char *text, size_t length, const char *end)
{
	size_t end_length = strlen(end);

	return length > end_length && memcmp(text + length - end_length, end, end_length) == 0;
}

/* OpenMetrics names a counter's family without the _total of its samples. */
static size_t family_name_length(const struct writer *writer, const struct series_spec *spec)
{
	size_t length = strlen(spec->name);

	if (writer->format == PROMETHEUS_OPENMETRICS && spec->kind == SERIES_COUNTER &&
	    ends_with(spec->name, length, total_suffix))
		length -= sizeof(total_suffix) - 1;
	return length;
}

static void put_metadata(struct writer *writer, const char *keyword, const char *name,
			 size_t name_length, const char *value)
{
	put_string(writer, keyword);
	put(writer, name, name_length);
	put(writer, " ", 1);
	put_string(writer, value);
	put(writer, "\n", 1);
}

static void put_head(struct writer *writer, const struct series_spec *spec)
{
	static const char *const kinds[] = { [SERIES_COUNTER] = "counter",
					     [SERIES_GAUGE] = "gauge",
					     [SERIES_HISTOGRAM] = "histogram" };
	bool openmetrics = writer->format == PROMETHEUS_OPENMETRICS;
	size_t length = family_name_length(writer, spec);
	const char *unit = unit_suffix(spec->unit);

	if (spec->help) {
		text_clear(&writer->labels);
		append_escaped(&writer->labels, spec->help, openmetrics);
		if (writer->labels.failed)
			writer->err = -ENOMEM;
		else
			put_metadata(writer, "# HELP ", spec->name, length,
				     *spec->help ? writer->labels.bytes : "");
	}
	put_metadata(writer, "# TYPE ", spec->name, length, kinds[spec->kind]);
	/* A unit the name does not end in would be an error to every OpenMetrics parser. */
	if (openmetrics && unit && ends_with(spec->name, length, unit))
		put_metadata(writer, "# UNIT ", spec->name, length, unit + 1);
}

static void put_sample_name(struct writer *writer, const char *name, const char *suffix)
{
	put_string(writer, name);
	put_string(writer, suffix);
	if (writer->labels.length) {
		put(writer, "{", 1);
		put(writer, writer->labels.bytes, writer->labels.length);
		put(writer, "}", 1);
	}
	put(writer, " ", 1);
}

static void put_number(struct writer *writer, const struct series *series)
{
	const struct series_spec *spec = series->family->spec;
	const char *suffix = "";

	if (writer->format == PROMETHEUS_OPENMETRICS && spec->kind == SERIES_COUNTER &&
	    !ends_with(spec->name, strlen(spec->name), total_suffix))
		suffix = total_suffix;
	put_sample_name(writer, spec->name, suffix);
	writer->length += number_double(number_room(writer), series->value);
	put(writer, "\n", 1);
}

static void put_bucket(struct writer *writer, const struct bucket_end *end, uint64_t value)
{
	put(writer, writer->bucket.bytes, writer->bucket.length);
	put(writer, end->bytes, end->length);
	put_unsigned(writer, value);
	put(writer, "\n", 1);
}

static void put_histogram(struct writer *writer, const struct series *series)
{
	const struct series_spec *spec = series->family->spec;
	const struct histogram *histogram = series->histogram;
	bool seconds = spec->unit == UNIT_SECONDS;
	const struct bucket_ends *buckets =
		spec->unit == UNIT_BYTES ? &writer->sizes : &writer->durations;
	unsigned int bounds = buckets->bounds->count;
	uint64_t cumulative = 0, count;

	if (!histogram)
		return;
	text_clear(&writer->bucket);
	text_append_string(&writer->bucket, spec->name);
	text_append(&writer->bucket, "_bucket{", 8);
	if (writer->labels.length) {
		text_append(&writer->bucket, writer->labels.bytes, writer->labels.length);
		text_append(&writer->bucket, ",", 1);
	}
	if (writer->bucket.failed) {
		writer->err = -ENOMEM;
		return;
	}
	for (unsigned int i = 0; i < bounds; i++) {
		cumulative += histogram->classic[i];
		put_bucket(writer, &buckets->ends[i], cumulative);
	}
	cumulative += histogram->classic[bounds];
	/* A delta may come without classic buckets: those requests are only known to be < +Inf. */
	count = histogram->count > cumulative ? histogram->count : cumulative;
	put_bucket(writer, &buckets->ends[bounds], count);
	put_sample_name(writer, spec->name, "_sum");
	writer->length += seconds ? number_seconds(number_room(writer), histogram->sum)
				  : number_unsigned(number_room(writer), histogram->sum);
	put(writer, "\n", 1);
	put_sample_name(writer, spec->name, "_count");
	put_unsigned(writer, count);
	put(writer, "\n", 1);
}

static void put_family(struct writer *writer, const struct family *family)
{
	const struct series *series;

	if (!family->first)
		return;
	put_head(writer, family->spec);
	series_for_each (family, series) {
		make_labels(&writer->labels, series);
		if (writer->labels.failed)
			writer->err = -ENOMEM;
		else if (family->spec->kind == SERIES_HISTOGRAM)
			put_histogram(writer, series);
		else
			put_number(writer, series);
		if (writer->err)
			return;
	}
}

static void make_bucket_end(struct bucket_end *ret_end, const char *number, size_t length)
{
	memcpy(ret_end->bytes, "le=\"", 4);
	memcpy(ret_end->bytes + 4, number, length);
	memcpy(ret_end->bytes + 4 + length, "\"} ", 3);
	ret_end->length = length + 7;
}

static void make_bucket_ends(struct bucket_ends *ret_ends, const struct bounds *bounds,
			     enum prometheus_format format, bool seconds)
{
	char number[NUMBER_MAX];
	size_t length;

	ret_ends->bounds = bounds;
	for (unsigned int i = 0; i < bounds->count; i++) {
		double value = (double)bounds->upper[i];

		if (format == PROMETHEUS_OPENMETRICS)
			length = number_canonical(number, seconds ? value / 1e9 : value);
		else if (seconds)
			length = number_seconds(number, bounds->upper[i]);
		else
			length = number_unsigned(number, bounds->upper[i]);
		make_bucket_end(&ret_ends->ends[i], number, length);
	}
	make_bucket_end(&ret_ends->ends[bounds->count], "+Inf", 4);
}

int prometheus_write(const struct series_store *store, enum prometheus_format format,
		     int (*sink)(void *context, const char *bytes, size_t length), void *context)
{
	struct writer writer = { .format = format, .sink = sink, .context = context };
	const struct family *family;

	writer.bytes = malloc(PROMETHEUS_PIECE);
	if (!writer.bytes)
		return -ENOMEM;
	make_bucket_ends(&writer.durations, &store->durations, format, true);
	make_bucket_ends(&writer.sizes, &store->sizes, format, false);
	family_for_each (store, family)
		put_family(&writer, family);
	if (format == PROMETHEUS_OPENMETRICS)
		put_string(&writer, "# EOF\n");
	flush(&writer);
	text_fini(&writer.labels);
	text_fini(&writer.bucket);
	free(writer.bytes);
	return writer.err;
}

static int append_to_text(void *context, const char *bytes, size_t length)
{
	struct text *text = context;

	text_append(text, bytes, length);
	return text->failed ? -ENOMEM : 0;
}

int prometheus_render(const struct series_store *store, enum prometheus_format format,
		      struct text *ret_text)
{
	return prometheus_write(store, format, append_to_text, ret_text);
}

/* 0.0.1 alone is not enough: what we write is 1.0. */
static bool is_our_openmetrics(const struct accept_item *item)
{
	if (!accept_is(item, "application/openmetrics-text"))
		return false;
	return !item->version ||
	       (item->version_length == 5 && memcmp(item->version, "1.0.0", 5) == 0);
}

enum prometheus_format prometheus_negotiate(const char *accept)
{
	int openmetrics = -1, text = -1, any_text = -1, any = -1;
	bool openmetrics_first = false;
	struct accept_item item;

	while (accept && accept_next(&accept, &item)) {
		int quality = (int)item.quality;

		if (is_our_openmetrics(&item) && quality > openmetrics) {
			openmetrics = quality;
			openmetrics_first = text < quality;
		} else if (accept_is(&item, "text/plain") && quality > text) {
			text = quality;
		} else if (accept_is(&item, "text/*")) {
			any_text = quality;
		} else if (accept_is(&item, "*/*")) {
			any = quality;
		}
	}
	if (openmetrics <= 0)
		return PROMETHEUS_TEXT;
	if (text >= 0) /* named: the better one, on a tie the one named first */
		return openmetrics > text || (openmetrics == text && openmetrics_first)
			       ? PROMETHEUS_OPENMETRICS
			       : PROMETHEUS_TEXT;
	return openmetrics >= (any_text >= 0 ? any_text : any) ? PROMETHEUS_OPENMETRICS
							       : PROMETHEUS_TEXT;
}

const char *prometheus_content_type(enum prometheus_format format)
{
	return format == PROMETHEUS_OPENMETRICS
		       ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
		       : "text/plain; version=0.0.4; charset=utf-8";
}
