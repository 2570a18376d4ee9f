// SPDX-License-Identifier: BSD-3-Clause
/*
 * opens: files and directories that the guest uses without having opened them
 * (FUSE_NO_OPEN_SUPPORT, FUSE_NO_OPENDIR_SUPPORT): its requests come with handle 0 and are served
 * by inode.
 *
 * To read, an inode has a handle of the handle table that the guest has no number for; it is kept
 * in a bounded cache, evicted as cached O_PATH descriptors are. To write, each request opens the
 * file and closes it again: somebody on the host may be waiting for just that (to execute the file,
 * or for inotify to tell that it is complete), and here nobody says when the guest is done.
 *
 * Owner: the server. Finding a cached one takes no lock; making and evicting one takes the cache's,
 * under which no host call is made. It ranks below the locks of the inode table.
 */
#ifndef VIOFS_OPENS_H
#define VIOFS_OPENS_H

#include <stdbool.h>
#include <stdint.h>

#include "handle.h"

struct fuse_req;
struct fuse_server;
struct inode;
struct opens;

/* Bytes of the arena that the cache takes; 0 when no guest can be served without OPEN. */
size_t opens_arena_size(const struct fuse_server *server);

/* *ret_opens is NULL when no guest can be served so. Returns 0 or -ENOMEM. */
int opens_new(struct fuse_server *server, struct opens **ret_opens);
void opens_free(struct opens *opens);

/*
 * What to leave out of the flags that a session may have, which are FUSE_* of INIT: the NO_OPEN
 * flags where they would change what programs see, and what does not go together with them.
 */
uint64_t opens_unfit_flags(const struct fuse_req *req, uint64_t flags);

/* The inode is forgotten: what was cached for it is closed. Any opens, also NULL. */
void opens_drop(struct opens *opens, const struct inode *inode);

/*
 * The descriptor of handle fh of a file, to read or to write with; fh 0: by inode, if that was
 * negotiated. It is good until the request ends. Returns 0, -EBADF, or the errno of opening it.
 */
int opens_file(struct fuse_req *req, uint64_t nodeid, uint64_t fh, bool write, int *ret_fd);

/* The same for the request's directory, as the handle that keeps its position. */
int opens_dir(struct fuse_req *req, uint64_t fh, struct handle **ret_handle);

/* Either of the two, to read with: the descriptor alone. */
int opens_fd(struct fuse_req *req, enum handle_kind kind, uint64_t fh, int *ret_fd);

/* Whether fh, which came with a request, is no handle but stands for the file itself. */
bool opens_is_none(const struct fuse_req *req, uint64_t fh);

#endif
