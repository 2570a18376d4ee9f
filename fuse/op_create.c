// SPDX-License-Identifier: BSD-3-Clause
/*
 * MKNOD, MKDIR, SYMLINK, LINK, CREATE, TMPFILE. What is made belongs to the user of the guest who
 * made it: the thread takes that user's ids for the one call that creates.
 */
#include <errno.h>
#include <fcntl.h>

#include "host_dir.h"
#include "host_path.h"
#include "idtrans.h"
#include "labels.h"
#include "op_lookup.h"
#include "op_open.h"
#include "owner.h"
#include "scope.h"
#include "server.h"
#include "wire_attr.h"

/* Who makes something: what the request says about it, for as long as it is being made. */
struct maker {
    struct wire_ext ext;
    struct host_ids ids;
    uint32_t groups[WIRE_EXT_GROUPS_MAX]; /* of ids */
    struct owner owner;                   /* --owner-xattr: what the new file is to be */
};

/*
 * After the last name of the request; nothing is made yet. A group that is forbidden to the guest
 * is none of theirs.
 */
static int find_maker(struct fuse_req *req, struct maker *maker)
{
    const struct settings *settings = req->server->settings;
    struct host_ids *ids = &maker->ids;
    int error = req_extensions(req, &maker->ext);
    if (!error)
        error = labels_check(req, &maker->ext);
    if (!error)
        error =
            idtrans_owner_to_host(settings, req->header.uid, req->header.gid, &ids->uid, &ids->gid);
    if (error)
        return error;
    ids->groups = maker->groups;
    ids->group_count = 0;
    for (unsigned i = 0; i < maker->ext.group_count; i++) {
        if (!idtrans_to_host(&settings->translate_gid, maker->ext.groups[i],
                             &maker->groups[ids->group_count]))
            ids->group_count++;
    }
    return 0;
}

/*
 * Whether a set-group-id file may be made in a folder of a foreign group: by root, and by whom a
 * guest's kernel says so. Those with ALLOW_IDMAP (Linux 6.12) have decided themselves before they
 * ask (since 6.0); the uid tells nothing then, as root of a mount with an id map is not 0 here.
 */
static bool may_keep_setgid(const struct fuse_req *req)
{
    return req->header.uid == 0 || session_has(&req->server->session, FUSE_ABI_ALLOW_IDMAP);
}

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
 *
 * With --owner-xattr, which goes without ACLs and DONT_MASK, the host's file is the server's, and
 * *mode becomes the host's.
 */
static int become_maker(struct fuse_req *req, struct maker *maker, mode_t *mode, uint32_t rdev,
                        uint32_t umask)
{
    struct host_cred *cred = &req->thread->cred;
    bool root = may_keep_setgid(req);
    int error = take_umask(req, umask);
    if (owner_kept(req->server)) {
        if (!error)
            error = owner_of_new(req->thread, req->inode, &maker->ids, root, *mode, rdev,
                                 &maker->owner);
        if (!error && !S_ISLNK(*mode))
            *mode = owner_host_mode(*mode);
        return error;
    }
    if (!error && (*mode & S_ISGID))
        error = host_cred_fsetid(cred, root);
    return error ? error : host_cred_assume(cred, &maker->ids);
}

/*
 * After the call that creates. The ids may stay for the user's next file, unless something is to
 * come that depends on them: labels, another file system's own idea of who may what, the window's
 * writing of tails, which takes blocks.
 */
static void become_server(struct fuse_req *req, const struct maker *maker)
{
    struct fuse_server *server = req->server;
    bool ignores = inode_ignores_ids(server->inodes, req->inode, false);
    if (ignores && !maker->ext.secctx_count && !server->dax)
        host_cred_linger(&req->thread->cred);
    else
        host_cred_own(&req->thread->cred);
}

/* --owner-xattr: what was just made under a name is the maker's, or is not there. */
static int keep_owner(struct fuse_req *req, const struct maker *maker, int dirfd, const char *name)
{
    if (!owner_kept(req->server) || S_ISLNK(maker->owner.mode))
        return 0;
    int error = owner_record_name(dirfd, name, &maker->owner);
    if (error && S_ISDIR(maker->owner.mode))
        host_rmdir(dirfd, name);
    else if (error)
        host_unlink(dirfd, name);
    return error;
}

int op_mknod(struct fuse_req *req)
{
    const struct fuse_mknod_in *in = &req->args.mknod;
    const char *name;
    struct maker maker;
    int dirfd;
    int error = op_name_in_parent(req, &name, &dirfd);
    if (!error)
        error = find_maker(req, &maker);
    if (error)
        return error;
    mode_t mode = in->mode & (S_IFMT | 07777);
    error = become_maker(req, &maker, &mode, in->rdev, in->umask);
    if (error)
        return error;
    error = host_mknod(dirfd, name, mode, in->rdev);
    become_server(req, &maker);
    if (!error)
        error = keep_owner(req, &maker, dirfd, name);
    if (!(mode & S_IFMT))
        mode |= S_IFREG;
    if (!error)
        error = labels_set_name(req, dirfd, name, mode, &maker.ext);
    if (error)
        return error;
    return S_ISREG(mode) ? op_reply_entry(req, name) : op_reply_special(req, name);
}

int op_mkdir(struct fuse_req *req)
{
    const struct fuse_mkdir_in *in = &req->args.mkdir;
    const char *name;
    struct maker maker;
    int dirfd;
    int error = op_name_in_parent(req, &name, &dirfd);
    if (!error)
        error = find_maker(req, &maker);
    if (error)
        return error;
    mode_t mode = S_IFDIR | (in->mode & 01777);
    error = become_maker(req, &maker, &mode, 0, in->umask);
    if (error)
        return error;
    error = host_mkdir(dirfd, name, mode & 01777);
    become_server(req, &maker);
    if (!error)
        error = keep_owner(req, &maker, dirfd, name);
    if (!error)
        error = labels_set_name(req, dirfd, name, S_IFDIR, &maker.ext);
    return error ? error : op_reply_entry(req, name);
}

int op_symlink(struct fuse_req *req)
{
    const char *name;
    const char *target;
    struct maker maker;
    int dirfd;
    int error = op_name_in_parent(req, &name, &dirfd);
    if (!error)
        error = req_string(req, &target);
    if (!error)
        error = find_maker(req, &maker);
    mode_t mode = S_IFLNK;
    if (!error)
        error = become_maker(req, &maker, &mode, 0, 0);
    if (error)
        return error;
    error = host_symlink(dirfd, name, target);
    become_server(req, &maker);
    if (!error)
        error = labels_set_name(req, dirfd, name, S_IFLNK, &maker.ext);
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
    struct maker maker;
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
    if (creation->maker.ext.secctx_count) {
        int error = host_create_nameless(dirfd, (flags & ~O_ACCMODE) | O_RDWR, mode, &creation->fd);
        creation->nameless = !error;
        if (error != -EOPNOTSUPP)
            return error;
    }
    return host_create(dirfd, creation->name, flags, mode, &creation->fd);
}

/* Gives what make_file() made its owner and labels, its name if it has to get one, and the flags
 * asked for.
 */
static int finish_file(struct fuse_req *req, int dirfd, int flags, struct creation *creation)
{
    int error = 0;
    if (owner_kept(req->server))
        error = owner_record(creation->fd, &creation->maker.owner);
    if (!error)
        error = labels_set(req, creation->fd, S_IFREG, &creation->maker.ext);
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
    mode_t mode = S_IFREG | (in->mode & 07777);
    int dirfd;
    int error = find_maker(req, &creation->maker);
    if (!error)
        error = inode_fd(req->thread, req->inode, &dirfd);
    if (!error)
        error = inode_budget_take(req->server, &req->thread->purse);
    if (error)
        return error;

    error = become_maker(req, &creation->maker, &mode, 0, in->umask);
    if (!error) {
        error = make_file(req, dirfd, flags, mode & 07777, creation);
        become_server(req, &creation->maker);
    }
    if (!error)
        error = finish_file(req, dirfd, flags, creation);
    if (!error)
        return 0;
    scope_close(&creation->fd);
    creation->fd = -1;
    fd_budget_give(&req->server->budget, &req->thread->purse);
    return error;
}

static void drop_new(struct fuse_req *req, struct creation *creation)
{
    if (creation->fd < 0)
        return;
    scope_close(&creation->fd);
    creation->fd = -1;
    fd_budget_give(&req->server->budget, &req->thread->purse);
}

/* Opens the file that has the name already, as OPEN does. */
static int open_existing(struct fuse_req *req, struct creation *creation)
{
    const struct fuse_create_in *in = &req->args.create;
    host_cred_own(&req->thread->cred);
    int error = inode_lookup(req->thread, req->inode, creation->name, &creation->inode,
                             &creation->attributes, &creation->submount);
    if (error)
        return error;
    /* The guest's kernel did not know of it: ESTALE makes it look again, and do the right thing. */
    if (!S_ISREG(creation->inode->type))
        return -ESTALE;
    error = op_open_handle(req, creation->inode, in->flags, in->open_flags, &creation->fh);
    if (!error && opens_is_none(req, 0)) {
        handle_release(req->thread, HANDLE_FILE, creation->fh,
                       inode_id(req->server->inodes, creation->inode));
        creation->fh = 0;
    }
    if (error || !(in->flags & O_TRUNC))
        return error;

    int fd;
    error = inode_fd(req->thread, creation->inode, &fd);
    if (!error)
        error = host_stat_fd(fd, &creation->attributes);
    if (error)
        handle_release(req->thread, HANDLE_FILE, creation->fh,
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
    if (opens_is_none(req, 0))
        return 0; /* the guest never says when it closes the file: so it has no handle */
    int flags = (op_open_flags(req->server, req->args.create.flags) & ~O_TRUNC) | O_CREAT;
    error = handle_new(req->thread, HANDLE_FILE, creation->fd, (uint32_t)flags,
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
    if (!error)
        error = owner_show(req->thread, creation->inode, &creation->attributes);
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
        handle_release(req->thread, HANDLE_FILE, creation->fh, nodeid);
    return error;
}

static int reply_nameless(struct fuse_req *req, struct creation *creation)
{
    uint64_t nodeid = inode_id(req->server->inodes, creation->inode);
    struct handle *handle;
    int fd = creation->fd;
    int error = 0;
    if (fd < 0) {
        error = handle_get(req->thread, HANDLE_FILE, creation->fh, nodeid, &handle);
        if (!error)
            fd = handle->fd;
    }
    if (!error)
        error = inode_hold(req->thread, creation->inode, fd);
    if (!error)
        return reply_creation(req, creation);
    handle_release(req->thread, HANDLE_FILE, creation->fh, nodeid);
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
