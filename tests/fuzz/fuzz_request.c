// SPDX-License-Identifier: BSD-3-Clause
/*
 * FUSE requests into a real server over a scratch directory on a small tmpfs of its own.
 *
 * Input: records of {u8 opcode, u8 node, u8 handle, u8 room in units of 64 bytes, u8 size, size
 * bytes of arguments}. The arguments begin with a file handle where the record asks for one; node
 * and handle pick from what earlier replies gave.
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuse_abi.h"
#include "fuse_server.h"
#include "fuzz.h"

#define RECORDS_MAX 48
#define KNOWN_MAX   16
#define ROOM_MAX    (64 * 255)

static struct settings settings = {
    .listen_fd = -1,
    .cache = CACHE_AUTO,
    .file_handles = FILE_HANDLES_PREFER,
    .xattr = true,
    .readdirplus = true,
    .announce_submounts = true,
    .killpriv_v2 = FEATURE_ALWAYS,
    .request_queues = 1,
    .log_level = LOG_LEVEL_OFF,
    .dax_window = 16 * DAX_RANGE_SIZE,
};
static struct fuse_server *server;
static struct fuse_thread *thread;
static char scratch[] = "/tmp/viofsd-fuzz-XXXXXX";
static const char *root = "/mnt"; /* a mount point that is there; nothing outside sees ours */

/* Ids that replies have given, for later records. */
static uint64_t nodes[KNOWN_MAX], handles[KNOWN_MAX];
static unsigned node_count, handle_count;

/* A front-end that maps nothing in earnest, and refuses now and then. */
static int fake_map(void *owner, const struct dax_mapping *mapping)
{
    unsigned *calls = owner;
    if (mapping->length == 0 || mapping->window_offset > settings.dax_window - mapping->length)
        __builtin_trap();
    return ++*calls % 7 ? 0 : -EAGAIN;
}

static int fake_unmap(void *owner, uint64_t window_offset, uint64_t length)
{
    (void)owner;
    if (length == 0 || window_offset > settings.dax_window - length)
        __builtin_trap();
    return 0;
}

static void make_file(const char *name, const char *text)
{
    char path[64];

    snprintf(path, sizeof(path), "%s/%s", root, name);
    FILE *file = fopen(path, "w");
    if (!file || fputs(text, file) < 0 || fclose(file) != 0)
        err(1, "%s", path);
}

static void remove_scratch(void)
{
    rmdir(scratch);
}

/* The files that the seeds know. */
static void populate(void)
{
    char path[64];

    make_file("f", "hello, world\n");
    snprintf(path, sizeof(path), "%s/d", root);
    mkdir(path, 0755);
    make_file("d/f", "below\n");
    snprintf(path, sizeof(path), "%s/l", root);
    if (symlink("f", path) < 0)
        err(1, "%s", path);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct rlimit limit = {1 << 22, 1 << 22};
    unsigned flags = CLONE_NEWNS | (getuid() ? CLONE_NEWUSER : 0);

    (void)argc, (void)argv;
    log_init("fuzz", LOG_LEVEL_OFF, false);
    /* In a mount namespace: it goes away with us, whatever the inputs have made of it. */
    if (unshare((int)flags) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("fuzz", root, "tmpfs", 0, "size=8m,nr_inodes=2k") < 0) {
        warn("no tmpfs of our own");
        root = mkdtemp(scratch);
        if (!root)
            err(1, "%s", scratch);
        atexit(remove_scratch);
        setrlimit(RLIMIT_FSIZE, &limit);
    }
    populate();
    struct fuse_server_fds fds = {
        .share = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC),
        .proc_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC),
        .mountinfo = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC),
        .all_ids = geteuid() == 0,
    };
    if (fuse_server_new(&settings, &fds, &server) < 0 || fuse_thread_new(server, NULL, &thread) < 0)
        errx(1, "no server");
    static unsigned calls;
    struct dax_mapper mapper = {&calls, settings.dax_window, true, fake_map, fake_unmap};
    fuse_server_set_mapper(server, &mapper);
    return 0;
}

/*
 * Runs one message; the reply is left in REPLY (ROOM bytes). The rules of a reply are checked:
 * used length, header, error.
 */
static size_t run(const void *message, size_t size, char *reply, size_t room)
{
    /* Exact copies, so that a byte too far is seen; cut in two, as guests do. */
    char *in = malloc(size), *out = malloc(room ? room : 1);
    struct fuse_out_header header;

    if (!in || !out)
        err(1, "malloc");
    memcpy(in, message, size);
    size_t cut = size < 40 ? size : 40, out_cut = room < 16 ? room : 16;
    struct iovec readable[2] = {{in, cut}, {in + cut, size - cut}};
    struct iovec writable[2] = {{out, out_cut}, {out + out_cut, room - out_cut}};
    struct fuse_chain chain = {
        .readable = readable,
        .readable_count = size > cut ? 2 : 1,
        .writable = writable,
        .writable_count = room > out_cut ? 2 : !!room,
    };
    size_t used = fuse_server_run(thread, &chain);
    fuse_thread_settle(thread, true);

    if (used > room || (used && used < sizeof(header)))
        __builtin_trap();
    if (used) {
        memcpy(&header, out, sizeof(header));
        if (header.len != used || header.error > 0 || header.error < -4095 ||
            (header.error && used != sizeof(header)))
            __builtin_trap();
        memcpy(reply, out, used);
    }
    free(in);
    free(out);
    return used;
}

static void learn(uint32_t opcode, const char *reply, size_t used)
{
    struct fuse_entry_out entry;
    struct fuse_open_out open;
    const char *body = reply + sizeof(struct fuse_out_header);
    size_t size = used > sizeof(struct fuse_out_header) ? used - sizeof(struct fuse_out_header) : 0;

    if (size == sizeof(entry) || (opcode == FUSE_CREATE && size > sizeof(entry))) {
        memcpy(&entry, body, sizeof(entry));
        nodes[node_count++ % KNOWN_MAX] = entry.nodeid;
        body += sizeof(entry);
        size -= sizeof(entry);
    }
    if (size == sizeof(open) &&
        (opcode == FUSE_CREATE || opcode == FUSE_OPEN || opcode == FUSE_OPENDIR)) {
        memcpy(&open, body, sizeof(open));
        handles[handle_count++ % KNOWN_MAX] = open.fh;
    }
}

static void run_record(struct fuzz_input *input)
{
    static char reply[ROOM_MAX];
    struct {
        uint8_t opcode, node, handle, room, size;
    } record;
    struct {
        struct fuse_in_header header;
        uint8_t args[256];
    } message = {0};

    fuzz_take(input, &record, sizeof(record));
    fuzz_take(input, message.args, record.size);
    message.header = (struct fuse_in_header){
        .len = (uint32_t)(sizeof(message.header) + record.size),
        .opcode = record.opcode,
        .unique = 1,
        .nodeid = record.node < KNOWN_MAX ? nodes[record.node] : record.node,
        .pid = 1,
    };
    if (record.handle < KNOWN_MAX)
        memcpy(message.args, &handles[record.handle], sizeof(handles[0]));
    size_t used = run(&message, message.header.len, reply, record.room * 64u);
    learn(record.opcode, reply, used);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    char reply[128];
    struct {
        struct fuse_in_header header;
        struct fuse_init_in in;
    } init = {
        {.len = sizeof(init), .opcode = FUSE_INIT, .unique = 1},
        {.major = 7,
         .minor = 38,
         .flags = FUSE_DO_READDIRPLUS | FUSE_MAX_PAGES | FUSE_SUBMOUNTS | FUSE_MAP_ALIGNMENT},
    };

    node_count = handle_count = 0;
    memset(handles, 0, sizeof(handles));
    for (unsigned i = 0; i < KNOWN_MAX; i++)
        nodes[i] = FUSE_ROOT_ID;
    run(&init, sizeof(init), reply, sizeof(reply));
    for (int i = 0; input.left && i < RECORDS_MAX; i++)
        run_record(&input);
    fuse_server_reset(server);
    return 0;
}
