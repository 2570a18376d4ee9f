// SPDX-License-Identifier: BSD-3-Clause
/*
 * The descriptors that a guest can make us hold: open files, cached and pinned O_PATH descriptors.
 * Counted, so that the process never runs out of those it needs for itself (sockets, eventfds).
 *
 * So that queues do not write one number at each open, a thread has a purse: it takes FD_LOT at a
 * time from the budget and gives as many back, and counts in its purse in between. What is in
 * purses counts as used, so that the limit holds; and when nothing else is left all purses are
 * emptied, so that no thread is refused what another one only keeps. A purse is written by its own
 * thread and, then, by the one that empties it: hence it is atomic, which costs its owner, who has
 * the cache line to itself, no more than a count of its own would.
 *
 * Owner: the server, and each thread of its purse. Any thread; the lock guards the list of purses.
 */
#ifndef VIOFS_FDBUDGET_H
#define VIOFS_FDBUDGET_H

#include <pthread.h>
#include <stdatomic.h>

/* What a purse is filled with, and relieved of. */
#define FD_LOT             16
#define FD_PURSE_MAX       (2 * FD_LOT)

/* As many as may be open beyond the limit until the threads have settled. */
#define FD_BUDGET_LENT_MAX 256

struct fd_purse {
    atomic_int spare;
    struct fd_purse *next; /* in the budget's list */
};

struct fd_budget {
    int limit;
    _Alignas(64) atomic_int used; /* with what is in purses; never more than the limit */
    atomic_int lent; /* counted no more, because something took their place, and still open */
    pthread_mutex_t lock;
    struct fd_purse *purses;
};

void fd_budget_init(struct fd_budget *budget, int limit);

/* An empty purse comes to the list; one that leaves it gives back what it has. */
void fd_budget_join(struct fd_budget *budget, struct fd_purse *purse);
void fd_budget_leave(struct fd_budget *budget, struct fd_purse *purse);

/* How many are in use: not those in purses. */
int fd_budget_used(struct fd_budget *budget);

/* The rest of the two below: what is not done with the purse alone. */
int fd_budget_fetch(struct fd_budget *budget, struct fd_purse *purse);
void fd_budget_return(struct fd_budget *budget, struct fd_purse *purse);

/*
 * Takes one descriptor from the budget. purse: the calling thread's; NULL: it has none at hand.
 * Returns 0, or -ENFILE when the budget is spent.
 */
static inline int fd_budget_take(struct fd_budget *budget, struct fd_purse *purse)
{
    int spare = purse ? atomic_load_explicit(&purse->spare, memory_order_relaxed) : 0;
    while (spare > 0) {
        if (atomic_compare_exchange_weak_explicit(&purse->spare, &spare, spare - 1,
                                                  memory_order_relaxed, memory_order_relaxed))
            return 0;
    }
    return fd_budget_fetch(budget, purse);
}

/* Gives one back. */
static inline void fd_budget_give(struct fd_budget *budget, struct fd_purse *purse)
{
    if (!purse)
        atomic_fetch_sub_explicit(&budget->used, 1, memory_order_relaxed);
    else if (atomic_fetch_add_explicit(&purse->spare, 1, memory_order_relaxed) >= FD_PURSE_MAX)
        fd_budget_return(budget, purse);
}

#endif
