// SPDX-License-Identifier: BSD-3-Clause
/*
 * The traffic between /dev/fuse and the rings: one thread per request queue.
 *
 * A request is read from /dev/fuse straight into the guest memory of a free slot and put onto the
 * thread's queue; its reply is written to /dev/fuse straight from guest memory.  Nothing is
 * allocated, nothing copied but headers.  Each thread sleeps in epoll on its (cloned) /dev/fuse
 * descriptor and its queue's call descriptor; while it is awake the back-end's calls are switched
 * off.  Before it sleeps on a reply it looks for it for some microseconds (patience.h): a request
 * then is read(), a kick, writev(), and one sleep, until the next request comes.
 *
 * The back-end is not trusted with the kernel: the reply's header goes out from a private copy,
 * after unique and length were checked, so that no back-end can send the kernel a notification or
 * somebody else's answer.
 *
 * Owner: main.  pump_start, pump_stop and pump_close by the main thread.
 */
#ifndef VIOFS_MOUNT_PUMP_H
#define VIOFS_MOUNT_PUMP_H

#include <stdbool.h>

#include "counts.h"
#include "vuf_fuse.h"

enum pump_end {
    PUMP_RUNNING = 0,
    PUMP_UNMOUNTED, /* the kernel says that the file system is gone */
    PUMP_ABORTED,   /* somebody aborted the FUSE connection */
    PUMP_RING,      /* the back-end broke a ring */
    PUMP_FAILED,    /* /dev/fuse gave an error that it should not give */
    PUMP_STOPPED,   /* pump_stop came first */
};

struct pump;

struct pump_options {
    bool send_interrupt; /* forward FUSE_INTERRUPT */
    int64_t poll_ns;     /* how long to stay awake for a reply, 0: not at all */
};

/*
 * Starts one thread for each request ring of FUSE.  fuse_fd: the mount's /dev/fuse descriptor,
 * borrowed, non-blocking, INIT done.  *ret_pump is ended by pump_stop and pump_close.
 */
int pump_start(struct pump **ret_pump, struct vuf_fuse *fuse, int fuse_fd,
               const struct pump_options *options);

/* Becomes readable when the traffic has ended by itself; pump_end tells why. */
int pump_event_fd(const struct pump *pump);
enum pump_end pump_end(const struct pump *pump);

/* Requests finished so far, for telling a slow back-end from a hung one. */
uint64_t pump_progress(const struct pump *pump);

/* What the kernel has asked for, after pump_stop. */
void pump_counts(const struct pump *pump, struct counts *ret_counts);

/* Stops and joins the threads, and closes the clones of the descriptor.  NULL is fine. */
void pump_stop(struct pump *pump);

void pump_close(struct pump *pump);

#endif
