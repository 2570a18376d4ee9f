// SPDX-License-Identifier: BSD-3-Clause
/*
 * Whether to stay awake for what comes next: viofs-mount for a reply, the daemon for a request.
 *
 * Who sleeps until it comes is woken by the other side, which on a virtual machine takes longer
 * than most requests.  Looking for it costs CPU time instead, and for nothing when it comes later
 * than one is ready to look.  So it is done as long as most looks find what they look for; after
 * that only now and then, to see whether things have changed.
 *
 * Owner: one thread each.  No system calls here: a matter of counting.
 */
#ifndef VIOFS_PATIENCE_H
#define VIOFS_PATIENCE_H

#include <stdbool.h>

struct patience {
    unsigned int credit; /* looks that may fail before it is given up for a while */
    unsigned int rest;   /* waits to be slept through before the next look */
    unsigned int pause;  /* the rest after the next failure, if it comes soon */
};

enum look {
    LOOK_FOUND,
    LOOK_IN_VAIN,
    LOOK_CROWDED, /* others computed on this processor meanwhile, as long as a look lasts */
};

/* Full of confidence. */
void patience_start(struct patience *patience);

/* A wait begins: whether to look.  If so, patience_learns follows when the look was not broken off.
 */
bool patience_asks(struct patience *patience);

/* How the look ended. */
void patience_learns(struct patience *patience, enum look look);

#endif
