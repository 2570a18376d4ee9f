// SPDX-License-Identifier: BSD-3-Clause
/*
 * viofs-floor: the host calls that a workload cannot do without, in a loop, on the same files; what
 * a daemon takes more than that is its own.  Prints one line of JSON.
 *
 * For each operation it makes the calls that bring what the replies must hold, the cheapest way
 * there is: attributes by a descriptor or by a name in an open directory, data by one call for
 * each request.  Nothing to find a file again later, nothing to tell files apart.
 *
 * --confined: what a daemon in a sandbox cannot do without either.  What it finds by name comes
 * with time of birth and mount, by which one file is told from another; of what it makes it takes
 * the file handle or keeps a descriptor; what it removes it looks at before.  All under a seccomp
 * filter, and beside another thread, so that a call has to count its uses of a descriptor.
 *
 * With a CPU for a client, each request is also a sleep, a kick that ends it and a call, as at
 * depth 1: a thread on that CPU kicks, and sleeps until it is called.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "histogram.h"
#include "mix.h"
#include "share.h"

#define KIB          1024u
#define MIB          (KIB * KIB)
#define PAGE         4096u
#define PIECES       (MIB / PAGE)
#define NS_PER_S     1000000000ull
#define LOOK_EVERY   16u /* operations between two looks at the clock */

#define HANDLE_BYTES 128

struct floor {
    bool confined;
    int root, files, scratch, list, data;
    int fds[SHARE_FILES]; /* O_PATH */
    char names[SHARE_FILES][SHARE_NAME_SIZE];
    char missing[SHARE_FILES][SHARE_NAME_SIZE];
    unsigned char *memory; /* a block for each operation in flight, shared as a guest's is */
    struct iovec *pieces;  /* PIECES for each */
    unsigned int depth;
    int client_cpu; /* -1: nobody kicks */
    int epoll_fd, kick_fd, call_fd;
    atomic_bool ended;
    double client_us;         /* CPU time that the client has had */
    struct histogram latency; /* of operations that it has waited for */
    uint64_t block, n_blocks;
    uint64_t n; /* operations so far */
    uint64_t random;
};

struct work {
    const char *name;
    /* One operation.  Returns how many units it was, or negative errno. */
    int (*run)(struct floor *floor);
    unsigned int requests; /* that are answered; 0: as the mix has it */
    uint32_t block;        /* bytes of a READ, WRITE or READDIRPLUS */
    bool writes;
};

static unsigned int next_file(const struct floor *floor)
{
    return (unsigned int)(floor->n % SHARE_FILES);
}

static int done(long result)
{
    return result < 0 ? -errno : 1;
}

static int run_getattr(struct floor *floor)
{
    struct stat st;

    return done(fstat(floor->fds[next_file(floor)], &st));
}

/* By what a file is found again. */
static long take_handle(int fd)
{
    union {
        struct file_handle handle;
        char room[sizeof(struct file_handle) + HANDLE_BYTES];
    } buffer = {.handle.handle_bytes = HANDLE_BYTES};
    int mount_id;

    return name_to_handle_at(fd, "", &buffer.handle, &mount_id, AT_EMPTY_PATH);
}

/* Attributes that tell files apart, of a name or with an empty one of a descriptor. */
static long identify(int dirfd, const char *name)
{
    struct statx st;

    return statx(dirfd, name, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH,
                 STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID, &st);
}

static long look(const struct floor *floor, int dirfd, const char *name)
{
    struct stat st;

    return floor->confined ? identify(dirfd, name) : fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW);
}

static int run_lookup(struct floor *floor)
{
    return done(look(floor, floor->files, floor->names[next_file(floor)]));
}

static int run_miss(struct floor *floor)
{
    long r = look(floor, floor->files, floor->missing[next_file(floor)]);

    return r < 0 && errno == ENOENT ? 1 : -EEXIST;
}

static int open_file(const struct floor *floor)
{
    return openat(floor->files, floor->names[next_file(floor)], O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
}

static int run_open(struct floor *floor)
{
    int fd = open_file(floor);

    return fd < 0 ? -errno : done(close(fd));
}

static int run_small_file(struct floor *floor)
{
    int r = run_lookup(floor);
    int fd = open_file(floor);

    if (r < 0 || fd < 0)
        return -EIO;
    if (pread(fd, floor->memory, SHARE_FILE_SIZE, 0) != SHARE_FILE_SIZE)
        r = -EIO;
    close(fd);
    return r;
}

/* Confined, it is open until it is removed, to tell which file the name is. */
static int run_create(struct floor *floor)
{
    struct stat st;
    int fd = openat(floor->scratch, "floor", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);

    if (fd < 0)
        return -errno;
    if (!floor->confined && (fstat(fd, &st) < 0 || close(fd) < 0))
        return -errno;
    if (floor->confined &&
        (identify(fd, "") < 0 || take_handle(fd) < 0 || identify(floor->scratch, "floor") < 0))
        return -errno;
    if (unlinkat(floor->scratch, "floor", 0) < 0)
        return -errno;
    return floor->confined ? done(close(fd)) : 1;
}

/* A FIFO is opened in the guest, and lives on there without a name: hence the descriptor. */
static int run_mknod(struct floor *floor)
{
    int fd = -1;

    if (mknodat(floor->scratch, "floor", S_IFIFO | 0640, 0) < 0)
        return -errno;
    if (floor->confined)
        fd = openat(floor->scratch, "floor", O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if ((floor->confined && (fd < 0 || identify(fd, "") < 0)) ||
        look(floor, floor->scratch, "floor") < 0 || unlinkat(floor->scratch, "floor", 0) < 0)
        return -errno;
    return floor->confined ? done(close(fd)) : 1;
}

static int run_statfs(struct floor *floor)
{
    struct statfs st;

    return done(fstatfs(floor->root, &st));
}

static uint64_t next_random(struct floor *floor)
{
    uint64_t x = floor->random;

    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    floor->random = x;
    return x >> 16;
}

static unsigned char *memory_of(const struct floor *floor)
{
    return floor->memory + floor->n % floor->depth * floor->block;
}

static off_t random_place(struct floor *floor)
{
    return (off_t)(next_random(floor) % floor->n_blocks * floor->block);
}

static int run_random_read(struct floor *floor)
{
    return done(pread(floor->data, memory_of(floor), floor->block, random_place(floor)));
}

static int run_random_write(struct floor *floor)
{
    return done(pwrite(floor->data, memory_of(floor), floor->block, random_place(floor)));
}

static const struct iovec *pieces_of(const struct floor *floor)
{
    return floor->pieces + floor->n % floor->depth * PIECES;
}

static off_t next_place(const struct floor *floor)
{
    return (off_t)(floor->n % floor->n_blocks * floor->block);
}

static int run_read(struct floor *floor)
{
    return done(
        preadv(floor->data, pieces_of(floor), (int)(floor->block / PAGE), next_place(floor)));
}

static int run_write(struct floor *floor)
{
    return done(
        pwritev(floor->data, pieces_of(floor), (int)(floor->block / PAGE), next_place(floor)));
}

static int open_listing(struct floor *floor)
{
    if (floor->list >= 0)
        close(floor->list);
    floor->list = openat(floor->root, SHARE_DIR_ENTRY, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return floor->list < 0 ? -errno : 0;
}

/* Entries as many as a call brings; at the end the directory is opened anew. */
static int run_listing(struct floor *floor)
{
    union {
        struct dirent64 entry;
        char bytes[32 * KIB];
    } buffer;
    long got = syscall(SYS_getdents64, floor->list, &buffer, (size_t)floor->block);
    int n = 0;

    if (got < 0)
        return -errno;
    if (got == 0)
        return open_listing(floor);
    for (long at = 0; at < got; n++) {
        const struct dirent64 *entry = (const void *)(buffer.bytes + at);

        if (look(floor, floor->list, entry->d_name) < 0)
            return -errno;
        at += entry->d_reclen;
    }
    return n;
}

/* The entries of one READDIRPLUS of 4 KiB. */
static int run_short_listing(struct floor *floor)
{
    uint64_t block = floor->block;
    int n;

    floor->block = MIX_ENTRIES * 32;
    n = run_listing(floor);
    floor->block = block;
    return n < 0 ? n : 1;
}

static int run_mixed(struct floor *floor)
{
    switch (mix_kind(floor->n)) {
    case MIX_GETATTR:
        return run_getattr(floor);
    case MIX_LOOKUP:
        return run_lookup(floor);
    case MIX_SMALL_FILE:
        return run_small_file(floor);
    case MIX_WRITE:
        return run_random_write(floor);
    case MIX_LISTING:
        return run_short_listing(floor);
    }
    return -EINVAL;
}

static const struct work works[] = {
    {.name = "getattr", .run = run_getattr, .requests = 1},
    {.name = "lookup", .run = run_lookup, .requests = 1},
    {.name = "lookup-cold", .run = run_lookup, .requests = 1},
    {.name = "lookup-miss", .run = run_miss, .requests = 1},
    {.name = "open", .run = run_open, .requests = 2},
    {.name = "small-file", .run = run_small_file, .requests = 5},
    {.name = "create", .run = run_create, .requests = 3},
    {.name = "create-user", .run = run_create, .requests = 3},
    {.name = "mknod", .run = run_mknod, .requests = 2},
    {.name = "statfs", .run = run_statfs, .requests = 1},
    {.name = "randread", .run = run_random_read, .requests = 1, .block = 4 * KIB},
    {.name = "randwrite", .run = run_random_write, .requests = 1, .block = 4 * KIB, .writes = true},
    {.name = "seqread-128k", .run = run_read, .requests = 1, .block = 128 * KIB},
    {.name = "seqwrite-128k", .run = run_write, .requests = 1, .block = 128 * KIB, .writes = true},
    {.name = "seqread", .run = run_read, .requests = 1, .block = MIB},
    {.name = "seqwrite", .run = run_write, .requests = 1, .block = MIB, .writes = true},
    {.name = "readdirplus", .run = run_listing, .requests = 1, .block = 4 * KIB},
    {.name = "readdirplus-32k", .run = run_listing, .requests = 1, .block = 32 * KIB},
    {.name = "readdirplus-cold", .run = run_listing, .requests = 1, .block = 4 * KIB},
    {.name = "mixed", .run = run_mixed, .block = 4 * KIB, .writes = true},
};

static int open_files(struct floor *floor, const char *share, const struct work *work)
{
    struct stat st;

    floor->root = open(share, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    floor->files = openat(floor->root, SHARE_DIR_FILES, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    floor->scratch = openat(floor->root, SHARE_DIR_SPACE, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    floor->data = openat(floor->root, work->writes ? SHARE_SINK : SHARE_DATA, O_RDWR | O_CLOEXEC);
    floor->list = -1;
    if (floor->files < 0 || floor->scratch < 0 || floor->data < 0 || fstat(floor->data, &st) < 0)
        return -errno;
    for (unsigned int i = 0; i < SHARE_FILES; i++) {
        share_file_name(floor->names[i], i);
        snprintf(floor->missing[i], SHARE_NAME_SIZE, "m%04u", i);
        floor->fds[i] = openat(floor->files, floor->names[i], O_PATH | O_NOFOLLOW | O_CLOEXEC);
        if (floor->fds[i] < 0)
            return -errno;
    }
    floor->block = work->block ? work->block : 4 * KIB;
    floor->n_blocks = (uint64_t)st.st_size / floor->block;
    if (!floor->n_blocks)
        return -EINVAL;
    return open_listing(floor);
}

/* Pages of a block are not neighbours in order, as viofs-bench swaps them. */
static int make_memory(struct floor *floor)
{
    size_t size = floor->block * floor->depth;
    int fd = memfd_create("viofs-floor", MFD_CLOEXEC);

    if (fd < 0 || ftruncate(fd, (off_t)size) < 0)
        return -errno;
    floor->memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
    close(fd);
    floor->pieces = calloc((size_t)floor->depth * PIECES, sizeof(*floor->pieces));
    if (floor->memory == MAP_FAILED || !floor->pieces)
        return -ENOMEM;
    for (size_t i = 0; i < floor->depth; i++)
        for (size_t page = 0; page < floor->block / PAGE; page++)
            floor->pieces[i * PIECES + page] = (struct iovec){
                .iov_base =
                    floor->memory + i * floor->block + (page ^ (floor->block > PAGE)) * PAGE,
                .iov_len = PAGE,
            };
    return 0;
}

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec ts;

    clock_gettime(clock, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

static double cpu_us(clockid_t clock)
{
    return (double)clock_ns(clock) / 1e3;
}

static void ring(int fd)
{
    static const uint64_t one = 1;

    if (write(fd, &one, sizeof(one)) < 0)
        perror("viofs-floor: an eventfd");
}

/* Kicks, sleeps until it is called, and again. */
static void *client_main(void *argument)
{
    struct floor *floor = argument;
    uint64_t value;
    cpu_set_t cpus;

    CPU_ZERO(&cpus);
    CPU_SET((size_t)floor->client_cpu, &cpus);
    if (sched_setaffinity(0, sizeof(cpus), &cpus) < 0)
        perror("viofs-floor: the client's CPU");
    do
        ring(floor->kick_fd);
    while (read(floor->call_fd, &value, sizeof(value)) > 0 && !atomic_load(&floor->ended));
    floor->client_us = cpu_us(CLOCK_THREAD_CPUTIME_ID);
    return NULL;
}

/* The kick's eventfd is never read, as each write to it wakes again. */
static int open_events(struct floor *floor)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};

    floor->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    floor->kick_fd = eventfd(0, EFD_CLOEXEC);
    floor->call_fd = eventfd(0, EFD_CLOEXEC);
    if (floor->epoll_fd < 0 || floor->kick_fd < 0 || floor->call_fd < 0 ||
        epoll_ctl(floor->epoll_fd, EPOLL_CTL_ADD, floor->kick_fd, &event) < 0)
        return -errno;
    return 0;
}

static unsigned int requests_of(const struct floor *floor, const struct work *work)
{
    if (work->requests)
        return work->requests;
    return mix_kind(floor->n) == MIX_SMALL_FILE ? 5 : 1;
}

/* One operation, each request of which is waited for and answered. */
static int run_waked(struct floor *floor, const struct work *work)
{
    int r = 0;

    for (unsigned int i = requests_of(floor, work); i > 0; i--) {
        struct epoll_event event;

        if (epoll_wait(floor->epoll_fd, &event, 1, -1) < 0)
            return -errno;
        if (i == 1)
            r = work->run(floor);
        ring(floor->call_fd);
    }
    return r;
}

static int run_one(struct floor *floor, const struct work *work)
{
    uint64_t start;
    int r;

    if (floor->client_cpu < 0)
        return work->run(floor);
    start = clock_ns(CLOCK_MONOTONIC);
    r = run_waked(floor, work);
    histogram_add(&floor->latency, clock_ns(CLOCK_MONOTONIC) - start);
    return r;
}

static int run_for(struct floor *floor, const struct work *work, double seconds,
                   uint64_t *ret_units)
{
    uint64_t end = clock_ns(CLOCK_MONOTONIC) + (uint64_t)(seconds * 1e9);
    uint64_t units = 0;

    do {
        for (unsigned int i = 0; i < LOOK_EVERY; i++) {
            int r = run_one(floor, work);

            if (r < 0)
                return r;
            units += (unsigned int)r;
            floor->n++;
        }
    } while (clock_ns(CLOCK_MONOTONIC) < end);
    *ret_units = units;
    return 0;
}

static void *other_main(void *argument)
{
    pause();
    return argument;
}

/* From here on as in a daemon.  The other thread ends with the process. */
static int confine(void)
{
    struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    struct sock_fprog filter = {.len = 1, .filter = &allow};
    pthread_t other;

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW, &filter) < 0)
        return -errno;
    return -pthread_create(&other, NULL, other_main, NULL);
}

static int start_client(struct floor *floor, pthread_t *ret_thread)
{
    int r = open_events(floor);

    return r < 0 ? r : -pthread_create(ret_thread, NULL, client_main, floor);
}

/* Its CPU time is counted to the end, and with it the units of the warm-up. */
static void end_client(struct floor *floor, pthread_t thread)
{
    atomic_store(&floor->ended, true);
    ring(floor->call_fd);
    pthread_join(thread, NULL);
}

static int measure(struct floor *floor, const struct work *work, double seconds)
{
    uint64_t units, warm_up, start;
    double cpu;
    pthread_t client;
    int r = floor->client_cpu < 0 ? 0 : start_client(floor, &client);

    if (r < 0)
        return r;
    r = run_for(floor, work, seconds / 8, &warm_up);
    floor->latency = (struct histogram){0};
    start = clock_ns(CLOCK_MONOTONIC);
    cpu = cpu_us(CLOCK_THREAD_CPUTIME_ID);
    if (r == 0)
        r = run_for(floor, work, seconds, &units);
    cpu = cpu_us(CLOCK_THREAD_CPUTIME_ID) - cpu;
    start = clock_ns(CLOCK_MONOTONIC) - start;
    if (floor->client_cpu >= 0)
        end_client(floor, client);
    if (r < 0)
        return r;
    printf("{\"workload\": \"%s\", \"depth\": %u, \"ops\": %llu, \"rate\": %.3f, "
           "\"daemon_cpu_us\": %.4f, \"client_cpu_us\": %.4f, \"other_cpu_share\": %.3f",
           work->name, floor->depth, (unsigned long long)units, (double)units * 1e9 / (double)start,
           cpu / (double)units, floor->client_us / (double)(warm_up + units),
           floor->client_cpu < 0 ? 1 - cpu * 1e3 / (double)start : 0.0);
    if (floor->client_cpu >= 0)
        printf(", \"p99_us\": %.3f", (double)histogram_percentile(&floor->latency, 99) / 1e3);
    printf("}\n");
    return 0;
}

int main(int argc, char **argv)
{
    static struct floor floor = {.random = 0x9e3779b97f4a7c15ull};
    const struct work *work = NULL;
    double seconds;
    int r;

    floor.confined = argc > 1 && strcmp(argv[1], "--confined") == 0;
    argc -= floor.confined;
    argv += floor.confined;
    if (argc != 5 && argc != 6) {
        fprintf(stderr,
                "usage: viofs-floor [--confined] SHARE WORKLOAD DEPTH SECONDS [CLIENT-CPU]\n");
        return 2;
    }
    for (size_t i = 0; i < sizeof(works) / sizeof(works[0]); i++)
        if (strcmp(works[i].name, argv[2]) == 0)
            work = &works[i];
    floor.depth = (unsigned int)atoi(argv[3]);
    seconds = strtod(argv[4], NULL);
    floor.client_cpu = argc == 6 ? atoi(argv[5]) : -1;
    if (!work || !floor.depth || floor.depth > KIB || !(seconds > 0)) {
        fprintf(stderr, "viofs-floor: no such workload, or not a number above zero\n");
        return 2;
    }
    r = open_files(&floor, argv[1], work);
    if (r == 0)
        r = make_memory(&floor);
    if (r == 0 && floor.confined)
        r = confine();
    if (r == 0)
        r = measure(&floor, work, seconds);
    if (r < 0)
        fprintf(stderr, "viofs-floor: %s: %s\n", work->name, strerror(-r));
    return r < 0 ? 1 : 0;
}
