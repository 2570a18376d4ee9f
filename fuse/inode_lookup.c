// SPDX-License-Identifier: BSD-3-Clause
/*
 * Finding an inode by name, and by identity. Three ways, from the shortest on:
 *
 * Pinned: one statx(2) by name. If an inode with that mount, device and number, known to the guest
 * or lingering, has an O_PATH descriptor at this moment, the number cannot have been reused since
 * the descriptor was opened, so it is that inode. (statx came first: a file that was replaced by
 * another of the same number between the two is told apart by its time of birth.)
 *
 * By handle: statx(2) and name_to_handle_at(2) by name; no descriptor is opened. Inodes are
 * compared by handle. If the name was given to another file between the two calls, a new inode has
 * the identity of one file and the handle of another: before the handle is used for the first time
 * it is verified to lead to a file of that identity (inode_fd.c), and such an inode then is stale.
 *
 * By descriptor: an O_PATH descriptor by name, and everything else from it. For the first file
 * of a mount, while the host deletes what the guest is about to use, and for inodes that keep their
 * descriptor: on mounts without file handles, and FIFOs, sockets and devices. The guest opens those
 * by itself, so when their last name is gone there is no open file on the host that would keep them
 * alive.
 */
#include "inode.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "host_fh.h"
#include "host_path.h"
#include "inode_table.h"
#include "scope.h"
#include "server.h"

/* A file on the host, as it was found. */
struct found {
    uint32_t mount;
    uint64_t dev;
    uint64_t ino;
    uint64_t birth;
    uint16_t type;
    int fd;                /* O_PATH; -1: known by handle only */
    bool keeps_fd;         /* a new inode gets fd for good */
    bool verified;         /* identity and handle are from one descriptor */
    bool unsure;           /* it has no handle, and only that could tell whether it is known */
    struct host_fh handle; /* length 0: none */
};

/*
 * Whether an inode that has the identity looked for is what is wanted, and then with one lookup
 * counted. take_pinned and take_again lock its shard, the others may be used with that locked.
 */
typedef bool inode_taker(struct inode_table *table, struct inode *inode);

/*
 * Mixes the bits, as inode and device numbers are what they are: consecutive, in strides, the same
 * on a hundred devices.
 */
static uint64_t identity_hash(const struct inode_table *table, uint32_t mount, uint64_t dev,
                              uint64_t ino)
{
    uint64_t hash = (ino ^ table->key[0]) * table->key[1];
    hash = (hash ^ hash >> 32) + dev + ((uint64_t)mount << 48);
    hash = (hash ^ hash >> 29) * 0xbf58476d1ce4e5b9u;
    return hash ^ hash >> 32;
}

static uint64_t hash_of(const struct inode_table *table, const struct inode *inode)
{
    return identity_hash(table, inode->mount, inode->dev, inode->ino);
}

/* As of inode_index_hash. */
static uint64_t hash_at(const void *context, uint32_t index)
{
    const struct inode_table *table = context;
    return hash_of(table, &table->slab[index]);
}

static struct inode_shard *shard_of_hash(struct inode_table *table, uint64_t hash)
{
    return &table->shards[hash % INODE_SHARDS];
}

struct inode_shard *inode_shard_of(struct inode_table *table, uint32_t mount, uint64_t dev,
                                   uint64_t ino)
{
    return shard_of_hash(table, identity_hash(table, mount, dev, ino));
}

static uint64_t birth_of(const struct statx *attributes)
{
    if (!(attributes->stx_mask & STATX_BTIME))
        return 0;
    return (uint64_t)attributes->stx_btime.tv_sec * 1000000000u + attributes->stx_btime.tv_nsec;
}

static uint64_t dev_of(const struct statx *attributes)
{
    return makedev(attributes->stx_dev_major, attributes->stx_dev_minor);
}

bool inode_shards_rest(struct inode_table *table)
{
    bool any = false;
    for (unsigned i = 0; i < INODE_SHARDS; i++) {
        struct inode_shard *shard = &table->shards[i];
        pthread_mutex_lock(&shard->lock);
        any |= inode_index_rest(&shard->index, table->server->epochs, hash_at, table);
        pthread_mutex_unlock(&shard->lock);
    }
    return any;
}

void inode_unlist(struct inode_table *table, struct inode_shard *shard, const struct inode *inode)
{
    inode_index_remove(&shard->index, hash_of(table, inode), inode_index(table, inode));
}

/* Its descriptor may be that of a file that the guest has closed a moment ago. */
static bool is_held(const struct inode_table *table, struct inode *inode)
{
    return inode_has_fd(inode) || handle_has_idle(table->server->handles, inode_id(table, inode));
}

/* Counts a lookup on an inode that has some already. */
static bool count_one_more(struct inode *inode)
{
    uint64_t lookups = atomic_load(&inode->lookups);
    while (lookups > 0) {
        if (atomic_compare_exchange_weak(&inode->lookups, &lookups, lookups + 1))
            return true;
    }
    return false;
}

/*
 * The same on one that the guest has forgotten and that lingers, where a descriptor keeps a number
 * from being used again.
 */
static bool count_first(struct inode_table *table, struct inode *inode)
{
    if (!inode_closes_silently(table, inode))
        return false;
    struct inode_shard *shard = inode_shard_of(table, inode->mount, inode->dev, inode->ino);
    pthread_mutex_lock(&shard->lock);
    bool known = atomic_load(&inode->generation) != 0;
    if (known)
        atomic_fetch_add(&inode->lookups, 1);
    pthread_mutex_unlock(&shard->lock);
    return known;
}

static bool take_in_use(struct inode_table *table, struct inode *inode)
{
    (void)table;
    return count_one_more(inode);
}

static bool take_held(struct inode_table *table, struct inode *inode)
{
    return is_held(table, inode) && count_one_more(inode);
}

static bool take_pinned(struct inode_table *table, struct inode *inode)
{
    return inode_has_fd(inode) && (count_one_more(inode) || count_first(table, inode));
}

/* If it was looked for before; it is from now on. */
static bool take_again(struct inode_table *table, struct inode *inode)
{
    return atomic_exchange_explicit(&inode->hot, true, memory_order_relaxed) &&
           (count_one_more(inode) || count_first(table, inode));
}

/*
 * An inode with this identity, and with one lookup counted; or NULL. Only one that is pinned is
 * sure to be that file, see above. Inside an epoch, and without a lock but for those that linger:
 *
 * - What is in the index was filled before it came there. What is taken out is not used again
 *   before our epoch ends.
 * - While the index grows we may look at the old one, and miss what comes into the new one. Who
 *   must not miss it looks again, with the lock held.
 * - Lookups that are not zero are counted up from that alone. From zero they rise with the lock
 *   held only, under which those that are zero are given up: so nobody finds what is given up.
 */
static struct inode *find_alike(struct inode_table *table, uint32_t mount,
                                const struct statx *attributes, inode_taker *take)
{
    uint64_t dev = dev_of(attributes), ino = attributes->stx_ino;
    uint64_t birth = birth_of(attributes);
    uint64_t hash = identity_hash(table, mount, dev, ino);
    struct inode_cursor cursor = inode_index_look(&shard_of_hash(table, hash)->index, hash);
    uint32_t i;
    while ((i = inode_cursor_next(&cursor))) {
        struct inode *entry = &table->slab[i];
        if (entry->ino == ino && entry->dev == dev && entry->mount == mount &&
            entry->birth == birth && take(table, entry))
            return entry;
    }
    return NULL;
}

/* The short way. NULL: take a longer one. */
static struct inode *find_pinned(struct inode_table *table, uint32_t mount,
                                 const struct statx *attributes)
{
    struct inode *inode = find_alike(table, mount, attributes, take_pinned);
    /* Its descriptor saves a system call at each lookup, so it is in use. */
    if (inode && !atomic_load_explicit(&inode->hot, memory_order_relaxed))
        atomic_store_explicit(&inode->hot, true, memory_order_relaxed);
    return inode;
}

/*
 * What is looked up again and again gets a descriptor, for the sake of the next time: opening it by
 * its handle tells as well as comparing handles whether it is that file. NULL: the long way.
 */
static struct inode *find_and_pin(struct fuse_thread *thread, uint32_t mount,
                                  const struct statx *attributes)
{
    struct inode_table *table = thread->server->inodes;
    if (!inode_cache_has_room(table))
        return NULL;
    struct inode *inode = find_alike(table, mount, attributes, take_again);
    int error = inode ? inode_pin(thread, inode) : 0;
    if (error == -ESTALE)
        inode_forget_gone(table, inode);
    else if (error)
        inode_forget(thread, inode_id(table, inode), 1);
    return error ? NULL : inode;
}

/* What the guest's kernel opens by itself, without asking us: FIFOs, sockets, devices. */
static bool is_special(unsigned type)
{
    return !S_ISREG(type) && !S_ISDIR(type) && !S_ISLNK(type);
}

static bool same_file(const struct inode *inode, const struct found *found)
{
    if (inode->ino != found->ino || inode->dev != found->dev || inode->mount != found->mount ||
        inode->type != found->type)
        return false;
    /* If it has no descriptor, nothing keeps its number from being reused, nor, on some file
     * systems, the handle. */
    if (atomic_load(&inode->lookups) == 0 && inode->birth != found->birth)
        return false;
    if (inode->handle_length == 0)
        return true; /* both have a descriptor open, so the number is used once */
    return inode->handle_length == found->handle.length &&
           inode->handle_type == found->handle.type &&
           memcmp(inode->handle, found->handle.bytes, found->handle.length) == 0;
}

/*
 * A FIFO that was found without asking for its handle, and one of its number that had to do without
 * a descriptor.
 */
static bool may_be_same_file(const struct inode *inode, const struct found *found)
{
    return is_special(found->type) && found->handle.length == 0 && inode->handle_length &&
           inode->ino == found->ino && inode->dev == found->dev && inode->mount == found->mount;
}

static struct inode *find_same(struct inode_table *table, struct inode_shard *shard, uint64_t hash,
                               struct found *found)
{
    found->unsure = false;
    struct inode_cursor cursor = inode_index_look(&shard->index, hash);
    uint32_t i;
    while ((i = inode_cursor_next(&cursor))) {
        if (same_file(&table->slab[i], found))
            return &table->slab[i];
        found->unsure |= may_be_same_file(&table->slab[i], found);
    }
    return NULL;
}

/* Fills a new slot, but for its generation, which makes the id valid. */
static void inode_fill(struct inode *inode, const struct found *found)
{
    inode->mount = found->mount;
    inode->ino = found->ino;
    inode->dev = found->dev;
    inode->birth = found->birth;
    inode->type = found->type;
    inode->hot = false;
    inode->cache_slot = INODE_CACHE_NO_SLOT;
    inode->handle_type = found->handle.type;
    inode->handle_length = (uint8_t)found->handle.length;
    memcpy(inode->handle, found->handle.bytes, found->handle.length);
    inode->verified = found->verified;
    inode->told_stale = false;
    inode->is_large = false;
    inode->dax_doubts = 0;
    inode->lingers = false;
    atomic_store(&inode->fd, -1);
    atomic_store(&inode->lookups, 1);
    if (++inode->last_generation == 0)
        inode->last_generation = 1;
}

/*
 * The inode of a found file, new or known, with one lookup counted. Sets *ret_new when
 * found->mount's reference went to a new inode. NULL at INODES_MAX, without memory, or if
 * found->unsure.
 */
static struct inode *find_or_add(struct fuse_thread *thread, struct found *found, bool *ret_new)
{
    struct inode_table *table = thread->server->inodes;
    uint64_t hash = identity_hash(table, found->mount, found->dev, found->ino);
    struct inode_shard *shard = shard_of_hash(table, hash);
    pthread_mutex_lock(&shard->lock);
    struct inode *inode = find_same(table, shard, hash, found);
    *ret_new = !inode;
    if (inode) {
        atomic_fetch_add(&inode->lookups, 1);
    } else if (!found->unsure &&
               inode_index_reserve(&shard->index, table->server->epochs, hash_at, table) &&
               (inode = inode_slot_take(thread))) {
        inode_fill(inode, found);
        if (found->keeps_fd)
            atomic_store(&inode->fd, steal_fd(&found->fd));
        atomic_store_explicit(&inode->generation, inode->last_generation, memory_order_release);
        /* Others find it from here on, without the lock, and tell its id. */
        inode_index_add(&shard->index, hash, inode_index(table, inode));
    }
    pthread_mutex_unlock(&shard->lock);
    return inode;
}

static void found_identity(struct found *found, const struct statx *attributes)
{
    found->dev = dev_of(attributes);
    found->ino = attributes->stx_ino;
    found->birth = birth_of(attributes);
    found->type = attributes->stx_mode & S_IFMT;
}

/*
 * By handle, of name in dirfd, or with an empty name of dirfd itself. Returns -EAGAIN when only an
 * O_PATH descriptor can tell.
 */
static int find_by_handle(struct fuse_thread *thread, int dirfd, const char *name,
                          const struct statx *attributes, struct inode **ret_inode)
{
    struct inode_table *table = thread->server->inodes;
    struct found found = {.fd = -1, .verified = name[0] == '\0'};
    int mount_id;
    if (is_special(attributes->stx_mode & S_IFMT))
        return -EAGAIN;
    if (host_fh_get(dirfd, name, &found.handle, &mount_id) < 0 ||
        (uint64_t)mount_id != attributes->stx_mnt_id || found.handle.length > INODE_HANDLE_MAX)
        return -EAGAIN;
    if (!mounts_take_known(table->mounts, attributes->stx_mnt_id, &found.mount))
        return -EAGAIN;
    found_identity(&found, attributes);
    bool new = false;
    struct inode *inode = find_or_add(thread, &found, &new);
    if (!inode || !new)
        mounts_drop(table->mounts, found.mount);
    if (!inode)
        return -ENFILE;
    *ret_inode = inode;
    return 0;
}

static bool take_handle(struct inode_table *table, struct found *found)
{
    int mount_id;
    if (!mounts_has_handles(table->mounts, found->mount) ||
        host_fh_get(found->fd, "", &found->handle, &mount_id) < 0 ||
        found->handle.length > INODE_HANDLE_MAX)
        found->handle.length = 0;
    return found->handle.length != 0;
}

/*
 * By what the inode will be found again. What the guest opens by itself keeps its descriptor, and
 * needs no handle, but where handles are known to work; if there is no descriptor to be had, a
 * handle has to do. A descriptor that stays counts.
 */
static int take_reference(struct fuse_thread *thread, struct found *found)
{
    struct inode_table *table = thread->server->inodes;
    if (is_special(found->type) && mounts_has_handles(table->mounts, found->mount))
        found->keeps_fd = inode_budget_take(thread->server, &thread->purse) == 0;
    if (found->keeps_fd || take_handle(table, found))
        return 0;
    if (thread->server->settings->file_handles == FILE_HANDLES_MANDATORY)
        return -EOPNOTSUPP;
    int error = inode_budget_take(thread->server, &thread->purse);
    found->keeps_fd = !error;
    return error;
}

/* From an O_PATH descriptor to the inode. found->fd is taken over (then -1) or left. */
static int inode_of_found(struct fuse_thread *thread, struct found *found,
                          const struct statx *attributes, struct inode **ret_inode)
{
    struct inode_table *table = thread->server->inodes;
    found_identity(found, attributes);
    /* Another mount may be for those to learn about who mounted it. */
    if (attributes->stx_mnt_id != mounts_id(table->mounts, MOUNTS_SHARE))
        host_cred_own(&thread->cred);
    int error = mounts_take(table->mounts, found->fd, attributes, &found->mount);
    if (error)
        return error;
    error = take_reference(thread, found);
    if (error) {
        mounts_drop(table->mounts, found->mount);
        return error;
    }
    bool new = false;
    struct inode *inode = find_or_add(thread, found, &new);
    if (!inode && found->unsure && take_handle(table, found))
        inode = find_or_add(thread, found, &new);
    if (!inode || !new)
        mounts_drop(table->mounts, found->mount);
    if (found->keeps_fd && (!inode || !new))
        fd_budget_give(&thread->server->budget, &thread->purse);
    if (!inode)
        return -ENFILE;
    if (!mounts_is_share(inode->mount))
        janitor_wake(thread->server->janitor);
    *ret_inode = inode;
    return 0;
}

/* By descriptor: fd is an O_PATH descriptor, which is taken over. */
static int find_by_descriptor(struct fuse_thread *thread, int fd, const struct statx *attributes,
                              struct inode **ret_inode)
{
    struct found found = {.fd = fd, .verified = true};
    int error = inode_of_found(thread, &found, attributes, ret_inode);
    if (!error && found.fd >= 0 && inode_cache_offer(thread, *ret_inode, found.fd))
        found.fd = -1;
    scope_close(&found.fd);
    return error;
}

static int lookup_by_descriptor(struct fuse_thread *thread, int parent_fd, const char *name,
                                struct inode **ret_inode, struct statx *ret_attributes)
{
    autoclose int fd = -1;
    int error = host_open_path(parent_fd, name, &fd);
    if (!error)
        error = host_stat_fd(fd, ret_attributes);
    return error ? error : find_by_descriptor(thread, steal_fd(&fd), ret_attributes, ret_inode);
}

/* *mount is where the file's directory is mounted, and then where the file is. */
static bool is_known_mount(struct inode_table *table, const struct statx *attributes,
                           uint32_t *mount)
{
    return attributes->stx_mnt_id == mounts_id(table->mounts, *mount) ||
           mounts_find(table->mounts, attributes->stx_mnt_id, mount);
}

static bool is_submount(const struct inode *parent, const struct inode *inode)
{
    return inode->mount != parent->mount && S_ISDIR(inode->type);
}

int inode_lookup(struct fuse_thread *thread, struct inode *parent, const char *name,
                 struct inode **ret_inode, struct statx *ret_attributes, bool *ret_submount)
{
    struct inode_table *table = thread->server->inodes;
    int parent_fd;
    int error = inode_fd(thread, parent, &parent_fd);
    if (error == -ESTALE)
        return -ENOENT; /* there is nothing in a directory that is gone */
    if (!error)
        error = host_stat_name(parent_fd, name, ret_attributes);
    if (error)
        return error;

    struct inode *inode = NULL;
    uint32_t mount = parent->mount;
    if (is_known_mount(table, ret_attributes, &mount)) {
        inode = find_pinned(table, mount, ret_attributes);
        if (!inode)
            inode = find_and_pin(thread, mount, ret_attributes);
    }
    if (!inode) {
        error = -EAGAIN;
        if (!inode_files_vanish(table))
            error = find_by_handle(thread, parent_fd, name, ret_attributes, &inode);
        if (error == -EAGAIN)
            error = lookup_by_descriptor(thread, parent_fd, name, &inode, ret_attributes);
        if (error)
            return error;
    }
    *ret_inode = inode;
    *ret_submount = is_submount(parent, inode);
    return 0;
}

int inode_lookup_special(struct fuse_thread *thread, struct inode *parent, const char *name,
                         struct inode **ret_inode, struct statx *ret_attributes, bool *ret_submount)
{
    int parent_fd;
    int error = inode_fd(thread, parent, &parent_fd);
    if (!error)
        error = lookup_by_descriptor(thread, parent_fd, name, ret_inode, ret_attributes);
    if (!error)
        *ret_submount = is_submount(parent, *ret_inode);
    return error;
}

/* The same, without missing any. */
static struct inode *find_alike_locked(struct inode_table *table, uint32_t mount,
                                       const struct statx *attributes, inode_taker *take)
{
    struct inode_shard *shard =
        inode_shard_of(table, mount, dev_of(attributes), attributes->stx_ino);
    pthread_mutex_lock(&shard->lock);
    struct inode *inode = find_alike(table, mount, attributes, take);
    pthread_mutex_unlock(&shard->lock);
    return inode;
}

/* The inode that the guest knows and that is about to lose its last name, or NULL. */
static struct inode *find_last(struct inode_table *table, const struct inode *parent,
                               const struct statx *attributes, inode_taker *take)
{
    uint32_t mount = parent->mount;
    if (!S_ISDIR(attributes->stx_mode) && attributes->stx_nlink > 1)
        return NULL;
    if (!is_known_mount(table, attributes, &mount))
        return NULL;
    struct inode *inode = find_alike(table, mount, attributes, take);
    return inode ? inode : find_alike_locked(table, mount, attributes, take);
}

/* A descriptor of one that was found held, good until the request ends; -1: there is none. */
static int fd_of_held(struct fuse_thread *thread, struct inode *inode)
{
    const struct inode_table *table = thread->server->inodes;
    int fd = inode_has_fd(inode) ? -1 : handle_take_idle(thread, inode_id(table, inode));
    if (fd >= 0)
        thread_close_later(thread, fd);
    else if (inode_fd(thread, inode, &fd) < 0)
        fd = -1;
    return fd;
}

static struct inode_victim victim_of(struct inode *inode, const struct statx *attributes)
{
    return (struct inode_victim){
        .inode = inode,
        .fd = -1,
        .is_large = S_ISREG(inode->type) && attributes->stx_blocks >= INODE_LARGE / 512,
    };
}

int inode_lookup_last(struct fuse_thread *thread, struct inode *parent, const char *name,
                      struct inode_victim *ret_victim)
{
    struct inode_table *table = thread->server->inodes;
    struct statx attributes;
    struct inode *inode = NULL;
    autoclose int fd = -1;
    int parent_fd;
    int error = inode_fd(thread, parent, &parent_fd);
    /* Attributes are all it takes to find one that has a descriptor; the last one tells which kind
     * is to be expected. */
    if (!error && thread->removes_held) {
        error = host_stat_name(parent_fd, name, &attributes);
        if (!error)
            inode = find_last(table, parent, &attributes, take_held);
        thread->removes_held = inode;
    }
    if (inode) {
        *ret_victim = victim_of(inode, &attributes);
        ret_victim->fd = fd_of_held(thread, inode);
        return 0;
    }
    if (!error)
        error = host_open_path(parent_fd, name, &fd);
    if (!error)
        error = host_stat_fd(fd, &attributes);
    if (!error)
        inode = find_last(table, parent, &attributes, take_in_use);
    if (error || !inode)
        return error ? error : -ENOENT;

    *ret_victim = victim_of(inode, &attributes);
    /* Without a time of birth its number may have been another file's: then the handle tells. */
    if (inode->birth == 0) {
        if (inode_fd(thread, inode, &ret_victim->fd) < 0)
            ret_victim->fd = -1;
        return 0;
    }
    ret_victim->fd = steal_fd(&fd);
    if (!S_ISDIR(inode->type))
        thread->removes_held = is_held(table, inode);
    /* Not for the cache: whoever removes the name makes it the inode's for good (inode_hold()). */
    thread_close_later(thread, ret_victim->fd);
    return 0;
}

int inode_of_file(struct fuse_thread *thread, int fd, struct inode **ret_inode,
                  struct statx *ret_attributes)
{
    int error = host_stat_fd(fd, ret_attributes);
    if (!error)
        error = find_by_handle(thread, fd, "", ret_attributes, ret_inode);
    if (error != -EAGAIN)
        return error;
    autoclose int path_fd = -1;
    error = host_reopen(fd, O_PATH, &path_fd);
    return error ? error
                 : find_by_descriptor(thread, steal_fd(&path_fd), ret_attributes, ret_inode);
}

bool inode_is(const struct inode *inode, const struct statx *attributes)
{
    return inode->ino == attributes->stx_ino && inode->dev == dev_of(attributes) &&
           inode->birth == birth_of(attributes) && inode->type == (attributes->stx_mode & S_IFMT);
}
