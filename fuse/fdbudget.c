// SPDX-License-Identifier: BSD-3-Clause
/* Numbers only: nothing is found by them, so that their order towards other memory is no matter. */
#include "fdbudget.h"

#include <errno.h>
#include <stdbool.h>

void fd_budget_init(struct fd_budget *budget, int limit)
{
    *budget = (struct fd_budget){.limit = limit};
    pthread_mutex_init(&budget->lock, NULL);
}

void fd_budget_join(struct fd_budget *budget, struct fd_purse *purse)
{
    pthread_mutex_lock(&budget->lock);
    purse->next = budget->purses;
    budget->purses = purse;
    pthread_mutex_unlock(&budget->lock);
}

/* Returns whether anything was in it. */
static bool empty(struct fd_budget *budget, struct fd_purse *purse)
{
    int spare = atomic_exchange_explicit(&purse->spare, 0, memory_order_relaxed);
    atomic_fetch_sub_explicit(&budget->used, spare, memory_order_relaxed);
    return spare != 0;
}

void fd_budget_leave(struct fd_budget *budget, struct fd_purse *purse)
{
    pthread_mutex_lock(&budget->lock);
    struct fd_purse **link = &budget->purses;
    while (*link && *link != purse)
        link = &(*link)->next;
    if (*link)
        *link = purse->next;
    pthread_mutex_unlock(&budget->lock);
    empty(budget, purse);
}

static bool empty_all(struct fd_budget *budget)
{
    bool any = false;
    pthread_mutex_lock(&budget->lock);
    for (struct fd_purse *purse = budget->purses; purse; purse = purse->next)
        any |= empty(budget, purse);
    pthread_mutex_unlock(&budget->lock);
    return any;
}

int fd_budget_used(struct fd_budget *budget)
{
    pthread_mutex_lock(&budget->lock);
    int used = atomic_load(&budget->used);
    for (struct fd_purse *purse = budget->purses; purse; purse = purse->next)
        used -= atomic_load(&purse->spare);
    pthread_mutex_unlock(&budget->lock);
    return used;
}

/* Takes so many, or none. */
static bool claim(struct fd_budget *budget, int count)
{
    int used = atomic_load_explicit(&budget->used, memory_order_relaxed);
    while (used <= budget->limit - count) {
        if (atomic_compare_exchange_weak_explicit(&budget->used, &used, used + count,
                                                  memory_order_relaxed, memory_order_relaxed))
            return true;
    }
    return false;
}

int fd_budget_fetch(struct fd_budget *budget, struct fd_purse *purse)
{
    if (purse && claim(budget, FD_LOT)) {
        atomic_fetch_add_explicit(&purse->spare, FD_LOT - 1, memory_order_relaxed);
        return 0;
    }
    /* Another thread may be faster with what comes out of the purses, but it is not lost then. */
    do {
        if (claim(budget, 1))
            return 0;
    } while (empty_all(budget));
    return -ENFILE;
}

void fd_budget_return(struct fd_budget *budget, struct fd_purse *purse)
{
    int spare = atomic_load_explicit(&purse->spare, memory_order_relaxed);
    while (spare > FD_LOT) {
        if (atomic_compare_exchange_weak_explicit(&purse->spare, &spare, FD_LOT,
                                                  memory_order_relaxed, memory_order_relaxed)) {
            atomic_fetch_sub_explicit(&budget->used, spare - FD_LOT, memory_order_relaxed);
            return;
        }
    }
}
