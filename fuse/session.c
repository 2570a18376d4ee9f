// SPDX-License-Identifier: BSD-3-Clause
/* INIT, DESTROY, and the requests that belong to no file. */
#include "session.h"

#include <errno.h>
#include <string.h>

#include "cachepol.h"
#include "log.h"
#include "seed.h"
#include "server.h"

#define PAGE_BYTES              4096u

/* Requests that the guest may have under way in the background; it congests at three quarters. */
#define MAX_BACKGROUND          UINT16_MAX
#define CONGESTION_THRESHOLD    (MAX_BACKGROUND / 4 * 3)

/*
 * Pages in a request. Data goes straight between them and the file, so their number costs us
 * nothing: the guest may have as many as the protocol can say, and Linux takes what its own limit
 * (fs.fuse.max_pages_limit, from 6.13 on) and its ring have room for. Before that, and in other
 * guests, who may take an offer at its word, 1 MiB is what is common.
 */
#define PAGES_WITHOUT_MAX_PAGES 32 /* before 7.28 */
#define PAGES_COMMON            256
#define PAGES_ANY               UINT16_MAX
#define PAGES_ANY_MINOR         41

/* All of them, or an ACL would not mean what it means on the host. */
#define ACL_FLAGS               ((uint64_t)(FUSE_POSIX_ACL | FUSE_DONT_MASK | FUSE_SETXATTR_EXT))

/* What we would like to use, whatever the guest can. */
static uint64_t wanted_flags(const struct fuse_server *server, uint32_t minor)
{
    const struct settings *settings = server->settings;
    uint64_t flags = FUSE_ASYNC_READ | FUSE_ATOMIC_O_TRUNC | FUSE_BIG_WRITES | FUSE_ASYNC_DIO |
                     FUSE_PARALLEL_DIROPS | FUSE_MAX_PAGES | FUSE_INIT_EXT | FUSE_HAS_IOCTL_DIR |
                     FUSE_EXPORT_SUPPORT | FUSE_ABI_CREATE_SUPP_GROUP | FUSE_ABI_ALLOW_IDMAP |
                     cachepol_init_flags(settings, minor) | cachepol_without_open(settings);
    if (settings->announce_submounts)
        flags |= FUSE_SUBMOUNTS;
    /* With --owner-xattr set-id bits are not the host's, which could not take them away: the guest
     * does. */
    if (settings->killpriv_v2 != FEATURE_NEVER && !settings->owner_xattr)
        flags |= FUSE_HANDLE_KILLPRIV_V2;
    if (settings->security_label != FEATURE_NEVER)
        flags |= FUSE_SECURITY_CTX;
    if (server->acl_works)
        flags |= ACL_FLAGS;
    if (settings->allow_mmap)
        flags |= FUSE_ABI_DIRECT_IO_ALLOW_MMAP;
    if (settings->posix_lock)
        flags |= FUSE_POSIX_LOCKS;
    if (settings->flock)
        flags |= FUSE_FLOCK_LOCKS;
    return flags;
}

void session_end(struct fuse_thread *thread, bool unmap)
{
    struct fuse_server *server = thread->server;
    atomic_store_explicit(&server->session.ready, false, memory_order_release);
    dax_end(thread, unmap);
    locks_end(server->locks);
    handle_release_all(server->handles);
    inode_forget_all(thread);
}

static int reply_version_only(struct fuse_req *req)
{
    struct fuse_init_out out = {.major = FUSE_ABI_MAJOR, .minor = FUSE_ABI_MINOR};
    return req_reply(req, out);
}

/*
 * Takes flags back that the guest has only a part of. Returns 0, or -EPROTO after a line in the log
 * if there is something that the guest must have.
 */
static int settle_flags(const struct settings *settings, uint64_t *flags)
{
    const char *missing = NULL;
    /* Requests that do not say who they come from can only be judged by the guest itself. */
    if (settings->killpriv_v2 == FEATURE_AUTO && !(*flags & FUSE_ABI_ALLOW_IDMAP))
        *flags &= ~(uint64_t)FUSE_HANDLE_KILLPRIV_V2;
    /*
     * Linux tells us with KILLPRIV_V2 only whether setuid bits go when OPEN cuts a file, and
     * forgets to clear them itself; when it cuts the file by SETATTR after OPEN, it does not
     * forget.
     */
    if (!(*flags & FUSE_HANDLE_KILLPRIV_V2))
        *flags &= ~(uint64_t)FUSE_ATOMIC_O_TRUNC;
    if ((*flags & ACL_FLAGS) != ACL_FLAGS) {
        *flags &= ~ACL_FLAGS;
        if (settings->posix_acl == FEATURE_ALWAYS)
            missing = "posix-acl";
    }
    if (!(*flags & FUSE_SECURITY_CTX) && settings->security_label == FEATURE_ALWAYS)
        missing = "security-label";
    if (!missing)
        return 0;
    log_limited(
        LOG_LEVEL_ERROR,
        "--%s=always: the guest's kernel cannot do that; with --%s=auto it is served all the "
        "same",
        missing, missing);
    return -EPROTO;
}

static uint16_t pages_offered(uint64_t flags, uint32_t minor)
{
    if (!(flags & FUSE_MAX_PAGES))
        return PAGES_WITHOUT_MAX_PAGES;
    return minor < PAGES_ANY_MINOR ? PAGES_COMMON : PAGES_ANY;
}

int op_init(struct fuse_req *req)
{
    struct fuse_server *server = req->server;
    struct fuse_init_in in = req->args.init;
    in.flags2 = 0;
    /* The rest of the structure came with INIT_EXT; a guest may set the bit and send the short
     * form. */
    if (req->in.left >= sizeof(in.flags2) && (in.flags & FUSE_INIT_EXT)) {
        int error = wire_in_copy(&req->in, &in.flags2, sizeof(in.flags2));
        if (error)
            return error;
    }
    if (in.major > FUSE_ABI_MAJOR)
        return reply_version_only(req); /* the guest comes again with ours */
    if (in.major < FUSE_ABI_MAJOR || in.minor < FUSE_ABI_MIN_MINOR) {
        log_limited(LOG_LEVEL_ERROR, "the guest speaks FUSE %u.%u, which is older than %u.%u",
                    in.major, in.minor, FUSE_ABI_MAJOR, FUSE_ABI_MIN_MINOR);
        return -EPROTO;
    }

    /* A guest that restarts without DESTROY: whatever it knew, it knows no more. */
    session_end(req->thread, false);
    uint64_t flags = ((uint64_t)in.flags2 << 32 | in.flags) &
                     (wanted_flags(server, in.minor) | dax_init_flags(server));
    int error = settle_flags(server->settings, &flags);
    if (error)
        return error;
    flags &= ~opens_unfit_flags(req, flags);
    struct session *session = &server->session;
    uint16_t pages = pages_offered(flags, in.minor);
    atomic_store_explicit(&session->flags, flags, memory_order_relaxed);
    /* A file handle that the guest kept from an earlier session must not lead to a file of this. */
    atomic_store_explicit(&session->salt, (uint32_t)seed(), memory_order_relaxed);
    atomic_store_explicit(&session->minor, in.minor, memory_order_relaxed);
    struct fuse_init_out out = {
        .major = FUSE_ABI_MAJOR,
        .minor = FUSE_ABI_MINOR,
        .max_readahead = in.max_readahead, /* all that it would like */
        .flags = (uint32_t)flags,
        .flags2 = (uint32_t)(flags >> 32),
        .max_background = MAX_BACKGROUND,
        .congestion_threshold = CONGESTION_THRESHOLD,
        .max_write = pages * PAGE_BYTES,
        .max_pages = flags & FUSE_MAX_PAGES ? pages : 0,
        .time_gran = 1,
        .map_alignment = flags & FUSE_MAP_ALIGNMENT ? DAX_RANGE_SHIFT : 0,
    };
    error = req_reply(req, out);
    if (error)
        return error;
    janitor_start(server->janitor);
    atomic_store_explicit(&session->ready, true, memory_order_release);
    log_debug("INIT: the guest speaks FUSE %u.%u, flags %#llx in use", in.major, in.minor,
              (unsigned long long)flags);
    return 0;
}

int op_destroy(struct fuse_req *req)
{
    session_end(req->thread, true);
    counters_report(&req->server->counters, opcode_name);
    return 0;
}

int op_forget(struct fuse_req *req)
{
    inode_forget(req->thread, req->header.nodeid, req->args.forget.nlookup);
    return 0;
}

int op_batch_forget(struct fuse_req *req)
{
    for (uint32_t i = 0; i < req->args.batch_forget.count; i++) {
        struct fuse_forget_one one;
        int error = wire_in_copy(&req->in, &one, sizeof(one));
        if (error)
            return error;
        inode_forget(req->thread, one.nodeid, one.nlookup);
    }
    return 0;
}
