// SPDX-License-Identifier: BSD-3-Clause
/*
 * A guest with two request queues that keeps to what it is told, for test_cache_lines.
 *
 *     two-queues SOCKET
 *
 * Each queue has a folder "q1" or "q2" of its own, with files "file" and "cold0" and on in it.
 * Reads lines "RING KIND COUNT" from standard input: that many operations of a kind, one after the
 * other, by that queue alone; "ok" on standard output when they are answered. Ends with its input,
 * or with status 1 when an answer is wrong.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "vufront.h"

#define QUEUES     2
#define BLOCK      4096u
#define COLD_FILES 20
#define REPLY_MAX  16384u
#define TIMEOUT_MS 60000 /* the daemon is watched step by step */

struct side {
    unsigned ring;
    uint64_t dir, file;
    uint64_t dir_fh, file_fh;
    unsigned long made;
};

static struct vuf_dev dev;
static struct vuf_fuse fuse;
static struct side sides[QUEUES + 1];
static char reply[REPLY_MAX];

static void need(int rc, const char *what)
{
    if (rc >= 0)
        return;
    fprintf(stderr, "two-queues: %s: %s\n", what, strerror(-rc));
    exit(1);
}

/* Must succeed. */
static void call(const struct side *side, uint32_t opcode, uint64_t node, const void *args,
                 size_t size, const char *name, size_t out_size)
{
    static char block[BLOCK];
    struct vuf_buf in[3] = {{args, size}, {name, name ? strlen(name) + 1 : 0}, {block, 0}};
    size_t length;
    int error = 0;

    if (opcode == VUF_OP_WRITE)
        in[2].len = sizeof(block);
    need(vuf_fuse_call(&fuse, side->ring, opcode, node, in, 3, reply, out_size, &length, &error),
         "a request");
    if (error) {
        fprintf(stderr, "two-queues: opcode %u: %s\n", opcode, strerror(-error));
        exit(1);
    }
}

static uint64_t lookup(const struct side *side, uint64_t parent, const char *name)
{
    struct vuf_entry_out entry;

    call(side, VUF_OP_LOOKUP, parent, NULL, 0, name, sizeof(entry));
    memcpy(&entry, reply, sizeof(entry));
    return entry.nodeid;
}

static uint64_t open_node(const struct side *side, uint32_t opcode, uint64_t node, uint32_t flags)
{
    struct vuf_open_in in = {.flags = flags};
    struct vuf_open_out out;

    call(side, opcode, node, &in, sizeof(in), NULL, sizeof(out));
    memcpy(&out, reply, sizeof(out));
    return out.fh;
}

static void release(const struct side *side, uint64_t node, uint64_t fh)
{
    struct vuf_release_in in = {.fh = fh};

    call(side, VUF_OP_RELEASE, node, &in, sizeof(in), NULL, 0);
}

static void do_getattr(struct side *side)
{
    struct vuf_getattr_in in = {0};

    call(side, VUF_OP_GETATTR, side->file, &in, sizeof(in), NULL, sizeof(struct vuf_attr_out));
}

static void do_lookup(struct side *side)
{
    lookup(side, side->dir, "file");
}

/* Of files that the guest has no other use for. */
static void do_find(struct side *side)
{
    char name[32];

    snprintf(name, sizeof(name), "cold%lu", side->made++ % COLD_FILES);
    lookup(side, side->dir, name);
}

static void do_same(struct side *side)
{
    lookup(side, VUF_ROOT_ID, "q1");
}

static void do_read(struct side *side)
{
    struct vuf_read_in in = {.fh = side->file_fh, .size = BLOCK};

    call(side, VUF_OP_READ, side->file, &in, sizeof(in), NULL, BLOCK);
}

static void do_write(struct side *side)
{
    struct vuf_write_in in = {.fh = side->file_fh, .size = BLOCK};

    call(side, VUF_OP_WRITE, side->file, &in, sizeof(in), NULL, sizeof(struct vuf_write_out));
}

static void do_statfs(struct side *side)
{
    call(side, VUF_OP_STATFS, side->dir, NULL, 0, NULL, sizeof(struct vuf_statfs_out));
}

static void do_readdirplus(struct side *side)
{
    struct vuf_read_in in = {.fh = side->dir_fh, .size = 4096};

    call(side, VUF_OP_READDIRPLUS, side->dir, &in, sizeof(in), NULL, 4096);
}

static void do_setattr(struct side *side)
{
    struct vuf_setattr_in in = {.valid = VUF_SETATTR_MODE, .mode = 0100600};

    call(side, VUF_OP_SETATTR, side->file, &in, sizeof(in), NULL, sizeof(struct vuf_attr_out));
}

static void do_open(struct side *side)
{
    release(side, side->file, open_node(side, VUF_OP_OPEN, side->file, 2 /* O_RDWR */));
}

static void do_create(struct side *side)
{
    struct vuf_create_in in = {.flags = 2, .mode = 0100644};
    struct vuf_create_out out;
    char name[32];

    snprintf(name, sizeof(name), "new%lu", side->made++);
    call(side, VUF_OP_CREATE, side->dir, &in, sizeof(in), name, sizeof(out));
    memcpy(&out, reply, sizeof(out));
    release(side, out.entry.nodeid, out.open.fh);
    call(side, VUF_OP_UNLINK, side->dir, NULL, 0, name, 0);
}

static const struct {
    const char *name;
    void (*run)(struct side *side);
} kinds[] = {
    {"getattr", do_getattr}, {"lookup", do_lookup},
    {"read", do_read},       {"write", do_write},
    {"statfs", do_statfs},   {"setattr", do_setattr},
    {"open", do_open},       {"readdirplus", do_readdirplus},
    {"create", do_create},   {"find", do_find},
    {"same", do_same},
};

static void start(const char *path)
{
    struct vuf_dev_options options = {.timeout_ms = TIMEOUT_MS};
    struct vuf_fuse_options pool = {.depth = 4, .hiprio_depth = 4, .data = REPLY_MAX};
    struct vuf_dev_layout layout = {.n_rings = QUEUES + 1, .ring_size = 64};

    layout.extra = vuf_fuse_mem_size(layout.n_rings, &pool) + 8192;
    need(vuf_dev_open(&dev, path, &options), path);
    need(vuf_dev_create_rings(&dev, &layout), "rings");
    need(vuf_fuse_open(&fuse, &dev, &pool), "requests");
    need(vuf_dev_start(&dev), "start");
    need(vuf_fuse_init(&fuse, 38, VUF_INIT_DO_READDIRPLUS | VUF_INIT_INIT_EXT), "INIT");
    for (unsigned i = 1; i <= QUEUES; i++) {
        char name[8];

        sides[i].ring = i;
        snprintf(name, sizeof(name), "q%u", i);
        sides[i].dir = lookup(&sides[i], VUF_ROOT_ID, name);
        sides[i].file = lookup(&sides[i], sides[i].dir, "file");
        sides[i].dir_fh = open_node(&sides[i], VUF_OP_OPENDIR, sides[i].dir, 0);
        sides[i].file_fh = open_node(&sides[i], VUF_OP_OPEN, sides[i].file, 2);
    }
}

int main(int argc, char **argv)
{
    char line[100], name[20];
    unsigned ring, count;

    if (argc != 2)
        return 2;
    start(argv[1]);
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof(line), stdin)) {
        if (sscanf(line, "%u %19s %u", &ring, name, &count) != 3 || ring < 1 || ring > QUEUES)
            return 2;
        for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++)
            for (unsigned i = 0; i < count && strcmp(kinds[k].name, name) == 0; i++)
                kinds[k].run(&sides[ring]);
        puts("ok");
        fflush(stdout);
    }
    vuf_dev_stop(&dev);
    return 0;
}
