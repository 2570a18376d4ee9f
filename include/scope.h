// SPDX-License-Identifier: BSD-3-Clause
/*
 * Scope cleanup: what a function acquires is released when the scope ends, on every path, and
 * leaves the scope alive only through an explicit steal.
 *
 *     autoclose int fd = openat(...);
 *     if (fd < 0)
 *         return -errno;
 *     ...
 *     *ret_fd = steal_fd(&fd);
 */
#ifndef VIOFS_SCOPE_H
#define VIOFS_SCOPE_H

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* Closes *fd if it is open; keeps errno, so that an early `return -errno` stays right. */
static inline void scope_close(const int *fd)
{
    if (*fd >= 0) {
        int saved = errno;
        close(*fd);
        errno = saved;
    }
}

static inline void scope_free(void *pointer)
{
    free(*(void **)pointer);
}

#define autoclose __attribute__((cleanup(scope_close)))
#define autofree  __attribute__((cleanup(scope_free)))

/* Takes the descriptor out of its scope: the caller owns the result. */
static inline int steal_fd(int *fd)
{
    int stolen = *fd;
    *fd = -1;
    return stolen;
}

/* Takes a pointer out of its scope: the caller owns the result. */
#define steal_ptr(pointer)                    \
    ({                                        \
        __auto_type steal_from_ = &(pointer); \
        __auto_type stolen_ = *steal_from_;   \
        *steal_from_ = NULL;                  \
        stolen_;                              \
    })

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

#endif
