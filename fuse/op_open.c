// SPDX-License-Identifier: BSD-3-Clause
/* OPEN, OPENDIR, and what becomes of what they opened: FLUSH, FSYNC, RELEASE. */
#include "op_open.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "cachepol.h"
#include "host_io.h"
#include "log.h"
#include "scope.h"
#include "server.h"
#include "setid.h"

/* What an open file of the guest may have on the host. */
#define OPEN_FLAGS_ALLOWED (O_ACCMODE | O_TRUNC | O_DSYNC | O_SYNC)

/*
 * O_APPEND is not among them: every WRITE says whether it appends (op_rw.c), so that a guest that
 * changes its mind with fcntl() gets what it asked for, and a write-back cache can put its pages
 * where they belong.
 */
int op_open_flags(const struct fuse_server *server, uint32_t wanted)
{
    const struct settings *settings = server->settings;
    int flags = (int)wanted & OPEN_FLAGS_ALLOWED;
    if (settings->allow_direct_io)
        flags |= (int)wanted & O_DIRECT;
    if (settings->preserve_noatime)
        flags |= (int)wanted & O_NOATIME;
    /* A write-back cache reads the rest of a page before it writes a part of it. */
    if (session_has(&server->session, FUSE_WRITEBACK_CACHE) && (flags & O_ACCMODE) == O_WRONLY)
        flags = (flags & ~O_ACCMODE) | O_RDWR;
    return flags;
}

/* Opening a file that is in the DAX window may cut it there. */
static int open_mapped(struct fuse_req *req, struct inode *inode, int flags, int *ret_fd)
{
    if (!(flags & O_TRUNC))
        return inode_open(req->thread, inode, flags, ret_fd);
    int error = dax_before_resize(req->thread, inode, 0);
    if (!error)
        error = inode_open(req->thread, inode, flags, ret_fd);
    int mapped = dax_after(req->thread, inode, error ? INT64_MAX : 0);
    return error ? error : mapped;
}

/* Opens with one descriptor of the budget, which then belongs to the handle. */
static int open_counted(struct fuse_req *req, struct inode *inode, enum handle_kind kind, int flags,
                        uint64_t *ret_fh)
{
    struct fuse_server *server = req->server;
    int error = inode_budget_take(server, &req->thread->purse);
    if (error)
        return error;
    autoclose int fd = -1;
    error = open_mapped(req, inode, flags, &fd);
    if (!error)
        error = handle_new(req->thread, kind, fd, (uint32_t)flags, inode_id(server->inodes, inode),
                           ret_fh);
    if (error)
        fd_budget_give(&server->budget, &req->thread->purse);
    else
        (void)steal_fd(&fd);
    return error;
}

/*
 * Whether a descriptor that the guest has closed may stay, for its next OPEN or its UNLINK of the
 * file (handle.h). Not where an open means more than a descriptor: on file systems that ask a
 * server then, for a daemon that might be refused by now, where flock(2) locks or O_DIRECT may be
 * left on it, and with DAX, where the window opens files for itself. With --cache=never the guest
 * wants the host to be asked each time.
 */
static bool may_be_idle(const struct fuse_req *req, const struct inode *inode)
{
    const struct fuse_server *server = req->server;
    return server->settings->cache != CACHE_NEVER && !server->settings->allow_direct_io &&
           !server->dax && !session_has(&server->session, FUSE_FLOCK_LOCKS) &&
           inode_closes_silently(server->inodes, inode) && host_cred_opens_all(&req->thread->cred);
}

int op_open_handle(struct fuse_req *req, struct inode *inode, uint32_t wanted, uint32_t open_flags,
                   uint64_t *ret_fh)
{
    if (S_ISDIR(inode->type))
        return -EISDIR;
    int flags = op_open_flags(req->server, wanted);
    if (flags == O_RDONLY &&
        handle_open_idle(req->thread, inode_id(req->server->inodes, inode), ret_fh) == 0)
        return 0;
    if (flags & O_TRUNC) {
        int fd;
        host_cred_own(&req->thread->cred); /* it changes the file: it may take a block */
        int error = inode_fd(req->thread, inode, &fd);
        if (!error)
            error = setid_prepare(req, inode, fd, open_flags & FUSE_OPEN_KILL_SUIDGID);
        if (error)
            return error;
    }
    int error = open_counted(req, inode, HANDLE_FILE, flags, ret_fh);
    /* A file that may only be appended to (chattr +a). A write-back cache would append its pages in
     * any order. */
    if (error == -EPERM && (wanted & O_APPEND) &&
        !session_has(&req->server->session, FUSE_WRITEBACK_CACHE))
        error = open_counted(req, inode, HANDLE_FILE, flags | O_APPEND, ret_fh);
    return error;
}

/* A handle that the guest cannot be told of would stay open for ever. */
static int reply_handle(struct fuse_req *req, enum handle_kind kind, uint64_t fh, uint32_t flags)
{
    struct fuse_open_out out = {.fh = fh, .open_flags = flags};
    int error = req_reply(req, out);
    if (error)
        handle_release(req->thread, kind, fh, req->header.nodeid);
    return error;
}

int op_open(struct fuse_req *req)
{
    const struct fuse_open_in *in = &req->args.open;
    const struct settings *settings = req->server->settings;
    if (settings->readonly && ((in->flags & O_ACCMODE) != O_RDONLY || (in->flags & O_TRUNC)))
        return -EROFS;
    /* Linux asks no more, and uses files as if they were open as handle 0 (opens.h). */
    if (session_has(&req->server->session, FUSE_NO_OPEN_SUPPORT))
        return -ENOSYS;
    uint64_t fh;
    int error = op_open_handle(req, req->inode, in->flags, in->open_flags, &fh);
    if (error)
        return error;
    uint32_t flags = op_fopen_flags(req, req->inode, in->flags);
    /* Otherwise Linux takes its page table entries of the file away at each open. */
    if (dax_is_mapped(req->thread, req->inode))
        flags |= FOPEN_KEEP_CACHE;
    return reply_handle(req, HANDLE_FILE, fh, flags);
}

/*
 * A close is of interest to the owner of a POSIX lock, to what was stored in the window, and to
 * a file system that may say only then that a write has failed. A write-back cache always flushes.
 */
uint32_t op_fopen_flags(struct fuse_req *req, struct inode *inode, uint32_t wanted)
{
    const struct fuse_server *server = req->server;
    bool writes = (wanted & O_ACCMODE) != O_RDONLY;
    bool close_matters = session_has(&server->session, FUSE_POSIX_LOCKS | FUSE_WRITEBACK_CACHE) ||
                         server->dax || (writes && !inode_closes_silently(server->inodes, inode));
    return cachepol_open_file(server->settings, close_matters);
}

int op_opendir(struct fuse_req *req)
{
    if (!S_ISDIR(req->inode->type))
        return -ENOTDIR;
    if (session_has(&req->server->session, FUSE_NO_OPENDIR_SUPPORT))
        return -ENOSYS;
    uint64_t fh;
    int error = open_counted(req, req->inode, HANDLE_DIR, O_RDONLY | O_DIRECTORY, &fh);
    if (error)
        return error;
    return reply_handle(req, HANDLE_DIR, fh, cachepol_open_dir(req->server->settings));
}

int op_release(struct fuse_req *req)
{
    /* Of a file that CREATE has made before the first OPEN. */
    if (opens_is_none(req, req->args.release.fh))
        return 0;
    struct inode *inode = NULL;
    if (inode_get(req->server->inodes, req->header.nodeid, &inode) == 0) {
        int error = dax_before(req->thread, inode, 0);
        if (error && error != -REQ_STOPPED)
            log_limited(LOG_LEVEL_WARN, "DAX: the end of a file cannot be written: %s",
                        strerrordesc_np(-error));
    }
    const struct fuse_release_in *in = &req->args.release;
    struct handle *handle;
    int error = handle_get(req->thread, HANDLE_FILE, in->fh, req->header.nodeid, &handle);
    if (error)
        return error;
    /* Other file systems may learn whose close it is. */
    if (!inode || !inode_ignores_ids(req->server->inodes, inode, false))
        host_cred_own(&req->thread->cred);
    locks_release(req->server->locks, handle, in->fh,
                  in->release_flags & FUSE_RELEASE_FLOCK_UNLOCK);
    if (!inode || !may_be_idle(req, inode))
        return handle_release(req->thread, HANDLE_FILE, in->fh, req->header.nodeid);
    bool is_new = __atomic_load_n(&handle->flags, __ATOMIC_RELAXED) & O_CREAT;
    if (is_new && !inode_has_fd(inode))
        return handle_release_late(req->thread, in->fh, req->header.nodeid);
    return handle_release_idle(req->thread, in->fh, req->header.nodeid);
}

int op_releasedir(struct fuse_req *req)
{
    return handle_release(req->thread, HANDLE_DIR, req->args.release.fh, req->header.nodeid);
}

/*
 * The guest closes one of its descriptors: the only moment when it looks at the result, and the end
 * of the process's record locks on the file.
 */
int op_flush(struct fuse_req *req)
{
    const struct fuse_flush_in *in = &req->args.flush;
    /* Without OPEN there is nothing to close: Linux asks no more. */
    if (opens_is_none(req, in->fh))
        return -ENOSYS;
    struct handle *handle;
    int error = handle_get(req->thread, HANDLE_FILE, in->fh, req->header.nodeid, &handle);
    if (!error)
        error = dax_before(req->thread, req->inode, 0);
    if (error != -REQ_STOPPED)
        locks_flush(req->server->locks, req->header.nodeid, in->fh, in->lock_owner);
    if (error || inode_closes_silently(req->server->inodes, req->inode))
        return error;
    return host_flush(handle->fd);
}

static int sync_handle(struct fuse_req *req, enum handle_kind kind)
{
    const struct fuse_fsync_in *in = &req->args.fsync;
    int fd;
    int error = opens_fd(req, kind, in->fh, &fd);
    if (error)
        return error;
    error = dax_before(req->thread, req->inode, 0);
    if (error)
        return error;
    error = req_step_out(req, (int *[]){&fd}, 1);
    return error ? error : host_sync(fd, in->fsync_flags & FUSE_FSYNC_FDATASYNC);
}

int op_fsync(struct fuse_req *req)
{
    return sync_handle(req, HANDLE_FILE);
}

int op_fsyncdir(struct fuse_req *req)
{
    return sync_handle(req, HANDLE_DIR);
}
