/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The series store: families (a name, a kind, label names) of series (label
 * values and a number). The store owns all of it. Families are declared from
 * static specs; exporters and docs/METRICS.md are generated from the same
 * specs. A family holds at most `limit` series: what comes later is added to
 * its one overflow series, whose label values are all "other", and counted.
 *
 * Single-threaded: only the agent's loop touches a store.
 */
#ifndef SERIES_SERIES_H
#define SERIES_SERIES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/hashmap.h"
#include "series/histogram.h"

#define SERIES_LABELS_MAX      8
#define SERIES_LABEL_VALUE_MAX 128 /* bytes with NUL; longer values are cut at a UTF-8 boundary */

enum series_kind { SERIES_COUNTER, SERIES_GAUGE, SERIES_HISTOGRAM };
enum series_unit { UNIT_NONE, UNIT_SECONDS, UNIT_BYTES, UNIT_RATIO };

struct series_spec {
	const char *name; /* counters end in _total */
	enum series_kind kind;
	enum series_unit unit; /* histograms: SECONDS keep ns inside, BYTES keep bytes */
	const char *labels[SERIES_LABELS_MAX + 1];
	const char *help;
};

struct series {
	struct family *family;
	struct series *prev;
	struct series *next; /* in the family, oldest first */
	uint64_t touched_ns; /* monotonic, coarse: last series_get() or series_add_histogram() */
	bool is_other;
	double value;		     /* counter, gauge */
	struct histogram *histogram; /* histogram families only */
	char *labels;		     /* NUL-separated label values, spec order */
	size_t labels_size;
};

struct family {
	const struct series_spec *spec;
	struct family *next; /* in order of declaration */
	struct series *first, *last;
	struct series *other;
	size_t count;	     /* with the overflow series, which does not count against the limit */
	uint64_t overflowed; /* look-ups that ended in the overflow series */
	struct hashmap by_labels;
	struct series_store *store;
};

struct series_store {
	struct family *first, *last;
	size_t limit_per_family;
	size_t count;	     /* all series */
	uint64_t short_adds; /* histogram adds whose exponential part found no memory */
	struct bounds durations;
	struct bounds sizes;
};

struct series_store *series_store_new(size_t limit_per_family);
void series_store_free(struct series_store *store);

/* The same spec gives the same family. NULL with errno ENOMEM. */
struct family *series_family(struct series_store *store, const struct series_spec *spec);

/*
 * Finds or creates. `values` has one string per label of the spec. NULL with errno ENOMEM only.
 * An empty label value is the same as no label (Prometheus), exporters leave it out.
 */
struct series *series_get(struct family *family, const char *const *values);

/* A counter ignores what is negative or not a number: it never goes down. */
void series_add(struct series *series, double amount);
void series_set(struct series *series, double value);
void series_add_histogram(struct series *series, const struct histogram_delta *delta);

/* The value of label `index`, never NULL. */
const char *series_label(const struct series *series, unsigned int index);

/* Not from within series_for_each() over its family: `series` is freed. */
void series_remove(struct series *series);

/*
 * Removes every series of every family whose label `label` is `value` (a service that is
 * gone), except overflow series. Returns how many.
 */
size_t series_remove_labelled(struct series_store *store, const char *label, const char *value);

#define family_for_each(store, f) for ((f) = (store)->first; (f); (f) = (f)->next)
#define series_for_each(f, s)	  for ((s) = (f)->first; (s); (s) = (s)->next)

#endif
