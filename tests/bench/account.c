// SPDX-License-Identifier: BSD-3-Clause
#include "account.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S 1000000000ull

static uint64_t ticks_to_ns(uint64_t ticks)
{
    return ticks * (NS_PER_S / (uint64_t)sysconf(_SC_CLK_TCK));
}

struct stat_line {
    pid_t parent;
    uint64_t user_ticks;
    uint64_t system_ticks;
};

/* /proc/PID/stat; the name in brackets may hold anything, so it is skipped from behind. */
static int read_stat(pid_t pid, struct stat_line *ret_line)
{
    char path[64];
    char line[1024];
    struct stat_line parsed;
    unsigned long user, sys;
    char *rest = NULL;
    FILE *f;
    int parent;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    f = fopen(path, "re");
    if (!f)
        return -ESRCH;
    if (fgets(line, sizeof(line), f))
        rest = strrchr(line, ')');
    fclose(f);
    if (!rest || sscanf(rest + 1, " %*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &parent,
                        &user, &sys) != 3)
        return -ESRCH;
    parsed = (struct stat_line){.parent = parent, .user_ticks = user, .system_ticks = sys};
    *ret_line = parsed;
    return 0;
}

static int in_tree(const struct account_tree *tree, pid_t pid)
{
    for (unsigned int i = 0; i < tree->n_pids; i++)
        if (tree->pids[i] == pid)
            return 1;
    return 0;
}

/* One pass over /proc: adds children of what is there.  Returns how many, or -E2BIG. */
static int add_children(struct account_tree *tree)
{
    DIR *dir = opendir("/proc");
    struct dirent *entry;
    int added = 0;

    if (!dir)
        return -errno;
    while ((entry = readdir(dir))) {
        struct stat_line line;
        pid_t pid = (pid_t)atoi(entry->d_name);

        if (pid <= 0 || in_tree(tree, pid) || read_stat(pid, &line) < 0 ||
            !in_tree(tree, line.parent))
            continue;
        if (tree->n_pids == ACCOUNT_PIDS_MAX) {
            closedir(dir);
            return -E2BIG;
        }
        tree->pids[tree->n_pids++] = pid;
        added++;
    }
    closedir(dir);
    return added;
}

int account_find_tree(struct account_tree *ret_tree, pid_t pid)
{
    struct account_tree tree = {.pids = {pid}, .n_pids = 1};
    struct stat_line line;
    int r = read_stat(pid, &line);

    if (r < 0)
        return r;
    do {
        r = add_children(&tree);
    } while (r > 0);
    if (r < 0)
        return r;
    *ret_tree = tree;
    return 0;
}

/* Adds the switches of one thread. */
static void add_switches(pid_t pid, const char *tid, struct account *account)
{
    char path[320];
    char line[256];
    unsigned long n;
    FILE *f;

    snprintf(path, sizeof(path), "/proc/%d/task/%s/status", (int)pid, tid);
    f = fopen(path, "re");
    if (!f)
        return; /* it ended */
    while (fgets(line, sizeof(line), f)) {
        if (sscanf(line, "voluntary_ctxt_switches: %lu", &n) == 1)
            account->voluntary += n;
        else if (sscanf(line, "nonvoluntary_ctxt_switches: %lu", &n) == 1)
            account->involuntary += n;
    }
    fclose(f);
}

static int add_process(pid_t pid, struct account *account)
{
    struct stat_line line;
    struct timespec ts;
    struct dirent *entry;
    clockid_t clock;
    char path[64];
    DIR *dir;

    /* The process's CPU clock: exact, where /proc counts in ticks. */
    if (clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &ts) < 0 ||
        read_stat(pid, &line) < 0)
        return -ESRCH;
    account->daemon_ns += (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
    account->daemon_user_ns += ticks_to_ns(line.user_ticks);
    account->daemon_system_ns += ticks_to_ns(line.system_ticks);
    snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    dir = opendir(path);
    if (!dir)
        return -ESRCH;
    while ((entry = readdir(dir)))
        if (isdigit((unsigned char)entry->d_name[0]))
            add_switches(pid, entry->d_name, account);
    closedir(dir);
    return 0;
}

/* First line of /proc/stat: user nice system idle iowait irq softirq steal ... */
static int read_machine(uint64_t *ret_ns)
{
    unsigned long v[8];
    FILE *f = fopen("/proc/stat", "re");
    int n;

    if (!f)
        return -errno;
    n = fscanf(f, "cpu %lu %lu %lu %lu %lu %lu %lu %lu", &v[0], &v[1], &v[2], &v[3], &v[4], &v[5],
               &v[6], &v[7]);
    fclose(f);
    if (n != 8)
        return -EIO;
    *ret_ns = ticks_to_ns(v[0] + v[1] + v[2] + v[5] + v[6] + v[7]);
    return 0;
}

int account_read(struct account *ret_account, const struct account_tree *tree)
{
    struct account account = {0};
    struct timespec ts;
    int r = read_machine(&account.machine_ns);

    for (unsigned int i = 0; r == 0 && i < tree->n_pids; i++)
        r = add_process(tree->pids[i], &account);
    if (r < 0)
        return r;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    account.client_ns = (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
    *ret_account = account;
    return 0;
}

void account_subtract(struct account *account, const struct account *before)
{
    account->daemon_ns -= before->daemon_ns;
    account->daemon_user_ns -= before->daemon_user_ns;
    account->daemon_system_ns -= before->daemon_system_ns;
    account->voluntary -= before->voluntary;
    account->involuntary -= before->involuntary;
    account->client_ns -= before->client_ns;
    account->machine_ns -= before->machine_ns;
}
