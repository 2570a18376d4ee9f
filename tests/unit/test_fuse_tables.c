// SPDX-License-Identifier: BSD-3-Clause
/*
 * The tables of fuse/: epochs, inodes, handles. What must hold: an id never means another file
 * than the one it was given for, a descriptor stays open as long as a request may use it, and
 * whatever the limits are, the next request finds the server alive.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include <time.h>

#include "fixture.h"
#include "host_path.h"
#include "inode_table.h"
#include "scope.h"
#include "test.h"

/* Reads a file by node id. Returns a negative errno, or the number of bytes. */
static int read_by_id(struct fixture *fixture, uint64_t id, char *buffer, size_t size)
{
    struct inode *inode;
    fixture_enter(fixture);
    int result = inode_get(fixture->server->inodes, id, &inode);
    autoclose int fd = -1;
    if (!result)
        result = inode_open(fixture->thread, inode, O_RDONLY, &fd);
    if (!result)
        result = (int)read(fd, buffer, size);
    fixture_leave(fixture);
    return result;
}

static void released(void *context, uint64_t argument)
{
    *(uint64_t *)context += argument;
}

static void epoch_waits_for_those_inside(void)
{
    struct epochs *epochs;
    struct epoch_slot *one, *two, *three;
    uint64_t sum = 0;
    CHECK_EQ(epochs_new(2, &epochs), 0);
    CHECK_EQ(epoch_slot_take(epochs, &one), 0);
    CHECK_EQ(epoch_slot_take(epochs, &two), 0);
    CHECK_EQ(epoch_slot_take(epochs, &three), -EAGAIN);

    epoch_enter(epochs, one);
    epoch_enter(epochs, two);
    epoch_retire(epochs, released, &sum, 1);
    epoch_leave(epochs, one);
    CHECK_EQ(sum, 0); /* two may have found it */
    epoch_enter(epochs, one);
    epoch_leave(epochs, two);
    CHECK_EQ(sum, 1); /* one came after it was retired */
    epoch_retire(epochs, released, &sum, 10);
    epoch_reclaim(epochs);
    CHECK_EQ(sum, 1);
    CHECK(epoch_owes(epochs));
    epoch_leave(epochs, one);
    CHECK_EQ(sum, 11);
    CHECK(!epoch_owes(epochs));
    /* Or whenever it suits. */
    epoch_enter(epochs, one);
    epoch_retire(epochs, released, &sum, 100);
    epoch_exit(one);
    CHECK_EQ(sum, 11);
    CHECK(epoch_owes(epochs));
    epoch_reclaim(epochs);
    CHECK_EQ(sum, 111);
    epochs_free(epochs);
}

static void epoch_ring_grows(void)
{
    struct epochs *epochs;
    struct epoch_slot *slot;
    uint64_t sum = 0;
    CHECK_EQ(epochs_new(1, &epochs), 0);
    CHECK_EQ(epoch_slot_take(epochs, &slot), 0);
    /* So that the ring wraps before it grows. */
    for (unsigned i = 0; i < 700; i++)
        epoch_retire(epochs, released, &sum, 1);
    epoch_reclaim(epochs);
    CHECK_EQ(sum, 700);
    epoch_enter(epochs, slot);
    for (unsigned i = 0; i < 10000; i++)
        epoch_retire(epochs, released, &sum, i);
    CHECK_EQ(sum, 700);
    epoch_leave(epochs, slot);
    CHECK_EQ(sum, 700 + 9999 * 10000 / 2);
    epochs_free(epochs);
}

static void wire_splits_anywhere(void)
{
    char message[64], copy[64];
    for (unsigned i = 0; i < sizeof(message); i++)
        message[i] = (char)i;
    struct iovec pieces[sizeof(message) + 1];
    struct wire_in in;
    for (unsigned i = 0; i < sizeof(message); i++)
        pieces[i] = (struct iovec){&message[i], 1};
    wire_in_start(&in, pieces, sizeof(message));
    CHECK_EQ(in.left, 64);
    CHECK_EQ(wire_in_copy(&in, copy, 40), 0);
    CHECK_EQ(wire_in_copy(&in, copy + 40, 25), -EINVAL);
    CHECK_EQ(wire_in_copy(&in, copy + 40, 24), 0);
    CHECK(memcmp(message, copy, sizeof(copy)) == 0);

    /* Header and body into pieces of one byte, one of them empty. */
    char room[32] = {0};
    for (unsigned i = 0; i < 16; i++)
        pieces[i] = (struct iovec){&room[i], 1};
    pieces[16] = (struct iovec){room, 0};
    for (unsigned i = 17; i < 33; i++)
        pieces[i] = (struct iovec){&room[i - 1], 1};
    struct wire_out out;
    wire_out_start(&out, pieces, 33);
    CHECK_EQ(out.room, 16);
    CHECK_EQ(wire_out_put(&out, "0123456789abcdefg", 17), -EIO);
    CHECK_EQ(wire_out_put(&out, "0123456789", 10), 0);
    CHECK_EQ(wire_out_finish(&out, 77, 0), 26);
    struct fuse_out_header header;
    memcpy(&header, room, sizeof(header));
    CHECK_EQ(header.len, 26);
    CHECK_EQ(header.unique, 77);
    CHECK(memcmp(room + 16, "0123456789", 10) == 0);

    pieces[0] = (struct iovec){room, 15};
    wire_out_start(&out, pieces, 1);
    CHECK_EQ(wire_out_finish(&out, 1, -EIO), 0);
}

/* Numbers of inodes as file systems have them: which one's i-th file, and of which device. */
struct pattern {
    const char *name;
    unsigned stride_bits;
    unsigned devices;
};

static struct inode_shard *shard_in(const struct pattern *pattern, struct inode_table *table,
                                    uint64_t i)
{
    uint64_t device = i % pattern->devices;
    uint64_t number = 257 + (i / pattern->devices << pattern->stride_bits);
    return inode_shard_of(table, 1, makedev(device >> 8, device & 0xff), number);
}

/* Whatever the numbers are like, inodes spread; and in no two tables in the same way. */
static void inodes_spread(void)
{
    static const struct pattern patterns[] = {
        {"one after the other", 0, 1}, {"in strides", 7, 1},          {"in long strides", 32, 1},
        {"by bits at the end", 50, 1}, {"the same on many", 0, 4096},
    };
    struct fixture fixture, other;
    CHECK(fixture_start(&fixture, FILE_HANDLES_PREFER));
    CHECK(fixture_start(&other, FILE_HANDLES_PREFER));
    struct inode_table *table = fixture.server->inodes, *second = other.server->inodes;
    for (unsigned p = 0; p < sizeof(patterns) / sizeof(patterns[0]); p++) {
        unsigned count[INODE_SHARDS] = {0}, most = 0, alike = 0;
        for (uint64_t i = 0; i < 100 * INODE_SHARDS; i++) {
            long shard = shard_in(&patterns[p], table, i) - table->shards;
            if (++count[shard] > most)
                most = count[shard];
            alike += shard_in(&patterns[p], second, i) - second->shards == shard;
        }
        printf("     %s: %u in the fullest shard, %u where another table has them\n",
               patterns[p].name, most, alike);
        CHECK(most < 200 && alike < 10 * INODE_SHARDS);
    }
    fixture_stop(&other);
    fixture_stop(&fixture);
}

static void id_names_one_file(void)
{
    struct fixture fixture;
    char buffer[8] = "";
    CHECK(fixture_start(&fixture, FILE_HANDLES_PREFER));
    share_file("one", "1");
    uint64_t id = fixture_look_up(&fixture, "one", NULL);
    CHECK(id > FUSE_ROOT_ID);
    CHECK_EQ(fixture_look_up(&fixture, "one", NULL), id);
    CHECK_EQ(read_by_id(&fixture, id, buffer, sizeof(buffer)), 1);

    /* Two lookups were counted: one forget leaves it known, the second does not. */
    fixture_forget(&fixture, id, 1);
    CHECK_EQ(read_by_id(&fixture, id, buffer, sizeof(buffer)), 1);
    fixture_forget(&fixture, id, 1);
    CHECK_EQ(read_by_id(&fixture, id, buffer, sizeof(buffer)), -ESTALE);

    /* The slot is used again, once the thread has used up those that it keeps. The id is not. */
    uint64_t again = 0;
    for (unsigned i = 0; i < 2 * INODE_LOT && (uint32_t)again != (uint32_t)id; i++) {
        fixture_forget(&fixture, again, 1);
        again = fixture_look_up(&fixture, "one", NULL);
        CHECK(again != 0 && again != id);
    }
    CHECK_EQ((uint32_t)again, (uint32_t)id);
    CHECK_EQ(read_by_id(&fixture, id, buffer, sizeof(buffer)), -ESTALE);

    /* More taken back than given, twice: nothing but this id is harmed. */
    fixture_forget(&fixture, again, UINT64_MAX);
    fixture_forget(&fixture, again, UINT64_MAX);
    fixture_forget(&fixture, FUSE_ROOT_ID, UINT64_MAX);
    CHECK_EQ(inode_count(fixture.server->inodes), 1);
    CHECK(fixture_look_up(&fixture, "one", NULL) != 0);
    fixture_stop(&fixture);
}

static void invented_ids_are_errors(void)
{
    struct fixture fixture;
    struct inode *inode;
    CHECK(fixture_start(&fixture, FILE_HANDLES_PREFER));
    share_file("one", "1");
    uint64_t id = fixture_look_up(&fixture, "one", NULL);
    const uint64_t invented[] = {0,
                                 2,
                                 (uint32_t)id,
                                 id + 1,
                                 id + (1ULL << 32),
                                 id ^ 1ULL << 63,
                                 1ULL << 32,
                                 1ULL << 32 | 1,
                                 UINT64_MAX,
                                 INODES_MAX};
    for (unsigned i = 0; i < ARRAY_SIZE(invented); i++)
        CHECK_EQ(inode_get(fixture.server->inodes, invented[i], &inode), -ESTALE);
    fixture_stop(&fixture);
}

/* The host deletes a file that the guest knows, and another takes its name, perhaps its number. */
static void replaced_file_is_another(void)
{
    struct fixture fixture;
    char buffer[8] = "";
    CHECK(fixture_start(&fixture, FILE_HANDLES_PREFER));
    for (unsigned round = 0; round < 50; round++) {
        share_file("old", "old");
        uint64_t old = fixture_look_up(&fixture, "old", NULL);
        CHECK(old != 0);
        CHECK_EQ(unlinkat(share_dir, "old", 0), 0);
        share_file("old", "new");
        uint64_t new = fixture_look_up(&fixture, "old", NULL);
        CHECK(new != 0 && new != old);
        CHECK_EQ(read_by_id(&fixture, new, buffer, sizeof(buffer)), 3);
        CHECK(memcmp(buffer, "new", 3) == 0);
        int result = read_by_id(&fixture, old, buffer, sizeof(buffer));
        CHECK(result == -ESTALE || (result == 3 && memcmp(buffer, "old", 3) == 0));
        fixture_forget(&fixture, old, 1);
        fixture_forget(&fixture, new, 1);
        CHECK_EQ(unlinkat(share_dir, "old", 0), 0);
    }
    CHECK_EQ(inode_count(fixture.server->inodes), 1);
    fixture_stop(&fixture);
}

/* A rename between the two calls of a lookup by handle: identity of one file, handle of another. */
static void mixed_up_lookup_is_stale(void)
{
    struct fixture fixture;
    struct inode *inode;
    int fd;
    CHECK(fixture_start(&fixture, FILE_HANDLES_PREFER));
    share_file("mixed", "x");
    uint64_t id = fixture_look_up(&fixture, "mixed", NULL);
    fixture_enter(&fixture);
    CHECK_EQ(inode_get(fixture.server->inodes, id, &inode), 0);
    if (inode->handle_length == 0) {
        printf("     (no file handles here)\n");
    } else {
        CHECK_EQ(inode->verified, false);
        inode->type = S_IFIFO;
        CHECK_EQ(inode_fd(fixture.thread, inode, &fd), -ESTALE);
        inode->type = S_IFREG;
        CHECK_EQ(inode_fd(fixture.thread, inode, &fd), 0);
        CHECK_EQ(inode->verified, true);
    }
    fixture_leave(&fixture);
    fixture_stop(&fixture);
}

static void special_files_are_not_opened(void)
{
    static const struct {
        const char *name;
        mode_t mode;
        int error;
    } cases[] = {
        {"fifo", S_IFIFO, -ENXIO}, {"socket", S_IFSOCK, -ENXIO}, {"link", S_IFLNK, -ELOOP}};
    struct fixture fixture;
    char buffer[8];
    CHECK(fixture_start(&fixture, FILE_HANDLES_PREFER));
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        int made = cases[i].mode == S_IFLNK
                       ? symlinkat("/etc/passwd", share_dir, "link")
                       : mknodat(share_dir, cases[i].name, cases[i].mode | 0600, 0);
        CHECK_EQ(made, 0);
        uint64_t id = fixture_look_up(&fixture, cases[i].name, NULL);
        CHECK_EQ(read_by_id(&fixture, id, buffer, sizeof(buffer)), cases[i].error);
    }
    fixture_stop(&fixture);
}

#define MANY 600

/* Far more inodes than descriptors. */
static void descriptors_are_bounded(enum file_handles_mode mode, struct fixture *fixture)
{
    uint64_t ids[MANY];
    char name[16], buffer[16];
    unsigned known = 0;
    for (unsigned i = 0; i < MANY; i++) {
        int error = 0;
        snprintf(name, sizeof(name), "many%u", i);
        share_file(name, name);
        ids[i] = fixture_look_up(fixture, name, &error);
        CHECK(ids[i] != 0 || (mode == FILE_HANDLES_NEVER && error == -ENFILE));
        known += ids[i] != 0;
    }
    CHECK(mode == FILE_HANDLES_NEVER ? known < MANY : known == MANY);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < MANY; i++) {
            if (!ids[i])
                continue;
            snprintf(name, sizeof(name), "many%u", i);
            memset(buffer, 0, sizeof(buffer));
            CHECK_EQ(read_by_id(fixture, ids[i], buffer, sizeof(buffer)), strlen(name));
            CHECK(strcmp(buffer, name) == 0);
        }
    }
    CHECK(open_descriptors() < 128);
    for (unsigned i = 0; i < MANY; i++)
        fixture_forget(fixture, ids[i], 1);
    CHECK_EQ(inode_count(fixture->server->inodes), 1);
    CHECK_EQ(fd_budget_used(&fixture->server->budget), 0);
}

static void with_few_descriptors(enum file_handles_mode mode)
{
    struct rlimit before, few = {128, 128};
    struct fixture fixture;
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
    few.rlim_max = before.rlim_max;
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
    unsigned descriptors = open_descriptors();
    CHECK(fixture_start(&fixture, mode));
    descriptors_are_bounded(mode, &fixture);
    fixture_stop(&fixture);
    CHECK_EQ(open_descriptors(), descriptors);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
}

static void few_descriptors_with_handles(void)
{
    with_few_descriptors(FILE_HANDLES_PREFER);
}

static void few_descriptors_without_handles(void)
{
    with_few_descriptors(FILE_HANDLES_NEVER);
}

/* Cached inodes give their descriptors up for what needs one in earnest, and only they do. */
static void cached_inodes_give_way(void)
{
    struct rlimit before, few;
    struct fixture fixture;
    char name[16], buffer[16];
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = (struct rlimit){128, before.rlim_max};
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
    CHECK(fixture_start(&fixture, FILE_HANDLES_PREFER));
    struct fd_budget *budget = &fixture.server->budget;
    for (unsigned i = 0; i < 60; i++) {
        snprintf(name, sizeof(name), "way%u", i);
        share_file(name, name);
        CHECK(read_by_id(&fixture, fixture_look_up(&fixture, name, NULL), buffer, sizeof(buffer)) >
              0);
    }
    int cached = fd_budget_used(budget);
    CHECK(cached > 0 && cached < budget->limit);

    int taken = 0;
    fixture_enter(&fixture);
    while (inode_budget_take(fixture.server, &fixture.thread->purse) == 0)
        taken++;
    CHECK_EQ(taken, budget->limit);
    CHECK_EQ(fd_budget_used(budget), budget->limit);
    CHECK_EQ(budget->lent, cached); /* still open: this request might be using them */
    fixture_leave(&fixture);
    CHECK_EQ(budget->lent, 0);
    while (taken--)
        fd_budget_give(budget, NULL);
    CHECK_EQ(fd_budget_used(budget), 0);
    fixture_stop(&fixture);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
}

/* What lost its last name lives on while the guest knows it, without an open file. */
static void kept_inodes_outlive_their_name(void)
{
    struct fixture fixture;
    struct inode *inode;
    int fd;
    CHECK(fixture_start(&fixture, FILE_HANDLES_PREFER));
    CHECK_EQ(mkdirat(share_dir, "kept", 0755), 0);
    CHECK_EQ(mknodat(share_dir, "pipe", S_IFIFO | 0600, 0), 0);
    uint64_t kept = fixture_look_up(&fixture, "kept", NULL),
             pipe = fixture_look_up(&fixture, "pipe", NULL);
    CHECK(kept && pipe);
    fixture_enter(&fixture);
    CHECK_EQ(inode_get(fixture.server->inodes, kept, &inode), 0);
    CHECK_EQ(inode_fd(fixture.thread, inode, &fd), 0);
    inode_keep(fixture.server->inodes, inode);
    fixture_leave(&fixture);
    CHECK_EQ(unlinkat(share_dir, "kept", AT_REMOVEDIR), 0);
    CHECK_EQ(unlinkat(share_dir, "pipe", 0), 0);

    /* Everything that can be evicted is. */
    fixture_enter(&fixture);
    while (inode_budget_take(fixture.server, &fixture.thread->purse) == 0)
        continue;
    struct statx attributes;
    CHECK_EQ(inode_get(fixture.server->inodes, kept, &inode), 0);
    CHECK_EQ(inode_fd(fixture.thread, inode, &fd), 0);
    CHECK_EQ(host_stat_fd(fd, &attributes), 0);
    CHECK_EQ(attributes.stx_nlink, 0);
    CHECK_EQ(inode_get(fixture.server->inodes, pipe, &inode), 0);
    CHECK_EQ(inode_fd(fixture.thread, inode, &fd), 0);
    fixture_leave(&fixture);
    fixture_forget(&fixture, kept, 1);
    fixture_forget(&fixture, pipe, 1);
    CHECK_EQ(inode_count(fixture.server->inodes), 1);
    fixture_stop(&fixture);
}

static bool has_handle(struct fixture *fixture, uint64_t id)
{
    struct inode *inode;
    return inode_get(fixture->server->inodes, id, &inode) == 0 && inode->handle_length != 0;
}

/* As MKNOD looks up what it has made. */
static uint64_t look_up_special(struct fixture *fixture, const char *name)
{
    struct inode *root, *inode;
    struct statx attributes;
    bool submount;
    uint64_t id = 0;
    fixture_enter(fixture);
    if (inode_get(fixture->server->inodes, FUSE_ROOT_ID, &root) == 0 &&
        inode_lookup_special(fixture->thread, root, name, &inode, &attributes, &submount) == 0)
        id = inode_id(fixture->server->inodes, inode);
    fixture_leave(fixture);
    return id;
}

/*
 * A FIFO is known by its descriptor, and by its handle if there was none to be had: either way it
 * is one inode, by whatever name and whenever it is looked up.
 */
static void pipes_are_one(void)
{
    for (unsigned scarce_first = 0; scarce_first < 2; scarce_first++) {
        struct fixture fixture;
        struct fd_budget *budget;
        int taken = 0;
        CHECK(fixture_start(&fixture, FILE_HANDLES_PREFER));
        budget = &fixture.server->budget;
        CHECK_EQ(mknodat(share_dir, "pipe", S_IFIFO | 0600, 0), 0);
        CHECK_EQ(linkat(share_dir, "pipe", share_dir, "pipe2", 0), 0);
        CHECK_EQ(mknodat(share_dir, "other", S_IFIFO | 0600, 0), 0);
        uint64_t id = 0;
        if (!scarce_first)
            id = fixture_look_up(&fixture, "pipe", NULL);
        while (inode_budget_take(fixture.server, &fixture.thread->purse) == 0)
            taken++;
        if (scarce_first)
            id = fixture_look_up(&fixture, "pipe", NULL);
        else
            CHECK_EQ(look_up_special(&fixture, "pipe2"), id);
        CHECK(id != 0);
        CHECK_EQ(has_handle(&fixture, id), scarce_first);
        while (taken--)
            fd_budget_give(budget, &fixture.thread->purse);
        CHECK_EQ(fixture_look_up(&fixture, "pipe2", NULL), id);
        CHECK_EQ(look_up_special(&fixture, "pipe"), id);
        uint64_t other = fixture_look_up(&fixture, "other", NULL);
        CHECK(other != 0 && other != id);
        fixture_forget(&fixture, id, scarce_first ? 3 : 4);
        fixture_forget(&fixture, other, 1);
        CHECK_EQ(inode_count(fixture.server->inodes), 1);
        CHECK_EQ(fd_budget_used(budget), 0);
        CHECK_EQ(unlinkat(share_dir, "pipe", 0), 0);
        CHECK_EQ(unlinkat(share_dir, "pipe2", 0), 0);
        CHECK_EQ(unlinkat(share_dir, "other", 0), 0);
        fixture_stop(&fixture);
    }
}

static void handles_belong_to_their_node(void)
{
    struct fixture fixture;
    struct handle *handle;
    uint64_t fh, again;
    CHECK(fixture_start(&fixture, FILE_HANDLES_PREFER));
    struct handle_table *table = fixture.server->handles;
    unsigned descriptors = open_descriptors();

    CHECK_EQ(fd_budget_take(&fixture.server->budget, &fixture.thread->purse), 0);
    CHECK_EQ(handle_new(fixture.thread, HANDLE_FILE, dup(share_dir), O_RDONLY, 7, &fh), 0);
    CHECK(fh != 0);
    fixture_enter(&fixture);
    CHECK_EQ(handle_get(fixture.thread, HANDLE_FILE, fh, 7, &handle), 0);
    CHECK_EQ(handle_get(fixture.thread, HANDLE_FILE, fh, 8, &handle), -EBADF);
    CHECK_EQ(handle_get(fixture.thread, HANDLE_DIR, fh, 7, &handle), -EBADF);
    CHECK_EQ(handle_get(fixture.thread, HANDLE_FILE, (uint32_t)fh, 7, &handle), -EBADF);
    CHECK_EQ(handle_get(fixture.thread, HANDLE_FILE, UINT64_MAX, 7, &handle), -EBADF);
    CHECK_EQ(handle_get(fixture.thread, HANDLE_FILE, 0, 7, &handle), -EBADF);
    CHECK_EQ(handle_release(fixture.thread, HANDLE_DIR, fh, 7), -EBADF);
    fixture_leave(&fixture);

    /*
     * Released while another request uses it: gone for others, open for that one until it ends.
     * What that one does not use is closed at once.
     */
    struct fixture other = fixture;
    CHECK_EQ(fuse_thread_new(fixture.server, NULL, &other.thread), 0);
    for (unsigned used = 0; used <= EPOCH_USES_MAX + 1; used++) {
        uint64_t more[EPOCH_USES_MAX + 2];
        for (unsigned i = 0; i < EPOCH_USES_MAX + 2; i++) {
            CHECK_EQ(fd_budget_take(&fixture.server->budget, &fixture.thread->purse), 0);
            CHECK_EQ(handle_new(fixture.thread, HANDLE_FILE, dup(share_dir), O_RDONLY, 9, &more[i]),
                     0);
        }
        fixture_enter(&other);
        for (unsigned i = 0; i < used; i++)
            CHECK_EQ(handle_get(other.thread, HANDLE_FILE, more[i], 9, &handle), 0);
        for (unsigned i = 0; i < EPOCH_USES_MAX + 2; i++)
            CHECK_EQ(handle_release(fixture.thread, HANDLE_FILE, more[i], 9), 0);
        CHECK_EQ(handle_release(fixture.thread, HANDLE_FILE, more[0], 9), -EBADF);
        CHECK(used == 0 || fcntl(handle->fd, F_GETFD) >= 0);
        CHECK_EQ(open_descriptors(), descriptors + 1 + used);
        fixture_leave(&other);
        CHECK_EQ(open_descriptors(), descriptors + 1);
    }
    fuse_thread_free(other.thread);
    CHECK_EQ(handle_release(fixture.thread, HANDLE_FILE, fh, 7), 0);
    CHECK_EQ(open_descriptors(), descriptors);

    CHECK_EQ(fd_budget_take(&fixture.server->budget, &fixture.thread->purse), 0);
    CHECK_EQ(handle_new(fixture.thread, HANDLE_FILE, dup(share_dir), O_RDONLY, 7, &again), 0);
    CHECK_EQ((uint32_t)again, (uint32_t)fh);
    CHECK_EQ(handle_get(fixture.thread, HANDLE_FILE, fh, 7, &handle), -EBADF);
    handle_release_all(table);
    CHECK_EQ(handle_get(fixture.thread, HANDLE_FILE, again, 7, &handle), -EBADF);
    fixture_stop(&fixture);
}

/* Growing the kernel's table of descriptors later would make a request wait for a grace period. */
static void room_for_descriptors(void)
{
    struct fixture fixture;
    struct rlimit before;
    char line[128];
    int size = 0;
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
    struct rlimit most = {.rlim_cur = before.rlim_max, .rlim_max = before.rlim_max};
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &most), 0);
    unsigned descriptors = open_descriptors();
    CHECK(fixture_start(&fixture, FILE_HANDLES_PREFER));
    FILE *status = fopen("/proc/self/status", "re");
    CHECK(status);
    while (fgets(line, sizeof(line), status))
        sscanf(line, "FDSize: %d", &size);
    fclose(status);
    int limit = fixture.server->budget.limit;
    CHECK(limit > 4096);
    CHECK(size >= (limit < 65536 ? limit : 65536));
    fixture_stop(&fixture);
    CHECK_EQ(open_descriptors(), descriptors);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
}

#define STRESS_THREADS 4
#define STRESS_FILES   80
#define STRESS_SECONDS 2

/* Looks up, reads and forgets at random; what an id gives must be what its file says. */
static void *stress(void *argument)
{
    struct fixture mine = *(struct fixture *)argument;
    unsigned seed = (unsigned)(uintptr_t)&mine;
    char name[16], buffer[16];
    time_t end = time(NULL) + STRESS_SECONDS;
    uint64_t wrong = fuse_thread_new(mine.server, NULL, &mine.thread) ? 1 : 0;
    while (!wrong && time(NULL) <= end) {
        snprintf(name, sizeof(name), "stress%d", rand_r(&seed) % STRESS_FILES);
        uint64_t id = fixture_look_up(&mine, name, NULL);
        memset(buffer, 0, sizeof(buffer));
        int got = read_by_id(&mine, id, buffer, sizeof(buffer));
        if (got != (int)strlen(name) || strcmp(buffer, name) != 0) {
            fprintf(stderr, "%s: id %#" PRIx64 ", result %d: %s\n", name, id, got, buffer);
            wrong++;
        }
        fixture_forget(&mine, id, 1);
    }
    fuse_thread_free(mine.thread);
    return (void *)(uintptr_t)wrong;
}

static void threads_do_not_mix_files_up(void)
{
    struct rlimit before, few;
    struct fixture fixture;
    char name[16];
    pthread_t threads[STRESS_THREADS];
    uint64_t wrong = 0;
    for (unsigned i = 0; i < STRESS_FILES; i++) {
        snprintf(name, sizeof(name), "stress%u", i);
        share_file(name, name);
    }
    /* A descriptor cache of less than the files: evictions all the time. */
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = (struct rlimit){96, before.rlim_max}; /* the threads need some uncounted */
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
    CHECK(fixture_start(&fixture, FILE_HANDLES_PREFER));
    for (unsigned i = 0; i < STRESS_THREADS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, stress, &fixture), 0);
    for (unsigned i = 0; i < STRESS_THREADS; i++) {
        void *result;
        pthread_join(threads[i], &result);
        wrong += (uintptr_t)result;
    }
    CHECK_EQ(wrong, 0);
    CHECK_EQ(inode_count(fixture.server->inodes), 1);
    CHECK_EQ(fd_budget_used(&fixture.server->budget), 0);
    fixture_stop(&fixture);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
}

int main(void)
{
    if (!share_make())
        return 1;
    RUN(wire_splits_anywhere);
    RUN(epoch_waits_for_those_inside);
    RUN(epoch_ring_grows);
    RUN(inodes_spread);
    RUN(id_names_one_file);
    RUN(invented_ids_are_errors);
    RUN(replaced_file_is_another);
    RUN(mixed_up_lookup_is_stale);
    RUN(special_files_are_not_opened);
    RUN(few_descriptors_with_handles);
    RUN(few_descriptors_without_handles);
    RUN(cached_inodes_give_way);
    RUN(kept_inodes_outlive_their_name);
    RUN(pipes_are_one);
    RUN(handles_belong_to_their_node);
    RUN(room_for_descriptors);
    RUN(threads_do_not_mix_files_up);
    share_remove();
    return test_result();
}
