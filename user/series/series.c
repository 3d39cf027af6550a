/* SPDX-License-Identifier: GPL-2.0-only */
#include "series/series.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"

/* The label values of one series as bytes: each with its NUL, in the order of the spec. */
struct label_key {
	size_t size;
	char bytes[SERIES_LABELS_MAX * SERIES_LABEL_VALUE_MAX];
};

static unsigned int label_count(const struct series_spec *spec)
{
	unsigned int count = 0;

	while (spec->labels[count])
		count++;
	return count;
}

static void append_label(struct label_key *key, const char *value)
{
	size_t length = text_utf8_cut(value, SERIES_LABEL_VALUE_MAX - 1);

	memcpy(key->bytes + key->size, value, length);
	key->bytes[key->size + length] = '\0';
	key->size += length + 1;
}

static void fill_key(struct label_key *ret_key, const struct series_spec *spec,
		     const char *const *values)
{
	unsigned int count = label_count(spec);

	ret_key->size = 0;
	for (unsigned int i = 0; i < count; i++)
		append_label(ret_key, values[i] ? values[i] : "");
}

static void fill_other_key(struct label_key *ret_key, const struct series_spec *spec)
{
	unsigned int count = label_count(spec);

	ret_key->size = 0;
	for (unsigned int i = 0; i < count; i++)
		append_label(ret_key, "other");
}

static bool has_labels(const void *value, const void *key, size_t key_size)
{
	const struct series *series = value;

	return series->labels_size == key_size && memcmp(series->labels, key, key_size) == 0;
}

static void free_series(struct series *series)
{
	if (!series)
		return;
	if (series->histogram)
		histogram_fini(series->histogram);
	free(series->histogram);
	free(series->labels);
	free(series);
}

struct series_store *series_store_new(size_t limit_per_family)
{
	struct series_store *store = calloc(1, sizeof(*store));

	if (!store)
		return NULL;
	store->limit_per_family = limit_per_family;
	bounds_init_durations(&store->durations, NULL, 0, NULL);
	bounds_init_sizes(&store->sizes);
	return store;
}

void series_store_free(struct series_store *store)
{
	struct family *family, *next_family;
	struct series *series, *next;

	if (!store)
		return;
	for (family = store->first; family; family = next_family) {
		next_family = family->next;
		for (series = family->first; series; series = next) {
			next = series->next;
			free_series(series);
		}
		hashmap_fini(&family->by_labels);
		free(family);
	}
	free(store);
}

struct family *series_family(struct series_store *store, const struct series_spec *spec)
{
	struct family *family;

	family_for_each (store, family)
		if (family->spec == spec || strcmp(family->spec->name, spec->name) == 0) {
			assert(label_count(family->spec) == label_count(spec));
			return family;
		}
	assert(label_count(spec) <= SERIES_LABELS_MAX);
	family = calloc(1, sizeof(*family));
	if (!family) {
		errno = ENOMEM;
		return NULL;
	}
	family->spec = spec;
	family->store = store;
	hashmap_init(&family->by_labels, has_labels);
	if (store->last)
		store->last->next = family;
	else
		store->first = family;
	store->last = family;
	return family;
}

static struct series *new_series(struct family *family, const struct label_key *key)
{
	struct series *series = calloc(1, sizeof(*series));

	if (!series)
		return NULL;
	series->family = family;
	series->labels_size = key->size;
	series->labels = malloc(key->size + 1);
	if (family->spec->kind == SERIES_HISTOGRAM)
		series->histogram = calloc(1, sizeof(*series->histogram));
	if (!series->labels || (family->spec->kind == SERIES_HISTOGRAM && !series->histogram)) {
		free_series(series);
		return NULL;
	}
	memcpy(series->labels, key->bytes, key->size);
	series->labels[key->size] = '\0';
	return series;
}

static struct series *add_series(struct family *family, const struct label_key *key)
{
	struct series *series = new_series(family, key);

	if (!series ||
	    hashmap_add(&family->by_labels, series->labels, series->labels_size, series)) {
		free_series(series);
		errno = ENOMEM;
		return NULL;
	}
	series->prev = family->last;
	if (family->last)
		family->last->next = series;
	else
		family->first = series;
	family->last = series;
	family->count++;
	family->store->count++;
	return series;
}

/* A series the user named so already is taken over: two with the same labels would be a lie. */
static struct series *overflow_series(struct family *family)
{
	struct label_key key;

	if (family->other)
		return family->other;
	fill_other_key(&key, family->spec);
	family->other = hashmap_find(&family->by_labels, key.bytes, key.size);
	if (!family->other)
		family->other = add_series(family, &key);
	if (family->other)
		family->other->is_other = true;
	return family->other;
}

struct series *series_get(struct family *family, const char *const *values)
{
	struct label_key key;
	struct series *series;

	fill_key(&key, family->spec, values);
	series = hashmap_find(&family->by_labels, key.bytes, key.size);
	if (!series) {
		if (family->count - (family->other ? 1 : 0) < family->store->limit_per_family) {
			series = add_series(family, &key);
		} else {
			family->overflowed++;
			series = overflow_series(family);
		}
	}
	if (series)
		series->touched_ns = clock_coarse_ns();
	return series;
}

void series_add(struct series *series, double amount)
{
	if (series->family->spec->kind == SERIES_COUNTER && !(amount >= 0))
		return;
	series->value += amount;
}

void series_set(struct series *series, double value)
{
	series->value = value;
}

void series_add_histogram(struct series *series, const struct histogram_delta *delta)
{
	assert(series->histogram);
	if (histogram_add(series->histogram, delta))
		series->family->store->short_adds++;
	series->touched_ns = clock_coarse_ns();
}

const char *series_label(const struct series *series, unsigned int index)
{
	size_t at = 0;

	while (index > 0 && at < series->labels_size) {
		at += strlen(series->labels + at) + 1;
		index--;
	}
	return at < series->labels_size ? series->labels + at : "";
}

void series_remove(struct series *series)
{
	struct family *family = series->family;
	void *removed;

	removed = hashmap_remove(&family->by_labels, series->labels, series->labels_size);
	assert(removed == series);
	(void)removed;
	if (series->prev)
		series->prev->next = series->next;
	else
		family->first = series->next;
	if (series->next)
		series->next->prev = series->prev;
	else
		family->last = series->prev;
	if (family->other == series)
		family->other = NULL;
	family->count--;
	family->store->count--;
	free_series(series);
}

static size_t remove_labelled_of(struct family *family, const char *label,
				 const struct label_key *value)
{
	struct series *series, *next;
	unsigned int index = 0;
	size_t removed = 0;

	while (family->spec->labels[index] && strcmp(family->spec->labels[index], label) != 0)
		index++;
	if (!family->spec->labels[index])
		return 0;
	for (series = family->first; series; series = next) {
		next = series->next;
		if (series->is_other || strcmp(series_label(series, index), value->bytes) != 0)
			continue;
		series_remove(series);
		removed++;
	}
	return removed;
}

size_t series_remove_labelled(struct series_store *store, const char *label, const char *value)
{
	struct label_key cut = { 0 };
	struct family *family;
	size_t removed = 0;

	append_label(&cut, value);
	family_for_each (store, family)
		removed += remove_labelled_of(family, label, &cut);
	return removed;
}
