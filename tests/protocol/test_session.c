// SPDX-License-Identifier: BSD-3-Clause
/* INIT in every version and order, what comes before and after it, and what DESTROY leaves. */
#include <errno.h>
#include <string.h>

#include "guest.h"

#define READAHEAD (64 << 20)

static const struct guest_options before_init = {.no_init = true};

static int send_init(struct guest *guest, uint32_t major, uint32_t minor, uint32_t flags,
                     size_t size, struct vuf_init_out *ret_out, size_t *ret_len)
{
    struct vuf_init_in in = {
        .major = major, .minor = minor, .max_readahead = READAHEAD, .flags = flags};

    memset(ret_out, 0, sizeof(*ret_out));
    return guest_call(guest, VUF_OP_INIT, 0, &in, size, NULL, ret_out, sizeof(*ret_out), ret_len);
}

/* Nothing but INIT and DESTROY is served before INIT. */
static void nothing_before_init(struct daemon *daemon)
{
    static const char args[256];
    unsigned char out[4096];
    struct guest guest;

    guest_start(&guest, daemon, &before_init);
    for (uint32_t opcode = 1; opcode <= 60; opcode++) {
        bool has_no_reply =
            opcode == VUF_OP_FORGET || opcode == VUF_OP_BATCH_FORGET || opcode == VUF_OP_INTERRUPT;

        if (has_no_reply || opcode == VUF_OP_INIT || opcode == VUF_OP_DESTROY)
            continue;
        CHECK(guest_call(&guest, opcode, ROOT_ID, args, sizeof(args), NULL, out, sizeof(out),
                         NULL) < 0);
    }
    guest_init(&guest);
    guest_check_alive(&guest);
}

static void versions(struct daemon *daemon)
{
    struct vuf_init_out out;
    struct guest guest;
    size_t len;

    guest_start(&guest, daemon, &before_init);
    for (uint32_t minor = 27; minor <= 45; minor++) {
        CHECK_EQ(send_init(&guest, 7, minor, 0, 16, &out, &len), 0);
        CHECK_EQ(len, sizeof(out));
        CHECK_EQ(out.major, 7);
        CHECK(out.minor >= 27 && out.minor <= 45);
        CHECK(out.max_write >= 4096);
        guest_check_alive(&guest);
    }
    CHECK_EQ(send_init(&guest, 7, 1000, 0, 16, &out, &len), 0);
    guest_check_alive(&guest);
    /* A newer major: our own version back, and the guest comes again. */
    CHECK_EQ(send_init(&guest, 8, 0, 0, 16, &out, &len), 0);
    CHECK_EQ(out.major, 7);
    guest_init(&guest);
    CHECK(send_init(&guest, 7, 26, 0, 16, &out, &len) < 0);
    CHECK(send_init(&guest, 6, 45, 0, 16, &out, &len) < 0);
    CHECK(send_init(&guest, 0, 0, 0, 16, &out, &len) < 0);
    for (size_t size = 0; size < 16; size++)
        CHECK(send_init(&guest, 7, 38, 0, size, &out, &len) < 0);
    guest_init(&guest);
    guest_check_alive(&guest);
}

/* Only what both sides know is in use. */
static void flags(struct daemon *daemon)
{
    struct vuf_init_out out;
    struct guest guest;
    size_t len;

    guest_start(&guest, daemon, &before_init);
    CHECK_EQ(send_init(&guest, 7, 38, 0, 64, &out, &len), 0);
    CHECK_EQ(out.flags | out.flags2, 0);
    for (unsigned bit = 0; bit < 32; bit++) {
        CHECK_EQ(send_init(&guest, 7, 38, 1u << bit, 64, &out, &len), 0);
        CHECK_EQ(out.flags & ~(1u << bit), 0);
        CHECK_EQ(out.flags2, 0);
    }
    /* INIT_EXT set, and the long form not sent. */
    CHECK_EQ(send_init(&guest, 7, 38, (uint32_t)VUF_INIT_INIT_EXT, 16, &out, &len), 0);
    CHECK_EQ(out.flags2, 0);
    CHECK_EQ(send_init(&guest, 7, 38, 0xffffffff, 64, &out, &len), 0);
    CHECK_EQ(out.flags2, 0);
    guest_check_alive(&guest);
}

/* Linux takes from the offer what it can; guests of before its limit could be raised get 1 MiB. */
static void largest_request(struct daemon *daemon)
{
    struct vuf_init_out out;
    struct guest guest;
    size_t len;

    guest_start(&guest, daemon, &before_init);
    CHECK_EQ(send_init(&guest, 7, 45, VUF_INIT_MAX_PAGES, 64, &out, &len), 0);
    CHECK_EQ(out.max_pages, 65535);
    CHECK_EQ(out.max_write, 65535 * 4096);
    CHECK_EQ(out.max_readahead, READAHEAD);
    CHECK_EQ(send_init(&guest, 7, 40, VUF_INIT_MAX_PAGES, 64, &out, &len), 0);
    CHECK_EQ(out.max_pages, 256);
    CHECK_EQ(out.max_write, 1 << 20);
    CHECK_EQ(send_init(&guest, 7, 45, 0, 64, &out, &len), 0);
    CHECK_EQ(out.max_pages, 0);
    CHECK_EQ(out.max_write, 128 << 10);
    CHECK_EQ(out.max_readahead, READAHEAD);
}

/* What a session knew, the next one does not; descriptors do not add up. */
static void start_over(struct daemon *daemon)
{
    bool by_destroy = case_data() != NULL;
    struct guest guest;
    unsigned fds = 0;

    guest_start(&guest, daemon, NULL);
    for (int i = 0; i < 30; i++) {
        uint64_t node = guest_lookup(&guest, ROOT_ID, "hello"), fh = guest_open(&guest, node, 0);
        uint64_t dir_fh = guest_opendir(&guest, ROOT_ID);
        struct vuf_read_in in = {.fh = fh, .size = 100}, dir_in = {.fh = dir_fh, .size = 100};
        struct vuf_attr_out attr;
        char data[100];

        if (by_destroy) {
            CHECK_EQ(vuf_fuse_destroy(&guest.fuse), 0);
            CHECK(guest_call(&guest, VUF_OP_GETATTR, ROOT_ID, (char[16]){0}, 16, NULL, &attr,
                             sizeof(attr), NULL) < 0);
        }
        guest_init(&guest);
        CHECK(guest_call(&guest, VUF_OP_GETATTR, node, (char[16]){0}, 16, NULL, &attr, sizeof(attr),
                         NULL) < 0);
        CHECK(guest_call(&guest, VUF_OP_READ, node, &in, sizeof(in), NULL, data, 100, NULL) < 0);
        CHECK(guest_call(&guest, VUF_OP_READDIR, ROOT_ID, &dir_in, sizeof(dir_in), NULL, data, 100,
                         NULL) < 0);
        if (i == 1)
            fds = daemon_fd_count(daemon);
    }
    daemon_expect_fds(daemon, fds);
    guest_check_alive(&guest);
}

/* DESTROY is answered, like any other request: Linux 7.2 looks for it. */
static void destroy_is_answered(struct daemon *daemon)
{
    struct guest guest;
    size_t len = 99;

    guest_start(&guest, daemon, NULL);
    CHECK_EQ(guest_call(&guest, VUF_OP_DESTROY, 0, NULL, 0, NULL, NULL, 0, &len), 0);
    CHECK_EQ(len, 0);
    CHECK_EQ(guest_call(&guest, VUF_OP_DESTROY, 0, NULL, 0, NULL, NULL, 0, &len), 0);
}

/* INIT and DESTROY on one queue, everything else at the same time on the others. */
static void start_over_in_a_crowd(struct daemon *daemon)
{
    struct guest_options options = {.rings = 6, .depth = 16, .ring_size = 64};
    struct guest guest;

    guest_start(&guest, daemon, &options);
    for (int round = 0; round < 200; round++) {
        unsigned out[6] = {0};

        for (unsigned ring = 2; ring < 6; ring++) {
            struct vuf_fuse_req *req;

            while ((req = vuf_fuse_get(&guest.fuse, ring))) {
                unsigned kind = out[ring]++ % 4;
                uint64_t node = kind == 3 ? 2 + (uint64_t)round : ROOT_ID;

                memset(vuf_fuse_args(req), 0, 64);
                if (kind == 0)
                    memcpy(vuf_fuse_args(req), "hello", 6);
                OK(vuf_fuse_submit(&guest.fuse, req,
                                   kind == 0   ? VUF_OP_LOOKUP
                                   : kind == 1 ? VUF_OP_OPENDIR
                                   : kind == 2 ? VUF_OP_STATFS
                                               : VUF_OP_GETATTR,
                                   node, kind == 0 ? 6 : 16, 128));
            }
            vuf_fuse_kick(&guest.fuse, ring);
        }
        if (round % 2)
            CHECK_EQ(vuf_fuse_destroy(&guest.fuse), 0);
        guest_init(&guest);
        for (unsigned ring = 2; ring < 6; ring++) {
            while (out[ring]--) {
                struct vuf_fuse_req *req;

                OK(vuf_fuse_wait(&guest.fuse, ring, DAEMON_PATIENCE_MS, &req));
                if (req->bad)
                    FAIL("%s", req->bad);
                vuf_fuse_put(&guest.fuse, req);
            }
        }
    }
    guest_init(&guest);
    for (unsigned ring = 1; ring < 6; ring++)
        guest_check_ring(&guest, ring);
}

static const char yes[] = "by DESTROY";

static const struct test_case cases[] = {
    {.name = "nothing-before-init", .run = nothing_before_init},
    {.name = "versions", .run = versions},
    {.name = "flags", .run = flags},
    {.name = "largest-request", .run = largest_request},
    {.name = "init-again", .run = start_over},
    {.name = "destroy-and-init", .run = start_over, .data = yes},
    {.name = "destroy-is-answered", .run = destroy_is_answered},
    {.name = "start-over-in-a-crowd", .run = start_over_in_a_crowd},
    {.name = "start-over-in-a-crowd-pool",
     .run = start_over_in_a_crowd,
     .words = "--thread-pool-size=8 --inode-file-handles=never"},
};

int main(int argc, char **argv)
{
    return case_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
