/* SPDX-License-Identifier: GPL-2.0-only */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "exporters/prometheus.h"

#define MANY_SERIES 10000

static const struct series_spec requests_spec = {
	.name = "shop_requests_total",
	.kind = SERIES_COUNTER,
	.labels = { "service", "route", NULL },
	.help = "Requests \"seen\" \\ counted,\nall of them.",
};
static const struct series_spec cpu_spec = {
	.name = "shop_cpu_seconds_total",
	.kind = SERIES_COUNTER,
	.unit = UNIT_SECONDS,
	.labels = { NULL },
	.help = "CPU time.",
};
static const struct series_spec fill_spec = {
	.name = "shop_map_fill_ratio",
	.kind = SERIES_GAUGE,
	.unit = UNIT_RATIO,
	.labels = { "map", NULL },
	.help = "How full a map is.",
};
static const struct series_spec silent_spec = {
	.name = "shop_silent_total",
	.kind = SERIES_COUNTER,
	.labels = { "service", NULL },
	.help = "A family without series.",
};
static const struct series_spec duration_spec = {
	.name = "shop_request_duration_seconds",
	.kind = SERIES_HISTOGRAM,
	.unit = UNIT_SECONDS,
	.labels = { "service", "route", NULL },
	.help = "Time a request took.",
};
static const struct series_spec size_spec = {
	.name = "shop_body_size_bytes",
	.kind = SERIES_HISTOGRAM,
	.unit = UNIT_BYTES,
	.labels = { NULL },
	.help = "Size of a body.",
};

static struct series *one(struct series_store *store, const struct series_spec *spec,
			  const char *first, const char *second)
{
	const char *values[SERIES_LABELS_MAX] = { first, second };
	struct family *family = series_family(store, spec);
	struct series *series;

	assert_non_null(family);
	series = series_get(family, values);
	assert_non_null(series);
	return series;
}

static struct series_store *small_bounds_store(void)
{
	struct series_store *store = series_store_new(100);

	assert_non_null(store);
	store->durations =
		(struct bounds){ .count = 3, .upper = { 5000000, 1000000000, 2500000000 } };
	store->sizes = (struct bounds){ .count = 2, .upper = { 1024, 8388608 } };
	return store;
}

static struct series_store *small_store(void)
{
	struct series_store *store = small_bounds_store();
	const uint32_t durations[BOUND_BUCKETS] = { 3, 2, 0, 1 },
		       sizes[BOUND_BUCKETS] = { 1, 0, 4 };
	struct histogram_delta delta = { .count = 6, .sum = 12345678901, .classic = durations };

	series_set(one(store, &requests_spec, "shop", "/cart"), 23);
	series_set(one(store, &requests_spec, "", ""), 0);
	series_set(one(store, &requests_spec, "a\\b\"c\nd", ""), 9007199254740991.0);
	series_set(one(store, &cpu_spec, NULL, NULL), 0.1);
	series_set(one(store, &fill_spec, "keys", NULL), NAN);
	series_set(one(store, &fill_spec, "caf\xc3\xa9 \xff\xc3", NULL), -INFINITY);
	assert_non_null(series_family(store, &silent_spec));
	series_add_histogram(one(store, &duration_spec, "shop", ""), &delta);
	delta = (struct histogram_delta){ .count = 5, .sum = 99999, .classic = sizes };
	series_add_histogram(one(store, &size_spec, NULL, NULL), &delta);
	return store;
}

static char *rendered(const struct series_store *store, enum prometheus_format format)
{
	struct text text = { 0 };

	assert_int_equal(prometheus_render(store, format, &text), 0);
	assert_non_null(text.bytes);
	return text.bytes;
}

static void writes_the_text_format_to_the_letter(void **state)
{
	struct series_store *store = small_store();
	char *text = rendered(store, PROMETHEUS_TEXT);

	(void)state;
	assert_string_equal(
		text, "# HELP shop_requests_total Requests \"seen\" \\\\ counted,\\nall of them.\n"
		      "# TYPE shop_requests_total counter\n"
		      "shop_requests_total{service=\"shop\",route=\"/cart\"} 23\n"
		      "shop_requests_total 0\n"
		      "shop_requests_total{service=\"a\\\\b\\\"c\\nd\"} 9007199254740991\n"
		      "# HELP shop_cpu_seconds_total CPU time.\n"
		      "# TYPE shop_cpu_seconds_total counter\n"
		      "shop_cpu_seconds_total 0.1\n"
		      "# HELP shop_map_fill_ratio How full a map is.\n"
		      "# TYPE shop_map_fill_ratio gauge\n"
		      "shop_map_fill_ratio{map=\"keys\"} NaN\n"
		      "shop_map_fill_ratio{map=\"caf\xc3\xa9 \xef\xbf\xbd\xef\xbf\xbd\"} -Inf\n"
		      "# HELP shop_request_duration_seconds Time a request took.\n"
		      "# TYPE shop_request_duration_seconds histogram\n"
		      "shop_request_duration_seconds_bucket{service=\"shop\",le=\"0.005\"} 3\n"
		      "shop_request_duration_seconds_bucket{service=\"shop\",le=\"1\"} 5\n"
		      "shop_request_duration_seconds_bucket{service=\"shop\",le=\"2.5\"} 5\n"
		      "shop_request_duration_seconds_bucket{service=\"shop\",le=\"+Inf\"} 6\n"
		      "shop_request_duration_seconds_sum{service=\"shop\"} 12.345678901\n"
		      "shop_request_duration_seconds_count{service=\"shop\"} 6\n"
		      "# HELP shop_body_size_bytes Size of a body.\n"
		      "# TYPE shop_body_size_bytes histogram\n"
		      "shop_body_size_bytes_bucket{le=\"1024\"} 1\n"
		      "shop_body_size_bytes_bucket{le=\"8388608\"} 1\n"
		      "shop_body_size_bytes_bucket{le=\"+Inf\"} 5\n"
		      "shop_body_size_bytes_sum 99999\n"
		      "shop_body_size_bytes_count 5\n");
	free(text);
	series_store_free(store);
}

static void writes_openmetrics_to_the_letter(void **state)
{
	struct series_store *store = small_store();
	char *text = rendered(store, PROMETHEUS_OPENMETRICS);

	(void)state;
	assert_string_equal(
		text, "# HELP shop_requests Requests \\\"seen\\\" \\\\ counted,\\nall of them.\n"
		      "# TYPE shop_requests counter\n"
		      "shop_requests_total{service=\"shop\",route=\"/cart\"} 23\n"
		      "shop_requests_total 0\n"
		      "shop_requests_total{service=\"a\\\\b\\\"c\\nd\"} 9007199254740991\n"
		      "# HELP shop_cpu_seconds CPU time.\n"
		      "# TYPE shop_cpu_seconds counter\n"
		      "# UNIT shop_cpu_seconds seconds\n"
		      "shop_cpu_seconds_total 0.1\n"
		      "# HELP shop_map_fill_ratio How full a map is.\n"
		      "# TYPE shop_map_fill_ratio gauge\n"
		      "# UNIT shop_map_fill_ratio ratio\n"
		      "shop_map_fill_ratio{map=\"keys\"} NaN\n"
		      "shop_map_fill_ratio{map=\"caf\xc3\xa9 \xef\xbf\xbd\xef\xbf\xbd\"} -Inf\n"
		      "# HELP shop_request_duration_seconds Time a request took.\n"
		      "# TYPE shop_request_duration_seconds histogram\n"
		      "# UNIT shop_request_duration_seconds seconds\n"
		      "shop_request_duration_seconds_bucket{service=\"shop\",le=\"0.005\"} 3\n"
		      "shop_request_duration_seconds_bucket{service=\"shop\",le=\"1.0\"} 5\n"
		      "shop_request_duration_seconds_bucket{service=\"shop\",le=\"2.5\"} 5\n"
		      "shop_request_duration_seconds_bucket{service=\"shop\",le=\"+Inf\"} 6\n"
		      "shop_request_duration_seconds_sum{service=\"shop\"} 12.345678901\n"
		      "shop_request_duration_seconds_count{service=\"shop\"} 6\n"
		      "# HELP shop_body_size_bytes Size of a body.\n"
		      "# TYPE shop_body_size_bytes histogram\n"
		      "# UNIT shop_body_size_bytes bytes\n"
		      "shop_body_size_bytes_bucket{le=\"1024.0\"} 1\n"
		      "shop_body_size_bytes_bucket{le=\"8.388608e+06\"} 1\n"
		      "shop_body_size_bytes_bucket{le=\"+Inf\"} 5\n"
		      "shop_body_size_bytes_sum 99999\n"
		      "shop_body_size_bytes_count 5\n"
		      "# EOF\n");
	free(text);
	series_store_free(store);
}

static void an_empty_store_is_an_empty_text_and_a_bare_end_in_openmetrics(void **state)
{
	struct series_store *store = series_store_new(10);
	struct text text = { 0 };

	(void)state;
	assert_non_null(store);
	assert_int_equal(prometheus_render(store, PROMETHEUS_TEXT, &text), 0);
	assert_int_equal(text.length, 0);
	assert_int_equal(prometheus_render(store, PROMETHEUS_OPENMETRICS, &text), 0);
	assert_string_equal(text.bytes, "# EOF\n");
	text_fini(&text);
	series_store_free(store);
}

static void the_infinite_bucket_is_the_count_even_without_classic_buckets(void **state)
{
	struct series_store *store = small_bounds_store();
	struct series *series = one(store, &duration_spec, "shop", "/");
	const uint32_t classic[BOUND_BUCKETS] = { 2 };
	struct histogram_delta delta = { .count = 2, .sum = 1, .classic = classic };
	char *text;

	(void)state;
	series_add_histogram(series, &delta);
	delta = (struct histogram_delta){ .count = 5, .sum = 1 };
	series_add_histogram(series, &delta);
	text = rendered(store, PROMETHEUS_TEXT);
	assert_non_null(strstr(text, "le=\"2.5\"} 2\n"));
	assert_non_null(strstr(text, "le=\"+Inf\"} 7\n"));
	assert_non_null(strstr(text, "_count{service=\"shop\",route=\"/\"} 7\n"));
	assert_non_null(strstr(text, "_sum{service=\"shop\",route=\"/\"} 0.000000002\n"));
	free(text);
	series_store_free(store);
}

static int run_with_input(const char *command, const char *input)
{
	FILE *pipe = popen(command, "w");
	int status;

	assert_non_null(pipe);
	fputs(input, pipe);
	status = pclose(pipe);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void promtool_finds_nothing_to_say(void **state)
{
	struct series_store *store = small_store();
	char *text = rendered(store, PROMETHEUS_TEXT);

	(void)state;
	if (system("command -v promtool >/dev/null")) {
		free(text);
		series_store_free(store);
		skip();
	}
	assert_int_equal(run_with_input("promtool check metrics >/dev/null 2>&1", text), 0);
	/* and it would have: the same with a value cut off */
	assert_int_not_equal(run_with_input("promtool check metrics >/dev/null 2>&1",
					    "shop_requests_total{service=\"shop\"\n"),
			     0);
	free(text);
	series_store_free(store);
}

static struct series_store *many_store(void)
{
	struct series_store *store = series_store_new(MANY_SERIES);
	uint32_t classic[BOUND_BUCKETS];
	struct histogram_delta delta = { .classic = classic };
	char route[64];

	assert_non_null(store);
	bounds_init_durations(&store->durations, NULL, 0, NULL);
	for (unsigned int i = 0; i < BOUND_BUCKETS; i++)
		classic[i] = i <= store->durations.count ? 1000003 : 0;
	delta.count = 1000003UL * (store->durations.count + 1);
	delta.sum = 123456789123;
	for (unsigned int i = 0; i < MANY_SERIES; i++) {
		snprintf(route, sizeof(route), "/api/projects/{id}/things/%u", i);
		series_add_histogram(one(store, &duration_spec, "project-service", route), &delta);
	}
	return store;
}

static int count_bytes(void *context, const char *bytes, size_t length)
{
	(void)bytes;
	*(size_t *)context += length;
	return 0;
}

static void renders_ten_thousand_histograms_in_less_than_a_second(void **state)
{
	struct series_store *store = many_store();
	uint64_t start_ns = clock_monotonic_ns(), took_ns;
	size_t in_pieces = 0;
	struct text text = { 0 };

	(void)state;
	assert_int_equal(prometheus_write(store, PROMETHEUS_TEXT, count_bytes, &in_pieces), 0);
	took_ns = clock_monotonic_ns() - start_ns;
	assert_int_equal(prometheus_render(store, PROMETHEUS_TEXT, &text), 0);
	assert_int_equal(text.length, in_pieces);
	print_message("# %u histograms, %zu bytes, %llu us\n", MANY_SERIES, in_pieces,
		      (unsigned long long)took_ns / 1000);
	assert_true(took_ns < NS_PER_S);
	text_fini(&text);
	series_store_free(store);
}

static int refuse_the_second(void *context, const char *bytes, size_t length)
{
	unsigned int *calls = context;

	(void)bytes;
	assert_true(length > 0 && length <= PROMETHEUS_PIECE);
	return ++*calls == 2 ? -28 : 0;
}

static void stops_at_the_first_error_of_the_sink(void **state)
{
	struct series_store *store = many_store();
	unsigned int calls = 0;

	(void)state;
	assert_int_equal(prometheus_write(store, PROMETHEUS_TEXT, refuse_the_second, &calls), -28);
	assert_int_equal(calls, 2);
	series_store_free(store);
}

static void negotiates_what_scrapers_ask_for(void **state)
{
	static const struct {
		const char *accept;
		enum prometheus_format format;
	} cases[] = {
		{ NULL, PROMETHEUS_TEXT },
		{ "", PROMETHEUS_TEXT },
		{ "*/*", PROMETHEUS_TEXT },
		{ "text/html,application/xhtml+xml,*/*;q=0.8", PROMETHEUS_TEXT },
		{ "application/openmetrics-text", PROMETHEUS_OPENMETRICS },
		{ "Application/OpenMetrics-Text ; Version=\"1.0.0\"", PROMETHEUS_OPENMETRICS },
		{ "application/openmetrics-text;version=1.0.0,application/openmetrics-text;"
		  "version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
		  PROMETHEUS_OPENMETRICS }, /* Prometheus 2.42 */
		{ "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;"
		  "encoding=delimited;q=0.6,application/openmetrics-text;version=1.0.0;"
		  "escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,"
		  "text/plain;version=1.0.0;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
		  PROMETHEUS_OPENMETRICS }, /* Prometheus 3 */
		{ "application/openmetrics-text;version=0.0.1", PROMETHEUS_TEXT },
		{ "application/openmetrics-text;q=0", PROMETHEUS_TEXT },
		{ "application/openmetrics-text;q=0.5,text/plain", PROMETHEUS_TEXT },
		{ "application/openmetrics-text;q=0.5,text/*;q=0.6", PROMETHEUS_TEXT },
		{ "text/plain,application/openmetrics-text", PROMETHEUS_TEXT },
		{ "application/openmetrics-text,text/plain", PROMETHEUS_OPENMETRICS },
		{ "application/openmetrics-text;q=nonsense", PROMETHEUS_TEXT },
		{ "application/openmetrics-text;q=1.7", PROMETHEUS_TEXT },
		{ ",;,=,;q=,,", PROMETHEUS_TEXT },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (prometheus_negotiate(cases[i].accept) != cases[i].format)
			fail_msg("Accept: %s", cases[i].accept ? cases[i].accept : "(none)");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(writes_the_text_format_to_the_letter),
		cmocka_unit_test(writes_openmetrics_to_the_letter),
		cmocka_unit_test(an_empty_store_is_an_empty_text_and_a_bare_end_in_openmetrics),
		cmocka_unit_test(the_infinite_bucket_is_the_count_even_without_classic_buckets),
		cmocka_unit_test(promtool_finds_nothing_to_say),
		cmocka_unit_test(renders_ten_thousand_histograms_in_less_than_a_second),
		cmocka_unit_test(stops_at_the_first_error_of_the_sink),
		cmocka_unit_test(negotiates_what_scrapers_ask_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
