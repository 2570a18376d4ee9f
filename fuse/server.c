// SPDX-License-Identifier: BSD-3-Clause
/* The server's and the threads' birth and end. */
#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <linux/xattr.h>
#include <sys/resource.h>
#include <unistd.h>

#include "host_xattr.h"
#include "log.h"
#include "owner.h"
#include "scope.h"
#include "setid.h"
#include "xattrmap.h"

/*
 * Descriptors that are not the guest's to use: sockets, memory, four for each of 64 queues, and
 * what threads open for the length of a request.
 */
#define FDS_RESERVED 1024

/*
 * The kernel's table of descriptors grows when a larger number is needed, to twice its size, and in
 * a process with threads it waits for a grace period of RCU each time: 10 to 30 ms in which a
 * request stands still. So room for so many is made before there are threads. Costs 8 bytes each.
 */
#define FDS_AT_ONCE  65536

static void make_room(int fd, int limit)
{
    autoclose int last =
        fcntl(fd, F_DUPFD_CLOEXEC, (limit < FDS_AT_ONCE ? limit : FDS_AT_ONCE) - 1);
    if (last < 0)
        log_debug("the table of descriptors will grow by and by: %s", strerror(errno));
}

static int budget_init(struct fd_budget *budget)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return -errno;
    rlim_t most = limit.rlim_cur == RLIM_INFINITY ? HANDLES_MAX : limit.rlim_cur;
    rlim_t reserved = most / 4 < FDS_RESERVED ? most / 4 : FDS_RESERVED;
    if (most - reserved > HANDLES_MAX)
        most = HANDLES_MAX + reserved;
    fd_budget_init(budget, (int)(most - reserved));
    return 0;
}

static int tables_init(struct fuse_server *server, int share_fd)
{
    size_t size = inodes_arena_size() + handles_arena_size() + locks_arena_size() +
                  dax_arena_size(server->settings) + opens_arena_size(server);
    int error = arena_new(size, &server->arena);
    if (!error)
        error = epochs_new(FUSE_THREADS_MAX, &server->epochs);
    if (!error)
        error = handle_table_new(server, &server->handles);
    if (!error)
        error = opens_new(server, &server->opens);
    if (!error)
        error = inode_table_new(server, share_fd, &server->inodes);
    if (!error)
        error = locks_new(server, &server->locks);
    if (!error)
        error = janitor_new(server, &server->janitor);
    if (!error)
        error = dax_new(server, &server->dax);
    return error;
}

/*
 * ACLs are the host's to apply when a file is created: a file system without them, or rules that
 * give them other names, would make them a pretence.
 */
static const char *why_no_acl(const struct fuse_server *server)
{
    char room[XATTRMAP_NAME_MAX];
    const char *host = NULL;
    size_t length;
    if (server->settings->owner_xattr)
        return "--owner-xattr keeps modes where the host does not look";
    const char *const names[] = {XATTR_NAME_POSIX_ACL_ACCESS, XATTR_NAME_POSIX_ACL_DEFAULT};
    for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
        if (xattrmap_to_host(server->settings->xattr_rules, names[i], room, &host) < 0 ||
            host != names[i])
            return "--xattrmap does not leave system.posix_acl_* alone: put :ok:all:system.posix_"
                   "acl_:system.posix_acl_: first";
    int error = host_xattr_get(server->share_fd, names[0], room, 0, &length);
    return error == -EOPNOTSUPP ? "the shared directory's file system has none" : NULL;
}

static int acl_init(struct fuse_server *server)
{
    enum feature_mode wanted = server->settings->posix_acl;
    if (wanted == FEATURE_NEVER)
        return 0;
    const char *why = why_no_acl(server);
    server->acl_works = !why;
    if (!why)
        return 0;
    if (wanted == FEATURE_AUTO) {
        log_info("no POSIX ACLs for the guest: %s", why);
        return 0;
    }
    log_error("--posix-acl=always: %s", why);
    return -EOPNOTSUPP;
}

int fuse_server_new(const struct settings *settings, const struct fuse_server_fds *fds,
                    struct fuse_server **ret_server)
{
    autoclose int share = fds->share;
    autoclose int proc_fd = fds->proc_fd;
    autoclose int mountinfo = fds->mountinfo;

    struct fuse_server *server = aligned_alloc(64, (sizeof(*server) + 63) / 64 * 64);
    if (!server)
        return -ENOMEM;
    *server = (struct fuse_server){
        .settings = settings, .share_fd = share, .mountinfo = mountinfo, .all_ids = fds->all_ids};
    counters_init(&server->counters);
    setid_init(server);
    const char *what = "the descriptor limit";
    int error = budget_init(&server->budget);
    if (!error) {
        make_room(share, server->budget.limit);
        what = "/proc/self/fd";
        error = fchdir(proc_fd) < 0 ? -errno : 0;
    }
    if (!error) {
        what = settings->file_handles == FILE_HANDLES_MANDATORY
                   ? "the state tables (--inode-file-handles=mandatory needs CAP_DAC_READ_SEARCH "
                     "and a file system with file handles)"
                   : "the state tables";
        error = tables_init(server, share);
    }
    if (!error && settings->owner_xattr) {
        what = "--owner-xattr: the shared directory needs user xattrs";
        error = owner_probe(share);
    }
    if (!error) {
        what = "POSIX ACLs";
        error = acl_init(server);
    }
    if (error) {
        log_error("cannot set up %s: %s", what, strerror(-error));
        server->share_fd = -1;
        server->mountinfo = -1;
        fuse_server_free(server);
        return error;
    }
    steal_fd(&share);
    steal_fd(&mountinfo);
    *ret_server = server;
    return 0;
}

void fuse_server_free(struct fuse_server *server)
{
    if (!server)
        return;
    if (server->handles && server->inodes && server->session.ready)
        fuse_server_reset(server);
    janitor_stop(server->janitor);
    if (server->handles)
        handle_close_idle(server->handles, UINT_MAX);
    dax_free(server->dax); /* its keeper is still in the epochs */
    locks_free(server->locks);
    epochs_free(server->epochs);
    opens_free(server->opens);
    handle_table_free(server->handles);
    inode_table_free(server->inodes);
    janitor_free(server->janitor);
    arena_free(server->arena);
    scope_close(&server->share_fd);
    scope_close(&server->mountinfo);
    free(server);
}

void fuse_server_reset(struct fuse_server *server)
{
    struct fuse_thread *thread;
    int error = fuse_thread_new(server, NULL, &thread);
    if (error) {
        log_error("the guest cannot be forgotten: %s", strerror(-error));
        return;
    }
    epoch_enter(server->epochs, thread->epoch);
    session_end(thread, false);
    epoch_leave(server->epochs, thread->epoch);
    counters_report(&server->counters, opcode_name);
    fuse_thread_free(thread);
    epoch_reclaim(server->epochs);
    janitor_wait(server->janitor);
}

int fuse_thread_new(struct fuse_server *server, const struct fuse_thread_hooks *hooks,
                    struct fuse_thread **ret_thread)
{
    struct fuse_thread *thread = aligned_alloc(64, sizeof(*thread));
    if (!thread)
        return -ENOMEM;
    *thread = (struct fuse_thread){.server = server, .mount = NOWHERE, .stuck_in = NOWHERE};
    pthread_mutex_init(&thread->unopened.position_lock, NULL);
    if (hooks)
        thread->hooks = *hooks;
    thread->tail = malloc(FUSE_TAIL_MAX);
    thread->buffer = malloc(FUSE_BUFFER_SIZE);
    int error = thread->tail && thread->buffer ? 0 : -ENOMEM;
    if (!error)
        error = host_cred_init(&thread->cred, server->all_ids);
    if (!error)
        error = epoch_slot_take(server->epochs, &thread->epoch);
    if (error) {
        fuse_thread_free(thread);
        return error;
    }
    counters_join(&server->counters, &thread->counters);
    fd_budget_join(&server->budget, &thread->purse);
    inode_spares_join(server->inodes, &thread->spare_inodes);
    *ret_thread = thread;
    return 0;
}

void fuse_thread_free(struct fuse_thread *thread)
{
    if (!thread)
        return;
    fuse_thread_settle(thread, true);
    counters_leave(&thread->server->counters, &thread->counters);
    handle_spares_return(thread);
    inode_spares_leave(thread->server->inodes, &thread->spare_inodes);
    fd_budget_leave(&thread->server->budget, &thread->purse);
    epoch_slot_put(thread->epoch);
    host_cred_umask(&thread->cred, 0);
    host_cred_own(&thread->cred);
    pthread_mutex_destroy(&thread->unopened.position_lock);
    free(thread->tail);
    free(thread->buffer);
    free(thread);
}

void fuse_thread_stuck(struct fuse_thread *thread, bool is_stuck)
{
    struct fuse_server *server = thread->server;
    if (thread->stuck_in != NOWHERE) {
        atomic_fetch_sub(&server->stuck_in[thread->stuck_in], 1);
        atomic_fetch_sub(&server->stuck_requests, 1);
    }
    thread->stuck_in = is_stuck ? atomic_load(&thread->mount) : NOWHERE;
    if (thread->stuck_in != NOWHERE) {
        atomic_fetch_add(&server->stuck_in[thread->stuck_in], 1);
        atomic_fetch_add(&server->stuck_requests, 1);
    }
}

void thread_close_later(struct fuse_thread *thread, int fd)
{
    if (thread->temporary_count == THREAD_TEMPORARY_MAX) {
        /* Cannot happen while no operation touches more inodes than that; never a wrong file. */
        log_limited(LOG_LEVEL_ERROR, "a request uses more inodes than foreseen: descriptor kept");
        return;
    }
    thread->temporary[thread->temporary_count++] = fd;
}

bool thread_keep(struct fuse_thread *thread, int fd)
{
    for (unsigned i = 0; i < thread->temporary_count; i++) {
        if (thread->temporary[i] == fd) {
            thread->temporary[i] = thread->temporary[--thread->temporary_count];
            return true;
        }
    }
    return false;
}
