// SPDX-License-Identifier: BSD-3-Clause
#include "rules.h"

#include <errno.h>
#include <fnmatch.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tree.h"

#define RULES_MAX 64
#define ANY_OP    OP_COUNT

struct rule {
    unsigned op; /* or ANY_OP */
    long delay_ms;
    bool hang;
    int error; /* negative errno, or 0 */
    char pattern[256];
};

#define RULES_NAME(name) #name,
static const char *const op_names[] = {RULES_OPS(RULES_NAME)};
#undef RULES_NAME

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed; /* on the monotonic clock */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct rule rules[RULES_MAX];
static unsigned rule_count;
static unsigned held;       /* calls that wait */
static unsigned generation; /* of "release" */
static bool deaf;           /* interrupts are not listened to */
static unsigned long seen[OP_COUNT];

struct interrupt {
    bool came;
};

static void start(void)
{
    pthread_condattr_t attr;

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&changed, &attr);
    pthread_condattr_destroy(&attr);
}

static void interrupted(fuse_req_t req, void *argument)
{
    struct interrupt *interrupt = argument;

    (void)req;
    pthread_mutex_lock(&lock);
    interrupt->came = true;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static bool fits(const struct rule *rule, unsigned op, const char *path)
{
    return (rule->op == ANY_OP || rule->op == op) && fnmatch(rule->pattern, path, 0) == 0;
}

/* lock held. Everything that the rules say of a call, taken together. */
static struct rule verdict(unsigned op, const char *path)
{
    struct rule sum = {0};

    for (unsigned i = 0; i < rule_count; i++) {
        if (!fits(&rules[i], op, path))
            continue;
        sum.delay_ms += rules[i].delay_ms;
        sum.hang |= rules[i].hang;
        if (!sum.error)
            sum.error = rules[i].error;
    }
    return sum;
}

static struct timespec after(long milliseconds)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    ts.tv_sec += milliseconds / 1000;
    ts.tv_nsec += milliseconds % 1000 * 1000000;
    if (ts.tv_nsec >= 1000000000) {
        ts.tv_nsec -= 1000000000;
        ts.tv_sec++;
    }
    return ts;
}

/* lock held. Returns 0, or -EINTR. */
static int wait_as_told(const struct rule *what, const struct interrupt *interrupt)
{
    struct timespec end = after(what->delay_ms);
    unsigned mine = generation;
    int rc = 0;

    held++;
    while (mine == generation && (what->hang || rc != ETIMEDOUT)) {
        if (interrupt->came && !deaf)
            break;
        rc = what->hang ? pthread_cond_wait(&changed, &lock)
                        : pthread_cond_timedwait(&changed, &lock, &end);
    }
    held--;
    return interrupt->came && !deaf ? -EINTR : 0;
}

int rules_hold(enum rules_op op, uint64_t ino, const char *name, fuse_req_t req)
{
    struct interrupt interrupt = {0};
    char path[PATH_MAX];
    size_t length;
    int rc = 0;

    pthread_once(&once, start);
    tree_path(ino, path, sizeof(path));
    length = strlen(path);
    if (name)
        snprintf(path + length, sizeof(path) - length, "/%s", name);

    pthread_mutex_lock(&lock);
    seen[op]++;
    struct rule what = verdict(op, name && length == 1 ? path + 1 : path);
    pthread_mutex_unlock(&lock);
    if (!what.delay_ms && !what.hang)
        return what.error;

    fuse_req_interrupt_func(req, interrupted, &interrupt);
    pthread_mutex_lock(&lock);
    rc = wait_as_told(&what, &interrupt);
    pthread_mutex_unlock(&lock);
    fuse_req_interrupt_func(req, NULL, NULL);
    return rc ? rc : what.error;
}

static unsigned op_number(const char *name)
{
    if (strcmp(name, "*") == 0)
        return ANY_OP;
    for (unsigned i = 0; i < OP_COUNT; i++)
        if (strcmp(op_names[i], name) == 0)
            return i;
    return UINT_MAX;
}

static int error_number(const char *name)
{
    for (int i = 1; i < 200; i++) {
        const char *known = strerrorname_np(i);
        if (known && strcmp(known, name) == 0)
            return i;
    }
    return 0;
}

/* lock held. "delay", "fail", "hang" with their words. */
static bool add_rule(const char *verb, const char *op, const char *value, const char *pattern)
{
    struct rule rule = {.op = op_number(op)};

    if (strcmp(verb, "hang") == 0) {
        rule.hang = true;
        pattern = value;
    } else if (strcmp(verb, "delay") == 0) {
        rule.delay_ms = atol(value);
    } else if (strcmp(verb, "fail") == 0) {
        rule.error = -error_number(value);
    }
    if (rule.op == UINT_MAX || rule_count == RULES_MAX ||
        (!rule.hang && !rule.delay_ms && !rule.error))
        return false;
    snprintf(rule.pattern, sizeof(rule.pattern), "%s", *pattern ? pattern : "*");
    rules[rule_count++] = rule;
    return true;
}

/* lock held. False: not understood. */
static bool obey(char word[4][200], int words, unsigned long *ret_number)
{
    unsigned op = words > 1 ? op_number(word[1]) : UINT_MAX;

    if (words == 1 && strcmp(word[0], "clear") == 0) {
        rule_count = 0;
    } else if (words == 1 && strcmp(word[0], "release") == 0) {
        generation++;
        pthread_cond_broadcast(&changed);
    } else if (words == 1 && strcmp(word[0], "held") == 0) {
        *ret_number = held;
    } else if (words == 1 && strcmp(word[0], "deaf") == 0) {
        deaf = true;
    } else if (words == 2 && strcmp(word[0], "seen") == 0 && op < OP_COUNT) {
        *ret_number = seen[op];
    } else {
        return words >= 2 && add_rule(word[0], word[1], word[2], word[3]);
    }
    return true;
}

void rules_command(const char *line, char *ret_answer, size_t size)
{
    char word[4][200] = {"", "", "", ""};
    unsigned long number = 0;
    int words = sscanf(line, "%199s %199s %199s %199s", word[0], word[1], word[2], word[3]);

    pthread_once(&once, start);
    pthread_mutex_lock(&lock);
    bool fine = words > 0 && obey(word, words, &number);
    pthread_mutex_unlock(&lock);
    snprintf(ret_answer, size, fine ? "ok %lu" : "what? %lu", number);
}
