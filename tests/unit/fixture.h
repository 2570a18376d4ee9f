// SPDX-License-Identifier: BSD-3-Clause
/* A server on a share of its own, for tests that call its tables as a request would. */
#ifndef UNIT_FIXTURE_H
#define UNIT_FIXTURE_H

#include <stdbool.h>
#include <stdint.h>

#include "server.h"

/* The share, for the test's own use; made and removed once for all cases of a program. */
extern int share_dir;
bool share_make(void);
void share_remove(void);
void share_file(const char *name, const char *content);

struct fixture {
    struct settings settings;
    struct fuse_server *server;
    struct fuse_thread *thread;
};

bool fixture_start(struct fixture *fixture, enum file_handles_mode mode);
void fixture_stop(struct fixture *fixture);

/* A request's begin and end, as dispatch.c makes them. */
void fixture_enter(struct fixture *fixture);
void fixture_leave(struct fixture *fixture);

/* One LOOKUP in the root: the node id, or 0 with the errno in *ret_error (NULL is fine). */
uint64_t fixture_look_up(struct fixture *fixture, const char *name, int *ret_error);
void fixture_forget(struct fixture *fixture, uint64_t id, uint64_t count);

/* A handle of the share's file of that name, counted, as OPEN makes it. 0: there is none. */
uint64_t fixture_open(struct fixture *fixture, const char *name, int flags, uint64_t nodeid);

/* Of this process. */
unsigned open_descriptors(void);

#endif
