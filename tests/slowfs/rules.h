// SPDX-License-Identifier: BSD-3-Clause
/*
 * What is to happen to which call: the rules of the slow file system, and the calls that they hold.
 *
 * Owner: the program. Threads: any; rules_hold() is the only function that waits.
 */
#ifndef SLOWFS_RULES_H
#define SLOWFS_RULES_H

#define FUSE_USE_VERSION 35
#include <fuse_lowlevel.h>

#include <stddef.h>

/* The name of a call is that of the file system's function. */
#define RULES_OPS(X) \
    X(lookup)        \
    X(getattr)       \
    X(setattr)       \
    X(readlink)      \
    X(mknod)         \
    X(mkdir)         \
    X(unlink)        \
    X(rmdir)         \
    X(symlink)       \
    X(rename)        \
    X(link)          \
    X(open)          \
    X(read)          \
    X(write)         \
    X(flush)         \
    X(release)       \
    X(fsync)         \
    X(opendir)       \
    X(readdir)       \
    X(releasedir)    \
    X(fsyncdir)      \
    X(statfs)        \
    X(setxattr)      \
    X(getxattr)      \
    X(listxattr)     \
    X(removexattr)   \
    X(access)        \
    X(create)        \
    X(fallocate)     \
    X(lseek)

#define RULES_OP(name) OP_##name,
enum rules_op { RULES_OPS(RULES_OP) OP_COUNT };
#undef RULES_OP

/*
 * Called by every operation before it does anything: counts it, waits as long as the rules say, and
 * returns 0 or the negative errno that they say, or -EINTR when the caller was interrupted.
 */
int rules_hold(enum rules_op op, uint64_t ino, const char *name, fuse_req_t req);

/* One line of commands (see main.c): its answer, without a newline. */
void rules_command(const char *line, char *ret_answer, size_t size);

#endif
