// SPDX-License-Identifier: BSD-3-Clause
/*
 * host_cred: whose files this thread creates, and whether setuid and setgid bits survive it.
 *
 * The guest's kernel has checked permissions before a request is sent, so the host is not asked
 * to check them again: only ownership matters. A thread takes the request's ids around the calls
 * that create something. Capabilities stay effective meanwhile, because the sandbox has set
 * SECBIT_NO_SETUID_FIXUP before any thread was made.
 *
 * Ids that were taken may linger, where the caller knows that what comes next does not depend on
 * them: a user of the guest makes one file after the other, and each change is a system call of
 * 1.6 microseconds. host_cred_own() ends that.
 *
 * CAP_FSETID is what lets root write to a setuid file without it losing the bit. It is switched
 * off for requests of guest users that do not have it, lazily: every operation where it matters
 * says what it needs, and a call is made only when that differs from what the thread has.
 *
 * Owner: struct fuse_thread. Credentials are per thread in the kernel; the system calls are made
 * directly, because the C library's wrappers would change those of all threads.
 */
#ifndef VIOFS_HOST_CRED_H
#define VIOFS_HOST_CRED_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Whose a new file will be, in the host's numbers. */
struct host_ids {
    uint32_t uid;
    uint32_t gid;
    unsigned group_count;
    const uint32_t *groups; /* other groups of this user's that matter for it */
};

struct host_cred {
    uid_t uid; /* effective ids while no request's are taken */
    gid_t gid;
    uid_t uid_now; /* effective now */
    gid_t gid_now;
    bool all_ids;        /* all of the host's exist for this process */
    bool may_switch;     /* CAP_SETUID and CAP_SETGID */
    bool may_linger;     /* another's ids change nothing but who owns what is made */
    bool has_taken;      /* ids of a request at least once, so that may_linger is known */
    bool may_set_fsetid; /* CAP_FSETID is permitted */
    bool fsetid;         /* CAP_FSETID is effective now */
    bool groups;         /* supplementary groups of a request are in force: the server has none */
    bool own_umask;      /* the umask is no longer the process's */
    mode_t umask;
    uint32_t permitted[2];
    uint32_t effective[2]; /* with CAP_FSETID when permitted */
    uint32_t inheritable[2];
};

/*
 * Learns the calling thread's credentials. all_ids: see struct fuse_server_fds. Returns 0 or a
 * negative errno.
 */
int host_cred_init(struct host_cred *cred, bool all_ids);

/* Whether the server may open every file, whatever its mode, as a local root may. */
bool host_cred_opens_all(const struct host_cred *cred);

/*
 * Takes the ids, in this order of calls: groups, gid, uid, while the right to change them is still
 * there in every configuration. Makes no system call for what is already right. To be followed by
 * host_cred_own() or host_cred_linger().
 *
 * The groups decide only whether a new file in a folder of theirs may be set-group-id. Where they
 * cannot be taken (not mapped in this user namespace, or setgroups denied there) it goes without
 * them, and the bit is lost, as for somebody who is no member.
 *
 * A process that may not switch serves its own ids only; guest root counts as them, as the owner
 * of a share without privileges would expect.
 *
 * Returns 0, or with the thread's own ids in force: -EINVAL for the id that means "none"
 * ((uid_t)-1), -EPERM for an id that this process cannot take (no privilege, or not mapped in its
 * user namespace).
 */
int host_cred_assume(struct host_cred *cred, const struct host_ids *ids);

/*
 * Gives the thread its own ids back, if it has others. Returns whether it had. Ends the process if
 * the kernel refuses: see host_cred.c.
 */
bool host_cred_own(struct host_cred *cred);

/*
 * The ids that were taken may stay until host_cred_own(), but for the groups. Without effect, and
 * the thread's own are back at once, where more than ownership depends on them: in a user
 * namespace that does not have all ids, or without the capabilities of a local root.
 */
void host_cred_linger(struct host_cred *cred);

/* Whether the thread has its own ids. */
static inline bool host_cred_is_own(const struct host_cred *cred)
{
    return cred->uid_now == cred->uid && cred->gid_now == cred->gid;
}

/* Makes CAP_FSETID effective (root's semantics) or not, if it is permitted at all. */
int host_cred_fsetid(struct host_cred *cred, bool wanted);

/*
 * Sets the umask that the thread creates files with. The host's kernel uses it only where the
 * directory has no default ACL, which is why we do not apply it ourselves. Makes no system call
 * when it is right already. The process's own umask is 0, and stays so.
 */
int host_cred_umask(struct host_cred *cred, mode_t wanted);

#endif
