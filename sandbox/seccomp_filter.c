// SPDX-License-Identifier: BSD-3-Clause
#include "seccomp_filter.h"

#include <asm/termbits.h>
#include <asm/ioctls.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sched.h>
#include <seccomp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "log.h"
#include "scope.h"

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#endif

#define CLONE_NAMESPACES                                                                          \
    (CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | \
     CLONE_NEWNET)

#define ANY              \
    {                    \
        .kind = RULE_ANY \
    }
#define IS(n, v)                                       \
    {                                                  \
        .kind = RULE_IS, .argument = (n), .value = (v) \
    }
#define BITS(n, m, v)                                                 \
    {                                                                 \
        .kind = RULE_BITS, .argument = (n), .mask = (m), .value = (v) \
    }
#define WITHOUT(n, m) BITS(n, m, 0)
#define SELF(n)                            \
    {                                      \
        .kind = RULE_SELF, .argument = (n) \
    }
#define FAILS(e)                         \
    {                                    \
        .kind = RULE_FAILS, .error = (e) \
    }
#define FAILS_IF(n, v, e)                                                  \
    {                                                                      \
        .kind = RULE_FAILS_IF, .argument = (n), .value = (v), .error = (e) \
    }

#define SYSCALL(group, name, rule, reason) {GROUP_##group, #name, rule, reason},

/* clang-format off */
const struct syscall_row syscall_rows[] = {
#include "syscalls.def"
};
/* clang-format on */

const unsigned syscall_row_count = ARRAY_SIZE(syscall_rows);

#ifdef VIOFS_SANITIZED
static const bool sanitized = true;
#else
static const bool sanitized = false;
#endif

static uint32_t default_action(enum seccomp_mode mode)
{
    switch (mode) {
    case SECCOMP_LOG:
        return SCMP_ACT_LOG;
    case SECCOMP_TRAP:
        return SCMP_ACT_TRAP;
    case SECCOMP_KILL:
    case SECCOMP_NONE:
        break;
    }
    return SCMP_ACT_KILL_PROCESS;
}

static bool is_unconditional(const struct syscall_rule *rule)
{
    return rule->kind == RULE_ANY;
}

/* libseccomp takes the first of a general and a particular rule for one call: keep the general. */
static bool is_superseded(const struct syscall_row *row)
{
    if (!sanitized || row->group == GROUP_SANITIZED || is_unconditional(&row->rule))
        return false;
    for (unsigned i = 0; i < syscall_row_count; i++)
        if (syscall_rows[i].group == GROUP_SANITIZED && !strcmp(syscall_rows[i].name, row->name))
            return true;
    return false;
}

static bool is_wanted(const struct syscall_row *row, bool with_syslog)
{
    if (is_superseded(row))
        return false;
    switch (row->group) {
    case GROUP_ALWAYS:
        return true;
    case GROUP_SYSLOG:
        return with_syslog;
    case GROUP_SANITIZED:
        break;
    }
    return sanitized;
}

static int add_row(scmp_filter_ctx filter, int number, const struct syscall_rule *rule)
{
    struct scmp_arg_cmp compare = {
        .arg = rule->argument, .op = SCMP_CMP_EQ, .datum_a = rule->value};

    switch (rule->kind) {
    case RULE_ANY:
        return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, number, 0, NULL);
    case RULE_FAILS:
        return seccomp_rule_add_array(filter, SCMP_ACT_ERRNO((uint32_t)rule->error), number, 0,
                                      NULL);
    case RULE_FAILS_IF:
        return seccomp_rule_add_array(filter, SCMP_ACT_ERRNO((uint32_t)rule->error), number, 1,
                                      &compare);
    case RULE_BITS:
        compare.op = SCMP_CMP_MASKED_EQ;
        compare.datum_a = rule->mask;
        compare.datum_b = rule->value;
        break;
    case RULE_SELF:
        compare.datum_a = (scmp_datum_t)getpid();
        break;
    case RULE_IS:
        break;
    }
    return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, number, 1, &compare);
}

static int add_rows(scmp_filter_ctx filter, bool with_syslog)
{
    for (unsigned i = 0; i < syscall_row_count; i++) {
        const struct syscall_row *row = &syscall_rows[i];
        int number = seccomp_syscall_resolve_name(row->name);

        /* Negative: unknown to libseccomp, or a call that this architecture does not have. */
        if (number < 0 || !is_wanted(row, with_syslog))
            continue;
        int error = add_row(filter, number, &row->rule);
        if (error) {
            errno = -error;
            log_error("cannot add %s to the system call filter: %m", row->name);
            return error;
        }
    }
    return 0;
}

int seccomp_filter_load(enum seccomp_mode mode, bool with_syslog)
{
    scmp_filter_ctx filter;
    int error;

    if (mode == SECCOMP_NONE)
        return 0;
    filter = seccomp_init(default_action(mode));
    if (!filter) {
        log_error("cannot make the system call filter: out of memory");
        return -ENOMEM;
    }
    /* A tree instead of a list: some 120 rows, looked up at each call. Older kernels or libraries
     * may not have one or the other attribute; the filter is as tight without. */
    seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    seccomp_attr_set(filter, SCMP_FLTATR_CTL_SSB, 1);
    seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    seccomp_attr_set(filter, SCMP_FLTATR_CTL_NNP, 0);
    error = add_rows(filter, with_syslog);
    if (!error) {
        error = seccomp_load(filter);
        if (error) {
            errno = -error;
            log_error("cannot load the system call filter: %m; --seccomp=none goes without");
        }
    }
    seccomp_release(filter);
    return error;
}
