// SPDX-License-Identifier: BSD-3-Clause
/* The configuration space: tag, number of queues, and everything that cannot be read or written. */
#include <errno.h>
#include <string.h>

#include "guest.h"

static void negotiate(struct vuf_dev *dev, const struct daemon *daemon)
{
    struct vuf_dev_options options = {
        .protocol_features = EVERY_PROTOCOL_FEATURE,
        .timeout_ms = DAEMON_PATIENCE_MS,
    };

    OK(vuf_dev_open(dev, daemon->socket, &options));
}

struct expected {
    const char *tag;
    unsigned queues;
};

static void content(struct daemon *daemon)
{
    const struct expected *expected = case_data();
    struct vuf_fs_config config;
    unsigned char bytes[VUF_CONFIG_MAX];
    char tag[36] = "";
    struct vuf_dev dev;

    negotiate(&dev, daemon);
    OK(vuf_get_config(&dev.conn, 0, &config, sizeof(config)));
    memcpy(tag, expected->tag, strnlen(expected->tag, sizeof(tag)));
    CHECK(memcmp(config.tag, tag, sizeof(tag)) == 0);
    CHECK_EQ(config.num_request_queues, expected->queues);
    /* Every window on it shows the same, and zeros behind the end. */
    for (uint32_t offset = 0; offset < 44; offset++) {
        for (uint32_t size = 1; size + offset <= 44; size++) {
            memset(bytes, 0xee, sizeof(bytes));
            OK(vuf_get_config(&dev.conn, offset, bytes, size));
            for (uint32_t i = 0; i < size; i++)
                CHECK_EQ(bytes[i],
                         offset + i < sizeof(config) ? ((unsigned char *)&config)[offset + i] : 0);
        }
    }
}

static void hostile_windows(struct daemon *daemon)
{
    static const struct vuf_config_hdr asks[] = {
        {0, 257, 0},          {256, 1, 0},
        {1, 256, 0},          {0, 0xffffffff, 0},
        {0xffffffff, 1, 0},   {0xffffff00, 256, 0},
        {0x7fffffff, 44, 0},  {0xffffffff, 0xffffffff, 0},
        {0x80000000, 256, 0}, {44, 0xffffffe0, 0},
    };
    struct vuf_dev dev;

    negotiate(&dev, daemon);
    for (size_t i = 0; i < sizeof(asks) / sizeof(asks[0]); i++) {
        /* With the payload that belongs to it as far as one message holds it, and with none. */
        unsigned char payload[sizeof(asks[0]) + 300] = "";
        uint32_t sizes[] = {12, 12 + 44, 12 + 256, 12 + 300};

        memcpy(payload, &asks[i], sizeof(asks[i]));
        for (size_t j = 0; j < 4; j++) {
            if (!guest_expect_refusal(&dev.conn, VUF_GET_CONFIG, payload, sizes[j], NULL, 0)) {
                vuf_dev_close(&dev);
                negotiate(&dev, daemon);
            }
        }
    }
}

static void is_read_only(struct daemon *daemon)
{
    static const uint32_t offsets[] = {0, 35, 36, 40, 44, 255, 256, 0xffffffff};
    unsigned char bytes[VUF_CONFIG_MAX] = "changed";
    struct vuf_fs_config before, after;
    struct vuf_dev dev;

    negotiate(&dev, daemon);
    OK(vuf_get_config(&dev.conn, 0, &before, sizeof(before)));
    for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++)
        for (uint32_t size = 0; size <= 256; size += 64)
            for (uint32_t flags = 0; flags < 2; flags++)
                CHECK_EQ(vuf_set_config(&dev.conn, offsets[i], flags, bytes, size), -EREMOTEIO);
    OK(vuf_get_config(&dev.conn, 0, &after, sizeof(after)));
    CHECK(memcmp(&before, &after, sizeof(before)) == 0);
}

/* Without --tag the space is the front-end's: the feature is not offered. */
static void without_tag(struct daemon *daemon)
{
    struct vuf_config_hdr ask = {.size = 44};
    unsigned char payload[12 + 44] = "";
    struct vuf_dev dev;

    negotiate(&dev, daemon);
    CHECK_EQ(dev.protocol_offered & VUF_PF_CONFIG, 0);
    memcpy(payload, &ask, sizeof(ask));
    guest_expect_refusal(&dev.conn, VUF_GET_CONFIG, payload, sizeof(payload), NULL, 0);
}

#define LONGEST_TAG "123456789012345678901234567890123456"

static const struct expected share_1 = {"share", 1}, longest = {LONGEST_TAG, 1}, four = {"a", 4},
                             most = {"x", 63};

static const struct test_case cases[] = {
    {.name = "tag", .run = content, .words = "--tag=share", .data = &share_1},
    {.name = "longest-tag", .run = content, .words = "--tag=" LONGEST_TAG, .data = &longest},
    {.name = "four-queues", .run = content, .words = "--tag=a --request-queues=4", .data = &four},
    {.name = "most-queues", .run = content, .words = "--tag=x --request-queues=63", .data = &most},
    {.name = "hostile-windows",
     .run = hostile_windows,
     .words = "--persistent --tag=share",
     .end = END_TERM},
    {.name = "is-read-only", .run = is_read_only, .words = "--tag=share"},
    {.name = "without-tag", .run = without_tag},
};

int main(int argc, char **argv)
{
    return case_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
