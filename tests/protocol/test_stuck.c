// SPDX-License-Identifier: BSD-3-Clause
/*
 * Requests whose host call is stuck or fails: what becomes of them, of the daemon's threads, and of
 * whoever stops the device meanwhile. How long others wait is test_isolation's.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crowd.h"

#define CROWD         16
#define RAMP_MS       3000
#define DELAY_MS      400

/* More than there may be threads, by default. */
#define MANY          100
#define THREADS_MAX   64

/* The daemon's threads go when they had nothing to do for five seconds. */
#define LEAVE_MS      15000
#define IDLE_MS       2000

/* What a stop waits for before it calls a request hanging. */
#define DRAIN_MS      5000
#define DRAIN_MAX_MS  11000

/* Of a direct read or write, and how often all of them are sent. */
#define DIRECT_MS     2
#define DIRECT_ROUNDS 20

#define OPENS         10000
#define WAITERS       100

static void start_with(struct crowd *crowd, struct daemon *daemon, const char *words)
{
    slow_mount(daemon);
    daemon_start(daemon, DAEMON_SOCKET_PATH, words);
    crowd_start(crowd, daemon);
}

static void start(struct crowd *crowd, struct daemon *daemon)
{
    start_with(crowd, daemon, "--xattr --posix-lock");
}

/* Sixteen reads in the host, each for so long; 0: until released. */
static void hold(struct crowd *crowd, int milliseconds)
{
    crowd_prepare(crowd, 0, CROWD);
    if (milliseconds)
        slow_tell("delay read %d /t*", milliseconds);
    else
        slow_tell("hang read /t*");
    crowd_send(crowd, 0, CROWD, slow_kind_of(VUF_OP_READ));
    unsigned long held = slow_await(CROWD, RAMP_MS);
    if (held < CROWD)
        FAIL("only %lu requests wait at once", held);
}

static void check_all(const struct crowd *crowd, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        const struct crowd_job *job = &crowd->jobs[i];

        CHECK(job->answered);
        CHECK_EQ(job->error, 0);
        CHECK(job->length >= job->kind->least);
    }
}

/* What the host says arrives as it is. */
static void errors(struct daemon *daemon)
{
    static const int numbers[] = {EIO, ENOSPC, EINTR, ESTALE, ETIMEDOUT, EDQUOT, EPERM};
    struct crowd crowd;
    unsigned different = 0;

    start(&crowd, daemon);
    crowd_prepare(&crowd, 0, 1);
    for (size_t k = 0; k < slow_kind_count; k++) {
        const struct slow_kind *kind = &slow_kinds[k];

        /* Nobody waits for a descriptor's last close. */
        if (kind->opcode == VUF_OP_RELEASE)
            continue;
        for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
            int wanted = -numbers[i], got;

            slow_tell("fail %s %s /t0%s", kind->call, strerrorname_np(numbers[i]), kind->path);
            crowd_send(&crowd, 0, 1, kind);
            CHECK(crowd_wait(&crowd, DAEMON_PATIENCE_MS));
            slow_tell("clear");
            got = crowd.jobs[0].error;
            if (got != wanted) {
                printf("# %s: %s arrives as %s\n", kind->name, strerrorname_np(-wanted),
                       got ? strerrorname_np(-got) : "success");
                different++;
            }
        }
    }
    fflush(stdout);
    CHECK_EQ(different, 0);
}

/* FORGET has a queue of its own, and comes through. */
static void forgets(struct daemon *daemon)
{
    struct crowd crowd;

    start(&crowd, daemon);
    hold(&crowd, 0);
    for (int i = 0; i < 100; i++) {
        long long before = now_ms();

        OK(vuf_fuse_forget(&crowd.guest.fuse, crowd.fast_file, 1));
        CHECK(now_ms() - before < DELAY_MS / 2);
        crowd_lookup(&crowd);
    }
    slow_tell("release");
    CHECK(crowd_wait(&crowd, DAEMON_PATIENCE_MS));
    check_all(&crowd, CROWD);
}

/*
 * More than there may be threads: the rest waits, and so does everything behind it. All are
 * answered, and nothing is left of it.
 */
static void more_than_threads(struct daemon *daemon)
{
    struct crowd crowd;

    start(&crowd, daemon);
    crowd_prepare(&crowd, 0, MANY);
    slow_tell("hang read /t*");
    crowd_send(&crowd, 0, MANY, slow_kind_of(VUF_OP_READ));
    unsigned long held = slow_await(MANY, RAMP_MS);
    printf("# of %u requests %lu are in the host at once\n", MANY, held);
    CHECK(held >= THREADS_MAX && held < MANY);
    CHECK(daemon_thread_count(daemon) < THREADS_MAX + 16);
    slow_tell("clear");
    slow_tell("release");
    CHECK(crowd_wait(&crowd, DAEMON_PATIENCE_MS));
    check_all(&crowd, MANY);
    guest_check_alive(&crowd.guest);
}

/*
 * One request hangs for long, and the others go on: what they give up must not gather meanwhile.
 */
static void opens_meanwhile(struct daemon *daemon)
{
    struct crowd crowd;

    start(&crowd, daemon);
    crowd_prepare(&crowd, 0, 1);
    slow_tell("hang getattr /t0/file");
    crowd_send(&crowd, 0, 1, slow_kind_of(VUF_OP_GETATTR));
    CHECK_EQ(slow_await(1, RAMP_MS), 1);
    unsigned before = daemon_fd_count(daemon);
    for (unsigned i = 0; i < OPENS; i++)
        crowd_open(&crowd);
    unsigned now = daemon_fd_count(daemon);
    if (now > before + OPENS / 2)
        FAIL("%u opens and releases leave %u descriptors open, of %u", OPENS, now, before);
    slow_tell("release");
    CHECK(crowd_wait(&crowd, DAEMON_PATIENCE_MS));
}

/*
 * A READ behind a WRITE that is stuck does not overtake it, or Linux would keep old data in its
 * cache; one of another file does. Nor when the WRITE was sent while something else was stuck,
 * which has ended since.
 */
static void reads_stay_behind_writes(struct daemon *daemon)
{
    struct crowd crowd;

    start(&crowd, daemon);
    crowd_prepare(&crowd, 0, 4);
    crowd.jobs[2].target = crowd.jobs[1].target;
    slow_tell("delay getattr %u /t0/file", DELAY_MS);
    slow_tell("hang write /t1/file");
    crowd_send(&crowd, 0, 1, slow_kind_of(VUF_OP_GETATTR));
    crowd_measure(&crowd, 100, 0);
    crowd_send(&crowd, 1, 1, slow_kind_of(VUF_OP_WRITE));
    crowd_measure(&crowd, 2 * DELAY_MS, 0);
    CHECK(crowd.jobs[0].answered && !crowd.jobs[1].answered);
    crowd_send(&crowd, 2, 1, slow_kind_of(VUF_OP_READ));
    crowd_send(&crowd, 3, 1, slow_kind_of(VUF_OP_READ));
    crowd_measure(&crowd, 200, 0);
    CHECK(!crowd.jobs[1].answered && !crowd.jobs[2].answered && crowd.jobs[3].answered);
    slow_tell("release");
    CHECK(crowd_wait(&crowd, DAEMON_PATIENCE_MS));
    check_all(&crowd, 4);
}

/*
 * Direct reads and writes wait for the disk side by side, though none takes so long that it counts
 * as stuck. What takes the least of several rounds does not depend on what else the machine does.
 */
static void direct(struct daemon *daemon)
{
    static const struct vuf_read_in read_in = {.size = 4096, .flags = O_RDWR | O_DIRECT};
    static const struct vuf_write_in write_in = {.size = 5, .flags = O_RDWR | O_DIRECT};
    struct slow_kind kinds[2] = {*slow_kind_of(VUF_OP_READ), *slow_kind_of(VUF_OP_WRITE)};
    struct crowd crowd;

    start_with(&crowd, daemon, "--allow-direct-io");
    crowd_prepare(&crowd, 0, CROWD);
    CHECK_EQ(kinds[0].args_size, sizeof(read_in));
    CHECK_EQ(kinds[1].args_size, sizeof(write_in));
    kinds[0].args = &read_in;
    kinds[1].args = &write_in;
    for (unsigned k = 0; k < 2; k++) {
        long long least = INT64_MAX;

        slow_tell("delay %s %d /t*", kinds[k].call, DIRECT_MS);
        for (unsigned round = 0; round < DIRECT_ROUNDS; round++) {
            long long before = now_ms();
            crowd_send(&crowd, 0, CROWD, &kinds[k]);
            CHECK(crowd_wait(&crowd, DAEMON_PATIENCE_MS));
            check_all(&crowd, CROWD);
            if (now_ms() - before < least)
                least = now_ms() - before;
        }
        slow_tell("clear");
        if (least > CROWD * DIRECT_MS / 2)
            FAIL("%u %ss of %d ms take %lld ms", CROWD, kinds[k].name, DIRECT_MS, least);
    }
}

/* How often the daemon's threads have slept or were interrupted, all together. */
static unsigned long switches(const struct daemon *daemon)
{
    unsigned long sum = 0, number;
    char path[300], line[200];

    snprintf(path, sizeof(path), "/proc/%d/task", daemon->server);
    DIR *dir = opendir(path);
    CHECK(dir);
    for (const struct dirent *entry; (entry = readdir(dir));) {
        snprintf(path, sizeof(path), "/proc/%d/task/%.20s/status", daemon->server, entry->d_name);
        FILE *file = fopen(path, "re");
        while (file && fgets(line, sizeof(line), file))
            if (sscanf(line, "voluntary_ctxt_switches: %lu", &number) == 1)
                sum += number;
        if (file)
            fclose(file);
    }
    closedir(dir);
    return sum;
}

/* The threads that there are once those that have nothing to do have ended. */
static unsigned settled_threads(const struct daemon *daemon, unsigned at_most)
{
    unsigned now = daemon_thread_count(daemon);

    for (long long end = now_ms() + LEAVE_MS; now > at_most && now_ms() < end; sleep_ms(50))
        now = daemon_thread_count(daemon);
    return now;
}

/* Threads that were made for it go, and then nobody wakes up any more. */
static void threads_go(struct daemon *daemon)
{
    struct crowd crowd;

    start(&crowd, daemon);
    unsigned before = daemon_thread_count(daemon);
    hold(&crowd, DELAY_MS);
    CHECK(daemon_thread_count(daemon) >= before + CROWD - 1);
    CHECK(crowd_wait(&crowd, DAEMON_PATIENCE_MS));
    check_all(&crowd, CROWD);
    unsigned now = settled_threads(daemon, before + 1);
    if (now > before + 1)
        FAIL("the daemon has %u threads, and had %u", now, before);
    unsigned long slept = switches(daemon);
    sleep_ms(IDLE_MS);
    CHECK_EQ(switches(daemon), slept);
}

/* A stop waits for what is in the host, and it is answered. */
static void stop_waits(struct daemon *daemon)
{
    struct crowd crowd;
    uint32_t base;

    start(&crowd, daemon);
    hold(&crowd, 2 * DELAY_MS);
    OK(vuf_get_vring_base(&crowd.guest.dev.conn, 1, &base));
    CHECK_EQ(base, crowd.guest.dev.rings[1].avail_idx);
    CHECK_EQ(crowd.guest.dev.rings[1].used->idx, (uint16_t)base);
    CHECK(crowd_wait(&crowd, 1));
    check_all(&crowd, CROWD);
    slow_tell("clear");
    guest_start_ring(&crowd.guest, 1);
    guest_check_alive(&crowd.guest);
}

static void status_waits(struct daemon *daemon)
{
    struct crowd crowd;

    start(&crowd, daemon);
    hold(&crowd, 2 * DELAY_MS);
    OK(vuf_set_status(&crowd.guest.dev.conn, 0));
    CHECK(crowd_wait(&crowd, 1));
    check_all(&crowd, CROWD);
}

static void reset_waits(struct daemon *daemon)
{
    struct crowd crowd;

    start(&crowd, daemon);
    hold(&crowd, 2 * DELAY_MS);
    OK(vuf_reset_device(&crowd.guest.dev.conn));
    CHECK_EQ(slow_tell("held"), 0);
    CHECK(crowd_wait(&crowd, 1));
    guest_check_control(&crowd.guest.dev.conn);
}

/* A stop does not wait for ever: the front-end loses the device, and the daemon ends. */
static void stop_gives_up(struct daemon *daemon)
{
    struct crowd crowd;
    uint32_t base;

    start(&crowd, daemon);
    hold(&crowd, 0);
    crowd.guest.dev.conn.timeout_ms = 20000;
    long long before = now_ms();
    CHECK(vuf_get_vring_base(&crowd.guest.dev.conn, 1, &base) < 0);
    long long took = now_ms() - before;
    if (took < DRAIN_MS - 100 || took > DRAIN_MAX_MS)
        FAIL("GET_VRING_BASE took %lld ms", took);
    daemon_expect_exit(daemon);
}

/* The front-end leaves: the same. */
static void leave_gives_up(struct daemon *daemon)
{
    struct crowd crowd;

    start(&crowd, daemon);
    hold(&crowd, 0);
    vuf_dev_close(&crowd.guest.dev);
    daemon_expect_exit(daemon);
}

/* SIGTERM is answered within a second whatever hangs. */
static void term(struct daemon *daemon)
{
    struct crowd crowd;

    start(&crowd, daemon);
    hold(&crowd, 0);
    daemon_terminate(daemon);
    slow_tell("release");
}

static void lock(struct crowd *crowd, uint32_t opcode, uint64_t owner, uint32_t type)
{
    struct vuf_lk_in in = {
        .fh = crowd->fast_fh, .owner = owner, .lk = {.end = INT64_MAX, .type = type, .pid = 1}};
    struct vuf_fuse_req *req = vuf_fuse_get(&crowd->guest.fuse, 1);

    CHECK(req);
    memcpy(vuf_fuse_args(req), &in, sizeof(in));
    req->user = NULL;
    OK(vuf_fuse_submit(&crowd->guest.fuse, req, opcode, crowd->fast_file, sizeof(in), 0));
    vuf_fuse_kick(&crowd->guest.fuse, 1);
}

static void expect_locked(struct crowd *crowd)
{
    struct vuf_fuse_req *req;

    OK(vuf_fuse_wait(&crowd->guest.fuse, 1, DAEMON_PATIENCE_MS, &req));
    CHECK_EQ(req->error, 0);
    vuf_fuse_put(&crowd->guest.fuse, req);
}

/* A hundred requests wait for a lock, and not a thread more than before. */
static void locks(struct daemon *daemon)
{
    struct crowd crowd;

    start(&crowd, daemon);
    OK(vuf_fuse_init(&crowd.guest.fuse, 38, VUF_INIT_POSIX_LOCKS | VUF_INIT_INIT_EXT));
    CHECK(crowd.guest.fuse.init.flags & VUF_INIT_POSIX_LOCKS);
    crowd_furnish(&crowd);
    lock(&crowd, VUF_OP_SETLK, 1, F_WRLCK);
    expect_locked(&crowd);
    unsigned before = daemon_thread_count(daemon);
    for (unsigned i = 0; i < WAITERS; i++)
        lock(&crowd, VUF_OP_SETLKW, 2 + i, F_RDLCK);
    sleep_ms(200);
    crowd_one(&crowd);
    /* One for all of them may look after what the host does. */
    unsigned now = settled_threads(daemon, before + 1);
    if (now > before + 1)
        FAIL("%u locks are waited for by %u threads, and there were %u", WAITERS, now, before);
    lock(&crowd, VUF_OP_SETLK, 1, F_UNLCK);
    for (unsigned i = 0; i < WAITERS + 1; i++)
        expect_locked(&crowd);
}

static const struct test_case cases[] = {
    {.name = "errors", .run = errors},
    {.name = "forgets", .run = forgets},
    {.name = "more than threads", .run = more_than_threads},
    {.name = "opens meanwhile", .run = opens_meanwhile},
    {.name = "READ behind WRITE", .run = reads_stay_behind_writes},
    {.name = "direct", .run = direct},
    {.name = "threads go", .run = threads_go},
    {.name = "GET_VRING_BASE waits", .run = stop_waits},
    {.name = "status 0 waits", .run = status_waits},
    {.name = "RESET_DEVICE waits", .run = reset_waits},
    {.name = "GET_VRING_BASE gives up", .run = stop_gives_up, .end = END_SELF},
    {.name = "leaving gives up", .run = leave_gives_up, .end = END_SELF},
    {.name = "SIGTERM", .run = term, .end = END_SELF},
    {.name = "locks", .run = locks},
};

int main(int argc, char **argv)
{
    struct test_case all[sizeof(cases) / sizeof(cases[0])];

    memcpy(all, cases, sizeof(cases));
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        all[i].not_started = true;
    return case_main(argc, argv, all, sizeof(all) / sizeof(all[0]));
}
