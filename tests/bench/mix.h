// SPDX-License-Identifier: BSD-3-Clause
/*
 * The mixed load: what share each kind of operation has.  In turn, not by chance, so that each run
 * does the same.  Constants, nothing to own.
 */
#ifndef BENCH_MIX_H
#define BENCH_MIX_H

#include <stdint.h>

enum mix_kind { MIX_GETATTR, MIX_LOOKUP, MIX_SMALL_FILE, MIX_WRITE, MIX_LISTING };

/* Entries that a READDIRPLUS of 4 KiB brings. */
#define MIX_ENTRIES 21u

/* What the Nth operation is: of twenty eight GETATTR, five LOOKUP, three small files (LOOKUP, OPEN,
 * READ, FLUSH, RELEASE, FORGET), three WRITE of 4 KiB, one READDIRPLUS. */
static inline enum mix_kind mix_kind(uint64_t n)
{
    static const unsigned char kinds[20] = {
        MIX_GETATTR, MIX_LOOKUP,  MIX_WRITE,      MIX_GETATTR,    MIX_SMALL_FILE,
        MIX_GETATTR, MIX_LOOKUP,  MIX_GETATTR,    MIX_WRITE,      MIX_LOOKUP,
        MIX_GETATTR, MIX_LISTING, MIX_SMALL_FILE, MIX_LOOKUP,     MIX_GETATTR,
        MIX_WRITE,   MIX_GETATTR, MIX_LOOKUP,     MIX_SMALL_FILE, MIX_GETATTR,
    };

    return kinds[n % 20];
}

#endif
