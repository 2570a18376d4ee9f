// SPDX-License-Identifier: BSD-3-Clause
/*
 * A share of which one folder is the tests' slow file system (tests/slowfs), and what a guest asks
 * of it: one request of each kind, and the host call that each is held in.
 *
 * Owner: the process of the case, single-threaded. $SLOWFS names the program. The mounts are in a
 * mount namespace of the case's own; the file system ends with the case. Failures fail the case.
 */
#ifndef PROTOCOL_SLOW_H
#define PROTOCOL_SLOW_H

#include "guest.h"

/*
 * Before daemon_start(). Afterwards share is a tmpfs with the file "hello" of daemon_prepare(), a
 * folder "fast", and a folder "slow", where the slow file system is mounted.
 */
void slow_mount(const struct daemon *daemon);

/* A command (tests/slowfs/main.c), and the number in its answer. */
unsigned long slow_tell(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Waits until at least so many calls are held; returns how many when the time is over. */
unsigned long slow_await(unsigned long count, int milliseconds);

/* What a request is sent to. */
enum slow_object {
    SLOW_DIR,
    SLOW_FILE,
    SLOW_LINK,
};

/* What its first eight bytes are. */
enum slow_first {
    SLOW_NOTHING,
    SLOW_FH,
    SLOW_DIR_FH,
    SLOW_FILE_NODE,
    SLOW_DIR_NODE,
};

struct slow_kind {
    const char *name;
    const char *call; /* of slowfs */
    const char *path; /* of the call, behind the target's folder */
    uint32_t opcode;
    enum slow_object object;
    enum slow_first first;
    const void *args;
    size_t args_size;
    const char *words; /* behind the arguments */
    size_t words_size;
    size_t room;  /* for the reply */
    size_t least; /* of it, when it succeeds */
};

extern const struct slow_kind slow_kinds[];
extern const size_t slow_kind_count;

/* The first kind with that opcode. */
const struct slow_kind *slow_kind_of(uint32_t opcode);

/* A folder of the slow file system with a file, a link and an empty folder: room for one request
 * of any kind, which has to share no directory with others, as Linux locks them. */
struct slow_target {
    unsigned number;
    uint64_t dir, file, link;
    uint64_t fh, dir_fh;
};

/* Makes it on the host, and looks it up and opens everything in the guest. Nothing is held yet. */
void slow_target(struct guest *guest, unsigned number, struct slow_target *ret_target);

/* Queues a request of a kind; the caller kicks. req->user is user. */
void slow_send(struct guest *guest, const struct slow_kind *kind, const struct slow_target *target,
               void *user);

#endif
