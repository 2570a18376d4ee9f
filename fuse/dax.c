// SPDX-License-Identifier: BSD-3-Clause
/* The window as a whole: its life, and what requests do to the ranges of a file. */
#include "dax.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "arena.h"
#include "dax_table.h"
#include "fuse_abi.h"
#include "host_path.h"
#include "log.h"
#include "scope.h"
#include "server.h"

static uint32_t ranges_of(const struct settings *settings)
{
    return (uint32_t)(settings->dax_window / DAX_RANGE_SIZE);
}

size_t dax_arena_size(const struct settings *settings)
{
    if (settings->dax_window == 0)
        return 0;
    /* Each table starts on a page. */
    return ranges_of(settings) * sizeof(struct dax_range) +
           DAX_BUCKETS * sizeof(struct dax_bucket) + 2 * DAX_PAGE;
}

/* As long as the window, sealed: whoever gets the descriptor can neither cut it nor make it grow.
 */
static int make_memory(uint64_t size, int *ret_fd, char **ret_address)
{
    autoclose int fd = memfd_create("viofsd-dax", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || ftruncate(fd, (off_t)size) < 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        return -errno;
    void *address = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
    if (address == MAP_FAILED)
        return -errno;
    madvise(address, size, MADV_DONTDUMP);
    *ret_address = address;
    *ret_fd = steal_fd(&fd);
    return 0;
}

static int make_mirror(struct dax *dax)
{
    void *address =
        mmap(NULL, dax->size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (address == MAP_FAILED)
        return -errno;
    dax->mirror = address;
    return 0;
}

/* Everything is as large as the window, and takes memory where it is used. */
static int make_areas(struct dax *dax)
{
    int error = make_memory(dax->size, &dax->tail_fd, &dax->tail);
    if (!error)
        error = make_memory(dax->size, &dax->common_fd, &dax->common);
    return error ? error : make_mirror(dax);
}

int dax_new(struct fuse_server *server, struct dax **ret_dax)
{
    if (server->settings->dax_window == 0)
        return 0;
    if (sysconf(_SC_PAGESIZE) != (long)DAX_PAGE) {
        log_error("--dax-window: pages of %llu bytes are needed", (unsigned long long)DAX_PAGE);
        return -EOPNOTSUPP;
    }
    struct dax *dax = calloc(1, sizeof(*dax));
    if (!dax)
        return -ENOMEM;
    dax->server = server;
    dax->size = server->settings->dax_window;
    dax->range_count = ranges_of(server->settings);
    dax->tail_fd = -1;
    dax->common_fd = -1;
    dax->ranges = arena_take(server->arena, dax->range_count * sizeof(*dax->ranges));
    dax->buckets = arena_take(server->arena, DAX_BUCKETS * sizeof(*dax->buckets));
    for (unsigned i = 0; i < DAX_LOCKS; i++)
        pthread_mutex_init(&dax->locks[i], NULL);
    pthread_mutex_init(&dax->mirror_lock, NULL);
    int error = dax->ranges && dax->buckets ? make_areas(dax) : -ENOMEM;
    if (error) {
        dax_free(dax);
        return error;
    }
    *ret_dax = dax;
    return 0;
}

static void release_area(char *address, uint64_t size)
{
    if (address)
        munmap(address, size);
}

void dax_free(struct dax *dax)
{
    if (!dax)
        return;
    dax_keeper_stop(dax);
    release_area(dax->tail, dax->size);
    release_area(dax->common, dax->size);
    release_area(dax->mirror, dax->size);
    scope_close(&dax->tail_fd);
    scope_close(&dax->common_fd);
    free(dax);
}

void fuse_server_set_mapper(struct fuse_server *server, const struct dax_mapper *mapper)
{
    struct dax *dax = server->dax;
    if (!dax)
        return;
    dax_keeper_stop(dax);
    dax->mapper = mapper ? *mapper : (struct dax_mapper){0};
    atomic_store(&dax->exact, dax->mapper.exact);
    if (mapper) {
        int error = dax_keeper_start(dax);
        if (error)
            log_error("DAX: there is no thread to look after files: %s", strerrordesc_np(-error));
        return;
    }
    /* Another front-end has another window. */
    for (uint32_t i = 0; i < dax->range_count; i++) {
        dax->ranges[i].doubt_real = 0;
        dax->ranges[i].doubt_tail = 0;
    }
}

char *fuse_server_window(const struct fuse_server *server)
{
    return server->dax ? server->dax->mirror : NULL;
}

uint64_t dax_init_flags(const struct fuse_server *server)
{
    const struct dax *dax = server->dax;
    return dax && dax->mapper.window_size ? FUSE_MAP_ALIGNMENT | FUSE_HAS_INODE_DAX : 0;
}

static unsigned hash(uint64_t nodeid)
{
    return (unsigned)((nodeid * UINT64_C(0x9e3779b97f4a7c15)) >> 54) % DAX_BUCKETS;
}

pthread_mutex_t *dax_lock_of(struct dax *dax, uint64_t nodeid)
{
    return &dax->locks[hash(nodeid) % DAX_LOCKS];
}

struct dax_bucket *dax_bucket_of(const struct dax *dax, uint64_t nodeid)
{
    return &dax->buckets[hash(nodeid)];
}

static struct dax_range *range_of(const struct dax *dax, uint32_t link)
{
    return link ? &dax->ranges[link - 1] : NULL;
}

/* Takes the range away from whichever file has it. Returns 0 or the front-end's error. */
static int evict(struct fuse_thread *thread, struct dax_range *range, bool ask)
{
    struct dax *dax = thread->server->dax;
    uint64_t owner = atomic_load(&range->nodeid);
    if (owner == 0)
        return 0;
    struct inode *inode = NULL;
    /* One that the guest has forgotten has nothing that could be saved. */
    int known = inode_get(thread->server->inodes, owner, &inode);
    struct dax_file file = DAX_FILE(thread, inode);
    pthread_mutex_t *lock = dax_lock_of(dax, owner);
    pthread_mutex_lock(lock);
    int error = 0;
    if (atomic_load(&range->nodeid) == owner) {
        if (known < 0)
            range->flags &= ~DAX_STORES;
        error = dax_release(dax, range, &file, ask);
    }
    pthread_mutex_unlock(lock);
    dax_file_close(&file);
    return error;
}

/* The file's lock is held, and the range is the file's or free. */
static int fill(struct dax *dax, struct dax_range *range, struct dax_file *file, uint64_t nodeid,
                uint64_t block, bool stores)
{
    int error = 0;
    if (atomic_load(&range->nodeid) == nodeid && range->block != block)
        error = dax_release(dax, range, file, true);
    bool fresh = !error && atomic_load(&range->nodeid) != nodeid;
    if (fresh)
        error = dax_claim(dax, range, nodeid, block);
    if (error)
        return error;
    struct statx attributes;
    if (stores)
        error = dax_upgrade(dax, range, file);
    if (!error)
        error = dax_file_stat(file, &attributes);
    if (!error)
        error = dax_cover(dax, range, file, &attributes, 0);
    /* After a stop the guest comes again; what was done is not lost. */
    if (error && error != -REQ_STOPPED && fresh)
        dax_release(dax, range, file, true);
    if (error == -EAGAIN)
        dax_doubt(file->inode, true);
    return error;
}

static int map_range(struct fuse_thread *thread, struct inode *inode, uint64_t block,
                     struct dax_range *range, bool stores)
{
    struct dax *dax = thread->server->dax;
    uint64_t nodeid = inode_id(thread->server->inodes, inode);
    struct dax_file file = DAX_FILE(thread, inode);
    pthread_mutex_t *lock = dax_lock_of(dax, nodeid);

    /* A guest that maps over what it has mapped has forgotten about that. */
    uint64_t owner = atomic_load(&range->nodeid);
    int error = owner != nodeid ? evict(thread, range, true) : 0;
    if (error)
        return error;
    pthread_mutex_lock(lock);
    owner = atomic_load(&range->nodeid);
    error = owner == 0 || owner == nodeid ? fill(dax, range, &file, nodeid, block, stores)
                                          : -EAGAIN; /* two requests want the same place at once */
    pthread_mutex_unlock(lock);
    dax_file_close(&file);
    return error;
}

int dax_map(struct fuse_thread *thread, struct inode *inode, uint64_t offset,
            uint64_t window_offset, uint64_t length, bool stores)
{
    struct dax *dax = thread->server->dax;
    uint64_t block = offset >> DAX_RANGE_SHIFT;
    uint32_t first = (uint32_t)(window_offset >> DAX_RANGE_SHIFT);
    for (uint32_t i = 0; i < length >> DAX_RANGE_SHIFT; i++) {
        int error = map_range(thread, inode, block + i, &dax->ranges[first + i], stores);
        if (error) {
            if (error != -REQ_STOPPED)
                dax_unmap(thread, window_offset, (uint64_t)i << DAX_RANGE_SHIFT);
            return error;
        }
    }
    return 0;
}

int dax_unmap(struct fuse_thread *thread, uint64_t window_offset, uint64_t length)
{
    struct dax *dax = thread->server->dax;
    uint32_t first = (uint32_t)(window_offset >> DAX_RANGE_SHIFT);
    int result = 0;
    for (uint32_t i = 0; i < length >> DAX_RANGE_SHIFT; i++) {
        int error = evict(thread, &dax->ranges[first + i], true);
        if (error == -REQ_STOPPED)
            return error;
        if (error)
            result = error;
    }
    return result;
}

/* What is done to each range of a file. */
typedef int visit(struct dax *dax, struct dax_range *range, struct dax_file *file,
                  const void *argument);

static int visit_chain(struct dax *dax, _Atomic uint32_t *head, uint64_t nodeid,
                       struct dax_file *file, visit *visitor, const void *argument)
{
    int result = 0;
    struct dax_range *next;
    for (struct dax_range *range = range_of(dax, atomic_load(head)); range; range = next) {
        next = range_of(dax, range->next); /* the visit may move the range to the other chain */
        if (atomic_load(&range->nodeid) != nodeid)
            continue;
        int error = visitor(dax, range, file, argument);
        if (error)
            result = error;
    }
    return result;
}

/* all: also those that are whole. */
static int visit_ranges(struct fuse_thread *thread, struct inode *inode, bool all, visit *visitor,
                        const void *argument)
{
    struct dax *dax = thread->server->dax;
    if (!dax || atomic_load_explicit(&dax->in_use, memory_order_acquire) == 0)
        return 0;
    uint64_t nodeid = inode_id(thread->server->inodes, inode);
    struct dax_bucket *bucket = dax_bucket_of(dax, nodeid);
    if (atomic_load(&bucket->open) == 0 && !(all && atomic_load(&bucket->whole)))
        return 0;

    struct dax_file file = DAX_FILE(thread, inode);
    pthread_mutex_t *lock = dax_lock_of(dax, nodeid);
    pthread_mutex_lock(lock);
    /* The whole ones first: a visit may open them, which puts them into the other chain. */
    int error = all ? visit_chain(dax, &bucket->whole, nodeid, &file, visitor, argument) : 0;
    int other = visit_chain(dax, &bucket->open, nodeid, &file, visitor, argument);
    pthread_mutex_unlock(lock);
    dax_file_close(&file);
    return error ? error : other;
}

/* Both directions, for a file that is open. promised: as for dax_cover(). */
static int step(struct dax *dax, struct dax_range *range, struct dax_file *file, uint64_t promised)
{
    struct statx now;
    int error = dax_file_stat(file, &now);
    if (!error)
        error = dax_tail_pull(dax, range, file, now.stx_size);
    if (!error)
        error = dax_cover(dax, range, file, &now, promised);
    if (!error && (range->flags & DAX_TAIL))
        error = dax_tail_push(dax, range, file, &now);
    return error;
}

/* An attempt: what cannot be written now stays where it is, and FSYNC and FLUSH will say why. */
static int visit_save(struct dax *dax, struct dax_range *range, struct dax_file *file,
                      const void *argument)
{
    (void)argument;
    struct statx now;
    if (!dax_tail_dirty(dax, range))
        return 0;
    int error = dax_file_stat(file, &now);
    if (!error)
        error = dax_tail_pull(dax, range, file, now.stx_size);
    if (!error)
        return 1;
    log_limited(LOG_LEVEL_WARN, "DAX: the end of a file cannot be written: %s",
                strerrordesc_np(-error));
    return 0;
}

static int visit_any(struct dax *dax, struct dax_range *range, struct dax_file *file,
                     const void *argument)
{
    (void)dax, (void)range, (void)file, (void)argument;
    return 1;
}

static int visit_tell(struct dax *dax, struct dax_range *range, struct dax_file *file,
                      const void *argument)
{
    const struct statx *told = argument;
    if (range->flags & DAX_TAIL) {
        if (range->size == told->stx_size && range->changed == dax_time_of_change(told))
            return 0;
    } else if (dax_within(range, told->stx_size) <= range->real * DAX_PAGE) {
        return 0;
    }
    /* The file may be longer than told by now, which does no harm, or shorter, which the guest will
     * see. */
    struct statx now;
    int error = dax_file_stat(file, &now);
    if (!error)
        error = dax_cover(dax, range, file, &now, told->stx_size);
    if (!error && (range->flags & DAX_TAIL))
        error = dax_tail_push(dax, range, file, &now);
    return error;
}

int dax_tell(struct fuse_thread *thread, struct inode *inode, struct statx *attributes)
{
    int saved = visit_ranges(thread, inode, false, visit_save, NULL);
    if (saved > 0) {
        int fd;
        int error = inode_fd(thread, inode, &fd);
        if (!error)
            error = host_stat_fd(fd, attributes);
        if (error)
            return error;
    }
    return visit_ranges(thread, inode, false, visit_tell, attributes);
}

static int visit_before(struct dax *dax, struct dax_range *range, struct dax_file *file,
                        const void *argument)
{
    const uint64_t *end = argument;
    if (*end == 0)
        return dax_tail_dirty(dax, range) ? step(dax, range, file, 0) : 0;
    struct statx now;
    int error = dax_file_stat(file, &now);
    if (!error && *end > now.stx_size)
        dax_doubt(file->inode, false);
    return error ? error : step(dax, range, file, *end);
}

int dax_before(struct fuse_thread *thread, struct inode *inode, uint64_t end)
{
    return visit_ranges(thread, inode, false, visit_before, &end);
}

/*
 * What the request has done cannot be done again. All that the guest knows of after it was mapped
 * before it, unless the range is new since; what the host has added is, before the guest is told.
 */
static int visit_after(struct dax *dax, struct dax_range *range, struct dax_file *file,
                       const void *argument)
{
    const uint64_t *end = argument;
    struct statx now;
    range->limit = UINT64_MAX;
    range->changed = 0; /* whatever the clock says: it was changed just now */
    int error = step(dax, range, file, 0);
    if (error != -REQ_STOPPED)
        return error == -EAGAIN ? -EIO : error;
    error = dax_file_stat(file, &now);
    if (error)
        return error;
    uint64_t told = *end < now.stx_size ? *end : now.stx_size;
    if (dax_is_covered(range, told))
        return 0;
    dax_keeper_wake(dax);
    return -EIO;
}

int dax_after(struct fuse_thread *thread, struct inode *inode, uint64_t end)
{
    return visit_ranges(thread, inode, false, visit_after, &end);
}

int dax_flush_all(struct fuse_thread *thread)
{
    struct dax *dax = thread->server->dax;
    int result = 0;
    for (uint32_t i = 0; dax && i < dax->range_count && atomic_load(&dax->in_use); i++) {
        struct inode *inode;
        uint64_t nodeid = atomic_load(&dax->ranges[i].nodeid);
        if (nodeid == 0 || inode_get(thread->server->inodes, nodeid, &inode) < 0)
            continue;
        int error = dax_before(thread, inode, 0);
        if (error)
            result = error;
    }
    return result;
}

bool dax_is_mapped(struct fuse_thread *thread, struct inode *inode)
{
    return visit_ranges(thread, inode, true, visit_any, NULL) > 0;
}

/*
 * Where the front-end maps past the end of files, mappings stay as they are: cut pages are no other
 * than those that were never there. Elsewhere real pages that are cut are taken away, and what is
 * left of their range is mapped again at once: the less time between the two, the better for a
 * guest whose kernel does not keep everybody away from the file.
 */
static int visit_before_resize(struct dax *dax, struct dax_range *range, struct dax_file *file,
                               const void *argument)
{
    const struct statx *after = argument;
    uint64_t left = dax_within(range, after->stx_size);
    bool keeps_pages = left && left >= range->real * DAX_PAGE;
    range->limit = after->stx_size;
    int error = keeps_pages ? 0 : dax_uncover(dax, range, file, true);
    /* Also what this request took away when it was stopped the last time. */
    if (!error)
        error = dax_cover(dax, range, file, after, 0);
    if (error)
        dax_keeper_wake(dax);
    return error;
}

int dax_before_resize(struct fuse_thread *thread, struct inode *inode, uint64_t size)
{
    struct dax *dax = thread->server->dax;
    struct statx attributes;
    int fd;
    if (!dax || atomic_load(&dax->in_use) == 0)
        return 0;
    int error = inode_fd(thread, inode, &fd);
    if (!error)
        error = host_stat_fd(fd, &attributes);
    if (error)
        return error;
    if (size >= attributes.stx_size)
        return dax_before(thread, inode, size);
    attributes.stx_size = size;
    return atomic_load(&dax->exact)
               ? visit_ranges(thread, inode, true, visit_before_resize, &attributes)
               : 0;
}

void dax_end(struct fuse_thread *thread, bool unmap)
{
    struct dax *dax = thread->server->dax;
    if (!dax)
        return;
    for (uint32_t i = 0; i < dax->range_count && atomic_load(&dax->in_use); i++) {
        if (evict(thread, &dax->ranges[i], unmap) == -REQ_STOPPED)
            evict(thread, &dax->ranges[i], false);
    }
    unsigned long long mapped = atomic_exchange(&dax->counters.mapped, 0);
    unsigned long long removed = atomic_exchange(&dax->counters.removed, 0);
    unsigned long long tails = atomic_exchange(&dax->counters.tails, 0);
    unsigned long long refused = atomic_exchange(&dax->counters.refused, 0);
    if (mapped || refused)
        log_info("DAX: %llu ranges mapped, %llu removed; %llu tails, %llu mappings refused", mapped,
                 removed, tails, refused);
}
