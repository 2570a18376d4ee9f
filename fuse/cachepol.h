// SPDX-License-Identifier: BSD-3-Clause
/*
 * cachepol: what the guest's kernel may keep, for how long. The one place where --cache and the
 * time-outs are turned into valid times, FOPEN_* and INIT flags.
 *
 * No state: functions of the settings, which never change. Any thread.
 */
#ifndef VIOFS_CACHEPOL_H
#define VIOFS_CACHEPOL_H

#include <stdbool.h>
#include <stdint.h>

#include "settings.h"

/* A valid time as the wire has it; both 0: ask again each time. */
struct cache_time {
    uint64_t seconds;
    uint32_t nanoseconds;
};

/* How long attributes are valid, a name that leads to a file, and a name that leads to nothing. */
struct cache_time cachepol_attributes(const struct settings *settings);
struct cache_time cachepol_entry(const struct settings *settings);
struct cache_time cachepol_negative(const struct settings *settings);

static inline bool cache_time_is_none(struct cache_time time)
{
    return time.seconds == 0 && time.nanoseconds == 0;
}

/*
 * FOPEN_* for a file. close_matters: somebody has to know when one of its descriptors is closed,
 * so that the guest must send FLUSH.
 */
uint32_t cachepol_open_file(const struct settings *settings, bool close_matters);

/* FOPEN_* for a directory. */
uint32_t cachepol_open_dir(const struct settings *settings);

/* The INIT flags by which the guest caches, for a guest whose kernel speaks FUSE 7.minor. */
uint64_t cachepol_init_flags(const struct settings *settings, uint32_t minor);

/*
 * The INIT flags by which the guest leaves out OPEN and OPENDIR, as far as the settings allow it;
 * 0: it never does.
 */
uint64_t cachepol_without_open(const struct settings *settings);

#endif
