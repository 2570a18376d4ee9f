// SPDX-License-Identifier: BSD-3-Clause
/*
 * The user namespace and its id maps (user_namespaces(7)). Used by one thread, before the fork of
 * the server.
 *
 * As with other virtiofs daemons, an ordinary user who gives no maps gets the own ids only, each
 * as itself: files are then made with these ids, whatever the guest asks for. With maps, ranges
 * other than the own id are written by newuidmap(1) and newgidmap(1), which look into /etc/subuid
 * and /etc/subgid; root writes them directly.
 */
#ifndef VIOFS_IDMAP_H
#define VIOFS_IDMAP_H

#include <stdbool.h>

#include "settings.h"

/* Is a user namespace needed: not started as root, or maps asked for? */
bool idmap_wanted(const struct settings *settings);

/*
 * Moves the calling process into a new user namespace with the maps in place; it has all
 * capabilities there. Returns 0, or a negative errno after one line in the log.
 */
int idmap_enter(const struct settings *settings);

/*
 * Takes user and group 0 of the namespace, where they are mapped. After everything that had to be
 * reached with the caller's own ids. Returns 0, or a negative errno after one line in the log.
 */
int idmap_become_root(const struct settings *settings);

#endif
