// SPDX-License-Identifier: BSD-3-Clause
/*
 * Large files without a name. A file that has lost its last name lives on as long as the guest
 * knows it; then its inode's descriptor is the last thing that leads to it, and closing that is the
 * deletion. It takes the host a millisecond for each ten megabytes or so, in which no request
 * should have to wait. So whoever removes the name marks the inode, and the janitor is given the
 * descriptor in the end. What became large only afterwards is closed as all others are.
 *
 * There are few at a time, mostly none: a handful of places serves all, and is looked through.
 */
#include "bare_call.h"
#include "inode_table.h"
#include "server.h"

void inode_mark_large(struct inode_table *table, const struct inode *inode)
{
    struct inode_marks *marks = &table->marks;

    if (atomic_fetch_add(&marks->count, 1) < INODES_MARKED_MAX) {
        for (unsigned i = 0; i < INODES_MARKED_MAX; i++) {
            uint32_t none = 0;
            if (atomic_compare_exchange_strong(&marks->slots[i], &none, inode_index(table, inode)))
                return;
        }
    }
    atomic_fetch_sub(&marks->count, 1);
}

static bool unmark(struct inode_table *table, const struct inode *inode)
{
    struct inode_marks *marks = &table->marks;
    bool was_marked = false;

    if (atomic_load_explicit(&marks->count, memory_order_relaxed) == 0)
        return false;
    /* More than once, if it got a name again and lost that as well. */
    for (unsigned i = 0; i < INODES_MARKED_MAX; i++) {
        uint32_t index = inode_index(table, inode);
        if (!atomic_compare_exchange_strong(&marks->slots[i], &index, 0))
            continue;
        atomic_fetch_sub(&marks->count, 1);
        was_marked = true;
    }
    return was_marked;
}

void inode_close_last(struct inode_table *table, const struct inode *inode, int fd)
{
    struct fuse_server *server = table->server;
    bool is_large = unmark(table, inode);

    if (fd < 0 || (is_large && janitor_close(server->janitor, fd)))
        return;
    bare_close(fd);
    fd_budget_give(&server->budget, NULL);
}
