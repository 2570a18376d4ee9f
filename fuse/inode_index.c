// SPDX-License-Identifier: BSD-3-Clause
#include "inode_index.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "epoch.h"

#define WORD_EMPTY 0u
#define WORD_GONE  (1u << INODE_INDEX_BITS) /* no index */

static struct inode_words *words_new(uint32_t count)
{
    size_t size = sizeof(struct inode_words) + count * sizeof(uint32_t);
    struct inode_words *words = aligned_alloc(_Alignof(struct inode_words), size);
    if (!words)
        return NULL;
    memset(words, 0, size);
    words->mask = count - 1;
    return words;
}

static void words_release(void *context, uint64_t argument)
{
    (void)argument;
    free(context);
}

int inode_index_init(struct inode_index *index)
{
    *index = (struct inode_index){.words = words_new(INODE_INDEX_MIN)};
    return index->words ? 0 : -ENOMEM;
}

void inode_index_free(struct inode_index *index)
{
    free(index->words);
}

static uint32_t word_of(uint64_t hash, uint32_t value)
{
    return (uint32_t)(hash >> 56) << INODE_INDEX_BITS | value;
}

/* Where something with this hash can be put. The table is not full. Returns what is there. */
static uint32_t find_room(const struct inode_words *words, uint64_t hash, uint32_t *ret_at)
{
    struct inode_cursor cursor = inode_cursor(words, hash);
    uint32_t word;
    while ((word = atomic_load_explicit(&words->word[cursor.at], memory_order_relaxed)) !=
               WORD_EMPTY &&
           word != WORD_GONE)
        inode_cursor_step(&cursor);
    *ret_at = cursor.at;
    return word;
}

/* As many words as leave half of them empty. */
static uint32_t size_for(uint32_t count)
{
    uint32_t size = INODE_INDEX_MIN;
    while (size / 2 < count)
        size *= 2;
    return size;
}

/* Moves all into a table of that size, which has room for them. Without memory nothing changes. */
static bool move_all(struct inode_index *index, uint32_t size, struct epochs *epochs,
                     inode_index_hash *hash, const void *context)
{
    struct inode_words *words = words_new(size);
    if (!words)
        return false;
    struct inode_words *old = atomic_load_explicit(&index->words, memory_order_relaxed);
    for (uint32_t i = 0; i <= old->mask; i++) {
        uint32_t word = atomic_load_explicit(&old->word[i], memory_order_relaxed);
        if (word == WORD_EMPTY || word == WORD_GONE)
            continue;
        uint32_t at;
        find_room(words, hash(context, word & (WORD_GONE - 1)), &at);
        atomic_store_explicit(&words->word[at], word, memory_order_relaxed);
    }
    index->spent = index->count;
    atomic_store_explicit(&index->words, words, memory_order_release);
    epoch_retire(epochs, words_release, old, 0);
    return true;
}

static uint32_t size_of(const struct inode_index *index)
{
    return atomic_load_explicit(&index->words, memory_order_relaxed)->mask + 1;
}

bool inode_index_reserve(struct inode_index *index, struct epochs *epochs, inode_index_hash *hash,
                         const void *context)
{
    uint32_t size = size_of(index);
    return index->spent < size / 4 * 3 ||
           move_all(index, size_for(index->count + 1), epochs, hash, context) ||
           index->count < size;
}

void inode_index_add(struct inode_index *index, uint64_t hash, uint32_t value)
{
    struct inode_words *words = atomic_load_explicit(&index->words, memory_order_relaxed);
    uint32_t at;
    if (find_room(words, hash, &at) == WORD_EMPTY)
        index->spent++;
    atomic_store_explicit(&words->word[at], word_of(hash, value), memory_order_release);
    index->count++;
}

static uint32_t place_before(uint32_t at)
{
    uint32_t in_group = INODE_INDEX_GROUP - 1;
    return (at & ~in_group) | ((at - 1) & in_group);
}

/* A word and those before it that are gone, if nothing can lie behind them. */
static void make_empty(struct inode_index *index, struct inode_words *words, uint32_t at)
{
    if (atomic_load_explicit(&words->word[inode_index_behind(at)], memory_order_relaxed))
        return;
    while (atomic_load_explicit(&words->word[at], memory_order_relaxed) == WORD_GONE) {
        atomic_store_explicit(&words->word[at], WORD_EMPTY, memory_order_relaxed);
        index->spent--;
        at = place_before(at);
    }
}

void inode_index_remove(struct inode_index *index, uint64_t hash, uint32_t value)
{
    struct inode_words *words = atomic_load_explicit(&index->words, memory_order_relaxed);
    struct inode_cursor cursor = inode_cursor(words, hash);
    uint32_t word = word_of(hash, value);
    while (cursor.left &&
           atomic_load_explicit(&words->word[cursor.at], memory_order_relaxed) != word)
        inode_cursor_step(&cursor);
    if (!cursor.left)
        return;
    atomic_store_explicit(&words->word[cursor.at], WORD_GONE, memory_order_relaxed);
    index->count--;
    make_empty(index, words, cursor.at);
}

bool inode_index_rest(struct inode_index *index, struct epochs *epochs, inode_index_hash *hash,
                      const void *context)
{
    uint32_t size = size_for(index->count);
    bool too_large = size <= size_of(index) / 4;
    bool worn = index->spent - index->count > size_of(index) / 4;
    return (too_large || worn) && move_all(index, size, epochs, hash, context);
}
