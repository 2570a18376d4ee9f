// SPDX-License-Identifier: BSD-3-Clause
#include "wire_out.h"

#include <errno.h>
#include <string.h>

#include "wire_in.h"

/* Takes up to length bytes off the first piece. */
static struct iovec take_front(struct wire_out *out, size_t length)
{
    struct iovec *piece = out->pieces;
    struct iovec front = *piece;
    if (front.iov_len > length)
        front.iov_len = length;
    piece->iov_base = (char *)piece->iov_base + front.iov_len;
    piece->iov_len -= front.iov_len;
    if (piece->iov_len == 0) {
        out->pieces++;
        out->count--;
    }
    return front;
}

void wire_out_start(struct wire_out *out, struct iovec *pieces, unsigned count)
{
    out->pieces = pieces;
    out->count = count;
    out->length = 0;
    out->header_count = 0;
    out->room = 0;
    for (unsigned i = 0; i < count; i++)
        out->room += pieces[i].iov_len;
    if (out->room < sizeof(struct fuse_out_header))
        return;

    size_t missing = sizeof(struct fuse_out_header);
    out->room -= missing;
    while (missing) {
        struct iovec front = take_front(out, missing);
        missing -= front.iov_len;
        if (front.iov_len)
            out->header[out->header_count++] = front;
    }
}

static void copy_out(struct wire_out *out, const void *bytes, size_t length)
{
    const char *from = bytes;
    while (length) {
        struct iovec front = take_front(out, length);
        memcpy(front.iov_base, from, front.iov_len);
        from += front.iov_len;
        length -= front.iov_len;
    }
}

int wire_out_put(struct wire_out *out, const void *bytes, size_t length)
{
    if (length > out->room)
        return -EIO;
    copy_out(out, bytes, length);
    wire_out_filled(out, length);
    return 0;
}

int wire_out_pieces(struct wire_out *out, size_t length, struct iovec **ret_pieces,
                    unsigned *ret_count)
{
    if (length > out->room)
        return -EIO;
    *ret_pieces = out->pieces;
    *ret_count = pieces_trim(out->pieces, out->count, length);
    return 0;
}

void wire_out_filled(struct wire_out *out, size_t length)
{
    out->room -= length;
    out->length += length;
}

size_t wire_out_finish(struct wire_out *out, uint64_t unique, int error)
{
    if (out->header_count == 0)
        return 0;
    struct fuse_out_header header = {
        .len = (uint32_t)(sizeof(header) + (error ? 0 : out->length)),
        .error = error,
        .unique = unique,
    };
    const char *from = (const char *)&header;
    for (unsigned i = 0; i < out->header_count; i++) {
        memcpy(out->header[i].iov_base, from, out->header[i].iov_len);
        from += out->header[i].iov_len;
    }
    return header.len;
}
