// SPDX-License-Identifier: BSD-3-Clause
/*
 * --daemonize: the process that the caller started waits until there is a daemon to connect to,
 * passes on what that says on stderr, and ends with its status.
 *
 * Owner: main. Used before threads.
 */
#ifndef VIOFS_BACKGROUND_H
#define VIOFS_BACKGROUND_H

/*
 * Forks. Returns in the child only, in a session of its own, with /dev/null as standard input and
 * output and a pipe to the waiting parent as standard error: a descriptor for background_ready(),
 * or a negative errno (then there is no child). The parent never returns: it exits with 0 at
 * background_ready(), or with the child's status if that ends before.
 */
int background_enter(void);

/* Lets the parent go. Closes fd. What is written to standard error from here on is lost. */
void background_ready(int fd);

#endif
