// SPDX-License-Identifier: BSD-3-Clause
/*
 * The life of a mount from "it works" to the end: signals, the back-end's socket, the threads' own
 * end; and all the ways to take it down without anybody hanging.
 *
 * Main thread only.  Borrows everything; at return the threads are stopped, the mount is gone or
 * detached and the /dev/fuse descriptors are closed.
 */
#ifndef VIOFS_MOUNT_SUPERVISE_H
#define VIOFS_MOUNT_SUPERVISE_H

#include "fusemount.h"
#include "pump.h"
#include "vuf_fuse.h"

/* Returns the exit status: 0 after a clean unmount, 1 (message printed) otherwise. */
int supervise(struct pump *pump, struct fusemount *mount, struct vuf_fuse *fuse, int signal_fd);

/* Takes down a mount that never got that far: closes its descriptors, detaches it. */
void supervise_discard(struct fusemount *mount);

#endif
