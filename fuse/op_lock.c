// SPDX-License-Identifier: BSD-3-Clause
/* GETLK, SETLK, SETLKW, INTERRUPT. What they do is in lock.h. */
#include <errno.h>
#include <fcntl.h>

#include "server.h"

static bool is_valid(const struct fuse_lk_in *in)
{
    const struct fuse_file_lock *lock = &in->lk;
    if (in->lk_flags & ~(uint32_t)FUSE_LK_FLOCK)
        return false;
    if (lock->type != F_RDLCK && lock->type != F_WRLCK && lock->type != F_UNLCK)
        return false;
    return lock->start <= lock->end && lock->end <= HOST_LOCK_END;
}

/* A guest that has not negotiated locks keeps them to itself, and does not ask. */
static int take(struct fuse_req *req, struct lock_request *ret_wanted, struct handle **ret_handle)
{
    const struct fuse_lk_in *in = &req->args.lk;
    bool flock = in->lk_flags & FUSE_LK_FLOCK;
    if (!session_has(&req->server->session, flock ? FUSE_FLOCK_LOCKS : FUSE_POSIX_LOCKS))
        return -ENOSYS;
    if (!is_valid(in))
        return -EINVAL;
    *ret_wanted = (struct lock_request){
        .nodeid = req->header.nodeid,
        .fh = in->fh,
        .owner = in->owner,
        .pid = in->lk.pid,
        .flock = flock,
        .lock = {(int64_t)in->lk.start, (int64_t)in->lk.end, (int)in->lk.type},
    };
    return handle_get(req->thread, HANDLE_FILE, in->fh, req->header.nodeid, ret_handle);
}

int op_getlk(struct fuse_req *req)
{
    struct lock_request wanted;
    struct handle *handle;
    int error = take(req, &wanted, &handle);
    if (!error && (wanted.flock || wanted.lock.type == F_UNLCK))
        error = -EINVAL;
    if (error)
        return error;
    struct host_lock found;
    uint32_t pid;
    error = locks_get(req->thread, handle, &wanted, &found, &pid);
    if (error)
        return error;
    struct fuse_lk_out out = {
        .lk.start = (uint64_t)found.start,
        .lk.end = (uint64_t)found.end,
        .lk.type = (uint32_t)found.type,
        .lk.pid = pid,
    };
    return req_reply(req, out);
}

int op_setlk(struct fuse_req *req)
{
    struct lock_request wanted;
    struct handle *handle;
    int error = take(req, &wanted, &handle);
    return error ? error : locks_set(req->thread, handle, &wanted);
}

int op_setlkw(struct fuse_req *req)
{
    struct lock_request wanted;
    struct handle *handle;
    int error = take(req, &wanted, &handle);
    return error ? error : locks_wait(req, handle, &wanted);
}

/* Waiting for a lock is the only thing that takes as long as somebody else likes. */
int op_interrupt(struct fuse_req *req)
{
    locks_interrupt(req->server->locks, req->args.interrupt.unique);
    return 0;
}
