// SPDX-License-Identifier: BSD-3-Clause
/*
 * A guest for the unit tests of fuse/: a server over a fresh temporary directory, and requests
 * made by hand, in scattered memory with guards around every piece of the reply.
 *
 * One struct guest belongs to one test case and to one thread. What goes wrong in the frame itself
 * (no temporary directory, a reply that is not well-formed) ends the program.
 */
#ifndef VIOFS_FUSE_GUEST_H
#define VIOFS_FUSE_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include "fuse_abi.h"
#include "fuse_server.h"
#include "settings.h"

#define GUEST_BODY_MAX (1u << 20)
#define GUEST_DEFERRED 1 /* instead of an error: the request is answered later */
#define GUEST_RESTART  2 /* the same: it is to be run again */

struct guest {
    struct settings settings;
    struct fuse_server *server;
    struct fuse_thread *thread;
    char root[64]; /* the shared directory, on the host */
    uint32_t uid;  /* of the next requests */
    uint32_t gid;
    uint16_t extensions;            /* of the next requests: the last so many 8 bytes of the tail */
    uint64_t init_flags;            /* offered at INIT */
    uint32_t minor;                 /* of the protocol that it speaks */
    struct fuse_thread_hooks hooks; /* of the thread */
    bool busy;                      /* more requests are waiting: its thread does not rest */
    uint64_t unique;                /* of the last request */
    const struct dax_mapper *mapper; /* NULL: no DAX window */
    unsigned descriptors;            /* open before the server was made */

    /* The last reply. */
    size_t length; /* of the body */
    uint8_t *body;
};

/* Fills in defaults; change guest->settings and guest->init_flags before guest_start(). */
void guest_prepare(struct guest *guest);

/* Makes the directory and the server, and sends INIT. */
void guest_start(struct guest *guest);

/* DESTROY and the end of it all. Returns how many descriptors were leaked: 0. */
int guest_end(struct guest *guest);

/* How many descriptors this process has. */
unsigned guest_open_descriptors(void);

/* The host's path of a file in the share, in static memory (four at a time). */
const char *guest_path(const struct guest *guest, const char *name);

/*
 * Sends opcode with args (fixed part) and tail, room bytes for the reply's body. Returns the
 * reply's error; 0 leaves the body in guest->body, guest->length.
 */
int guest_call(struct guest *guest, uint32_t opcode, uint64_t nodeid, const void *args,
               size_t args_length, const void *tail, size_t tail_length, size_t room);

/* The same with a header of the caller's, right or wrong; only its unique is filled in. */
int guest_send(struct guest *guest, struct fuse_in_header *header, const void *args,
               size_t args_length, const void *tail, size_t tail_length, size_t room);

/* The same with a structure as arguments and a name as tail, and plenty of room. */
#define guest_ask(guest, opcode, nodeid, args, name) \
    guest_call(guest, opcode, nodeid, &(args), sizeof(args), name, strlen(name) + 1, 4096)
#define guest_do(guest, opcode, nodeid, args) \
    guest_call(guest, opcode, nodeid, &(args), sizeof(args), NULL, 0, 4096)
#define guest_name(guest, opcode, nodeid, name) \
    guest_call(guest, opcode, nodeid, NULL, 0, name, strlen(name) + 1, 4096)

/* LOOKUP in the root. Returns the node id; 0: not found. */
uint64_t guest_lookup(struct guest *guest, const char *name);

/* OPEN or OPENDIR. Returns the error. */
int guest_open(struct guest *guest, uint64_t nodeid, uint32_t flags, uint64_t *ret_fh);
int guest_opendir(struct guest *guest, uint64_t nodeid, uint64_t *ret_fh);

/* guest_prepare() and guest_start(), with nothing changed in between. */
void guest_begin(struct guest *guest);

/* Makes a file in the share behind the guest's back, and looks at one (all zeros: not there). */
void guest_host_file(const struct guest *guest, const char *name, const char *content);
struct stat guest_host_stat(const struct guest *guest, const char *name);

/* CREATE in the root. Returns the error. */
int guest_create(struct guest *guest, const char *name, uint32_t flags, uint32_t mode,
                 uint64_t *ret_node, uint64_t *ret_fh);

/* READ into guest->body, and WRITE. Return the bytes, or the error. */
int guest_write(struct guest *guest, uint64_t node, uint64_t fh, uint64_t offset, const void *data,
                size_t length, uint32_t flags, uint32_t write_flags);
int guest_read(struct guest *guest, uint64_t node, uint64_t fh, uint64_t offset, uint32_t size);

/* The last reply's body as a structure; the guest is a variable of that name. */
#define BODY(type) ((struct type *)guest.body)

#endif
