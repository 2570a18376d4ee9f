// SPDX-License-Identifier: BSD-3-Clause
/*
 * A guest with a DAX window, and the calls and comparisons that the DAX cases are made of. Failures
 * fail the case.
 *
 * Owner: the case. Single-threaded but for dax_call(): one thread per ring, and the window's own.
 */
#ifndef PROTOCOL_DAX_GUEST_H
#define PROTOCOL_DAX_GUEST_H

#include "window.h"

#define DAX_READ        VUF_MAP_READ
#define DAX_WRITE       (VUF_MAP_READ | VUF_MAP_WRITE)

/* What the cases without an opinion use: 16 ranges. */
#define DAX_WINDOW      (32ull << 20)
#define DAX_WINDOW_WORD "--tag=dax --request-queues=8 --dax-window=32M"

/* A store into a page that only the daemon can carry over is in the file after this time. */
#define DAX_SETTLE_MS   1000

struct dax {
    struct daemon *daemon;
    struct guest guest;
    struct window window;
};

struct dax_options {
    struct window_options window; /* size 0: DAX_WINDOW */
    struct guest_options guest;   /* protocol_features: in addition to what the style has */
    uint64_t not_features;        /* protocol features that are left out */
    bool no_config;               /* GET_SHMEM_CONFIG is never asked */
    bool no_channel;              /* no SET_BACKEND_REQ_FD */
};

extern const struct dax_options dax_exact, dax_loose, dax_strict;

/*
 * dax_realize: connected, negotiated, GET_SHMEM_CONFIG as QEMU asks it at realize, the channel.
 * dax_start: all that, the rings, and INIT's reply, which must offer DAX.
 */
void dax_realize(struct dax *ret_dax, struct daemon *daemon, const struct dax_options *options);
void dax_start(struct dax *ret_dax, struct daemon *daemon, const struct dax_options *options);

/* The rings of a realized device; stop answers within a second, whatever else is waited for. */
void dax_start_rings(struct dax *dax);
void dax_stop_rings(struct dax *dax);
/* With a pause between one ring and the next, in which those that still run may go on. */
void dax_stop_rings_slowly(struct dax *dax, int pause_ms);

/* INIT with the two features of DAX on offer. Returns what came back of them. */
uint64_t dax_init(struct dax *dax);

/* To be called at the end of each case: fails it if a rule of the window was broken. */
void dax_finish(struct dax *dax);

/* --- requests: errno of the file system, 0 or negative --- */

int dax_call(struct dax *dax, unsigned ring, uint32_t opcode, uint64_t node, const void *args,
             size_t args_size, const void *more, size_t more_size, void *out, size_t out_size);
int dax_map_on(struct dax *dax, unsigned ring, uint64_t node, uint64_t file_offset,
               uint64_t window_offset, uint64_t flags);
int dax_map(struct dax *dax, uint64_t node, uint64_t file_offset, uint64_t window_offset,
            uint64_t flags);
int dax_unmap(struct dax *dax, uint64_t window_offset, uint64_t length);
int dax_write(struct dax *dax, uint64_t node, uint64_t fh, uint64_t offset, const void *bytes,
              size_t size);
int dax_set_size(struct dax *dax, uint64_t node, uint64_t size);
int dax_allocate(struct dax *dax, uint64_t node, uint64_t fh, uint64_t offset, uint64_t length);
int dax_fsync(struct dax *dax, uint64_t node, uint64_t fh);
int dax_flush(struct dax *dax, uint64_t node, uint64_t fh);
int dax_release(struct dax *dax, uint64_t node, uint64_t fh);

/* GETATTR, which must succeed. */
struct vuf_attr dax_getattr(struct dax *dax, uint64_t node);

/* --- the host's side --- */

/* The path of a file of the share; valid until the next call. */
const char *host_path(const struct dax *dax, const char *name);

/* A file of SIZE bytes of pattern(seed); returns a descriptor for reading and writing. */
int host_create(const struct dax *dax, const char *name, uint64_t size, unsigned seed);

/* Bytes OFFSET and following of an endless file that differs in every byte from its shifts. */
void pattern(unsigned seed, uint64_t offset, void *ret_bytes, size_t size);

/* Writes pattern(seed) there, all of it. */
void host_write(int fd, uint64_t offset, size_t size, unsigned seed);
uint64_t host_size(int fd);

/* --- comparisons: one range of the window with the file that is mapped there --- */

/* Compares what the file has from file_offset on, at most a range. */
void dax_expect_file(struct dax *dax, uint64_t window_offset, int fd, uint64_t file_offset);
/* The same, but it may take DAX_SETTLE_MS. */
void dax_expect_file_soon(struct dax *dax, uint64_t window_offset, int fd, uint64_t file_offset);
/* LENGTH bytes of the window are pattern(seed) from pattern_offset on. */
void dax_expect_pattern(struct dax *dax, uint64_t window_offset, uint64_t length, unsigned seed,
                        uint64_t pattern_offset);
void dax_expect_zeros(struct dax *dax, uint64_t window_offset, uint64_t length);
/* Nothing is mapped in all of the stretch. */
void dax_expect_nothing(struct dax *dax, uint64_t window_offset, uint64_t length);
/* A guest's store, which must succeed. */
void dax_store(struct dax *dax, uint64_t window_offset, uint64_t length, unsigned seed,
               uint64_t pattern_offset);

/* True on a front-end that takes whole pages of files only. */
static inline bool dax_is_exact(const struct dax *dax)
{
    return dax->window.options.style == WINDOW_EXACT;
}

#endif
