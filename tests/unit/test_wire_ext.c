// SPDX-License-Identifier: BSD-3-Clause
/*
 * The extensions behind the names of a request that makes a file: as Linux lays them out, and as
 * nobody should. Everything is parsed from memory that ends exactly where the extensions do, at
 * every alignment, so that the sanitizers see a byte too many.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "test.h"
#include "wire_ext.h"

struct bytes {
    size_t length;
    uint8_t at[1 << 18];
};

static struct bytes bytes;

static void put(const void *data, size_t length)
{
    memcpy(bytes.at + bytes.length, data, length);
    bytes.length += length;
}

static void put32(uint32_t value)
{
    put(&value, sizeof(value));
}

static void pad(void)
{
    while (bytes.length % 8)
        bytes.at[bytes.length++] = 0;
}

/* Begins an extension; its size is filled in by end(). */
static size_t begin(uint32_t type)
{
    size_t start = bytes.length;
    put32(0);
    put32(type);
    return start;
}

static void end(size_t start)
{
    pad();
    uint32_t size = (uint32_t)(bytes.length - start);
    memcpy(bytes.at + start, &size, sizeof(size));
}

static void label(const char *name, const void *value, uint32_t size)
{
    put32(size);
    put32(0);
    put(name, strlen(name) + 1);
    put(value, size);
    pad();
}

static void groups(uint32_t told, uint32_t count, uint32_t first)
{
    size_t start = begin(FUSE_ABI_EXT_GROUPS);
    put32(told);
    for (uint32_t i = 0; i < count; i++)
        put32(first + i);
    end(start);
}

static void one_label(const char *name, const void *value, uint32_t size)
{
    size_t start = begin(1);
    label(name, value, size);
    end(start);
}

/* Parses what was put, and starts anew. The result's pointers are good until the next call. */
static int parse(struct wire_ext *ret_ext)
{
    static uint8_t *copy;
    int error = 0;
    for (size_t shift = 0; shift < 8; shift++) {
        free(copy);
        copy = malloc(shift + bytes.length);
        memcpy(copy + shift, bytes.at, bytes.length);
        error = wire_ext_parse(copy + shift, bytes.length, ret_ext);
    }
    bytes.length = 0;
    return error;
}

static void as_linux_sends_them(void)
{
    struct wire_ext ext;
    CHECK_EQ(parse(&ext), 0);
    CHECK_EQ(ext.secctx_count, 0);
    CHECK_EQ(ext.group_count, 0);

    /* SECURITY_CTX alone, and no security module in the guest. */
    end(begin(0));
    CHECK_EQ(parse(&ext), 0);
    CHECK_EQ(ext.secctx_count, 0);

    one_label("security.selinux", "system_u:object_r:tmp_t:s0", 27);
    groups(1, 1, 1234);
    CHECK_EQ(parse(&ext), 0);
    CHECK_EQ(ext.secctx_count, 1);
    CHECK_EQ(strcmp(ext.secctx[0].name, "security.selinux"), 0);
    CHECK_EQ(ext.secctx[0].size, 27);
    CHECK_EQ(strcmp(ext.secctx[0].value, "system_u:object_r:tmp_t:s0"), 0);
    CHECK_EQ(ext.group_count, 1);
    CHECK_EQ(ext.groups[0], 1234);

    groups(1, 1, 0);
    CHECK_EQ(parse(&ext), 0);
    CHECK_EQ(ext.secctx_count, 0);
    CHECK_EQ(ext.group_count, 1);
    CHECK_EQ(ext.groups[0], 0);
}

static void as_much_as_is_allowed(void)
{
    struct wire_ext ext;
    static char value[XATTR_SIZE_MAX];
    char name[XATTR_NAME_MAX + 2];
    memset(name, 'n', sizeof(name));
    name[XATTR_NAME_MAX] = '\0';
    memset(value, 'v', sizeof(value));

    groups(WIRE_EXT_GROUPS_MAX, WIRE_EXT_GROUPS_MAX, 100);
    one_label(name, value, sizeof(value));
    CHECK_EQ(parse(&ext), 0);
    CHECK_EQ(ext.group_count, WIRE_EXT_GROUPS_MAX);
    CHECK_EQ(ext.groups[WIRE_EXT_GROUPS_MAX - 1], 100 + WIRE_EXT_GROUPS_MAX - 1);
    CHECK_EQ(ext.secctx[0].size, sizeof(value));
    CHECK_EQ(memcmp(ext.secctx[0].value, value, sizeof(value)), 0);

    size_t start = begin(FUSE_MAX_NR_SECCTX);
    for (uint32_t i = 0; i < FUSE_MAX_NR_SECCTX; i++)
        label("security.x", value, i + 1);
    end(start);
    CHECK_EQ(parse(&ext), 0);
    CHECK_EQ(ext.secctx_count, FUSE_MAX_NR_SECCTX);
    for (uint32_t i = 0; i < FUSE_MAX_NR_SECCTX; i++) {
        CHECK_EQ(strcmp(ext.secctx[i].name, "security.x"), 0);
        CHECK_EQ(ext.secctx[i].size, i + 1);
        CHECK_EQ(memcmp(ext.secctx[i].value, value, i + 1), 0);
    }

    /* One byte, one name, one type more than that. */
    groups(WIRE_EXT_GROUPS_MAX + 1, WIRE_EXT_GROUPS_MAX + 1, 100);
    CHECK_EQ(parse(&ext), -EINVAL);
    static char large[XATTR_SIZE_MAX + 1];
    one_label("security.x", large, sizeof(large));
    CHECK_EQ(parse(&ext), -EINVAL);
    name[XATTR_NAME_MAX] = 'n';
    name[XATTR_NAME_MAX + 1] = '\0';
    one_label(name, "v", 1);
    CHECK_EQ(parse(&ext), -EINVAL);
    end(begin(FUSE_ABI_EXT_GROUPS + 1));
    CHECK_EQ(parse(&ext), -EINVAL);
    end(begin(UINT32_MAX));
    CHECK_EQ(parse(&ext), -EINVAL);
}

static void what_contradicts_itself(void)
{
    struct wire_ext ext = {.secctx_count = 7, .group_count = 7};
    /* Sizes of an extension: none, less than its header, not a multiple of 8, past the end. */
    static const uint32_t sizes[] = {0,         1, 4, 7, 9, 15, 17, 32, 1u << 31, UINT32_MAX - 7,
                                     UINT32_MAX};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        groups(1, 1, 5);
        memcpy(bytes.at, &sizes[i], sizeof(sizes[i]));
        CHECK_EQ(parse(&ext), -EINVAL);
    }
    /* Half a header at the end. */
    groups(1, 1, 5);
    put32(8);
    CHECK_EQ(parse(&ext), -EINVAL);

    /* More and fewer groups than there are; "no group" for a group; twice. */
    groups(4, 1, 5);
    CHECK_EQ(parse(&ext), -EINVAL);
    groups(1, 5, 5);
    CHECK_EQ(parse(&ext), -EINVAL);
    groups(UINT32_MAX, 1, 5);
    CHECK_EQ(parse(&ext), -EINVAL);
    groups(1u << 30, 1, 5); /* times four it is nothing */
    CHECK_EQ(parse(&ext), -EINVAL);
    groups(1, 1, UINT32_MAX);
    CHECK_EQ(parse(&ext), -EINVAL);
    groups(1, 1, 5);
    groups(1, 1, 6);
    CHECK_EQ(parse(&ext), -EINVAL);
    end(begin(FUSE_ABI_EXT_GROUPS));
    CHECK_EQ(parse(&ext), -EINVAL);

    /* More and fewer labels than there are, and labels twice. */
    size_t start = begin(2);
    label("security.x", "v", 1);
    end(start);
    CHECK_EQ(parse(&ext), -EINVAL);
    start = begin(0);
    label("security.x", "v", 1);
    end(start);
    CHECK_EQ(parse(&ext), -EINVAL);
    one_label("security.x", "v", 1);
    one_label("security.y", "v", 1);
    CHECK_EQ(parse(&ext), -EINVAL);
    end(begin(0));
    one_label("security.y", "v", 1);
    CHECK_EQ(parse(&ext), -EINVAL);

    /* No name, no value, a name that is a path, a name without an end, a value past the end. */
    one_label("", "v", 1);
    CHECK_EQ(parse(&ext), -EINVAL);
    one_label("security.x", "", 0);
    CHECK_EQ(parse(&ext), -EINVAL);
    one_label("security./x", "v", 1);
    CHECK_EQ(parse(&ext), -EINVAL);
    start = begin(1);
    put32(1);
    put32(0);
    put("nnnnnnnn", 8);
    end(start);
    CHECK_EQ(parse(&ext), -EINVAL);
    static const uint32_t values[] = {7, 8, 64, 65536, 1u << 31, UINT32_MAX - 12, UINT32_MAX};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        one_label("security.x", "value", 5);
        memcpy(bytes.at + 8, &values[i], sizeof(values[i]));
        CHECK_EQ(parse(&ext), -EINVAL);
    }
    CHECK_EQ(ext.secctx_count, 7);
    CHECK_EQ(ext.group_count, 7);
}

/* Whatever is changed in a good one, nothing is read outside and nothing out of bounds comes back.
 */
static void every_byte_changed(void)
{
    static const uint8_t values[] = {0, 1, 7, 8, 0x20, 0x21, 0x7f, 0x80, 0xff};
    one_label("security.selinux", "label", 6);
    groups(3, 3, 9);
    struct bytes good = bytes;
    unsigned refused = 0;
    for (size_t at = 0; at < good.length; at++) {
        for (size_t i = 0; i < sizeof(values); i++) {
            struct wire_ext ext;
            bytes = good;
            bytes.at[at] = values[i];
            if (parse(&ext) != 0) {
                refused++;
                continue;
            }
            CHECK(ext.secctx_count <= 1 && ext.group_count <= 3);
            for (unsigned j = 0; j < ext.secctx_count; j++)
                CHECK(strlen(ext.secctx[j].name) < 40 && ext.secctx[j].size < 40);
        }
        bytes = good;
        bytes.length = at;
        struct wire_ext ext;
        int error = parse(&ext);
        CHECK(error == -EINVAL || at % 8 == 0);
    }
    CHECK(refused > 50);
}

int main(void)
{
    RUN(as_linux_sends_them);
    RUN(as_much_as_is_allowed);
    RUN(what_contradicts_itself);
    RUN(every_byte_changed);
    return test_result();
}
