// SPDX-License-Identifier: BSD-3-Clause
/*
 * inode_index: from the hash of an identity to the slab indices that may have it.
 *
 * A table of 32-bit words, open addressing: a word is a slab index and eight more bits of its hash,
 * so that whoever looks for something touches next to nothing else. A tree of a million files does
 * not fit into a processor's cache; each inode looked at in passing would be a trip to memory.
 *
 * A word's place is where its hash leads to, or behind that: first around the group that is a cache
 * line, then around the next one. A look ends at the first empty word. A removed one is marked as
 * gone, as others may lie behind it; it becomes empty if the word behind it is: whatever lay behind
 * both would have filled that.
 *
 * Readers take no lock, and are inside an epoch (epoch.h): a table that is replaced is retired.
 * They see what was added before they began, and maybe what was removed meanwhile; who must not
 * miss what is being added looks with the lock held that all changes are made with.
 *
 * Owner: whoever embeds it, with that lock.
 */
#ifndef VIOFS_INODE_INDEX_H
#define VIOFS_INODE_INDEX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct epochs;

#define INODE_INDEX_BITS  24  /* of a slab index, which is not 0 */
#define INODE_INDEX_GROUP 16u /* words in a cache line */
#define INODE_INDEX_MIN   32u /* words of the smallest table */

/* Of a hash, the lowest bits are the shard's, the uppermost are kept in the word. */
#define INODE_INDEX_SKIP  7

struct inode_words {
    uint32_t mask; /* number of words - 1 */
    _Alignas(64) _Atomic uint32_t word[];
};

struct inode_index {
    _Atomic(struct inode_words *) words;
    uint32_t count; /* indices in it */
    uint32_t spent; /* words that are not empty */
};

/* The hash with which an index was added. */
typedef uint64_t inode_index_hash(const void *context, uint32_t index);

/* Returns 0 or -ENOMEM. */
int inode_index_init(struct inode_index *index);
void inode_index_free(struct inode_index *index);

/*
 * Makes sure that there is room for one more, the lock held. Returns false when the table is full
 * to the last word and there is no memory for another. hash, context: for those that it has to
 * move.
 */
bool inode_index_reserve(struct inode_index *index, struct epochs *epochs, inode_index_hash *hash,
                         const void *context);

/* After that and with the lock held still: adds one. Readers see what was stored before. */
void inode_index_add(struct inode_index *index, uint64_t hash, uint32_t value);

/* Takes one out that is in it, the lock held. */
void inode_index_remove(struct inode_index *index, uint64_t hash, uint32_t value);

/*
 * Replaces a table that is much too large, or full of words that are gone, the lock held. Returns
 * whether it did.
 */
bool inode_index_rest(struct inode_index *index, struct epochs *epochs, inode_index_hash *hash,
                      const void *context);

/* A walk through all that may have a hash. */
struct inode_cursor {
    const struct inode_words *words;
    uint32_t at, home;
    uint32_t tag;
    uint32_t left; /* words not looked at */
};

static inline struct inode_cursor inode_cursor(const struct inode_words *words, uint64_t hash)
{
    uint32_t home = (uint32_t)(hash >> INODE_INDEX_SKIP) & words->mask;
    return (struct inode_cursor){.words = words,
                                 .at = home,
                                 .home = home,
                                 .tag = (uint32_t)(hash >> 56),
                                 .left = words->mask + 1};
}

static inline struct inode_cursor inode_index_look(const struct inode_index *index, uint64_t hash)
{
    return inode_cursor(atomic_load_explicit(&index->words, memory_order_acquire), hash);
}

/* The place behind, in the same group. */
static inline uint32_t inode_index_behind(uint32_t at)
{
    return (at & ~(INODE_INDEX_GROUP - 1)) | ((at + 1) & (INODE_INDEX_GROUP - 1));
}

static inline void inode_cursor_step(struct inode_cursor *cursor)
{
    cursor->left--;
    cursor->at = inode_index_behind(cursor->at);
    if ((cursor->at ^ cursor->home) % INODE_INDEX_GROUP == 0)
        cursor->at = (cursor->at + INODE_INDEX_GROUP) & cursor->words->mask;
}

/* The next one; 0: there are no more. Few that have another hash are among them. */
static inline uint32_t inode_cursor_next(struct inode_cursor *cursor)
{
    while (cursor->left) {
        uint32_t word =
            atomic_load_explicit(&cursor->words->word[cursor->at], memory_order_acquire);
        if (!word)
            break;
        inode_cursor_step(cursor);
        uint32_t value = word & ((1u << INODE_INDEX_BITS) - 1);
        if (value && word >> INODE_INDEX_BITS == cursor->tag)
            return value;
    }
    return 0;
}

#endif
