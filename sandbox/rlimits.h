// SPDX-License-Identifier: BSD-3-Clause
/* Resource limits. Used once, before the sandbox: it reads /proc/sys. */
#ifndef VIOFS_RLIMITS_H
#define VIOFS_RLIMITS_H

#include "settings.h"

/*
 * Sets the limit of open files: to --rlimit-nofile exactly, or else as high as
 * RLIMIT_NOFILE_WANTED, fs.nr_open and, where we may not raise it, the hard limit let us. Sets the
 * soft limit of core files to 0, because a core would hold guest memory and file data. Returns 0,
 * or a negative errno after one line in the log.
 */
#define RLIMIT_NOFILE_WANTED 1000000
int rlimits_apply(const struct settings *settings);

#endif
