// SPDX-License-Identifier: BSD-3-Clause
/*
 * Where the process stands: namespaces and root directory. Each function is used once, by the
 * process that will serve. All fill *ret_fds and return 0, or a negative errno after one line in
 * the log; the descriptors then are the caller's to close, or the process' end.
 */
#ifndef VIOFS_NAMESPACES_H
#define VIOFS_NAMESPACES_H

#include "fuse_server.h"
#include "settings.h"

/*
 * New mount, network, IPC and UTS namespaces, with the share as the only file system: the root
 * directory, so that `..` ends there. The pid namespace is entered by the fork before.
 */
int namespaces_enter(const struct settings *settings, struct fuse_server_fds *ret_fds);

/* Only the root directory is changed. */
int namespaces_chroot(const struct settings *settings, struct fuse_server_fds *ret_fds);

/* Nothing is changed. */
int namespaces_stay(const struct settings *settings, struct fuse_server_fds *ret_fds);

/*
 * Opens the shared directory (O_PATH) by the path on the command line. Returns the descriptor,
 * or a negative errno after one line in the log that says what is wrong.
 */
int namespaces_open_share(const struct settings *settings);

#endif
