// SPDX-License-Identifier: BSD-3-Clause
/*
 * The smallest possible test frame. A test program lists its cases in main():
 *
 *     int main(void)
 *     {
 *         RUN(case_one);
 *         return test_result();
 *     }
 *
 * A CHECK that fails prints file, line and the condition, and ends its case; the program goes on
 * with the next case and ends with status 1. Single-threaded, but for test_failed.
 */
#ifndef VIOFS_TEST_H
#define VIOFS_TEST_H

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

static atomic_int test_failed;

#define CHECK(condition)                                                                          \
    do {                                                                                          \
        if (!(condition)) {                                                                       \
            fprintf(stderr, "%s:%d: %s: failed: %s\n", __FILE__, __LINE__, __func__, #condition); \
            test_failed++;                                                                        \
            return;                                                                               \
        }                                                                                         \
    } while (0)

/* Compares two integers of any type and prints both. */
#define CHECK_EQ(got, wanted)                                                              \
    do {                                                                                   \
        intmax_t got_ = (intmax_t)(got);                                                   \
        intmax_t wanted_ = (intmax_t)(wanted);                                             \
        if (got_ != wanted_) {                                                             \
            fprintf(stderr, "%s:%d: %s: failed: %s is %jd, not %jd\n", __FILE__, __LINE__, \
                    __func__, #got, got_, wanted_);                                        \
            test_failed++;                                                                 \
            return;                                                                        \
        }                                                                                  \
    } while (0)

/* Runs one case; it is a void function without arguments. */
#define RUN(test_case)                                                           \
    do {                                                                         \
        int before_ = test_failed;                                               \
        test_case();                                                             \
        printf("%s %s\n", test_failed == before_ ? "ok  " : "FAIL", #test_case); \
        fflush(stdout);                                                          \
    } while (0)

static inline int test_result(void)
{
    return test_failed ? 1 : 0;
}

#endif
