// SPDX-License-Identifier: BSD-3-Clause
/*
 * The socket on which a front-end is awaited: inherited, or made at a path with a locked pid file
 * beside it.
 *
 * Owner: main. Used by one thread before the sandbox, and by the launcher (or main, where there is
 * none) when the daemon ends. The pid file's lock is shared with children: it lasts until the last
 * of them has closed pid_fd.
 */
#ifndef VIOFS_LISTENER_H
#define VIOFS_LISTENER_H

#include <limits.h>

#include "settings.h"

struct listener {
    int socket_fd;         /* listening, or (inherited) already connected; -1: given away */
    int pid_fd;            /* the locked pid file; -1: none */
    char socket[PATH_MAX]; /* absolute, or empty for an inherited socket */
    char pid_file[PATH_MAX];
};

/*
 * Fills *ret_listener. The socket file's mode is 0600, with --socket-group 0660 and the group is
 * given. Returns 0, or a negative errno after one line in the log that names what is wrong and
 * with nothing left behind.
 */
int listener_open(const struct settings *settings, struct listener *ret_listener);

/* Closes the pid file: for the process that is not the one to call listener_remove(). */
void listener_disown(struct listener *listener);

/* Removes socket and pid file, if we made them and they are still ours. */
void listener_remove(struct listener *listener);

#endif
