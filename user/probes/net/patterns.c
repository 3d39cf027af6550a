/* SPDX-License-Identifier: GPL-2.0-only */
#include "probes/net/patterns.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <linux/types.h>
#include <bpf/bpf.h>

#include <plimsoll/net/request.h>

#include "base/log.h"
#include "base/text.h"

#define STATES_MAX   4096
#define FIRST_STATE  1
#define SEGMENTS_MAX 64

struct segment {
	const char *text;
	uint32_t length;
	bool any;
};

struct pattern {
	char *text;
	char service[64]; /* glob */
	struct segment segments[SEGMENTS_MAX];
	uint32_t count;
};

/* A state is the set of patterns that still fit, all at the same depth. */
struct state {
	uint32_t depth;
	uint32_t *members;
	uint32_t member_count;
};

struct edge {
	struct pattern_step from;
	struct pattern_state to;
};

struct patterns {
	struct pattern *patterns;
	uint32_t pattern_count;
	struct state *states; /* [0] is unused: no pattern fits any more */
	uint32_t state_count;
	uint32_t expanded; /* states below have their edges */
	struct edge *edges;
	uint32_t edge_count, edge_capacity;
	uint32_t loaded; /* edges the kernel has */
	uint32_t *scratch;
	int map_fd;
	int err; /* once set, nothing more is compiled */
};

uint64_t patterns_segment_hash(const char *segment, uint32_t length)
{
	uint64_t hash = 0x9e3779b97f4a7c15ULL;

	for (uint32_t at = 0; at < length; at += 8) {
		uint64_t word = 0;

		memcpy(&word, segment + at, length - at < 8 ? length - at : 8);
		hash = (hash ^ word) * 0xff51afd7ed558ccdULL;
		hash ^= hash >> 32;
	}
	return hash;
}

/* A pattern of more segments than a path the kernel keeps can have matches nothing. */
static void split(struct pattern *pattern)
{
	const char *at = pattern->text + (pattern->text[0] == '/');

	while (pattern->count < SEGMENTS_MAX) {
		struct segment *segment = &pattern->segments[pattern->count++];

		segment->text = at;
		segment->length = (uint32_t)strcspn(at, "/");
		segment->any =
			segment->length > 2 && at[0] == '{' && at[segment->length - 1] == '}';
		if (!at[segment->length])
			return;
		at += segment->length + 1;
	}
	pattern->count = 0;
}

static bool same_literal(const struct segment *a, const struct segment *b)
{
	return a->length == b->length && memcmp(a->text, b->text, a->length) == 0;
}

/* Is `a` more specific than `b`? Both fit the same path. */
static bool beats(const struct pattern *a, const struct pattern *b)
{
	for (uint32_t i = 0; i < a->count && i < b->count; i++)
		if (a->segments[i].any != b->segments[i].any)
			return !a->segments[i].any;
	return false;
}

static uint32_t state_intern(struct patterns *p, uint32_t depth, const uint32_t *members,
			     uint32_t count)
{
	struct state *grown, *state;

	for (uint32_t i = FIRST_STATE; i < p->state_count; i++) {
		state = &p->states[i];
		if (state->depth == depth && state->member_count == count &&
		    memcmp(state->members, members, count * sizeof(*members)) == 0)
			return i;
	}
	if (p->state_count >= STATES_MAX) {
		p->err = -E2BIG;
		return 0;
	}
	grown = realloc(p->states, (p->state_count + 1) * sizeof(*grown));
	if (!grown) {
		p->err = -ENOMEM;
		return 0;
	}
	p->states = grown;
	state = &p->states[p->state_count];
	state->depth = depth;
	state->member_count = count;
	state->members = malloc((count + 1) * sizeof(*members));
	if (!state->members) {
		p->err = -ENOMEM;
		return 0;
	}
	memcpy(state->members, members, count * sizeof(*members));
	return p->state_count++;
}

static void edge_add(struct patterns *p, uint32_t from, uint64_t segment, const uint32_t *members,
		     uint32_t count, uint32_t depth)
{
	uint32_t accepts = 0;

	if (p->edge_count == p->edge_capacity) {
		uint32_t capacity = p->edge_capacity ? 2 * p->edge_capacity : 64;
		struct edge *grown = realloc(p->edges, capacity * sizeof(*grown));

		if (!grown) {
			p->err = -ENOMEM;
			return;
		}
		p->edges = grown;
		p->edge_capacity = capacity;
	}
	for (uint32_t i = 0; i < count; i++) {
		const struct pattern *pattern = &p->patterns[members[i]];

		if (pattern->count == depth &&
		    (!accepts || beats(pattern, &p->patterns[accepts - 1])))
			accepts = members[i] + 1;
	}
	p->edges[p->edge_count++] = (struct edge){
		.from = { .state = from, .segment = segment },
		.to = { .next = state_intern(p, depth, members, count), .accepts = accepts },
	};
}

/* The edges out of one state: one per literal that some member has next, and the default. */
static void expand(struct patterns *p, uint32_t index, uint32_t *next)
{
	uint32_t depth = p->states[index].depth, members = p->states[index].member_count;

	for (uint32_t i = 0; i <= members && !p->err; i++) {
		const struct segment *literal = NULL;
		uint32_t count = 0;
		bool done = false;

		if (i < members) {
			const struct pattern *own = &p->patterns[p->states[index].members[i]];

			if (own->count <= depth || own->segments[depth].any)
				continue;
			literal = &own->segments[depth];
		}
		for (uint32_t j = 0; j < members; j++) {
			uint32_t member = p->states[index].members[j];
			const struct pattern *other = &p->patterns[member];

			if (other->count <= depth)
				continue;
			if (other->segments[depth].any ||
			    (literal && same_literal(literal, &other->segments[depth]))) {
				/* the first member with this literal adds the edge */
				if (j < i && literal && !other->segments[depth].any)
					done = true;
				next[count++] = member;
			}
		}
		if (count && !done)
			edge_add(p, index,
				 literal ? patterns_segment_hash(literal->text, literal->length)
					 : PATTERN_ANY,
				 next, count, depth + 1);
	}
}

struct patterns *patterns_new(const struct config *config, int map_fd)
{
	struct patterns *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->map_fd = map_fd;
	p->state_count = p->expanded = FIRST_STATE;
	p->patterns = calloc(config->route_count + 1, sizeof(*p->patterns));
	p->scratch = calloc(2 * (config->route_count + 1), sizeof(*p->scratch));
	for (size_t i = 0; p->patterns && p->scratch && i < config->route_count; i++) {
		p->patterns[i].text = strdup(config->routes[i].pattern);
		if (!p->patterns[i].text)
			break;
		text_copy(p->patterns[i].service, sizeof(p->patterns[i].service),
			  config->routes[i].service);
		split(&p->patterns[i]);
		p->pattern_count++;
	}
	if (p->pattern_count == config->route_count && p->patterns && p->scratch)
		return p;
	patterns_free(p);
	errno = ENOMEM;
	return NULL;
}

void patterns_free(struct patterns *patterns)
{
	if (!patterns)
		return;
	for (uint32_t i = 0; i < patterns->pattern_count; i++)
		free(patterns->patterns[i].text);
	for (uint32_t i = FIRST_STATE; i < patterns->state_count; i++)
		free(patterns->states[i].members);
	free(patterns->scratch);
	free(patterns->patterns);
	free(patterns->states);
	free(patterns->edges);
	free(patterns);
}

static int load(struct patterns *p)
{
	for (; p->map_fd >= 0 && p->loaded < p->edge_count; p->loaded++)
		if (bpf_map_update_elem(p->map_fd, &p->edges[p->loaded].from,
					&p->edges[p->loaded].to, BPF_ANY))
			return -errno;
	return 0;
}

uint32_t patterns_start(struct patterns *patterns, const char *service)
{
	uint32_t count = 0, start, *members;

	if (!patterns || patterns->err)
		return 0;
	members = patterns->scratch + patterns->pattern_count;
	for (uint32_t i = 0; i < patterns->pattern_count; i++)
		if (patterns->patterns[i].count &&
		    config_glob_matches(patterns->patterns[i].service, service))
			members[count++] = i;
	if (!count)
		return 0;
	start = state_intern(patterns, 0, members, count);
	for (; patterns->expanded < patterns->state_count && !patterns->err; patterns->expanded++)
		expand(patterns, patterns->expanded, patterns->scratch);
	if (!patterns->err)
		patterns->err = load(patterns);
	if (!patterns->err)
		return start;
	log_errno(patterns->err, "routes: too many patterns; the heuristic names the routes of %s",
		  service);
	return 0;
}

uint32_t patterns_states(const struct patterns *patterns)
{
	return patterns && patterns->state_count > FIRST_STATE ? patterns->state_count : 0;
}

static const struct pattern_state *edge_find(const struct patterns *patterns, uint32_t state,
					     uint64_t segment)
{
	const struct pattern_state *any = NULL;

	for (uint32_t i = 0; i < patterns->edge_count; i++) {
		const struct edge *edge = &patterns->edges[i];

		if (edge->from.state != state)
			continue;
		if (edge->from.segment == segment)
			return &edge->to;
		if (edge->from.segment == PATTERN_ANY)
			any = &edge->to;
	}
	return any;
}

const char *patterns_match(struct patterns *patterns, const char *service, const char *path)
{
	uint32_t state = patterns_start(patterns, service);
	const struct pattern_state *edge = NULL;

	path += path[0] == '/';
	while (state) {
		uint32_t length = (uint32_t)strcspn(path, "/");

		edge = edge_find(patterns, state, patterns_segment_hash(path, length));
		if (!edge || !path[length])
			break;
		state = edge->next;
		path += length + 1;
	}
	return state && edge && edge->accepts ? patterns_text(patterns, edge->accepts - 1) : NULL;
}

const char *patterns_text(const struct patterns *patterns, uint32_t number)
{
	return patterns && number < patterns->pattern_count ? patterns->patterns[number].text
							    : "other";
}
