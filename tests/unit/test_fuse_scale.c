// SPDX-License-Identifier: BSD-3-Clause
/*
 * What very many inodes cost: little memory each, which comes back when they are forgotten, and no
 * descriptors beyond the budget. 200,000 files on a tmpfs of its own memory, which is not counted.
 *
 * With VIOFSD_TEST_SCALE=full a million, and then times are measured, too: what is asked of an
 * inode takes as long as it does with a thousand.
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <time.h>

#include "fixture.h"
#include "host_path.h"
#include "inode_table.h"
#include "scope.h"
#include "server.h"
#include "test.h"

#define BYTES_PER_INODE 128 /* beyond BYTES_AT_FIRST */
#define BYTES_AT_FIRST  (16u << 20)
#define BYTES_LINGERING (INODES_LINGERING_MAX * sizeof(struct inode))
/* Of one more inode, with its part of the index; and of all that was taken meanwhile. */
#ifndef __SANITIZE_ADDRESS__
#define BYTES_MORE 142
#define BYTES_KEPT (4u << 20)
#else /* which holds back what was freed */
#define BYTES_MORE 160
#define BYTES_KEPT (8u << 20)
#endif
#define FILES_PER_DIR 1000
#define DIRS_MAX      1000

static char share_path[] = "/tmp/viofsd-test-scale-XXXXXX";
static unsigned dirs = 200;
static uint64_t every_id[DIRS_MAX * (FILES_PER_DIR + 1)];

/* What a file of /proc says in kB behind the name, in bytes. */
static size_t bytes_of(const char *path, const char *name)
{
    FILE *file = fopen(path, "re");
    char line[128];
    size_t kilobytes = 0;
    while (file && fgets(line, sizeof(line), file)) {
        if (strncmp(line, name, strlen(name)) == 0) {
            kilobytes = strtoul(line + strlen(name), NULL, 10);
            break;
        }
    }
    if (file)
        fclose(file);
    return kilobytes * 1024;
}

/* Memory of this process in bytes: its own and what it has of the state arena. */
static size_t memory_used(void)
{
    return bytes_of("/proc/self/smaps_rollup", "Rss:");
}

/* The most that it had since the last call. */
static size_t memory_peak(void)
{
    size_t peak = bytes_of("/proc/self/status", "VmHWM:");
    FILE *reset = fopen("/proc/self/clear_refs", "we");
    if (reset) {
        fputs("5", reset);
        fclose(reset);
    }
    return peak;
}

static bool make_tree(void)
{
    char path[128];
    for (unsigned i = 0; i < dirs; i++) {
        snprintf(path, sizeof(path), "%s/d%u", share_path, i);
        if (mkdir(path, 0755) < 0)
            return false;
        autoclose int dir = open(path, O_DIRECTORY | O_CLOEXEC);
        for (unsigned j = 0; j < FILES_PER_DIR; j++) {
            snprintf(path, sizeof(path), "f%u", j);
            if (mknodat(dir, path, S_IFREG | 0644, 0) < 0)
                return false;
        }
    }
    return true;
}

/* A LOOKUP as a request of its own. Returns the node id, 0 on failure. */
static uint64_t look_up(struct fuse_thread *thread, uint64_t parent, const char *name)
{
    struct fuse_server *server = thread->server;
    struct inode *directory, *inode;
    struct statx attributes;
    bool submount;
    uint64_t id = 0;
    epoch_enter(server->epochs, thread->epoch);
    if (inode_get(server->inodes, parent, &directory) == 0 &&
        inode_lookup(thread, directory, name, &inode, &attributes, &submount) == 0)
        id = inode_id(server->inodes, inode);
    while (thread->temporary_count)
        close(thread->temporary[--thread->temporary_count]);
    epoch_leave(server->epochs, thread->epoch);
    return id;
}

/* Their ids go into ids, if it is not NULL. */
static unsigned look_all_up(struct fuse_thread *thread, uint64_t *ids)
{
    char name[16];
    unsigned found = 0;
    for (unsigned i = 0; i < dirs; i++) {
        snprintf(name, sizeof(name), "d%u", i);
        uint64_t directory = look_up(thread, FUSE_ROOT_ID, name);
        if (ids)
            ids[found] = directory;
        found += directory != 0;
        for (unsigned j = 0; j < FILES_PER_DIR; j++) {
            snprintf(name, sizeof(name), "f%u", j);
            uint64_t id = look_up(thread, directory, name);
            if (ids)
                ids[found] = id;
            found += id != 0;
        }
    }
    return found;
}

static void inodes_are_small(void)
{
    struct settings settings = {.cache = CACHE_AUTO, .file_handles = FILE_HANDLES_PREFER};
    struct fuse_server_fds fds = {
        .share = open(share_path, O_PATH | O_DIRECTORY | O_CLOEXEC),
        .proc_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC),
        .mountinfo = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC),
    };
    struct fuse_server *server;
    struct fuse_thread *thread;
    unsigned count = dirs * (FILES_PER_DIR + 1);
    CHECK_EQ(fuse_server_new(&settings, &fds, &server), 0);
    CHECK_EQ(fuse_thread_new(server, NULL, &thread), 0);

    size_t before = memory_used();
    CHECK_EQ(look_all_up(thread, NULL), count);
    size_t after = memory_used();
    CHECK_EQ(inode_count(server->inodes), count + 1);
    printf("     %u inodes, %.1f bytes each, %u descriptors open\n", count,
           (double)(after - before) / count, open_descriptors());
    CHECK((after - before) / count <= BYTES_MORE);
    CHECK(after <= BYTES_AT_FIRST + (size_t)count * BYTES_PER_INODE);
    CHECK(open_descriptors() <= (unsigned)server->budget.limit + 16);
    CHECK(fd_budget_used(&server->budget) <= server->budget.limit);

    /* Forgetting all at once takes no memory either. */
    memory_peak();
    after = memory_used();
    fuse_server_reset(server);
    CHECK(memory_peak() <= after + BYTES_KEPT);
    CHECK_EQ(inode_count(server->inodes), 1);
    CHECK_EQ(fd_budget_used(&server->budget), 0);
    fuse_thread_free(thread);
    fuse_server_free(server);
}

static void forget(struct fuse_thread *thread, uint64_t id)
{
    epoch_enter(thread->server->epochs, thread->epoch);
    inode_forget(thread, id, 1);
    epoch_leave(thread->server->epochs, thread->epoch);
}

static bool is_found(struct fuse_thread *thread, uint64_t id)
{
    struct inode *inode;
    return inode_get(thread->server->inodes, id, &inode) == 0;
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/*
 * All inodes are forgotten, and what lingers is all whose memory is not the host's again. Those
 * that come after have ids that none had before.
 */
static void forgotten_inodes_give_memory_back(void)
{
    struct settings settings = {.cache = CACHE_AUTO, .file_handles = FILE_HANDLES_PREFER};
    struct fuse_server_fds fds = {
        .share = open(share_path, O_PATH | O_DIRECTORY | O_CLOEXEC),
        .proc_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC),
    };
    struct fuse_server *server;
    struct fuse_thread *thread;
    unsigned count = dirs * (FILES_PER_DIR + 1);
    uint64_t *all = calloc((size_t)2 * count, sizeof(*all));
    CHECK_EQ(fuse_server_new(&settings, &fds, &server), 0);
    CHECK_EQ(fuse_thread_new(server, NULL, &thread), 0);
    for (unsigned i = 0; i < 2 * count; i++)
        all[i] = i; /* its memory is not counted below */

    for (int lingering = 0; lingering <= 1; lingering++) {
        uint64_t *ids = all + (size_t)lingering * count;
        server->session.flags = lingering ? FUSE_EXPORT_SUPPORT : 0;
        server->session.ready = lingering;
        size_t before = memory_used();
        CHECK_EQ(look_all_up(thread, ids), count);
        size_t full = memory_used();
        for (unsigned i = 0; i < count; i++)
            forget(thread, ids[i]);
        epoch_reclaim(server->epochs);
        inode_rest(server->inodes);
        size_t after = memory_used();
        printf("     %.1f MiB more with %u inodes, %.1f when they are forgotten%s\n",
               (double)(full - before) / (1 << 20), count,
               ((double)after - (double)before) / (1 << 20), lingering ? ", and linger" : "");
        CHECK(full - before + BYTES_KEPT >= (size_t)count * sizeof(struct inode));
        CHECK(after <= before + BYTES_KEPT + (lingering ? BYTES_LINGERING : 0));
        CHECK_EQ(inode_count(server->inodes), lingering ? INODES_LINGERING_MAX + 1 : 1);
        CHECK(!is_found(thread, ids[0]));
    }
    qsort(all, (size_t)2 * count, sizeof(*all), by_value);
    for (unsigned i = 1; i < 2 * count; i++)
        CHECK(all[i - 1] != all[i]);
    fuse_server_reset(server);
    fuse_thread_free(thread);
    fuse_server_free(server);
    free(all);
}

/* Forgotten inodes are found by id for a while; the oldest give way, and descriptors go in time. */
static void forgotten_inodes_linger(void)
{
    struct settings settings = {.cache = CACHE_AUTO, .file_handles = FILE_HANDLES_PREFER};
    struct fuse_server_fds fds = {
        .share = open(share_path, O_PATH | O_DIRECTORY | O_CLOEXEC),
        .proc_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC),
    };
    struct fuse_server *server;
    struct fuse_thread *thread;
    CHECK_EQ(fuse_server_new(&settings, &fds, &server), 0);
    CHECK_EQ(fuse_thread_new(server, NULL, &thread), 0);
    server->session.flags = FUSE_EXPORT_SUPPORT;
    server->session.ready = true;

    uint64_t first = 0, last = 0;
    char name[16];
    for (unsigned i = 0; i < dirs; i++) {
        snprintf(name, sizeof(name), "d%u", i);
        uint64_t directory = look_up(thread, FUSE_ROOT_ID, name);
        for (unsigned j = 0; j < FILES_PER_DIR; j++) {
            snprintf(name, sizeof(name), "f%u", j);
            last = look_up(thread, directory, name);
            first = first ? first : last;
            forget(thread, last);
            CHECK(is_found(thread, last));
        }
        forget(thread, directory);
    }
    CHECK(dirs * FILES_PER_DIR > INODES_LINGERING_MAX);
    CHECK(!is_found(thread, first));
    CHECK(is_found(thread, last));
    epoch_reclaim(server->epochs);
    CHECK_EQ(inode_count(server->inodes), INODES_LINGERING_MAX + 1);
    CHECK(fd_budget_used(&server->budget) > 0);
    while (inode_rest(server->inodes))
        continue;
    CHECK_EQ(fd_budget_used(&server->budget), 0);

    fuse_server_reset(server);
    CHECK_EQ(inode_count(server->inodes), 1);
    CHECK(!is_found(thread, last));
    fuse_thread_free(thread);
    fuse_server_free(server);
}

struct watcher {
    struct fuse_server *server;
    uint64_t directory;
    uint64_t id; /* of its file f0 */
    atomic_bool stop;
    unsigned looks;
    unsigned missed;
};

/* Looks the file up, which the guest knows all the time, as UNLINK does: it must be found. */
static void *watch(void *argument)
{
    struct watcher *watcher = argument;
    struct fuse_server *server = watcher->server;
    struct inode *directory;
    struct inode_victim victim;
    struct fuse_thread *thread;
    if (fuse_thread_new(server, NULL, &thread) < 0)
        abort();
    while (!atomic_load(&watcher->stop)) {
        epoch_enter(server->epochs, thread->epoch);
        bool found = inode_get(server->inodes, watcher->directory, &directory) == 0 &&
                     inode_lookup_last(thread, directory, "f0", &victim) == 0;
        if (!found || inode_id(server->inodes, victim.inode) != watcher->id)
            watcher->missed++;
        if (found)
            inode_forget(thread, inode_id(server->inodes, victim.inode), 1);
        while (thread->temporary_count)
            close(thread->temporary[--thread->temporary_count]);
        epoch_leave(server->epochs, thread->epoch);
        watcher->looks++;
    }
    fuse_thread_free(thread);
    return NULL;
}

/* An index is made anew under those who look at them, when there are more inodes and less. */
static void known_files_are_found_meanwhile(void)
{
    struct settings settings = {.cache = CACHE_AUTO, .file_handles = FILE_HANDLES_PREFER};
    struct fuse_server_fds fds = {
        .share = open(share_path, O_PATH | O_DIRECTORY | O_CLOEXEC),
        .proc_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC),
    };
    struct watcher watcher = {0};
    struct fuse_thread *thread;
    pthread_t other;
    unsigned count = dirs * (FILES_PER_DIR + 1);
    CHECK_EQ(fuse_server_new(&settings, &fds, &watcher.server), 0);
    CHECK_EQ(fuse_thread_new(watcher.server, NULL, &thread), 0);
    watcher.directory = look_up(thread, FUSE_ROOT_ID, "d0");
    watcher.id = look_up(thread, watcher.directory, "f0");
    CHECK_EQ(pthread_create(&other, NULL, watch, &watcher), 0);
    for (unsigned round = 0; round < 2; round++) {
        unsigned found = look_all_up(thread, every_id);
        for (unsigned i = 0; i < found; i++)
            forget(thread, every_id[i]);
        inode_rest(watcher.server->inodes);
        CHECK_EQ(found, count);
    }
    atomic_store(&watcher.stop, true);
    pthread_join(other, NULL);
    printf("     looked %u times, missed %u\n", watcher.looks, watcher.missed);
    CHECK(watcher.looks > 0);
    CHECK_EQ(watcher.missed, 0);
    CHECK_EQ(inode_count(watcher.server->inodes), 3);
    fuse_server_reset(watcher.server);
    fuse_thread_free(thread);
    fuse_server_free(watcher.server);
}

/* What GETATTR does: from the id to the attributes. Counts in hits if a descriptor was there. */
static void get_attributes(struct fuse_thread *thread, uint64_t id, unsigned *hits)
{
    struct fuse_server *server = thread->server;
    struct inode *inode;
    struct statx attributes;
    int fd;
    epoch_enter(server->epochs, thread->epoch);
    CHECK_EQ(inode_get(server->inodes, id, &inode), 0);
    *hits += atomic_load(&inode->fd) >= 0;
    CHECK_EQ(inode_fd(thread, inode, &fd), 0);
    CHECK_EQ(host_stat_fd(fd, &attributes), 0);
    while (thread->temporary_count)
        close(thread->temporary[--thread->temporary_count]);
    epoch_leave(server->epochs, thread->epoch);
}

#define SKEWED_INODES   50000u
#define SKEWED_BUDGET   (SKEWED_INODES / 100)
#define SKEWED_REQUESTS 200000u

static uint64_t random_state = 1;

static double random_fraction(void)
{
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (double)(random_state >> 11) / (double)(UINT64_C(1) << 53);
}

/*
 * A hundred inodes for each descriptor of the budget, and the n-th most popular is asked for
 * 1 / n^1.2 as often as the first: nearly as many find a descriptor as if the most popular ones
 * kept theirs all the time. One that does not costs two system calls more.
 */
static void popular_inodes_have_descriptors(void)
{
    struct settings settings = {.cache = CACHE_AUTO, .file_handles = FILE_HANDLES_PREFER};
    struct fuse_server_fds fds = {
        .share = open(share_path, O_PATH | O_DIRECTORY | O_CLOEXEC),
        .proc_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC),
    };
    struct fuse_server *server;
    struct fuse_thread *thread;
    struct rlimit before, few;
    static double share[SKEWED_INODES]; /* of requests, of this and the more popular ones */
    getrlimit(RLIMIT_NOFILE, &before);
    few = before;
    few.rlim_cur = SKEWED_BUDGET * 4 / 3; /* a quarter is not for the guest */
    setrlimit(RLIMIT_NOFILE, &few);
    CHECK_EQ(fuse_server_new(&settings, &fds, &server), 0);
    setrlimit(RLIMIT_NOFILE, &before);
    CHECK(server->budget.limit <= (int)SKEWED_BUDGET);
    CHECK_EQ(fuse_thread_new(server, NULL, &thread), 0);
    CHECK(look_all_up(thread, every_id) >= SKEWED_INODES);

    for (unsigned i = 0; i < SKEWED_INODES; i++)
        share[i] = (i ? share[i - 1] : 0) + pow(i + 1, -1.2);
    unsigned hits = 0;
    for (unsigned n = 0; n < SKEWED_REQUESTS; n++) {
        double at = random_fraction() * share[SKEWED_INODES - 1];
        unsigned low = 0, high = SKEWED_INODES - 1;
        while (low < high) {
            unsigned middle = (low + high) / 2;
            if (share[middle] < at)
                low = middle + 1;
            else
                high = middle;
        }
        /* Neighbours in popularity are none in the table. */
        get_attributes(thread, every_id[low * UINT64_C(7919) % SKEWED_INODES], &hits);
    }
    double best = share[server->inodes->cache.capacity - 1] / share[SKEWED_INODES - 1];
    double rate = (double)hits / SKEWED_REQUESTS;
    printf("     %u inodes, %u cached descriptors: %.1f%% of requests find one, %.1f%% could\n",
           SKEWED_INODES, server->inodes->cache.capacity, 100 * rate, 100 * best);
    CHECK(rate >= 0.9 * best);
    CHECK(fd_budget_used(&server->budget) <= server->budget.limit);
    fuse_server_reset(server);
    fuse_thread_free(thread);
    fuse_server_free(server);
}

#define TIMED_ROUNDS 15
#define TIMED_INODES 1000u
#define TIMED_SLACK  1.2

static double now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

/* A server that knows the files of the first directories; ids: the first one's, and its files'. */
static struct fuse_thread *known_files(const struct settings *settings, unsigned directories,
                                       uint64_t *ids)
{
    struct fuse_server_fds fds = {
        .share = open(share_path, O_PATH | O_DIRECTORY | O_CLOEXEC),
        .proc_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC),
    };
    struct fuse_server *server;
    struct fuse_thread *thread;
    unsigned all = dirs;
    if (fuse_server_new(settings, &fds, &server) < 0 || fuse_thread_new(server, NULL, &thread) < 0)
        abort();
    dirs = directories;
    look_all_up(thread, every_id);
    dirs = all;
    memcpy(ids, every_id, (TIMED_INODES + 1) * sizeof(*ids));
    return thread;
}

/* us of CPU for a LOOKUP or GETATTR, on average over the same inodes in the same order. */
static double time_known(struct fuse_thread *thread, const uint64_t *ids, bool lookup)
{
    unsigned hits = 0;
    char name[16];
    double start = now_us();
    for (unsigned i = 0; i < TIMED_INODES; i++) {
        unsigned file = i * 379 % TIMED_INODES;
        snprintf(name, sizeof(name), "f%u", file);
        if (lookup)
            look_up(thread, ids[0], name);
        else
            get_attributes(thread, ids[1 + file], &hits);
    }
    return (now_us() - start) / TIMED_INODES;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Median of the ratios of neighbours in time, so that a busy machine disturbs both sides. */
static void many_inodes_are_no_slower(void)
{
    struct settings settings = {.cache = CACHE_AUTO, .file_handles = FILE_HANDLES_PREFER};
    static uint64_t few_ids[TIMED_INODES + 1], many_ids[TIMED_INODES + 1];
    struct fuse_thread *few = known_files(&settings, 1, few_ids);
    struct fuse_thread *many = known_files(&settings, dirs, many_ids);
    for (int lookup = 0; lookup <= 1; lookup++) {
        double ratios[TIMED_ROUNDS], few_us = 0, many_us = 0;
        for (unsigned i = 0; i < TIMED_ROUNDS; i++) {
            few_us = time_known(few, few_ids, lookup);
            many_us = time_known(many, many_ids, lookup);
            ratios[i] = many_us / few_us;
        }
        qsort(ratios, TIMED_ROUNDS, sizeof(ratios[0]), by_size);
        printf("     %s: %.2f us with a thousand inodes, %.2f with %u, ratio %.2f\n",
               lookup ? "lookup" : "getattr", few_us, many_us, dirs * (FILES_PER_DIR + 1),
               ratios[TIMED_ROUNDS / 2]);
        CHECK(ratios[TIMED_ROUNDS / 2] <= TIMED_SLACK);
    }
    struct fuse_thread *threads[] = {few, many};
    for (unsigned i = 0; i < 2; i++) {
        struct fuse_server *server = threads[i]->server;
        fuse_server_reset(server);
        fuse_thread_free(threads[i]);
        fuse_server_free(server);
    }
}

int main(void)
{
    const char *scale = getenv("VIOFSD_TEST_SCALE");
    if (scale && strcmp(scale, "full") == 0)
        dirs = DIRS_MAX;
    if (!mkdtemp(share_path))
        return 1;
    if (mount("scale", share_path, "tmpfs", 0, "nr_inodes=2M") < 0) {
        printf("cannot mount a tmpfs: %s\n", strerror(errno));
        rmdir(share_path);
        return 77;
    }
    if (make_tree()) {
        RUN(inodes_are_small);
        RUN(forgotten_inodes_give_memory_back);
        RUN(forgotten_inodes_linger);
        RUN(known_files_are_found_meanwhile);
        RUN(popular_inodes_have_descriptors);
        if (dirs == DIRS_MAX)
            RUN(many_inodes_are_no_slower);
    } else {
        test_failed++;
    }
    umount2(share_path, MNT_DETACH);
    rmdir(share_path);
    return test_result();
}
