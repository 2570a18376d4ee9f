// SPDX-License-Identifier: BSD-3-Clause
/*
 * Buckets 0..63 hold one value each; from there on, a power of two is cut into 32 equal buckets.
 */
#include "histogram.h"

#define SUB (1u << HISTOGRAM_SUB_BITS)

static unsigned int bucket_of(uint64_t ns)
{
    unsigned int shift;

    if (ns < 2 * SUB)
        return (unsigned int)ns;
    if (ns >> HISTOGRAM_MAX_BITS)
        return HISTOGRAM_BUCKETS - 1;
    shift = 63 - (unsigned int)__builtin_clzll(ns) - HISTOGRAM_SUB_BITS;
    return (shift << HISTOGRAM_SUB_BITS) + (unsigned int)(ns >> shift);
}

static uint64_t middle_of(unsigned int bucket)
{
    unsigned int shift;

    if (bucket < 2 * SUB)
        return bucket;
    shift = (bucket >> HISTOGRAM_SUB_BITS) - 1;
    return ((uint64_t)(SUB + bucket % SUB) << shift) + (1ull << shift) / 2;
}

void histogram_add(struct histogram *h, uint64_t ns)
{
    h->count[bucket_of(ns)]++;
    h->n++;
    h->sum += ns;
    if (ns > h->max)
        h->max = ns;
}

uint64_t histogram_percentile(const struct histogram *h, double percent)
{
    double wanted = (double)h->n * percent / 100;
    uint64_t seen = 0;

    for (unsigned int i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += h->count[i];
        if (h->count[i] && (double)seen >= wanted)
            return middle_of(i) < h->max ? middle_of(i) : h->max;
    }
    return h->max;
}
