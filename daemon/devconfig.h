// SPDX-License-Identifier: BSD-3-Clause
/*
 * The device's configuration space (virtio 1.3 section 5.11.4). Read-only for the driver.
 *
 * Offered only when --tag was given; without it the front-end keeps a space of its own.
 * Stateless: made from the settings on each request.
 */
#ifndef VIOFS_DEVCONFIG_H
#define VIOFS_DEVCONFIG_H

#include <stdint.h>

#include "settings.h"

/*
 * Copies size bytes from offset of the configuration space. The space is as large as vhost-user
 * allows (256 bytes), zero after the last field: front-ends ask for 40 or 44 bytes, depending on
 * the edition of the standard that they follow.
 * Returns 0, or -EINVAL when the range leaves the space or there is no tag.
 */
int devconfig_read(const struct settings *settings, uint32_t offset, uint32_t size, void *data);

#endif
