// SPDX-License-Identifier: BSD-3-Clause
/* The operations of the slow file system: each asks the rules, then does what it is for. */
#ifndef SLOWFS_OPS_H
#define SLOWFS_OPS_H

#include "rules.h"

extern const struct fuse_lowlevel_ops slow_ops;

#endif
