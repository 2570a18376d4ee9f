// SPDX-License-Identifier: BSD-3-Clause
/*
 * A front-end of the tests' own behind the mapper: a real mapping in this process, which takes what
 * QEMU 11.1 takes (exact) or what others take (loose), and notes every call that breaks the rules.
 * And the guest that looks at it.
 *
 * One at a time: window_begin() to window_end() of one test case. The server's keeper may map by
 * itself after a refusal: then the two functions that lock are the way to look and to ask for it.
 */
#ifndef VIOFS_DAX_FRONT_H
#define VIOFS_DAX_FRONT_H

#include <stdbool.h>
#include <stdint.h>

#include "dax_mapper.h"
#include "fuse_guest.h"

#define WINDOW (64 * DAX_RANGE_SIZE)
#define MIB2   DAX_RANGE_SIZE
#define PAGE   4096u
#define PAGES  (WINDOW / PAGE)
#define PIECES 256

struct front {
    bool exact;
    uint8_t *window;
    struct piece {
        uint64_t offset, length;
        bool writable;
    } pieces[PIECES];
    unsigned piece_count;
    unsigned maps, unmaps;
    unsigned refuse_from; /* this map call and later ones are refused; 0: none */
    unsigned stop_from;   /* the same, as if the device were being stopped */
    unsigned stop_seed;   /* each call is, or not, by this sequence of random numbers; 0: none */
    bool breaks;          /* the next removal is stopped, and then the channel is of no use */
    bool broken;
    unsigned violations;
    bool overlap_expected;
    bool frozen; /* nothing that is mapped may be taken away: the guest is looking */
};

extern struct front front;

/* Starts a guest that has the window; settings: --dax=auto, --dax-min-size=64K. */
void window_begin(struct guest *guest, bool exact);

/* DESTROY takes everything back, and nothing of it broke a rule. Returns 0 if all is well. */
int window_end(struct guest *guest);

/* SETUPMAPPING and REMOVEMAPPING of one range; GETATTR; SETATTR of the size, during which the guest
 * does not look. Return the error. */
int window_setup(struct guest *guest, uint64_t node, uint64_t file_offset, uint64_t window_offset,
                 bool write);
int window_removal(struct guest *guest, uint64_t node, uint64_t window_offset);
/* REMOVEMAPPING of the two ranges there, in one piece or each by itself. */
int window_two_removals(struct guest *guest, uint64_t node, uint64_t window_offset, bool one_piece);
int window_getattr(struct guest *guest, uint64_t node);
int window_set_size(struct guest *guest, uint64_t node, uint64_t size);

/* piece_count, and setting refuse_from and stop_seed, while the server may be mapping. */
unsigned window_pieces(void);
void window_refuse_from(unsigned call);
void window_stop_by_chance(unsigned seed);

/* Whether anything is mapped in [offset, offset + length) of the window. */
bool window_overlaps(uint64_t offset, uint64_t length);

/* What FUSE_ATTR_DAX is for a file in the share. */
unsigned window_flag_of(struct guest *guest, const char *name);

uint8_t window_pattern(uint64_t offset, unsigned seed);

/* Makes or overwrites part of a file on the host with the pattern. */
void window_host_write(struct guest *guest, const char *name, uint64_t offset, size_t length,
                       unsigned seed);

/* The window shows what the host reads, for as much as the file has. Returns the first difference,
 * or -1. */
int64_t window_compare(struct guest *guest, const char *name, uint64_t file_offset,
                       uint64_t window_offset);

#endif
