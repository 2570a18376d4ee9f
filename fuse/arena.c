// SPDX-License-Identifier: BSD-3-Clause
#include "arena.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "scope.h"

struct arena {
    int memfd;
    char *base;
    size_t size;
    size_t taken;
};

static size_t page_up(size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (size + page - 1) / page * page;
}

int arena_new(size_t size, struct arena **ret_arena)
{
    autofree struct arena *arena = calloc(1, sizeof(*arena));
    if (!arena)
        return -ENOMEM;
    arena->size = page_up(size);
    autoclose int memfd = memfd_create("viofsd-state", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (memfd < 0)
        return -errno;
    if (ftruncate(memfd, (off_t)arena->size) < 0)
        return -errno;
    /* Sealed: whoever is handed this memory can neither cut it under us nor make it grow. */
    if (fcntl(memfd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        return -errno;
    arena->base =
        mmap(NULL, arena->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, memfd, 0);
    if (arena->base == MAP_FAILED)
        return -errno;
    arena->memfd = steal_fd(&memfd);
    *ret_arena = steal_ptr(arena);
    return 0;
}

void arena_free(struct arena *arena)
{
    if (!arena)
        return;
    munmap(arena->base, arena->size);
    close(arena->memfd);
    free(arena);
}

void arena_give_back(void *start, size_t size)
{
    /* Where that is not possible, the memory is used again all the same, and need not be zero. */
    (void)madvise(start, size, MADV_REMOVE);
}

void *arena_take(struct arena *arena, size_t size)
{
    size = page_up(size);
    if (size > arena->size - arena->taken)
        return NULL;
    void *table = arena->base + arena->taken;
    arena->taken += size;
    return table;
}
