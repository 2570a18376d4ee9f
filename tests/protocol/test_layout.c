// SPDX-License-Identifier: BSD-3-Clause
/*
 * How a FUSE message lies in a chain, and what the used ring says of its reply: headers cut
 * anywhere, replies scattered over single bytes, and a used length that is the reply's for every
 * opcode.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "guest.h"

#define RING_SIZE 256

static const struct guest_options big_ring = {.ring_size = RING_SIZE, .depth = 4};
static const struct guest_options big_ring_indirect = {
    .ring_size = RING_SIZE, .indirect_max = RING_SIZE, .depth = 4};

/*
 * Sends SIZE bytes of message cut into pieces of IN_PIECE bytes, with OUT_SIZE bytes of room cut
 * into pieces of OUT_PIECE. Returns the used length; the reply is put together in *REPLY.
 */
static uint32_t send_cut(struct guest *guest, const void *message, uint32_t size, uint32_t in_piece,
                         unsigned char *reply, uint32_t out_size, uint32_t out_piece)
{
    struct vuf_piece pieces[RING_SIZE];
    unsigned char *in = guest->scratch, *out = guest->scratch + 65536;
    unsigned n_in = 0, n_out = 0;
    struct vuf_done done;
    static char token;

    /* The pieces do not touch each other, and the last comes first in memory. */
    for (uint32_t at = 0; at < size; at += in_piece, n_in++) {
        uint32_t len = size - at < in_piece ? size - at : in_piece;
        unsigned char *place = in + 65536 - (n_in + 1) * (in_piece + 3);

        memcpy(place, (const char *)message + at, len);
        pieces[n_in] = (struct vuf_piece){vuf_mem_gpa(&guest->dev.mem, place), len};
    }
    for (uint32_t at = 0; at < out_size; at += out_piece, n_out++) {
        uint32_t len = out_size - at < out_piece ? out_size - at : out_piece;

        pieces[n_in + n_out] =
            (struct vuf_piece){vuf_mem_gpa(&guest->dev.mem, out + (n_out * (out_piece + 5))), len};
    }
    OK(vuf_ring_add(&guest->dev.rings[1], pieces, n_in, n_out, &token));
    vuf_ring_kick(&guest->dev.rings[1]);
    OK(vuf_ring_wait(&guest->dev.rings[1], DAEMON_PATIENCE_MS));
    CHECK_EQ(vuf_ring_pop(&guest->dev.rings[1], &done), 1);
    for (uint32_t at = 0, i = 0; at < out_size; at += out_piece, i++)
        memcpy(reply + at, out + i * (out_piece + 5),
               out_size - at < out_piece ? out_size - at : out_piece);
    return done.len;
}

/* LOOKUP of "hello" in every cut: 46 bytes in, 144 out. */
static void any_cut(struct daemon *daemon)
{
    struct {
        struct vuf_in_header hdr;
        char name[6];
    } __attribute__((packed))
    lookup = {{.len = 46, .opcode = VUF_OP_LOOKUP, .unique = 99, .nodeid = ROOT_ID}, "hello"};
    struct guest guest;

    guest_start(&guest, daemon, case_data());
    for (uint32_t in_piece = 1; in_piece <= 46; in_piece++) {
        for (uint32_t out_piece = 1; out_piece <= 144; out_piece += out_piece < 20 ? 1 : 31) {
            unsigned char reply[144] = "";
            struct vuf_out_header out;
            struct vuf_entry_out entry;

            CHECK_EQ(send_cut(&guest, &lookup, 46, in_piece, reply, 144, out_piece), 144);
            memcpy(&out, reply, sizeof(out));
            memcpy(&entry, reply + sizeof(out), sizeof(entry));
            CHECK_EQ(out.len, 144);
            CHECK_EQ(out.error, 0);
            CHECK_EQ(out.unique, 99);
            CHECK_EQ(entry.attr.size, 13);
        }
    }
}

/* READ into single bytes, WRITE from single bytes. */
static void data_cut(struct daemon *daemon)
{
    struct guest guest;
    uint64_t fh, node;
    unsigned char reply[RING_SIZE];

    guest_start(&guest, daemon, case_data());
    node = guest_create(&guest, ROOT_ID, "cut", &fh);
    struct {
        struct vuf_in_header hdr;
        struct vuf_write_in in;
        char data[100];
    } write = {{.len = 180, .opcode = VUF_OP_WRITE, .unique = 7, .nodeid = node},
               {.fh = fh, .size = 100},
               ""};
    struct {
        struct vuf_in_header hdr;
        struct vuf_read_in in;
    } read = {{.len = 80, .opcode = VUF_OP_READ, .unique = 8, .nodeid = node},
              {.fh = fh, .size = 100}};

    for (int i = 0; i < 100; i++)
        write.data[i] = (char)(i + 1);
    for (uint32_t piece = 1; piece <= 100; piece += 9) {
        CHECK_EQ(send_cut(&guest, &write, 180, piece, reply, 24, 3), 24);
        CHECK_EQ(send_cut(&guest, &read, 80, 17, reply, 116, piece), 116);
        CHECK(memcmp(reply + 16, write.data, 100) == 0);
        /* More room than asked for stays untouched: 100 bytes, not 120. */
        CHECK_EQ(send_cut(&guest, &read, 80, 80, reply, 136, piece), 116);
    }
}

/* The header states another length than the chain has. */
static void stated_length(struct daemon *daemon)
{
    static const uint32_t stated[] = {0, 1, 39, 40, 41, 45, 47, 200, 0x7fffffff, 0xffffffff};
    struct {
        struct vuf_in_header hdr;
        char name[6];
    } __attribute__((packed))
    lookup = {{.len = 46, .opcode = VUF_OP_LOOKUP, .unique = 99, .nodeid = ROOT_ID}, "hello"};
    struct guest guest;

    guest_start(&guest, daemon, &big_ring);
    for (size_t i = 0; i < sizeof(stated) / sizeof(stated[0]); i++) {
        unsigned char reply[144];
        struct vuf_out_header out;

        lookup.hdr.len = stated[i];
        CHECK_EQ(send_cut(&guest, &lookup, 46, 46, reply, 144, 144), 16);
        memcpy(&out, reply, sizeof(out));
        CHECK(out.error < 0);
        CHECK_EQ(out.len, 16);
        guest_check_alive(&guest);
    }
    /* More in the chain than stated is left alone. */
    char longer[100];
    unsigned char reply[144];
    lookup.hdr.len = 46;
    memset(longer, 'x', sizeof(longer));
    memcpy(longer, &lookup, 46);
    CHECK_EQ(send_cut(&guest, longer, 100, 33, reply, 144, 50), 144);
}

/*
 * Every opcode that has a reply, well-made, succeeding: the library holds each reply to the rules
 * (vuf_fuse.h), which include header length = used length; here the length itself is checked.
 */
static void expect(struct guest *guest, uint32_t opcode, uint64_t node, const void *args,
                   size_t args_size, const char *name, size_t wanted)
{
    static unsigned char out[65536];
    size_t len = 0;
    int error = guest_call(guest, opcode, node, args, args_size, name, out, sizeof(out), &len);

    if (error)
        FAIL("opcode %u: %s", opcode, strerrorname_np(-error));
    if (len != wanted)
        FAIL("opcode %u: %zu bytes of reply, not %zu", opcode, len, wanted);
}

static void lengths_of_names(struct guest *guest)
{
    const size_t entry = sizeof(struct vuf_entry_out);
    struct vuf_mknod_in mknod = {.mode = 0100600};
    struct vuf_mkdir_in mkdir = {.mode = 0700};
    uint64_t hello = guest_lookup(guest, ROOT_ID, "hello");
    uint64_t link_node = guest_lookup(guest, ROOT_ID, "link");
    struct vuf_link_in link = {.oldnodeid = hello};
    char two[64] = "new\0target";
    struct {
        struct vuf_rename_in in;
        char names[10];
    } rename = {{ROOT_ID}, "node\0node2"};
    struct {
        struct vuf_rename2_in in;
        char names[12];
    } rename2 = {{.newdir = ROOT_ID, .flags = 1}, "node2\0node3"};

    expect(guest, VUF_OP_LOOKUP, ROOT_ID, NULL, 0, "hello", entry);
    expect(guest, VUF_OP_SYMLINK, ROOT_ID, two, 4, "target", entry);
    expect(guest, VUF_OP_READLINK, link_node, NULL, 0, NULL, 5);
    expect(guest, VUF_OP_MKNOD, ROOT_ID, &mknod, sizeof(mknod), "node", entry);
    expect(guest, VUF_OP_MKDIR, ROOT_ID, &mkdir, sizeof(mkdir), "newdir", entry);
    expect(guest, VUF_OP_LINK, ROOT_ID, &link, sizeof(link), "hard", entry);
    expect(guest, VUF_OP_RENAME, ROOT_ID, &rename, 8 + 10, "", 0);
    expect(guest, VUF_OP_RENAME2, ROOT_ID, &rename2, 16 + 11, "", 0);
    expect(guest, VUF_OP_UNLINK, ROOT_ID, NULL, 0, "hard", 0);
    expect(guest, VUF_OP_RMDIR, ROOT_ID, NULL, 0, "newdir", 0);
}

static void lengths_of_attributes(struct guest *guest)
{
    uint64_t hello = guest_lookup(guest, ROOT_ID, "hello");
    struct vuf_getattr_in getattr = {.flags = 0};
    struct vuf_setattr_in setattr = {.valid = VUF_SETATTR_MODE, .mode = 0640};
    struct vuf_access_in access = {.mask = 4};
    struct {
        struct vuf_setxattr_in in;
    } set = {{.size = 3}};
    struct vuf_getxattr_in get = {.size = 100}, ask = {.size = 0};
    struct vuf_syncfs_in syncfs = {0};
    char name_value[] = "user.a\0xyz";
    unsigned char bytes[32];

    expect(guest, VUF_OP_GETATTR, hello, &getattr, sizeof(getattr), NULL,
           sizeof(struct vuf_attr_out));
    expect(guest, VUF_OP_SETATTR, hello, &setattr, sizeof(setattr), NULL,
           sizeof(struct vuf_attr_out));
    expect(guest, VUF_OP_ACCESS, hello, &access, sizeof(access), NULL, 0);
    expect(guest, VUF_OP_STATFS, ROOT_ID, NULL, 0, NULL, sizeof(struct vuf_statfs_out));
    expect(guest, VUF_OP_SYNCFS, ROOT_ID, &syncfs, sizeof(syncfs), NULL, 0);
    memcpy(bytes, &set, 8);
    memcpy(bytes + 8, name_value, 10);
    expect(guest, VUF_OP_SETXATTR, hello, bytes, 18, NULL, 0);
    expect(guest, VUF_OP_GETXATTR, hello, &get, sizeof(get), "user.a", 3);
    expect(guest, VUF_OP_GETXATTR, hello, &ask, sizeof(ask), "user.a",
           sizeof(struct vuf_getxattr_out));
    expect(guest, VUF_OP_LISTXATTR, hello, &ask, sizeof(ask), NULL,
           sizeof(struct vuf_getxattr_out));
    expect(guest, VUF_OP_LISTXATTR, hello, &get, sizeof(get), NULL, 7);
    expect(guest, VUF_OP_REMOVEXATTR, hello, NULL, 0, "user.a", 0);
}

static void lengths_of_data(struct guest *guest)
{
    uint64_t fh, node = guest_create(guest, ROOT_ID, "data", &fh);
    struct vuf_open_in open = {.flags = 0};
    struct vuf_create_in create = {.flags = 0x42, .mode = 0100600};
    struct vuf_read_in read = {.fh = fh, .size = 4096};
    struct {
        struct vuf_write_in in;
        char data[10];
    } write = {{.fh = fh, .size = 10}, "123456789"};
    struct vuf_fsync_in fsync = {.fh = fh};
    struct vuf_flush_in flush = {.fh = fh};
    struct vuf_fallocate_in fallocate = {.fh = fh, .length = 100};
    struct vuf_lseek_in lseek = {.fh = fh, .offset = 0, .whence = 4};
    struct vuf_release_in release = {.fh = fh};
    struct vuf_copy_file_range_in copy = {
        .fh_in = fh, .nodeid_out = node, .fh_out = fh, .off_out = 4096, .len = 5};

    expect(guest, VUF_OP_OPEN, node, &open, sizeof(open), NULL, sizeof(struct vuf_open_out));
    expect(guest, VUF_OP_CREATE, ROOT_ID, &create, sizeof(create), "data2",
           sizeof(struct vuf_create_out));
    expect(guest, VUF_OP_READ, node, &read, sizeof(read), NULL, 0);
    expect(guest, VUF_OP_WRITE, node, &write, sizeof(write.in) + 10, NULL,
           sizeof(struct vuf_write_out));
    expect(guest, VUF_OP_READ, node, &read, sizeof(read), NULL, 10);
    expect(guest, VUF_OP_FSYNC, node, &fsync, sizeof(fsync), NULL, 0);
    expect(guest, VUF_OP_FLUSH, node, &flush, sizeof(flush), NULL, 0);
    expect(guest, VUF_OP_FALLOCATE, node, &fallocate, sizeof(fallocate), NULL, 0);
    expect(guest, VUF_OP_LSEEK, node, &lseek, sizeof(lseek), NULL, sizeof(struct vuf_lseek_out));
    expect(guest, VUF_OP_COPY_FILE_RANGE, node, &copy, sizeof(copy), NULL,
           sizeof(struct vuf_write_out));
    expect(guest, VUF_OP_RELEASE, node, &release, sizeof(release), NULL, 0);
}

/* Directory listings end at an entry, and the used length with them. */
static void lengths_of_directories(struct guest *guest, uint32_t opcode)
{
    uint64_t fh = guest_opendir(guest, ROOT_ID);
    struct vuf_release_in release = {.fh = fh};
    struct vuf_fsync_in fsync = {.fh = fh};

    for (uint32_t size = 0; size < 2000; size += 7) {
        struct vuf_read_in read = {.fh = fh, .size = size};
        unsigned char out[2000];
        size_t len = 0, at = 0;
        const size_t before = opcode == VUF_OP_READDIRPLUS ? sizeof(struct vuf_entry_out) : 0;
        int error = guest_call(guest, opcode, ROOT_ID, &read, sizeof(read), NULL, out, size, &len);

        if (error && error != -EINVAL)
            FAIL("opcode %u, size %u: %s", opcode, size, strerrorname_np(-error));
        while (!error && at < len) {
            struct vuf_dirent entry;

            CHECK(len - at >= before + 24);
            memcpy(&entry, out + at + before, 24);
            CHECK(entry.namelen > 0 && entry.namelen < 256);
            at += (before + 24 + entry.namelen + 7) & ~7ull;
        }
        if (!error)
            CHECK_EQ(at, len);
    }
    expect(guest, VUF_OP_FSYNCDIR, ROOT_ID, &fsync, sizeof(fsync), NULL, 0);
    expect(guest, VUF_OP_RELEASEDIR, ROOT_ID, &release, sizeof(release), NULL, 0);
}

static void used_lengths(struct daemon *daemon)
{
    struct guest guest;

    guest_start(&guest, daemon, case_data());
    lengths_of_names(&guest);
    lengths_of_attributes(&guest);
    lengths_of_data(&guest);
    lengths_of_directories(&guest, VUF_OP_READDIR);
    lengths_of_directories(&guest, VUF_OP_READDIRPLUS);
    OK(vuf_fuse_forget(&guest.fuse, guest_lookup(&guest, ROOT_ID, "hello"), 1));
    guest_check_alive(&guest);
}

/* FORGET, BATCH_FORGET and INTERRUPT have no reply, with a writable part or without one. */
static void no_reply(struct daemon *daemon)
{
    static const uint32_t opcodes[] = {VUF_OP_FORGET, VUF_OP_BATCH_FORGET, VUF_OP_INTERRUPT};
    struct guest guest;

    guest_start(&guest, daemon, &big_ring);
    for (size_t i = 0; i < 3; i++) {
        struct {
            struct vuf_in_header hdr;
            uint64_t args[2];
        } message = {{.len = 56, .opcode = opcodes[i], .unique = 4, .nodeid = 99}, {0, 0}};
        unsigned char reply[64];

        for (uint32_t room = 0; room <= 64; room += 16)
            CHECK_EQ(send_cut(&guest, &message, 56, 20, reply, room, 64), 0);
    }
    guest_check_alive(&guest);
}

static const struct test_case cases[] = {
    {.name = "any-cut", .run = any_cut, .data = &big_ring},
    {.name = "any-cut-indirect", .run = any_cut, .data = &big_ring_indirect},
    {.name = "data-cut", .run = data_cut, .data = &big_ring},
    {.name = "data-cut-indirect", .run = data_cut, .data = &big_ring_indirect},
    {.name = "stated-length", .run = stated_length},
    {.name = "used-lengths", .run = used_lengths, .words = "--xattr"},
    {.name = "used-lengths-no-handles",
     .run = used_lengths,
     .words = "--xattr --inode-file-handles=never"},
    {.name = "no-reply", .run = no_reply},
};

int main(int argc, char **argv)
{
    return case_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
