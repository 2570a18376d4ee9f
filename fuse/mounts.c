// SPDX-License-Identifier: BSD-3-Clause
#include "mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "host_attr.h"
#include "host_path.h"
#include "log.h"
#include "scope.h"

struct mount {
    uint64_t id;
    uint64_t references; /* inodes of this mount; 0: a free entry */
    int fd;              /* -1: file handles cannot be used here */
    bool silent_close;
};

struct mounts {
    enum file_handles_mode mode;
    pthread_mutex_t lock; /* guards used, references and ids of free entries */
    uint32_t used;        /* entries ever used; the rest is untouched */
    struct mount entries[MOUNTS_MAX];
};

int mounts_new(enum file_handles_mode mode, struct mounts **ret_mounts)
{
    struct mounts *mounts = calloc(1, sizeof(*mounts));
    if (!mounts)
        return -ENOMEM;
    mounts->mode = mode;
    pthread_mutex_init(&mounts->lock, NULL);
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
 * Opens a descriptor that file handles of this mount can be opened through, and proves that they
 * can: file systems, user namespaces and capabilities all have their say in it.
 */
static int probe_handles(int fd, unsigned mode, int *ret_mount_fd)
{
    /* Only these two are ever opened; a mount whose first file is another does without. */
    if (!S_ISDIR(mode) && !S_ISREG(mode))
        return -EOPNOTSUPP;
    struct host_fh handle;
    int mount_id;
    int error = host_fh_get(fd, "", &handle, &mount_id);
    if (error)
        return error;
    autoclose int mount_fd = -1;
    error = host_reopen(fd, O_RDONLY | O_NONBLOCK, &mount_fd);
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
 * Local file systems without a flush operation, by what statfs(2) calls them. All others might say
 * only at close(2) that an earlier write has failed; an overlay, what is below it.
 */
static bool closes_silently(int fd)
{
    static const uint32_t silent[] = {
        EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC,   BTRFS_SUPER_MAGIC,    TMPFS_MAGIC,
        RAMFS_MAGIC,      F2FS_SUPER_MAGIC,  EXFAT_SUPER_MAGIC,    MSDOS_SUPER_MAGIC,
        SQUASHFS_MAGIC,   ISOFS_SUPER_MAGIC, EROFS_SUPER_MAGIC_V1, 0xca451a4e, /* bcachefs */
        0x2fc12fc1,                                                            /* ZFS */
    };
    struct statfs statfs;
    if (host_statfs(fd, &statfs) < 0)
        return false;
    for (unsigned i = 0; i < ARRAY_SIZE(silent); i++)
        if ((uint32_t)statfs.f_type == silent[i])
            return true;
    return false;
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

static int add_locked(struct mounts *mounts, uint64_t mount_id, int fd, unsigned mode,
                      struct mount *entry)
{
    int mount_fd = -1;
    int error = -EOPNOTSUPP;
    if (mounts->mode != FILE_HANDLES_NEVER)
        error = probe_handles(fd, mode, &mount_fd);
    if (error && mounts->mode == FILE_HANDLES_MANDATORY)
        return -EOPNOTSUPP;
    if (error && mounts->mode == FILE_HANDLES_PREFER)
        log_limited(LOG_LEVEL_INFO,
                    "mount %llu has no usable file handles: a descriptor is held for each inode",
                    (unsigned long long)mount_id);
    *entry = (struct mount){.id = mount_id, .fd = mount_fd, .silent_close = closes_silently(fd)};
    if (entry == &mounts->entries[mounts->used])
        mounts->used++;
    return 0;
}

bool mounts_take_known(struct mounts *mounts, uint64_t mount_id, uint32_t *ret_mount)
{
    struct mount *unused;
    pthread_mutex_lock(&mounts->lock);
    struct mount *entry = find_locked(mounts, mount_id, &unused);
    if (entry) {
        entry->references++;
        *ret_mount = (uint32_t)(entry - mounts->entries);
    }
    pthread_mutex_unlock(&mounts->lock);
    return entry != NULL;
}

int mounts_take(struct mounts *mounts, uint64_t mount_id, int fd, unsigned mode,
                uint32_t *ret_mount)
{
    int error = 0;
    pthread_mutex_lock(&mounts->lock);
    struct mount *unused;
    struct mount *entry = find_locked(mounts, mount_id, &unused);
    if (!entry) {
        entry = unused;
        error = entry ? add_locked(mounts, mount_id, fd, mode, entry) : -ENFILE;
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
    pthread_mutex_lock(&mounts->lock);
    struct mount *entry = &mounts->entries[mount];
    if (--entry->references == 0)
        fd = steal_fd(&entry->fd);
    pthread_mutex_unlock(&mounts->lock);
}

uint64_t mounts_id(const struct mounts *mounts, uint32_t mount)
{
    return mounts->entries[mount].id;
}

int mounts_fd(const struct mounts *mounts, uint32_t mount)
{
    return mounts->entries[mount].fd;
}

bool mounts_close_silently(const struct mounts *mounts, uint32_t mount)
{
    return mounts->entries[mount].silent_close;
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
