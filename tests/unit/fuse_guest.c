// SPDX-License-Identifier: BSD-3-Clause
#include "fuse_guest.h"

#include <dirent.h>
#include <err.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GUARD       32
#define GUARD_BYTE  0xa5
#define PIECES_MAX  6000
#define REQUEST_MAX (1u << 21)

static _Thread_local uint64_t last_unique;

unsigned guest_open_descriptors(void)
{
    unsigned count = 0;
    DIR *dir = opendir("/proc/self/fd");
    if (!dir)
        err(1, "/proc/self/fd");
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

void guest_prepare(struct guest *guest)
{
    *guest = (struct guest){
        .settings =
            {
                .listen_fd = -1,
                .cache = CACHE_AUTO,
                .file_handles = FILE_HANDLES_PREFER,
                .xattr = true,
                .readdirplus = true,
                .announce_submounts = true,
                .killpriv_v2 = FEATURE_ALWAYS,
                .request_queues = 1,
            },
        .minor = 38,
        .init_flags = FUSE_DO_READDIRPLUS | FUSE_HANDLE_KILLPRIV_V2 | FUSE_SUBMOUNTS |
                      FUSE_MAX_PAGES | FUSE_WRITEBACK_CACHE,
    };
    snprintf(guest->root, sizeof(guest->root), "/tmp/fuse-ops-XXXXXX");
    if (!mkdtemp(guest->root))
        err(1, "mkdtemp");
    chmod(guest->root, 0755);
    guest->body = malloc(GUEST_BODY_MAX);
}

static void init(struct guest *guest)
{
    struct fuse_init_in in = {
        .major = FUSE_ABI_MAJOR,
        .minor = guest->minor,
        .max_readahead = 1 << 17,
        .flags = (uint32_t)guest->init_flags,
        .flags2 = (uint32_t)(guest->init_flags >> 32),
    };
    if (in.flags2)
        in.flags |= FUSE_INIT_EXT;
    if (guest_do(guest, FUSE_INIT, 0, in) != 0)
        errx(1, "INIT failed");
}

void guest_start(struct guest *guest)
{
    guest->descriptors = guest_open_descriptors();
    struct fuse_server_fds fds = {
        .share = open(guest->root, O_PATH | O_DIRECTORY | O_CLOEXEC),
        .proc_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC),
        .mountinfo = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC),
        .all_ids = geteuid() == 0,
    };
    if (fuse_server_new(&guest->settings, &fds, &guest->server) < 0 ||
        fuse_thread_new(guest->server, &guest->hooks, &guest->thread) < 0)
        errx(1, "no server");
    fuse_server_set_mapper(guest->server, guest->mapper);
    init(guest);
}

static void remove_tree(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    while (dir && (entry = readdir(dir))) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (unlinkat(dirfd(dir), entry->d_name, 0) < 0) {
            char below[512];
            snprintf(below, sizeof(below), "%s/%s", path, entry->d_name);
            remove_tree(below);
        }
    }
    if (dir)
        closedir(dir);
    rmdir(path);
}

int guest_end(struct guest *guest)
{
    guest->uid = guest->gid = 0;
    if (guest_call(guest, FUSE_DESTROY, 0, NULL, 0, NULL, 0, 0) != 0)
        errx(1, "DESTROY failed");
    fuse_thread_free(guest->thread);
    fuse_server_free(guest->server);
    if (chdir("/") < 0)
        err(1, "/");
    int leaked = (int)guest_open_descriptors() - (int)guest->descriptors;
    remove_tree(guest->root);
    free(guest->body);
    return leaked;
}

const char *guest_path(const struct guest *guest, const char *name)
{
    static _Thread_local char paths[4][512];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof(paths[0]), "%s/%s", guest->root, name);
    return path;
}

/* Cuts memory into pieces: the first bytes finely, the rest coarsely. */
static unsigned scatter(uint8_t *bytes, size_t length, struct iovec *pieces)
{
    unsigned count = 0;
    size_t at = 0;
    while (at < length) {
        size_t part = at < 128 ? 1 + (at * 7 + length) % 13 : 1 + (at * 31 + length) % 389;
        if (part > length - at)
            part = length - at;
        if (count >= PIECES_MAX - 1)
            part = length - at;
        pieces[count++] = (struct iovec){bytes + at, part};
        at += part;
    }
    return count;
}

/* Checks the reply's form, and gives its error. */
static int take_reply(struct guest *guest, const uint8_t *memory, size_t room, size_t used,
                      uint32_t opcode)
{
    struct fuse_out_header header;
    memcpy(&header, memory, sizeof(header));
    if (used != header.len || used < sizeof(header) || used > room + sizeof(header))
        errx(1, "opcode %u: used length %zu, header says %u", opcode, used, header.len);
    if (header.unique != last_unique || header.error > 0 || header.error < -4095)
        errx(1, "opcode %u: bad header", opcode);
    if (header.error && used != sizeof(header))
        errx(1, "opcode %u: an error with a body", opcode);
    guest->length = used - sizeof(header);
    memcpy(guest->body, memory + sizeof(header), guest->length);
    return header.error;
}

int guest_send(struct guest *guest, struct fuse_in_header *header, const void *args,
               size_t args_length, const void *tail, size_t tail_length, size_t room)
{
    static _Thread_local uint8_t request[REQUEST_MAX];
    static _Thread_local uint8_t
        memory[GUARD + sizeof(struct fuse_out_header) + GUEST_BODY_MAX + GUARD];
    static _Thread_local struct iovec readable[PIECES_MAX];
    static _Thread_local struct iovec writable[PIECES_MAX];
    size_t length = sizeof(*header) + args_length + tail_length;
    header->unique = guest->unique = ++last_unique;
    memcpy(request, header, sizeof(*header));
    if (args_length)
        memcpy(request + sizeof(*header), args, args_length);
    if (tail_length)
        memcpy(request + sizeof(*header) + args_length, tail, tail_length);

    size_t whole = sizeof(struct fuse_out_header) + room;
    memset(memory, GUARD_BYTE, GUARD);
    memset(memory + GUARD + whole, GUARD_BYTE, GUARD);
    struct fuse_chain chain = {
        .readable = readable,
        .readable_count = scatter(request, length, readable),
        .writable = writable,
        .writable_count = scatter(memory + GUARD, whole, writable),
    };
    size_t used = fuse_server_run(guest->thread, &chain);
    fuse_thread_settle(guest->thread, !guest->busy);
    for (unsigned i = 0; i < GUARD; i++) {
        if (memory[i] != GUARD_BYTE || memory[GUARD + whole + i] != GUARD_BYTE)
            errx(1, "opcode %u: written outside the reply", header->opcode);
    }
    guest->length = 0;
    if (used == 0)
        return 0; /* no reply */
    if (used == FUSE_SERVER_DEFERRED)
        return GUEST_DEFERRED;
    if (used == FUSE_SERVER_RESTART)
        return GUEST_RESTART;
    return take_reply(guest, memory + GUARD, room, used, header->opcode);
}

int guest_call(struct guest *guest, uint32_t opcode, uint64_t nodeid, const void *args,
               size_t args_length, const void *tail, size_t tail_length, size_t room)
{
    struct fuse_in_header header = {
        .len = (uint32_t)(sizeof(header) + args_length + tail_length),
        .opcode = opcode,
        .nodeid = nodeid,
        .uid = guest->uid,
        .gid = guest->gid,
        .total_extlen = guest->extensions,
    };
    return guest_send(guest, &header, args, args_length, tail, tail_length, room);
}

uint64_t guest_lookup(struct guest *guest, const char *name)
{
    if (guest_name(guest, FUSE_LOOKUP, FUSE_ROOT_ID, name) != 0)
        return 0;
    return ((struct fuse_entry_out *)guest->body)->nodeid;
}

static int open_as(struct guest *guest, uint32_t opcode, uint64_t nodeid, uint32_t flags,
                   uint64_t *ret_fh)
{
    struct fuse_open_in in = {.flags = flags};
    int error = guest_do(guest, opcode, nodeid, in);
    if (!error)
        *ret_fh = ((struct fuse_open_out *)guest->body)->fh;
    return error;
}

int guest_open(struct guest *guest, uint64_t nodeid, uint32_t flags, uint64_t *ret_fh)
{
    return open_as(guest, FUSE_OPEN, nodeid, flags, ret_fh);
}

int guest_opendir(struct guest *guest, uint64_t nodeid, uint64_t *ret_fh)
{
    return open_as(guest, FUSE_OPENDIR, nodeid, O_RDONLY | O_DIRECTORY, ret_fh);
}

void guest_begin(struct guest *guest)
{
    guest_prepare(guest);
    guest_start(guest);
}

void guest_host_file(const struct guest *guest, const char *name, const char *content)
{
    int fd = open(guest_path(guest, name), O_CREAT | O_TRUNC | O_WRONLY, 0644);
    if (fd < 0 || write(fd, content, strlen(content)) != (ssize_t)strlen(content))
        abort();
    close(fd);
}

struct stat guest_host_stat(const struct guest *guest, const char *name)
{
    struct stat result = {0};
    lstat(guest_path(guest, name), &result);
    return result;
}

int guest_create(struct guest *guest, const char *name, uint32_t flags, uint32_t mode,
                 uint64_t *ret_node, uint64_t *ret_fh)
{
    struct fuse_create_in in = {.flags = flags, .mode = mode};
    int error = guest_ask(guest, FUSE_CREATE, FUSE_ROOT_ID, in, name);
    if (error)
        return error;
    *ret_node = ((struct fuse_entry_out *)guest->body)->nodeid;
    *ret_fh = ((struct fuse_open_out *)(guest->body + sizeof(struct fuse_entry_out)))->fh;
    return 0;
}

int guest_write(struct guest *guest, uint64_t node, uint64_t fh, uint64_t offset, const void *data,
                size_t length, uint32_t flags, uint32_t write_flags)
{
    struct fuse_write_in in = {
        .fh = fh,
        .offset = offset,
        .size = (uint32_t)length,
        .flags = flags,
        .write_flags = write_flags,
    };
    int error = guest_call(guest, FUSE_WRITE, node, &in, sizeof(in), data, length, 4096);
    return error ? error : (int)((struct fuse_write_out *)guest->body)->size;
}

int guest_read(struct guest *guest, uint64_t node, uint64_t fh, uint64_t offset, uint32_t size)
{
    struct fuse_read_in in = {.fh = fh, .offset = offset, .size = size};
    int error = guest_call(guest, FUSE_READ, node, &in, sizeof(in), NULL, 0,
                           size < GUEST_BODY_MAX ? size : GUEST_BODY_MAX);
    return error ? error : (int)guest->length;
}
