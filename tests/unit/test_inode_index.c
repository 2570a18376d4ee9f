// SPDX-License-Identifier: BSD-3-Clause
/*
 * inode_index: what is in it is found, whatever else has come and gone, and by readers without a
 * lock as well; what is not in it costs a look at a few words; memory follows the number.
 */
#include <pthread.h>
#include <stdlib.h>

#include "epoch.h"
#include "inode_index.h"
#include "test.h"

/* One more makes the table grow, from three quarters in use to three eighths. */
#define VALUES (3u << 16)

static struct epochs *epochs;
static struct inode_index in;

/* As good as random. */
static uint64_t spread(uint64_t x)
{
    x = (x ^ x >> 31) * 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 29) * 0xbf58476d1ce4e5b9u;
    return x ^ x >> 32;
}

static uint64_t hash_spread(const void *context, uint32_t value)
{
    (void)context;
    return spread(value);
}

/*
 * Three places and two tags for all: most of them are found far from their places, and those of the
 * last place at the table's start.
 */
static uint64_t hash_crowded(const void *context, uint32_t value)
{
    static const uint64_t places[] = {5, 14, 0xffffff};
    (void)context;
    return (uint64_t)(value % 2) << 56 | places[value % 3] << INODE_INDEX_SKIP;
}

static bool is_in(uint64_t hash, uint32_t value)
{
    struct inode_cursor cursor = inode_index_look(&in, hash);
    unsigned times = 0;
    uint32_t found;
    while ((found = inode_cursor_next(&cursor)))
        times += found == value;
    return times == 1;
}

/* How many words are looked at until it is clear that there is nothing. */
static uint32_t steps_in_vain(uint64_t hash)
{
    struct inode_cursor cursor = inode_index_look(&in, hash);
    uint32_t all = cursor.left;
    while (inode_cursor_next(&cursor)) {
    }
    return all - cursor.left;
}

static uint32_t words(void)
{
    return atomic_load(&in.words)->mask + 1;
}

static bool add(inode_index_hash *hash, uint32_t value)
{
    if (!inode_index_reserve(&in, epochs, hash, NULL))
        return false;
    inode_index_add(&in, hash(NULL, value), value);
    return true;
}

static bool begin(void)
{
    return epochs_new(4, &epochs) == 0 && inode_index_init(&in) == 0;
}

static void end(void)
{
    inode_index_free(&in);
    epochs_free(epochs);
}

/* Random changes; after each some, and now and then all, are compared with a list. */
static void compare_with_list(inode_index_hash *hash, uint32_t values, unsigned changes)
{
    static bool listed[VALUES];
    uint32_t count = 0;
    memset(listed, 0, sizeof(listed));
    for (unsigned i = 0; i < changes; i++) {
        uint64_t random = spread(i + 1);
        uint32_t value = 1 + (uint32_t)(random % (values - 1));
        /* Grows and shrinks in turn. */
        bool wanted = (random >> 40) % 8 < (i / (values * 4) % 2 ? 2 : 6);
        if (wanted != listed[value]) {
            if (wanted)
                CHECK(add(hash, value));
            else
                inode_index_remove(&in, hash(NULL, value), value);
            listed[value] = wanted;
            count += wanted ? 1 : -1u;
        }
        CHECK_EQ(is_in(hash(NULL, value), value), wanted);
        CHECK_EQ(in.count, count);
        CHECK(in.spent >= count && in.spent <= words());
        if (i % (values * 2) == 0)
            inode_index_rest(&in, epochs, hash, NULL);
        if (i % values)
            continue;
        for (uint32_t other = 1; other < values; other++)
            CHECK_EQ(is_in(hash(NULL, other), other), listed[other]);
    }
}

static void finds_what_is_in_it(void)
{
    CHECK(begin());
    compare_with_list(hash_spread, 5000, 200000);
    end();
}

static void finds_in_a_crowd(void)
{
    CHECK(begin());
    compare_with_list(hash_crowded, 200, 20000);
    end();
}

/* As when there is no memory for a larger one. */
static void full_to_the_last_word(void)
{
    CHECK(begin());
    for (uint32_t value = 1; value <= INODE_INDEX_MIN; value++)
        inode_index_add(&in, hash_crowded(NULL, value), value);
    for (uint32_t value = 1; value <= INODE_INDEX_MIN + 4; value++)
        CHECK_EQ(is_in(hash_crowded(NULL, value), value), value <= INODE_INDEX_MIN);
    for (uint32_t value = 1; value <= INODE_INDEX_MIN; value += 2)
        inode_index_remove(&in, hash_crowded(NULL, value), value);
    for (uint32_t value = 1; value <= INODE_INDEX_MIN; value++)
        CHECK_EQ(is_in(hash_crowded(NULL, value), value), value % 2 == 0);
    /* One that was gone has room again. */
    inode_index_add(&in, hash_crowded(NULL, 3), 3);
    CHECK(is_in(hash_crowded(NULL, 3), 3));
    end();
}

static double words_in_vain(void)
{
    uint64_t steps = 0;
    for (uint32_t value = 0; value < VALUES; value++)
        steps += steps_in_vain(spread(2 * VALUES + value));
    return (double)steps / VALUES;
}

static void looks_end_early(void)
{
    CHECK(begin());
    for (uint32_t value = 1; value <= VALUES; value++)
        CHECK(add(hash_spread, value));
    CHECK_EQ(words(), VALUES / 3 * 4);
    double full = words_in_vain();
    CHECK(add(hash_spread, VALUES + 1));
    CHECK_EQ(words(), VALUES / 3 * 8);
    double spacious = words_in_vain();
    printf("     %.2f words for what is not there just before it grows, %.2f behind\n", full,
           spacious);
    CHECK(full < 9 && spacious < 1);
    end();
}

static void memory_follows_the_number(void)
{
    CHECK(begin());
    CHECK_EQ(words(), INODE_INDEX_MIN);
    for (uint32_t value = 1; value < VALUES; value++)
        CHECK(add(hash_spread, value));
    CHECK(words() <= 4 * VALUES);
    for (uint32_t value = 1; value < VALUES; value++)
        inode_index_remove(&in, spread(value), value);
    CHECK_EQ(in.count, 0);
    inode_index_rest(&in, epochs, hash_spread, NULL);
    CHECK_EQ(words(), INODE_INDEX_MIN);
    CHECK_EQ(in.spent, 0);
    end();
}

/* What comes and goes leaves nothing behind: not where nothing lies behind it. */
static void gone_words_become_empty(void)
{
    CHECK(begin());
    CHECK(add(hash_crowded, 3));
    const struct inode_words *before = atomic_load(&in.words);
    for (unsigned i = 0; i < 1000; i++) {
        /* All in one place, so that each but the last has something behind it when it goes. */
        for (uint32_t value = 6; value <= 18; value += 3)
            CHECK(add(hash_crowded, value));
        for (uint32_t value = 6; value <= 18; value += 3)
            inode_index_remove(&in, hash_crowded(NULL, value), value);
        CHECK_EQ(in.spent, 1);
    }
    CHECK(atomic_load(&in.words) == before);
    end();
}

/* Where others lie behind, the janitor sees to it. */
static void worn_tables_are_replaced(void)
{
    CHECK(begin());
    for (uint32_t value = 1; value <= 12000; value++)
        CHECK(add(hash_spread, value));
    for (uint32_t value = 1; value <= 6000; value++)
        inode_index_remove(&in, spread(value), value);
    CHECK(in.spent - in.count > words() / 4);
    CHECK(inode_index_rest(&in, epochs, hash_spread, NULL));
    CHECK_EQ(in.spent, in.count);
    CHECK(!inode_index_rest(&in, epochs, hash_spread, NULL));
    for (uint32_t value = 6001; value <= 12000; value++)
        CHECK(is_in(spread(value), value));
    end();
}

/* Files that live for a moment among others that stay. */
static void comes_and_goes_without_growing(void)
{
    CHECK(begin());
    for (uint32_t value = 1; value < 1000; value++)
        CHECK(add(hash_spread, value));
    uint32_t before = words();
    for (uint32_t value = 1000; value < VALUES; value++) {
        CHECK(add(hash_spread, value));
        inode_index_remove(&in, spread(value), value);
    }
    CHECK_EQ(words(), before);
    CHECK_EQ(in.count, 999);
    end();
}

static atomic_bool changing;
static atomic_uint looks;

/* Finds what stays, again and again. */
static void *reader_main(void *argument)
{
    struct epoch_slot *slot = argument;
    uint64_t missed = 0;
    for (uint32_t i = 0; atomic_load(&changing); i++) {
        uint32_t value = 1 + i % 100;
        epoch_enter(epochs, slot);
        missed += !is_in(spread(value), value);
        epoch_leave(epochs, slot);
        atomic_fetch_add(&looks, 1);
    }
    return (void *)(uintptr_t)missed;
}

static void readers_miss_nothing(void)
{
    pthread_t readers[2];
    struct epoch_slot *slots[2];
    CHECK(begin());
    for (uint32_t value = 1; value <= 100; value++)
        CHECK(add(hash_spread, value));
    atomic_store(&changing, true);
    atomic_store(&looks, 0);
    for (unsigned i = 0; i < 2; i++) {
        CHECK_EQ(epoch_slot_take(epochs, &slots[i]), 0);
        CHECK_EQ(pthread_create(&readers[i], NULL, reader_main, slots[i]), 0);
    }
    /* Up and down, so that tables are made anew and words are emptied. */
    for (unsigned turn = 0; turn < 40 || atomic_load(&looks) < 1000; turn++) {
        for (uint32_t value = 101; value < 3000; value++)
            CHECK(add(hash_spread, value));
        for (uint32_t value = 101; value < 3000; value++)
            inode_index_remove(&in, spread(value), value);
        inode_index_rest(&in, epochs, hash_spread, NULL);
        epoch_reclaim(epochs);
    }
    atomic_store(&changing, false);
    for (unsigned i = 0; i < 2; i++) {
        void *missed;
        pthread_join(readers[i], &missed);
        CHECK_EQ((uintptr_t)missed, 0);
    }
    end();
}

int main(void)
{
    RUN(finds_what_is_in_it);
    RUN(finds_in_a_crowd);
    RUN(full_to_the_last_word);
    RUN(looks_end_early);
    RUN(memory_follows_the_number);
    RUN(gone_words_become_empty);
    RUN(worn_tables_are_replaced);
    RUN(comes_and_goes_without_growing);
    RUN(readers_miss_nothing);
    return test_result();
}
