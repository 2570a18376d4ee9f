// SPDX-License-Identifier: BSD-3-Clause
/*
 * The split virtqueue (virtio 1.3 section 2.7). See virtq.h for owner, locks and contracts.
 */
#ifndef VIOFS_VIRTQ_SPLIT_H
#define VIOFS_VIRTQ_SPLIT_H

#include "virtq.h"

extern const struct virtq_ops virtq_split_ops;

#endif
