// SPDX-License-Identifier: BSD-3-Clause
/*
 * The deletion of a large file, which is the last close of it: it takes the thread no time that
 * does what FORGET asks for, and takes place all the same.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "fuse_guest.h"
#include "inode_table.h"
#include "server.h"
#include "test.h"

#define ROOT       FUSE_ROOT_ID
#define LARGE      (64u << 20)
#define PIECE      (1u << 20)
#define PATIENCE_S 20

static void make_large(const struct guest *guest, const char *name)
{
    char *piece = calloc(1, PIECE);
    int fd = open(guest_path(guest, name), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    CHECK(fd >= 0 && piece);
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

/* What it takes this thread to delete such a file. */
static void delete_here(const struct guest *guest, double *sum_ms)
{
    make_large(guest, "own");
    int fd = open(guest_path(guest, "own"), O_PATH | O_CLOEXEC);
    CHECK(fd >= 0);
    CHECK_EQ(unlink(guest_path(guest, "own")), 0);
    double start = cpu_ms();
    close(fd);
    *sum_ms += cpu_ms() - start;
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

static unsigned marked(const struct guest *guest)
{
    return guest->server->inodes->marks.count;
}

static void forget_deletes_elsewhere(void)
{
    struct guest guest;
    double deletion = 0, forget = 0;
    guest_begin(&guest);
    struct descriptors start = descriptors_of(&guest);
    for (unsigned i = 0; i < 3; i++) {
        bool by_rename = i == 1;
        struct fuse_rename_in rename = {.newdir = ROOT};
        delete_here(&guest, &deletion);
        make_large(&guest, "large");
        uint64_t node = guest_lookup(&guest, "large");
        if (by_rename) {
            guest_host_file(&guest, "small", "");
            CHECK_EQ(guest_call(&guest, FUSE_RENAME, ROOT, &rename, sizeof(rename), "small\0large",
                                sizeof("small\0large"), 4096),
                     0);
        } else {
            CHECK_EQ(guest_name(&guest, FUSE_UNLINK, ROOT, "large"), 0);
        }
        CHECK_EQ(marked(&guest), 1);
        wait_for_descriptors(&guest, start, 1);
        forget += forget_ms(&guest, node);
        CHECK_EQ(marked(&guest), 0);
        if (by_rename)
            CHECK_EQ(unlink(guest_path(&guest, "large")), 0);
        wait_for_descriptors(&guest, start, 0);
    }
    CHECK(forget < deletion / 4);
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
    CHECK_EQ(marked(&guest), 0);
    CHECK_EQ(guest_name(&guest, FUSE_RMDIR, ROOT, "other"), -ENOTDIR);
    CHECK_EQ(marked(&guest), 0);

    guest_host_file(&guest, "small", "content");
    uint64_t small = guest_lookup(&guest, "small");
    CHECK_EQ(guest_name(&guest, FUSE_UNLINK, ROOT, "small"), 0);
    CHECK_EQ(marked(&guest), 0);
    (void)forget_ms(&guest, small);
    (void)forget_ms(&guest, node);
    wait_for_descriptors(&guest, start, 0);
    CHECK_EQ(guest_end(&guest), 0);
}

/* More than have a place, forgotten at once, some by the end of the session: nothing is lost. */
static void more_than_can_be_marked(void)
{
    enum { FILES = 3 * INODES_MARKED_MAX };
    struct guest guest;
    uint64_t node[FILES];
    char name[16];
    guest_begin(&guest);
    struct descriptors start = descriptors_of(&guest);
    for (unsigned i = 0; i < FILES; i++) {
        snprintf(name, sizeof(name), "f%u", i);
        int fd = open(guest_path(&guest, name), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        CHECK(fd >= 0);
        CHECK_EQ(posix_fallocate(fd, 0, INODE_LARGE), 0);
        close(fd);
        node[i] = guest_lookup(&guest, name);
        CHECK_EQ(guest_name(&guest, FUSE_UNLINK, ROOT, name), 0);
        CHECK_EQ(marked(&guest), i < INODES_MARKED_MAX ? i + 1 : INODES_MARKED_MAX);
    }
    wait_for_descriptors(&guest, start, FILES);
    for (unsigned i = 0; i < FILES; i += 2)
        (void)forget_ms(&guest, node[i]);
    CHECK_EQ(marked(&guest), INODES_MARKED_MAX / 2);
    wait_for_descriptors(&guest, start, FILES / 2);
    CHECK_EQ(guest_end(&guest), 0);
}

/* The end, while the janitor has something to close. */
static void the_end_waits(void)
{
    struct guest guest;
    char name[16];
    guest_begin(&guest);
    for (unsigned i = 0; i < 4; i++) {
        snprintf(name, sizeof(name), "f%u", i);
        make_large(&guest, name);
        CHECK(guest_lookup(&guest, name));
        CHECK_EQ(guest_name(&guest, FUSE_UNLINK, ROOT, name), 0);
    }
    CHECK_EQ(marked(&guest), 4);
    CHECK_EQ(guest_end(&guest), 0);
}

int main(void)
{
    RUN(forget_deletes_elsewhere);
    RUN(others_are_not_marked);
    RUN(more_than_can_be_marked);
    RUN(the_end_waits);
    return test_result();
}
