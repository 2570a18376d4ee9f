// SPDX-License-Identifier: BSD-3-Clause
/*
 * Numbers and wire formats of the vhost-user protocol and of split virtqueues.
 *
 * Typed in from the specifications (QEMU docs/interop/vhost-user.rst, virtio 1.3 section 2.7) and
 * on purpose shared with nothing: the daemon has its own header, and a mistake in one of the two
 * shows as a failing test instead of two programs that agree on the mistake.  Passive data: no
 * owner, no lock.
 *
 * Everything here is in host byte order as vhost-user demands; the rings are little-endian, so the
 * library builds on little-endian hosts only.
 */
#ifndef VUF_PROTO_H
#define VUF_PROTO_H

#include <stdint.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the front-end library drives little-endian rings without conversion"
#endif

/* Front-end requests. */
enum vuf_request {
    VUF_GET_FEATURES = 1,
    VUF_SET_FEATURES = 2,
    VUF_SET_OWNER = 3,
    VUF_RESET_OWNER = 4,
    VUF_SET_MEM_TABLE = 5,
    VUF_SET_LOG_BASE = 6,
    VUF_SET_LOG_FD = 7,
    VUF_SET_VRING_NUM = 8,
    VUF_SET_VRING_ADDR = 9,
    VUF_SET_VRING_BASE = 10,
    VUF_GET_VRING_BASE = 11,
    VUF_SET_VRING_KICK = 12,
    VUF_SET_VRING_CALL = 13,
    VUF_SET_VRING_ERR = 14,
    VUF_GET_PROTOCOL_FEATURES = 15,
    VUF_SET_PROTOCOL_FEATURES = 16,
    VUF_GET_QUEUE_NUM = 17,
    VUF_SET_VRING_ENABLE = 18,
    VUF_SEND_RARP = 19,
    VUF_NET_SET_MTU = 20,
    VUF_SET_BACKEND_REQ_FD = 21,
    VUF_IOTLB_MSG = 22,
    VUF_SET_VRING_ENDIAN = 23,
    VUF_GET_CONFIG = 24,
    VUF_SET_CONFIG = 25,
    VUF_CREATE_CRYPTO_SESSION = 26,
    VUF_CLOSE_CRYPTO_SESSION = 27,
    VUF_POSTCOPY_ADVISE = 28,
    VUF_POSTCOPY_LISTEN = 29,
    VUF_POSTCOPY_END = 30,
    VUF_GET_INFLIGHT_FD = 31,
    VUF_SET_INFLIGHT_FD = 32,
    VUF_GPU_SET_SOCKET = 33,
    VUF_RESET_DEVICE = 34,
    VUF_VRING_KICK = 35,
    VUF_GET_MAX_MEM_SLOTS = 36,
    VUF_ADD_MEM_REG = 37,
    VUF_REM_MEM_REG = 38,
    VUF_SET_STATUS = 39,
    VUF_GET_STATUS = 40,
    VUF_GET_SHARED_OBJECT = 41,
    VUF_SET_DEVICE_STATE_FD = 42,
    VUF_CHECK_DEVICE_STATE = 43,
    VUF_GET_SHMEM_CONFIG = 44,
};

/* Back-end requests, on the channel of SET_BACKEND_REQ_FD. */
enum vuf_backend_request {
    VUF_BACKEND_IOTLB_MSG = 1,
    VUF_BACKEND_CONFIG_CHANGE = 2,
    VUF_BACKEND_VRING_HOST_NOTIFIER = 3,
    VUF_BACKEND_VRING_CALL = 4,
    VUF_BACKEND_VRING_ERR = 5,
    VUF_BACKEND_SHARED_OBJECT_ADD = 6,
    VUF_BACKEND_SHARED_OBJECT_REMOVE = 7,
    VUF_BACKEND_SHARED_OBJECT_LOOKUP = 8,
    VUF_BACKEND_SHMEM_MAP = 9,
    VUF_BACKEND_SHMEM_UNMAP = 10,
};

/* Message header, 12 bytes. */
struct vuf_hdr {
    uint32_t request;
    uint32_t flags;
    uint32_t size; /* payload bytes that follow */
};

#define VUF_VERSION                    0x1u
#define VUF_VERSION_MASK               0x3u
#define VUF_FLAG_REPLY                 (1u << 2)
#define VUF_FLAG_NEED_REPLY            (1u << 3)

/* In the u64 of SET_VRING_KICK, CALL and ERR: low byte is the ring, this bit says that no fd comes.
 */
#define VUF_VRING_NOFD                 (1ull << 8)

/* Protocol feature masks. */
#define VUF_PF_MQ                      (1ull << 0)
#define VUF_PF_LOG_SHMFD               (1ull << 1)
#define VUF_PF_RARP                    (1ull << 2)
#define VUF_PF_REPLY_ACK               (1ull << 3)
#define VUF_PF_NET_MTU                 (1ull << 4)
#define VUF_PF_BACKEND_REQ             (1ull << 5)
#define VUF_PF_CROSS_ENDIAN            (1ull << 6)
#define VUF_PF_CRYPTO_SESSION          (1ull << 7)
#define VUF_PF_PAGEFAULT               (1ull << 8)
#define VUF_PF_CONFIG                  (1ull << 9)
#define VUF_PF_BACKEND_SEND_FD         (1ull << 10)
#define VUF_PF_HOST_NOTIFIER           (1ull << 11)
#define VUF_PF_INFLIGHT_SHMFD          (1ull << 12)
#define VUF_PF_RESET_DEVICE            (1ull << 13)
#define VUF_PF_INBAND_NOTIFICATIONS    (1ull << 14)
#define VUF_PF_CONFIGURE_MEM_SLOTS     (1ull << 15)
#define VUF_PF_STATUS                  (1ull << 16)
#define VUF_PF_XEN_MMAP                (1ull << 17)
#define VUF_PF_SHARED_OBJECT           (1ull << 18)
#define VUF_PF_DEVICE_STATE            (1ull << 19)
#define VUF_PF_GET_VRING_BASE_INFLIGHT (1ull << 20)
#define VUF_PF_GPA_ADDRESSES           (1ull << 21)
#define VUF_PF_SHMEM                   (1ull << 22)

/* Virtio feature masks. */
#define VUF_F_NOTIFY_ON_EMPTY          (1ull << 24)
#define VUF_F_LOG_ALL                  (1ull << 26)
#define VUF_F_INDIRECT_DESC            (1ull << 28)
#define VUF_F_EVENT_IDX                (1ull << 29)
#define VUF_F_PROTOCOL_FEATURES        (1ull << 30)
#define VUF_F_VERSION_1                (1ull << 32)
#define VUF_F_ACCESS_PLATFORM          (1ull << 33)
#define VUF_F_RING_PACKED              (1ull << 34)
#define VUF_F_IN_ORDER                 (1ull << 35)
#define VUF_F_ORDER_PLATFORM           (1ull << 36)
#define VUF_F_NOTIFICATION_DATA        (1ull << 38)
#define VUF_F_RING_RESET               (1ull << 40)

/* Device status byte (virtio 1.3, 2.1). */
#define VUF_STATUS_ACKNOWLEDGE         0x01u
#define VUF_STATUS_DRIVER              0x02u
#define VUF_STATUS_DRIVER_OK           0x04u
#define VUF_STATUS_FEATURES_OK         0x08u
#define VUF_STATUS_NEEDS_RESET         0x40u
#define VUF_STATUS_FAILED              0x80u

struct vuf_region {
    uint64_t gpa;  /* guest physical address */
    uint64_t size; /* bytes */
    uint64_t
        uva; /* address in the front-end's own space, the one that ring addresses are given in */
    uint64_t mmap_offset;
};

#define VUF_TABLE_REGIONS 8 /* limit of SET_MEM_TABLE */

struct vuf_mem_table {
    uint32_t n_regions;
    uint32_t padding;
    struct vuf_region region[VUF_TABLE_REGIONS];
};

struct vuf_single_region {
    uint64_t padding;
    struct vuf_region region;
};

struct vuf_vring_state {
    uint32_t index;
    uint32_t num;
};

struct vuf_vring_addr {
    uint32_t index;
    uint32_t flags; /* bit 0: log writes to the used ring */
    uint64_t desc;
    uint64_t used;
    uint64_t avail;
    uint64_t log;
};

struct vuf_log {
    uint64_t size;
    uint64_t offset;
};

struct vuf_config_hdr {
    uint32_t offset;
    uint32_t size;
    uint32_t flags;
};

#define VUF_CONFIG_MAX 256

struct vuf_inflight {
    uint64_t mmap_size;
    uint64_t mmap_offset;
    uint16_t num_queues;
    uint16_t queue_size;
    uint32_t padding;
};

struct vuf_device_state {
    uint32_t direction; /* 0 save, 1 load */
    uint32_t phase;     /* 0 stopped */
};

#define VUF_SHMEM_REGIONS 256

struct vuf_shmem_config {
    uint32_t n_regions;
    uint32_t padding;
    uint64_t size[VUF_SHMEM_REGIONS];
};

struct vuf_shmem_map {
    uint8_t shmid;
    uint8_t padding[7];
    uint64_t fd_offset;
    uint64_t shm_offset;
    uint64_t len;
    uint64_t flags; /* bit 0: read-write */
};

/* The file system device's configuration space (virtio 1.3, 5.11.4), without notify_buf_size. */
struct vuf_fs_config {
    char tag[36];
    uint32_t num_request_queues;
};

/* Split virtqueue. */
#define VUF_DESC_NEXT          1u
#define VUF_DESC_WRITE         2u
#define VUF_DESC_INDIRECT      4u
#define VUF_AVAIL_NO_INTERRUPT 1u
#define VUF_USED_NO_NOTIFY     1u
#define VUF_RING_SIZE_MAX      32768u

struct vuf_desc {
    uint64_t addr;
    uint32_t len;
    uint16_t flags;
    uint16_t next;
};

struct vuf_avail {
    uint16_t flags;
    uint16_t idx;
    uint16_t ring[]; /* size entries, then used_event */
};

struct vuf_used_elem {
    uint32_t id;
    uint32_t len;
};

struct vuf_used {
    uint16_t flags;
    uint16_t idx;
    struct vuf_used_elem ring[]; /* size entries, then avail_event */
};

_Static_assert(sizeof(struct vuf_hdr) == 12, "vhost-user header");
_Static_assert(sizeof(struct vuf_mem_table) == 264, "SET_MEM_TABLE");
_Static_assert(sizeof(struct vuf_vring_addr) == 40, "SET_VRING_ADDR");
_Static_assert(sizeof(struct vuf_shmem_config) == 2056, "GET_SHMEM_CONFIG");
_Static_assert(sizeof(struct vuf_shmem_map) == 40, "SHMEM_MAP");
_Static_assert(sizeof(struct vuf_desc) == 16, "descriptor");

#endif
