// SPDX-License-Identifier: BSD-3-Clause
/*
 * Inodes that the guest has forgotten, and looks up again: they are found with the descriptors that
 * they had, which are closed in time if nobody does; and what the guest has removed is gone at
 * once.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fixture.h"
#include "inode_table.h"
#include "test.h"

static bool start(struct fixture *fixture)
{
    if (!fixture_start(fixture, FILE_HANDLES_PREFER))
        return false;
    fixture->server->session.flags = FUSE_EXPORT_SUPPORT;
    fixture->server->session.ready = true;
    return true;
}

/* The node's descriptor, without asking for one; -1: it has none. */
static int fd_of(struct fixture *fixture, uint64_t id)
{
    struct inode *inode;
    fixture_enter(fixture);
    int fd = inode_get(fixture->server->inodes, id, &inode) < 0 ? -1 : atomic_load(&inode->fd);
    fixture_leave(fixture);
    return fd;
}

static uint64_t lookups_of(struct fixture *fixture, uint64_t id)
{
    struct inode *inode;
    fixture_enter(fixture);
    uint64_t lookups =
        inode_get(fixture->server->inodes, id, &inode) < 0 ? 0 : atomic_load(&inode->lookups);
    fixture_leave(fixture);
    return lookups;
}

/* Looks name up and forgets it, until its inode has a descriptor. Returns its id; 0: it has none.
 */
static uint64_t look_up_often(struct fixture *fixture, const char *name)
{
    uint64_t id = 0;
    for (unsigned i = 0; i < 3; i++) {
        uint64_t found = fixture_look_up(fixture, name, NULL);
        if (!found || (i && found != id))
            return 0;
        id = found;
        fixture_forget(fixture, id, 1);
    }
    return fd_of(fixture, id) < 0 ? 0 : id;
}

/* An idle file of the node. Returns its descriptor. */
static int leave_idle(struct fixture *fixture, const char *name, uint64_t id)
{
    struct handle *handle;
    int fd = -1;
    uint64_t fh = fixture_open(fixture, name, O_RDONLY, id);
    fixture_enter(fixture);
    if (handle_get(fixture->thread, HANDLE_FILE, fh, id, &handle) == 0)
        fd = handle->fd;
    if (handle_release_idle(fixture->thread, fh, id) < 0)
        fd = -1;
    fixture_leave(fixture);
    return fd;
}

static void spoil_handle(struct fixture *fixture, uint64_t id)
{
    struct inode *inode;
    fixture_enter(fixture);
    CHECK_EQ(inode_get(fixture->server->inodes, id, &inode), 0);
    memset(inode->handle, 0xff, inode->handle_length);
    fixture_leave(fixture);
}

static void found_as_it_was(void)
{
    struct fixture fixture;
    struct handle *handle;
    uint64_t fh;
    CHECK(start(&fixture));
    share_file("f", "content");
    uint64_t id = look_up_often(&fixture, "f");
    CHECK(id != 0);
    CHECK_EQ(lookups_of(&fixture, id), 0);
    int fd = fd_of(&fixture, id), idle = leave_idle(&fixture, "f", id);
    /* By its file handle it would be another one. */
    spoil_handle(&fixture, id);

    for (unsigned i = 0; i < 2; i++) {
        CHECK_EQ(fixture_look_up(&fixture, "f", NULL), id);
        CHECK_EQ(lookups_of(&fixture, id), 1);
        CHECK_EQ(fd_of(&fixture, id), fd);
        fixture_enter(&fixture);
        CHECK_EQ(handle_open_idle(fixture.thread, id, &fh), 0);
        CHECK_EQ(handle_get(fixture.thread, HANDLE_FILE, fh, id, &handle), 0);
        CHECK_EQ(handle->fd, idle);
        CHECK_EQ(handle_release_idle(fixture.thread, fh, id), 0);
        fixture_leave(&fixture);
        fixture_forget(&fixture, id, 1);
    }
    CHECK_EQ(inode_count(fixture.server->inodes), 2);
    fixture_stop(&fixture);
}

/* By the janitor's second look, and with it its place on the host; it is still the same node. */
static void closed_in_time(void)
{
    static const char *const names[] = {"f", "directory", "link"};
    struct fixture fixture;
    struct stat st;
    CHECK(start(&fixture));
    struct inode_table *table = fixture.server->inodes;
    unsigned descriptors = open_descriptors();
    share_file("f", "content");
    CHECK_EQ(mkdirat(share_dir, "directory", 0700), 0);
    CHECK_EQ(symlinkat("f", share_dir, "link"), 0);

    for (unsigned i = 0; i < 3; i++) {
        uint64_t id = look_up_often(&fixture, names[i]);
        CHECK(id != 0);
        CHECK(i || leave_idle(&fixture, names[i], id) >= 0);
        CHECK_EQ(inode_rest(table), i ? 1 : 2);
        CHECK_EQ(open_descriptors(), descriptors + (i ? 1 : 2));
        CHECK_EQ(inode_rest(table), 0);
        CHECK_EQ(open_descriptors(), descriptors);
        CHECK_EQ(fd_budget_used(&fixture.server->budget), 0);
        CHECK_EQ(fixture_look_up(&fixture, names[i], NULL), id);
        fixture_forget(&fixture, id, 1);
    }

    /* A directory that the guest knows keeps its descriptor; used ones stay a while longer. */
    uint64_t id = look_up_often(&fixture, "directory");
    CHECK_EQ(fixture_look_up(&fixture, "directory", NULL), id);
    for (unsigned i = 0; i < 3; i++)
        CHECK_EQ(inode_rest(table), 0);
    CHECK(fd_of(&fixture, id) >= 0);
    fixture_forget(&fixture, id, 1);
    id = look_up_often(&fixture, "f");
    for (unsigned i = 0; i < 3; i++) {
        CHECK_EQ(fixture_look_up(&fixture, "f", NULL), id);
        fixture_forget(&fixture, id, 1);
        CHECK(inode_rest(table) > 0);
        CHECK(fd_of(&fixture, id) >= 0);
    }
    int fd = fd_of(&fixture, id);
    CHECK_EQ(unlinkat(share_dir, "f", 0), 0);
    CHECK(fstat(fd, &st) == 0 && st.st_nlink == 0);
    CHECK_EQ(inode_rest(table), 0);
    CHECK_EQ(open_descriptors(), descriptors);

    CHECK_EQ(unlinkat(share_dir, "directory", AT_REMOVEDIR), 0);
    CHECK_EQ(unlinkat(share_dir, "link", 0), 0);
    fixture_stop(&fixture);
}

/* A directory keeps its descriptor while it is known: that it does not any more wakes the janitor.
 */
static void wakes_the_janitor(void)
{
    struct fixture fixture;
    CHECK(start(&fixture));
    unsigned descriptors = open_descriptors();
    CHECK_EQ(mkdirat(share_dir, "directory", 0700), 0);
    uint64_t id = fixture_look_up(&fixture, "directory", NULL);
    for (unsigned i = 0; i < 2; i++)
        CHECK_EQ(fixture_look_up(&fixture, "directory", NULL), id);
    CHECK(fd_of(&fixture, id) >= 0);
    janitor_start(fixture.server->janitor);
    fixture_forget(&fixture, id, 3);
    CHECK_EQ(open_descriptors(), descriptors + 1);
    for (unsigned i = 0; i < 100 * JANITOR_PERIOD_SECONDS; i++) {
        if (open_descriptors() == descriptors)
            break;
        usleep(50000);
    }
    CHECK_EQ(open_descriptors(), descriptors);
    CHECK_EQ(unlinkat(share_dir, "directory", AT_REMOVEDIR), 0);
    fixture_stop(&fixture);
}

/* One whose file handle leads nowhere any more is given up by the LOOKUP that tries it. */
static void handle_leads_nowhere(void)
{
    struct fixture fixture;
    CHECK(start(&fixture));
    share_file("f", "content");
    uint64_t id = fixture_look_up(&fixture, "f", NULL);
    CHECK_EQ(fixture_look_up(&fixture, "f", NULL), id);
    fixture_forget(&fixture, id, 2);
    CHECK_EQ(fd_of(&fixture, id), -1);
    CHECK_EQ(inode_count(fixture.server->inodes), 2);
    spoil_handle(&fixture, id);
    uint64_t again = fixture_look_up(&fixture, "f", NULL);
    CHECK(again != 0 && again != id);
    CHECK_EQ(inode_count(fixture.server->inodes), 2);
    fixture_forget(&fixture, again, 1);
    fixture_stop(&fixture);
}

/* The host gives the name, and perhaps the number, to another file meanwhile. */
static void replaced_by_the_host(void)
{
    struct fixture fixture;
    CHECK(start(&fixture));
    for (unsigned i = 0; i < 20; i++) {
        share_file("f", "old");
        uint64_t old = look_up_often(&fixture, "f");
        CHECK(old != 0);
        if (i % 2)
            CHECK(leave_idle(&fixture, "f", old) >= 0);
        if (i % 4 >= 2)
            while (inode_rest(fixture.server->inodes))
                continue;
        CHECK_EQ(unlinkat(share_dir, "f", 0), 0);
        share_file("f", "new");
        uint64_t new = fixture_look_up(&fixture, "f", NULL), fh;
        CHECK(new != 0 && new != old);
        CHECK(handle_open_idle(fixture.thread, new, &fh) < 0);
        CHECK_EQ(lookups_of(&fixture, old), 0);
        fixture_forget(&fixture, new, 1);
        CHECK_EQ(unlinkat(share_dir, "f", 0), 0);
    }
    fixture_stop(&fixture);
}

/* By its id it is stale at once, though it still has descriptors, and they go; as long as it is
 * known, it is not. */
static void deleted_by_the_host(void)
{
    struct fixture fixture;
    struct inode *inode;
    struct statx attributes;
    CHECK(start(&fixture));
    unsigned descriptors = open_descriptors();
    share_file("f", "content");
    uint64_t id = look_up_often(&fixture, "f");
    CHECK(leave_idle(&fixture, "f", id) >= 0);
    fixture_enter(&fixture);
    CHECK_EQ(inode_get(fixture.server->inodes, id, &inode), 0);
    CHECK_EQ(inode_again(fixture.thread, inode, &attributes), 0);
    CHECK_EQ(unlinkat(share_dir, "f", 0), 0);
    CHECK_EQ(inode_again(fixture.thread, inode, &attributes), 0);
    CHECK_EQ(attributes.stx_nlink, 0);
    fixture_leave(&fixture);
    fixture_forget(&fixture, id, 2);
    CHECK_EQ(inode_count(fixture.server->inodes), 2);
    fixture_enter(&fixture);
    CHECK_EQ(inode_again(fixture.thread, inode, &attributes), -ESTALE);
    fixture_leave(&fixture);
    CHECK_EQ(lookups_of(&fixture, id), 0);
    CHECK_EQ(inode_count(fixture.server->inodes), 1);
    CHECK_EQ(open_descriptors(), descriptors);
    fixture_stop(&fixture);
}

/* What UNLINK has held does not linger. */
static void removed_by_the_guest(void)
{
    struct fixture fixture;
    struct inode *root;
    struct inode_victim victim;
    CHECK(start(&fixture));
    unsigned descriptors = open_descriptors();
    share_file("f", "content");
    uint64_t id = look_up_often(&fixture, "f");
    CHECK_EQ(fixture_look_up(&fixture, "f", NULL), id);
    CHECK(leave_idle(&fixture, "f", id) >= 0);

    fixture_enter(&fixture);
    CHECK_EQ(inode_get(fixture.server->inodes, FUSE_ROOT_ID, &root), 0);
    CHECK_EQ(inode_lookup_last(fixture.thread, root, "f", &victim), 0);
    CHECK_EQ(inode_id(fixture.server->inodes, victim.inode), id);
    CHECK_EQ(unlinkat(share_dir, "f", 0), 0);
    CHECK(inode_keep(fixture.server->inodes, victim.inode));
    fixture_leave(&fixture);
    fixture_forget(&fixture, id, 1);
    CHECK(fd_of(&fixture, id) >= 0);
    fixture_forget(&fixture, id, 1);
    CHECK_EQ(lookups_of(&fixture, id), 0);
    CHECK_EQ(fd_of(&fixture, id), -1);
    CHECK_EQ(inode_count(fixture.server->inodes), 1);
    CHECK_EQ(open_descriptors(), descriptors);
    fixture_stop(&fixture);
}

#define THREADS 4
#define FILES   16
#define SECONDS 2

struct walker {
    struct fixture fixture;
    unsigned seed;
    bool disturbs; /* the only one that does */
    bool sessions_end;
    ino_t ino[FILES];
    time_t end;
    unsigned looks, wrong;
};

/* The inode is next to go from the ring, as if it were full: by who enters it, itself perhaps. */
static void end_turn(struct fixture *fixture, uint64_t id)
{
    struct inode_table *table = fixture->server->inodes;
    struct inode *inode;
    fixture_enter(fixture);
    pthread_mutex_lock(&table->ring.lock);
    if (inode_get(table, id, &inode) == 0)
        inode->lingers = false;
    table->ring.ids[table->ring.next] = id;
    pthread_mutex_unlock(&table->ring.lock);
    fixture_leave(fixture);
}

static void disturb(struct walker *walker, uint64_t id)
{
    struct fixture *mine = &walker->fixture;
    if (rand_r(&walker->seed) % 4 == 0)
        end_turn(mine, id);
    if (walker->looks % 256 == 0)
        inode_rest(mine->server->inodes);
    if (walker->sessions_end && rand_r(&walker->seed) % 4 == 0) {
        fixture_enter(mine);
        inode_forget_all(mine->thread);
        fixture_leave(mine);
    }
}

static void *walk(void *argument)
{
    struct walker *walker = argument;
    struct fixture *mine = &walker->fixture;
    struct inode_table *table = mine->server->inodes;
    while (time(NULL) <= walker->end) {
        char name[8];
        struct inode *inode;
        unsigned n = (unsigned)rand_r(&walker->seed) % FILES;
        snprintf(name, sizeof(name), "w%u", n);
        uint64_t id = fixture_look_up(mine, name, NULL);
        fixture_enter(mine);
        walker->wrong += id == 0;
        /* While its lookup is counted, it is what its id says. */
        if (inode_get(table, id, &inode) == 0)
            walker->wrong += inode->ino != walker->ino[n] ||
                             (!walker->sessions_end && atomic_load(&inode->lookups) == 0);
        else
            walker->wrong += !walker->sessions_end;
        fixture_leave(mine);
        if (walker->disturbs)
            disturb(walker, id);
        fixture_forget(mine, id, 1);
        walker->looks++;
    }
    return NULL;
}

/* Threads look the same few files up and forget them, while their time to linger ends. */
static void many_threads(bool sessions_end)
{
    struct fixture fixture;
    struct walker walkers[THREADS];
    pthread_t threads[THREADS];
    struct stat st[FILES] = {0};
    char name[8];
    CHECK(start(&fixture));
    unsigned descriptors = open_descriptors();
    for (unsigned i = 0; i < FILES; i++) {
        snprintf(name, sizeof(name), "w%u", i);
        share_file(name, name);
        CHECK_EQ(fstatat(share_dir, name, &st[i], 0), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        walkers[i] = (struct walker){
            .fixture = fixture,
            .seed = i,
            .disturbs = i == 0,
            .sessions_end = sessions_end,
            .end = time(NULL) + SECONDS,
        };
        for (unsigned n = 0; n < FILES; n++)
            walkers[i].ino[n] = st[n].st_ino;
        CHECK_EQ(fuse_thread_new(fixture.server, NULL, &walkers[i].fixture.thread), 0);
        CHECK_EQ(pthread_create(&threads[i], NULL, walk, &walkers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        CHECK_EQ(walkers[i].wrong, 0);
        CHECK(walkers[i].looks > 0);
        fuse_thread_free(walkers[i].fixture.thread);
    }
    CHECK(inode_count(fixture.server->inodes) <= FILES + 1);
    for (unsigned i = 0; i < FILES; i++) {
        snprintf(name, sizeof(name), "w%u", i);
        uint64_t id = fixture_look_up(&fixture, name, NULL);
        CHECK_EQ(lookups_of(&fixture, id), 1);
    }
    fixture_enter(&fixture);
    inode_forget_all(fixture.thread);
    fixture_leave(&fixture);
    CHECK_EQ(inode_count(fixture.server->inodes), 1);
    CHECK_EQ(open_descriptors(), descriptors);
    CHECK_EQ(fd_budget_used(&fixture.server->budget), 0);
    fixture_stop(&fixture);
}

static void turns_end(void)
{
    many_threads(false);
}

/* The same, and all is forgotten now and then; as at the end of a session, but requests go on. */
static void sessions_end(void)
{
    many_threads(true);
}

int main(void)
{
    if (!share_make())
        return 1;
    RUN(found_as_it_was);
    RUN(closed_in_time);
    RUN(wakes_the_janitor);
    RUN(handle_leads_nowhere);
    RUN(replaced_by_the_host);
    RUN(deleted_by_the_host);
    RUN(removed_by_the_guest);
    RUN(turns_end);
    RUN(sessions_end);
    share_remove();
    return test_result();
}
