// SPDX-License-Identifier: BSD-3-Clause
/*
 * A guest with its VMM, put together from the front-end library: the polite start and the calls
 * that nearly every case needs. Failures fail the case.
 *
 * Owner: the case. Nothing has to be closed: the case's process ends (case.h). Single-threaded.
 */
#ifndef PROTOCOL_GUEST_H
#define PROTOCOL_GUEST_H

#include "case.h"
#include "vufront.h"

#define ROOT_ID 1

/* All that point 1 of the daemon's promises names. */
#define EVERY_PROTOCOL_FEATURE                                                                    \
    (VUF_PF_MQ | VUF_PF_REPLY_ACK | VUF_PF_BACKEND_REQ | VUF_PF_CONFIG | VUF_PF_BACKEND_SEND_FD | \
     VUF_PF_RESET_DEVICE | VUF_PF_CONFIGURE_MEM_SLOTS | VUF_PF_STATUS)

struct guest {
    struct daemon *daemon;
    struct vuf_dev dev;
    struct vuf_fuse fuse;
    unsigned char *scratch; /* guest memory of the case's own */
    size_t scratch_size;
};

/* Zero means the value in brackets. */
struct guest_options {
    unsigned rings;             /* hiprio and request queues (2) */
    unsigned ring_size;         /* (64) */
    unsigned indirect_max;      /* (0: chains are direct) */
    unsigned depth;             /* requests in flight per ring (8) */
    size_t data;                /* largest READ or WRITE (64 KiB) */
    size_t scratch;             /* bytes (1 MiB) */
    uint64_t features;          /* (VUF_DEV_FEATURES) */
    uint64_t protocol_features; /* (EVERY_PROTOCOL_FEATURE) */
    bool by_slots;
    bool sealed;
    bool no_init; /* stop before INIT */
};

/* A connection, and nothing else. */
void guest_connect(struct vuf_conn *ret_conn, const struct daemon *daemon);

/* The memory, rings and request pools of a guest whose device is negotiated: the second half of
 * guest_negotiate(), for those who negotiate in another way. */
void guest_furnish(struct guest *guest, const struct guest_options *options);

/* Connected and negotiated, rings made here but unknown to the daemon. OPTIONS may be NULL. */
void guest_negotiate(struct guest *ret_guest, struct daemon *daemon,
                     const struct guest_options *options);

/* The whole way up to INIT's reply. */
void guest_start(struct guest *ret_guest, struct daemon *daemon,
                 const struct guest_options *options);

/* INIT with everything that a recent Linux asks for. */
void guest_init(struct guest *guest);

/* One request on ring 1: returns the file system's errno (0 or negative). */
int guest_call(struct guest *guest, uint32_t opcode, uint64_t nodeid, const void *args,
               size_t args_size, const char *name, void *out, size_t out_size, size_t *ret_len);

/* These must succeed. */
uint64_t guest_lookup(struct guest *guest, uint64_t parent, const char *name);
uint64_t guest_open(struct guest *guest, uint64_t nodeid, uint32_t flags);
uint64_t guest_opendir(struct guest *guest, uint64_t nodeid);
uint64_t guest_create(struct guest *guest, uint64_t parent, const char *name, uint64_t *ret_fh);

/* The control channel answers, and ring 1 serves: "hello" is found and read. */
void guest_check_alive(struct guest *guest);
void guest_check_ring(struct guest *guest, unsigned ring);
void guest_check_control(struct vuf_conn *conn);

/* The device has given up on the ring: error descriptor signalled. */
void guest_expect_broken(struct guest *guest, unsigned ring);

/* Gives ring I (again) to the daemon the way vuf_dev_start does, and enables it. */
void guest_start_ring(struct guest *guest, unsigned i);

/*
 * An illegal request: answered with a non-zero acknowledgement (returns true, and the connection
 * still works), or the connection is closed (returns false). Anything else fails the case: success,
 * silence, another reply.
 */
bool guest_expect_refusal(struct vuf_conn *conn, uint32_t request, const void *payload, size_t size,
                          const int *fds, size_t fd_count);

/* A legal one: acknowledged with 0. REPLY_ACK must have been negotiated. */
void guest_expect_ack(struct vuf_conn *conn, uint32_t request, const void *payload, size_t size,
                      const int *fds, size_t fd_count);

/* Waits until the daemon closes the connection. */
void guest_expect_close(struct vuf_conn *conn);

#endif
