// SPDX-License-Identifier: BSD-3-Clause
/*
 * What the command line asked for: filled once by daemon/options, read-only ever after.
 *
 * Owner: main. Lives as long as the process. Strings are owned by it.
 */
#ifndef VIOFS_SETTINGS_H
#define VIOFS_SETTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "log.h"

struct xattr_rules; /* xattr_rules.h */

enum cache_mode { CACHE_NEVER, CACHE_METADATA, CACHE_AUTO, CACHE_ALWAYS };
enum sandbox_mode { SANDBOX_NAMESPACE, SANDBOX_CHROOT, SANDBOX_NONE };
enum seccomp_mode { SECCOMP_KILL, SECCOMP_LOG, SECCOMP_TRAP, SECCOMP_NONE };
enum file_handles_mode { FILE_HANDLES_NEVER, FILE_HANDLES_PREFER, FILE_HANDLES_MANDATORY };
/* What is never offered, offered where it can work, or must work. */
enum feature_mode { FEATURE_NEVER, FEATURE_AUTO, FEATURE_ALWAYS };
enum dax_mode { DAX_AUTO, DAX_ALWAYS, DAX_NEVER };
enum dax_protocol { DAX_PROTOCOL_AUTO, DAX_PROTOCOL_SHMEM, DAX_PROTOCOL_FS_MAP };

/* One range of --uid-map or --gid-map: ids inside the namespace to ids outside. */
struct id_map {
    uint32_t inside;
    uint32_t outside;
    uint32_t count;
};

/* How long the guest may keep what it was told; not set: as the cache mode has it. */
struct timeout {
    bool set;
    uint64_t nanoseconds;
};

/*
 * One direction of --translate-uid or --translate-gid: what becomes of the ids first to last. Ids
 * of no range stay what they are.
 */
enum id_rule {
    ID_SHIFT,  /* one to one: first becomes target */
    ID_SQUASH, /* all become target */
    ID_FORBID, /* nothing may have them */
};
struct id_range {
    uint32_t first;
    uint32_t last; /* is one of them */
    uint32_t target;
    enum id_rule rule;
};

#define ID_RANGES_MAX 256
struct id_table {
    unsigned count;
    struct id_range ranges[ID_RANGES_MAX]; /* in order, without overlaps */
};

struct id_translation {
    struct id_table to_host;
    struct id_table to_guest; /* without ID_FORBID */
};

#define ID_MAPS_MAX        64
#define REQUEST_QUEUES_MAX 63 /* with the high priority queue 64 */
#define POLL_US_MAX        10000
#define POLL_US_AUTO       100
#define THREAD_POOL_SIZE   64  /* the default */
#define THREAD_POOL_MAX    256 /* with the threads of 64 queues well below FUSE_THREADS_MAX */
#define TAG_MAX_BYTES      36  /* virtio 1.3, 5.11.4: tag */

struct settings {
    /* What is shared, and with whom. */
    char *shared_dir;
    char *socket_path;
    char *socket_group;
    int listen_fd; /* --fd or socket activation; -1: bind socket_path */
    char *tag;     /* NULL: no configuration space of our own */
    bool persistent;
    bool daemonize; /* go on in the background */

    /* File system. */
    enum cache_mode cache;
    enum file_handles_mode file_handles;
    bool xattr;
    struct xattr_rules *xattr_rules; /* how names differ on the host; NULL: they do not */
    enum feature_mode posix_acl;
    enum feature_mode security_label;
    unsigned xattr_presets; /* of --xattr-preset, which are then rules */
    bool readonly;
    bool announce_submounts;
    bool readdirplus;
    bool writeback;
    bool allow_direct_io;
    bool allow_mmap;
    enum feature_mode killpriv_v2; /* AUTO: with guests that do not say who writes */
    bool preserve_noatime;
    bool posix_lock;
    bool flock;
    struct timeout attr_timeout;
    struct timeout entry_timeout;
    struct timeout negative_timeout;
    bool no_open; /* the guest may leave out OPEN and OPENDIR */

    /* DAX. */
    uint64_t dax_window;   /* bytes; 0: none, else as in dax_mapper.h */
    enum dax_mode dax;     /* which files are flagged for it */
    uint64_t dax_min_size; /* bytes: with DAX_AUTO smaller files are not flagged */
    enum dax_protocol dax_protocol;

    /* Sandbox. */
    enum sandbox_mode sandbox;
    enum seccomp_mode seccomp;
    uint64_t modcaps_add;   /* --modcaps=+x: bit n is capability number n; no bit is in both */
    uint64_t modcaps_drop;  /* --modcaps=-x */
    uint64_t rlimit_nofile; /* 0: leave alone; of meaning only when set */
    bool rlimit_nofile_set;
    struct id_map uid_maps[ID_MAPS_MAX];
    unsigned uid_map_count;
    struct id_map gid_maps[ID_MAPS_MAX];
    unsigned gid_map_count;
    bool owner_xattr; /* then there is no translation */
    struct id_translation translate_uid;
    struct id_translation translate_gid;

    /* Threads. */
    unsigned thread_pool_size; /* threads beyond the one of each queue: 0 to THREAD_POOL_MAX */
    unsigned poll_us;          /* how long a queue is polled before its thread sleeps */
    bool poll_always;          /* not only while the driver is awake */
    unsigned request_queues;   /* offered at the most: 1 to 63 */

    /* Log. */
    enum log_level log_level;
    bool syslog;
};

#endif
