// SPDX-License-Identifier: BSD-3-Clause
/*
 * Waits until a daemon has nothing to do, and counts its system calls meanwhile (ptrace): exactly,
 * whatever else runs on the machine, its sandbox and its system call filter as they are.
 *
 * A traced daemon makes no system call without trace_run_until_asleep(), so between trace_attach()
 * and trace_detach() nothing else may wait for it.
 *
 * Owner: the caller holds the struct.  Threads: the one that attached.
 */
#ifndef BENCH_TRACE_H
#define BENCH_TRACE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "account.h"

#define TRACE_CALLS_MAX   512 /* numbers of system calls */
#define TRACE_THREADS_MAX 64

struct trace_thread {
    pid_t tid;
    char name[16];
    uint64_t n_calls;
    uint64_t calls[TRACE_CALLS_MAX];
    uint64_t eventfd; /* of them, reads and writes of eventfd descriptors */
};

struct trace_counts {
    struct trace_thread threads[TRACE_THREADS_MAX]; /* that called; more are not counted */
    unsigned int n_threads;
};

struct trace {
    const struct account_tree *tree;
    bool attached;
    struct trace_counts counts;
};

/* Takes hold of all threads of TREE, which must outlive the trace, and of those that they will
 * start.  -EPERM: not allowed.  Without COUNT the daemon is only looked at. */
int trace_attach(struct trace *ret_trace, const struct account_tree *tree, bool count);

/* Lets the daemon go on until all its threads sleep in the kernel, or TIMEOUT_MS have passed
 * (-ETIMEDOUT).  -ESRCH: it ended. */
int trace_run_until_asleep(struct trace *trace, unsigned int timeout_ms);

/* The daemon goes on by itself. */
void trace_detach(struct trace *trace);

#endif
