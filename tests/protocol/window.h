// SPDX-License-Identifier: BSD-3-Clause
/*
 * The front-end's half of a DAX window: an area of addresses into which a thread of its own maps
 * what the daemon asks for on the back-end channel, and a record of every rule that was broken.
 *
 * Four kinds of front-end:
 *
 *   WINDOW_EXACT   like QEMU 11.1: nothing over a mapping, nothing beyond the end of a file, unmaps
 *                  of exactly one mapping; a mapping appears, and disappears, only some time after
 *                  the answer, before the next request is looked at; then the new memory table is
 *                  sent, and its answer waited for, before anything else is served
 *   WINDOW_LOOSE   like crosvm: anything anywhere, at once, and no tables
 *   WINDOW_STRICT  refuses what the exact one refuses, but is otherwise as the loose one; nothing
 *                  tells it from that but its refusals, which are no violations therefore
 *   WINDOW_LEGACY  the old FS_MAP and FS_UNMAP, as loose, without the SHMEM feature
 *
 * Owner: the case, by way of struct dax (dax_guest.h); the thread ends in window_close(). Locks:
 * `lock` guards all but the options and the channel; `socket` is held for each exchange on the main
 * connection, by the test too (window_lock_socket), and ranks first.
 */
#ifndef PROTOCOL_WINDOW_H
#define PROTOCOL_WINDOW_H

#include <pthread.h>
#include <stdint.h>

#include "guest.h"

#define WINDOW_GPA   0x4000000000ull
#define WINDOW_UVA   0x550000000000ull
#define WINDOW_PAGE  4096ull
#define WINDOW_RANGE (2ull << 20) /* what Linux maps at a time */

enum window_style { WINDOW_EXACT, WINDOW_LOOSE, WINDOW_STRICT, WINDOW_LEGACY };

/* What happens to a request for a mapping or an unmapping instead of being served. */
enum window_fault {
    FAULT_NONE,
    FAULT_REFUSE,  /* answered with 1 */
    FAULT_LATE,    /* looked at after window_release(), or LATE_MS */
    FAULT_NEVER,   /* read and forgotten, and so are all that follow */
    FAULT_CLOSE,   /* the channel is closed */
    FAULT_GARBAGE, /* answered with another request's number and a wrong size */
};

struct window_options {
    enum window_style style;
    uint64_t size;       /* bytes, as the daemon was told */
    bool without_tables; /* WINDOW_EXACT: sends no memory tables */
    bool at_once;        /* WINDOW_EXACT: no pause before a mapping appears */
    bool eof_is_lenient; /* WINDOW_EXACT: files are cut while mapped: refusing is no violation */
    bool may_probe;      /* refusing anything that is sound is no violation */
};

struct window_piece {
    uint64_t offset; /* in the window, bytes */
    uint64_t length;
    uint64_t fd_offset;
    int fd; /* kept for the memory tables, or -1 */
    bool writable;
};

struct window {
    struct guest *guest; /* borrowed */
    struct window_options options;
    unsigned char *map; /* the area: options.size bytes */
    pthread_mutex_t socket;
    pthread_mutex_t lock;
    pthread_t thread;
    struct vuf_conn channel;
    int stop_fd;
    bool in_order; /* the request being served came when the device could ask; its thread only */

    /* Under lock. */
    struct window_piece *pieces;
    size_t count, room;
    unsigned long maps, unmaps, seen, tables; /* carried out; requests that came in; tables sent */
    bool running;                             /* the device may ask */
    bool reading;                             /* a request is coming in */
    int unread; /* of what came before the device was stopped: bytes not looked at yet */
    bool busy;  /* a request is being served, answered or not */
    bool released;
    enum window_fault fault;
    unsigned fault_in; /* so many requests from now; 0: none */
    bool fault_goes_on;
    unsigned violations;
    char violation[300]; /* the first one */
};

/* Reserves the area and gives the daemon a channel, served from now on. */
void window_open(struct window *ret_window, struct guest *guest,
                 const struct window_options *options);

/* Ends the thread and fails the case if a rule was broken; the channel stays open. */
void window_close(struct window *window);

/* Requests are in order from now on, or not. */
void window_set_running(struct window *window, bool running);

/* Unmaps everything without a word, as QEMU does when the device is reset. */
void window_drop(struct window *window);

/* The IN-th request from now (1: the next) is not served but treated so, or all from there on. */
void window_fail(struct window *window, enum window_fault fault, unsigned in, bool goes_on);

/* Gives the daemon a new channel instead of the one there is, whose requests are forgotten. */
void window_reopen(struct window *window);

/* The memory table as it is now: what QEMU sends when the device is started. */
void window_send_table(struct window *window);

/* Lets FAULT_LATE go on. */
void window_release(struct window *window);

/* Waits until as many requests as that have come in since the window was opened. */
void window_expect_seen(struct window *window, unsigned long seen);

struct window_counts {
    unsigned long maps, unmaps, seen, tables;
    size_t pieces;
};
/* Once what was acknowledged is carried out, too. */
struct window_counts window_counts(struct window *window);

/* Every page of files that is mapped exists: a guest that touches it does not end its VMM. Only
 * for windows with memory tables, as they keep the descriptors. */
void window_check_backed(struct window *window);

/* The main connection, for the test's own messages. */
void window_lock_socket(struct window *window);
void window_unlock_socket(struct window *window);

/*
 * What a guest's load and store do: 0, or -EFAULT where nothing is mapped, or only for reading, or
 * the file has no such page.
 */
int window_load(const struct window *window, uint64_t offset, void *ret_bytes, size_t size);
int window_store(const struct window *window, uint64_t offset, const void *bytes, size_t size);

#endif
