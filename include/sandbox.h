// SPDX-License-Identifier: BSD-3-Clause
/*
 * The sandbox: takes the process from the caller's world into one where only the shared
 * directory exists. Used once by main, before any thread.
 */
#ifndef VIOFS_SANDBOX_H
#define VIOFS_SANDBOX_H

#include "fuse_server.h"
#include "settings.h"

/*
 * Stage one, while the process still sees the caller's world: opens the shared directory, raises
 * the descriptor limit, makes the namespaces, forks where a pid namespace needs it, enters the
 * shared directory. Returns only in the process that will serve (the launcher stays inside,
 * forwards SIGTERM, SIGINT and SIGHUP, and exits with the server's status). Exits with status 1
 * and one clear line if it cannot. After it ret_fds holds the descriptors for the server.
 */
void sandbox_enter(const struct settings *settings, struct fuse_server_fds *ret_fds);

/*
 * Stage two, just before the first byte of the front-end is read: drops capabilities to the
 * documented set and --modcaps, sets no-new-privs, loads the seccomp filter. Exits with status 1
 * and one clear line if it cannot. Threads made later inherit all of it.
 */
void sandbox_seal(const struct settings *settings);

#endif
