// SPDX-License-Identifier: BSD-3-Clause
#include "harden.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "log.h"
#include "sandbox.h"

static int compare_fds(const void *a, const void *b)
{
    int left = *(const int *)a;
    int right = *(const int *)b;

    return (left > right) - (left < right);
}

void harden_close_all_but(const int keep[KEEP_MAX])
{
    int sorted[KEEP_MAX];
    unsigned first = STDERR_FILENO + 1;

    for (unsigned i = 0; i < KEEP_MAX; i++)
        sorted[i] = keep[i];
    qsort(sorted, KEEP_MAX, sizeof(sorted[0]), compare_fds);
    for (unsigned i = 0; i < KEEP_MAX; i++) {
        if (sorted[i] < (int)first)
            continue;
        if (sorted[i] > (int)first)
            close_range(first, (unsigned)sorted[i] - 1, 0);
        first = (unsigned)sorted[i] + 1;
    }
    close_range(first, UINT_MAX, 0);
}

void sandbox_close_inherited(int keep_fd)
{
    const int keep[KEEP_MAX] = {keep_fd, log_syslog_fd(), -1, -1};

    harden_close_all_but(keep);
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        /* The lowest free number is taken: the missing ones are filled in order. */
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/dev/null", O_RDWR) != fd)
            log_debug("no /dev/null in the place of descriptor %d", fd);
    }
}

int harden_no_new_privs(void)
{
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
        int error = -errno;
        log_error("cannot set no-new-privs: %m");
        return error;
    }
    return 0;
}
