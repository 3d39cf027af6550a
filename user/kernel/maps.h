/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The maps all probes share (bpf/lib/who.bpf.h): created once, given to every
 * object at load, memory-mapped here. And the small things every probe needs
 * of a map: mapping an array, sweeping a slot.
 */
#ifndef KERNEL_MAPS_H
#define KERNEL_MAPS_H

#include <stddef.h>
#include <stdint.h>

#include <linux/types.h>
#include <bpf/libbpf.h>

#include <plimsoll/who.h>

struct config;

enum shared_map {
	MAP_RECORDS,
	MAP_SHARED,
	MAP_PROCESS_OF,
	MAP_PROCESSES,
	MAP_PROCESS_FREE,
	MAP_SERVICES,
	MAP_SHARED_COUNT
};

struct maps {
	int fds[MAP_SHARED_COUNT]; /* -1: not there */
	struct shared *shared;
	struct process_slot *processes;
	struct service_slot *services;
	uint32_t processes_max;
	size_t processes_size; /* bytes mapped */
};

/* Creates and maps them. 0 or negative errno; what was created is released by maps_close(). */
int maps_open(struct maps *maps, const struct config *config);
void maps_close(struct maps *maps);

/* Before load: every shared map of the object becomes the one that exists. */
int maps_share(const struct maps *maps, struct bpf_object *object);

/* Pushes the indices first..end-1 on a stack map of free ones. */
int maps_fill_free(int fd, uint32_t first, uint32_t end);

/* Maps `bytes` of an array map beginning at `first_byte` (a multiple of the page size). */
void *maps_mmap(int fd, size_t first_byte, size_t bytes, int *ret_err);
void maps_unmap(void *memory, size_t bytes);

/*
 * An array map seen through a window that grows: only as much is mapped as is in
 * use, because mapped pages count as ours whether touched or not.
 */
struct growing_map {
	char *base; /* address space of the whole map, reserved */
	size_t mapped, total;
	int fd;
};

int growing_map_open(struct growing_map *map, int fd, size_t element_size, size_t elements);
void growing_map_close(struct growing_map *map);

/* Makes the first `bytes` accessible. 0 or negative errno. */
int growing_map_cover(struct growing_map *map, size_t bytes);

/* Takes a number the kernel adds to: returns it and leaves zero. */
static inline __u32 take32(__u32 *counter)
{
	return *(volatile __u32 *)counter ? __atomic_exchange_n(counter, 0, __ATOMIC_RELAXED) : 0;
}

static inline __u64 take64(__u64 *counter)
{
	return *(volatile __u64 *)counter ? __atomic_exchange_n(counter, 0, __ATOMIC_RELAXED) : 0;
}

#endif
