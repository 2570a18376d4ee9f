// SPDX-License-Identifier: BSD-3-Clause
/* A daemon that is asked nothing does nothing, and one that is started answers soon. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "guest.h"

#define SETTLE_MS    30000 /* for what is tidied up after the last request */
#define SILENCE_MS   3000
#define ASLEEP_MS    500 /* a thread that has something to do gets to it in this time */
#define START_ROUNDS 10

/* How often a thread has slept or was sent to sleep. */
static unsigned long switches_of(const char *status)
{
    char line[128];
    unsigned long sum = 0, n;
    FILE *file = fopen(status, "re");

    while (file && fgets(line, sizeof(line), file))
        if (sscanf(line, "voluntary_ctxt_switches: %lu", &n) == 1 ||
            sscanf(line, "nonvoluntary_ctxt_switches: %lu", &n) == 1)
            sum += n;
    if (file)
        fclose(file);
    return sum;
}

/* Of all threads of a process; a thread that comes or goes counts as well. */
static unsigned long wake_ups(pid_t pid)
{
    char path[320];
    unsigned long sum = 0;

    snprintf(path, sizeof(path), "/proc/%d/task", pid);
    DIR *dir = opendir(path);
    if (!dir)
        FAIL("%s: %m", path);
    for (const struct dirent *entry; (entry = readdir(dir));) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "/proc/%d/task/%s/status", pid, entry->d_name);
        sum += 1000000 + switches_of(path);
    }
    closedir(dir);
    return sum;
}

static unsigned long wake_ups_of_daemon(struct daemon *daemon)
{
    unsigned long sum = wake_ups(daemon->pid);

    return daemon->server == daemon->pid ? sum : sum + wake_ups(daemon->server);
}

static bool is_silent(struct daemon *daemon, int milliseconds)
{
    unsigned long before = wake_ups_of_daemon(daemon);

    sleep_ms(milliseconds);
    return wake_ups_of_daemon(daemon) == before;
}

static void wait_for_silence(struct daemon *daemon, int milliseconds)
{
    daemon_fd_count(daemon); /* finds the server */
    long long deadline = now_ms() + SETTLE_MS;
    while (!is_silent(daemon, milliseconds))
        if (now_ms() > deadline)
            FAIL("after %d ms threads still wake up", SETTLE_MS);
}

/* Files looked up, open, read and listed; many requests at once. Then no thread wakes up. */
static void idle_is_silent(struct daemon *daemon)
{
    struct guest_options options = {.rings = 3, .depth = 16};
    struct guest guest;

    guest_start(&guest, daemon, &options);
    uint64_t node = guest_lookup(&guest, ROOT_ID, "hello");
    guest_open(&guest, node, 0);
    guest_opendir(&guest, ROOT_ID);
    for (int round = 0; round < 100; round++) {
        struct vuf_fuse_req *req;
        unsigned n = 0;

        for (; (req = vuf_fuse_get(&guest.fuse, 2)); n++) {
            memset(vuf_fuse_args(req), 0, 16);
            OK(vuf_fuse_submit(&guest.fuse, req, VUF_OP_OPENDIR, ROOT_ID, 8, 16));
        }
        vuf_fuse_kick(&guest.fuse, 2);
        while (n--) {
            OK(vuf_fuse_wait(&guest.fuse, 2, DAEMON_PATIENCE_MS, &req));
            vuf_fuse_put(&guest.fuse, req);
        }
    }
    guest_check_alive(&guest);
    wait_for_silence(daemon, SILENCE_MS);
    guest_check_alive(&guest);
}

/* How often the thread of that name has slept or was sent to sleep. */
static unsigned long switches_of_thread(pid_t pid, const char *wanted)
{
    char path[320], name[32];
    unsigned long sum = 0;

    snprintf(path, sizeof(path), "/proc/%d/task", pid);
    DIR *dir = opendir(path);
    if (!dir)
        FAIL("%s: %m", path);
    for (const struct dirent *entry; (entry = readdir(dir));) {
        snprintf(path, sizeof(path), "/proc/%d/task/%s/comm", pid, entry->d_name);
        FILE *file = fopen(path, "re");
        bool found =
            file && fgets(name, sizeof(name), file) && strncmp(name, wanted, strlen(wanted)) == 0;
        if (file)
            fclose(file);
        snprintf(path, sizeof(path), "/proc/%d/task/%s/status", pid, entry->d_name);
        if (found)
            sum += switches_of(path);
    }
    closedir(dir);
    return sum;
}

/*
 * Without other threads to call, a queue that answers one request after the other and tells of each
 * needs nobody to look after it.
 */
static void nobody_is_woken_beside(struct daemon *daemon)
{
    struct guest guest;

    guest_start(&guest, daemon, NULL);
    wait_for_silence(daemon, ASLEEP_MS); /* the control thread may have its last message in hand */
    unsigned long before = switches_of_thread(daemon->server, "control");
    CHECK(before > 0);
    for (int round = 0; round < 50; round++) {
        guest_check_ring(&guest, 1);
        sleep_ms(1);
    }
    CHECK_EQ(switches_of_thread(daemon->server, "control") - before, 0);
}

static double now_fine_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/*
 * From fork() to the reply to INIT, sandbox and all, the front-end's part included. The best of
 * some is what the daemon takes; the others are what else the machine had to do.
 */
static void starts_soon(struct daemon *daemon)
{
    const char *limit = getenv("VIOFSD_START_MS");
    double best = 1e9;

    for (int round = 0; round < START_ROUNDS; round++) {
        struct guest guest;
        double start = now_fine_ms();

        daemon_start(daemon, DAEMON_SOCKET_FD, NULL);
        guest_start(&guest, daemon, NULL);
        double took = now_fine_ms() - start;
        best = took < best ? took : best;
        vuf_dev_close(&guest.dev);
        daemon_expect_exit(daemon);
        unlink(daemon->socket);
    }
    printf("# %.1f ms from the start to the first reply\n", best);
    fflush(stdout);
    CHECK(best < (limit ? atof(limit) : 20));
}

static const struct test_case cases[] = {
    {.name = "idle-is-silent", .run = idle_is_silent},
    {.name = "idle-is-silent-pool", .run = idle_is_silent, .words = "--thread-pool-size=8"},
    {.name = "idle-is-silent-without-handles",
     .run = idle_is_silent,
     .words = "--inode-file-handles=never --sandbox=none"},
    {.name = "nobody-is-woken-beside",
     .run = nobody_is_woken_beside,
     .words = "--thread-pool-size=0"},
    {.name = "starts-soon", .run = starts_soon, .not_started = true},
};

int main(int argc, char **argv)
{
    return case_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
