// SPDX-License-Identifier: BSD-3-Clause
/*
 * Guest memory: one memfd, mapped here, named by two made-up addresses.
 *
 * A place in it has a host pointer (this process), a guest address (what descriptors carry) and a
 * user address (what ring addresses carry).  The three never coincide, so that a back-end that
 * mixes them up fails.
 *
 * Owner: the one who called vuf_mem_create; ends with vuf_mem_destroy.  The back-end keeps its own
 * mapping. Threads: allocation by one thread at a time; the address translations may be used by
 * all.
 */
#ifndef VUF_MEM_H
#define VUF_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vuf_proto.h"

#define VUF_MEM_GPA 0x100000000ull    /* 4 GiB: above any hole of a PC */
#define VUF_MEM_UVA 0x2a0000000000ull /* an address that nothing is mapped at in practice */

struct vuf_mem {
    int fd;             /* memfd, owned */
    unsigned char *map; /* host pointer of the first byte */
    size_t size;        /* bytes, whole pages */
    uint64_t gpa;
    uint64_t uva;
    uint64_t fd_offset; /* of the region inside the memfd */
    size_t used;        /* bytes handed out, from the start */
};

struct vuf_mem_options {
    size_t size;        /* bytes, rounded up to pages */
    uint64_t gpa;       /* 0: VUF_MEM_GPA */
    uint64_t uva;       /* 0: VUF_MEM_UVA */
    uint64_t fd_offset; /* bytes of the memfd before the region, whole pages */
    bool sealed;        /* F_SEAL_SHRINK|GROW|SEAL: the front-end promises not to truncate it */
};

/* Memory reads as zeros and costs only what is touched.  -EINVAL for size 0 or an odd fd_offset. */
int vuf_mem_create(struct vuf_mem *ret_mem, const struct vuf_mem_options *options);

/* Accepts a zeroed struct. */
void vuf_mem_destroy(struct vuf_mem *mem);

/* SIZE bytes at a multiple of ALIGN (a power of two), or NULL when the region is full.  Never freed
 * one by one: take mem->used before and put it back after. */
void *vuf_mem_alloc(struct vuf_mem *mem, size_t size, size_t align);

/* Description for SET_MEM_TABLE and ADD_MEM_REG. */
struct vuf_region vuf_mem_region(const struct vuf_mem *mem);

static inline uint64_t vuf_mem_gpa(const struct vuf_mem *mem, const void *host)
{
    return mem->gpa + (uint64_t)((const unsigned char *)host - mem->map);
}

static inline uint64_t vuf_mem_uva(const struct vuf_mem *mem, const void *host)
{
    return mem->uva + (uint64_t)((const unsigned char *)host - mem->map);
}

#endif
