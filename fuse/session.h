// SPDX-License-Identifier: BSD-3-Clause
/*
 * session: what INIT negotiated with the guest's kernel.
 *
 * Owner: the server. Written by INIT and DESTROY, read by every request; `ready` is stored last
 * and loaded first, so a request that sees it set sees the rest.
 */
#ifndef VIOFS_SESSION_H
#define VIOFS_SESSION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct session {
    atomic_bool ready;
    _Atomic uint64_t flags; /* FUSE_* INIT flags, flags2 in the upper half */
    _Atomic uint32_t salt;  /* the generation of all node ids: other than in any other session */
    _Atomic uint32_t minor; /* of the protocol that the guest speaks */
};

struct fuse_thread;

/*
 * Ends the session: the guest's mappings, handles and inodes are given up, and requests wait for
 * INIT. Inside an epoch, which ends in between. unmap: as in dax_end().
 */
void session_end(struct fuse_thread *thread, bool unmap);

static inline bool session_has(const struct session *session, uint64_t flag)
{
    return (atomic_load_explicit(&session->flags, memory_order_relaxed) & flag) != 0;
}

#endif
