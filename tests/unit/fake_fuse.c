// SPDX-License-Identifier: BSD-3-Clause
#include "fake_fuse.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuse_server.h"

atomic_uint fake_runs, fake_resets, fake_threads, fake_inside, fake_bad, fake_mappers;
atomic_uint fake_in_window, fake_unreachable, fake_restarts, fake_bad_leaves, fake_settled;
atomic_uint fake_helped;
atomic_int fake_stuck;
struct dax_mapper fake_mapper;
char *fake_window;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t released = PTHREAD_COND_INITIALIZER;
static bool is_released;
static struct dax_mapping mapping_wanted;
static atomic_bool has_run; /* since the last reset */
static atomic_bool owed;

#define DEFERRALS_MAX 64
static struct fuse_deferral *deferrals[DEFERRALS_MAX];
static unsigned deferral_count;

struct fuse_thread {
    struct fuse_thread_hooks hooks;
    bool is_stuck;
    bool puts_off;
};

void fake_clear(void)
{
    fake_runs = 0;
    fake_resets = 0;
    fake_bad = 0;
    fake_mappers = 0;
    fake_in_window = 0;
    fake_unreachable = 0;
    fake_restarts = 0;
    fake_settled = 0;
    fake_helped = 0;
    fake_bad_leaves = 0;
    owed = false;
    has_run = false;
    pthread_mutex_lock(&lock);
    is_released = false;
    pthread_mutex_unlock(&lock);
}

void fake_set_mapping(const struct dax_mapping *mapping)
{
    pthread_mutex_lock(&lock);
    mapping_wanted = *mapping;
    pthread_mutex_unlock(&lock);
}

static struct dax_mapping get_mapping(void)
{
    pthread_mutex_lock(&lock);
    struct dax_mapping mapping = mapping_wanted;
    pthread_mutex_unlock(&lock);
    return mapping;
}

void fake_release(void)
{
    pthread_mutex_lock(&lock);
    is_released = true;
    pthread_cond_broadcast(&released);
    pthread_mutex_unlock(&lock);
}

int fuse_thread_new(struct fuse_server *server, const struct fuse_thread_hooks *hooks,
                    struct fuse_thread **ret_thread)
{
    struct fuse_thread *thread = calloc(1, sizeof(*thread));

    (void)server;
    if (!thread)
        return -ENOMEM;
    thread->hooks = *hooks;
    fake_threads++;
    *ret_thread = thread;
    return 0;
}

void fuse_thread_free(struct fuse_thread *thread)
{
    fuse_thread_settle(thread, true);
    fake_threads--;
    if (thread->is_stuck)
        fake_bad++;
    free(thread);
}

/*
 * Guest memory is shared with a driver that may give the same buffer to two requests at once: that
 * race is the driver's own, so the thread sanitizer does not look.
 */
__attribute__((no_sanitize("thread"), noinline)) static void copy_bytes(void *to, const void *from,
                                                                        size_t size)
{
    volatile char *target = to;
    const volatile char *source = from;

    while (size--)
        *target++ = *source++;
}

/* Copies from one list to another; consumes both. Returns the number of bytes. */
static size_t copy(struct iovec *to, unsigned to_count, struct iovec *from, unsigned from_count)
{
    size_t done = 0;

    while (to_count && from_count) {
        size_t here = to->iov_len < from->iov_len ? to->iov_len : from->iov_len;

        copy_bytes(to->iov_base, from->iov_base, here);
        done += here;
        to->iov_base = (char *)to->iov_base + here;
        from->iov_base = (char *)from->iov_base + here;
        to->iov_len -= here;
        from->iov_len -= here;
        if (to->iov_len == 0)
            to++, to_count--;
        if (from->iov_len == 0)
            from++, from_count--;
    }
    return done;
}

static void wait_release(void)
{
    pthread_mutex_lock(&lock);
    while (!is_released)
        pthread_cond_wait(&released, &lock);
    pthread_mutex_unlock(&lock);
}

static bool was_released(void)
{
    pthread_mutex_lock(&lock);
    bool released_now = is_released;
    pthread_mutex_unlock(&lock);
    return released_now;
}

/* Asks for what was set. Returns the error number. */
static uint32_t ask_mapper(enum fake_command command)
{
    struct dax_mapping mapping = get_mapping();

    if (!fake_mapper.map)
        return ENODEV;
    if (command == FAKE_MAP)
        return (uint32_t)-fake_mapper.map(fake_mapper.owner, &mapping);
    return (uint32_t)-fake_mapper.unmap(fake_mapper.owner, mapping.window_offset, mapping.length);
}

/* The reply goes into the first 16 bytes, wherever these lie. */
static size_t defer(struct fuse_thread *thread, const struct fuse_chain *chain)
{
    struct iovec pieces[FUSE_DEFERRAL_REPLY_MAX];
    size_t left = FUSE_DEFERRAL_REPLY_MAX;
    unsigned count = 0;

    for (; count < chain->writable_count && left; count++) {
        pieces[count] = chain->writable[count];
        if (pieces[count].iov_len > left)
            pieces[count].iov_len = left;
        left -= pieces[count].iov_len;
    }
    pthread_mutex_lock(&lock);
    struct fuse_deferral *deferral =
        deferral_count < DEFERRALS_MAX ? thread->hooks.defer(thread->hooks.argument, pieces, count)
                                       : NULL;
    if (deferral)
        deferrals[deferral_count++] = deferral;
    pthread_mutex_unlock(&lock);
    return deferral ? FUSE_SERVER_DEFERRED : 0;
}

unsigned fake_finish(void)
{
    pthread_mutex_lock(&lock);
    unsigned count = deferral_count;
    deferral_count = 0;
    for (unsigned i = 0; i < count; i++)
        deferrals[i]->finish(deferrals[i], "deferred answer.", FUSE_DEFERRAL_REPLY_MAX);
    pthread_mutex_unlock(&lock);
    return count;
}

static size_t run(struct fuse_thread *thread, struct fuse_chain *chain)
{
    struct fake_request request = {0};
    struct iovec own = {.iov_base = &request, .iov_len = sizeof(request)};

    if (copy(&own, 1, chain->readable, chain->readable_count) < sizeof(request))
        return 0;
    /* copy() advanced the entries but not the list. */
    while (chain->readable_count && chain->readable->iov_len == 0)
        chain->readable++, chain->readable_count--;

    switch (request.command) {
    case FAKE_ECHO:
        return copy(chain->writable, chain->writable_count, chain->readable, chain->readable_count);
    case FAKE_SLEEP:
        usleep(request.argument);
        break;
    case FAKE_BLOCK:
        thread->hooks.may_block(thread->hooks.argument);
        wait_release();
        break;
    case FAKE_HANG:
        wait_release();
        break;
    case FAKE_MAP:
    case FAKE_UNMAP:
        request.argument = ask_mapper(request.command);
        if (request.argument == ECANCELED)
            return FUSE_SERVER_RESTART;
        break;
    case FAKE_RESTART:
        if (request.argument)
            thread->hooks.may_block(thread->hooks.argument);
        if (was_released())
            break;
        return FUSE_SERVER_RESTART;
    case FAKE_DEFER:
        return defer(thread, chain);
    case FAKE_OWE:
        owed = true;
        break;
    case FAKE_PUT_OFF:
        thread->puts_off = true;
        break;
    default:
        return 0;
    }
    own = (struct iovec){.iov_base = &request, .iov_len = sizeof(request)};
    return copy(chain->writable, chain->writable_count, &own, 1);
}

size_t fuse_server_run(struct fuse_thread *thread, struct fuse_chain *chain)
{
    fake_inside++;
    fake_runs++;
    has_run = true;
    fake_in_window += chain->in_window;
    fake_unreachable += chain->unreachable;
    size_t length = run(thread, chain);
    fake_restarts += length == FUSE_SERVER_RESTART;
    fake_inside--;
    return length;
}

bool fuse_forget_read(const struct fuse_chain *chain, struct fuse_forget *ret_forget)
{
    struct fake_request request = {0};
    struct iovec own = {.iov_base = &request, .iov_len = sizeof(request)};

    if (copy(&own, 1, chain->readable, chain->readable_count) < sizeof(request) ||
        request.command != FAKE_FORGET)
        return false;
    ret_forget->nodeid = request.argument;
    return true;
}

void fuse_server_forget(struct fuse_thread *thread, const struct fuse_forget *forgets,
                        unsigned count)
{
    (void)thread;
    fake_inside++;
    fake_runs += count;
    fake_helped += count;
    has_run = true;
    for (unsigned i = 0; i < count; i++) {
        if (forgets[i].nodeid == FAKE_FORGET_WAITS)
            wait_release();
    }
    fake_inside--;
}

bool fuse_thread_owes(const struct fuse_thread *thread)
{
    (void)thread;
    return owed;
}

bool fuse_thread_puts_off(const struct fuse_thread *thread)
{
    return thread->puts_off;
}

void fuse_thread_settle(struct fuse_thread *thread, bool all)
{
    if (all && thread->puts_off) {
        thread->puts_off = false;
        fake_settled++;
    }
    if (!atomic_exchange(&owed, false))
        return;
    wait_release();
    fake_settled++;
}

void fuse_thread_stuck(struct fuse_thread *thread, bool is_stuck)
{
    if (thread->is_stuck == is_stuck)
        fake_bad++;
    thread->is_stuck = is_stuck;
    fake_stuck += is_stuck ? 1 : -1;
}

void fuse_server_set_mapper(struct fuse_server *server, const struct dax_mapper *mapper)
{
    (void)server;
    if (fake_inside)
        fake_bad++;
    if (!mapper && fake_mapper.map && has_run)
        fake_bad_leaves++;
    fake_mapper = mapper ? *mapper : (struct dax_mapper){0};
    fake_mappers++;
}

char *fuse_server_window(const struct fuse_server *server)
{
    (void)server;
    return fake_window;
}

void fuse_server_reset(struct fuse_server *server)
{
    (void)server;
    if (fake_inside)
        fake_bad++;
    fake_finish();
    fake_resets++;
    has_run = false;
}
