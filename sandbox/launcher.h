// SPDX-License-Identifier: BSD-3-Clause
/*
 * The launcher: the process that the management layer started and sees. It stays in the caller's
 * world, reads nothing but signals, and is tied to the server in life and death.
 */
#ifndef VIOFS_LAUNCHER_H
#define VIOFS_LAUNCHER_H

#include "sandbox.h"

/*
 * Forks the server. Returns in the server only: 0, with *ret_lifeline a descriptor that the caller
 * owns, for launcher_tie(). Returns a negative errno, after one line in the log, where there
 * is no server.
 *
 * pid_namespace tells that one has been unshared. Its first process is then one that only waits:
 * the kernel drops signals that the first process raises against itself, so that a server in its
 * place could not even abort() (it would end by SIGSEGV, and nobody would know why).
 */
int launcher_fork(const struct sandbox_launcher *launcher, bool pid_namespace, int *ret_lifeline);

/*
 * Asks the kernel to kill the calling process when the launcher dies, and exits if that has
 * happened already. The kernel forgets it at each change of credentials: call it again after one.
 */
void launcher_tie(int lifeline);

#endif
