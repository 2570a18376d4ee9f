// SPDX-License-Identifier: BSD-3-Clause
/* What threads do behind the replies: releasing what requests have given up. */
#include <linux/virtio_config.h>
#include <unistd.h>

#include "device.h"
#include "fake_fuse.h"
#include "test.h"
#include "vu_front.h"

#define ALL                                                        \
    (VU_BIT(VIRTIO_F_VERSION_1) | VU_BIT(VU_F_PROTOCOL_FEATURES) | \
     VU_BIT(VIRTIO_RING_F_EVENT_IDX) | VU_BIT(VIRTIO_RING_F_INDIRECT_DESC))

static int begin(struct front *front, uint64_t features)
{
    fake_clear();
    if (front_start(front) < 0 || front_negotiate(front, features) < 0)
        return -1;
    return front_set_memory(front);
}

/* What a request has given up is released when it is answered, and others do not wait for that. */
static void nobody_waits_for_settling(void)
{
    struct front front;
    uint32_t head = 99;

    front_init(&front);
    front.settings.thread_pool_size = 1;
    CHECK_EQ(begin(&front, ALL), 0);
    CHECK_EQ(front_start_ring(&front, 1), 0);
    front_request(&front, 1, 0, FAKE_OWE, 0, 64);
    front_kick(&front, 1);
    CHECK_EQ(front_used(&front, 1, &head), 8);
    CHECK_EQ(head, 0);
    for (unsigned i = 0; i < 3; i++) {
        front_request(&front, 1, 2, FAKE_ECHO, 0, 64);
        front_kick(&front, 1);
        CHECK_EQ(front_used(&front, 1, &head), 56);
        CHECK_EQ(head, 2);
    }
    CHECK_EQ(fake_settled, 0);
    fake_release();
    CHECK_EQ(front_stop_ring(&front, 1), 4);
    CHECK_EQ(fake_settled, 1);

    /* Whoever ends has settled before. */
    CHECK_EQ(front_start_ring(&front, 1), 0);
    front_request(&front, 1, 0, FAKE_OWE, 0, 64);
    front_kick(&front, 1);
    CHECK_EQ(front_used(&front, 1, &head), 8);
    CHECK_EQ(front_stop_ring(&front, 1), 5);
    CHECK_EQ(fake_settled, 2);
    CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
    CHECK_EQ(fake_threads, 0);
    CHECK_EQ(fake_bad, 0);
}

/* What is put off comes when there is nothing to do for a moment, or at the thread's end. */
static void put_off_for_a_moment(void)
{
    struct front front;

    front_init(&front);
    CHECK_EQ(begin(&front, ALL), 0);
    CHECK_EQ(front_start_ring(&front, 1), 0);
    for (unsigned i = 1; i <= 3; i++) {
        front_request(&front, 1, 0, FAKE_PUT_OFF, 0, 64);
        front_kick(&front, 1);
        CHECK_EQ(front_used(&front, 1, NULL), 8);
        for (unsigned n = 0; n < 2000 && fake_settled < i; n++)
            usleep(1000);
        CHECK_EQ(fake_settled, i);
    }
    front_request(&front, 1, 0, FAKE_PUT_OFF, 0, 64);
    front_kick(&front, 1);
    CHECK_EQ(front_used(&front, 1, NULL), 8);
    CHECK_EQ(front_stop_ring(&front, 1), 4);
    CHECK_EQ(fake_settled, 4);
    CHECK_EQ(front_end(&front), DEVICE_END_CLEAN);
    CHECK_EQ(fake_bad, 0);
}

int main(void)
{
    RUN(nobody_waits_for_settling);
    RUN(put_off_for_a_moment);
    return test_result();
}
