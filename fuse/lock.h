// SPDX-License-Identifier: BSD-3-Clause
/*
 * lock: the guest's locks, as locks on the host's files, seen by the host and by other guests.
 *
 * Record locks (fcntl) belong to an owner, which the guest's kernel names by a number: a process,
 * or an open file of it. The host must see each owner as somebody else, so each has an open file
 * of its own here, and its locks are locks of that open file (F_OFD_SETLK). What an owner holds is
 * noted down, too: for the process id that GETLK tells, for finding deadlocks, and to know whose
 * release ends whose wait. flock() locks are locks of the handle's own open file.
 *
 *   GETLK, SETLK          answered at once
 *   SETLKW                tried at once; if somebody is in the way, the request is deferred: it
 *                         costs a record, no queue and no thread (lock_wait.c)
 *   FLUSH                 an owner's locks on the file are released, as each close() does
 *   RELEASE               flock() locks, and record locks that were set through that handle
 *   INTERRUPT, DESTROY, INIT, device reset     end waits
 *
 * Owner: the server. Owners and ranges are in the arena, by index. Any thread.
 *
 * Locks, in the order in which they may be taken:
 *   stripe  all that concerns files with one hash of the node id: their owners and ranges. Held
 *           over the host's lock calls, which do not wait: table and host change together
 *   waits   the list of waiting requests
 *   slab    the free lists
 */
#ifndef VIOFS_LOCK_H
#define VIOFS_LOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "handle.h"
#include "host_lock.h"
#include "request.h"

struct locks;

#define LOCK_OWNERS_MAX 65536u  /* of record locks; each has a descriptor of the budget */
#define LOCK_RANGES_MAX 262144u /* of all owners together */
#define LOCK_WAITS_MAX  4096u   /* requests that wait at a time */

/* What is locked, or looked for. */
struct lock_request {
    uint64_t nodeid;
    uint64_t fh;
    uint64_t owner;
    uint32_t pid; /* of the guest */
    bool flock;   /* of the whole file, by handle; else a record lock */
    struct host_lock lock;
};

size_t locks_arena_size(void);
int locks_new(struct fuse_server *server, struct locks **ret_locks);
void locks_free(struct locks *locks); /* NULL is fine; nothing waits any more */

/*
 * What keeps *wanted, a record lock, from being set; type F_UNLCK: nothing. ret_pid is the
 * guest's process, 0 for one of the host or of another guest.
 */
int locks_get(struct fuse_thread *thread, const struct handle *handle,
              const struct lock_request *wanted, struct host_lock *ret_lock, uint32_t *ret_pid);

/*
 * Sets or releases a lock. Returns 0; -EAGAIN when somebody is in the way; -EBADF when the file is
 * not open for it; -ENOLCK at a limit; -ENFILE.
 */
int locks_set(struct fuse_thread *thread, const struct handle *handle,
              const struct lock_request *wanted);

/*
 * Sets a lock, or waits for it: then the request is answered later, and -REQ_DEFERRED returned.
 * -EDEADLK when those who are in the way wait for this owner; else as locks_set().
 */
int locks_wait(struct fuse_req *req, const struct handle *handle,
               const struct lock_request *wanted);

/* close() of a descriptor of the guest: owner gives up its record locks on the file. */
void locks_flush(struct locks *locks, uint64_t nodeid, uint64_t fh, uint64_t owner);

/* The end of a handle, which is still open: whatever was locked or waited for through it. */
void locks_release(struct locks *locks, const struct handle *handle, uint64_t fh, bool flocked);

/* Ends the wait of the request of that number, also when it only comes to wait later. */
void locks_interrupt(struct locks *locks, uint64_t unique);

/* The end of the session: no lock is left, nothing waits, every deferred request is finished. */
void locks_end(struct locks *locks);

#endif
