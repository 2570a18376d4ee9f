// SPDX-License-Identifier: BSD-3-Clause
/*
 * The FUSE wire format: the kernel's own <linux/fuse.h>, and what it has gained since the oldest
 * header we build with (protocol 7.38, Debian 12). Values are the ABI's; see
 * include/uapi/linux/fuse.h of Linux 6.18 (protocol 7.45).
 */
#ifndef VIOFS_FUSE_ABI_H
#define VIOFS_FUSE_ABI_H

#include <stdint.h>
#include <linux/fuse.h>

/* What we speak: the oldest protocol with MAX_PAGES is 7.28; a 7.27 guest gets 32 pages. */
#define FUSE_ABI_MAJOR                7
#define FUSE_ABI_MINOR                45
#define FUSE_ABI_MIN_MINOR            27

/* Since 7.39. */
#define FUSE_ABI_DIRECT_IO_ALLOW_MMAP (1ULL << 36)
/* Since 7.40. */
#define FUSE_ABI_PASSTHROUGH          (1ULL << 37)
#define FUSE_ABI_NO_EXPORT_SUPPORT    (1ULL << 38)
#define FUSE_ABI_HAS_RESEND           (1ULL << 39)
/* Since 7.41. */
#define FUSE_ABI_ALLOW_IDMAP          (1ULL << 40)
/* Since 7.42 and 7.43. */
#define FUSE_ABI_OVER_IO_URING        (1ULL << 41)
#define FUSE_ABI_REQUEST_TIMEOUT      (1ULL << 42)
/* Since 7.38; here because 7.38 headers of some distributions lack it. */
#define FUSE_ABI_CREATE_SUPP_GROUP    (1ULL << 34)

/* Opcodes since 7.37. */
#define FUSE_ABI_TMPFILE              51
#define FUSE_ABI_STATX                52
#define FUSE_ABI_COPY_FILE_RANGE_64   53

/* The size of struct fuse_init_in before FUSE_INIT_EXT gave it flags2 (7.36). */
#define FUSE_ABI_INIT_IN_SHORT        16

#endif
