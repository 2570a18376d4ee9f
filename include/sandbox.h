// SPDX-License-Identifier: BSD-3-Clause
/*
 * The sandbox: takes the process from the caller's world into one where only the shared
 * directory exists. Used once by main, before any thread.
 */
#ifndef VIOFS_SANDBOX_H
#define VIOFS_SANDBOX_H

#include <stdbool.h>

#include "fuse_server.h"
#include "settings.h"

/* What the launcher, which stays in the caller's world, needs of main. */
struct sandbox_launcher {
    int keep_fd; /* the one descriptor, beyond 0 to 2, that stays open in it; -1: none */
    /* Called in the launcher when the server has ended, before the launcher exits. */
    void (*server_ended)(void *argument);
    void *argument;
};

/*
 * Closes every descriptor that the caller left open but 0 to 2, keep_fd (-1: none) and that of the
 * log, and opens /dev/null in the place of missing ones among 0 to 2.
 */
void sandbox_close_inherited(int keep_fd);

/*
 * Stage one, while the process still sees the caller's world: opens the shared directory, raises
 * the descriptor limit, makes the namespaces, forks, enters the shared directory. Returns only in
 * the process that will serve, after which ret_fds holds the descriptors for the server; the
 * current directory and the root are then the shared directory (--sandbox=none: both are left
 * alone). SIGTERM, SIGINT and SIGHUP must be blocked, and stay blocked.
 *
 * Returns true when there is a launcher (--sandbox=namespace and chroot): it forwards SIGTERM,
 * SIGINT and SIGHUP, takes the server with it when it is killed, calls server_ended and exits with
 * the server's status. Returns false when there is none: what server_ended is for is then the
 * caller's to do.
 *
 * When it cannot: one clear line, then server_ended if no launcher has it already, and exit with
 * status 1.
 */
bool sandbox_enter(const struct settings *settings, const struct sandbox_launcher *launcher,
                   struct fuse_server_fds *ret_fds);

/*
 * Stage two, just before the first byte of the front-end is read: drops capabilities to the
 * documented set and --modcaps, sets no-new-privs, loads the seccomp filter. Returns 0, or a
 * negative errno after one line in the log. Threads made later inherit all of it.
 *
 * Changes of the effective user id keep the capabilities afterwards (SECBIT_NO_SETUID_FIXUP), in
 * each thread: the file system server switches ids by thread and drops single capabilities itself
 * where it must. Without CAP_SETPCAP that cannot be had; then only id changes of a process
 * without capabilities, or none, are to be expected.
 */
int sandbox_seal(const struct settings *settings);

#endif
