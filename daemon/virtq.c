// SPDX-License-Identifier: BSD-3-Clause
#include "virtq.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "virtq_split.h"
#include "vu_proto.h"

int virtq_slot_init(struct virtq_slot *slot, unsigned queue_size)
{
    memset(slot, 0, sizeof(*slot));
    slot->iov_max = queue_size + VIRTQ_IOV_SLACK;
    slot->table_max = queue_size;
    slot->iov = calloc(slot->iov_max, sizeof(slot->iov[0]));
    slot->table = calloc(slot->table_max, sizeof(slot->table[0]));
    if (slot->iov && slot->table)
        return 0;
    virtq_slot_free(slot);
    return -ENOMEM;
}

void virtq_slot_free(struct virtq_slot *slot)
{
    free(slot->iov);
    free(slot->table);
    slot->iov = NULL;
    slot->table = NULL;
}

void virtq_init(struct virtq *vq, const struct virtq_layout *layout, uint64_t features)
{
    memset(vq, 0, sizeof(*vq));
    vq->ops = &virtq_split_ops;
    vq->layout = *layout;
    vq->event_idx = features & VU_BIT(VIRTIO_RING_F_EVENT_IDX);
    vq->indirect = features & VU_BIT(VIRTIO_RING_F_INDIRECT_DESC);
}

void virtq_set_window(struct virtq *vq, const struct virtq_window *window)
{
    vq->window = window;
}
