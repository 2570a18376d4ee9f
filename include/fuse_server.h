// SPDX-License-Identifier: BSD-3-Clause
/*
 * The seam between the device (virtqueues) and the file system (FUSE requests).
 *
 * A fuse_server serves one shared directory to one guest. Owner: main; it outlives the device.
 * Any number of threads run requests at once, each with a fuse_thread of its own, which only that
 * thread may use. Nothing below this line knows of virtqueues, nothing above it of FUSE.
 */
#ifndef VIOFS_FUSE_SERVER_H
#define VIOFS_FUSE_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "dax_mapper.h"
#include "settings.h"

struct fuse_server;
struct fuse_thread;

/* The descriptors that the sandbox leaves us. The server takes them over, also on failure. */
struct fuse_server_fds {
    int share;   /* O_PATH descriptor of the shared directory, as seen from inside the sandbox */
    int proc_fd; /* O_PATH descriptor of /proc/self/fd of this very process */
    /* /proc/self/mountinfo, open for reading by this very process; -1: does without. */
    int mountinfo;
    bool all_ids; /* no user namespace hides any user or group of the host from this process */
};

/*
 * A request's memory: two scatter lists over guest memory, what the device may read and what it
 * may write. The lists themselves are in the device's private memory and may be consumed
 * (modified) by the server; what they point to is shared with a hostile guest and may change at
 * any moment.
 */
struct fuse_chain {
    struct iovec *readable;
    unsigned readable_count;
    struct iovec *writable;
    unsigned writable_count;
    /* Some pieces lie in fuse_server_window(): what is there must be found first. */
    bool in_window;
    /* A buffer lies in no memory that we know, and was left out of its list: reply EFAULT. */
    bool unreachable;
};

/*
 * A chain that is given back later than its request ends, by whatever thread has its answer then.
 * The first member of an object of the device's; it belongs to the server until it is finished.
 */
#define FUSE_DEFERRAL_REPLY_MAX 16 /* a reply of this kind is a header */
struct fuse_deferral {
    /*
     * Answers with length bytes (FUSE_DEFERRAL_REPLY_MAX at the most), which are copied, and gives
     * the chain back; or does nothing if its ring is no longer there. Any thread, once, before
     * fuse_server_reset() returns: the object is gone afterwards.
     */
    void (*finish)(struct fuse_deferral *deferral, const void *reply, size_t length);
};

/* What the thread's owner wants to know while a request runs. Each may be NULL. */
struct fuse_thread_hooks {
    /* The request may take long: what is batched should not wait for it. */
    void (*may_wait)(void *argument);
    /* The same, about to make a host call that may block: others may go on meanwhile. */
    void (*may_block)(void *argument);
    /*
     * The running request is answered later: count pieces (16 at the most) of its writable list,
     * which are copied, are where the reply will go. fuse_server_run() then returns
     * FUSE_SERVER_DEFERRED. NULL: out of memory, nothing has changed.
     */
    struct fuse_deferral *(*defer)(void *argument, const struct iovec *pieces, unsigned count);
    void *argument;
};

/*
 * Creates the server. settings must outlive it. Returns 0, or a negative errno after one line in
 * the log that says what is wrong.
 */
int fuse_server_new(const struct settings *settings, const struct fuse_server_fds *fds,
                    struct fuse_server **ret_server);
void fuse_server_free(struct fuse_server *server);

/*
 * Creates the state of the calling thread: scratch memory, credentials, place in the epochs.
 * hooks is copied. Returns 0 or a negative errno (-EAGAIN: more than FUSE_THREADS_MAX threads).
 */
#define FUSE_THREADS_MAX 512
int fuse_thread_new(struct fuse_server *server, const struct fuse_thread_hooks *hooks,
                    struct fuse_thread **ret_thread);
void fuse_thread_free(struct fuse_thread *thread);

/*
 * Runs one request to its end on the calling thread. Returns how many bytes of the writable list
 * were filled, from its start: the used length; 0 for requests without a reply (FORGET and its
 * kind) and for chains with no room for a reply header.
 *
 * FUSE_SERVER_RESTART: the mapper said -ECANCELED, nothing was written to the chain, and nothing
 * was done that must not be done twice. The request is to be run again later: the guest does not
 * notice that its device was stopped.
 */
#define FUSE_SERVER_RESTART  ((size_t)-1)
/* The chain was taken over by the defer hook: its thread has nothing more to do with it. */
#define FUSE_SERVER_DEFERRED ((size_t)-2)
size_t fuse_server_run(struct fuse_thread *thread, struct fuse_chain *chain);

/*
 * A FORGET in two steps: what it says is copied out of its chain, which may be given back then, and
 * done later. fuse_forget_read() is for any thread, consumes the lists, and returns false for
 * everything else.
 */
struct fuse_forget {
    uint64_t nodeid;
    uint64_t nlookup;
};
bool fuse_forget_read(const struct fuse_chain *chain, struct fuse_forget *ret_forget);
void fuse_server_forget(struct fuse_thread *thread, const struct fuse_forget *forgets,
                        unsigned count);

/*
 * What requests have given up is to be released, such as the descriptors of files that are gone:
 * that may take long, and no reply should wait for it. So the thread's owner calls
 * fuse_thread_settle() when it has shown the driver the replies of what it has run, before it
 * sleeps at the latest, if fuse_thread_owes() is true then.
 *
 * And what is better put off, such as closing what may be removed at once, if
 * fuse_thread_puts_off(): all of it, when there was nothing to do for FUSE_PUT_OFF_MS.
 */
#define FUSE_PUT_OFF_MS 1
bool fuse_thread_owes(const struct fuse_thread *thread);
bool fuse_thread_puts_off(const struct fuse_thread *thread);
void fuse_thread_settle(struct fuse_thread *thread, bool all);

/*
 * The thread's running request, or its settling, is stuck in the host. From now on other requests
 * in the same file system call the may_block hook before they begin, until is_stuck is false again,
 * which the caller says once the request has ended. Any thread; calls for one thread come one after
 * the other.
 */
void fuse_thread_stuck(struct fuse_thread *thread, bool is_stuck);

/*
 * From now on the guest's DAX window is reached by mapper, which is copied; NULL: there is none
 * (any more), and whatever was mapped is gone without a call. No thread may be running a request.
 */
void fuse_server_set_mapper(struct fuse_server *server, const struct dax_mapper *mapper);

/*
 * Where requests find guest memory that lies in the DAX window: settings->dax_window bytes of
 * reserved addresses, the same all the time. A piece of a chain at window offset n is at this
 * address + n; fuse_server_run() sees to what is behind it if the chain says in_window. NULL if
 * settings->dax_window is 0. Any thread.
 */
char *fuse_server_window(const struct fuse_server *server);

/*
 * Forgets the guest: session, handles, inodes, locks, as DESTROY does. For device reset and a
 * front-end that left. No thread may be running a request. Deferred chains are finished when it
 * returns.
 */
void fuse_server_reset(struct fuse_server *server);

#endif
