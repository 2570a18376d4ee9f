// SPDX-License-Identifier: BSD-3-Clause
#include "janitor.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "server.h"

struct janitor {
    struct fuse_server *server;
    pthread_t thread;
    pthread_mutex_t lock; /* guards all but asleep; a leaf */
    pthread_cond_t changed;
    bool started;
    bool stop;
    atomic_bool asleep; /* until it is woken, not for a period */
    unsigned closes;    /* how many descriptors are to be closed */
    int fds[JANITOR_CLOSES_MAX];
};

/* Called and left with the lock held. Closes what is to be closed. Returns false if nothing was. */
static bool close_all(struct janitor *janitor)
{
    bool closed = janitor->closes;
    while (janitor->closes) {
        int fd = janitor->fds[--janitor->closes];
        pthread_mutex_unlock(&janitor->lock);
        close(fd);
        fd_budget_give(&janitor->server->budget, NULL);
        pthread_mutex_lock(&janitor->lock);
    }
    return closed;
}

/* Called and left with the lock held. */
static void nap(struct janitor *janitor)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += JANITOR_PERIOD_SECONDS;
    while (!janitor->stop &&
           (close_all(janitor) ||
            pthread_cond_timedwait(&janitor->changed, &janitor->lock, &until) != ETIMEDOUT))
        continue;
}

static void *janitor_main(void *argument)
{
    struct janitor *janitor = argument;
    struct inode_table *table = janitor->server->inodes;
    pthread_setname_np(pthread_self(), "janitor");
    pthread_mutex_lock(&janitor->lock);
    while (!janitor->stop) {
        while (!janitor->stop && atomic_load(&janitor->asleep)) {
            if (!close_all(janitor))
                pthread_cond_wait(&janitor->changed, &janitor->lock);
        }
        nap(janitor);
        if (janitor->stop)
            break;
        pthread_mutex_unlock(&janitor->lock);
        /* Before the look: whoever has something new from here on wakes us. */
        atomic_store(&janitor->asleep, true);
        if (inode_rest(table) > 0)
            atomic_store(&janitor->asleep, false);
        pthread_mutex_lock(&janitor->lock);
    }
    close_all(janitor);
    pthread_mutex_unlock(&janitor->lock);
    return NULL;
}

int janitor_new(struct fuse_server *server, struct janitor **ret_janitor)
{
    struct janitor *janitor = calloc(1, sizeof(*janitor));
    if (!janitor)
        return -ENOMEM;
    janitor->server = server;
    janitor->asleep = true;
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&janitor->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&janitor->lock, NULL);
    *ret_janitor = janitor;
    return 0;
}

void janitor_free(struct janitor *janitor)
{
    if (!janitor)
        return;
    pthread_mutex_lock(&janitor->lock);
    janitor->stop = true;
    pthread_cond_signal(&janitor->changed);
    bool started = janitor->started;
    pthread_mutex_unlock(&janitor->lock);
    if (started)
        pthread_join(janitor->thread, NULL);
    pthread_cond_destroy(&janitor->changed);
    pthread_mutex_destroy(&janitor->lock);
    free(janitor);
}

void janitor_start(struct janitor *janitor)
{
    pthread_mutex_lock(&janitor->lock);
    if (!janitor->started) {
        int error = pthread_create(&janitor->thread, NULL, janitor_main, janitor);
        janitor->started = error == 0;
        if (error)
            log_limited(LOG_LEVEL_WARN, "no thread that gives descriptors back: %s",
                        strerror(error));
    }
    pthread_mutex_unlock(&janitor->lock);
}

bool janitor_close(struct janitor *janitor, int fd)
{
    pthread_mutex_lock(&janitor->lock);
    bool takes = janitor->started && !janitor->stop && janitor->closes < JANITOR_CLOSES_MAX;
    if (takes)
        janitor->fds[janitor->closes++] = fd;
    pthread_cond_signal(&janitor->changed);
    pthread_mutex_unlock(&janitor->lock);
    return takes;
}

void janitor_wake(struct janitor *janitor)
{
    /* In full order behind what it is woken for: it looks for that after it has fallen asleep. */
    if (!atomic_load(&janitor->asleep))
        return;
    pthread_mutex_lock(&janitor->lock);
    atomic_store(&janitor->asleep, false);
    pthread_cond_signal(&janitor->changed);
    pthread_mutex_unlock(&janitor->lock);
}
