// SPDX-License-Identifier: BSD-3-Clause
/*
 * Order of memory accesses.  Publishing: descriptors and ring entry before avail->idx (release).
 * Popping: used->idx (acquire) before the entry and the data.  Deciding about a notification is
 * store-then-load on both sides (publish idx, then read the other side's wish; publish the wish,
 * then read idx), which needs a full barrier in between: without it both sides can sleep.
 */
#include "vuf_ring.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static uint16_t load16(const uint16_t *p, int order)
{
    return __atomic_load_n(p, order);
}

static void store16(uint16_t *p, uint16_t value, int order)
{
    __atomic_store_n(p, value, order);
}

static void full_barrier(void)
{
#ifdef __SANITIZE_THREAD__
    /* The thread sanitizer knows no fences; a locked instruction orders the same on all our hosts.
     */
    static int anything;

    __atomic_fetch_add(&anything, 0, __ATOMIC_SEQ_CST);
#else
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

/* Written by the driver: at which used index a call is wanted. */
static uint16_t *used_event(struct vuf_ring *ring)
{
    return &ring->avail->ring[ring->size];
}

/* Written by the device: at which avail index a kick is wanted.  It follows the used ring unaligned
 * to the element type, hence the pointer arithmetic. */
static uint16_t *avail_event(struct vuf_ring *ring)
{
    return (uint16_t *)(void *)&ring->used->ring[ring->size];
}

#define PAGE 4096u

size_t vuf_ring_mem_size(unsigned int size, unsigned int indirect_max)
{
    size_t n = size;

    return n * sizeof(struct vuf_desc) + (n + 3) * 2 + n * sizeof(struct vuf_used_elem) + 6 +
           n * indirect_max * sizeof(struct vuf_desc) + 4 * PAGE;
}

static int alloc_guest_part(struct vuf_ring *ring, struct vuf_mem *mem)
{
    size_t n = ring->size;

    ring->desc = vuf_mem_alloc(mem, n * sizeof(*ring->desc), PAGE);
    ring->avail = vuf_mem_alloc(mem, (n + 3) * 2, PAGE);
    ring->used = vuf_mem_alloc(mem, n * sizeof(struct vuf_used_elem) + 6, PAGE);
    if (!ring->desc || !ring->avail || !ring->used)
        return -ENOMEM;
    if (ring->indirect_max) {
        ring->tables = vuf_mem_alloc(mem, n * ring->indirect_max * sizeof(*ring->tables), PAGE);
        if (!ring->tables)
            return -ENOMEM;
    }
    return 0;
}

int vuf_ring_create(struct vuf_ring *ret_ring, struct vuf_mem *mem,
                    const struct vuf_ring_options *options)
{
    struct vuf_ring ring = {
        .mem = mem,
        .index = options->index,
        .size = options->size,
        .indirect_max = options->indirect_max,
        .event_idx = options->event_idx,
        .kick_fd = -1,
        .call_fd = -1,
        .err_fd = -1,
    };
    size_t mark = mem->used;
    int r;

    if (!ring.size || ring.size > VUF_RING_SIZE_MAX)
        return -EINVAL;
    r = alloc_guest_part(&ring, mem);
    if (r < 0)
        goto fail;
    ring.next = calloc(ring.size, sizeof(*ring.next));
    ring.token = calloc(ring.size, sizeof(*ring.token));
    r = -ENOMEM;
    if (!ring.next || !ring.token)
        goto fail;
    ring.kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    ring.call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    ring.err_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (ring.kick_fd < 0 || ring.call_fd < 0 || ring.err_fd < 0) {
        r = -errno;
        goto fail;
    }
    *ret_ring = ring;
    vuf_ring_reset(ret_ring, 0);
    return 0;

fail:
    mem->used = mark;
    vuf_ring_destroy(&ring);
    return r;
}

void vuf_ring_destroy(struct vuf_ring *ring)
{
    if (!ring->mem)
        return;
    free(ring->next);
    free(ring->token);
    if (ring->kick_fd >= 0)
        close(ring->kick_fd);
    if (ring->call_fd >= 0)
        close(ring->call_fd);
    if (ring->err_fd >= 0)
        close(ring->err_fd);
    *ring = (struct vuf_ring){0};
}

void vuf_ring_reset(struct vuf_ring *ring, uint16_t base)
{
    for (unsigned int i = 0; i < ring->size; i++) {
        ring->next[i] = (uint16_t)(i + 1);
        ring->token[i] = NULL;
    }
    ring->free_head = 0;
    ring->n_free = ring->size;
    ring->avail_idx = ring->kicked_idx = ring->used_idx = base;
    store16(&ring->avail->idx, base, __ATOMIC_RELAXED);
    store16(&ring->used->idx, base, __ATOMIC_RELAXED);
    /* As in a ring that is new: the first entry is worth a kick, whatever the last device said. */
    store16(&ring->used->flags, 0, __ATOMIC_RELAXED);
    store16(avail_event(ring), base, __ATOMIC_RELAXED);
    vuf_ring_calls_off(ring);
}

static void fill_desc(struct vuf_desc *desc, const struct vuf_piece *piece, uint16_t flags,
                      uint16_t next)
{
    desc->addr = piece->gpa;
    desc->len = piece->len;
    desc->flags = flags;
    desc->next = next;
}

static uint16_t piece_flags(unsigned int i, unsigned int n_read, unsigned int n)
{
    return (uint16_t)((i >= n_read ? VUF_DESC_WRITE : 0) | (i + 1 < n ? VUF_DESC_NEXT : 0));
}

/* One ring descriptor that points to the table which belongs to it. */
static void add_indirect(struct vuf_ring *ring, uint16_t head, const struct vuf_piece *pieces,
                         unsigned int n_read, unsigned int n)
{
    struct vuf_desc *table = ring->tables + (size_t)head * ring->indirect_max;
    struct vuf_piece whole = {
        .gpa = vuf_mem_gpa(ring->mem, table),
        .len = (uint32_t)(n * sizeof(*table)),
    };

    for (unsigned int i = 0; i < n; i++)
        fill_desc(&table[i], &pieces[i], piece_flags(i, n_read, n), (uint16_t)(i + 1));
    fill_desc(&ring->desc[head], &whole, VUF_DESC_INDIRECT, 0);
}

int vuf_ring_add(struct vuf_ring *ring, const struct vuf_piece *pieces, unsigned int n_read,
                 unsigned int n_write, void *token)
{
    unsigned int n = n_read + n_write;
    bool indirect = n > 1 && n <= ring->indirect_max;
    unsigned int needed = indirect ? 1 : n;
    uint16_t head = ring->free_head;

    if (!n || !token || needed > ring->size)
        return -EINVAL;
    if (needed > ring->n_free)
        return -ENOSPC;
    if (indirect) {
        add_indirect(ring, head, pieces, n_read, n);
        ring->free_head = ring->next[head];
        ring->next[head] = UINT16_MAX;
    } else {
        uint16_t at = head;

        for (unsigned int i = 0; i < n; i++) {
            uint16_t following = ring->next[at];

            fill_desc(&ring->desc[at], &pieces[i], piece_flags(i, n_read, n),
                      i + 1 < n ? following : 0);
            if (i + 1 == n) {
                ring->free_head = following;
                ring->next[at] = UINT16_MAX;
            }
            at = following;
        }
    }
    ring->n_free -= needed;
    ring->token[head] = token;
    ring->avail->ring[ring->avail_idx % ring->size] = head;
    ring->avail_idx++;
    return 0;
}

void vuf_ring_publish(struct vuf_ring *ring)
{
    store16(&ring->avail->idx, ring->avail_idx, __ATOMIC_RELEASE);
}

void vuf_ring_kick_always(struct vuf_ring *ring)
{
    uint64_t one = 1;
    /* The counter cannot overflow in practice, and a full one still wakes the reader. */
    ssize_t n = write(ring->kick_fd, &one, sizeof(one));

    (void)n;
    ring->n_kicks++;
}

int vuf_ring_kick(struct vuf_ring *ring)
{
    uint16_t old = ring->kicked_idx;
    uint16_t new = ring->avail_idx;
    bool wanted;

    vuf_ring_publish(ring);
    if (old == new)
        return 0;
    full_barrier();
    ring->kicked_idx = new;
    if (ring->event_idx) {
        uint16_t event = load16(avail_event(ring), __ATOMIC_RELAXED);

        /* Did idx step over the entry after `event`?  All modulo 2^16. */
        wanted = (uint16_t)(new - event - 1) < (uint16_t)(new - old);
    } else {
        wanted = !(load16(&ring->used->flags, __ATOMIC_RELAXED) & VUF_USED_NO_NOTIFY);
    }
    if (!wanted)
        return 0;
    vuf_ring_kick_always(ring);
    return 1;
}

/* Gives the descriptors of the chain at HEAD back. */
static void free_chain(struct vuf_ring *ring, uint16_t head)
{
    uint16_t last = head;
    unsigned int n = 1;

    while (ring->next[last] != UINT16_MAX) {
        last = ring->next[last];
        n++;
    }
    ring->next[last] = ring->free_head;
    ring->free_head = head;
    ring->n_free += n;
    ring->token[head] = NULL;
}

int vuf_ring_pop(struct vuf_ring *ring, struct vuf_done *ret_done)
{
    uint16_t idx = load16(&ring->used->idx, __ATOMIC_ACQUIRE);
    uint16_t pending = (uint16_t)(idx - ring->used_idx);
    struct vuf_used_elem elem;

    if (!pending)
        return 0;
    if (pending > ring->size)
        return -EPROTO;
    elem = ring->used->ring[ring->used_idx % ring->size];
    if (elem.id >= ring->size || !ring->token[elem.id])
        return -EPROTO;
    ring->used_idx++;
    *ret_done = (struct vuf_done){.token = ring->token[elem.id], .len = elem.len};
    free_chain(ring, (uint16_t)elem.id);
    return 1;
}

bool vuf_ring_has_done(const struct vuf_ring *ring)
{
    return load16(&ring->used->idx, __ATOMIC_ACQUIRE) != ring->used_idx;
}

void vuf_ring_calls_off(struct vuf_ring *ring)
{
    if (ring->event_idx)
        /* There is no "off": name the entry that is farthest away. */
        store16(used_event(ring), (uint16_t)(ring->used_idx + 0x8000), __ATOMIC_RELAXED);
    else
        store16(&ring->avail->flags, VUF_AVAIL_NO_INTERRUPT, __ATOMIC_RELAXED);
}

bool vuf_ring_calls_on(struct vuf_ring *ring)
{
    if (ring->event_idx)
        store16(used_event(ring), ring->used_idx, __ATOMIC_RELAXED);
    else
        store16(&ring->avail->flags, 0, __ATOMIC_RELAXED);
    full_barrier();
    return vuf_ring_has_done(ring);
}

void vuf_ring_drain_calls(struct vuf_ring *ring)
{
    uint64_t n;

    if (read(ring->call_fd, &n, sizeof(n)) == sizeof(n))
        ring->n_calls += n;
}

int vuf_ring_wait(struct vuf_ring *ring, int timeout_ms)
{
    struct pollfd pfd = {.fd = ring->call_fd, .events = POLLIN};

    while (!vuf_ring_calls_on(ring)) {
        int n = poll(&pfd, 1, timeout_ms);

        if (n < 0 && errno != EINTR)
            return -errno;
        if (n == 0)
            return -ETIMEDOUT;
        vuf_ring_drain_calls(ring);
    }
    vuf_ring_calls_off(ring);
    return 0;
}
