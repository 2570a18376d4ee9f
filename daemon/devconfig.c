// SPDX-License-Identifier: BSD-3-Clause
#include "devconfig.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#include "vu_proto.h"

/* Not NUL-terminated when all 36 bytes are used. */
#define DEVCONFIG_TAG_SIZE 36

union devconfig {
    struct {
        char tag[DEVCONFIG_TAG_SIZE];
        uint32_t num_request_queues; /* little-endian */
        uint32_t notify_buf_size;    /* little-endian; we offer no notification queue: 0 */
    } __attribute__((packed)) fields;
    uint8_t bytes[VU_CONFIG_SIZE_MAX];
};

int devconfig_read(const struct settings *settings, uint32_t offset, uint32_t size, void *data)
{
    union devconfig config;

    if (!settings->tag || offset > sizeof(config) || size > sizeof(config) - offset)
        return -EINVAL;

    memset(&config, 0, sizeof(config));
    memcpy(config.fields.tag, settings->tag, strnlen(settings->tag, DEVCONFIG_TAG_SIZE));
    config.fields.num_request_queues = htole32(settings->request_queues);
    memcpy(data, config.bytes + offset, size);
    return 0;
}
