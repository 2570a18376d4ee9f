// SPDX-License-Identifier: BSD-3-Clause
#include "opens.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "cachepol.h"
#include "scope.h"
#include "server.h"

/* A quarter of the descriptors at most: the O_PATH cache has half of them. */
#define CACHE_SHARE  4
#define CACHE_MAX    16384u
#define CACHE_MIN    16u

/* How far the hand goes for a cold one before it takes what it points at. */
#define CACHE_SEARCH 64

/* In the words below: used since the hand last came by. Handle numbers leave the bit free. */
#define HOT          (UINT64_C(1) << 31)
_Static_assert(HANDLE_SLOTS <= HOT, "a handle's index must leave the bit free");

/*
 * words[i] is the handle of the inode of slab index i, 0: none. ring holds the indices whose word
 * may be set: each set word is in it once at least, so that its length bounds the descriptors.
 */
struct opens {
    struct fuse_server *server;
    _Atomic uint64_t *words;
    pthread_mutex_t lock; /* guards the ring, and words that become set */
    uint32_t *ring;
    uint32_t capacity;
    uint32_t used;
    uint32_t hand;
};

size_t opens_arena_size(const struct fuse_server *server)
{
    return cachepol_without_open(server->settings) ? (size_t)INODES_MAX * sizeof(uint64_t) : 0;
}

int opens_new(struct fuse_server *server, struct opens **ret_opens)
{
    if (opens_arena_size(server) == 0)
        return 0;
    struct opens *opens = calloc(1, sizeof(*opens));
    if (!opens)
        return -ENOMEM;
    opens->server = server;
    pthread_mutex_init(&opens->lock, NULL);
    opens->capacity = (uint32_t)server->budget.limit / CACHE_SHARE;
    if (opens->capacity > CACHE_MAX)
        opens->capacity = CACHE_MAX;
    if (opens->capacity < CACHE_MIN)
        opens->capacity = CACHE_MIN;
    opens->words = arena_take(server->arena, opens_arena_size(server));
    opens->ring = calloc(opens->capacity, sizeof(*opens->ring));
    if (!opens->words || !opens->ring) {
        opens_free(opens);
        return -ENOMEM;
    }
    *ret_opens = opens;
    return 0;
}

void opens_free(struct opens *opens)
{
    if (!opens)
        return;
    pthread_mutex_destroy(&opens->lock);
    free(opens->ring);
    free(opens);
}

uint64_t opens_unfit_flags(const struct fuse_req *req, uint64_t flags)
{
    const struct fuse_server *server = req->server;
    uint64_t unfit = 0;
    struct inode *root;
    /* Whoever may not open all that the guest may would be refused too late: in READ. */
    if (!server->opens || !host_cred_opens_all(&req->thread->cred) ||
        inode_get(server->inodes, FUSE_ROOT_ID, &root) < 0)
        unfit |= FUSE_NO_OPEN_SUPPORT | FUSE_NO_OPENDIR_SUPPORT;
    else if (!inode_offsets_last(server->inodes, root))
        unfit |= FUSE_NO_OPENDIR_SUPPORT;
    /* Locks belong to open files, and the window's ends are written when one is closed. */
    if (server->dax || (flags & (FUSE_POSIX_LOCKS | FUSE_FLOCK_LOCKS)))
        unfit |= FUSE_NO_OPEN_SUPPORT;
    /* Linux would leave O_TRUNC to the OPEN that it does not send. */
    if (flags & ~unfit & FUSE_NO_OPEN_SUPPORT)
        unfit |= FUSE_ATOMIC_O_TRUNC;
    return unfit;
}

static uint32_t index_of(const struct opens *opens, const struct inode *inode)
{
    return inode_index(opens->server->inodes, inode);
}

void opens_drop(struct opens *opens, const struct inode *inode)
{
    if (!opens)
        return;
    uint64_t word = atomic_exchange(&opens->words[index_of(opens, inode)], 0);
    if (word)
        handle_drop(opens->server->handles, word & ~HOT);
}

/* Finds the inode's cached handle. */
static int find(struct fuse_thread *thread, struct inode *inode, enum handle_kind kind,
                struct handle **ret_handle)
{
    struct opens *opens = thread->server->opens;
    _Atomic uint64_t *slot = &opens->words[index_of(opens, inode)];
    uint64_t word = atomic_load_explicit(slot, memory_order_acquire);
    if (!word || handle_get(thread, kind, word & ~HOT, inode_id(opens->server->inodes, inode),
                            ret_handle) < 0)
        return -ENOENT;
    if (!(word & HOT))
        atomic_compare_exchange_strong(slot, &word, word | HOT);
    return 0;
}

/* Takes a place in the ring. Called with the lock held. Returns a handle to drop, or 0. */
static uint64_t ring_put(struct opens *opens, uint32_t index)
{
    if (opens->used < opens->capacity) {
        opens->ring[opens->used++] = index;
        return 0;
    }
    uint32_t place = opens->hand;
    for (unsigned i = 0; i < CACHE_SEARCH; i++) {
        _Atomic uint64_t *word = &opens->words[opens->ring[place]];
        if (!(atomic_fetch_and(word, ~HOT) & HOT))
            break;
        place = (place + 1) % opens->capacity;
    }
    opens->hand = (place + 1) % opens->capacity;
    uint64_t evicted = atomic_exchange(&opens->words[opens->ring[place]], 0);
    opens->ring[place] = index;
    return evicted & ~HOT;
}

/* Makes fh the inode's handle, unless another thread was faster or the inode is given up. */
static void keep(struct opens *opens, struct inode *inode, uint64_t fh)
{
    struct handle_table *handles = opens->server->handles;
    uint32_t index = index_of(opens, inode);
    pthread_mutex_lock(&opens->lock);
    uint64_t evicted = ring_put(opens, index);
    uint64_t before = atomic_exchange(&opens->words[index], fh);
    pthread_mutex_unlock(&opens->lock);
    /* The descriptors are closed when the requests that use them have ended: ours is one. */
    if (evicted)
        handle_drop(handles, evicted);
    if (before)
        handle_drop(handles, before & ~HOT);
    if (atomic_load(&inode->generation) == 0)
        opens_drop(opens, inode);
}

/* Without a place in the budget: a descriptor for this request alone, from what threads may have.
 */
static int reader_for_now(struct fuse_req *req, struct inode *inode, int flags,
                          struct handle **ret_handle)
{
    struct handle *handle = &req->thread->unopened;
    int error = inode_open(req->thread, inode, flags, &handle->fd);
    if (error)
        return error;
    thread_close_later(req->thread, handle->fd);
    handle->position = 0;
    *ret_handle = handle;
    return 0;
}

/* A handle to read with: the cached one, or a new one, which is then cached. */
static int reader(struct fuse_req *req, struct inode *inode, enum handle_kind kind,
                  struct handle **ret_handle)
{
    struct fuse_server *server = req->server;
    if (find(req->thread, inode, kind, ret_handle) == 0)
        return 0;
    int flags = kind == HANDLE_DIR ? O_RDONLY | O_DIRECTORY : O_RDONLY;
    uint64_t nodeid = inode_id(server->inodes, inode);
    uint64_t fh;
    if (inode_budget_take(server, &req->thread->purse) < 0)
        return reader_for_now(req, inode, flags, ret_handle);
    autoclose int fd = -1;
    int error = inode_open(req->thread, inode, flags, &fd);
    if (!error)
        error = handle_new(req->thread, kind, fd, (uint32_t)flags, nodeid, &fh);
    if (error) {
        fd_budget_give(&server->budget, &req->thread->purse);
        return error;
    }
    (void)steal_fd(&fd);
    error = handle_get(req->thread, kind, fh, nodeid, ret_handle);
    keep(server->opens, inode, fh);
    return error;
}

/* A descriptor to write with, for this request alone. */
static int writer(struct fuse_req *req, struct inode *inode, int *ret_fd)
{
    /* What a file system would say at close reaches nobody: so it has to say it at once. */
    int flags = O_WRONLY | (inode_closes_silently(req->server->inodes, inode) ? 0 : O_DSYNC);
    int error = inode_open(req->thread, inode, flags, ret_fd);
    if (!error)
        thread_close_later(req->thread, *ret_fd);
    return error;
}

bool opens_is_none(const struct fuse_req *req, uint64_t fh)
{
    return fh == 0 && session_has(&req->server->session, FUSE_NO_OPEN_SUPPORT);
}

int opens_file(struct fuse_req *req, uint64_t nodeid, uint64_t fh, bool write, int *ret_fd)
{
    struct handle *handle;
    if (!opens_is_none(req, fh)) {
        int error = handle_get(req->thread, HANDLE_FILE, fh, nodeid, &handle);
        if (!error)
            *ret_fd = handle->fd;
        return error;
    }
    struct inode *inode;
    int error = inode_get(req->server->inodes, nodeid, &inode);
    if (error)
        return error;
    if (!S_ISREG(inode->type))
        return -EBADF;
    if (write)
        return writer(req, inode, ret_fd);
    error = reader(req, inode, HANDLE_FILE, &handle);
    if (!error)
        *ret_fd = handle->fd;
    return error;
}

int opens_dir(struct fuse_req *req, uint64_t fh, struct handle **ret_handle)
{
    if (fh != 0 || !session_has(&req->server->session, FUSE_NO_OPENDIR_SUPPORT))
        return handle_get(req->thread, HANDLE_DIR, fh, req->header.nodeid, ret_handle);
    return S_ISDIR(req->inode->type) ? reader(req, req->inode, HANDLE_DIR, ret_handle) : -EBADF;
}

int opens_fd(struct fuse_req *req, enum handle_kind kind, uint64_t fh, int *ret_fd)
{
    if (kind == HANDLE_FILE)
        return opens_file(req, req->header.nodeid, fh, false, ret_fd);
    struct handle *handle;
    int error = opens_dir(req, fh, &handle);
    if (!error)
        *ret_fd = handle->fd;
    return error;
}
