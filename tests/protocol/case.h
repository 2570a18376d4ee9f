// SPDX-License-Identifier: BSD-3-Clause
/*
 * Cases and how they fail.
 *
 * A test program is a table of cases and a call of case_main(). Each case runs in a process and
 * process group of its own with a daemon of its own, so that a case may stop anywhere: what it
 * leaves behind is killed and removed by the parent. Prints "ok NAME" or "not ok NAME: why".
 */
#ifndef PROTOCOL_CASE_H
#define PROTOCOL_CASE_H

#include <stddef.h>

#include "daemon.h"

enum case_end {
    END_LEAVE, /* all descriptors of the case are closed; the daemon must then exit with 0 */
    END_TERM,  /* SIGTERM while everything is still open */
    END_SELF,  /* the case has ended the daemon, or never started one */
};

struct test_case {
    const char *name;
    void (*run)(struct daemon *daemon);
    const char *words; /* further words of the daemon's command line, or NULL */
    enum case_end end;
    enum daemon_socket how;
    bool not_started; /* only prepared: the case starts the daemon, or runs it */
    const void *data; /* for cases that share a function: case_data() */
};

/* Runs the cases whose names contain one of the arguments (without arguments: all). Returns the
 * exit status for main(). */
int case_main(int argc, char **argv, const struct test_case *cases, size_t count);

/* The data column of the running case. */
const void *case_data(void);

_Noreturn void test_fail(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#define FAIL(...) test_fail(__FILE__, __LINE__, __VA_ARGS__)

#define CHECK(condition)            \
    do {                            \
        if (!(condition))           \
            FAIL("%s", #condition); \
    } while (0)

/* Integers of any kind, printed when they differ. */
#define CHECK_EQ(a, b)                                                                         \
    do {                                                                                       \
        long long a_ = (long long)(a), b_ = (long long)(b);                                    \
        if (a_ != b_)                                                                          \
            FAIL("%s is %lld (%#llx), not %s (%lld)", #a, a_, (unsigned long long)a_, #b, b_); \
    } while (0)

/* A call of the front-end library that must succeed. */
#define OK(call)                                          \
    do {                                                  \
        int ok_ = (call);                                 \
        if (ok_ < 0)                                      \
            FAIL("%s: %s", #call, strerrorname_np(-ok_)); \
    } while (0)

#endif
