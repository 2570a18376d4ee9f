// SPDX-License-Identifier: BSD-3-Clause
/*
 * dax: what is mapped where in the guest's DAX window.
 *
 * The guest cuts the window into ranges of DAX_RANGE_SIZE and puts parts of files into them
 * (SETUPMAPPING, one range of the window for one aligned range of a file). On a front-end that maps
 * past the end of files a range is one mapping. On an exact one (dax_mapper.h) it is up to two
 * pieces:
 *
 *   real   the pages at its start that lied wholly inside the file when it was mapped
 *   tail   from there to the end of the range: memory of our own, kept in step with the file
 *
 * so that the page which the end of the file cuts, and whatever the file grows by later, is there
 * before any reply tells the guest of it, and nothing that is mapped ever has to be replaced.
 *
 * Owner: the server. Ranges are in the arena, found by place in the window or by node id. Each file
 * has a lock (one of DAX_LOCKS, by node id) that is held over the host and front-end calls made for
 * its ranges; it ranks before all locks of the tables, and no two are held at once. Any thread.
 */
#ifndef VIOFS_DAX_H
#define VIOFS_DAX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "dax_mapper.h"

struct dax;
struct fuse_req;
struct fuse_server;
struct fuse_thread;
struct inode;

/* Leaves *ret_dax NULL when settings ask for no window. Returns 0 or a negative errno. */
int dax_new(struct fuse_server *server, struct dax **ret_dax);
void dax_free(struct dax *dax);

#endif
