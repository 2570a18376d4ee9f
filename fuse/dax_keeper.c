// SPDX-License-Identifier: BSD-3-Clause
/*
 * The keeper: a thread that keeps tails in step with their files while the guest may be storing
 * there, so that host and guest see each other's changes soon, also when neither says anything; and
 * that makes up for mappings which could not be had. It sleeps as long as there is nothing to do.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "dax_table.h"
#include "host_path.h"
#include "log.h"
#include "server.h"

#define KEEPER_PERIOD_MS 50

struct dax_keeper {
    struct dax *dax;
    struct fuse_thread *thread;
    pthread_t handle;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stop;
    bool wanted; /* there is something to look after, or was */
};

/* The file, or the lack of a mapping, wants something done. The file's lock is held. */
static int keep_locked(struct dax *dax, struct dax_range *range, struct dax_file *file,
                       bool *ret_wanted)
{
    struct statx now;
    int fd;
    bool nothing = range->real == 0 && !(range->flags & DAX_TAIL);
    *ret_wanted = (range->flags & DAX_TAIL) && (range->flags & DAX_STORES);
    if (!*ret_wanted && !nothing)
        return 0;
    int error = inode_fd(file->thread, file->inode, &fd);
    if (!error)
        error = host_stat_fd(fd, &now);
    if (error)
        return error;
    /* A mapping that could not be had when the file was cut: the guest is looking at nothing. */
    if (nothing && dax_within(range, now.stx_size)) {
        *ret_wanted = true;
        return dax_cover(dax, range, file, &now, 0);
    }
    if (dax_tail_dirty(dax, range))
        error = dax_tail_pull(dax, range, file, now.stx_size);
    bool same = range->size == now.stx_size && range->changed == dax_time_of_change(&now);
    if (error || nothing || same)
        return error;
    error = dax_file_stat(file, &now);
    return error ? error : dax_tail_push(dax, range, file, &now);
}

/* One range. Returns true when it has to be looked after. */
static bool keep(struct dax_keeper *keeper, struct dax_range *range, uint64_t nodeid)
{
    struct fuse_server *server = keeper->dax->server;
    struct fuse_thread *thread = keeper->thread;
    struct inode *inode;
    bool wanted = false;
    epoch_enter(server->epochs, thread->epoch);
    if (inode_get(server->inodes, nodeid, &inode) == 0) {
        struct dax_file file = DAX_FILE(thread, inode);
        pthread_mutex_t *lock = dax_lock_of(keeper->dax, nodeid);
        int error = 0;
        pthread_mutex_lock(lock);
        if (atomic_load(&range->nodeid) == nodeid)
            error = keep_locked(keeper->dax, range, &file, &wanted);
        pthread_mutex_unlock(lock);
        dax_file_close(&file);
        if (error && error != -REQ_STOPPED)
            log_limited(LOG_LEVEL_WARN, "DAX: the end of a file cannot be kept in step: %s",
                        strerrordesc_np(-error));
    }
    while (thread->temporary_count)
        close(thread->temporary[--thread->temporary_count]);
    epoch_leave(server->epochs, thread->epoch);
    return wanted;
}

static bool keep_all(struct dax_keeper *keeper)
{
    struct dax *dax = keeper->dax;
    bool any = false;
    for (uint32_t i = 0; i < dax->range_count && atomic_load(&dax->in_use); i++) {
        uint64_t nodeid = atomic_load(&dax->ranges[i].nodeid);
        if (nodeid && keep(keeper, &dax->ranges[i], nodeid))
            any = true;
    }
    return any;
}

/* Called and left with the keeper's lock held. */
static void nap(struct dax_keeper *keeper)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += KEEPER_PERIOD_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    while (!keeper->stop &&
           pthread_cond_timedwait(&keeper->changed, &keeper->lock, &until) != ETIMEDOUT)
        continue;
}

static void *keeper_main(void *argument)
{
    struct dax_keeper *keeper = argument;
    pthread_setname_np(pthread_self(), "dax");
    pthread_mutex_lock(&keeper->lock);
    while (!keeper->stop) {
        if (!keeper->wanted) {
            pthread_cond_wait(&keeper->changed, &keeper->lock);
            continue;
        }
        keeper->wanted = false;
        nap(keeper);
        if (keeper->stop)
            break;
        pthread_mutex_unlock(&keeper->lock);
        bool any = keep_all(keeper);
        pthread_mutex_lock(&keeper->lock);
        if (any)
            keeper->wanted = true;
    }
    pthread_mutex_unlock(&keeper->lock);
    return NULL;
}

static void keeper_free(struct dax_keeper *keeper)
{
    fuse_thread_free(keeper->thread);
    pthread_cond_destroy(&keeper->changed);
    pthread_mutex_destroy(&keeper->lock);
    free(keeper);
}

int dax_keeper_start(struct dax *dax)
{
    struct dax_keeper *keeper = calloc(1, sizeof(*keeper));
    if (!keeper)
        return -ENOMEM;
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&keeper->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&keeper->lock, NULL);
    keeper->dax = dax;
    int error = fuse_thread_new(dax->server, NULL, &keeper->thread);
    if (!error)
        error = -pthread_create(&keeper->handle, NULL, keeper_main, keeper);
    if (error) {
        keeper_free(keeper);
        return error;
    }
    dax->keeper = keeper;
    return 0;
}

void dax_keeper_stop(struct dax *dax)
{
    struct dax_keeper *keeper = dax->keeper;
    if (!keeper)
        return;
    pthread_mutex_lock(&keeper->lock);
    keeper->stop = true;
    pthread_cond_signal(&keeper->changed);
    pthread_mutex_unlock(&keeper->lock);
    pthread_join(keeper->handle, NULL);
    keeper_free(keeper);
    dax->keeper = NULL;
}

void dax_keeper_wake(struct dax *dax)
{
    struct dax_keeper *keeper = dax->keeper;
    if (!keeper)
        return;
    pthread_mutex_lock(&keeper->lock);
    keeper->wanted = true;
    pthread_cond_signal(&keeper->changed);
    pthread_mutex_unlock(&keeper->lock);
}
