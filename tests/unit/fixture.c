// SPDX-License-Identifier: BSD-3-Clause
#include "fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "inode.h"
#include "scope.h"

static char share_path[] = "/tmp/viofsd-test-tables-XXXXXX";

int share_dir = -1;

bool share_make(void)
{
    return mkdtemp(share_path) && (share_dir = open(share_path, O_DIRECTORY | O_CLOEXEC)) >= 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void share_remove(void)
{
    close(share_dir);
    nftw(share_path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

bool fixture_start(struct fixture *fixture, enum file_handles_mode mode)
{
    *fixture = (struct fixture){.settings = {.cache = CACHE_AUTO, .file_handles = mode}};
    struct fuse_server_fds fds = {
        .share = open(share_path, O_PATH | O_DIRECTORY | O_CLOEXEC),
        .proc_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC),
        .mountinfo = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC),
    };
    return fuse_server_new(&fixture->settings, &fds, &fixture->server) == 0 &&
           fuse_thread_new(fixture->server, NULL, &fixture->thread) == 0;
}

void fixture_stop(struct fixture *fixture)
{
    fuse_thread_free(fixture->thread);
    fuse_server_free(fixture->server);
}

void fixture_enter(struct fixture *fixture)
{
    epoch_enter(fixture->server->epochs, fixture->thread->epoch);
}

void fixture_leave(struct fixture *fixture)
{
    struct fuse_thread *thread = fixture->thread;
    while (thread->temporary_count)
        close(thread->temporary[--thread->temporary_count]);
    epoch_leave(fixture->server->epochs, thread->epoch);
}

void share_file(const char *name, const char *content)
{
    autoclose int fd = openat(share_dir, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, content, strlen(content)) < 0)
        abort();
}

uint64_t fixture_look_up(struct fixture *fixture, const char *name, int *ret_error)
{
    struct inode *root, *inode;
    struct statx attributes;
    bool submount;
    uint64_t id = 0;
    fixture_enter(fixture);
    int error = inode_get(fixture->server->inodes, FUSE_ROOT_ID, &root);
    if (!error)
        error = inode_lookup(fixture->thread, root, name, &inode, &attributes, &submount);
    if (!error)
        id = inode_id(fixture->server->inodes, inode);
    fixture_leave(fixture);
    if (ret_error)
        *ret_error = error;
    return id;
}

void fixture_forget(struct fixture *fixture, uint64_t id, uint64_t count)
{
    fixture_enter(fixture);
    inode_forget(fixture->thread, id, count);
    fixture_leave(fixture);
}

uint64_t fixture_open(struct fixture *fixture, const char *name, int flags, uint64_t nodeid)
{
    uint64_t fh;
    int fd = openat(share_dir, name, flags | O_CLOEXEC);
    if (fd < 0 || inode_budget_take(fixture->server, &fixture->thread->purse) < 0 ||
        handle_new(fixture->thread, HANDLE_FILE, fd, (uint32_t)flags, nodeid, &fh) < 0)
        return 0;
    return fh;
}

unsigned open_descriptors(void)
{
    unsigned count = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (dir && readdir(dir))
        count++;
    closedir(dir);
    return count;
}
