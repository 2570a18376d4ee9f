// SPDX-License-Identifier: BSD-3-Clause
/*
 * Slots for inodes, and the memory that they lie in.
 *
 * The slab is cut into chunks. A new inode gets a slot in the first chunk that has one to spare, so
 * what a guest keeps for long gathers at the start. The memory of a chunk in which no slot is in
 * use is given back, by the janitor and not at once: an inode that comes and goes would cost a page
 * fault each time.
 *
 * What must not go with the memory is which generations the slots had, as an id that was given back
 * never names another file: the chunk remembers the largest.
 *
 * So that queues do not write the same lines for each new inode, a thread takes INODE_LOT slots at
 * a time, of one chunk, and keeps those that it has not used yet. They count as used in their
 * chunk. Everybody's are put back before memory is given back, and when no other slot is left. Each
 * has a lock for that, which its own thread always finds free but then.
 *
 * Functions are called with the slab's lock held if their comments say so. A chunk whose memory is
 * being given back, for which no lock is held, has no room and no slot in use, so nobody comes near
 * it.
 */
#include <stdatomic.h>

#include "arena.h"
#include "inode_table.h"
#include "server.h"

static uint64_t room_bit(uint32_t number)
{
    return UINT64_C(1) << number % 64;
}

static void room_set(struct inode_table *table, uint32_t number)
{
    table->room[number / 64] |= room_bit(number);
    if (table->room_first > number / 64)
        table->room_first = number / 64;
}

static void room_clear(struct inode_table *table, uint32_t number)
{
    table->room[number / 64] &= ~room_bit(number);
}

static bool has_room(const struct inode_table *table, uint32_t number)
{
    return table->room[number / 64] & room_bit(number);
}

void inode_slots_init(struct inode_table *table)
{
    for (uint32_t number = 0; number < INODE_CHUNKS; number++)
        room_set(table, number);
    /* Index 0, which is none, and the root, which never goes. */
    table->chunks[0].high = table->chunks[0].used = INODE_ROOT + 1;
    table->high = INODE_ROOT + 1;
    table->live = 1;
}

/* Takes a slot in a chunk that has room. With the slab's lock held. */
static uint32_t take_in(struct inode_table *table, uint32_t number)
{
    struct inode_chunk *chunk = &table->chunks[number];
    uint32_t index = chunk->free;
    if (index) {
        chunk->free = table->slab[index].next;
    } else {
        index = number * INODE_CHUNK + chunk->high++;
        table->slab[index].last_generation = chunk->generation;
        if (index >= table->high)
            atomic_store_explicit(&table->high, index + 1, memory_order_release);
    }
    if (++chunk->used == INODE_CHUNK)
        room_clear(table, number);
    table->live++;
    return index;
}

/* Takes up to INODE_LOT slots in the first chunk that has room; none at INODES_MAX. */
static void spares_fetch(struct inode_table *table, struct inode_spares *spares)
{
    pthread_mutex_lock(&table->slab_lock);
    while (table->room_first < INODE_CHUNKS / 64 && !table->room[table->room_first])
        table->room_first++;
    if (table->room_first < INODE_CHUNKS / 64) {
        uint64_t room = table->room[table->room_first];
        uint32_t number = table->room_first * 64 + (unsigned)__builtin_ctzll(room);
        spares->first = 0;
        while (spares->count < INODE_LOT && has_room(table, number))
            spares->slots[spares->count++] = take_in(table, number);
    }
    pthread_mutex_unlock(&table->slab_lock);
}

/* Puts a slot back. Returns whether its chunk is empty then. With the slab's lock held. */
static bool put(struct inode_table *table, uint32_t index)
{
    struct inode *inode = &table->slab[index];
    struct inode_chunk *chunk = &table->chunks[index / INODE_CHUNK];
    if (chunk->generation < inode->last_generation)
        chunk->generation = inode->last_generation;
    inode->next = chunk->free;
    chunk->free = index;
    room_set(table, index / INODE_CHUNK);
    table->live--;
    return --chunk->used == 0;
}

static bool spares_put(struct inode_table *table, struct inode_spares *spares)
{
    pthread_mutex_lock(&spares->lock);
    bool any = spares->count != 0;
    pthread_mutex_lock(&table->slab_lock);
    while (spares->count)
        put(table, spares->slots[spares->first + --spares->count]);
    pthread_mutex_unlock(&table->slab_lock);
    pthread_mutex_unlock(&spares->lock);
    return any;
}

/* Those of all threads. Returns whether there were any. */
static bool spares_put_all(struct inode_table *table)
{
    bool any = false;
    pthread_mutex_lock(&table->spares_lock);
    for (struct inode_spares *spares = table->spares; spares; spares = spares->next)
        any |= spares_put(table, spares);
    pthread_mutex_unlock(&table->spares_lock);
    return any;
}

void inode_spares_join(struct inode_table *table, struct inode_spares *spares)
{
    pthread_mutex_init(&spares->lock, NULL);
    spares->count = 0;
    pthread_mutex_lock(&table->spares_lock);
    spares->next = table->spares;
    table->spares = spares;
    pthread_mutex_unlock(&table->spares_lock);
}

void inode_spares_leave(struct inode_table *table, struct inode_spares *spares)
{
    pthread_mutex_lock(&table->spares_lock);
    struct inode_spares **link = &table->spares;
    while (*link && *link != spares)
        link = &(*link)->next;
    bool joined = *link;
    if (joined)
        *link = spares->next;
    pthread_mutex_unlock(&table->spares_lock);
    if (joined) {
        spares_put(table, spares);
        pthread_mutex_destroy(&spares->lock);
    }
}

/* From what the thread has, or from a new lot. */
static struct inode *take_spare(struct inode_table *table, struct inode_spares *spares)
{
    struct inode *inode = NULL;
    pthread_mutex_lock(&spares->lock);
    if (spares->count == 0)
        spares_fetch(table, spares);
    if (spares->count) {
        inode = &table->slab[spares->slots[spares->first++]];
        spares->count--;
    }
    pthread_mutex_unlock(&spares->lock);
    return inode;
}

struct inode *inode_slot_take(struct fuse_thread *thread)
{
    struct inode_table *table = thread->server->inodes;
    struct inode *inode;
    do {
        inode = take_spare(table, &thread->spare_inodes);
    } while (!inode && spares_put_all(table));
    return inode;
}

bool inode_slot_put(struct inode_table *table, struct inode *inode)
{
    pthread_mutex_lock(&table->slab_lock);
    bool empty = put(table, inode_index(table, inode));
    pthread_mutex_unlock(&table->slab_lock);
    return empty;
}

uint32_t inode_slots_used(struct inode_table *table)
{
    uint32_t kept = 0;
    pthread_mutex_lock(&table->spares_lock);
    for (struct inode_spares *spares = table->spares; spares; spares = spares->next) {
        pthread_mutex_lock(&spares->lock);
        kept += spares->count;
        pthread_mutex_unlock(&spares->lock);
    }
    pthread_mutex_lock(&table->slab_lock);
    uint32_t used = table->live - kept;
    pthread_mutex_unlock(&table->slab_lock);
    pthread_mutex_unlock(&table->spares_lock);
    return used;
}

bool inode_chunk_in_use(struct inode_table *table, uint32_t index)
{
    pthread_mutex_lock(&table->slab_lock);
    bool in_use = table->chunks[index / INODE_CHUNK].used != 0;
    pthread_mutex_unlock(&table->slab_lock);
    return in_use;
}

/* No lock held. */
static void chunk_rest(struct inode_table *table, uint32_t number)
{
    struct inode_chunk *chunk = &table->chunks[number];
    pthread_mutex_lock(&table->slab_lock);
    bool rests = chunk->used == 0 && chunk->high != 0;
    if (rests) {
        chunk->free = 0;
        chunk->high = 0;
        room_clear(table, number);
    }
    pthread_mutex_unlock(&table->slab_lock);
    if (!rests)
        return;
    arena_give_back(&table->slab[number * INODE_CHUNK], INODE_CHUNK * sizeof(struct inode));
    pthread_mutex_lock(&table->slab_lock);
    room_set(table, number);
    pthread_mutex_unlock(&table->slab_lock);
}

void inode_slots_rest(struct inode_table *table)
{
    spares_put_all(table);
    uint32_t high = atomic_load_explicit(&table->high, memory_order_acquire);
    for (uint32_t number = 0; number * INODE_CHUNK < high; number++)
        chunk_rest(table, number);
}
