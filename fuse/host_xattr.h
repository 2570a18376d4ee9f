// SPDX-License-Identifier: BSD-3-Clause
/*
 * host_xattr: extended attributes of the file that a descriptor stands for; O_PATH descriptors
 * will do. They are reached by the descriptor's name in /proc/self/fd, the working directory: that
 * leads to the inode itself and no further, so a symbolic link's own attributes are meant.
 *
 * No state. Any thread. Every function returns a negative errno, or 0.
 */
#ifndef VIOFS_HOST_XATTR_H
#define VIOFS_HOST_XATTR_H

#include <stddef.h>

/* size 0 asks for the length only; -ERANGE: the value is longer than size. */
int host_xattr_get(int fd, const char *name, void *value, size_t size, size_t *ret_length);

/* Names, each with its NUL. size as above. */
int host_xattr_list(int fd, char *names, size_t size, size_t *ret_length);

/* flags: 0, XATTR_CREATE or XATTR_REPLACE. */
int host_xattr_set(int fd, const char *name, const void *value, size_t size, int flags);

int host_xattr_remove(int fd, const char *name);

#endif
