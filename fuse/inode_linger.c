// SPDX-License-Identifier: BSD-3-Clause
/*
 * Forgotten inodes linger: they keep their slot, and with it their id, until INODES_LINGERING_MAX
 * others began to after them. (What is looked up and forgotten again keeps its place.) There are
 * two who come back for them. A file handle that the guest has made of an id finds them by that
 * (inode_export.c). And a guest that is short of memory forgets what it looks up again soon: LOOKUP
 * finds them by identity (find_alike()), with the descriptor and the idle file that they may still
 * have, which saves what these save for others.
 *
 * A lingering inode keeps no descriptor that nobody uses: the janitor closes all of them, after as
 * long as those of regular files. A file handle of the host is all that is left then; so inodes
 * without one do not linger, nor do those of mounts below the share, which would be busy. And only
 * file systems that are known to be local are left with a descriptor: elsewhere it may be in the
 * way of others, and may not keep a number from being used again.
 *
 *   lingers   set while the id is in the ring, under the ring's lock (a leaf). The inode may be in
 *             use again: then it is left alone when its turn comes, and enters anew when forgotten.
 *             Looked at without the lock by who has just taken the last lookup; its turn clears it
 *             and then looks at lookups. Both in full order: one of them sees what the other did.
 */
#include "inode_table.h"
#include "server.h"

static bool may_linger(struct inode_table *table, const struct inode *inode)
{
    const struct session *session = &table->server->session;
    if (!atomic_load(&session->ready) || !session_has(session, FUSE_EXPORT_SUPPORT))
        return false;
    if (!S_ISREG(inode->type) && !S_ISDIR(inode->type) && !S_ISLNK(inode->type))
        return false;
    /*
     * One that keeps its descriptor has lost its last name, or never had any. The slot comes first:
     * a descriptor that is cached gets one before it is there, and is gone before it loses that.
     */
    bool pinned = atomic_load(&inode->cache_slot) == INODE_CACHE_NO_SLOT && inode_has_fd(inode);
    return inode->handle_length && !pinned && inode->mount == table->slab[INODE_ROOT].mount;
}

bool inode_linger(struct inode_table *table, struct inode *inode, uint64_t *ret_oldest)
{
    struct inode_ring *ring = &table->ring;
    *ret_oldest = 0;
    if (!may_linger(table, inode))
        return false;
    if (!inode_closes_silently(table, inode))
        inode_cache_drop(table, inode);
    else if (inode_has_fd(inode))
        janitor_wake(table->server->janitor);
    if (atomic_load(&inode->lingers))
        return true;
    pthread_mutex_lock(&ring->lock);
    if (!inode->lingers) {
        inode->lingers = true;
        uint64_t *place = &ring->ids[ring->next];
        *ret_oldest = *place;
        *place = inode_id(table, inode);
        ring->next = (ring->next + 1) % INODES_LINGERING_MAX;
        struct inode *oldest;
        if (*ret_oldest && inode_get(table, *ret_oldest, &oldest) == 0)
            oldest->lingers = false;
    }
    pthread_mutex_unlock(&ring->lock);
    return true;
}
