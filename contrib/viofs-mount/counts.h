// SPDX-License-Identifier: BSD-3-Clause
/*
 * How many requests of which kind the kernel has made: for comparing what daemons make it ask.
 *
 * Owner: the pump has one for each thread, which alone writes it, and adds them up when the threads
 * have ended.
 */
#ifndef VIOFS_MOUNT_COUNTS_H
#define VIOFS_MOUNT_COUNTS_H

#include <stdint.h>
#include <stdio.h>

#include "vuf_fuse_abi.h"

#define COUNTS_OPCODES 64 /* the place of 0 is for those that are larger */

struct counts {
    uint64_t requests[COUNTS_OPCODES];
};

/* ARGS: what follows the header.  A BATCH_FORGET counts as the FORGETs that it goes out as. */
void counts_add(struct counts *counts, const struct vuf_in_header *hdr, const void *args);

/* One line for each kind of request that came, "LOOKUP 12". */
void counts_print(const struct counts *counts, FILE *to);

#endif
