// SPDX-License-Identifier: BSD-3-Clause
/*
 * idtrans: user and group ids as the guest has them and as the host has them, by the rules of
 * --translate-uid and --translate-gid.
 *
 * Everything inwards of the wire (host_*, struct statx) is in the host's numbers; requests and
 * replies are in the guest's. Whether a request is the guest's root is asked of the guest's number.
 *
 * No state but the settings. Any thread.
 */
#ifndef VIOFS_IDTRANS_H
#define VIOFS_IDTRANS_H

#include <stddef.h>
#include <stdint.h>

#include "settings.h"

/* The host's number for one of the guest's: 0, or -EPERM for one that is forbidden. (uid_t)-1,
 * which is no id, stays what it is. */
int idtrans_to_host(const struct id_translation *translation, uint32_t id, uint32_t *ret_id);

/* Both of one owner. */
int idtrans_owner_to_host(const struct settings *settings, uint32_t uid, uint32_t gid,
                          uint32_t *ret_uid, uint32_t *ret_gid);

/* The guest's number for one of the host's. */
uint32_t idtrans_to_guest(const struct id_translation *translation, uint32_t id);

/*
 * The value of an xattr system.posix_acl_access or _default, in place: users and groups in it. What
 * is not of the form of an access list is left as it is, for the host to refuse.
 * Returns 0, or -EPERM (idtrans_acl_to_host only, with value of no use) for a forbidden id.
 */
int idtrans_acl_to_host(const struct settings *settings, void *value, size_t size);
void idtrans_acl_to_guest(const struct settings *settings, void *value, size_t size);

#endif
