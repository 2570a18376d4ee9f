// SPDX-License-Identifier: BSD-3-Clause
/*
 * A request on its way: what every operation gets.
 *
 * Owner: the thread that runs it (struct fuse_req lives on its stack). No other thread sees it.
 * Everything in it is private memory, apart from what wire_in and wire_out point to.
 */
#ifndef VIOFS_REQUEST_H
#define VIOFS_REQUEST_H

#include <stdint.h>

#include "fuse_abi.h"
#include "fuse_server.h"
#include "wire_ext.h"
#include "wire_in.h"
#include "wire_out.h"

struct inode;

/* The largest fixed argument structure of any row of opcodes.def. */
#define FUSE_ARGS_MAX 128
/* The most that may follow it where it is copied: an xattr value (XATTR_SIZE_MAX), names,
 * extensions. */
#define FUSE_TAIL_MAX (65536 + 8192)

struct fuse_req {
    struct fuse_thread *thread;
    struct fuse_server *server;
    /* uid and gid: whose what the request makes is to be; with ALLOW_IDMAP -1 where nothing is
     * made. */
    struct fuse_in_header header;
    struct inode *inode; /* of header.nodeid; NULL in rows with F_NO_NODE */

    /* The fixed arguments of the row, aligned for any of them. */
    union {
        uint8_t bytes[FUSE_ARGS_MAX];
        struct fuse_forget_in forget;
        struct fuse_batch_forget_in batch_forget;
        struct fuse_getattr_in getattr;
        struct fuse_setattr_in setattr;
        struct fuse_mknod_in mknod;
        struct fuse_mkdir_in mkdir;
        struct fuse_rename_in rename;
        struct fuse_rename2_in rename2;
        struct fuse_link_in link;
        struct fuse_open_in open;
        struct fuse_create_in create;
        struct fuse_read_in read;
        struct fuse_write_in write;
        struct fuse_release_in release;
        struct fuse_flush_in flush;
        struct fuse_fsync_in fsync;
        struct fuse_setxattr_in setxattr;
        struct fuse_getxattr_in getxattr;
        struct fuse_access_in access;
        struct fuse_fallocate_in fallocate;
        struct fuse_lk_in lk;
        struct fuse_interrupt_in interrupt;
        struct fuse_lseek_in lseek;
        struct fuse_ioctl_in ioctl;
        struct fuse_copy_file_range_in copy_file_range;
        struct fuse_syncfs_in syncfs;
        struct fuse_abi_statx_in statx;
        struct fuse_init_in init;
        struct fuse_setupmapping_in setupmapping;
        struct fuse_removemapping_in removemapping;
    } args;

    /* F_TAIL: what follows the arguments, in private memory, not terminated. */
    const char *tail;
    size_t tail_left;

    struct wire_in in; /* what is left of the request after arguments and tail */
    struct wire_out out;
};

/*
 * An errno of our own, which no host call returns: the device is being stopped. A request of a row
 * with F_RESTARTS that returns it has done nothing that must not be done twice.
 */
#define REQ_STOPPED  512
/* Another one: the request was deferred (fuse_thread_hooks.defer), and somebody else answers it. */
#define REQ_DEFERRED 513

typedef int fuse_op(struct fuse_req *req);

/* The name of an opcode that is served, or NULL. */
const char *opcode_name(uint32_t opcode);

/* Takes the next string of the tail, without its NUL. Returns 0, or -EINVAL if none ends here. */
int req_string(struct fuse_req *req, const char **ret_string);

/*
 * Takes the next string of the tail as the name of a directory entry. Empty, "." and "..", and
 * names with a slash are -EINVAL: the protocol needs none of them here; more than NAME_MAX bytes
 * are -ENAMETOOLONG.
 */
int req_name(struct fuse_req *req, const char **ret_name);

/* Takes the next length bytes of the tail. Returns 0 or -EINVAL. */
int req_bytes(struct fuse_req *req, size_t length, const void **ret_bytes);

/*
 * What follows the names of a request that makes a file: the rest of the tail, to be asked for
 * once, after the last name and before anything is made. Returns 0, with counts of 0 where nothing
 * came, or -EINVAL: see wire_ext_parse(), and what was not negotiated at INIT must not come.
 */
int req_extensions(struct fuse_req *req, struct wire_ext *ret_ext);

/*
 * Before a host call that may take long. What requests of other threads give up meanwhile, closed
 * files above all, cannot be released while a thread is inside its epoch: so this request leaves
 * it, and afterwards uses nothing that it has found in the tables; and its queue goes on. Each of
 * the count descriptors is replaced by one of the request's own, closed when it ends. Returns 0, or
 * the errno of the host with all as before.
 */
int req_step_out(struct fuse_req *req, int *const fds[], unsigned count);

/* Puts a whole structure as (part of) the reply. */
#define req_reply(req, structure)                  wire_out_put(&(req)->out, &(structure), sizeof(structure))

/* Every handler of opcodes.def. */
#define OPCODE(number, name, handler, size, flags) fuse_op handler;
#include "opcodes.def"
#undef OPCODE

#endif
