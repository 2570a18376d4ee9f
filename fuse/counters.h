// SPDX-License-Identifier: BSD-3-Clause
/*
 * counters: how many requests of each kind the guest has sent.
 *
 * Owner: the server, and each thread of what it has counted itself: only it writes there, so that
 * counting costs no lock and no other thread's cache line. Any thread may add all up.
 */
#ifndef VIOFS_COUNTERS_H
#define VIOFS_COUNTERS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#define COUNTERS_OPCODES 64

struct counters {
    _Atomic uint64_t served[COUNTERS_OPCODES];
    struct counters *next; /* in the server's list */
};

struct counters_list {
    pthread_mutex_t lock;
    struct counters *first;
    uint64_t left[COUNTERS_OPCODES];     /* by threads that have ended */
    uint64_t reported[COUNTERS_OPCODES]; /* in earlier sessions */
};

void counters_init(struct counters_list *list);
void counters_join(struct counters_list *list, struct counters *counters);
void counters_leave(struct counters_list *list, struct counters *counters);

/* Logs what came since the last report, if anything. name gives the name of an opcode, or NULL. */
void counters_report(struct counters_list *list, const char *(*name)(uint32_t opcode));

static inline void counters_add(struct counters *counters, uint32_t opcode)
{
    _Atomic uint64_t *served = &counters->served[opcode % COUNTERS_OPCODES];
    atomic_store_explicit(served, atomic_load_explicit(served, memory_order_relaxed) + 1,
                          memory_order_relaxed);
}

#endif
