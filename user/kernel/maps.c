/* SPDX-License-Identifier: GPL-2.0-only */
#include "kernel/maps.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "base/log.h"
#include "config/config.h"

static const char *const names[MAP_SHARED_COUNT] = {
	[MAP_RECORDS] = "pl_records",		[MAP_SHARED] = "pl_shared",
	[MAP_PROCESS_OF] = "pl_process_of",	[MAP_PROCESSES] = "pl_processes",
	[MAP_PROCESS_FREE] = "pl_process_free", [MAP_SERVICES] = "pl_services",
};

static int create(struct maps *maps, enum shared_map which, enum bpf_map_type type, size_t key_size,
		  size_t value_size, uint32_t entries, uint32_t flags)
{
	LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = flags);
	char name[16];

	text_copy(name, sizeof(name), names[which]);
	maps->fds[which] = bpf_map_create(type, name, (uint32_t)key_size, (uint32_t)value_size,
					  entries, &options);
	return maps->fds[which] < 0 ? log_errno(-errno, "maps: cannot create %s", name) : 0;
}

static size_t page_round(size_t bytes)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return (bytes + page - 1) / page * page;
}

void maps_unmap(void *memory, size_t bytes)
{
	munmap(memory, page_round(bytes));
}

void *maps_mmap(int fd, size_t first_byte, size_t bytes, int *ret_err)
{
	void *memory = mmap(NULL, page_round(bytes), PROT_READ | PROT_WRITE, MAP_SHARED_VALIDATE,
			    fd, (off_t)first_byte);

	*ret_err = memory == MAP_FAILED ? -errno : 0;
	return memory == MAP_FAILED ? NULL : memory;
}

#define GROW_BYTES (256 * 1024)

int growing_map_open(struct growing_map *map, int fd, size_t element_size, size_t elements)
{
	void *base;

	memset(map, 0, sizeof(*map));
	map->fd = fd;
	map->total = page_round((element_size + 7) / 8 * 8 * elements);
	base = mmap(NULL, map->total, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
		    0);
	if (base == MAP_FAILED)
		return -errno;
	map->base = base;
	return 0;
}

void growing_map_close(struct growing_map *map)
{
	if (map->base)
		munmap(map->base, map->total);
	memset(map, 0, sizeof(*map));
}

int growing_map_cover(struct growing_map *map, size_t bytes)
{
	size_t more;

	if (bytes <= map->mapped)
		return 0;
	more = (bytes - map->mapped + GROW_BYTES - 1) / GROW_BYTES * GROW_BYTES;
	if (more > map->total - map->mapped)
		more = map->total - map->mapped;
	if (mmap(map->base + map->mapped, more, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
		 map->fd, (off_t)map->mapped) == MAP_FAILED)
		return -errno;
	map->mapped += more;
	return 0;
}

int maps_fill_free(int fd, uint32_t first, uint32_t end)
{
	/* the last one pushed is the first one taken: low indices first, few pages touched */
	for (uint32_t index = end; index-- > first;)
		if (bpf_map_update_elem(fd, NULL, &index, 0))
			return log_errno(-errno, "maps: cannot fill a free list");
	return 0;
}

int maps_open(struct maps *maps, const struct config *config)
{
	uint32_t processes = config->processes_max;
	int err;

	memset(maps, 0, sizeof(*maps));
	for (int i = 0; i < MAP_SHARED_COUNT; i++)
		maps->fds[i] = -1;
	maps->processes_max = processes;
	err = create(maps, MAP_RECORDS, BPF_MAP_TYPE_RINGBUF, 0, 0, config->ring_bytes, 0);
	if (!err)
		err = create(maps, MAP_SHARED, BPF_MAP_TYPE_ARRAY, 4, sizeof(struct shared), 1,
			     BPF_F_MMAPABLE);
	if (!err)
		err = create(maps, MAP_PROCESS_OF, BPF_MAP_TYPE_HASH, 4, 4, processes, 0);
	if (!err)
		err = create(maps, MAP_PROCESSES, BPF_MAP_TYPE_ARRAY, 4,
			     sizeof(struct process_slot), processes, BPF_F_MMAPABLE);
	if (!err)
		err = create(maps, MAP_PROCESS_FREE, BPF_MAP_TYPE_STACK, 0, 4, processes, 0);
	if (!err)
		err = create(maps, MAP_SERVICES, BPF_MAP_TYPE_ARRAY, 4, sizeof(struct service_slot),
			     SERVICES_MAX, BPF_F_MMAPABLE);
	if (err)
		return err;
	maps->shared = maps_mmap(maps->fds[MAP_SHARED], 0, page_round(sizeof(struct shared)), &err);
	if (!err) {
		maps->processes_size = page_round(sizeof(struct process_slot) * processes);
		maps->processes =
			maps_mmap(maps->fds[MAP_PROCESSES], 0, maps->processes_size, &err);
	}
	if (!err)
		maps->services =
			maps_mmap(maps->fds[MAP_SERVICES], 0,
				  page_round(sizeof(struct service_slot) * SERVICES_MAX), &err);
	if (err)
		return log_errno(err, "maps: cannot map the shared tables");
	maps->shared->agent_tgid = (uint32_t)getpid();
	maps->shared->keys_per_service = config->endpoints_per_service;
	return maps_fill_free(maps->fds[MAP_PROCESS_FREE], PROCESS_UNKNOWN + 1, processes);
}

void maps_close(struct maps *maps)
{
	if (maps->shared)
		munmap(maps->shared, page_round(sizeof(struct shared)));
	if (maps->processes)
		munmap(maps->processes, maps->processes_size);
	if (maps->services)
		munmap(maps->services, page_round(sizeof(struct service_slot) * SERVICES_MAX));
	for (int i = 0; i < MAP_SHARED_COUNT; i++)
		if (maps->fds[i] >= 0)
			close(maps->fds[i]);
	memset(maps, 0, sizeof(*maps));
	for (int i = 0; i < MAP_SHARED_COUNT; i++)
		maps->fds[i] = -1;
}

int maps_share(const struct maps *maps, struct bpf_object *object)
{
	struct bpf_map *map;
	int err;

	bpf_object__for_each_map(map, object)
	{
		for (int i = 0; i < MAP_SHARED_COUNT; i++) {
			if (strcmp(bpf_map__name(map), names[i]) != 0)
				continue;
			err = bpf_map__reuse_fd(map, maps->fds[i]);
			if (err)
				return err;
		}
	}
	return 0;
}
