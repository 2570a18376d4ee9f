// SPDX-License-Identifier: BSD-3-Clause
/*
 * A file system behind include/fuse_server.h for tests of the device: the first eight readable
 * bytes are a command and its argument, what follows is data. Any thread may call.
 */
#ifndef VIOFS_FAKE_FUSE_H
#define VIOFS_FAKE_FUSE_H

#include <stdatomic.h>
#include <stdint.h>

#include "dax_mapper.h"

enum fake_command {
    FAKE_ECHO = 1,   /* copies the data that follows into the reply */
    FAKE_SLEEP = 2,  /* argument: microseconds; replies with the command's 8 bytes */
    FAKE_BLOCK = 3,  /* calls the may_block hook, then waits for fake_release() */
    FAKE_HANG = 4,   /* the same without the hook */
    FAKE_FORGET = 5, /* no reply; done in passing, the argument FAKE_FORGET_WAITS waits for
                        fake_release() */
    FAKE_MAP = 6,    /* asks for fake_set_mapping(); replies as if argument were the error number */
    FAKE_UNMAP = 7,  /* the same, for taking it away */
    FAKE_RESTART = 8, /* wants to be run again until fake_release(); with an argument it calls the
                         may_block hook first */
    FAKE_DEFER = 9,   /* is answered by fake_finish(), with "deferred answer." */
    FAKE_OWE = 10,    /* its thread has to settle then, which takes until fake_release() */
    FAKE_PUT_OFF = 11 /* its thread puts something off */
};

#define FAKE_FORGET_WAITS 1

struct fake_request {
    uint32_t command;
    uint32_t argument;
};

extern atomic_uint fake_runs;         /* requests begun */
extern atomic_uint fake_resets;       /* fuse_server_reset() calls */
extern atomic_uint fake_threads;      /* that exist now */
extern atomic_int fake_stuck;         /* of these: said to be stuck */
extern atomic_uint fake_inside;       /* requests running now */
extern atomic_uint fake_bad;          /* reset, or another mapper, while a request was running */
extern atomic_uint fake_bad_leaves;   /* mappers taken away from a session that was not reset */
extern atomic_uint fake_mappers;      /* fuse_server_set_mapper() calls */
extern atomic_uint fake_restarts;     /* requests that were left for later */
extern atomic_uint fake_settled;      /* times that a thread has settled what it owed */
extern atomic_uint fake_helped;       /* FAKE_FORGETs that were done in passing */
extern struct dax_mapper fake_mapper; /* the last one; all zero: none */
extern atomic_uint fake_in_window;    /* chains that said so */
extern atomic_uint fake_unreachable;  /* the same */
extern char *fake_window;             /* what fuse_server_window() answers; NULL at the begin */

void fake_clear(void);                                    /* all counters to 0, blocks again */
void fake_set_mapping(const struct dax_mapping *mapping); /* what FAKE_MAP and FAKE_UNMAP ask for */
unsigned fake_finish(void); /* answers what was deferred; returns how many that were */
void fake_release(void);    /* lets all blocked requests go on, now and later */

#endif
