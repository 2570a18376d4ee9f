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
 * With the table's lock held unless said otherwise. A chunk whose memory is being given back, for
 * which no lock is held, has no room and no slot in use, so nobody comes near it.
 */
#include <stdatomic.h>

#include "arena.h"
#include "inode_table.h"

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

void inode_slots_init(struct inode_table *table)
{
    for (uint32_t number = 0; number < INODE_CHUNKS; number++)
        room_set(table, number);
    /* Index 0, which ends chains, and the root, which never goes. */
    table->chunks[0].high = table->chunks[0].used = INODE_ROOT + 1;
    table->high = INODE_ROOT + 1;
    table->live = 1;
}

static struct inode *take_in(struct inode_table *table, uint32_t number)
{
    struct inode_chunk *chunk = &table->chunks[number];
    uint32_t index = chunk->free;
    if (index) {
        chunk->free = atomic_load_explicit(&table->slab[index].next, memory_order_relaxed);
    } else {
        index = number * INODE_CHUNK + chunk->high++;
        table->slab[index].last_generation = chunk->generation;
        if (index >= table->high)
            atomic_store_explicit(&table->high, index + 1, memory_order_release);
    }
    if (++chunk->used == INODE_CHUNK)
        room_clear(table, number);
    table->live++;
    return &table->slab[index];
}

struct inode *inode_slot_take(struct inode_table *table)
{
    struct inode *inode = NULL;
    pthread_mutex_lock(&table->slab_lock);
    while (table->room_first < INODE_CHUNKS / 64 && !table->room[table->room_first])
        table->room_first++;
    if (table->room_first < INODE_CHUNKS / 64) {
        unsigned bit = (unsigned)__builtin_ctzll(table->room[table->room_first]);
        inode = take_in(table, table->room_first * 64 + bit);
    }
    pthread_mutex_unlock(&table->slab_lock);
    return inode;
}

bool inode_slot_put(struct inode_table *table, struct inode *inode)
{
    uint32_t index = inode_index(table, inode);
    struct inode_chunk *chunk = &table->chunks[index / INODE_CHUNK];
    pthread_mutex_lock(&table->slab_lock);
    if (chunk->generation < inode->last_generation)
        chunk->generation = inode->last_generation;
    atomic_store_explicit(&inode->next, chunk->free, memory_order_relaxed);
    chunk->free = index;
    room_set(table, index / INODE_CHUNK);
    table->live--;
    bool empty = --chunk->used == 0;
    pthread_mutex_unlock(&table->slab_lock);
    return empty;
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
    uint32_t high = atomic_load_explicit(&table->high, memory_order_acquire);
    for (uint32_t number = 0; number * INODE_CHUNK < high; number++)
        chunk_rest(table, number);
}
