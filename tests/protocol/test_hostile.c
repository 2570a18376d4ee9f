// SPDX-License-Identifier: BSD-3-Clause
/*
 * Hostile FUSE messages over the whole table of opcodes and beyond: any body, any node, any file
 * handle, any name. Each is answered with an errno or a proper reply, the daemon lives on, a
 * correct request afterwards works, and nothing outside the share is touched.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "guest.h"

static const uint32_t far_opcodes[] = {100, 255, 256, 4096, 65535, 0x80000000, 0xffffffff};

static bool has_no_reply(uint32_t opcode)
{
    return opcode == VUF_OP_FORGET || opcode == VUF_OP_BATCH_FORGET || opcode == VUF_OP_INTERRUPT;
}

/* DESTROY and INIT change the session for all that follows: they have cases of their own. */
static bool ends_session(uint32_t opcode)
{
    return opcode == VUF_OP_DESTROY || opcode == VUF_OP_INIT;
}

/* Sends the body as it is and returns the error of the reply, which the library has checked. */
static int send_body(struct guest *guest, uint32_t opcode, uint64_t node, const void *body,
                     size_t size, size_t room)
{
    struct vuf_fuse_req *req = vuf_fuse_get(&guest->fuse, 1), *done;

    CHECK(req);
    if (size)
        memcpy(vuf_fuse_args(req), body, size);
    OK(vuf_fuse_submit(&guest->fuse, req, opcode, node, size, (ssize_t)room));
    vuf_fuse_kick(&guest->fuse, 1);
    OK(vuf_fuse_wait(&guest->fuse, 1, DAEMON_PATIENCE_MS, &done));
    CHECK(done == req);
    if (has_no_reply(opcode))
        CHECK_EQ(done->used_len, 0);
    else if (done->bad)
        FAIL("opcode %u: %s", opcode, done->bad);
    int error = has_no_reply(opcode) ? 0 : done->error;
    vuf_fuse_put(&guest->fuse, done);
    return error;
}

static void check_share_is_intact(const struct daemon *daemon)
{
    char path[PATH_MAX], text[64] = "";
    FILE *file;

    snprintf(path, sizeof(path), "%s/secret", daemon->dir);
    file = fopen(path, "r");
    CHECK(file && fgets(text, sizeof(text), file) && strcmp(text, "not for the guest\n") == 0);
    fclose(file);
}

static void unknown_opcodes(struct daemon *daemon)
{
    static const unsigned char body[256];
    struct guest guest;

    guest_start(&guest, daemon, NULL);
    for (uint32_t opcode = 0; opcode <= 70; opcode++) {
        bool is_served =
            opcode <= VUF_OP_COPY_FILE_RANGE_64 && opcode != 0 && opcode != 7 && opcode != 19;
        if (!is_served)
            CHECK_EQ(send_body(&guest, opcode, ROOT_ID, body, sizeof(body), 4096), -ENOSYS);
    }
    for (size_t i = 0; i < sizeof(far_opcodes) / sizeof(far_opcodes[0]); i++)
        CHECK_EQ(send_body(&guest, far_opcodes[i], ROOT_ID, body, sizeof(body), 4096), -ENOSYS);
    guest_check_alive(&guest);
}

/* Bodies that end too early, at every byte. */
static void short_bodies(struct daemon *daemon)
{
    unsigned char body[128];
    struct guest guest;

    guest_start(&guest, daemon, NULL);
    for (uint32_t opcode = 0; opcode <= 60; opcode++) {
        if (ends_session(opcode))
            continue;
        for (size_t size = 0; size <= 100; size++) {
            memset(body, size % 3 == 0 ? 0 : size % 3 == 1 ? 0xff : 'a', sizeof(body));
            send_body(&guest, opcode, size % 2 ? ROOT_ID : 5, body, size, 4096);
        }
        guest_check_alive(&guest);
    }
    check_share_is_intact(daemon);
}

/* Random and boundary bodies. */
static void random_bodies(struct daemon *daemon)
{
    static const uint64_t edges[] = {0,
                                     1,
                                     2,
                                     0x7fffffff,
                                     0x80000000,
                                     0xffffffff,
                                     0x100000000,
                                     0x7fffffffffffffff,
                                     0x8000000000000000,
                                     ~0ull,
                                     ~0ull - 1};
    struct guest_options options = {.data = 262144};
    unsigned char body[8192];
    struct guest guest;

    guest_start(&guest, daemon, &options);
    uint64_t hello = guest_lookup(&guest, ROOT_ID, "hello"),
             dir = guest_lookup(&guest, ROOT_ID, "dir");
    uint64_t fh, file = guest_create(&guest, ROOT_ID, "scratch", &fh);
    uint64_t dir_fh = guest_opendir(&guest, dir);
    const uint64_t nodes[] = {ROOT_ID, hello, dir, file, 0, 2, ~0ull, hello + 1, 1ull << 32 | 1};
    const uint64_t handles[] = {fh, dir_fh, 0, ~0ull, fh + 1, fh ^ 1ull << 32};

    srand(1999);
    for (int round = 0; round < 6000; round++) {
        uint32_t opcode = (uint32_t)rand() % 56;
        size_t size = (size_t)rand() % (rand() % 8 ? 128 : sizeof(body));
        uint64_t first = handles[rand() % 6];

        if (ends_session(opcode))
            continue;
        for (size_t i = 0; i + 8 <= size; i += 8) {
            uint64_t value =
                rand() % 3 ? edges[rand() % 11] : ((uint64_t)rand() << 32 ^ (uint64_t)rand());
            memcpy(body + i, &value, 8);
        }
        if (size >= 8 && rand() % 2)
            memcpy(body, &first, 8);
        if (size > 24 && rand() % 2)
            memcpy(body + size - 8, "name\0\0\0", 8);
        /* Nobody wants to wait for a file of 8 EiB to be allocated or flushed. */
        if (opcode == VUF_OP_FALLOCATE && size >= 24)
            memset(body + 18, 0, 6);
        send_body(&guest, opcode, nodes[rand() % 9], body, size, (size_t)rand() % 262144);
        if (round % 100 == 0)
            guest_check_control(&guest.dev.conn);
    }
    /* The bodies may have removed or renamed anything in the share, but not the share. */
    guest_init(&guest);
    CHECK_EQ(send_body(&guest, VUF_OP_STATFS, ROOT_ID, NULL, 0, 80), 0);
    check_share_is_intact(daemon);
}

static void bad_nodes(struct daemon *daemon)
{
    static const uint64_t strange[] = {0,          2,           3,           1000,
                                       0xffffffff, 0x100000000, 0x100000001, 0x7fffffffffffffff,
                                       ~0ull,      ~0ull - 1,   1ull << 63};
    unsigned char body[200] = "";
    struct guest guest;

    guest_start(&guest, daemon, NULL);
    for (size_t i = 0; i < sizeof(strange) / sizeof(strange[0]); i++) {
        for (uint32_t opcode = 1; opcode <= 53; opcode++) {
            if (has_no_reply(opcode) || ends_session(opcode))
                continue;
            memset(body, 0, sizeof(body));
            if (send_body(&guest, opcode, strange[i], body, sizeof(body), 4096) >= 0 &&
                opcode != VUF_OP_RELEASE && opcode != VUF_OP_RELEASEDIR)
                FAIL("opcode %u on node %#llx succeeds", opcode, (unsigned long long)strange[i]);
        }
    }
    guest_check_alive(&guest);
}

/* An id that was right once: forgotten, and its place taken by another file. */
static void stale_nodes(struct daemon *daemon)
{
    struct guest guest;
    uint64_t seen[300];
    struct vuf_attr_out attr;

    guest_start(&guest, daemon, NULL);
    for (int i = 0; i < 300; i++) {
        seen[i] = guest_lookup(&guest, ROOT_ID, i % 2 ? "hello" : "dir");
        OK(vuf_fuse_forget(&guest.fuse, seen[i], 1));
        uint64_t now = guest_lookup(&guest, ROOT_ID, i % 2 ? "link" : "hello");
        for (int j = 0; j <= i; j++) {
            if (seen[j] == now)
                FAIL("id %#llx was given twice", (unsigned long long)now);
            if (j % 29 == 0)
                CHECK(guest_call(&guest, VUF_OP_GETATTR, seen[j], (char[16]){0}, 16, NULL, &attr,
                                 sizeof(attr), NULL) < 0);
        }
        OK(vuf_fuse_forget(&guest.fuse, now, 1));
    }
    guest_check_alive(&guest);
}

/* FORGET of more than was looked up, of nobody, of the root. */
static void forgets(struct daemon *daemon)
{
    struct guest guest;
    struct vuf_attr_out attr;

    guest_start(&guest, daemon, NULL);
    uint64_t hello = guest_lookup(&guest, ROOT_ID, "hello");
    OK(vuf_fuse_forget(&guest.fuse, 0, 1));
    OK(vuf_fuse_forget(&guest.fuse, ~0ull, ~0ull));
    for (int i = 0; i < 10; i++)
        OK(vuf_fuse_forget(&guest.fuse, ROOT_ID, ~0ull));
    CHECK_EQ(guest_call(&guest, VUF_OP_GETATTR, ROOT_ID, (char[16]){0}, 16, NULL, &attr,
                        sizeof(attr), NULL),
             0);
    OK(vuf_fuse_forget(&guest.fuse, hello, 0));
    CHECK_EQ(guest_call(&guest, VUF_OP_GETATTR, hello, (char[16]){0}, 16, NULL, &attr, sizeof(attr),
                        NULL),
             0);
    OK(vuf_fuse_forget(&guest.fuse, hello, ~0ull));
    CHECK(guest_call(&guest, VUF_OP_GETATTR, hello, (char[16]){0}, 16, NULL, &attr, sizeof(attr),
                     NULL) < 0);
    OK(vuf_fuse_forget(&guest.fuse, hello, 1));
    guest_check_alive(&guest);
    /* A batch that lies about its count. */
    struct {
        struct vuf_batch_forget_in in;
        struct vuf_forget_one one[3];
    } batch = {{.count = 0xffffffff}, {{2, 1}, {ROOT_ID, 1}, {~0ull, 1}}};
    send_body(&guest, VUF_OP_BATCH_FORGET, 0, &batch, sizeof(batch), 0);
    guest_check_alive(&guest);
}

/* Handles of another node, of another kind, of nobody. */
static void wrong_handles(struct daemon *daemon)
{
    struct guest guest;
    char data[4096];

    guest_start(&guest, daemon, NULL);
    uint64_t hello = guest_lookup(&guest, ROOT_ID, "hello"), fh = guest_open(&guest, hello, 0);
    uint64_t dir_fh = guest_opendir(&guest, ROOT_ID);
    const uint64_t bad[] = {dir_fh, fh + 1, fh + 1000, fh ^ 1ull << 32, ~0ull, 1ull << 63};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct vuf_read_in read = {.fh = bad[i], .size = 4096};
        struct vuf_write_in write = {.fh = bad[i]};
        struct vuf_fsync_in fsync = {.fh = bad[i]};
        struct vuf_lseek_in lseek = {.fh = bad[i]};
        struct vuf_fallocate_in fallocate = {.fh = bad[i], .length = 1};

        CHECK(send_body(&guest, VUF_OP_READ, hello, &read, sizeof(read), 4096) < 0);
        CHECK(send_body(&guest, VUF_OP_WRITE, hello, &write, sizeof(write), 8) < 0);
        CHECK(send_body(&guest, VUF_OP_LSEEK, hello, &lseek, sizeof(lseek), 8) < 0);
        CHECK(send_body(&guest, VUF_OP_FALLOCATE, hello, &fallocate, sizeof(fallocate), 0) < 0);
        if (bad[i] != dir_fh)
            CHECK(send_body(&guest, VUF_OP_FSYNC, hello, &fsync, sizeof(fsync), 0) < 0);
    }
    /* A file is no directory. */
    struct vuf_read_in list = {.fh = fh, .size = 4096};
    CHECK(send_body(&guest, VUF_OP_READDIR, hello, &list, sizeof(list), 4096) < 0);
    CHECK(send_body(&guest, VUF_OP_READDIRPLUS, ROOT_ID, &list, sizeof(list), 4096) < 0);
    /* Released, and used again. */
    struct vuf_release_in release = {.fh = fh};
    struct vuf_read_in read = {.fh = fh, .size = 100};
    CHECK_EQ(send_body(&guest, VUF_OP_RELEASE, hello, &release, sizeof(release), 0), 0);
    for (int i = 0; i < 50; i++) {
        CHECK(guest_call(&guest, VUF_OP_READ, hello, &read, sizeof(read), NULL, data, 100, NULL) <
              0);
        guest_open(&guest, hello, 0);
    }
    send_body(&guest, VUF_OP_RELEASE, hello, &release, sizeof(release), 0);
    guest_check_alive(&guest);
}

/* Opcodes that take names, with what comes before the first name. */
static const struct {
    uint32_t opcode;
    uint32_t before;
    int names;
} named[] = {
    {VUF_OP_LOOKUP, 0, 1},  {VUF_OP_MKNOD, 16, 1},  {VUF_OP_MKDIR, 8, 1},    {VUF_OP_UNLINK, 0, 1},
    {VUF_OP_RMDIR, 0, 1},   {VUF_OP_RENAME, 8, 2},  {VUF_OP_RENAME2, 16, 2}, {VUF_OP_LINK, 8, 1},
    {VUF_OP_CREATE, 16, 1}, {VUF_OP_SYMLINK, 0, 1},
};

#define N_NAMED (sizeof(named) / sizeof(named[0]))

/* Puts the fixed part together so that only the name is wrong. */
static size_t begin_body(unsigned char *body, size_t i, uint64_t hello)
{
    uint64_t first = named[i].opcode == VUF_OP_LINK ? hello : ROOT_ID;
    uint32_t mode = 0100600;

    memset(body, 0, 64);
    if (named[i].opcode == VUF_OP_MKNOD || named[i].opcode == VUF_OP_MKDIR)
        memcpy(body, &mode, 4);
    else if (named[i].opcode == VUF_OP_CREATE)
        memcpy(body, (uint32_t[]){O_CREAT | O_RDWR, mode}, 8);
    else
        memcpy(body, &first, 8);
    return named[i].before;
}

static void bad_names(struct daemon *daemon)
{
    static const char *const names[] = {
        "",          "/",        "..",  ".",       "../secret", "a/b",        "/etc/passwd",
        "dir/../..", "dir/file", "../", "./hello", "..//",      "/proc/self", "hello/",
    };
    unsigned char body[1024];
    struct guest guest;

    guest_start(&guest, daemon, NULL);
    uint64_t hello = guest_lookup(&guest, ROOT_ID, "hello"),
             dir = guest_lookup(&guest, ROOT_ID, "dir");
    for (size_t i = 0; i < N_NAMED; i++) {
        for (size_t j = 0; j < sizeof(names) / sizeof(names[0]); j++) {
            size_t size = begin_body(body, i, hello);
            int error;

            strcpy((char *)body + size, names[j]);
            size += strlen(names[j]) + 1;
            if (named[i].names == 2 || named[i].opcode == VUF_OP_SYMLINK) {
                strcpy((char *)body + size, "other");
                size += 6;
            }
            error = send_body(&guest, named[i].opcode, j % 2 ? dir : ROOT_ID, body, size, 4096);
            /* "." and ".." may be looked up where the protocol needs it, never to leave the share.
             */
            bool is_dots = strcmp(names[j], ".") == 0 || strcmp(names[j], "..") == 0;
            if (error >= 0 && !(named[i].opcode == VUF_OP_LOOKUP && is_dots))
                FAIL("opcode %u with the name \"%s\" succeeds", named[i].opcode, names[j]);
        }
    }
    guest_check_alive(&guest);
    check_share_is_intact(daemon);
}

/* As the second name of those that have two. */
static void bad_second_names(struct daemon *daemon)
{
    static const char *const names[] = {"", "/", "..", ".", "../stolen", "a/b", "/tmp/stolen"};
    unsigned char body[256];
    struct guest guest;
    struct stat st;
    char path[PATH_MAX];

    guest_start(&guest, daemon, NULL);
    for (size_t j = 0; j < sizeof(names) / sizeof(names[0]); j++) {
        for (size_t i = 0; i < N_NAMED; i++) {
            if (named[i].names != 2 && named[i].opcode != VUF_OP_SYMLINK)
                continue;
            size_t size = begin_body(body, i, ROOT_ID);
            /* SYMLINK has the name first and the target second: swap roles. */
            const char *one = named[i].opcode == VUF_OP_SYMLINK ? names[j] : "hello";
            const char *two = named[i].opcode == VUF_OP_SYMLINK ? "target" : names[j];

            strcpy((char *)body + size, one);
            size += strlen(one) + 1;
            strcpy((char *)body + size, two);
            size += strlen(two) + 1;
            CHECK(send_body(&guest, named[i].opcode, ROOT_ID, body, size, 4096) < 0);
        }
    }
    snprintf(path, sizeof(path), "%s/stolen", daemon->dir);
    CHECK(lstat(path, &st) < 0);
    guest_check_alive(&guest);
}

static void long_names(struct daemon *daemon)
{
    static const size_t lengths[] = {254, 255, 256, 257, 1000, 4095, 4096, 30000, 60000};
    static unsigned char body[65536];
    struct guest guest;

    guest_start(&guest, daemon, NULL);
    uint64_t hello = guest_lookup(&guest, ROOT_ID, "hello");
    for (size_t i = 0; i < N_NAMED; i++) {
        if (named[i].opcode == VUF_OP_SYMLINK || named[i].names == 2)
            continue;
        for (size_t j = 0; j < sizeof(lengths) / sizeof(lengths[0]); j++) {
            size_t size = begin_body(body, i, hello);

            memset(body + size, 'n', lengths[j]);
            size += lengths[j];
            /* Without its end first: never taken for a name, however long. */
            if (send_body(&guest, named[i].opcode, ROOT_ID, body, size, 4096) >= 0)
                FAIL("opcode %u takes a name without an end", named[i].opcode);
            body[size++] = '\0';
            int error = send_body(&guest, named[i].opcode, ROOT_ID, body, size, 4096);
            bool creates = named[i].opcode == VUF_OP_MKNOD || named[i].opcode == VUF_OP_MKDIR ||
                           named[i].opcode == VUF_OP_CREATE || named[i].opcode == VUF_OP_LINK;
            if (lengths[j] > 255)
                CHECK(error < 0);
            else if (creates && error && error != -EEXIST)
                FAIL("opcode %u with %zu bytes: %s", named[i].opcode, lengths[j],
                     strerrorname_np(-error));
        }
    }
    guest_check_alive(&guest);
}

/* Symbolic links are never followed, special files never opened. */
static void no_way_out(struct daemon *daemon)
{
    struct vuf_open_in open = {.flags = O_RDWR};
    char data[4096];
    struct guest guest;

    guest_start(&guest, daemon, NULL);
    uint64_t outside = guest_lookup(&guest, ROOT_ID, "outside"),
             fifo = guest_lookup(&guest, ROOT_ID, "fifo");
    for (uint32_t flags = 0; flags < 3; flags++) {
        open.flags = flags;
        CHECK(send_body(&guest, VUF_OP_OPEN, outside, &open, sizeof(open), 16) < 0);
        CHECK(send_body(&guest, VUF_OP_OPEN, fifo, &open, sizeof(open), 16) < 0);
        CHECK(send_body(&guest, VUF_OP_OPENDIR, outside, &open, sizeof(open), 16) < 0);
        CHECK(send_body(&guest, VUF_OP_OPENDIR, fifo, &open, sizeof(open), 16) < 0);
    }
    CHECK(guest_call(&guest, VUF_OP_LOOKUP, outside, NULL, 0, "x", data, 4096, NULL) < 0);
    CHECK(guest_call(&guest, VUF_OP_LOOKUP, fifo, NULL, 0, "x", data, 4096, NULL) < 0);
    /* CREATE over them. */
    const char *const names[] = {"outside", "fifo"};
    for (int i = 0; i < 2; i++) {
        struct vuf_create_in in = {.flags = O_CREAT | O_RDWR | O_TRUNC, .mode = 0100600};
        CHECK(guest_call(&guest, VUF_OP_CREATE, ROOT_ID, &in, sizeof(in), names[i], data, 4096,
                         NULL) < 0);
    }
    guest_check_alive(&guest);
    check_share_is_intact(daemon);
}

/* ".." of the root is the root, if it is anything. */
static void dots(struct daemon *daemon)
{
    struct vuf_entry_out entry;
    struct vuf_attr_out attr;
    struct guest guest;

    guest_start(&guest, daemon, NULL);
    CHECK_EQ(guest_call(&guest, VUF_OP_GETATTR, ROOT_ID, (char[16]){0}, 16, NULL, &attr,
                        sizeof(attr), NULL),
             0);
    for (int i = 0; i < 5; i++) {
        int error =
            guest_call(&guest, VUF_OP_LOOKUP, ROOT_ID, NULL, 0, "..", &entry, sizeof(entry), NULL);
        if (error == 0)
            CHECK_EQ(entry.attr.ino, attr.attr.ino);
    }
    guest_check_alive(&guest);
}

/* Sizes that promise or ask for more than there is. */
static void lying_sizes(struct daemon *daemon)
{
    static const uint32_t sizes[] = {1,       4096,       65536,      1 << 20,
                                     1 << 24, 0x7fffffff, 0x80000000, 0xffffffff};
    struct guest guest;

    guest_start(&guest, daemon, NULL);
    uint64_t fh, node = guest_create(&guest, ROOT_ID, "sizes", &fh);
    uint64_t dir_fh = guest_opendir(&guest, ROOT_ID);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct vuf_write_in write = {.fh = fh, .size = sizes[i]};
        struct vuf_read_in read = {.fh = fh, .size = sizes[i]};
        struct vuf_read_in list = {.fh = dir_fh, .size = sizes[i]};
        struct {
            struct vuf_setxattr_in in;
            char name[8];
        } set = {{.size = sizes[i]}, "user.a"};
        struct {
            struct vuf_getxattr_in in;
            char name[8];
        } get = {{.size = sizes[i]}, "user.a"};

        CHECK(send_body(&guest, VUF_OP_WRITE, node, &write, sizeof(write), 8) < 0);
        send_body(&guest, VUF_OP_READ, node, &read, sizeof(read), 64);
        send_body(&guest, VUF_OP_READDIR, ROOT_ID, &list, sizeof(list), 64);
        send_body(&guest, VUF_OP_READDIRPLUS, ROOT_ID, &list, sizeof(list), 64);
        CHECK(send_body(&guest, VUF_OP_SETXATTR, node, &set, 8 + 7, 0) < 0);
        send_body(&guest, VUF_OP_GETXATTR, node, &get, 8 + 7, 64);
        send_body(&guest, VUF_OP_LISTXATTR, node, &get, 8, 64);
    }
    guest_check_alive(&guest);
}

/* On a share that may not change, nothing changes. */
static void readonly(struct daemon *daemon)
{
    static const uint32_t opcodes[] = {VUF_OP_SETATTR,  VUF_OP_SYMLINK,     VUF_OP_MKNOD,
                                       VUF_OP_MKDIR,    VUF_OP_UNLINK,      VUF_OP_RMDIR,
                                       VUF_OP_RENAME,   VUF_OP_LINK,        VUF_OP_WRITE,
                                       VUF_OP_SETXATTR, VUF_OP_CREATE,      VUF_OP_FALLOCATE,
                                       VUF_OP_RENAME2,  VUF_OP_REMOVEXATTR, VUF_OP_COPY_FILE_RANGE};
    unsigned char body[256];
    struct guest guest;

    guest_start(&guest, daemon, NULL);
    uint64_t hello = guest_lookup(&guest, ROOT_ID, "hello");
    for (size_t i = 0; i < sizeof(opcodes) / sizeof(opcodes[0]); i++) {
        memset(body, 'a', sizeof(body));
        body[255] = '\0';
        CHECK(send_body(&guest, opcodes[i], ROOT_ID, body, sizeof(body), 4096) < 0);
        CHECK(send_body(&guest, opcodes[i], hello, body, sizeof(body), 4096) < 0);
    }
    for (uint32_t flags = 1; flags < 4; flags++) {
        struct vuf_open_in open = {.flags = flags};
        CHECK(send_body(&guest, VUF_OP_OPEN, hello, &open, sizeof(open), 16) < 0);
    }
    struct vuf_open_in truncate = {.flags = O_TRUNC};
    send_body(&guest, VUF_OP_OPEN, hello, &truncate, sizeof(truncate), 16);
    guest_check_alive(&guest);
}

static const struct test_case cases[] = {
    {.name = "unknown-opcodes", .run = unknown_opcodes},
    {.name = "short-bodies", .run = short_bodies, .words = "--xattr"},
    {.name = "random-bodies", .run = random_bodies, .words = "--xattr"},
    {.name = "random-bodies-no-handles",
     .run = random_bodies,
     .words = "--inode-file-handles=never --cache=never --allow-direct-io"},
    {.name = "random-bodies-writeback",
     .run = random_bodies,
     .words = "--writeback --cache=always --xattr --thread-pool-size=4"},
    {.name = "bad-nodes", .run = bad_nodes},
    {.name = "stale-nodes", .run = stale_nodes},
    {.name = "forgets", .run = forgets},
    {.name = "wrong-handles", .run = wrong_handles},
    {.name = "bad-names", .run = bad_names},
    {.name = "bad-second-names", .run = bad_second_names},
    {.name = "long-names", .run = long_names},
    {.name = "no-way-out", .run = no_way_out},
    {.name = "no-way-out-chroot", .run = no_way_out, .words = "--sandbox=chroot"},
    {.name = "no-way-out-no-sandbox", .run = no_way_out, .words = "--sandbox=none"},
    {.name = "bad-names-no-sandbox", .run = bad_names, .words = "--sandbox=none"},
    {.name = "dots", .run = dots},
    {.name = "dots-no-sandbox", .run = dots, .words = "--sandbox=none"},
    {.name = "dots-no-handles", .run = dots, .words = "--sandbox=none --inode-file-handles=never"},
    {.name = "lying-sizes", .run = lying_sizes, .words = "--xattr"},
    {.name = "readonly", .run = readonly, .words = "--readonly --xattr"},
};

int main(int argc, char **argv)
{
    return case_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
