// SPDX-License-Identifier: BSD-3-Clause
/*
 * What threads keep for themselves of what all share, so that queues do not write the same cache
 * lines: descriptors of the budget, slots for handles and inodes. What must hold: limits are as
 * exact as without, others get what is kept when there is nothing else, and a thread that ends
 * leaves all of it. And descriptors that become an inode's without the cache's lock.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "fixture.h"
#include "inode_table.h"
#include "scope.h"
#include "test.h"

#define PURSES 10

/* What threads keep of the budget is within the limit, and there for the others when it is scarce.
 */
static void purses_keep_the_limit(void)
{
    enum { LIMIT = PURSES * FD_PURSE_MAX + 5 };
    struct fd_budget budget;
    struct fd_purse purses[PURSES] = {0};
    fd_budget_init(&budget, LIMIT);
    for (unsigned i = 0; i < PURSES; i++)
        fd_budget_join(&budget, &purses[i]);

    /* One takes, the others give: no purse has more than its share. */
    for (unsigned i = 0; i < LIMIT; i++)
        CHECK_EQ(fd_budget_take(&budget, &purses[0]), 0);
    CHECK_EQ(fd_budget_take(&budget, &purses[1]), -ENFILE);
    for (unsigned i = 0; i < LIMIT; i++)
        fd_budget_give(&budget, &purses[1 + i % (PURSES - 1)]);
    CHECK_EQ(fd_budget_used(&budget), 0);
    int kept = budget.used;
    CHECK(kept > 0);
    for (unsigned i = 0; i < PURSES; i++)
        CHECK(purses[i].spare <= FD_PURSE_MAX);

    /* All can be had by one, with a purse or without, and no more. */
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < LIMIT; i++)
            CHECK_EQ(fd_budget_take(&budget, round ? NULL : &purses[0]), 0);
        CHECK_EQ(budget.used, LIMIT);
        CHECK_EQ(fd_budget_take(&budget, NULL), -ENFILE);
        CHECK_EQ(fd_budget_take(&budget, &purses[0]), -ENFILE);
        for (unsigned i = 0; i < LIMIT; i++)
            fd_budget_give(&budget, &purses[i % PURSES]);
    }

    /* Whoever ends keeps nothing. */
    for (unsigned i = 0; i < PURSES; i++)
        fd_budget_leave(&budget, &purses[i]);
    CHECK_EQ(budget.used, 0);
    CHECK_EQ(fd_budget_used(&budget), 0);
}

struct spender {
    struct fd_budget *budget;
    atomic_int *in_use;
    int limit;
};

/* Takes and gives by turns, as a queue's thread does. Returns how often too many were in use. */
static void *spend(void *argument)
{
    const struct spender *spender = argument;
    struct fd_purse purse = {0};
    unsigned seed = (unsigned)(uintptr_t)&purse;
    int own = 0;
    uint64_t wrong = 0;
    fd_budget_join(spender->budget, &purse);
    for (unsigned i = 0; i < 50000; i++) {
        if (rand_r(&seed) % 2 && fd_budget_take(spender->budget, &purse) == 0) {
            wrong += atomic_fetch_add(spender->in_use, 1) >= spender->limit;
            own++;
        } else if (own > 0) {
            atomic_fetch_sub(spender->in_use, 1);
            fd_budget_give(spender->budget, &purse);
            own--;
        }
    }
    fd_budget_leave(spender->budget, &purse);
    while (own--) {
        atomic_fetch_sub(spender->in_use, 1);
        fd_budget_give(spender->budget, NULL);
    }
    return (void *)(uintptr_t)wrong;
}

static void purses_are_emptied_by_others(void)
{
    pthread_t threads[4];
    struct fd_budget budget;
    atomic_int in_use = 0;
    struct spender spender = {.budget = &budget, .in_use = &in_use, .limit = 40};
    uint64_t wrong = 0;
    fd_budget_init(&budget, spender.limit);
    for (unsigned i = 0; i < ARRAY_SIZE(threads); i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, spend, &spender), 0);
    for (unsigned i = 0; i < ARRAY_SIZE(threads); i++) {
        void *result;
        pthread_join(threads[i], &result);
        wrong += (uintptr_t)result;
    }
    CHECK_EQ(wrong, 0);
    CHECK_EQ(budget.used, 0);
}

#define SLOTS_MANY 1000u

/* Opens so many handles, none with a larger slot number than most. */
static void open_many(struct fuse_thread *thread, unsigned count, uint32_t most, uint64_t *ret_fhs)
{
    for (unsigned i = 0; i < count; i++) {
        CHECK_EQ(fd_budget_take(&thread->server->budget, &thread->purse), 0);
        CHECK_EQ(handle_new(thread, HANDLE_FILE, dup(share_dir), O_RDONLY, 7, &ret_fhs[i]), 0);
        CHECK((uint32_t)ret_fhs[i] <= most);
    }
}

static void release_many(struct fuse_thread *thread, unsigned count, const uint64_t *fhs)
{
    for (unsigned i = 0; i < count; i++)
        CHECK_EQ(handle_release(thread, HANDLE_FILE, fhs[i], 7), 0);
}

/* Free slots that threads keep are few, and the table's again when a thread ends. */
static void threads_keep_few_handle_slots(void)
{
    static uint64_t fhs[SLOTS_MANY];
    struct fixture fixture, other;
    CHECK(fixture_start(&fixture, FILE_HANDLES_PREFER));
    other = fixture;
    for (unsigned i = 0; i < 100; i++) {
        CHECK_EQ(fuse_thread_new(fixture.server, NULL, &other.thread), 0);
        open_many(other.thread, HANDLE_LOT, 2 * HANDLE_LOT, fhs);
        release_many(other.thread, HANDLE_LOT, fhs);
        fuse_thread_free(other.thread);
    }
    /* What one thread opens and another one releases goes back as well. */
    CHECK_EQ(fuse_thread_new(fixture.server, NULL, &other.thread), 0);
    for (unsigned round = 0; round < 10; round++) {
        open_many(fixture.thread, SLOTS_MANY, SLOTS_MANY + 2 * HANDLE_SPARES_MAX, fhs);
        release_many(other.thread, SLOTS_MANY, fhs);
    }
    fuse_thread_free(other.thread);
    fixture_stop(&fixture);
}

/* Free inode slots that threads keep: not counted, the table's again when they end, and when no
 * others are left, for whoever needs them.
 */
static void threads_keep_few_inode_slots(void)
{
    struct fixture fixture, other;
    CHECK(fixture_start(&fixture, FILE_HANDLES_PREFER));
    struct inode_table *table = fixture.server->inodes;
    other = fixture;
    share_file("one", "1");
    for (unsigned i = 0; i < 100; i++) {
        CHECK_EQ(fuse_thread_new(fixture.server, NULL, &other.thread), 0);
        uint64_t id = fixture_look_up(&other, "one", NULL);
        CHECK((uint32_t)id <= INODE_ROOT + 2 * INODE_LOT);
        CHECK_EQ(inode_count(table), 2);
        fixture_forget(&other, id, 1);
        fuse_thread_free(other.thread);
        CHECK_EQ(table->live, 1);
    }

    CHECK_EQ(fuse_thread_new(fixture.server, NULL, &other.thread), 0);
    CHECK(inode_slot_take(other.thread) != NULL);
    CHECK_EQ(inode_count(table), 2);
    unsigned kept = other.thread->spare_inodes.count;
    CHECK(kept > 0);
    /* As with INODES_MAX. */
    memset(table->room, 0, sizeof(table->room));
    table->chunks[0].used = INODE_CHUNK;
    for (unsigned i = 0; i < kept; i++)
        CHECK(inode_slot_take(fixture.thread) != NULL);
    CHECK(inode_slot_take(fixture.thread) == NULL);
    CHECK(inode_slot_take(other.thread) == NULL);
    CHECK_EQ(inode_count(table), 2 + kept);
    fuse_thread_free(other.thread);
    fixture_stop(&fixture);
}

/* The descriptor by which a request has found what it removes becomes the inode's, uncached. */
static void removed_files_keep_what_found_them(void)
{
    struct fixture fixture;
    struct inode *inode;
    CHECK(fixture_start(&fixture, FILE_HANDLES_PREFER));
    share_file("found", "1");
    uint64_t id = fixture_look_up(&fixture, "found", NULL);
    fixture_enter(&fixture);
    CHECK_EQ(inode_get(fixture.server->inodes, id, &inode), 0);
    CHECK(!inode_keep(fixture.server->inodes, inode) || inode->handle_length == 0);
    int fd = openat(share_dir, "found", O_PATH | O_CLOEXEC);
    thread_close_later(fixture.thread, fd);
    if (inode->handle_length) {
        CHECK_EQ(inode_hold(fixture.thread, inode, fd), 0);
        CHECK_EQ(inode->fd, fd);
        CHECK_EQ(inode->cache_slot, INODE_CACHE_NO_SLOT);
        CHECK_EQ(fixture.thread->temporary_count, 0);
        CHECK_EQ(fd_budget_used(&fixture.server->budget), 1);
    }
    fixture_leave(&fixture);
    CHECK(inode->handle_length == 0 || fcntl(fd, F_GETFD) >= 0);
    fixture_forget(&fixture, id, 1);
    CHECK_EQ(fcntl(fd, F_GETFD), -1);
    CHECK_EQ(fd_budget_used(&fixture.server->budget), 0);
    fixture_stop(&fixture);
}

#define PINNED_FILES  3
#define PINNED_ROUNDS 50000

struct pinner {
    struct fixture fixture;
    const uint64_t *ids;
};

/*
 * Asks for descriptors, which come to the cache, takes places away from it, keeps some descriptors
 * for good and lets go of them, at random.
 */
static void *pin_and_let_go(void *argument)
{
    const struct pinner *pinner = argument;
    struct fixture mine = pinner->fixture;
    struct fuse_server *server = mine.server;
    unsigned seed = (unsigned)(uintptr_t)&mine;
    if (fuse_thread_new(server, NULL, &mine.thread) < 0)
        abort();
    for (unsigned i = 0; i < PINNED_ROUNDS; i++) {
        unsigned which = (unsigned)rand_r(&seed) % PINNED_FILES;
        struct inode *inode;
        char name[16];
        int fd;
        fixture_enter(&mine);
        if (inode_get(server->inodes, pinner->ids[which], &inode) < 0)
            abort();
        switch (rand_r(&seed) % 5) {
        case 0: /* as UNLINK does */
            snprintf(name, sizeof(name), "pinned%u", which);
            fd = openat(share_dir, name, O_PATH | O_CLOEXEC);
            thread_close_later(mine.thread, fd);
            if (fd >= 0 && !inode_keep(server->inodes, inode))
                (void)inode_hold(mine.thread, inode, fd);
            break;
        case 1: /* as LINK does */
            inode_let_go(mine.thread, inode);
            break;
        case 2:
            inode_cache_drop(server->inodes, inode);
            break;
        case 3:
            if (inode_budget_take(server, &mine.thread->purse) == 0)
                fd_budget_give(&server->budget, &mine.thread->purse);
            break;
        default:
            (void)inode_fd(mine.thread, inode, &fd);
        }
        fixture_leave(&mine);
    }
    fuse_thread_free(mine.thread);
    return NULL;
}

/* Descriptors are the inode's, and the budget's, once each, whatever threads do at a time. */
static void pinned_and_cached_descriptors_agree(void)
{
    struct rlimit before, few;
    struct pinner pinner;
    struct fixture *fixture = &pinner.fixture;
    uint64_t ids[PINNED_FILES];
    char name[16];
    pthread_t threads[3];
    struct inode *inode;
    int descriptors = 0;
    uint32_t cached = 0;
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = (struct rlimit){64, before.rlim_max};
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
    unsigned open_before = open_descriptors();
    CHECK(fixture_start(fixture, FILE_HANDLES_PREFER));
    fixture->server->inodes->cache.capacity = PINNED_FILES - 1;
    pinner.ids = ids;
    for (unsigned i = 0; i < PINNED_FILES; i++) {
        snprintf(name, sizeof(name), "pinned%u", i);
        share_file(name, name);
        ids[i] = fixture_look_up(fixture, name, NULL);
        CHECK(ids[i] != 0);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(threads); i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, pin_and_let_go, &pinner), 0);
    for (unsigned i = 0; i < ARRAY_SIZE(threads); i++)
        pthread_join(threads[i], NULL);
    epoch_reclaim(fixture->server->epochs);
    for (unsigned i = 0; i < PINNED_FILES; i++) {
        CHECK_EQ(inode_get(fixture->server->inodes, ids[i], &inode), 0);
        CHECK(inode->fd < 0 || fcntl(inode->fd, F_GETFD) >= 0);
        CHECK(inode->fd >= 0 || inode->cache_slot == INODE_CACHE_NO_SLOT);
        descriptors += inode->fd >= 0;
        cached += inode->cache_slot != INODE_CACHE_NO_SLOT;
    }
    CHECK_EQ(fd_budget_used(&fixture->server->budget), descriptors);
    CHECK_EQ(fixture->server->inodes->cache.used, cached);
    CHECK_EQ(fixture->server->budget.lent, 0);
    for (unsigned i = 0; i < PINNED_FILES; i++)
        fixture_forget(fixture, ids[i], 1);
    CHECK_EQ(fd_budget_used(&fixture->server->budget), 0);
    fixture_stop(fixture);
    CHECK_EQ(open_descriptors(), open_before);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
}

int main(void)
{
    if (!share_make())
        return 1;
    RUN(purses_keep_the_limit);
    RUN(purses_are_emptied_by_others);
    RUN(threads_keep_few_handle_slots);
    RUN(threads_keep_few_inode_slots);
    RUN(removed_files_keep_what_found_them);
    RUN(pinned_and_cached_descriptors_agree);
    share_remove();
    return test_result();
}
