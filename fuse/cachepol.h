// SPDX-License-Identifier: BSD-3-Clause
/*
 * cachepol: what the guest's kernel may keep, for how long. The one place where --cache is turned
 * into time-outs and FOPEN_* flags.
 *
 * No state: functions of the settings, which never change. Any thread.
 */
#ifndef VIOFS_CACHEPOL_H
#define VIOFS_CACHEPOL_H

#include <stdbool.h>
#include <stdint.h>

#include "settings.h"

/* How long an entry and its attributes are valid, in seconds. */
uint64_t cachepol_seconds(const struct settings *settings);

/* FOPEN_* for a file, and for a directory. */
uint32_t cachepol_open_file(const struct settings *settings);
uint32_t cachepol_open_dir(const struct settings *settings);

/*
 * Whether to offer READDIRPLUS: attributes that may not be kept would be fetched for nothing, so
 * never with --cache=never.
 */
bool cachepol_readdirplus(const struct settings *settings);

#endif
