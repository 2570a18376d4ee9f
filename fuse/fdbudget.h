// SPDX-License-Identifier: BSD-3-Clause
/*
 * The descriptors that a guest can make us hold: open files, cached and pinned O_PATH descriptors.
 * Counted, so that the process never runs out of those it needs for itself (sockets, eventfds).
 *
 * Owner: the server. Any thread; no lock.
 */
#ifndef VIOFS_FDBUDGET_H
#define VIOFS_FDBUDGET_H

#include <errno.h>
#include <stdatomic.h>

struct fd_budget {
    int limit;
    _Alignas(64) atomic_int used;
    atomic_int lent; /* counted no more, because something took their place, and still open */
};

/* As many as may be open beyond the limit for the length of a request. */
#define FD_BUDGET_LENT_MAX 256

/* Takes one descriptor from the budget. Returns 0, or -ENFILE when it is spent. */
static inline int fd_budget_take(struct fd_budget *budget)
{
    if (atomic_fetch_add_explicit(&budget->used, 1, memory_order_relaxed) < budget->limit)
        return 0;
    atomic_fetch_sub_explicit(&budget->used, 1, memory_order_relaxed);
    return -ENFILE;
}

static inline void fd_budget_give(struct fd_budget *budget)
{
    atomic_fetch_sub_explicit(&budget->used, 1, memory_order_relaxed);
}

#endif
