// SPDX-License-Identifier: BSD-3-Clause
/*
 * The launcher: the process that the management layer started and sees. It stays in the caller's
 * world, reads nothing but signals, and is tied to the server in life and death.
 */
#ifndef VIOFS_LAUNCHER_H
#define VIOFS_LAUNCHER_H

#include "sandbox.h"

/*
 * Forks the server, which is the first process of its pid namespace if one was unshared. Returns
 * in the server only: 0, with *ret_lifeline a descriptor that the caller owns, for
 * launcher_tie_server(). Returns a negative errno, after one line in the log, where there is no
 * server.
 */
int launcher_fork(const struct sandbox_launcher *launcher, int *ret_lifeline);

/*
 * Asks the kernel to kill the server when the launcher dies, and exits if that has happened
 * already. The kernel forgets it at each change of credentials: call it again after one.
 */
void launcher_tie_server(int lifeline);

#endif
