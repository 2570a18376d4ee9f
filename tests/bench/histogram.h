// SPDX-License-Identifier: BSD-3-Clause
/*
 * Latencies in buckets whose width is 1/32 of their value at most.
 *
 * Owner: whoever holds the struct; all zeroes is empty.  Threads: one.  Values are nanoseconds;
 * above 2^40 (18 minutes) they count as 2^40.
 */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_SUB_BITS 5
#define HISTOGRAM_MAX_BITS 40
#define HISTOGRAM_BUCKETS  ((HISTOGRAM_MAX_BITS - HISTOGRAM_SUB_BITS + 2) << HISTOGRAM_SUB_BITS)

struct histogram {
    uint64_t count[HISTOGRAM_BUCKETS];
    uint64_t n;
    uint64_t sum;
    uint64_t max;
};

void histogram_add(struct histogram *h, uint64_t ns);

/* Value that PERCENT (0 to 100) of all values do not exceed, to a bucket's middle; 0 when empty. */
uint64_t histogram_percentile(const struct histogram *h, double percent);

#endif
