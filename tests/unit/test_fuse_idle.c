// SPDX-License-Identifier: BSD-3-Clause
/*
 * Idle files: closed by the guest, their descriptors kept for the next OPEN. What must hold: the
 * guest has no handle of one, its next OPEN gets the same file, whatever else happens at the same
 * time, and what nobody opens again is closed. And late files: closed by the guest, kept for UNLINK
 * for a moment.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fixture.h"
#include "test.h"

#define NODE UINT64_C(0x500000007)

static int fd_of(struct fixture *fixture, uint64_t fh, uint64_t nodeid)
{
    struct handle *handle;
    fixture_enter(fixture);
    int error = handle_get(fixture->thread, HANDLE_FILE, fh, nodeid, &handle);
    int fd = error ? error : handle->fd;
    fixture_leave(fixture);
    return fd;
}

static void opened_again(void)
{
    struct fixture fixture;
    uint64_t fh, again = 0;
    CHECK(fixture_start(&fixture, FILE_HANDLES_PREFER));
    share_file("f", "content");
    unsigned descriptors = open_descriptors();
    int budget = fd_budget_used(&fixture.server->budget);

    CHECK_EQ(handle_open_idle(fixture.thread, NODE, &again), -ENOENT);
    fh = fixture_open(&fixture, "f", O_RDONLY, NODE);
    int fd = fd_of(&fixture, fh, NODE);
    CHECK_EQ(handle_release_idle(fixture.thread, fh, NODE + 1), -EBADF);
    CHECK_EQ(handle_release_idle(fixture.thread, fh, NODE), 0);
    CHECK_EQ(fd_of(&fixture, fh, NODE), -EBADF);
    CHECK_EQ(handle_release_idle(fixture.thread, fh, NODE), -EBADF);
    int any;
    CHECK_EQ(handle_of_node(fixture.thread, NODE, &any), -EBADF);

    /* Another node, of the same place and of the same slab index, does not get it. */
    CHECK_EQ(handle_open_idle(fixture.thread, NODE + HANDLES_IDLE_MAX, &again), -ENOENT);
    CHECK_EQ(handle_open_idle(fixture.thread, NODE + (UINT64_C(1) << 32), &again), -ENOENT);
    CHECK_EQ(handle_open_idle(fixture.thread, NODE, &again), 0);
    CHECK(again != fh);
    CHECK_EQ(fd_of(&fixture, again, NODE), fd);
    CHECK_EQ(fd_of(&fixture, fh, NODE), -EBADF);
    CHECK_EQ(handle_open_idle(fixture.thread, NODE, &fh), -ENOENT);
    CHECK_EQ(fd_budget_used(&fixture.server->budget), budget + 1);

    CHECK_EQ(handle_release(fixture.thread, HANDLE_FILE, again, NODE), 0);
    CHECK_EQ(handle_open_idle(fixture.thread, NODE, &fh), -ENOENT);
    CHECK_EQ(open_descriptors(), descriptors);
    CHECK_EQ(fd_budget_used(&fixture.server->budget), budget);
    fixture_stop(&fixture);
}

/* Only what was open for reading, and for nothing else, and that nobody reads from. */
static void not_idle(void)
{
    static const int others[] = {O_WRONLY, O_RDWR, O_RDONLY | O_DIRECT, O_RDONLY | O_NOATIME};
    struct fixture fixture;
    struct handle *handle;
    uint64_t fh, again;
    CHECK(fixture_start(&fixture, FILE_HANDLES_PREFER));
    share_file("f", "content");
    unsigned descriptors = open_descriptors();
    for (unsigned i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        fh = fixture_open(&fixture, "f", others[i], NODE);
        CHECK_EQ(handle_release_idle(fixture.thread, fh, NODE), 0);
        CHECK_EQ(open_descriptors(), descriptors);
    }

    struct fixture other = fixture;
    CHECK_EQ(fuse_thread_new(fixture.server, NULL, &other.thread), 0);
    fh = fixture_open(&fixture, "f", O_RDONLY, NODE);
    fixture_enter(&other);
    CHECK_EQ(handle_get(other.thread, HANDLE_FILE, fh, NODE, &handle), 0);
    CHECK_EQ(handle_release_idle(fixture.thread, fh, NODE), 0);
    CHECK_EQ(handle_open_idle(fixture.thread, NODE, &again), -ENOENT);
    CHECK_EQ(open_descriptors(), descriptors + 1);
    fixture_leave(&other);
    CHECK_EQ(open_descriptors(), descriptors);
    fuse_thread_free(other.thread);
    fixture_stop(&fixture);
}

/* Of two files of one place the later one stays; that of a node given up goes; so does all, in
 * time. */
static void closed(void)
{
    struct fixture fixture;
    uint64_t fh;
    CHECK(fixture_start(&fixture, FILE_HANDLES_PREFER));
    struct handle_table *table = fixture.server->handles;
    share_file("f", "content");
    unsigned descriptors = open_descriptors();
    int budget = fd_budget_used(&fixture.server->budget);

    for (unsigned i = 0; i < 3; i++) {
        uint64_t nodeid = NODE + i * HANDLES_IDLE_MAX;
        fh = fixture_open(&fixture, "f", O_RDONLY, nodeid);
        CHECK_EQ(handle_release_idle(fixture.thread, fh, nodeid), 0);
        CHECK_EQ(open_descriptors(), descriptors + 1);
    }
    handle_drop_idle(table, NODE);
    CHECK_EQ(open_descriptors(), descriptors + 1);
    handle_drop_idle(table, NODE + 2 * HANDLES_IDLE_MAX);
    CHECK_EQ(open_descriptors(), descriptors);

    /* Being opened again makes it fresh, but not for ever: the host may have deleted it by now. */
    fh = fixture_open(&fixture, "f", O_RDONLY, NODE);
    for (unsigned i = 0; i < 2; i++) {
        CHECK_EQ(handle_release_idle(fixture.thread, fh, NODE), 0);
        CHECK_EQ(handle_rest(table), 1);
        CHECK_EQ(handle_open_idle(fixture.thread, NODE, &fh), 0);
    }
    CHECK_EQ(open_descriptors(), descriptors + 1);
    CHECK_EQ(handle_release_idle(fixture.thread, fh, NODE), 0);
    CHECK_EQ(open_descriptors(), descriptors);

    fh = fixture_open(&fixture, "f", O_RDONLY, NODE);
    CHECK_EQ(handle_release_idle(fixture.thread, fh, NODE), 0);
    CHECK_EQ(inode_rest(fixture.server->inodes), 1);
    CHECK_EQ(inode_rest(fixture.server->inodes), 0);
    CHECK_EQ(open_descriptors(), descriptors);

    /* No more than are asked for. */
    for (unsigned i = 0; i < 5; i++) {
        fh = fixture_open(&fixture, "f", O_RDONLY, NODE + i);
        CHECK_EQ(handle_release_idle(fixture.thread, fh, NODE + i), 0);
    }
    CHECK_EQ(handle_close_idle(table, 3), 3);
    CHECK_EQ(open_descriptors(), descriptors + 2);
    CHECK_EQ(handle_close_idle(table, 3), 2);
    CHECK_EQ(handle_close_idle(table, 3), 0);

    /* The end of the session. */
    fh = fixture_open(&fixture, "f", O_RDONLY, NODE);
    CHECK_EQ(handle_release_idle(fixture.thread, fh, NODE), 0);
    handle_release_all(table);
    CHECK_EQ(open_descriptors(), descriptors);
    CHECK_EQ(fd_budget_used(&fixture.server->budget), budget);
    fixture_stop(&fixture);
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

/* A file that is closed late. Returns its descriptor. */
static int release_late(struct fixture *fixture, uint64_t nodeid)
{
    uint64_t fh = fixture_open(fixture, "f", O_RDWR, nodeid), again;
    int fd = fd_of(fixture, fh, nodeid);
    if (handle_release_late(fixture->thread, fh, nodeid) < 0 ||
        fd_of(fixture, fh, nodeid) != -EBADF ||
        handle_open_idle(fixture->thread, nodeid, &again) != -ENOENT)
        return -1;
    return fd;
}

static void late(void)
{
    struct fixture fixture;
    CHECK(fixture_start(&fixture, FILE_HANDLES_PREFER));
    struct fuse_thread *thread = fixture.thread;
    struct handle_table *table = fixture.server->handles;
    share_file("f", "content");
    unsigned descriptors = open_descriptors();
    int budget = fd_budget_used(&fixture.server->budget);

    /* Closed by its thread, in time or when it has nothing else to do. */
    int first = release_late(&fixture, NODE);
    thread->requests += HANDLE_LATE_REQUESTS / 2;
    int second = release_late(&fixture, NODE + 1);
    thread->requests += HANDLE_LATE_REQUESTS / 2 - 1;
    handle_close_late(thread, false);
    CHECK(is_open(first));
    thread->requests++;
    handle_close_late(thread, false);
    CHECK(!is_open(first));
    CHECK(is_open(second));
    handle_close_late(thread, true);
    CHECK_EQ(open_descriptors(), descriptors);

    /* So many at most. */
    for (unsigned i = 0; i < 2 * HANDLES_LATE_MAX; i++)
        CHECK(release_late(&fixture, NODE + i) >= 0);
    CHECK_EQ(open_descriptors(), descriptors + HANDLES_LATE_MAX);
    handle_close_late(thread, true);
    CHECK_EQ(open_descriptors(), descriptors);
    CHECK_EQ(fd_budget_used(&fixture.server->budget), budget);

    /* UNLINK takes it. */
    int fd = release_late(&fixture, NODE);
    CHECK(handle_has_idle(table, NODE));
    CHECK(!handle_has_idle(table, NODE + HANDLES_IDLE_MAX));
    CHECK_EQ(handle_take_idle(thread, NODE + HANDLES_IDLE_MAX), -1);
    CHECK_EQ(handle_take_idle(thread, NODE), fd);
    CHECK(!handle_has_idle(table, NODE));
    CHECK_EQ(handle_take_idle(thread, NODE), -1);
    CHECK_EQ(fd_budget_used(&fixture.server->budget), budget);
    handle_close_late(thread, true);
    CHECK(is_open(fd));
    close(fd);

    /* In another one's place, given up, or when descriptors are short. */
    first = release_late(&fixture, NODE);
    second = release_late(&fixture, NODE + HANDLES_IDLE_MAX);
    CHECK(!is_open(first));
    handle_drop_idle(table, NODE + HANDLES_IDLE_MAX);
    CHECK(!is_open(second));
    first = release_late(&fixture, NODE);
    CHECK_EQ(handle_close_idle(table, 1), 1);
    CHECK(!is_open(first));

    /* A file that becomes idle meanwhile is not what the thread has to close. */
    release_late(&fixture, NODE);
    uint64_t fh = fixture_open(&fixture, "f", O_RDONLY, NODE);
    fd = fd_of(&fixture, fh, NODE);
    CHECK_EQ(handle_release_idle(thread, fh, NODE), 0);
    handle_close_late(thread, true);
    CHECK(is_open(fd));
    handle_drop_idle(table, NODE);

    /* Of a thread that is stuck, or ends. */
    release_late(&fixture, NODE);
    CHECK_EQ(handle_rest(table), 1);
    CHECK_EQ(handle_rest(table), 0);
    CHECK_EQ(open_descriptors(), descriptors);
    handle_close_late(thread, true);
    struct fixture other = fixture;
    CHECK_EQ(fuse_thread_new(fixture.server, NULL, &other.thread), 0);
    CHECK(release_late(&other, NODE) >= 0);
    CHECK_EQ(open_descriptors(), descriptors + 1);
    fuse_thread_free(other.thread);
    CHECK_EQ(open_descriptors(), descriptors);
    CHECK_EQ(fd_budget_used(&fixture.server->budget), budget);
    fixture_stop(&fixture);
}

/* A LOOKUP's inode, opened and closed, is forgotten, and does not linger: nothing of it stays open.
 */
static void forgotten(void)
{
    struct fixture fixture;
    uint64_t fh;
    CHECK(fixture_start(&fixture, FILE_HANDLES_PREFER));
    share_file("f", "content");
    unsigned descriptors = open_descriptors();
    uint64_t id = fixture_look_up(&fixture, "f", NULL);
    CHECK(id != 0);
    fh = fixture_open(&fixture, "f", O_RDONLY, id);
    CHECK_EQ(handle_release_idle(fixture.thread, fh, id), 0);
    CHECK(open_descriptors() > descriptors);
    fixture_forget(&fixture, id, 1);
    CHECK_EQ(open_descriptors(), descriptors);
    fixture_stop(&fixture);
}

/* What others need is not kept: all of the budget can be open. */
static void budget_comes_first(void)
{
    struct fixture fixture;
    CHECK(fixture_start(&fixture, FILE_HANDLES_PREFER));
    share_file("f", "content");
    struct fd_budget *budget = &fixture.server->budget;
    int before = fd_budget_used(budget);
    for (unsigned i = 0; i < 50; i++) {
        uint64_t fh = fixture_open(&fixture, "f", O_RDONLY, NODE + i);
        CHECK_EQ(handle_release_idle(fixture.thread, fh, NODE + i), 0);
    }
    CHECK(fd_budget_used(budget) > before);
    int taken = 0;
    while (inode_budget_take(fixture.server, &fixture.thread->purse) == 0)
        taken++;
    CHECK_EQ(taken, budget->limit - before);
    while (taken--)
        fd_budget_give(budget, &fixture.thread->purse);
    fixture_stop(&fixture);
}

#define SCARCE_THREADS 4
#define SCARCE_ROUNDS  300

struct scarce {
    struct fixture fixture;
    pthread_barrier_t *start;
    unsigned share, refused;
};

static void *scarce_main(void *argument)
{
    struct scarce *scarce = argument;
    struct fixture *mine = &scarce->fixture;
    unsigned taken = 0;
    pthread_barrier_wait(scarce->start);
    for (unsigned i = 0; i < scarce->share; i++) {
        if (inode_budget_take(mine->server, &mine->thread->purse) == 0)
            taken++;
        else
            scarce->refused++;
    }
    while (taken--)
        fd_budget_give(&mine->server->budget, &mine->thread->purse);
    return NULL;
}

/* Several threads have no descriptor left at the same time: what is idle does for all of them. */
static void scarce_for_many(void)
{
    struct fixture fixture;
    struct scarce scarce[SCARCE_THREADS];
    pthread_t threads[SCARCE_THREADS];
    pthread_barrier_t start;
    CHECK(fixture_start(&fixture, FILE_HANDLES_PREFER));
    share_file("f", "content");
    struct fd_budget *budget = &fixture.server->budget;
    pthread_barrier_init(&start, NULL, SCARCE_THREADS);
    for (unsigned i = 0; i < SCARCE_THREADS; i++) {
        scarce[i] = (struct scarce){.fixture = fixture, .start = &start};
        CHECK_EQ(fuse_thread_new(fixture.server, NULL, &scarce[i].fixture.thread), 0);
    }
    for (unsigned round = 0; round < SCARCE_ROUNDS; round++) {
        (void)handle_close_idle(fixture.server->handles, UINT_MAX);
        int before = fd_budget_used(budget), rest = 0;
        for (unsigned i = 0; i < 1000; i++) {
            uint64_t fh = fixture_open(&fixture, "f", O_RDONLY, NODE + i);
            CHECK_EQ(handle_release_idle(fixture.thread, fh, NODE + i), 0);
        }
        int idle = fd_budget_used(budget) - before;
        CHECK(idle > 4 * SCARCE_THREADS);
        while (fd_budget_take(budget, &fixture.thread->purse) == 0)
            rest++;
        /* Less than there is, as what others are about to keep may look as if it were gone. */
        for (unsigned i = 0; i < SCARCE_THREADS; i++) {
            scarce[i].share = (unsigned)idle / 2 / SCARCE_THREADS;
            CHECK_EQ(pthread_create(&threads[i], NULL, scarce_main, &scarce[i]), 0);
        }
        for (unsigned i = 0; i < SCARCE_THREADS; i++) {
            pthread_join(threads[i], NULL);
            CHECK_EQ(scarce[i].refused, 0);
        }
        while (rest--)
            fd_budget_give(budget, &fixture.thread->purse);
    }
    for (unsigned i = 0; i < SCARCE_THREADS; i++)
        fuse_thread_free(scarce[i].fixture.thread);
    fixture_stop(&fixture);
}

#define STRESS_THREADS 4
#define STRESS_NODES   6
#define STRESS_ROUNDS  30000

struct stress {
    struct fixture fixture;
    unsigned seed;
    ino_t ino[STRESS_NODES];
    unsigned again, wrong;
};

/* Some of the nodes share a place. */
static uint64_t stress_node(unsigned n)
{
    return NODE + n / 2 + n % 2 * HANDLES_IDLE_MAX;
}

static void stress_once(struct stress *stress)
{
    static const char *const names[STRESS_NODES] = {"s0", "s1", "s2", "s3", "s4", "s5"};
    struct fixture *mine = &stress->fixture;
    struct handle_table *table = mine->server->handles;
    unsigned n = (unsigned)rand_r(&stress->seed) % STRESS_NODES;
    unsigned what = (unsigned)rand_r(&stress->seed) % 64;
    uint64_t node = stress_node(n), fh;
    struct stat st;

    if (what == 0) {
        handle_rest(table);
    } else if (what == 1) {
        handle_close_idle(table, 2);
    } else if (what == 2) {
        handle_drop_idle(table, node);
    } else if (what == 3) {
        handle_close_late(mine->thread, true);
    } else if (what < 6) {
        int fd = handle_take_idle(mine->thread, node);
        if (fd >= 0) {
            stress->wrong += fstat(fd, &st) < 0 || st.st_ino != stress->ino[n];
            close(fd);
        }
    } else {
        struct handle *handle;
        fixture_enter(mine);
        if (handle_open_idle(mine->thread, node, &fh) == 0)
            stress->again++;
        else
            fh = fixture_open(mine, names[n], O_RDONLY, node);
        stress->wrong += handle_get(mine->thread, HANDLE_FILE, fh, node, &handle) < 0 ||
                         fstat(handle->fd, &st) < 0 || st.st_ino != stress->ino[n];
        int error = what % 4 ? handle_release_idle(mine->thread, fh, node)
                             : handle_release_late(mine->thread, fh, node);
        stress->wrong += error != 0;
        fixture_leave(mine);
    }
}

static void *stress_main(void *argument)
{
    struct stress *stress = argument;
    for (unsigned i = 0; i < STRESS_ROUNDS; i++)
        stress_once(stress);
    return NULL;
}

/* Threads open and close the same few files: each always has the one that it asked for. */
static void many_threads(void)
{
    struct fixture fixture;
    struct stress stress[STRESS_THREADS];
    pthread_t threads[STRESS_THREADS];
    ino_t ino[STRESS_NODES];
    CHECK(fixture_start(&fixture, FILE_HANDLES_PREFER));
    unsigned descriptors = open_descriptors();
    int budget = fd_budget_used(&fixture.server->budget);
    for (unsigned i = 0; i < STRESS_NODES; i++) {
        char name[] = {'s', (char)('0' + i), 0};
        struct stat st = {0};
        share_file(name, name);
        CHECK_EQ(fstatat(share_dir, name, &st, 0), 0);
        ino[i] = st.st_ino;
    }
    for (unsigned i = 0; i < STRESS_THREADS; i++) {
        stress[i] = (struct stress){.fixture = fixture, .seed = i};
        for (unsigned n = 0; n < STRESS_NODES; n++)
            stress[i].ino[n] = ino[n];
        CHECK_EQ(fuse_thread_new(fixture.server, NULL, &stress[i].fixture.thread), 0);
        CHECK_EQ(pthread_create(&threads[i], NULL, stress_main, &stress[i]), 0);
    }
    unsigned again = 0;
    for (unsigned i = 0; i < STRESS_THREADS; i++) {
        pthread_join(threads[i], NULL);
        CHECK_EQ(stress[i].wrong, 0);
        again += stress[i].again;
        fuse_thread_free(stress[i].fixture.thread);
    }
    CHECK(again > STRESS_ROUNDS / 10);
    handle_release_all(fixture.server->handles);
    epoch_reclaim(fixture.server->epochs);
    CHECK_EQ(open_descriptors(), descriptors);
    CHECK_EQ(fd_budget_used(&fixture.server->budget), budget);
    fixture_stop(&fixture);
}

int main(void)
{
    struct rlimit limit = {.rlim_cur = 4096, .rlim_max = 4096};
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 1;
    if (!share_make())
        return 1;
    RUN(opened_again);
    RUN(not_idle);
    RUN(closed);
    RUN(late);
    RUN(forgotten);
    RUN(budget_comes_first);
    RUN(scarce_for_many);
    RUN(many_threads);
    share_remove();
    return test_result();
}
