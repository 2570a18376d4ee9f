// SPDX-License-Identifier: BSD-3-Clause
/*
 * Which files a guest is told to use DAX for, when it leaves that to us.
 *
 * The answer is the same each time while nothing happens to the file: a guest that sees it change
 * drops the inode from its cache.
 */
#include "dax_table.h"
#include "fuse_abi.h"
#include "server.h"

/* A mapped file that grows this often goes on growing: it is better off on the queues. */
#define DOUBTS_MAX 3

void dax_doubt(struct inode *inode, bool entirely)
{
    uint8_t doubts = atomic_load_explicit(&inode->dax_doubts, memory_order_relaxed);
    if (doubts < DOUBTS_MAX)
        atomic_store_explicit(&inode->dax_doubts, entirely ? DOUBTS_MAX : doubts + 1,
                              memory_order_relaxed);
}

/*
 * On an exact front-end the page that the file's end cuts is ours, and the file's only now and
 * then: nothing for a file that host processes share with the guest. It also wants every file open
 * for writing, so that one that is mapped cannot be executed on the host, and none of a read-only
 * share can be mapped.
 */
static bool suits_exact(const struct settings *settings, const struct statx *attributes)
{
    return !settings->readonly && attributes->stx_size % DAX_PAGE == 0 &&
           !(attributes->stx_mode & (S_IXUSR | S_IXGRP | S_IXOTH));
}

uint32_t dax_attr_flags(const struct fuse_server *server, struct inode *inode,
                        const struct statx *attributes)
{
    const struct settings *settings = server->settings;
    const struct dax *dax = server->dax;
    if (!dax || dax->mapper.window_size == 0 || !S_ISREG(attributes->stx_mode))
        return 0;
    if (settings->dax != DAX_AUTO)
        return settings->dax == DAX_ALWAYS ? FUSE_ATTR_DAX : 0;
    if (attributes->stx_size < settings->dax_min_size ||
        atomic_load_explicit(&inode->dax_doubts, memory_order_relaxed) >= DOUBTS_MAX)
        return 0;
    if (atomic_load(&dax->exact) && !suits_exact(settings, attributes))
        return 0;
    return FUSE_ATTR_DAX;
}
