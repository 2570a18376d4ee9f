// SPDX-License-Identifier: BSD-3-Clause
/*
 * wire_ext: what CREATE, MKDIR, MKNOD, SYMLINK and TMPFILE may have behind their names: security
 * labels for the new file (INIT flag SECURITY_CTX), and which other group of the requesting user's
 * matters for it (CREATE_SUPP_GROUP).
 *
 *     struct fuse_ext_header { size, type }       one or more, each a multiple of 8 bytes long
 *     type 0..31: that many times                 type 32:
 *       struct fuse_secctx { size }                 nr_groups, groups[nr_groups], padding to 8
 *       name, NUL, size bytes, padding to 8
 *
 * No state. Names and values point into what was parsed, the request's private tail, and live as
 * long as it: until the request ends.
 */
#ifndef VIOFS_WIRE_EXT_H
#define VIOFS_WIRE_EXT_H

#include <stddef.h>
#include <stdint.h>

#include "fuse_abi.h"

/* Linux sends one group; a user can be in more. */
#define WIRE_EXT_GROUPS_MAX 32

/* A label: what an xattr of this name is to contain. */
struct wire_secctx {
    const char *name; /* 1 to XATTR_NAME_MAX bytes, without a slash, terminated */
    const void *value;
    uint32_t size; /* of the value: 1 to XATTR_SIZE_MAX */
};

struct wire_ext {
    unsigned secctx_count;
    struct wire_secctx secctx[FUSE_MAX_NR_SECCTX];
    unsigned group_count;
    uint32_t groups[WIRE_EXT_GROUPS_MAX]; /* as the guest numbers them; none is (gid_t)-1 */
};

/*
 * Parses length bytes of extensions, which are private memory of any alignment. Returns 0, or
 * -EINVAL with *ret_ext untouched: an unknown type, one that comes twice, sizes that contradict
 * each other, more groups than WIRE_EXT_GROUPS_MAX, a name or value that cannot be an xattr's.
 */
int wire_ext_parse(const void *bytes, size_t length, struct wire_ext *ret_ext);

#endif
