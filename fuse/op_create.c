// SPDX-License-Identifier: BSD-3-Clause
/*
 * MKNOD, MKDIR, SYMLINK, LINK, CREATE, TMPFILE. What is made belongs to the user of the guest who
 * made it: the thread has that user's ids for the length of the one call that creates.
 */
#include <errno.h>
#include <fcntl.h>

#include "host_dir.h"
#include "host_path.h"
#include "labels.h"
#include "op_lookup.h"
#include "op_open.h"
#include "scope.h"
#include "server.h"
#include "wire_attr.h"

/*
 * With DONT_MASK the guest leaves the umask to the host's kernel, which knows whether the directory
 * has a default ACL to take its place.
 */
static int take_umask(struct fuse_req *req, uint32_t umask)
{
    bool ours = session_has(&req->server->session, FUSE_DONT_MASK);
    return host_cred_umask(&req->thread->cred, ours ? umask & 0777 : 0);
}

/*
 * Takes the requesting user's ids and umask to create something of this mode. An ordinary user who
 * makes a setgid file in a directory of a group that is not theirs loses the bit, which the host
 * sees to when CAP_FSETID is away; without the bit there is nothing to lose.
 */
static int become_requester(struct fuse_req *req, mode_t mode, uint32_t umask)
{
    struct host_cred *cred = &req->thread->cred;
    const struct fuse_in_header *header = &req->header;
    int error = take_umask(req, umask);
    if (!error && (mode & S_ISGID))
        error = host_cred_fsetid(cred, header->uid == 0);
    return error ? error : host_cred_assume(cred, header->uid, header->gid);
}

static void become_server(struct fuse_req *req)
{
    host_cred_restore(&req->thread->cred, req->header.uid, req->header.gid);
}

/* What follows the names of a request that makes a file; nothing is made yet. */
static int take_extensions(struct fuse_req *req, struct wire_ext *ret_ext)
{
    int error = req_extensions(req, ret_ext);
    return error ? error : labels_check(req, ret_ext);
}

int op_mknod(struct fuse_req *req)
{
    const struct fuse_mknod_in *in = &req->args.mknod;
    const char *name;
    struct wire_ext ext;
    int dirfd;
    int error = op_name_in_parent(req, &name, &dirfd);
    if (!error)
        error = take_extensions(req, &ext);
    if (error)
        return error;
    mode_t mode = in->mode & (S_IFMT | 07777);
    error = become_requester(req, mode, in->umask);
    if (error)
        return error;
    error = host_mknod(dirfd, name, mode, in->rdev);
    become_server(req);
    if (!error)
        error = labels_set_name(req, dirfd, name, mode & S_IFMT ? mode : mode | S_IFREG, &ext);
    return error ? error : op_reply_entry(req, name);
}

int op_mkdir(struct fuse_req *req)
{
    const struct fuse_mkdir_in *in = &req->args.mkdir;
    const char *name;
    struct wire_ext ext;
    int dirfd;
    int error = op_name_in_parent(req, &name, &dirfd);
    if (!error)
        error = take_extensions(req, &ext);
    if (error)
        return error;
    mode_t mode = in->mode & 01777;
    error = become_requester(req, mode, in->umask);
    if (error)
        return error;
    error = host_mkdir(dirfd, name, mode);
    become_server(req);
    if (!error)
        error = labels_set_name(req, dirfd, name, S_IFDIR, &ext);
    return error ? error : op_reply_entry(req, name);
}

int op_symlink(struct fuse_req *req)
{
    const char *name;
    const char *target;
    struct wire_ext ext;
    int dirfd;
    int error = op_name_in_parent(req, &name, &dirfd);
    if (!error)
        error = req_string(req, &target);
    if (!error)
        error = take_extensions(req, &ext);
    if (!error)
        error = become_requester(req, 0, 0);
    if (error)
        return error;
    error = host_symlink(dirfd, name, target);
    become_server(req);
    if (!error)
        error = labels_set_name(req, dirfd, name, S_IFLNK, &ext);
    return error ? error : op_reply_entry(req, name);
}

int op_link(struct fuse_req *req)
{
    const char *name;
    struct inode *old;
    int fd;
    int dirfd;
    int error = op_name_in_parent(req, &name, &dirfd);
    if (!error)
        error = inode_get(req->server->inodes, req->args.link.oldnodeid, &old);
    if (!error)
        error = inode_fd(req->thread, old, &fd);
    if (!error)
        error = host_link(fd, dirfd, name);
    if (error)
        return error;
    inode_let_go(req->thread, old); /* it may have been a TMPFILE, which has a name now */
    return op_reply_entry(req, name);
}

/* What CREATE or TMPFILE has got hold of on its way to the reply. */
struct creation {
    const char *name; /* NULL: a file without one */
    struct wire_ext ext;
    bool nameless; /* it was made without a name, and has to get one */
    int fd;        /* the new file, counted in the budget; -1: there was one before us */
    struct inode *inode;
    struct statx attributes;
    bool submount;
    uint64_t fh;
};

/*
 * A file with labels gets its name when it has them, so that nobody sees it without. Where the file
 * system has no nameless files it is made as the others are, and goes again if it cannot be
 * labelled.
 */
static int make_file(struct fuse_req *req, int dirfd, int flags, mode_t mode,
                     struct creation *creation)
{
    const struct fuse_create_in *in = &req->args.create;
    if (!creation->name)
        return host_create_nameless(dirfd, flags | (int)(in->flags & O_EXCL), mode, &creation->fd);
    if (creation->ext.secctx_count) {
        int error = host_create_nameless(dirfd, (flags & ~O_ACCMODE) | O_RDWR, mode, &creation->fd);
        creation->nameless = !error;
        if (error != -EOPNOTSUPP)
            return error;
    }
    return host_create(dirfd, creation->name, flags, mode, &creation->fd);
}

/* Gives what make_file() made its labels, its name if it has to get one, and the flags asked for.
 */
static int finish_file(struct fuse_req *req, int dirfd, int flags, struct creation *creation)
{
    int error = labels_set(req, creation->fd, S_IFREG, &creation->ext);
    if (!creation->nameless) {
        if (error && creation->name)
            host_unlink(dirfd, creation->name);
        return error;
    }
    if (!error)
        error = host_link(creation->fd, dirfd, creation->name);
    if (error || (flags & O_ACCMODE) == O_RDWR)
        return error;
    autoclose int first = creation->fd;
    creation->fd = -1;
    error = host_reopen(first, flags, &creation->fd);
    if (error)
        host_unlink(dirfd, creation->name);
    return error;
}

static int create_new(struct fuse_req *req, struct creation *creation)
{
    const struct fuse_create_in *in = &req->args.create;
    int flags = op_open_flags(req->server, in->flags) & ~O_TRUNC;
    mode_t mode = in->mode & 07777;
    int dirfd;
    int error = take_extensions(req, &creation->ext);
    if (!error)
        error = inode_fd(req->thread, req->inode, &dirfd);
    if (!error)
        error = inode_budget_take(req->server);
    if (error)
        return error;

    error = become_requester(req, mode, in->umask);
    if (!error) {
        error = make_file(req, dirfd, flags, mode, creation);
        become_server(req);
    }
    if (!error)
        error = finish_file(req, dirfd, flags, creation);
    if (!error)
        return 0;
    scope_close(&creation->fd);
    creation->fd = -1;
    fd_budget_give(&req->server->budget);
    return error;
}

static void drop_new(struct fuse_req *req, struct creation *creation)
{
    if (creation->fd < 0)
        return;
    scope_close(&creation->fd);
    creation->fd = -1;
    fd_budget_give(&req->server->budget);
}

/* Opens the file that has the name already, as OPEN does. */
static int open_existing(struct fuse_req *req, struct creation *creation)
{
    const struct fuse_create_in *in = &req->args.create;
    int error = inode_lookup(req->thread, req->inode, creation->name, &creation->inode,
                             &creation->attributes, &creation->submount);
    if (error)
        return error;
    /* The guest's kernel did not know of it: ESTALE makes it look again, and do the right thing. */
    if (!S_ISREG(creation->inode->type))
        return -ESTALE;
    error = op_open_handle(req, creation->inode, in->flags, in->open_flags, &creation->fh);
    if (error || !(in->flags & O_TRUNC))
        return error;

    int fd;
    error = inode_fd(req->thread, creation->inode, &fd);
    if (!error)
        error = host_stat_fd(fd, &creation->attributes);
    if (error)
        handle_release(req->server->handles, HANDLE_FILE, creation->fh,
                       inode_id(req->server->inodes, creation->inode));
    return error;
}

/*
 * Inode and handle of the file that we made: from its descriptor, because the host may have put
 * another file in its place.
 */
static int adopt_new(struct fuse_req *req, struct creation *creation)
{
    int error = inode_of_file(req->thread, creation->fd, &creation->inode, &creation->attributes);
    if (error)
        return error;
    int flags = op_open_flags(req->server, req->args.create.flags) & ~O_TRUNC;
    error = handle_new(req->server->handles, HANDLE_FILE, creation->fd, (uint32_t)flags,
                       inode_id(req->server->inodes, creation->inode), &creation->fh);
    if (!error)
        creation->fd = -1; /* the handle's now */
    return error;
}

/* The reply in one piece: all of it or nothing. */
static int reply_creation(struct fuse_req *req, struct creation *creation)
{
    struct fuse_server *server = req->server;
    uint64_t nodeid = inode_id(server->inodes, creation->inode);
    int error = dax_tell(req->thread, creation->inode, &creation->attributes);
    struct {
        struct fuse_entry_out entry;
        struct fuse_open_out open;
    } out = {
        .entry = wire_entry(server, creation->inode, &creation->attributes, creation->submount),
        .open = {.fh = creation->fh,
                 .open_flags = op_fopen_flags(req, creation->inode, req->args.create.flags)},
    };
    if (!error)
        error = req_reply(req, out);
    if (error)
        handle_release(server->handles, HANDLE_FILE, creation->fh, nodeid);
    return error;
}

static int reply_nameless(struct fuse_req *req, struct creation *creation)
{
    struct handle_table *handles = req->server->handles;
    uint64_t nodeid = inode_id(req->server->inodes, creation->inode);
    struct handle *handle;
    int error = handle_get(handles, HANDLE_FILE, creation->fh, nodeid, &handle);
    if (!error)
        error = inode_hold(req->thread, creation->inode, handle->fd);
    if (!error)
        return reply_creation(req, creation);
    handle_release(handles, HANDLE_FILE, creation->fh, nodeid);
    return error;
}

/*
 * Without O_EXCL an existing file is opened. The host is asked to create first, exclusively, so
 * that an open with O_CREAT never follows a link or waits for a FIFO that somebody put there; then
 * what exists is found and opened as OPEN does it.
 */
int op_create(struct fuse_req *req)
{
    struct creation creation = {.fd = -1};
    int error = req_name(req, &creation.name);
    if (!error)
        error = create_new(req, &creation);
    if (!error)
        error = adopt_new(req, &creation);
    else if (error == -EEXIST && !(req->args.create.flags & O_EXCL))
        error = open_existing(req, &creation);
    if (!error)
        error = reply_creation(req, &creation);
    if (error && creation.inode)
        inode_forget(req->thread, inode_id(req->server->inodes, creation.inode), 1);
    drop_new(req, &creation);
    return error;
}

/*
 * A file without a name, which LINK may give it later. The name in the request is the kernel's own
 * and means nothing. While the guest knows the file without its being open, nothing but a
 * descriptor keeps it alive.
 */
int op_tmpfile(struct fuse_req *req)
{
    struct creation creation = {.fd = -1};
    const char *ignored;
    int error = req_string(req, &ignored);
    if (!error)
        error = create_new(req, &creation);
    if (!error)
        error = adopt_new(req, &creation);
    if (!error)
        error = reply_nameless(req, &creation);
    if (error && creation.inode)
        inode_forget(req->thread, inode_id(req->server->inodes, creation.inode), 1);
    drop_new(req, &creation);
    return error;
}
