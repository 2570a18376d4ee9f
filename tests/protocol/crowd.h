// SPDX-License-Identifier: BSD-3-Clause
/*
 * Slow requests and fast ones on the same queue (ring 1): what is in flight, and how long it took.
 *
 * Owner: the process of the case, single-threaded; one crowd at a time. Failures fail the case.
 */
#ifndef PROTOCOL_CROWD_H
#define PROTOCOL_CROWD_H

#include "slow.h"

#define CROWD_MAX 128 /* slow requests at once */

struct crowd_job {
    const struct slow_kind *kind;
    struct slow_target target;
    bool answered;
    int error;
    size_t length;
    long long sent_us, took_us;
};

struct crowd {
    struct guest guest;
    struct crowd_job jobs[CROWD_MAX];
    unsigned sent, answered;
    bool again; /* what is answered is sent anew */
    uint64_t fast_dir, fast_file, fast_fh, fast_dir_fh;
    unsigned long made;
};

/* A guest with room for all of this, whose share slow_mount() has made. */
void crowd_start(struct crowd *ret_crowd, struct daemon *daemon);

/* Again after another INIT: what the fast requests are about. */
void crowd_furnish(struct crowd *crowd);

/* Prepares count targets, numbered from first; then sends them all a request, with one kick. */
void crowd_prepare(struct crowd *crowd, unsigned first, unsigned count);
void crowd_send(struct crowd *crowd, unsigned first, unsigned count, const struct slow_kind *kind);

/* Waits until all that were sent are answered. False: not within that time. */
bool crowd_wait(struct crowd *crowd, int milliseconds);

/* Latencies of fast requests, in microseconds. */
struct crowd_times {
    unsigned count;
    unsigned p50, p99, max;
    unsigned stalled; /* part of the time that was spent in those of 1 ms and more, per cent */
};

/*
 * One fast request after the other, of each kind in turn, until the time is over or, if it is not
 * 0, so many slow ones are answered.
 */
struct crowd_times crowd_measure(struct crowd *crowd, int milliseconds, unsigned until_answered);

/* One LOOKUP of the fast file; one OPEN and RELEASE. */
void crowd_lookup(struct crowd *crowd);
void crowd_open(struct crowd *crowd);

/* One GETATTR of the fast file, behind what was sent: microseconds. */
unsigned crowd_one(struct crowd *crowd);

/* What limits of latency are about, with a text for both. */
void crowd_hold(const char *what, const struct crowd_times *without, const struct crowd_times *with,
                unsigned max_us);

#endif
