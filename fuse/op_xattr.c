// SPDX-License-Identifier: BSD-3-Clause
/* SETXATTR, GETXATTR, LISTXATTR, REMOVEXATTR. */
#include <errno.h>
#include <linux/limits.h>
#include <linux/xattr.h>
#include <string.h>
#include <sys/xattr.h>

#include "host_attr.h"
#include "host_path.h"
#include "host_xattr.h"
#include "idtrans.h"
#include "labels.h"
#include "owner.h"
#include "server.h"
#include "xattrmap.h"

#define ACL_ACCESS  XATTR_NAME_POSIX_ACL_ACCESS
#define ACL_DEFAULT XATTR_NAME_POSIX_ACL_DEFAULT

_Static_assert(FUSE_BUFFER_SIZE >= XATTR_SIZE_MAX && FUSE_BUFFER_SIZE >= XATTR_LIST_MAX,
               "any value and any list fits into the thread's buffer");

/*
 * A guest that did not negotiate POSIX_ACL treats access control lists as plain data: its kernel
 * does not check who may set them, and neither would the host, for which everything here is done
 * by one privileged process. So they do not exist for it.
 */
static bool is_hidden(const struct fuse_req *req, const char *name)
{
    if (session_has(&req->server->session, FUSE_POSIX_ACL))
        return false;
    return strcmp(name, ACL_ACCESS) == 0 || strcmp(name, ACL_DEFAULT) == 0;
}

/* ENOSYS makes the guest stop asking. */
static int get_fd(struct fuse_req *req, int *ret_fd)
{
    if (!req->server->settings->xattr)
        return -ENOSYS;
    return inode_fd(req->thread, req->inode, ret_fd);
}

/* An attribute's name: as the guest calls it, and as the host does. */
struct attribute {
    const char *name;
    const char *host;
    char room[XATTRMAP_NAME_MAX];
};

static bool is_acl(const char *host_name)
{
    return strcmp(host_name, ACL_ACCESS) == 0 || strcmp(host_name, ACL_DEFAULT) == 0;
}

static int get_name_and_fd(struct fuse_req *req, struct attribute *ret_attribute, int *ret_fd)
{
    int error = get_fd(req, ret_fd);
    if (!error)
        error = req_string(req, &ret_attribute->name);
    if (!error && is_hidden(req, ret_attribute->name))
        error = -EOPNOTSUPP;
    if (!error)
        error = xattrmap_to_host(req->server->settings->xattr_rules, ret_attribute->name,
                                 ret_attribute->room, &ret_attribute->host);
    if (!error && owner_is_hidden(req->server, ret_attribute->host))
        error = req->header.opcode == FUSE_GETXATTR ? -ENODATA : -EPERM;
    return error;
}

/* A value or list of the thread's buffer, or only its length when the guest has size 0. */
static int reply_buffer(struct fuse_req *req, uint32_t size, size_t length)
{
    if (size == 0) {
        struct fuse_getxattr_out out = {.size = (uint32_t)length};
        return req_reply(req, out);
    }
    if (length > size)
        return -ERANGE;
    return wire_out_put(&req->out, req->thread->buffer, length);
}

int op_getxattr(struct fuse_req *req)
{
    uint32_t size = req->args.getxattr.size;
    struct attribute attribute;
    int fd;
    int error = get_name_and_fd(req, &attribute, &fd);
    if (error)
        return error;
    size_t length;
    size_t limit = size < XATTR_SIZE_MAX ? size : XATTR_SIZE_MAX;
    error = host_xattr_get(fd, attribute.host, req->thread->buffer, limit, &length);
    if (!error && size && is_acl(attribute.host))
        idtrans_acl_to_guest(req->server->settings, req->thread->buffer, length);
    return error ? error : reply_buffer(req, size, length);
}

/*
 * Turns the host's names of a list into the guest's, without those that it does not see. Returns
 * the new length, which is not larger.
 */
static size_t rename_listed(const struct fuse_req *req, char *list, size_t length)
{
    const struct xattr_rules *rules = req->server->settings->xattr_rules;
    size_t kept = 0;
    for (size_t at = 0; at < length;) {
        size_t part = strnlen(list + at, length - at) + 1;
        if (part > length - at)
            break;
        bool shown = !owner_is_hidden(req->server, list + at);
        const char *name = shown ? xattrmap_to_guest(rules, list + at) : NULL;
        if (name && !is_hidden(req, name)) {
            size_t size = strlen(name) + 1;
            memmove(list + kept, name, size);
            kept += size;
        }
        at += part;
    }
    return kept;
}

int op_listxattr(struct fuse_req *req)
{
    int fd;
    int error = get_fd(req, &fd);
    if (error)
        return error;
    size_t length;
    error = host_xattr_list(fd, req->thread->buffer, XATTR_LIST_MAX, &length);
    if (error)
        return error;
    length = rename_listed(req, req->thread->buffer, length);
    return reply_buffer(req, req->args.getxattr.size, length);
}

/* The rest of the arguments, which came with SETXATTR_EXT. */
static int take_set_flags(struct fuse_req *req, uint32_t *ret_flags)
{
    *ret_flags = 0;
    if (!session_has(&req->server->session, FUSE_SETXATTR_EXT))
        return 0;
    const void *bytes;
    int error =
        req_bytes(req, sizeof(struct fuse_setxattr_in) - FUSE_COMPAT_SETXATTR_IN_SIZE, &bytes);
    if (!error)
        memcpy(ret_flags, bytes, sizeof(*ret_flags));
    return error;
}

/*
 * An access list may change the group's rights, and so what S_ISGID stands for: the guest's kernel
 * says whether the bit goes. The host would keep it for a file of our own group.
 */
static int set_acl(struct fuse_req *req, const struct attribute *attribute, int fd,
                   const void *value, size_t size, int flags, bool kill_setgid)
{
    int error = host_cred_fsetid(&req->thread->cred, !kill_setgid);
    if (!error)
        error = host_xattr_set(fd, attribute->host, value, size, flags);
    if (error || !kill_setgid)
        return error;
    struct statx attributes;
    error = host_stat_fd(fd, &attributes);
    if (!error && (attributes.stx_mode & S_ISGID))
        error = host_chmod(fd, attributes.stx_mode & 07777 & ~S_ISGID);
    return error;
}

int op_setxattr(struct fuse_req *req)
{
    /* Copied: only the short form of the structure was filled. */
    uint32_t size = req->args.setxattr.size;
    uint32_t flags = req->args.setxattr.flags;
    uint32_t set_flags;
    struct attribute attribute;
    const void *value;
    int fd;
    int error = take_set_flags(req, &set_flags);
    if (!error)
        error = get_name_and_fd(req, &attribute, &fd);
    if (error)
        return error;
    if (flags & ~(uint32_t)(XATTR_CREATE | XATTR_REPLACE))
        return -EINVAL;
    if (size > XATTR_SIZE_MAX)
        return -E2BIG;
    error = req_bytes(req, size, &value);
    /* The request's own copy of the value. */
    if (!error && is_acl(attribute.host))
        error = idtrans_acl_to_host(req->server->settings, (void *)value, size);
    if (error)
        return error;
    if (strcmp(attribute.name, ACL_ACCESS) == 0)
        return set_acl(req, &attribute, fd, value, size, (int)flags,
                       set_flags & FUSE_SETXATTR_ACL_KILL_SGID);
    return labels_errno(attribute.name,
                        host_xattr_set(fd, attribute.host, value, size, (int)flags));
}

int op_removexattr(struct fuse_req *req)
{
    struct attribute attribute;
    int fd;
    int error = get_name_and_fd(req, &attribute, &fd);
    return error ? error : host_xattr_remove(fd, attribute.host);
}
