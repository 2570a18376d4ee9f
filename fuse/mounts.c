// SPDX-License-Identifier: BSD-3-Clause
#include "mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "host_attr.h"
#include "host_io.h"
#include "host_mounts.h"
#include "host_path.h"
#include "log.h"
#include "scope.h"

struct mount {
    _Alignas(64) uint64_t id; /* 0: was unmounted, and the id is another mount's now */
    uint64_t unique;          /* the id that is never given again; 0: unknown */
    uint64_t dev;             /* of the first file found */
    uint64_t references;      /* inodes of this mount; 0: a free entry. The share's is 1 for good */
    bool handles;             /* file handles can be used here */
    _Atomic int fd;           /* -1: none, or none now */
    atomic_bool hot;          /* fd was asked for since the last mounts_rest() */
    bool silent_close;        /* close(2) has nothing to say that write(2) had not */
    bool offsets_last;        /* of directories, after these are closed */
    bool reserves_blocks;     /* keeps some of its blocks for root */
};

struct mounts {
    enum file_handles_mode mode;
    int mountinfo;
    struct epochs *epochs;
    struct mount *entries; /* MOUNTS_MAX, in the arena */
    /* Guards used, references and ids of free entries, and setting of fds. */
    _Alignas(64) pthread_mutex_t lock;
    uint32_t used; /* entries ever used; the rest is untouched */
};

size_t mounts_arena_size(void)
{
    return MOUNTS_MAX * sizeof(struct mount);
}

int mounts_new(struct arena *arena, enum file_handles_mode mode, int mountinfo,
               struct epochs *epochs, struct mounts **ret_mounts)
{
    struct mounts *mounts = aligned_alloc(_Alignof(struct mounts), sizeof(*mounts));
    if (!mounts)
        return -ENOMEM;
    *mounts = (struct mounts){.mode = mode, .mountinfo = mountinfo, .epochs = epochs};
    pthread_mutex_init(&mounts->lock, NULL);
    mounts->entries = arena_take(arena, mounts_arena_size());
    if (!mounts->entries) {
        free(mounts);
        return -ENOMEM;
    }
    *ret_mounts = mounts;
    return 0;
}

void mounts_free(struct mounts *mounts)
{
    if (!mounts)
        return;
    for (uint32_t i = 0; i < mounts->used; i++) {
        if (mounts->entries[i].references && mounts->entries[i].fd >= 0)
            close(mounts->entries[i].fd);
    }
    free(mounts);
}

/*
 * Opens a descriptor that file handles of this mount can be opened through. Only these two types
 * are ever opened; a mount whose first file is another does without.
 */
static int open_mount(int fd, unsigned mode, int *ret_mount_fd)
{
    if (!S_ISDIR(mode) && !S_ISREG(mode))
        return -EOPNOTSUPP;
    return host_reopen(fd, O_RDONLY | O_NONBLOCK, ret_mount_fd);
}

/* Proves that handles can be used: file systems, user namespaces, capabilities all have a say. */
static int probe_handles(int fd, unsigned mode, int *ret_mount_fd)
{
    struct host_fh handle;
    int mount_id;
    int error = host_fh_get(fd, "", &handle, &mount_id);
    if (error)
        return error;
    autoclose int mount_fd = -1;
    error = open_mount(fd, mode, &mount_fd);
    if (error)
        return error;
    autoclose int proof = -1;
    error = host_fh_open(mount_fd, handle.type, handle.bytes, handle.length, O_PATH, &proof);
    if (error)
        return error;
    *ret_mount_fd = steal_fd(&mount_fd);
    return 0;
}

/*
 * What is known of file systems, by what statfs(2) calls them. Local ones have no flush operation;
 * all others might say only at close(2) that an earlier write has failed; an overlay, what is below
 * it. Offsets of directories are places on the disk or hashes of names; but in an older tmpfs they
 * count the entries, of which there may be fewer tomorrow. Who asks for a block matters where root
 * has some for its own use.
 */
static void learn(struct mount *mount, int fd)
{
    static const struct {
        uint32_t magic;
        bool offsets_last, reserves_blocks;
    } local[] = {
        {EXT4_SUPER_MAGIC, true, true},
        {XFS_SUPER_MAGIC, true, false},
        {BTRFS_SUPER_MAGIC, true, false},
        {F2FS_SUPER_MAGIC, true, true},
        {EROFS_SUPER_MAGIC_V1, true, false},
        {SQUASHFS_MAGIC, true, false},
        {ISOFS_SUPER_MAGIC, true, false},
        {0xca451a4e, true, true}, /* bcachefs */
        {0x2fc12fc1, true, true}, /* ZFS */
        {TMPFS_MAGIC, false, false},
        {RAMFS_MAGIC, false, false},
        {EXFAT_SUPER_MAGIC, false, false},
        {MSDOS_SUPER_MAGIC, false, false},
    };
    struct statfs statfs;
    if (host_statfs(fd, &statfs) < 0)
        return;
    for (unsigned i = 0; i < ARRAY_SIZE(local); i++) {
        if ((uint32_t)statfs.f_type != local[i].magic)
            continue;
        mount->silent_close = true;
        mount->offsets_last = local[i].offsets_last;
        mount->reserves_blocks = local[i].reserves_blocks;
    }
}

static struct mount *find_locked(struct mounts *mounts, uint64_t mount_id, struct mount **ret_free)
{
    *ret_free = mounts->used < MOUNTS_MAX ? &mounts->entries[mounts->used] : NULL;
    for (uint32_t i = 0; i < mounts->used; i++) {
        struct mount *entry = &mounts->entries[i];
        if (!entry->references)
            *ret_free = entry;
        else if (entry->id == mount_id)
            return entry;
    }
    return NULL;
}

static uint64_t dev_of(const struct statx *attributes)
{
    return makedev(attributes->stx_dev_major, attributes->stx_dev_minor);
}

static int add_locked(struct mounts *mounts, int fd, const struct statx *attributes,
                      struct mount *entry)
{
    int mount_fd = -1;
    int error = -EOPNOTSUPP;
    if (mounts->mode != FILE_HANDLES_NEVER)
        error = probe_handles(fd, attributes->stx_mode, &mount_fd);
    if (error && mounts->mode == FILE_HANDLES_MANDATORY)
        return -EOPNOTSUPP;
    if (error && mounts->mode == FILE_HANDLES_PREFER)
        log_limited(LOG_LEVEL_INFO,
                    "mount %llu has no usable file handles: a descriptor is held for each inode",
                    (unsigned long long)attributes->stx_mnt_id);
    *entry = (struct mount){.id = attributes->stx_mnt_id,
                            .unique = host_mounts_unique(fd),
                            .dev = dev_of(attributes),
                            .handles = !error,
                            .fd = mount_fd,
                            .hot = true};
    learn(entry, fd);
    if (entry == &mounts->entries[mounts->used])
        mounts->used++;
    return 0;
}

/* Whether fd, of these attributes, lies on the mount that the entry is of, and not on a later one
 * of the same id. */
static bool is_of(const struct mount *entry, int fd, const struct statx *attributes)
{
    return attributes->stx_mnt_id == entry->id && dev_of(attributes) == entry->dev &&
           host_mounts_unique(fd) == entry->unique;
}

/*
 * The share's entry is settled before there is a second thread, and nothing changes in it: so that
 * requests of different queues write no line of it, nobody counts its inodes or takes the lock.
 */
static bool is_share(const struct mounts *mounts, uint64_t mount_id)
{
    const struct mount *share = &mounts->entries[MOUNTS_SHARE];
    return share->references && share->id == mount_id;
}

bool mounts_take_known(struct mounts *mounts, uint64_t mount_id, uint32_t *ret_mount)
{
    struct mount *unused;
    if (is_share(mounts, mount_id)) {
        if (mounts->entries[MOUNTS_SHARE].fd < 0)
            return false;
        *ret_mount = MOUNTS_SHARE;
        return true;
    }
    pthread_mutex_lock(&mounts->lock);
    struct mount *entry = find_locked(mounts, mount_id, &unused);
    if (entry && entry->fd < 0)
        entry = NULL;
    if (entry) {
        entry->hot = true;
        entry->references++;
        *ret_mount = (uint32_t)(entry - mounts->entries);
    }
    pthread_mutex_unlock(&mounts->lock);
    return entry != NULL;
}

int mounts_take(struct mounts *mounts, int fd, const struct statx *attributes, uint32_t *ret_mount)
{
    int error = 0;
    if (is_share(mounts, attributes->stx_mnt_id)) {
        *ret_mount = MOUNTS_SHARE;
        return 0;
    }
    pthread_mutex_lock(&mounts->lock);
    struct mount *unused;
    struct mount *entry = find_locked(mounts, attributes->stx_mnt_id, &unused);
    if (entry && entry->handles && entry->fd < 0) {
        int mount_fd;
        if (!is_of(entry, fd, attributes)) {
            entry->id = 0;
            entry = NULL;
        } else if (open_mount(fd, attributes->stx_mode, &mount_fd) == 0) {
            entry->fd = mount_fd;
            entry->hot = true;
        }
    }
    if (!entry) {
        entry = unused;
        error = entry ? add_locked(mounts, fd, attributes, entry) : -ENFILE;
    }
    if (!error) {
        entry->references++;
        *ret_mount = (uint32_t)(entry - mounts->entries);
    }
    pthread_mutex_unlock(&mounts->lock);
    return error;
}

void mounts_drop(struct mounts *mounts, uint32_t mount)
{
    autoclose int fd = -1;
    if (mount == MOUNTS_SHARE)
        return;
    pthread_mutex_lock(&mounts->lock);
    struct mount *entry = &mounts->entries[mount];
    if (--entry->references == 0)
        fd = atomic_exchange(&entry->fd, -1);
    pthread_mutex_unlock(&mounts->lock);
}

uint64_t mounts_id(const struct mounts *mounts, uint32_t mount)
{
    return mounts->entries[mount].id;
}

bool mounts_has_handles(const struct mounts *mounts, uint32_t mount)
{
    return mounts->entries[mount].handles;
}

bool mounts_is_share(uint32_t mount)
{
    return mount == MOUNTS_SHARE;
}

/* The mount's descriptor anew, by the path that it has in our namespace now. */
static int open_again(struct mounts *mounts, struct mount *entry, int *ret_fd)
{
    autoclose int path_fd = -1;
    autoclose int fd = -1;
    struct statx attributes;
    uint64_t id = entry->id;
    if (id == 0 || host_mounts_open(mounts->mountinfo, id, &path_fd) ||
        host_stat_fd(path_fd, &attributes) || !is_of(entry, path_fd, &attributes) ||
        open_mount(path_fd, attributes.stx_mode, &fd))
        return -ESTALE;
    pthread_mutex_lock(&mounts->lock);
    if (entry->fd < 0)
        entry->fd = steal_fd(&fd);
    entry->hot = true;
    *ret_fd = entry->fd;
    pthread_mutex_unlock(&mounts->lock);
    return 0;
}

int mounts_fd(struct mounts *mounts, uint32_t mount, int *ret_fd)
{
    struct mount *entry = &mounts->entries[mount];
    if (!entry->handles)
        return -EOPNOTSUPP;
    int fd = atomic_load_explicit(&entry->fd, memory_order_acquire);
    if (fd < 0)
        return open_again(mounts, entry, ret_fd);
    if (!atomic_load_explicit(&entry->hot, memory_order_relaxed))
        atomic_store_explicit(&entry->hot, true, memory_order_relaxed);
    *ret_fd = fd;
    return 0;
}

bool mounts_close_silently(const struct mounts *mounts, uint32_t mount)
{
    return mounts->entries[mount].silent_close;
}

bool mounts_ignores_ids(const struct mounts *mounts, uint32_t mount, bool takes_blocks)
{
    const struct mount *entry = &mounts->entries[mount];
    return mount == MOUNTS_SHARE && entry->silent_close &&
           !(takes_blocks && entry->reserves_blocks);
}

bool mounts_offsets_last(const struct mounts *mounts, uint32_t mount)
{
    return mounts->entries[mount].offsets_last;
}

bool mounts_find(struct mounts *mounts, uint64_t mount_id, uint32_t *ret_mount)
{
    struct mount *unused;
    pthread_mutex_lock(&mounts->lock);
    struct mount *entry = find_locked(mounts, mount_id, &unused);
    if (entry)
        *ret_mount = (uint32_t)(entry - mounts->entries);
    pthread_mutex_unlock(&mounts->lock);
    return entry != NULL;
}

static void release_fd(void *context, uint64_t fd)
{
    (void)context;
    close((int)fd);
}

unsigned mounts_rest(struct mounts *mounts)
{
    unsigned left = 0;
    if (mounts->mountinfo < 0)
        return 0;
    pthread_mutex_lock(&mounts->lock);
    for (uint32_t i = MOUNTS_SHARE + 1; i < mounts->used; i++) {
        struct mount *entry = &mounts->entries[i];
        if (!entry->references || !entry->handles || entry->fd < 0)
            continue;
        if (atomic_exchange(&entry->hot, false))
            left++;
        else
            epoch_retire(mounts->epochs, release_fd, NULL,
                         (uint64_t)atomic_exchange(&entry->fd, -1));
    }
    pthread_mutex_unlock(&mounts->lock);
    return left;
}

/* What mounts_sync() goes through: a descriptor for each file system found. */
struct sync_list {
    const char *below; /* only mounts at this path and below it; "": all */
    size_t below_length;
    unsigned count;
    int error;
    uint64_t devices[MOUNTS_MAX];
};

static void sync_once(struct sync_list *list, int path_fd)
{
    struct statx attributes;
    autoclose int fd = -1;
    if (host_stat_fd(path_fd, &attributes))
        return;
    uint64_t dev = dev_of(&attributes);
    for (unsigned i = 0; i < list->count; i++) {
        if (list->devices[i] == dev)
            return;
    }
    if (open_mount(path_fd, attributes.stx_mode, &fd))
        return;
    if (list->count < MOUNTS_MAX)
        list->devices[list->count++] = dev;
    int error = host_sync_fs(fd);
    if (!list->error)
        list->error = error;
}

static bool sync_mount(void *argument, const struct host_mount *mount)
{
    struct sync_list *list = argument;
    autoclose int fd = -1;
    char next = strncmp(mount->path, list->below, list->below_length) == 0
                    ? mount->path[list->below_length]
                    : 'x';
    /* Opening what autofs has not mounted would mount it. */
    if ((next == '\0' || next == '/') && strcmp(mount->type, "autofs") != 0 &&
        host_open_path(AT_FDCWD, mount->path, &fd) == 0)
        sync_once(list, fd);
    return true;
}

/* The mounts that something may lie on top of, where no path leads to them. */
static void sync_known(struct mounts *mounts, struct sync_list *list)
{
    for (uint32_t i = 0; i < MOUNTS_MAX; i++) {
        autoclose int fd = -1;
        pthread_mutex_lock(&mounts->lock);
        bool more = i < mounts->used;
        if (more && mounts->entries[i].references && mounts->entries[i].fd >= 0 &&
            host_duplicate(mounts->entries[i].fd, &fd) < 0)
            fd = -1;
        pthread_mutex_unlock(&mounts->lock);
        if (!more)
            break;
        if (fd >= 0)
            sync_once(list, fd);
    }
}

int mounts_sync(struct mounts *mounts, int share_fd)
{
    autofree struct sync_list *list = calloc(1, sizeof(*list));
    autofree char *path = calloc(1, PATH_MAX);
    size_t length;
    if (!list || !path)
        return -ENOMEM;
    sync_once(list, share_fd);
    sync_known(mounts, list);
    if (host_path_of(share_fd, path, PATH_MAX - 1, &length) == 0) {
        list->below = path;
        list->below_length = length == 1 ? 0 : length; /* "/": everything */
        int error = host_mounts_each(mounts->mountinfo, sync_mount, list);
        if (error && error != -ENOTSUP && !list->error)
            list->error = error;
    }
    return list->error;
}
