// SPDX-License-Identifier: BSD-3-Clause
#include "owner.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "host_attr.h"
#include "host_path.h"
#include "host_xattr.h"
#include "scope.h"
#include "server.h"

#define NAME      "user.containers.override_stat"
#define VALUE_MAX 80
#define PERM_BITS 07777u
#define NO_ID     UINT32_MAX

bool owner_kept(const struct fuse_server *server)
{
    return server->settings->owner_xattr;
}

bool owner_is_hidden(const struct fuse_server *server, const char *host_name)
{
    return owner_kept(server) && strcmp(host_name, NAME) == 0;
}

int owner_probe(int share_fd)
{
    size_t length;
    int error = host_xattr_get(share_fd, NAME, NULL, 0, &length);
    return error == -EOPNOTSUPP ? error : 0;
}

/* Takes a number that ends with end, or at the end of the text. Returns what follows, or NULL. */
static const char *take_number(const char *text, unsigned base, uint32_t limit, char end,
                               uint32_t *ret_number)
{
    uint64_t number = 0;
    const char *at = text;
    for (; *at >= '0' && *at < '0' + (char)base; at++) {
        number = number * base + (uint64_t)(*at - '0');
        if (number > limit)
            return NULL;
    }
    if (at == text || (*at && *at != end))
        return NULL;
    *ret_number = (uint32_t)number;
    return *at ? at + 1 : at;
}

/* The kind of file; mode keeps the host's where the text does not say a known one. */
static void parse_kind(const char *kind, struct owner *owner)
{
    mode_t type = 0;
    if (strcmp(kind, "pipe") == 0)
        type = S_IFIFO;
    else if (strcmp(kind, "socket") == 0)
        type = S_IFSOCK;
    else if (strncmp(kind, "char-", 5) == 0)
        type = S_IFCHR;
    else if (strncmp(kind, "block-", 6) == 0)
        type = S_IFBLK;
    if (type == S_IFCHR || type == S_IFBLK) {
        uint32_t major;
        uint32_t minor;
        const char *at = take_number(strchr(kind, '-') + 1, 10, 0xfff, '-', &major);
        if (at)
            at = take_number(at, 10, 0xfffff, '\0', &minor);
        if (!at)
            return;
        owner->rdev_major = major;
        owner->rdev_minor = minor;
    }
    if (type)
        owner->mode = (owner->mode & ~(mode_t)S_IFMT) | type;
}

/* Over what owner says already. False: nothing that makes sense is kept. */
static bool parse(const char *text, struct owner *owner)
{
    uint32_t uid;
    uint32_t gid;
    uint32_t mode;
    const char *at = take_number(text, 10, NO_ID - 1, ':', &uid);
    if (at)
        at = take_number(at, 10, NO_ID - 1, ':', &gid);
    if (at)
        at = take_number(at, 8, 0177777, ':', &mode);
    if (!at)
        return false;
    owner->uid = uid;
    owner->gid = gid;
    owner->mode = (owner->mode & S_IFMT) | (mode & PERM_BITS);
    if (S_ISREG(owner->mode))
        parse_kind(at, owner);
    return true;
}

/* What is told of a file of these attributes: what is kept, or else what the host says. */
static int find_owner(struct fuse_thread *thread, int fd, const struct statx *attributes,
                      struct owner *ret_owner)
{
    const struct host_cred *cred = &thread->cred;
    *ret_owner = (struct owner){
        .uid = attributes->stx_uid == cred->uid ? 0 : attributes->stx_uid,
        .gid = attributes->stx_gid == cred->gid ? 0 : attributes->stx_gid,
        .mode = attributes->stx_mode,
        .rdev_major = attributes->stx_rdev_major,
        .rdev_minor = attributes->stx_rdev_minor,
    };
    if (!S_ISREG(attributes->stx_mode) && !S_ISDIR(attributes->stx_mode))
        return 0;
    char text[VALUE_MAX + 1];
    size_t length;
    int error = host_xattr_get(fd, NAME, text, VALUE_MAX, &length);
    if (!error) {
        text[length] = '\0';
        parse(text, ret_owner);
        return 0;
    }
    /* Not there, none of ours, or in a file that is not ours to read: the host's word stands. */
    bool silent = error == -ENODATA || error == -ERANGE || error == -EACCES ||
                  error == -EOPNOTSUPP || error == -EPERM;
    return silent ? 0 : error;
}

int owner_show_fd(struct fuse_thread *thread, int fd, struct statx *attributes)
{
    struct owner owner;
    if (!owner_kept(thread->server))
        return 0;
    int error = find_owner(thread, fd, attributes, &owner);
    if (error)
        return error;
    attributes->stx_uid = owner.uid;
    attributes->stx_gid = owner.gid;
    attributes->stx_mode = (uint16_t)owner.mode;
    attributes->stx_rdev_major = owner.rdev_major;
    attributes->stx_rdev_minor = owner.rdev_minor;
    return 0;
}

int owner_show(struct fuse_thread *thread, struct inode *inode, struct statx *attributes)
{
    if (!owner_kept(thread->server))
        return 0;
    int fd;
    int error = inode_fd(thread, inode, &fd);
    return error ? error : owner_show_fd(thread, fd, attributes);
}

static bool is_member(const struct host_ids *maker, uint32_t gid)
{
    if (maker->gid == gid)
        return true;
    for (unsigned i = 0; i < maker->group_count; i++) {
        if (maker->groups[i] == gid)
            return true;
    }
    return false;
}

int owner_of_new(struct fuse_thread *thread, struct inode *directory, const struct host_ids *maker,
                 bool root, mode_t mode, uint32_t rdev, struct owner *ret_owner)
{
    if (maker->uid == NO_ID || maker->gid == NO_ID)
        return -EINVAL;
    int fd;
    struct statx parent;
    int error = inode_fd(thread, directory, &fd);
    if (!error)
        error = host_stat_fd(fd, &parent);
    if (!error)
        error = owner_show_fd(thread, fd, &parent);
    if (error)
        return error;
    struct owner owner = {.uid = maker->uid, .gid = maker->gid, .mode = mode};
    if (S_ISCHR(mode) || S_ISBLK(mode)) {
        owner.rdev_major = major(rdev);
        owner.rdev_minor = minor(rdev);
    }
    if (parent.stx_mode & S_ISGID) {
        owner.gid = parent.stx_gid;
        if (S_ISDIR(mode))
            owner.mode |= S_ISGID;
        else if ((mode & S_ISGID) && (mode & S_IXGRP) && !root && !is_member(maker, owner.gid))
            owner.mode &= ~(mode_t)S_ISGID;
    }
    *ret_owner = owner;
    return 0;
}

mode_t owner_host_mode(mode_t mode)
{
    if (S_ISDIR(mode))
        return S_IFDIR | (mode & 0777) | 0700;
    return S_IFREG | (mode & 0777) | 0600;
}

static void kind_text(const struct owner *owner, char *text, size_t size)
{
    const char *kind = "file";
    if (S_ISDIR(owner->mode))
        kind = "dir";
    else if (S_ISFIFO(owner->mode))
        kind = "pipe";
    else if (S_ISSOCK(owner->mode))
        kind = "socket";
    if (S_ISCHR(owner->mode) || S_ISBLK(owner->mode))
        snprintf(text, size, "%s-%u-%u", S_ISCHR(owner->mode) ? "char" : "block", owner->rdev_major,
                 owner->rdev_minor);
    else
        snprintf(text, size, "%s", kind);
}

int owner_record(int fd, const struct owner *owner)
{
    char kind[32];
    char text[VALUE_MAX];
    kind_text(owner, kind, sizeof(kind));
    int length = snprintf(text, sizeof(text), "%u:%u:%04o:%s", owner->uid, owner->gid,
                          owner->mode & PERM_BITS, kind);
    return host_xattr_set(fd, NAME, text, (size_t)length, 0);
}

int owner_record_name(int dirfd, const char *name, const struct owner *owner)
{
    autoclose int fd = -1;
    int error = host_open_path(dirfd, name, &fd);
    return error ? error : owner_record(fd, owner);
}

/* As for a local file: another owner's file is not set-id any more, unless a mode comes along. */
static void kill_set_id(struct owner *owner)
{
    if (S_ISDIR(owner->mode))
        return;
    owner->mode &= ~(mode_t)S_ISUID;
    if (owner->mode & S_IXGRP)
        owner->mode &= ~(mode_t)S_ISGID;
}

int owner_kill_set_id(struct fuse_thread *thread, struct inode *inode)
{
    if (!owner_kept(thread->server))
        return 0;
    int fd;
    struct statx attributes;
    struct owner owner;
    int error = inode_fd(thread, inode, &fd);
    if (!error)
        error = host_stat_fd(fd, &attributes);
    if (!error)
        error = find_owner(thread, fd, &attributes, &owner);
    if (error || !S_ISREG(attributes.stx_mode))
        return error;
    mode_t before = owner.mode;
    kill_set_id(&owner);
    return owner.mode == before ? 0 : owner_record(fd, &owner);
}

/* What can have no attribute stays as it is; a symbolic link's owner matters to nobody. */
static int change_other(const struct owner *now, const struct owner *wanted)
{
    if (S_ISLNK(now->mode))
        return now->mode == wanted->mode ? 0 : -EOPNOTSUPP;
    return memcmp(now, wanted, sizeof(*now)) == 0 ? 0 : -EPERM;
}

int owner_change(struct fuse_thread *thread, struct inode *inode, int fd,
                 const struct fuse_setattr_in *in)
{
    if (!(in->valid & (FATTR_UID | FATTR_GID | FATTR_MODE)))
        return 0;
    if (((in->valid & FATTR_UID) && in->uid == NO_ID) ||
        ((in->valid & FATTR_GID) && in->gid == NO_ID))
        return -EINVAL;
    int path_fd;
    struct statx attributes;
    struct owner owner;
    int error = inode_fd(thread, inode, &path_fd);
    if (!error)
        error = host_stat_fd(fd, &attributes);
    if (!error)
        error = find_owner(thread, path_fd, &attributes, &owner);
    if (error)
        return error;
    struct owner now = owner;
    if (in->valid & FATTR_UID)
        owner.uid = in->uid;
    if (in->valid & FATTR_GID)
        owner.gid = in->gid;
    if (in->valid & (FATTR_UID | FATTR_GID))
        kill_set_id(&owner);
    if (in->valid & FATTR_MODE)
        owner.mode = (owner.mode & S_IFMT) | (in->mode & PERM_BITS);
    if (!S_ISREG(attributes.stx_mode) && !S_ISDIR(attributes.stx_mode))
        return change_other(&now, &owner);
    /* The host's mode first: it is what lets us write the attribute. */
    mode_t host = owner_host_mode(owner.mode) & PERM_BITS;
    if ((attributes.stx_mode & PERM_BITS) != host)
        error = host_chmod(fd, host);
    return error ? error : owner_record(path_fd, &owner);
}
