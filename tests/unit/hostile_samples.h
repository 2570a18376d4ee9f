// SPDX-License-Identifier: BSD-3-Clause
/*
 * For test_fuse_hostile: a right request for each row of opcodes.def. A new row needs a sample in
 * hostile_samples.c, and all hostile cases follow from it.
 */
#ifndef VIOFS_HOSTILE_SAMPLES_H
#define VIOFS_HOSTILE_SAMPLES_H

#include <stddef.h>
#include <stdint.h>

#include "request.h"

#define ROOT     FUSE_ROOT_ID
#define TAIL_MAX (FUSE_TAIL_MAX + 64)

/* What a guest knows and has open before each hostile request. */
struct known {
    uint64_t dir, file, link, fifo;
    uint64_t fh, dir_fh;
};

struct request {
    uint64_t nodeid;
    uint8_t args[FUSE_ARGS_MAX];
    size_t args_length;
    char tail[TAIL_MAX];
    size_t tail_length;
    size_t room;
};

/* What a successful reply gives the guest, which it then gives back. */
enum gift { GIFT_NOTHING, GIFT_ENTRY, GIFT_CREATED, GIFT_FILE, GIFT_DIR, GIFT_LISTING };

struct sample {
    uint32_t opcode;
    enum gift gift;
    int error; /* of the sample itself */
    void (*fill)(const struct known *known, struct request *request);
};

/* NULL: there is none. */
const struct sample *sample_of(uint32_t opcode);

/* Appends a string with its NUL. */
void put_string(struct request *request, const char *string);

#endif
