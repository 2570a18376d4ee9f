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

/* FOPEN_* for a file, and for a directory. */
uint32_t cachepol_open_file(const struct settings *settings);
uint32_t cachepol_open_dir(const struct settings *settings);

/*
 * Whether to offer READDIRPLUS: attributes that may not be kept would be fetched for nothing, so
 * never with --cache=never.
 */
bool cachepol_readdirplus(const struct settings *settings);

#endif
