// SPDX-License-Identifier: BSD-3-Clause
/*
 * From a chain of guest memory to a handler and back: the columns of opcodes.def are enforced
 * here, and nowhere else. What a handler sees has been copied once, is long enough, comes in the
 * right state, and names an inode that the guest knows.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "bare_call.h"
#include "host_io.h"
#include "log.h"
#include "server.h"

enum {
    F_ANY_STATE = 1 << 0,
    F_NO_REPLY = 1 << 1,
    F_MODIFIES = 1 << 2,
    F_TAIL = 1 << 3,
    F_MAY_BLOCK = 1 << 4,
    F_NO_NODE = 1 << 5,
    F_RESTARTS = 1 << 6,
    F_IN_ORDER = 1 << 7,
    F_ANYBODY = 1 << 8,
    F_BLOCKS = 1 << 9,
};

struct opcode_row {
    fuse_op *handler; /* NULL: not served */
    const char *name;
    uint16_t args_size;
    uint16_t flags;
};

static const struct opcode_row rows[] = {
#define OPCODE(number, label, function, size, bits) \
    [number] = {.handler = function, .name = #label, .args_size = size, .flags = bits},
#include "opcodes.def"
#undef OPCODE
};

#define OPCODE(number, label, function, size, bits) \
    _Static_assert((size) <= FUSE_ARGS_MAX, "FUSE_ARGS_MAX is too small for " #label);
#include "opcodes.def"
#undef OPCODE

static const struct opcode_row *row_of(uint32_t opcode)
{
    if (opcode >= sizeof(rows) / sizeof(rows[0]) || !rows[opcode].handler)
        return NULL;
    return &rows[opcode];
}

const char *opcode_name(uint32_t opcode)
{
    const struct opcode_row *row = row_of(opcode);
    return row ? row->name : NULL;
}

/* Takes the header, and holds the request to the length that it states. */
static int take_header(struct wire_in *in, struct fuse_in_header *header)
{
    size_t whole = in->left;
    int error = wire_in_copy(in, header, sizeof(*header));
    if (error)
        return error;
    if (header->len < sizeof(*header) || header->len > whole)
        return -EINVAL;
    in->left = header->len - sizeof(*header);
    return 0;
}

/* Whether the request may be served now at all. */
static int admit(struct fuse_req *req, const struct opcode_row *row)
{
    const struct fuse_server *server = req->server;
    if (!(row->flags & F_ANY_STATE) &&
        !atomic_load_explicit(&server->session.ready, memory_order_acquire))
        return -EIO;
    if ((row->flags & F_MODIFIES) && server->settings->readonly)
        return -EROFS;
    return 0;
}

/* Copies what the handler decides upon into private memory. */
static int take_arguments(struct fuse_req *req, const struct opcode_row *row)
{
    int error = wire_in_copy(&req->in, req->args.bytes, row->args_size);
    if (error)
        return error;
    if (!(row->flags & F_TAIL))
        return 0;
    if (req->in.left > FUSE_TAIL_MAX)
        return -E2BIG;
    req->tail_left = req->in.left;
    req->tail = req->thread->tail;
    return wire_in_copy(&req->in, req->thread->tail, req->tail_left);
}

static void call_hook(const struct fuse_thread *thread, void (*hook)(void *argument))
{
    if (hook)
        hook(thread->hooks.argument);
}

/*
 * Where some request is stuck, others are likely to be soon. With a DAX window a stop may interrupt
 * them, and they stay in their ring, where another back-end would find them as well, only as long
 * as their thread leads the queue: so there they are not let go ahead.
 */
static bool may_get_stuck(const struct fuse_server *server, uint32_t mount)
{
    return atomic_load_explicit(&server->stuck_requests, memory_order_relaxed) &&
           atomic_load_explicit(&server->stuck_in[mount], memory_order_relaxed) && !server->dax;
}

/* Finds the inode of the header's node id. */
static int take_inode(struct fuse_req *req, const struct opcode_row *row)
{
    struct fuse_thread *thread = req->thread;
    int error = inode_get(req->server->inodes, req->header.nodeid, &req->inode);
    if (error)
        return error;
    uint32_t mount = req->inode->mount;
    atomic_store_explicit(&thread->mount, mount, memory_order_relaxed);
    if (!(row->flags & F_IN_ORDER) && may_get_stuck(req->server, mount))
        call_hook(thread, thread->hooks.may_block);
    return 0;
}

/* Ends the lingering of another request's ids, where they might matter to this one. */
static void settle_ids(struct fuse_req *req, const struct opcode_row *row)
{
    bool blocks = row->flags & F_BLOCKS;
    bool ignores = (row->flags & F_ANYBODY) &&
                   (!req->inode || inode_ignores_ids(req->server->inodes, req->inode, blocks));
    if (!ignores)
        host_cred_own(&req->thread->cred);
}

static int run(struct fuse_req *req, const struct opcode_row *row)
{
    int error = admit(req, row);
    if (!error)
        error = take_arguments(req, row);
    atomic_store_explicit(&req->thread->mount, NOWHERE, memory_order_relaxed);
    if (!error && !(row->flags & F_NO_NODE))
        error = take_inode(req, row);
    if (error)
        return error;
    if (!host_cred_is_own(&req->thread->cred))
        settle_ids(req, row);
    if (row->flags & F_MAY_BLOCK) {
        call_hook(req->thread, req->thread->hooks.may_wait);
        handle_close_late(req->thread, true);
    }
    return row->handler(req);
}

static void close_temporaries(struct fuse_thread *thread)
{
    while (thread->temporary_count)
        bare_close(thread->temporary[--thread->temporary_count]);
}

/*
 * Runs the request inside an epoch: everything that it finds in the tables lasts until its end, or
 * until it steps out. Leaving twice does no harm.
 */
static int run_inside(struct fuse_req *req, const struct opcode_row *row)
{
    struct fuse_thread *thread = req->thread;
    epoch_enter(req->server->epochs, thread->epoch);
    int error = run(req, row);
    close_temporaries(thread);
    epoch_exit(thread->epoch);
    return error;
}

/*
 * Buffers that are not where we can use them are no longer in the chain: what is left of it tells
 * the guest so. Inside an epoch of its own, as inodes are looked for.
 */
static int reach_window(struct fuse_thread *thread, struct fuse_chain *chain)
{
    int error = 0;
    if (chain->in_window) {
        epoch_enter(thread->server->epochs, thread->epoch);
        error = dax_reach(thread, chain);
        epoch_exit(thread->epoch);
    }
    return chain->unreachable ? -EFAULT : error;
}

static size_t run_chain(struct fuse_thread *thread, struct fuse_chain *chain)
{
    struct fuse_req req;
    req.thread = thread;
    req.server = thread->server;
    req.inode = NULL;
    req.tail = NULL;
    req.tail_left = 0;
    req.header.unique = 0;
    int reached = reach_window(thread, chain);
    wire_in_start(&req.in, chain->readable, chain->readable_count);
    wire_out_start(&req.out, chain->writable, chain->writable_count);

    int error = take_header(&req.in, &req.header);
    /* Without the buffers that are not there, the header's length is wrong, too. */
    if (reached)
        error = reached;
    if (error)
        return wire_out_finish(&req.out, req.header.unique, error);
    if (chain->in_window && !dax_may_use_window(req.header.opcode, chain, thread->server))
        return wire_out_finish(&req.out, req.header.unique, -EFAULT);
    const struct opcode_row *row = row_of(req.header.opcode);
    if (!row)
        return wire_out_finish(&req.out, req.header.unique, -ENOSYS);
    counters_add(&thread->counters, req.header.opcode);
    if (row->flags & F_NO_REPLY) {
        run_inside(&req, row);
        return 0;
    }
    /* A change whose outcome nobody can be told is better not made. */
    if (req.out.header_count == 0)
        return 0;
    error = run_inside(&req, row);
    if (error == -REQ_DEFERRED)
        return FUSE_SERVER_DEFERRED;
    if (error == -REQ_STOPPED) {
        if (row->flags & F_RESTARTS)
            return FUSE_SERVER_RESTART;
        error = -EAGAIN;
    }
    log_trace("%s node %llu: %s", row->name, (unsigned long long)req.header.nodeid,
              error ? strerrorname_np(-error) : "ok");
    return wire_out_finish(&req.out, req.header.unique, error);
}

size_t fuse_server_run(struct fuse_thread *thread, struct fuse_chain *chain)
{
    thread->requests++;
    size_t length = run_chain(thread, chain);
    dax_leave(thread);
    return length;
}

bool fuse_forget_read(const struct fuse_chain *chain, struct fuse_forget *ret_forget)
{
    struct wire_in in;
    struct fuse_in_header header;
    struct fuse_forget_in forget;
    if (chain->in_window || chain->unreachable)
        return false;
    wire_in_start(&in, chain->readable, chain->readable_count);
    if (take_header(&in, &header) || header.opcode != FUSE_FORGET ||
        wire_in_copy(&in, &forget, sizeof(forget)))
        return false;
    *ret_forget = (struct fuse_forget){.nodeid = header.nodeid, .nlookup = forget.nlookup};
    return true;
}

void fuse_server_forget(struct fuse_thread *thread, const struct fuse_forget *forgets,
                        unsigned count)
{
    struct fuse_server *server = thread->server;
    if (!atomic_load_explicit(&server->session.ready, memory_order_acquire))
        return;
    atomic_store_explicit(&thread->mount, NOWHERE, memory_order_relaxed);
    epoch_enter(server->epochs, thread->epoch);
    for (unsigned i = 0; i < count; i++) {
        counters_add(&thread->counters, FUSE_FORGET);
        inode_forget(thread, forgets[i].nodeid, forgets[i].nlookup);
    }
    epoch_exit(thread->epoch);
}

bool fuse_thread_owes(const struct fuse_thread *thread)
{
    return epoch_owes(thread->server->epochs);
}

bool fuse_thread_puts_off(const struct fuse_thread *thread)
{
    return thread->late.count != 0;
}

/* Outside of an epoch. */
static void release_due(struct fuse_thread *thread, bool all)
{
    handle_close_late(thread, all);
    if (epoch_owes(thread->server->epochs))
        epoch_reclaim(thread->server->epochs);
}

void fuse_thread_settle(struct fuse_thread *thread, bool all)
{
    /* If it takes long, that is no reason for others to keep away from the last request's mount. */
    atomic_store_explicit(&thread->mount, NOWHERE, memory_order_relaxed);
    release_due(thread, all);
}

int req_step_out(struct fuse_req *req, int *const fds[], unsigned count)
{
    struct fuse_thread *thread = req->thread;
    int own[THREAD_TEMPORARY_MAX];
    for (unsigned i = 0; i < count; i++) {
        int error = host_duplicate(*fds[i], &own[i]);
        if (error) {
            while (i)
                close(own[--i]);
            return error;
        }
    }
    for (unsigned i = 0; i < count; i++) {
        *fds[i] = own[i];
        thread_close_later(thread, own[i]);
    }
    req->inode = NULL;
    epoch_exit(thread->epoch);
    call_hook(thread, thread->hooks.may_block);
    release_due(thread, true);
    return 0;
}

int req_string(struct fuse_req *req, const char **ret_string)
{
    const char *end = memchr(req->tail, '\0', req->tail_left);
    if (!end)
        return -EINVAL;
    *ret_string = req->tail;
    req->tail_left -= (size_t)(end + 1 - req->tail);
    req->tail = end + 1;
    return 0;
}

int req_name(struct fuse_req *req, const char **ret_name)
{
    const char *name;
    int error = req_string(req, &name);
    if (error)
        return error;
    size_t length = (size_t)(req->tail - name) - 1;
    if (length == 0 || strchr(name, '/') || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return -EINVAL;
    if (length > NAME_MAX)
        return -ENAMETOOLONG;
    *ret_name = name;
    return 0;
}

int req_bytes(struct fuse_req *req, size_t length, const void **ret_bytes)
{
    if (length > req->tail_left)
        return -EINVAL;
    *ret_bytes = req->tail;
    req->tail += length;
    req->tail_left -= length;
    return 0;
}

int req_extensions(struct fuse_req *req, struct wire_ext *ret_ext)
{
    const struct session *session = &req->server->session;
    bool labels = session_has(session, FUSE_SECURITY_CTX);
    bool groups = session_has(session, FUSE_ABI_CREATE_SUPP_GROUP);
    size_t length = (size_t)req->header.total_extlen * 8;
    /* Linux 5.17 to 6.2 sends labels without telling how long they are: all the rest. */
    if (length == 0 && labels)
        length = req->tail_left;
    if (length == 0) {
        ret_ext->secctx_count = ret_ext->group_count = 0;
        return 0;
    }
    if (length != req->tail_left)
        return -EINVAL;
    struct wire_ext ext;
    int error = wire_ext_parse(req->tail, length, &ext);
    if (error)
        return error;
    if ((ext.secctx_count && !labels) || (ext.group_count && !groups))
        return -EINVAL;
    req->tail += length;
    req->tail_left -= length;
    *ret_ext = ext;
    return 0;
}
