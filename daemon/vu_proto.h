// SPDX-License-Identifier: BSD-3-Clause
/*
 * The vhost-user protocol on the wire: numbers and structures, nothing else. Names follow QEMU's
 * docs/interop/vhost-user.rst; all numbers are in the machine's own byte order.
 *
 * Constants and types only: no owner, no lock.
 */
#ifndef VIOFS_VU_PROTO_H
#define VIOFS_VU_PROTO_H

#include <stdint.h>

/* "Front-end message types": those that this back-end knows. */
enum vu_request {
    VU_GET_FEATURES = 1,
    VU_SET_FEATURES = 2,
    VU_SET_OWNER = 3,
    VU_RESET_OWNER = 4,
    VU_SET_MEM_TABLE = 5,
    VU_SET_VRING_NUM = 8,
    VU_SET_VRING_ADDR = 9,
    VU_SET_VRING_BASE = 10,
    VU_GET_VRING_BASE = 11,
    VU_SET_VRING_KICK = 12,
    VU_SET_VRING_CALL = 13,
    VU_SET_VRING_ERR = 14,
    VU_GET_PROTOCOL_FEATURES = 15,
    VU_SET_PROTOCOL_FEATURES = 16,
    VU_GET_QUEUE_NUM = 17,
    VU_SET_VRING_ENABLE = 18,
    VU_SET_BACKEND_REQ_FD = 21,
    VU_GET_CONFIG = 24,
    VU_SET_CONFIG = 25,
    VU_RESET_DEVICE = 34,
    VU_GET_MAX_MEM_SLOTS = 36,
    VU_ADD_MEM_REG = 37,
    VU_REM_MEM_REG = 38,
    VU_SET_STATUS = 39,
    VU_GET_STATUS = 40,
    VU_GET_SHMEM_CONFIG = 44,
};

/* "Back-end message types": those that this back-end sends. */
enum vu_backend_request {
    VU_BACKEND_FS_MAP = 6, /* this and the next were never in the document */
    VU_BACKEND_FS_UNMAP = 7,
    VU_BACKEND_SHARED_OBJECT_LOOKUP = 8,
    VU_BACKEND_SHMEM_MAP = 9,
    VU_BACKEND_SHMEM_UNMAP = 10,
};

/* "Protocol features": bit numbers. */
enum vu_protocol_feature {
    VU_PROTOCOL_F_MQ = 0,
    VU_PROTOCOL_F_REPLY_ACK = 3,
    VU_PROTOCOL_F_BACKEND_REQ = 5,
    VU_PROTOCOL_F_CONFIG = 9,
    VU_PROTOCOL_F_BACKEND_SEND_FD = 10,
    VU_PROTOCOL_F_RESET_DEVICE = 13,
    VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS = 15,
    VU_PROTOCOL_F_STATUS = 16,
    VU_PROTOCOL_F_SHARED_OBJECT = 18,
    VU_PROTOCOL_F_SHMEM = 22,
};

#define VU_BIT(bit)            (UINT64_C(1) << (bit))

/* The device feature bit that gates all of the above. */
#define VU_F_PROTOCOL_FEATURES 30

/* "Header": flags. */
#define VU_VERSION             UINT32_C(0x1)
#define VU_VERSION_MASK        UINT32_C(0x3)
#define VU_FLAG_REPLY          UINT32_C(0x4)
#define VU_FLAG_NEED_REPLY     UINT32_C(0x8)

struct vu_header {
    uint32_t request;
    uint32_t flags;
    uint32_t size; /* of the payload that follows, in bytes */
} __attribute__((packed));

/* "A vring state description". */
struct vu_vring_state {
    uint32_t index;
    uint32_t num;
} __attribute__((packed));

/* "A vring address description": user addresses. */
struct vu_vring_addr {
    uint32_t index;
    uint32_t flags;
    uint64_t descriptor;
    uint64_t used;
    uint64_t available;
    uint64_t log;
} __attribute__((packed));

/* The payload of SET_VRING_KICK, SET_VRING_CALL and SET_VRING_ERR. */
#define VU_VRING_INDEX_MASK UINT64_C(0xff)
#define VU_VRING_NOFD       UINT64_C(0x100)

/* "Memory regions description". */
struct vu_memory_region {
    uint64_t guest_address;
    uint64_t size;
    uint64_t user_address;
    uint64_t mmap_offset;
} __attribute__((packed));

#define VU_MEM_TABLE_REGIONS 8

struct vu_memory_table {
    uint32_t count;
    uint32_t padding;
    struct vu_memory_region regions[VU_MEM_TABLE_REGIONS];
} __attribute__((packed));

/* "Single memory region description". */
struct vu_single_region {
    uint64_t padding;
    struct vu_memory_region region;
} __attribute__((packed));

/* "Virtio device config space". */
#define VU_CONFIG_SIZE_MAX 256

struct vu_config {
    uint32_t offset;
    uint32_t size;
    uint32_t flags;
    uint8_t space[VU_CONFIG_SIZE_MAX];
} __attribute__((packed));

#define VU_CONFIG_HEADER_SIZE 12

/* "VIRTIO Shared Memory Region configuration": the reply to GET_SHMEM_CONFIG. */
#define VU_SHMEM_REGIONS_MAX  256

struct vu_shmem_config {
    uint32_t count; /* of sizes that are not 0 */
    uint32_t padding;
    uint64_t sizes[VU_SHMEM_REGIONS_MAX]; /* by shmid, in bytes */
} __attribute__((packed));

/* "MMAP request": SHMEM_MAP, with one descriptor, and SHMEM_UNMAP. */
#define VU_SHMEM_MAP_RW UINT64_C(1)

struct vu_shmem_map {
    uint8_t shmid;
    uint8_t padding[7];
    uint64_t fd_offset;
    uint64_t shm_offset;
    uint64_t length;
    uint64_t flags;
} __attribute__((packed));

/* FS_MAP, with one descriptor, and FS_UNMAP: entries of length 0 count for nothing. */
#define VU_FS_MAP_ENTRIES 8
#define VU_FS_MAP_READ    UINT64_C(1)
#define VU_FS_MAP_WRITE   UINT64_C(2)

struct vu_fs_map {
    uint64_t fd_offset[VU_FS_MAP_ENTRIES];
    uint64_t cache_offset[VU_FS_MAP_ENTRIES];
    uint64_t length[VU_FS_MAP_ENTRIES];
    uint64_t flags[VU_FS_MAP_ENTRIES];
} __attribute__((packed));

/* "VhostUserShared": SHARED_OBJECT_LOOKUP. */
struct vu_shared_object {
    uint8_t uuid[16];
} __attribute__((packed));

/* The largest of these is the largest payload that is taken. */
union vu_payload {
    uint64_t u64;
    struct vu_vring_state state;
    struct vu_vring_addr addr;
    struct vu_memory_table memory;
    struct vu_single_region single;
    struct vu_config config;
};

/* What replies carry. */
union vu_reply_payload {
    uint64_t u64;
    struct vu_vring_state state;
    struct vu_config config;
    struct vu_shmem_config shmem;
};

#endif
