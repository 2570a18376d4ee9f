// SPDX-License-Identifier: BSD-3-Clause
/*
 * What a daemon, this program and the rest of the machine used up between two moments.
 *
 * A daemon is a process tree: a sandbox may put a launcher above the process that serves.
 * Owner: the caller holds the structs, nothing to free.  Threads: one.
 */
#ifndef BENCH_ACCOUNT_H
#define BENCH_ACCOUNT_H

#include <stdint.h>
#include <sys/types.h>

#define ACCOUNT_PIDS_MAX 64

struct account_tree {
    pid_t pids[ACCOUNT_PIDS_MAX];
    unsigned int n_pids;
};

struct account {
    uint64_t daemon_ns;      /* CPU time of all threads, also of those that ended */
    uint64_t daemon_user_ns; /* of it in user mode; counted in ticks of the clock */
    uint64_t daemon_system_ns;
    uint64_t voluntary;   /* context switches of the threads that live now */
    uint64_t involuntary; /* ditto */
    uint64_t client_ns;   /* this process */
    uint64_t machine_ns;  /* all CPUs, not idle; stolen time included; in ticks */
};

/* Finds PID and its descendants.  -ESRCH: no such process.  -E2BIG: more than ACCOUNT_PIDS_MAX. */
int account_find_tree(struct account_tree *ret_tree, pid_t pid);

/* The state now.  An empty tree gives zeroes for the daemon.  -ESRCH: the daemon died. */
int account_read(struct account *ret_account, const struct account_tree *tree);

/* *account -= *before, each field. */
void account_subtract(struct account *account, const struct account *before);

#endif
