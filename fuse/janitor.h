// SPDX-License-Identifier: BSD-3-Clause
/*
 * janitor: a thread that gives descriptors back which the guest has not used for a few seconds, so
 * that the host gets the space of files that it deletes, and can unmount what is mounted below the
 * share; and that closes what takes long to close. It sleeps while there is nothing to give back.
 *
 * Owner: the server. Started by the first guest's INIT: from then on system calls are filtered,
 * and a thread made earlier would not be.
 */
#ifndef VIOFS_JANITOR_H
#define VIOFS_JANITOR_H

#include <stdbool.h>

struct fuse_server;
struct janitor;

/* What is unused for one to two of these is given back. */
#define JANITOR_PERIOD_SECONDS  2

/*
 * What may wait to be closed: so many files, and so many bytes on the host, a tenth of a second's
 * work, unless it is one file. The host has that space back so much later.
 */
#define JANITOR_CLOSES_MAX      64u
#define JANITOR_CLOSE_BYTES_MAX (1u << 30)

int janitor_new(struct fuse_server *server, struct janitor **ret_janitor);
void janitor_stop(struct janitor *janitor); /* waits for the thread's end; NULL is fine */
void janitor_free(struct janitor *janitor); /* when it has stopped and nobody calls it any more */

/* Starts the thread unless it runs. Without a thread nothing is given back: a line in the log. */
void janitor_start(struct janitor *janitor);

/*
 * Closes fd soon, which counts in the descriptor budget. Any thread. Returns false if the caller
 * has to do so itself: too much is waiting, or the thread does not run.
 */
bool janitor_close(struct janitor *janitor, int fd);

/* Waits until all that was given to be closed is. */
void janitor_wait(struct janitor *janitor);

/* There is something to give back later. Any thread, any number of times; cheap. */
void janitor_wake(struct janitor *janitor);

#endif
