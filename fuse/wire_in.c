// SPDX-License-Identifier: BSD-3-Clause
#include "wire_in.h"

#include <errno.h>
#include <string.h>

void wire_in_start(struct wire_in *in, struct iovec *pieces, unsigned count)
{
    *in = (struct wire_in){.pieces = pieces, .count = count};
    for (unsigned i = 0; i < count; i++)
        in->left += pieces[i].iov_len;
}

int wire_in_copy(struct wire_in *in, void *destination, size_t length)
{
    if (length > in->left)
        return -EINVAL;
    in->left -= length;
    char *to = destination;
    while (length) {
        struct iovec *piece = in->pieces;
        size_t part = piece->iov_len < length ? piece->iov_len : length;
        memcpy(to, piece->iov_base, part);
        to += part;
        length -= part;
        piece->iov_base = (char *)piece->iov_base + part;
        piece->iov_len -= part;
        if (piece->iov_len == 0) {
            in->pieces++;
            in->count--;
        }
    }
    return 0;
}

int wire_in_pieces(struct wire_in *in, size_t length, struct iovec **ret_pieces,
                   unsigned *ret_count)
{
    if (length > in->left)
        return -EINVAL;
    *ret_pieces = in->pieces;
    *ret_count = pieces_trim(in->pieces, in->count, length);
    in->left = 0;
    in->count = 0;
    return 0;
}

unsigned pieces_trim(struct iovec *pieces, unsigned count, size_t length)
{
    unsigned used = 0;
    while (length && used < count) {
        if (pieces[used].iov_len > length)
            pieces[used].iov_len = length;
        length -= pieces[used].iov_len;
        used++;
    }
    return used;
}
