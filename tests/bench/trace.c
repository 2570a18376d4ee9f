// SPDX-License-Identifier: BSD-3-Clause
#include "trace.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/ptrace.h>

#define OPTIONS        (PTRACE_O_TRACECLONE | PTRACE_O_TRACESYSGOOD)
#define SYSCALL_STOP   (SIGTRAP | 0x80)
/* After so many system calls a thread has the name that it keeps. */
#define NAMELESS_CALLS 16
#define LOOK_NS        20000 /* between two looks at a daemon that does something */

/* Calls VISIT for each thread, until it returns something else than 0, and returns that. */
static int for_each_thread(const struct account_tree *tree, int (*visit)(pid_t pid, pid_t tid))
{
    int r = 0;

    for (unsigned int i = 0; r == 0 && i < tree->n_pids; i++) {
        struct dirent *entry;
        char path[64];
        DIR *dir;

        snprintf(path, sizeof(path), "/proc/%d/task", (int)tree->pids[i]);
        dir = opendir(path);
        if (!dir)
            return -ESRCH;
        while (r == 0 && (entry = readdir(dir)))
            if (isdigit((unsigned char)entry->d_name[0]))
                r = visit(tree->pids[i], (pid_t)atoi(entry->d_name));
        closedir(dir);
    }
    return r;
}

static bool is_eventfd(pid_t tid, uint64_t fd)
{
    char path[64];
    char target[32];
    ssize_t n;

    snprintf(path, sizeof(path), "/proc/%d/fd/%llu", (int)tid, (unsigned long long)fd);
    n = readlink(path, target, sizeof(target) - 1);
    if (n < 0)
        return false;
    target[n] = '\0';
    return strcmp(target, "anon_inode:[eventfd]") == 0;
}

static void read_name(pid_t tid, char *name, size_t size)
{
    char path[64];
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%d/comm", (int)tid);
    f = fopen(path, "re");
    if (!f || !fgets(name, (int)size, f))
        snprintf(name, size, "?");
    if (f)
        fclose(f);
    name[strcspn(name, "\n")] = '\0';
}

static struct trace_thread *find_thread(struct trace_counts *counts, pid_t tid)
{
    struct trace_thread *thread;

    for (unsigned int i = 0; i < counts->n_threads; i++)
        if (counts->threads[i].tid == tid)
            return &counts->threads[i];
    if (counts->n_threads == TRACE_THREADS_MAX)
        return NULL;
    thread = &counts->threads[counts->n_threads++];
    *thread = (struct trace_thread){.tid = tid};
    return thread;
}

static void count_call(struct trace *trace, pid_t tid)
{
    struct ptrace_syscall_info info;
    struct trace_thread *thread;

    if (ptrace(PTRACE_GET_SYSCALL_INFO, tid, sizeof(info), &info) <= 0 ||
        info.op != PTRACE_SYSCALL_INFO_ENTRY || info.entry.nr >= TRACE_CALLS_MAX)
        return;
    thread = find_thread(&trace->counts, tid);
    if (!thread)
        return;
    /* A new thread has its creator's name for a while. */
    if (thread->n_calls++ < NAMELESS_CALLS)
        read_name(tid, thread->name, sizeof(thread->name));
    thread->calls[info.entry.nr]++;
    switch (info.entry.nr) {
    case SYS_read:
    case SYS_write:
    case SYS_readv:
    case SYS_writev:
    case SYS_preadv2:
    case SYS_pwritev2:
        thread->eventfd += is_eventfd(tid, info.entry.args[0]);
    }
}

/* A stopped thread goes on to its next system call.  What is not ours is its own signal. */
static void resume(pid_t tid, int status)
{
    int signal = WSTOPSIG(status);
    bool ours = status >> 16 || signal == SYSCALL_STOP;

    ptrace(PTRACE_SYSCALL, tid, 0, ours ? 0L : (long)signal);
}

/* Handles what has stopped.  Returns whether there was anything. */
static bool pump(struct trace *trace)
{
    bool any = false;
    int status;
    pid_t tid;

    while (trace->attached && (tid = waitpid(-1, &status, __WALL | WNOHANG)) > 0) {
        any = true;
        if (!WIFSTOPPED(status))
            continue;
        if (WSTOPSIG(status) == SYSCALL_STOP)
            count_call(trace, tid);
        resume(tid, status);
    }
    return any;
}

/* 0: it sleeps.  1: not, or it has ended meanwhile. */
static int is_awake(pid_t pid, pid_t tid)
{
    char path[64];
    char line[512];
    char *rest = NULL;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", (int)pid, (int)tid);
    f = fopen(path, "re");
    if (!f)
        return 1;
    /* The name in brackets may hold anything. */
    if (fgets(line, sizeof(line), f))
        rest = strrchr(line, ')');
    fclose(f);
    return !(rest && rest[1] == ' ' && rest[2] == 'S');
}

static uint64_t now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000u + (uint64_t)ts.tv_nsec / 1000000u;
}

/* 1: all sleep.  0: not.  Negative errno: the daemon ended. */
static int all_sleep(struct trace *trace)
{
    int awake = pump(trace);

    /* Between the looks at two threads one may have woken the other: twice, therefore. */
    for (int i = 0; i < 2 && !awake; i++)
        awake = for_each_thread(trace->tree, is_awake);
    if (awake < 0)
        return awake;
    return !awake && !pump(trace);
}

int trace_run_until_asleep(struct trace *trace, unsigned int timeout_ms)
{
    uint64_t end = now_ms() + timeout_ms;
    int r = 0;

    while (r == 0 && now_ms() < end) {
        r = all_sleep(trace);
        if (r == 0)
            nanosleep(&(struct timespec){.tv_nsec = LOOK_NS}, NULL);
    }
    if (r == 0)
        return -ETIMEDOUT;
    return r < 0 ? r : 0;
}

static int attach_thread(pid_t pid, pid_t tid)
{
    (void)pid;
    if (ptrace(PTRACE_SEIZE, tid, 0, (long)OPTIONS) < 0 || ptrace(PTRACE_INTERRUPT, tid, 0, 0) < 0)
        return -errno;
    return 0;
}

int trace_attach(struct trace *ret_trace, const struct account_tree *tree, bool count)
{
    *ret_trace = (struct trace){.tree = tree, .attached = count};
    return count ? for_each_thread(tree, attach_thread) : 0;
}

static int detach_thread(pid_t pid, pid_t tid)
{
    int status;

    (void)pid;
    if (ptrace(PTRACE_INTERRUPT, tid, 0, 0) == 0 && waitpid(tid, &status, __WALL) == tid)
        ptrace(PTRACE_DETACH, tid, 0, 0);
    return 0;
}

void trace_detach(struct trace *trace)
{
    if (trace->attached)
        for_each_thread(trace->tree, detach_thread);
    trace->attached = false;
}
