// SPDX-License-Identifier: BSD-3-Clause
/*
 * The system call filter, made from syscalls.def by libseccomp. Loaded once, before any thread;
 * no-new-privs must be set, and the process id must be the final one.
 */
#ifndef VIOFS_SECCOMP_FILTER_H
#define VIOFS_SECCOMP_FILTER_H

#include "settings.h"

enum syscall_group { GROUP_ALWAYS, GROUP_SYSLOG, GROUP_SANITIZED };

enum syscall_rule_kind {
    RULE_ANY,
    RULE_IS,
    RULE_BITS, /* of the bits in mask exactly value: also WITHOUT */
    RULE_SELF,
    RULE_FAILS,
    RULE_FAILS_IF,
};

struct syscall_rule {
    enum syscall_rule_kind kind;
    unsigned argument;
    uint64_t value;
    uint64_t mask;
    int error;
};

struct syscall_row {
    enum syscall_group group;
    const char *name;
    struct syscall_rule rule;
    const char *reason;
};

extern const struct syscall_row syscall_rows[];
extern const unsigned syscall_row_count;

/* Loads the filter. Returns 0, or a negative errno after one line in the log. */
int seccomp_filter_load(enum seccomp_mode mode, bool with_syslog);

#endif
