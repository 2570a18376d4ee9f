// SPDX-License-Identifier: BSD-3-Clause
#include "say.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <syslog.h>

static bool in_background;

void say(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    if (in_background) {
        vsyslog(LOG_ERR, format, args);
    } else {
        char line[1024];

        /* One write per line, so that lines of parent and child do not mix. */
        vsnprintf(line, sizeof(line), format, args);
        fprintf(stderr, PROGRAM ": %s\n", line);
    }
    va_end(args);
}

void say_to_syslog(void)
{
    openlog(PROGRAM, LOG_PID, LOG_DAEMON);
    in_background = true;
}

const char *say_errno(int negative_errno)
{
    switch (negative_errno) {
    case -ECONNRESET:
        return "it closed the connection";
    case -ETIMEDOUT:
        return "it does not answer";
    case -EPROTO:
        return "its answer breaks the protocol";
    case -EREMOTEIO:
        return "it refused a request";
    case -ENOTSUP:
        return "it does not offer VIRTIO_F_VERSION_1";
    default:
        return strerror(-negative_errno);
    }
}
