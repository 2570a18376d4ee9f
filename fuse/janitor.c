// SPDX-License-Identifier: BSD-3-Clause
#include "janitor.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "bare_call.h"
#include "log.h"
#include "server.h"

struct closing {
    int fd;
    uint64_t bytes; /* that the host frees */
};

struct janitor {
    struct fuse_server *server;
    pthread_t thread;
    pthread_mutex_t lock;   /* guards all but asleep; a leaf */
    pthread_cond_t changed; /* the thread waits for it, and who waits for the thread */
    bool started;
    bool stop;
    atomic_bool asleep; /* until it is woken, not for a period */

    /* A ring, in the order of coming. What is being closed is still in it. */
    struct closing closings[JANITOR_CLOSES_MAX];
    unsigned first;
    unsigned count;
    uint64_t bytes;
};

/* Called and left with the lock held. Closes what has waited longest. Returns false if none has. */
static bool close_next(struct janitor *janitor)
{
    if (janitor->count == 0)
        return false;
    struct closing next = janitor->closings[janitor->first];
    pthread_mutex_unlock(&janitor->lock);
    bare_close(next.fd);
    fd_budget_give(&janitor->server->budget, NULL);
    pthread_mutex_lock(&janitor->lock);
    janitor->first = (janitor->first + 1) % JANITOR_CLOSES_MAX;
    janitor->count--;
    janitor->bytes -= next.bytes;
    if (janitor->count == 0)
        pthread_cond_broadcast(&janitor->changed);
    return true;
}

static bool is_over(const struct timespec *until)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec > until->tv_sec ||
           (now.tv_sec == until->tv_sec && now.tv_nsec >= until->tv_nsec);
}

/* Called and left with the lock held. However much there is to close, it ends. */
static void nap(struct janitor *janitor)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += JANITOR_PERIOD_SECONDS;
    while (!janitor->stop && !is_over(&until)) {
        if (!close_next(janitor))
            pthread_cond_timedwait(&janitor->changed, &janitor->lock, &until);
    }
}

static void *janitor_main(void *argument)
{
    struct janitor *janitor = argument;
    struct inode_table *table = janitor->server->inodes;
    pthread_setname_np(pthread_self(), "janitor");
    pthread_mutex_lock(&janitor->lock);
    while (!janitor->stop) {
        while (!janitor->stop && atomic_load(&janitor->asleep)) {
            if (!close_next(janitor))
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
    while (close_next(janitor))
        continue;
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

void janitor_stop(struct janitor *janitor)
{
    if (!janitor)
        return;
    pthread_mutex_lock(&janitor->lock);
    janitor->stop = true;
    pthread_cond_broadcast(&janitor->changed);
    bool started = janitor->started;
    pthread_mutex_unlock(&janitor->lock);
    if (started)
        pthread_join(janitor->thread, NULL);
}

void janitor_free(struct janitor *janitor)
{
    if (!janitor)
        return;
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
    struct stat st;
    if (bare_fstat(fd, &st) < 0)
        return false;
    uint64_t bytes = (uint64_t)st.st_blocks * 512;
    pthread_mutex_lock(&janitor->lock);
    bool takes = janitor->started && !janitor->stop && janitor->count < JANITOR_CLOSES_MAX &&
                 (janitor->count == 0 || janitor->bytes + bytes <= JANITOR_CLOSE_BYTES_MAX);
    if (takes) {
        unsigned place = (janitor->first + janitor->count++) % JANITOR_CLOSES_MAX;
        janitor->closings[place] = (struct closing){.fd = fd, .bytes = bytes};
        janitor->bytes += bytes;
        pthread_cond_broadcast(&janitor->changed);
    }
    pthread_mutex_unlock(&janitor->lock);
    return takes;
}

void janitor_wait(struct janitor *janitor)
{
    pthread_mutex_lock(&janitor->lock);
    while (janitor->count)
        pthread_cond_wait(&janitor->changed, &janitor->lock);
    pthread_mutex_unlock(&janitor->lock);
}

void janitor_wake(struct janitor *janitor)
{
    /* In full order behind what it is woken for: it looks for that after it has fallen asleep. */
    if (!atomic_load(&janitor->asleep))
        return;
    pthread_mutex_lock(&janitor->lock);
    atomic_store(&janitor->asleep, false);
    pthread_cond_broadcast(&janitor->changed);
    pthread_mutex_unlock(&janitor->lock);
}
