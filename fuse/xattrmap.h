// SPDX-License-Identifier: BSD-3-Clause
/*
 * xattrmap: what an extended attribute of the guest's is called on the host, and the other way
 * round (--xattrmap, --xattr-preset).
 *
 * No state but the rules, which never change; NULL rules leave every name alone. Any thread.
 * Nothing is allocated.
 */
#ifndef VIOFS_XATTRMAP_H
#define VIOFS_XATTRMAP_H

#include <stddef.h>

#include "xattr_rules.h"

/* What the longest name of the guest's can become, with its NUL; the host then says ERANGE. */
#define XATTRMAP_NAME_MAX 512

/*
 * The host's name for a name of the guest's. *ret_name is either name itself or room, which has
 * XATTRMAP_NAME_MAX bytes.
 *
 * Returns 0; -EPERM: a rule says bad, or no rule says anything; -EOPNOTSUPP: a rule says
 * unsupported; -ERANGE: longer than a name can be.
 */
int xattrmap_to_host(const struct xattr_rules *rules, const char *name, char *room,
                     const char **ret_name);

/*
 * The guest's name for a name that the host has listed: a part of it, or NULL for one that the
 * guest does not see.
 */
const char *xattrmap_to_guest(const struct xattr_rules *rules, const char *name);

#endif
