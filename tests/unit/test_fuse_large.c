// SPDX-License-Identifier: BSD-3-Clause
/*
 * The deletion of a large file, which is the last close of it: it takes the thread no time that
 * does what FORGET asks for, and takes place all the same.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fuse_guest.h"
#include "inode.h"
#include "server.h"
#include "test.h"

#define ROOT       FUSE_ROOT_ID
#define LARGE      (64u << 20)
#define PIECE      (1u << 20)
#define ROUNDS     5
#define PATIENCE_S 20

static void make_large(const struct guest *guest, const char *name)
{
    char *piece = malloc(PIECE);
    int fd = open(guest_path(guest, name), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    CHECK(fd >= 0 && piece);
    memset(piece, 'x', PIECE);
    for (unsigned done = 0; done < LARGE; done += PIECE)
        CHECK_EQ(write(fd, piece, PIECE), PIECE);
    close(fd);
    free(piece);
}

static double cpu_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* What it takes this thread to delete such a file, if that is less. */
static void delete_here(const struct guest *guest, double *least_ms)
{
    make_large(guest, "own");
    int fd = open(guest_path(guest, "own"), O_PATH | O_CLOEXEC);
    CHECK(fd >= 0);
    CHECK_EQ(unlink(guest_path(guest, "own")), 0);
    double start = cpu_ms();
    close(fd);
    double took = cpu_ms() - start;
    *least_ms = took < *least_ms ? took : *least_ms;
}

static double forget_ms(struct guest *guest, uint64_t node)
{
    struct fuse_forget_in in = {.nlookup = 1};
    double start = cpu_ms();
    (void)guest_do(guest, FUSE_FORGET, node, in);
    return cpu_ms() - start;
}

/* Until so many are open and counted as there were at the start, and others. */
struct descriptors {
    unsigned open;
    int used;
};

static struct descriptors descriptors_of(const struct guest *guest)
{
    return (struct descriptors){
        .open = guest_open_descriptors(),
        .used = fd_budget_used(&guest->server->budget),
    };
}

static void wait_for_descriptors(const struct guest *guest, struct descriptors start,
                                 unsigned others)
{
    time_t end = time(NULL) + PATIENCE_S;
    struct descriptors now;
    do {
        usleep(1000);
        now = descriptors_of(guest);
    } while ((now.open != start.open + others || now.used != start.used + (int)others) &&
             time(NULL) < end);
    CHECK_EQ(now.open, start.open + others);
    CHECK_EQ(now.used, start.used + (int)others);
}

static bool is_marked(const struct guest *guest, uint64_t node)
{
    struct inode *inode;
    return inode_get(guest->server->inodes, node, &inode) == 0 && inode->is_large;
}

static void forget_deletes_elsewhere(void)
{
    struct guest guest;
    double deletion = 1e9, forget = 1e9;
    guest_begin(&guest);
    struct descriptors start = descriptors_of(&guest);
    for (unsigned i = 0; i < ROUNDS; i++) {
        bool by_rename = i % 2;
        struct fuse_rename_in rename = {.newdir = ROOT};
        delete_here(&guest, &deletion);
        make_large(&guest, "large");
        uint64_t node = guest_lookup(&guest, "large");
        CHECK(!is_marked(&guest, node));
        if (by_rename) {
            guest_host_file(&guest, "small", "");
            CHECK_EQ(guest_call(&guest, FUSE_RENAME, ROOT, &rename, sizeof(rename), "small\0large",
                                sizeof("small\0large"), 4096),
                     0);
            CHECK_EQ(unlink(guest_path(&guest, "large")), 0);
        } else {
            CHECK_EQ(guest_name(&guest, FUSE_UNLINK, ROOT, "large"), 0);
        }
        CHECK(is_marked(&guest, node));
        wait_for_descriptors(&guest, start, 1);
        double took = forget_ms(&guest, node);
        forget = took < forget ? took : forget;
        wait_for_descriptors(&guest, start, 0);
    }
    printf("     a deletion takes %.2f ms, a FORGET %.2f\n", deletion, forget);
    CHECK(forget < deletion / 2);
    CHECK_EQ(guest_end(&guest), 0);
}

/* What has other names, or could not be removed, or is small, is closed where it is forgotten. */
static void others_are_not_marked(void)
{
    struct guest guest;
    guest_begin(&guest);
    struct descriptors start = descriptors_of(&guest);
    make_large(&guest, "large");
    CHECK_EQ(link(guest_path(&guest, "large"), guest_path(&guest, "other")), 0);
    uint64_t node = guest_lookup(&guest, "large");
    CHECK(node);
    CHECK_EQ(guest_name(&guest, FUSE_UNLINK, ROOT, "large"), 0);
    CHECK(!is_marked(&guest, node));
    CHECK_EQ(guest_name(&guest, FUSE_RMDIR, ROOT, "other"), -ENOTDIR);
    CHECK(!is_marked(&guest, node));

    guest_host_file(&guest, "small", "content");
    uint64_t small = guest_lookup(&guest, "small");
    CHECK_EQ(guest_name(&guest, FUSE_UNLINK, ROOT, "small"), 0);
    CHECK(!is_marked(&guest, small));
    (void)forget_ms(&guest, small);
    (void)forget_ms(&guest, node);
    wait_for_descriptors(&guest, start, 0);

    /* A slot that has had a large file is another file's now. */
    CHECK_EQ(guest_name(&guest, FUSE_UNLINK, ROOT, "other"), 0);
    make_large(&guest, "large");
    node = guest_lookup(&guest, "large");
    CHECK_EQ(guest_name(&guest, FUSE_UNLINK, ROOT, "large"), 0);
    CHECK(is_marked(&guest, node));
    (void)forget_ms(&guest, node);
    for (unsigned i = 0; i < 3 * INODE_LOT; i++) {
        char name[16];
        snprintf(name, sizeof(name), "f%u", i);
        guest_host_file(&guest, name, "");
        CHECK(!is_marked(&guest, guest_lookup(&guest, name)));
    }
    CHECK_EQ(guest_end(&guest), 0);
}

static int gate[2]; /* a pipe: the janitor stands still until there is something in it */
static atomic_bool stands;

static void stand_still(int signal)
{
    char c;
    (void)signal;
    atomic_store(&stands, true);
    if (read(gate[0], &c, 1) < 0)
        abort();
}

static pid_t janitor_of_this(void)
{
    char path[64], name[32];
    pid_t found = 0;
    DIR *dir = opendir("/proc/self/task");
    for (const struct dirent *entry; dir && (entry = readdir(dir));) {
        snprintf(path, sizeof(path), "/proc/self/task/%.16s/comm", entry->d_name);
        FILE *file = fopen(path, "re");
        if (file && fgets(name, sizeof(name), file) && strcmp(name, "janitor\n") == 0)
            found = atoi(entry->d_name);
        if (file)
            fclose(file);
    }
    if (dir)
        closedir(dir);
    return found;
}

/* The thread gives itself its name, so it may not have it yet. */
static void stop_janitor(void)
{
    struct sigaction action = {.sa_handler = stand_still};
    pid_t janitor;
    time_t end = time(NULL) + PATIENCE_S;
    CHECK_EQ(pipe(gate), 0);
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    while (!(janitor = janitor_of_this()) && time(NULL) < end)
        usleep(1000);
    CHECK(janitor != 0);
    CHECK_EQ(tgkill(getpid(), janitor, SIGUSR1), 0);
    while (!atomic_load(&stands) && time(NULL) < end)
        usleep(1000);
    CHECK(atomic_load(&stands));
}

/* What waits for the janitor has its limits: beyond them whoever forgets closes. */
static void waiting_has_limits(void)
{
    enum { BIG = JANITOR_CLOSE_BYTES_MAX / 8 * 5 };
    struct guest guest;
    guest_begin(&guest);
    stop_janitor();
    struct janitor *janitor = guest.server->janitor;
    int big = open(guest_path(&guest, "big"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    int small = open("/dev/null", O_PATH | O_CLOEXEC);
    CHECK(big >= 0 && small >= 0);
    CHECK_EQ(posix_fallocate(big, 0, BIG), 0);
    struct descriptors start = descriptors_of(&guest);

    guest.server->budget.used += JANITOR_CLOSES_MAX; /* what is given counts there */
    CHECK(janitor_close(janitor, dup(small)));
    CHECK(janitor_close(janitor, dup(big)));
    CHECK(!janitor_close(janitor, big)); /* too many bytes */
    for (unsigned i = 2; i < JANITOR_CLOSES_MAX; i++)
        CHECK(janitor_close(janitor, dup(small)));
    CHECK(!janitor_close(janitor, small)); /* too many files */
    wait_for_descriptors(&guest, start, JANITOR_CLOSES_MAX);

    CHECK_EQ(write(gate[1], "g", 1), 1);
    janitor_wait(janitor);
    wait_for_descriptors(&guest, start, 0);
    guest.server->budget.used += 2;
    CHECK(janitor_close(janitor, big)); /* as there is room again, and after that as well */
    CHECK(janitor_close(janitor, small));
    close(gate[0]);
    close(gate[1]);
    CHECK_EQ(guest_end(&guest), 0);
}

static void remove_some(struct guest *guest)
{
    char name[16];
    for (unsigned i = 0; i < 4; i++) {
        snprintf(name, sizeof(name), "f%u", i);
        make_large(guest, name);
        CHECK(guest_lookup(guest, name));
        CHECK_EQ(guest_name(guest, FUSE_UNLINK, ROOT, name), 0);
    }
}

/* Who comes next finds everything closed. */
static void a_reset_waits(void)
{
    struct guest guest;
    guest_begin(&guest);
    struct descriptors start = descriptors_of(&guest);
    remove_some(&guest);
    wait_for_descriptors(&guest, start, 4);
    fuse_server_reset(guest.server);
    struct descriptors end = descriptors_of(&guest);
    CHECK_EQ(end.open, start.open);
    CHECK_EQ(end.used, start.used);
    CHECK_EQ(guest_end(&guest), 0);
}

static void the_end_waits(void)
{
    struct guest guest;
    guest_begin(&guest);
    remove_some(&guest);
    CHECK_EQ(guest_end(&guest), 0);
}

int main(void)
{
    RUN(forget_deletes_elsewhere);
    RUN(others_are_not_marked);
    RUN(waiting_has_limits);
    RUN(a_reset_waits);
    RUN(the_end_waits);
    return test_result();
}
