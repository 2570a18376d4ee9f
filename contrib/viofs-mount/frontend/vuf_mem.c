// SPDX-License-Identifier: BSD-3-Clause
#include "vuf_mem.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096u

int vuf_mem_create(struct vuf_mem *ret_mem, const struct vuf_mem_options *options)
{
    size_t size = (options->size + PAGE - 1) & ~(size_t)(PAGE - 1);
    void *map;
    int fd;

    if (!size || options->fd_offset % PAGE)
        return -EINVAL;
    fd = memfd_create("guest-memory", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -errno;
    if (ftruncate(fd, (off_t)(options->fd_offset + size)) < 0 ||
        (options->sealed && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0))
        goto fail;
    map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd,
               (off_t)options->fd_offset);
    if (map == MAP_FAILED)
        goto fail;
    *ret_mem = (struct vuf_mem){
        .fd = fd,
        .map = map,
        .size = size,
        .gpa = options->gpa ? options->gpa : VUF_MEM_GPA,
        .uva = options->uva ? options->uva : VUF_MEM_UVA,
        .fd_offset = options->fd_offset,
    };
    return 0;

fail:;
    int err = errno;

    close(fd);
    return -err;
}

void vuf_mem_destroy(struct vuf_mem *mem)
{
    if (!mem->map)
        return;
    munmap(mem->map, mem->size);
    close(mem->fd);
    *mem = (struct vuf_mem){.fd = -1};
}

void *vuf_mem_alloc(struct vuf_mem *mem, size_t size, size_t align)
{
    size_t start = (mem->used + align - 1) & ~(align - 1);

    if (start > mem->size || size > mem->size - start)
        return NULL;
    mem->used = start + size;
    return mem->map + start;
}

struct vuf_region vuf_mem_region(const struct vuf_mem *mem)
{
    return (struct vuf_region){
        .gpa = mem->gpa,
        .size = mem->size,
        .uva = mem->uva,
        .mmap_offset = mem->fd_offset,
    };
}
