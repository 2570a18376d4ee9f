// SPDX-License-Identifier: BSD-3-Clause
#include "labels.h"

#include <errno.h>
#include <linux/xattr.h>
#include <string.h>
#include <sys/stat.h>

#include "host_dir.h"
#include "host_path.h"
#include "host_xattr.h"
#include "log.h"
#include "scope.h"
#include "server.h"
#include "xattrmap.h"

static bool begins_with(const char *name, const char *start)
{
    return strncmp(name, start, strlen(start)) == 0;
}

static bool is_label(const char *name)
{
    return begins_with(name, XATTR_SECURITY_PREFIX) && strcmp(name, XATTR_NAME_CAPS) != 0;
}

int labels_errno(const char *name, int error)
{
    return error == -EPERM && is_label(name) ? -EOPNOTSUPP : error;
}

static int host_name(const struct fuse_req *req, const char *name, char *room,
                     const char **ret_host)
{
    if (!is_label(name))
        return -EINVAL;
    return xattrmap_to_host(req->server->settings->xattr_rules, name, room, ret_host);
}

static bool may_go_without(const struct fuse_req *req, const char *host, mode_t type)
{
    if (req->server->settings->security_label == FEATURE_AUTO)
        return true;
    bool keeps_user = S_ISREG(type) || S_ISDIR(type);
    return !keeps_user && begins_with(host, XATTR_USER_PREFIX);
}

int labels_check(const struct fuse_req *req, const struct wire_ext *ext)
{
    for (unsigned i = 0; i < ext->secctx_count; i++) {
        char room[XATTRMAP_NAME_MAX];
        const char *host;
        int error = host_name(req, ext->secctx[i].name, room, &host);
        if (error == -EOPNOTSUPP && req->server->settings->security_label == FEATURE_AUTO)
            continue;
        if (error)
            return error;
    }
    return 0;
}

static int set_one(const struct fuse_req *req, int fd, mode_t type, const struct wire_secctx *label)
{
    char room[XATTRMAP_NAME_MAX];
    const char *host = "";
    int error = host_name(req, label->name, room, &host);
    if (!error)
        error = labels_errno(label->name, host_xattr_set(fd, host, label->value, label->size, 0));
    if (error != -EOPNOTSUPP)
        return error;
    if (may_go_without(req, host, type))
        return 0;
    log_limited(LOG_LEVEL_WARN,
                "--security-label=always: the host does not keep %.64s: see --xattr-preset=selinux",
                label->name);
    return error;
}

int labels_set(const struct fuse_req *req, int fd, mode_t type, const struct wire_ext *ext)
{
    for (unsigned i = 0; i < ext->secctx_count; i++) {
        int error = set_one(req, fd, type, &ext->secctx[i]);
        if (error)
            return error;
    }
    return 0;
}

/* Whoever has put something else in its place meanwhile has that labelled or removed by others. */
static int set_on_path(const struct fuse_req *req, int dirfd, const char *name, mode_t type,
                       const struct wire_ext *ext)
{
    autoclose int fd = -1;
    struct statx attributes;
    int error = host_open_path(dirfd, name, &fd);
    if (!error)
        error = host_stat_fd(fd, &attributes);
    if (error || (attributes.stx_mode & S_IFMT) != (type & S_IFMT))
        return 0;
    return labels_set(req, fd, type, ext);
}

int labels_set_name(const struct fuse_req *req, int dirfd, const char *name, mode_t type,
                    const struct wire_ext *ext)
{
    int error = ext->secctx_count ? set_on_path(req, dirfd, name, type, ext) : 0;
    if (error) {
        if (S_ISDIR(type))
            host_rmdir(dirfd, name);
        else
            host_unlink(dirfd, name);
    }
    return error;
}
