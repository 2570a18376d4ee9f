// SPDX-License-Identifier: BSD-3-Clause
#include "slow.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

static const char content[] = "what is in it\n";

static FILE *to_slow, *from_slow;
static char slow_dir[PATH_MAX];
static uint64_t slow_node; /* in the guest */

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");

    if (!file || fputs(text, file) < 0 || fclose(file) != 0)
        FAIL("%s: %m", path);
}

/* A process with pipes for standard input and output; it ends when we do. */
static void spawn(const char *program, const char *dir)
{
    int in[2], out[2];

    if (!program)
        FAIL("SLOWFS must name the slow file system");
    CHECK(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        execl(program, program, dir, NULL);
        fprintf(stderr, "%s: %m\n", program);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    to_slow = fdopen(in[1], "w");
    from_slow = fdopen(out[0], "r");
    CHECK(to_slow && from_slow);
}

void slow_mount(const struct daemon *daemon)
{
    char path[PATH_MAX + 16], line[100];

    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("tmpfs", daemon->share, "tmpfs", 0, "mode=0755") < 0)
        FAIL("a share of the case's own: %m");
    snprintf(path, sizeof(path), "%s/hello", daemon->share);
    write_file(path, "hello, world\n");
    snprintf(path, sizeof(path), "%s/fast", daemon->share);
    CHECK(mkdir(path, 0755) == 0);
    snprintf(slow_dir, sizeof(slow_dir), "%s/slow", daemon->share);
    CHECK(mkdir(slow_dir, 0755) == 0);
    spawn(getenv("SLOWFS"), slow_dir);
    if (!fgets(line, sizeof(line), from_slow) || strcmp(line, "ready\n") != 0)
        FAIL("the slow file system is not mounted");
    slow_node = 0;
}

unsigned long slow_tell(const char *format, ...)
{
    unsigned long number = 0;
    char line[100] = "";
    va_list list;

    va_start(list, format);
    vfprintf(to_slow, format, list);
    va_end(list);
    fputc('\n', to_slow);
    fflush(to_slow);
    if (!fgets(line, sizeof(line), from_slow) || sscanf(line, "ok %lu", &number) != 1)
        FAIL("slowfs: %s: %s", format, line);
    return number;
}

unsigned long slow_await(unsigned long count, int milliseconds)
{
    unsigned long held = slow_tell("held");

    for (long long end = now_ms() + milliseconds; held < count && now_ms() < end;) {
        sleep_ms(1);
        held = slow_tell("held");
    }
    return held;
}

/* What is not told by arguments: see fill(). */
#define IN(type, ...) &(const struct type){__VA_ARGS__}, sizeof(struct type)
#define NO_IN         NULL, 0
#define NAME(text)    text, sizeof(text)
#define NO_NAME       NULL, 0
#define ENTRY         sizeof(struct vuf_entry_out), sizeof(struct vuf_entry_out)
#define ATTR          sizeof(struct vuf_attr_out), sizeof(struct vuf_attr_out)
#define OPENED        sizeof(struct vuf_open_out), sizeof(struct vuf_open_out)
#define WRITTEN       sizeof(struct vuf_write_out), sizeof(struct vuf_write_out)
#define DATA(least)   4096, least
#define EMPTY         0, 0

const struct slow_kind slow_kinds[] = {
    {"LOOKUP", "lookup", "/file", VUF_OP_LOOKUP, SLOW_DIR, SLOW_NOTHING, NO_IN, NAME("file"),
     ENTRY},
    {"GETATTR", "getattr", "/file", VUF_OP_GETATTR, SLOW_FILE, SLOW_NOTHING,
     IN(vuf_getattr_in, .flags = 0), NO_NAME, ATTR},
    {"SETATTR", "setattr", "/file", VUF_OP_SETATTR, SLOW_FILE, SLOW_NOTHING,
     IN(vuf_setattr_in, .valid = VUF_SETATTR_MODE, .mode = 0100600), NO_NAME, ATTR},
    {"truncate", "setattr", "/file", VUF_OP_SETATTR, SLOW_FILE, SLOW_NOTHING,
     IN(vuf_setattr_in, .valid = VUF_SETATTR_SIZE, .size = 3), NO_NAME, ATTR},
    {"READLINK", "readlink", "/link", VUF_OP_READLINK, SLOW_LINK, SLOW_NOTHING, NO_IN, NO_NAME,
     DATA(4)},
    {"SYMLINK", "symlink", "/new", VUF_OP_SYMLINK, SLOW_DIR, SLOW_NOTHING, NO_IN,
     NAME("new\0target"), ENTRY},
    {"MKNOD", "mknod", "/new", VUF_OP_MKNOD, SLOW_DIR, SLOW_NOTHING,
     IN(vuf_mknod_in, .mode = 0010644), NAME("new"), ENTRY},
    {"MKDIR", "mkdir", "/new", VUF_OP_MKDIR, SLOW_DIR, SLOW_NOTHING, IN(vuf_mkdir_in, .mode = 0755),
     NAME("new"), ENTRY},
    {"UNLINK", "unlink", "/file", VUF_OP_UNLINK, SLOW_DIR, SLOW_NOTHING, NO_IN, NAME("file"),
     EMPTY},
    {"RMDIR", "rmdir", "/sub", VUF_OP_RMDIR, SLOW_DIR, SLOW_NOTHING, NO_IN, NAME("sub"), EMPTY},
    {"RENAME", "rename", "/file", VUF_OP_RENAME, SLOW_DIR, SLOW_DIR_NODE,
     IN(vuf_rename_in, .newdir = 0), NAME("file\0new"), EMPTY},
    {"RENAME2", "rename", "/file", VUF_OP_RENAME2, SLOW_DIR, SLOW_DIR_NODE,
     IN(vuf_rename2_in, .flags = 1), NAME("file\0new"), EMPTY},
    {"LINK", "link", "/file", VUF_OP_LINK, SLOW_DIR, SLOW_FILE_NODE,
     IN(vuf_link_in, .oldnodeid = 0), NAME("new"), ENTRY},
    {"OPEN", "open", "/file", VUF_OP_OPEN, SLOW_FILE, SLOW_NOTHING,
     IN(vuf_open_in, .flags = O_RDWR), NO_NAME, OPENED},
    {"READ", "read", "/file", VUF_OP_READ, SLOW_FILE, SLOW_FH, IN(vuf_read_in, .size = 4096),
     NO_NAME, DATA(sizeof(content) - 1)},
    {"WRITE", "write", "/file", VUF_OP_WRITE, SLOW_FILE, SLOW_FH, IN(vuf_write_in, .size = 5),
     NAME("data"), WRITTEN},
    {"STATFS", "statfs", "", VUF_OP_STATFS, SLOW_DIR, SLOW_NOTHING, NO_IN, NO_NAME,
     sizeof(struct vuf_statfs_out), sizeof(struct vuf_statfs_out)},
    {"RELEASE", "flush", "/file", VUF_OP_RELEASE, SLOW_FILE, SLOW_FH,
     IN(vuf_release_in, .flags = O_RDWR), NO_NAME, EMPTY},
    {"FSYNC", "fsync", "/file", VUF_OP_FSYNC, SLOW_FILE, SLOW_FH,
     IN(vuf_fsync_in, .fsync_flags = 0), NO_NAME, EMPTY},
    {"SETXATTR", "setxattr", "/file", VUF_OP_SETXATTR, SLOW_FILE, SLOW_NOTHING,
     &(const struct vuf_setxattr_in){.size = 2}, 8, NAME("user.new\0v"), EMPTY},
    {"GETXATTR", "getxattr", "/file", VUF_OP_GETXATTR, SLOW_FILE, SLOW_NOTHING,
     IN(vuf_getxattr_in, .size = 100), NAME("user.old"), 100, 5},
    {"LISTXATTR", "listxattr", "/file", VUF_OP_LISTXATTR, SLOW_FILE, SLOW_NOTHING,
     IN(vuf_getxattr_in, .size = 100), NO_NAME, 100, sizeof("user.old")},
    {"REMOVEXATTR", "removexattr", "/file", VUF_OP_REMOVEXATTR, SLOW_FILE, SLOW_NOTHING, NO_IN,
     NAME("user.old"), EMPTY},
    {"FLUSH", "flush", "/file", VUF_OP_FLUSH, SLOW_FILE, SLOW_FH, IN(vuf_flush_in, .unused = 0),
     NO_NAME, EMPTY},
    {"OPENDIR", "opendir", "", VUF_OP_OPENDIR, SLOW_DIR, SLOW_NOTHING, IN(vuf_open_in, .flags = 0),
     NO_NAME, OPENED},
    {"READDIR", "readdir", "", VUF_OP_READDIR, SLOW_DIR, SLOW_DIR_FH, IN(vuf_read_in, .size = 4096),
     NO_NAME, DATA(5 * 24)},
    {"READDIRPLUS", "readdir", "", VUF_OP_READDIRPLUS, SLOW_DIR, SLOW_DIR_FH,
     IN(vuf_read_in, .size = 4096), NO_NAME, DATA(5 * 152)},
    {"FSYNCDIR", "fsyncdir", "", VUF_OP_FSYNCDIR, SLOW_DIR, SLOW_DIR_FH,
     IN(vuf_fsync_in, .fsync_flags = 0), NO_NAME, EMPTY},
    {"ACCESS", "getattr", "/file", VUF_OP_ACCESS, SLOW_FILE, SLOW_NOTHING,
     IN(vuf_access_in, .mask = 4), NO_NAME, EMPTY},
    {"CREATE", "create", "/new", VUF_OP_CREATE, SLOW_DIR, SLOW_NOTHING,
     IN(vuf_create_in, .flags = O_RDWR, .mode = 0100644), NAME("new"),
     sizeof(struct vuf_create_out), sizeof(struct vuf_create_out)},
    {"FALLOCATE", "fallocate", "/file", VUF_OP_FALLOCATE, SLOW_FILE, SLOW_FH,
     IN(vuf_fallocate_in, .length = 1000), NO_NAME, EMPTY},
    {"LSEEK", "lseek", "/file", VUF_OP_LSEEK, SLOW_FILE, SLOW_FH,
     IN(vuf_lseek_in, .whence = SEEK_DATA), NO_NAME, sizeof(struct vuf_lseek_out),
     sizeof(struct vuf_lseek_out)},
};
const size_t slow_kind_count = sizeof(slow_kinds) / sizeof(slow_kinds[0]);

const struct slow_kind *slow_kind_of(uint32_t opcode)
{
    for (size_t i = 0; i < slow_kind_count; i++)
        if (slow_kinds[i].opcode == opcode)
            return &slow_kinds[i];
    FAIL("no kind for opcode %u", opcode);
}

static void make_on_host(unsigned number)
{
    char dir[PATH_MAX + 16], path[PATH_MAX + 32];

    snprintf(dir, sizeof(dir), "%s/t%u", slow_dir, number);
    CHECK(mkdir(dir, 0755) == 0);
    snprintf(path, sizeof(path), "%s/sub", dir);
    CHECK(mkdir(path, 0755) == 0);
    snprintf(path, sizeof(path), "%s/link", dir);
    CHECK(symlink("file", path) == 0);
    snprintf(path, sizeof(path), "%s/file", dir);
    write_file(path, content);
    CHECK(setxattr(path, "user.old", "value", 5, 0) == 0);
}

void slow_target(struct guest *guest, unsigned number, struct slow_target *ret_target)
{
    char name[16];

    make_on_host(number);
    if (!slow_node)
        slow_node = guest_lookup(guest, ROOT_ID, "slow");
    snprintf(name, sizeof(name), "t%u", number);
    ret_target->number = number;
    ret_target->dir = guest_lookup(guest, slow_node, name);
    ret_target->file = guest_lookup(guest, ret_target->dir, "file");
    ret_target->link = guest_lookup(guest, ret_target->dir, "link");
    ret_target->fh = guest_open(guest, ret_target->file, O_RDWR);
    ret_target->dir_fh = guest_opendir(guest, ret_target->dir);
}

static size_t fill(const struct slow_kind *kind, const struct slow_target *target, char *ret_args)
{
    const uint64_t firsts[] = {
        [SLOW_FH] = target->fh,
        [SLOW_DIR_FH] = target->dir_fh,
        [SLOW_FILE_NODE] = target->file,
        [SLOW_DIR_NODE] = target->dir,
    };

    if (kind->args_size)
        memcpy(ret_args, kind->args, kind->args_size);
    if (kind->first != SLOW_NOTHING)
        memcpy(ret_args, &firsts[kind->first], sizeof(firsts[0]));
    if (kind->words_size)
        memcpy(ret_args + kind->args_size, kind->words, kind->words_size);
    return kind->args_size + kind->words_size;
}

void slow_send(struct guest *guest, const struct slow_kind *kind, const struct slow_target *target,
               void *user)
{
    const uint64_t nodes[] = {
        [SLOW_DIR] = target->dir, [SLOW_FILE] = target->file, [SLOW_LINK] = target->link};
    struct vuf_fuse_req *req = vuf_fuse_get(&guest->fuse, 1);

    CHECK(req);
    size_t length = fill(kind, target, vuf_fuse_args(req));
    req->user = user;
    OK(vuf_fuse_submit(&guest->fuse, req, kind->opcode, nodes[kind->object], length,
                       (ssize_t)kind->room));
}
