// SPDX-License-Identifier: BSD-3-Clause
/* Small things that take away what a conquered process could use. Used before any thread. */
#ifndef VIOFS_HARDEN_H
#define VIOFS_HARDEN_H

#define KEEP_MAX 4

/* Closes all descriptors from 3 on but the KEEP_MAX ones in keep (-1: unused place). */
void harden_close_all_but(const int keep[KEEP_MAX]);

/*
 * From now on nothing that is executed gains rights. Returns 0, or a negative errno after one
 * line in the log.
 */
int harden_no_new_privs(void);

#endif
