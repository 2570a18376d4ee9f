// SPDX-License-Identifier: BSD-3-Clause
#include "host_cred.h"

#include <errno.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "log.h"

#define NO_ID UINT32_MAX

static bool has(const uint32_t set[2], unsigned capability)
{
    return set[CAP_TO_INDEX(capability)] & CAP_TO_MASK(capability);
}

static int get_capabilities(struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3])
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    return syscall(SYS_capget, &header, data) < 0 ? -errno : 0;
}

int host_cred_init(struct host_cred *cred, bool all_ids)
{
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
    int error = get_capabilities(data);
    if (error)
        return error;

    *cred = (struct host_cred){.uid = geteuid(), .gid = getegid(), .all_ids = all_ids};
    cred->uid_now = cred->uid;
    cred->gid_now = cred->gid;
    for (unsigned i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
        cred->permitted[i] = data[i].permitted;
        cred->effective[i] = data[i].effective;
        cred->inheritable[i] = data[i].inheritable;
    }
    cred->may_switch = has(cred->effective, CAP_SETUID) && has(cred->effective, CAP_SETGID);
    cred->may_set_fsetid = has(cred->permitted, CAP_FSETID);
    cred->fsetid = has(cred->effective, CAP_FSETID);
    if (cred->may_set_fsetid)
        cred->effective[CAP_TO_INDEX(CAP_FSETID)] |= CAP_TO_MASK(CAP_FSETID);
    return 0;
}

bool host_cred_opens_all(const struct host_cred *cred)
{
    return cred->uid == 0 && has(cred->effective, CAP_DAC_OVERRIDE);
}

static int set_egid(uint32_t gid)
{
    return syscall(SYS_setresgid, -1, gid, -1) < 0 ? -errno : 0;
}

static int set_euid(uint32_t uid)
{
    return syscall(SYS_setresuid, -1, uid, -1) < 0 ? -errno : 0;
}

static int set_groups(unsigned count, const uint32_t *groups)
{
    return syscall(SYS_setgroups, (size_t)count, groups) < 0 ? -errno : 0;
}

/* The id to take for what the request says: guest root is whoever we are when we cannot switch. */
static uint32_t target(const struct host_cred *cred, uint32_t wanted, uint32_t own)
{
    return !cred->may_switch && wanted == 0 ? own : wanted;
}

/*
 * A thread that cannot go back to its own ids would create the next guest user's files, and root's,
 * as the wrong user: the one case where ending the process is the safe answer. It cannot happen,
 * as the kernel lets a thread return to its real id at any time.
 */
static void must(int result)
{
    if (result == 0)
        return;
    log_error("the kernel refused to restore credentials: %s", strerrordesc_np(-result));
    abort();
}

static void drop_groups(struct host_cred *cred)
{
    if (cred->groups)
        must(set_groups(0, NULL));
    cred->groups = false;
}

/* Takes what differs. What was changed before a failure stays changed. */
static int take(struct host_cred *cred, uint32_t uid, uint32_t gid)
{
    if (gid != cred->gid_now) {
        int error = set_egid(gid);
        if (error)
            return error;
        cred->gid_now = gid;
    }
    if (uid != cred->uid_now) {
        int error = set_euid(uid);
        if (error)
            return error;
        cred->uid_now = uid;
    }
    return 0;
}

bool host_cred_own(struct host_cred *cred)
{
    drop_groups(cred);
    if (host_cred_is_own(cred))
        return false;
    must(take(cred, cred->uid, cred->gid));
    return true;
}

/*
 * Another user with all that makes root root, who can be told from it by nothing but the owner of
 * what is made. Asked for while a request's ids are taken: without SECBIT_NO_SETUID_FIXUP their
 * capabilities are not those of the thread's own.
 */
static bool is_like_root(const struct host_cred *cred)
{
    static const uint8_t needed[] = {CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
    if (!cred->all_ids || !cred->may_switch || !cred->may_set_fsetid || cred->uid != 0 ||
        get_capabilities(data) < 0)
        return false;
    for (unsigned i = 0; i < sizeof(needed); i++) {
        if (!(data[CAP_TO_INDEX(needed[i])].effective & CAP_TO_MASK(needed[i])))
            return false;
    }
    return true;
}

int host_cred_assume(struct host_cred *cred, const struct host_ids *ids)
{
    int error = -EINVAL;
    if (ids->uid != NO_ID && ids->gid != NO_ID) {
        if (ids->group_count && cred->may_switch)
            cred->groups = set_groups(ids->group_count, ids->groups) == 0;
        error = take(cred, target(cred, ids->uid, cred->uid), target(cred, ids->gid, cred->gid));
        if (!error)
            return 0;
        error = -EPERM;
    }
    host_cred_own(cred);
    return error;
}

void host_cred_linger(struct host_cred *cred)
{
    if (!cred->has_taken && cred->uid_now != cred->uid) {
        cred->has_taken = true;
        cred->may_linger = is_like_root(cred);
    }
    if (cred->may_linger)
        drop_groups(cred);
    else
        host_cred_own(cred);
}

int host_cred_fsetid(struct host_cred *cred, bool wanted)
{
    if (cred->fsetid == wanted || !cred->may_set_fsetid)
        return 0;

    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
    for (unsigned i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
        data[i].permitted = cred->permitted[i];
        data[i].effective = cred->effective[i];
        data[i].inheritable = cred->inheritable[i];
    }
    if (!wanted)
        data[CAP_TO_INDEX(CAP_FSETID)].effective &= ~CAP_TO_MASK(CAP_FSETID);
    if (syscall(SYS_capset, &header, data) < 0)
        return -errno;
    cred->fsetid = wanted;
    return 0;
}

/* Threads share umask and working directory until one asks for its own; the directory stays. */
int host_cred_umask(struct host_cred *cred, mode_t wanted)
{
    if (cred->umask == wanted)
        return 0;
    if (!cred->own_umask && unshare(CLONE_FS) < 0)
        return -errno;
    cred->own_umask = true;
    umask(wanted);
    cred->umask = wanted;
    return 0;
}
