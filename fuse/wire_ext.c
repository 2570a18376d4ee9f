// SPDX-License-Identifier: BSD-3-Clause
#include "wire_ext.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>

#define ALIGNMENT 8u

/* A bounded cursor over bytes that need not be aligned. */
struct cursor {
    const char *at;
    size_t left;
};

static int take(struct cursor *cursor, void *destination, size_t length)
{
    if (length > cursor->left)
        return -EINVAL;
    memcpy(destination, cursor->at, length);
    cursor->at += length;
    cursor->left -= length;
    return 0;
}

/* Skips to where the next part begins that is aligned from start on. */
static int align(struct cursor *cursor, const char *start)
{
    size_t over = (size_t)(cursor->at - start) % ALIGNMENT;
    size_t padding = over ? ALIGNMENT - over : 0;
    if (padding > cursor->left)
        return -EINVAL;
    cursor->at += padding;
    cursor->left -= padding;
    return 0;
}

static int parse_label(struct cursor *body, struct wire_secctx *label)
{
    const char *start = body->at;
    struct fuse_secctx header;
    int error = take(body, &header, sizeof(header));
    if (error)
        return error;
    const char *end = memchr(body->at, '\0', body->left);
    if (!end)
        return -EINVAL;
    size_t name_length = (size_t)(end - body->at);
    size_t behind = body->left - name_length - 1;
    if (name_length == 0 || name_length > XATTR_NAME_MAX || memchr(body->at, '/', name_length) ||
        header.size == 0 || header.size > XATTR_SIZE_MAX || header.size > behind)
        return -EINVAL;
    *label = (struct wire_secctx){.name = body->at, .value = end + 1, .size = header.size};
    body->at = end + 1 + header.size;
    body->left = behind - header.size;
    return align(body, start);
}

static int parse_labels(struct cursor *body, unsigned count, struct wire_ext *ext)
{
    for (unsigned i = 0; i < count; i++) {
        int error = parse_label(body, &ext->secctx[i]);
        if (error)
            return error;
    }
    ext->secctx_count = count;
    return 0;
}

static int parse_groups(struct cursor *body, struct wire_ext *ext)
{
    const char *start = body->at;
    struct fuse_abi_supp_groups header;
    int error = take(body, &header, sizeof(header));
    if (error)
        return error;
    if (header.nr_groups > WIRE_EXT_GROUPS_MAX)
        return -EINVAL;
    error = take(body, ext->groups, header.nr_groups * sizeof(ext->groups[0]));
    if (error)
        return error;
    for (unsigned i = 0; i < header.nr_groups; i++) {
        if (ext->groups[i] == UINT32_MAX)
            return -EINVAL;
    }
    ext->group_count = header.nr_groups;
    return align(body, start);
}

int wire_ext_parse(const void *bytes, size_t length, struct wire_ext *ret_ext)
{
    struct wire_ext ext = {0};
    struct cursor cursor = {bytes, length};
    bool had_labels = false;
    bool had_groups = false;
    while (cursor.left) {
        struct fuse_ext_header header;
        int error = take(&cursor, &header, sizeof(header));
        if (error)
            return error;
        if (header.size < sizeof(header) || header.size % ALIGNMENT ||
            header.size - sizeof(header) > cursor.left)
            return -EINVAL;
        struct cursor body = {cursor.at, header.size - sizeof(header)};
        bool groups = header.type == FUSE_ABI_EXT_GROUPS;
        if (groups ? had_groups : header.type > FUSE_MAX_NR_SECCTX || had_labels)
            return -EINVAL;
        error = groups ? parse_groups(&body, &ext) : parse_labels(&body, header.type, &ext);
        if (error)
            return error;
        if (body.left)
            return -EINVAL;
        had_groups |= groups;
        had_labels |= !groups;
        cursor.at += header.size - sizeof(header);
        cursor.left -= header.size - sizeof(header);
    }
    *ret_ext = ext;
    return 0;
}
