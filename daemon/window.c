// SPDX-License-Identifier: BSD-3-Clause
#include "window.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuse_server.h"
#include "log.h"

/* Nobody has an object of this name, so nobody is found to have it. */
static const struct vu_shared_object no_object = {{0x5c, 0x1e, 0x07, 0x92, 0x6b, 0xd3, 0x4f, 0x4a,
                                                   0x9d, 0x20, 0xe1, 0x7c, 0x33, 0xb8, 0x64, 0xf5}};

void dax_window_init(struct dax_window *window, const struct settings *settings,
                     struct fuse_server *server, struct backchan *channel)
{
    *window = (struct dax_window){.settings = settings, .server = server, .channel = channel};
    if (settings->dax_window) {
        window->place.size = settings->dax_window;
        window->place.host = fuse_server_window(server);
    }
    dax_window_forget_place(window);
    pthread_mutex_init(&window->lock, NULL);
}

void dax_window_destroy(struct dax_window *window)
{
    pthread_mutex_destroy(&window->lock);
}

bool dax_window_offers_shmem(const struct settings *settings)
{
    /* The configuration space must be ours: front-ends that ask for windows ask for that, too. */
    return settings->dax_window && settings->dax_protocol != DAX_PROTOCOL_FS_MAP && settings->tag;
}

/* A mapping that the front-end may show us again. Before it is asked for. */
static void remember(struct dax_window *window, const struct dax_mapping *mapping)
{
    struct stat st;

    if (fstat(mapping->fd, &st) < 0)
        return;
    pthread_mutex_lock(&window->lock);
    window->latest[window->next] = (struct dax_latest){
        .device = st.st_dev,
        .inode = st.st_ino,
        .fd_offset = mapping->fd_offset,
        .window_offset = mapping->window_offset,
        .length = mapping->length,
    };
    window->next = (window->next + 1) % DAX_LATEST_MAX;
    pthread_mutex_unlock(&window->lock);
}

/* The guest may get an error for it, for which there is no other reason to be found. */
static void log_refusal(const struct dax_mapping *mapping, bool asked)
{
    const char *who = asked ? "the front-end refuses to" : "the front-end cannot be asked to";
    unsigned long long length = mapping->length, offset = mapping->window_offset;

    if (mapping->fd < 0)
        log_limited(LOG_LEVEL_WARN, "%s take %llu bytes at %llu out of the DAX window", who, length,
                    offset);
    else
        log_limited(LOG_LEVEL_WARN, "%s map %llu bytes at %llu of the DAX window, %llu of a file%s",
                    who, length, offset, (unsigned long long)mapping->fd_offset,
                    mapping->writable ? "" : ", read-only");
}

/*
 * Asks, and counts what came of it. mapping is what it is about; it has no file (fd -1) if it is
 * to be taken away. requests[0] is the one that may be refused.
 */
static int ask(struct dax_window *window, const struct dax_mapping *mapping,
               const struct backchan_request *requests, unsigned count)
{
    uint64_t value;

    int rc = backchan_ask(window->channel, requests, count, &value);
    bool refused = rc == 0 && value;
    if (refused || rc == -EAGAIN) {
        log_refusal(mapping, refused);
        atomic_fetch_add_explicit(&window->refusals, 1, memory_order_relaxed);
        return -EAGAIN;
    }
    if (rc == 0)
        atomic_fetch_add_explicit(mapping->fd < 0 ? &window->unmaps : &window->maps, 1,
                                  memory_order_relaxed);
    return rc;
}

/*
 * QEMU answers SHMEM_MAP first and then makes the mapping part of the guest's memory; only after
 * that, memory table included, does it look at its next request. So the answer to a request that
 * follows at once, and which changes nothing, says that the guest sees the mapping.
 */
static int shmem_map(void *owner, const struct dax_mapping *mapping)
{
    struct dax_window *window = owner;
    struct vu_shmem_map map = {
        .shmid = DAX_SHMID,
        .fd_offset = mapping->fd_offset,
        .shm_offset = mapping->window_offset,
        .length = mapping->length,
        .flags = mapping->writable ? VU_SHMEM_MAP_RW : 0,
    };
    struct backchan_request requests[] = {
        {VU_BACKEND_SHMEM_MAP, &map, sizeof(map), mapping->fd, window->exact},
        {VU_BACKEND_SHARED_OBJECT_LOOKUP, &no_object, sizeof(no_object), -1, false},
    };

    remember(window, mapping);
    return ask(window, mapping, requests, window->exact ? 2 : 1);
}

static int shmem_unmap(void *owner, uint64_t window_offset, uint64_t length)
{
    struct dax_window *window = owner;
    struct vu_shmem_map map = {.shmid = DAX_SHMID, .shm_offset = window_offset, .length = length};
    struct backchan_request request = {VU_BACKEND_SHMEM_UNMAP, &map, sizeof(map), -1,
                                       window->exact};
    struct dax_mapping mapping = {.fd = -1, .window_offset = window_offset, .length = length};

    return ask(window, &mapping, &request, 1);
}

static int fs_map(void *owner, const struct dax_mapping *mapping)
{
    struct dax_window *window = owner;
    struct vu_fs_map map = {
        .fd_offset[0] = mapping->fd_offset,
        .cache_offset[0] = mapping->window_offset,
        .length[0] = mapping->length,
        .flags[0] = VU_FS_MAP_READ | (mapping->writable ? VU_FS_MAP_WRITE : 0),
    };
    struct backchan_request request = {VU_BACKEND_FS_MAP, &map, sizeof(map), mapping->fd, false};

    remember(window, mapping);
    return ask(window, mapping, &request, 1);
}

static int fs_unmap(void *owner, uint64_t window_offset, uint64_t length)
{
    struct dax_window *window = owner;
    struct vu_fs_map map = {.cache_offset[0] = window_offset, .length[0] = length};
    struct backchan_request request = {VU_BACKEND_FS_UNMAP, &map, sizeof(map), -1, false};
    struct dax_mapping mapping = {.fd = -1, .window_offset = window_offset, .length = length};

    return ask(window, &mapping, &request, 1);
}

static bool has(uint64_t features, unsigned bit)
{
    return features & VU_BIT(bit);
}

/* Finds the way to the front-end. Returns NULL, or why there is none. */
static const char *find_way(const struct dax_window *window, uint64_t features,
                            enum dax_way *ret_way)
{
    const struct settings *settings = window->settings;
    bool shmem = has(features, VU_PROTOCOL_F_SHMEM);

    if (!has(features, VU_PROTOCOL_F_REPLY_ACK))
        return "REPLY_ACK is not negotiated";
    if (!has(features, VU_PROTOCOL_F_BACKEND_REQ) || !backchan_is_open(window->channel))
        return "there is no channel for requests to it";
    if (shmem && window->config_asked) {
        *ret_way = DAX_WAY_SHMEM;
        return NULL;
    }
    if (shmem)
        return "it has not asked for the size of the window";
    if (settings->dax_protocol == DAX_PROTOCOL_SHMEM)
        return settings->tag ? "SHMEM is not negotiated" : "SHMEM needs --tag";
    /* One that knows the other feature of the newer kind has never heard of the old messages. */
    if (!has(features, VU_PROTOCOL_F_BACKEND_SEND_FD) || has(features, VU_PROTOCOL_F_SHARED_OBJECT))
        return "neither SHMEM nor BACKEND_SEND_FD is negotiated";
    *ret_way = DAX_WAY_FS_MAP;
    return NULL;
}

void dax_window_settle(struct dax_window *window, uint64_t features)
{
    enum dax_way way = DAX_WAY_NONE;

    if (window->settings->dax_window == 0)
        return;
    const char *fault = find_way(window, features, &way);
    bool exact = way == DAX_WAY_SHMEM && has(features, VU_PROTOCOL_F_SHARED_OBJECT);
    if (window->decided && window->way == way && window->exact == exact)
        return;
    window->decided = true;
    window->way = way;
    window->exact = exact;
    if (fault) {
        log_info("the front-end has no DAX window (%s): plain virtio-fs", fault);
        fuse_server_set_mapper(window->server, NULL);
        return;
    }
    struct dax_mapper mapper = {
        .owner = window,
        .window_size = window->settings->dax_window,
        .exact = exact,
        .map = way == DAX_WAY_SHMEM ? shmem_map : fs_map,
        .unmap = way == DAX_WAY_SHMEM ? shmem_unmap : fs_unmap,
    };
    log_info("a DAX window of %llu MiB by %s%s", (unsigned long long)(mapper.window_size >> 20),
             way == DAX_WAY_SHMEM ? "SHMEM_MAP" : "FS_MAP", exact ? ", whole pages only" : "");
    fuse_server_set_mapper(window->server, &mapper);
}

void dax_window_leave(struct dax_window *window)
{
    if (window->way == DAX_WAY_NONE)
        return;
    window->way = DAX_WAY_NONE;
    fuse_server_set_mapper(window->server, NULL);
    log_info("DAX window: %lu mappings made, %lu taken away, %lu requests refused by the front-end",
             atomic_load(&window->maps), atomic_load(&window->unmaps),
             atomic_load(&window->refusals));
}

const struct virtq_window *dax_window_place(const struct dax_window *window)
{
    return window->way == DAX_WAY_NONE ? NULL : &window->place;
}

/* Where the window would be if this mapping were at that guest address. */
static bool place_of(const struct dax_window *window, const struct dax_latest *latest,
                     uint64_t guest_address, uint64_t *ret_base)
{
    uint64_t base = guest_address - latest->window_offset;

    if (guest_address < latest->window_offset || base > UINT64_MAX - window->place.size ||
        base % (uint64_t)sysconf(_SC_PAGESIZE))
        return false;
    *ret_base = base;
    return true;
}

/*
 * lock held. Looks for mappings that are this region, the newest first. True when one says that
 * the window is at *base; otherwise *base is where the newest says, if there is one.
 */
static bool confirm_place(const struct dax_window *window, const struct vu_memory_region *region,
                          const struct stat *st, uint64_t known, uint64_t *base)
{
    bool found = false;

    for (unsigned i = 1; i <= DAX_LATEST_MAX; i++) {
        const struct dax_latest *latest =
            &window->latest[(window->next + DAX_LATEST_MAX - i) % DAX_LATEST_MAX];
        uint64_t candidate;

        if (latest->length == 0)
            break;
        if (latest->length != region->size || latest->fd_offset != region->mmap_offset ||
            latest->inode != st->st_ino || latest->device != st->st_dev ||
            !place_of(window, latest, region->guest_address, &candidate))
            continue;
        if (candidate == known)
            return true;
        if (!found)
            *base = candidate;
        found = true;
    }
    return false;
}

/* Finds out where the window is, if the table says anything about that. */
static void learn_place(struct dax_window *window, const struct vu_memory_region *regions,
                        const int *fds, unsigned count)
{
    uint64_t known = atomic_load_explicit(&window->place.base, memory_order_relaxed);
    uint64_t base = known;

    for (unsigned i = 0; i < count; i++) {
        struct stat st;

        if (fstat(fds[i], &st) < 0)
            continue;
        pthread_mutex_lock(&window->lock);
        bool confirmed = confirm_place(window, &regions[i], &st, known, &base);
        pthread_mutex_unlock(&window->lock);
        if (confirmed)
            return;
    }
    if (base == known)
        return;
    log_debug("the DAX window is at 0x%llx of guest memory", (unsigned long long)base);
    atomic_store_explicit(&window->place.base, base, memory_order_relaxed);
}

bool dax_window_covers(const struct dax_window *window, const struct vu_memory_region *region)
{
    return virtq_window_find(&window->place, region->guest_address, region->size);
}

unsigned dax_window_filter(struct dax_window *window, struct vu_memory_region *regions, int *fds,
                           unsigned count, bool complete)
{
    unsigned kept = 0;

    if (window->way == DAX_WAY_NONE)
        return count;
    learn_place(window, regions, fds, count);
    for (unsigned i = 0; i < count; i++) {
        if (dax_window_covers(window, &regions[i]))
            continue;
        regions[kept] = regions[i];
        fds[kept++] = fds[i];
    }
    if (complete && kept == count)
        dax_window_forget_place(window);
    return kept;
}

void dax_window_forget_place(struct dax_window *window)
{
    atomic_store_explicit(&window->place.base, VIRTQ_WINDOW_NOWHERE, memory_order_relaxed);
}
