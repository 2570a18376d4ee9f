// SPDX-License-Identifier: BSD-3-Clause
#include "signals.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/signalfd.h>

static void ending_signals(sigset_t *ret_set)
{
    struct sigaction action;

    sigemptyset(ret_set);
    sigaddset(ret_set, SIGTERM);
    sigaddset(ret_set, SIGINT);
    /* A blocked signal is queued even if it is ignored: leave nohup(1) its meaning. */
    if (sigaction(SIGHUP, NULL, &action) < 0 || action.sa_handler != SIG_IGN)
        sigaddset(ret_set, SIGHUP);
}

void signals_block(void)
{
    sigset_t set;

    ending_signals(&set);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGCHLD, SIG_DFL);
}

int signals_open(void)
{
    sigset_t set;
    int fd;

    ending_signals(&set);
    fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? -errno : fd;
}
