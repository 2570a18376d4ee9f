// SPDX-License-Identifier: BSD-3-Clause
/*
 * Capabilities, by libcap-ng.
 *
 * Kept, as far as the process has them (capabilities(7)):
 *   CHOWN         give files to the users that the guest names
 *   DAC_OVERRIDE  root of the guest is root on its file system
 *   FOWNER        chmod, utimens and sticky directories of others' files
 *   FSETID        keep set-id bits where the guest's kernel has decided so
 *   SETGID SETUID create files as the guest's user: ids are switched per thread
 *   MKNOD         device nodes are names like others; none is ever opened
 *   SETFCAP       security.capability of files
 *   DAC_READ_SEARCH  open_by_handle_at(2); not with --inode-file-handles=never
 *
 * Used once each, before any thread.
 */
#ifndef VIOFS_CAPS_H
#define VIOFS_CAPS_H

#include "settings.h"

/*
 * Drops everything else from all five sets, for ever, and the supplementary groups; changes of user
 * ids keep what is left. What --modcaps adds must be there. Returns 0, or a negative errno after
 * one line in the log.
 */
int caps_seal(const struct settings *settings);

/*
 * For the launcher: keeps what forwarding a signal and unlinking a socket need (KILL,
 * DAC_OVERRIDE). Best effort: it parses nothing that comes from outside.
 */
void caps_drop_in_launcher(void);

/* For a process that only waits. Best effort. */
void caps_drop_all(void);

#endif
