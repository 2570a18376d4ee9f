// SPDX-License-Identifier: BSD-3-Clause
#include "guest.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void guest_connect(struct vuf_conn *ret_conn, const struct daemon *daemon)
{
    OK(vuf_conn_connect(ret_conn, daemon->socket, DAEMON_PATIENCE_MS));
}

void guest_furnish(struct guest *guest, const struct guest_options *o)
{
    struct vuf_fuse_options fuse = {
        .depth = o->depth ? o->depth : 8,
        .hiprio_depth = 8,
        .data = o->data ? o->data : 65536,
    };
    struct vuf_dev_layout layout = {
        .n_rings = o->rings ? o->rings : 2,
        .ring_size = o->ring_size ? o->ring_size : 64,
        .indirect_max = o->indirect_max,
        .sealed = o->sealed,
    };

    guest->scratch_size = o->scratch ? o->scratch : 1 << 20;
    layout.extra = vuf_fuse_mem_size(layout.n_rings, &fuse) + guest->scratch_size + 8192;
    if (guest->dev.n_queues_max < layout.n_rings)
        FAIL("the daemon offers %u queues, not %u", (unsigned)guest->dev.n_queues_max,
             layout.n_rings);
    OK(vuf_dev_create_rings(&guest->dev, &layout));
    OK(vuf_fuse_open(&guest->fuse, &guest->dev, &fuse));
    /* An ordinary user's daemon can act as that user only. */
    guest->fuse.uid = geteuid();
    guest->fuse.gid = getegid();
    guest->scratch = vuf_mem_alloc(&guest->dev.mem, guest->scratch_size, 4096);
    CHECK(guest->scratch);
}

void guest_negotiate(struct guest *ret_guest, struct daemon *daemon,
                     const struct guest_options *options)
{
    static const struct guest_options defaults;
    const struct guest_options *o = options ? options : &defaults;
    struct vuf_dev_options dev = {
        .features = o->features,
        .protocol_features = o->protocol_features ? o->protocol_features : EVERY_PROTOCOL_FEATURE,
        .timeout_ms = DAEMON_PATIENCE_MS,
        .by_slots = o->by_slots,
    };

    memset(ret_guest, 0, sizeof(*ret_guest));
    ret_guest->daemon = daemon;
    OK(vuf_dev_open(&ret_guest->dev, daemon->socket, &dev));
    guest_furnish(ret_guest, o);
}

void guest_init(struct guest *guest)
{
    int error =
        vuf_fuse_init(&guest->fuse, 38,
                      VUF_INIT_ASYNC_READ | VUF_INIT_BIG_WRITES | VUF_INIT_ATOMIC_O_TRUNC |
                          VUF_INIT_DO_READDIRPLUS | VUF_INIT_READDIRPLUS_AUTO | VUF_INIT_MAX_PAGES |
                          VUF_INIT_PARALLEL_DIROPS | VUF_INIT_SUBMOUNTS | VUF_INIT_INIT_EXT);
    if (error)
        FAIL("INIT: %s", strerrorname_np(-error));
    CHECK_EQ(guest->fuse.init.major, 7);
}

void guest_start(struct guest *ret_guest, struct daemon *daemon,
                 const struct guest_options *options)
{
    guest_negotiate(ret_guest, daemon, options);
    OK(vuf_dev_start(&ret_guest->dev));
    if (!options || !options->no_init)
        guest_init(ret_guest);
}

static int call_on(struct guest *guest, unsigned ring, uint32_t opcode, uint64_t nodeid,
                   const void *args, size_t args_size, const char *name, void *out, size_t out_size,
                   size_t *ret_len)
{
    struct vuf_buf in[2] = {{args, args_size}, {name, name ? strlen(name) + 1 : 0}};
    int error = 0;
    int r =
        vuf_fuse_call(&guest->fuse, ring, opcode, nodeid, in, 2, out, out_size, ret_len, &error);

    if (r < 0)
        FAIL("opcode %u on ring %u: %s", opcode, ring, strerrorname_np(-r));
    return error;
}

int guest_call(struct guest *guest, uint32_t opcode, uint64_t nodeid, const void *args,
               size_t args_size, const char *name, void *out, size_t out_size, size_t *ret_len)
{
    return call_on(guest, 1, opcode, nodeid, args, args_size, name, out, out_size, ret_len);
}

static uint64_t lookup_on(struct guest *guest, unsigned ring, uint64_t parent, const char *name)
{
    struct vuf_entry_out entry = {0};
    int error =
        call_on(guest, ring, VUF_OP_LOOKUP, parent, NULL, 0, name, &entry, sizeof(entry), NULL);

    if (error)
        FAIL("LOOKUP %s on ring %u: %s", name, ring, strerrorname_np(-error));
    CHECK(entry.nodeid != 0);
    return entry.nodeid;
}

uint64_t guest_lookup(struct guest *guest, uint64_t parent, const char *name)
{
    return lookup_on(guest, 1, parent, name);
}

static uint64_t open_on(struct guest *guest, unsigned ring, uint32_t opcode, uint64_t nodeid,
                        uint32_t flags)
{
    struct vuf_open_in in = {.flags = flags};
    struct vuf_open_out out = {0};
    int error =
        call_on(guest, ring, opcode, nodeid, &in, sizeof(in), NULL, &out, sizeof(out), NULL);

    if (error)
        FAIL("opcode %u: %s", opcode, strerrorname_np(-error));
    return out.fh;
}

uint64_t guest_open(struct guest *guest, uint64_t nodeid, uint32_t flags)
{
    return open_on(guest, 1, VUF_OP_OPEN, nodeid, flags);
}

uint64_t guest_opendir(struct guest *guest, uint64_t nodeid)
{
    return open_on(guest, 1, VUF_OP_OPENDIR, nodeid, 0);
}

uint64_t guest_create(struct guest *guest, uint64_t parent, const char *name, uint64_t *ret_fh)
{
    struct vuf_create_in in = {.flags = 2 /* O_RDWR */, .mode = 0100644};
    struct vuf_create_out out = {0};
    int error =
        guest_call(guest, VUF_OP_CREATE, parent, &in, sizeof(in), name, &out, sizeof(out), NULL);

    if (error)
        FAIL("CREATE %s: %s", name, strerrorname_np(-error));
    *ret_fh = out.open.fh;
    return out.entry.nodeid;
}

void guest_check_ring(struct guest *guest, unsigned ring)
{
    static const char content[] = "hello, world\n";
    uint64_t node = lookup_on(guest, ring, ROOT_ID, "hello");
    uint64_t fh = open_on(guest, ring, VUF_OP_OPEN, node, 0);
    struct vuf_read_in read_in = {.fh = fh, .size = 4096};
    struct vuf_release_in release = {.fh = fh};
    char data[4096] = "";
    size_t len = 0;

    CHECK_EQ(call_on(guest, ring, VUF_OP_READ, node, &read_in, sizeof(read_in), NULL, data,
                     sizeof(data), &len),
             0);
    CHECK_EQ(len, sizeof(content) - 1);
    CHECK(memcmp(data, content, len) == 0);
    CHECK_EQ(
        call_on(guest, ring, VUF_OP_RELEASE, node, &release, sizeof(release), NULL, NULL, 0, NULL),
        0);
}

void guest_check_control(struct vuf_conn *conn)
{
    uint64_t features;

    OK(vuf_get_features(conn, &features));
    CHECK(features & VUF_F_VERSION_1);
}

void guest_check_alive(struct guest *guest)
{
    guest_check_control(&guest->dev.conn);
    guest_check_ring(guest, 1);
}

void guest_expect_broken(struct guest *guest, unsigned ring)
{
    struct pollfd pfd = {.fd = guest->dev.rings[ring].err_fd, .events = POLLIN};

    if (poll(&pfd, 1, DAEMON_PATIENCE_MS) != 1)
        FAIL("ring %u: the error descriptor is not signalled", ring);
}

void guest_start_ring(struct guest *guest, unsigned i)
{
    struct vuf_conn *conn = &guest->dev.conn;
    const struct vuf_ring *ring = &guest->dev.rings[i];
    struct vuf_vring_addr addr = {
        .index = i,
        .desc = vuf_mem_uva(&guest->dev.mem, ring->desc),
        .used = vuf_mem_uva(&guest->dev.mem, ring->used),
        .avail = vuf_mem_uva(&guest->dev.mem, ring->avail),
    };

    OK(vuf_set_vring_num(conn, i, ring->size));
    OK(vuf_set_vring_base(conn, i, ring->used_idx));
    OK(vuf_set_vring_addr(conn, &addr));
    OK(vuf_set_vring_err(conn, i, ring->err_fd));
    OK(vuf_set_vring_kick(conn, i, ring->kick_fd));
    OK(vuf_set_vring_call(conn, i, ring->call_fd));
    if (conn->features & VUF_F_PROTOCOL_FEATURES)
        OK(vuf_set_vring_enable(conn, i, true));
}

/* Sends and returns 1 with the acknowledgement in *ret_ack, or 0 when the connection is closed. */
static int ask(struct vuf_conn *conn, uint32_t request, const void *payload, size_t size,
               const int *fds, size_t fd_count, uint64_t *ret_ack)
{
    struct vuf_hdr hdr = {request, VUF_VERSION | VUF_FLAG_NEED_REPLY, (uint32_t)size};
    struct vuf_msg reply;
    int r = vuf_conn_send(conn, &hdr, payload, size, fds, fd_count);

    if (r == -ECONNRESET)
        return 0;
    OK(r);
    r = vuf_conn_recv(conn, &reply);
    if (r == -ECONNRESET)
        return 0;
    if (r < 0)
        FAIL("request %u: %s instead of an answer", request, strerrorname_np(-r));
    vuf_msg_close_fds(&reply);
    CHECK_EQ(reply.hdr.request, request);
    CHECK_EQ(reply.hdr.flags & ~VUF_FLAG_NEED_REPLY, VUF_VERSION | VUF_FLAG_REPLY);
    if (request == VUF_GET_CONFIG && reply.hdr.size == 0) {
        *ret_ack = 1; /* the way this one is refused */
        return 1;
    }
    CHECK_EQ(reply.hdr.size, sizeof(*ret_ack));
    memcpy(ret_ack, reply.payload, sizeof(*ret_ack));
    return 1;
}

bool guest_expect_refusal(struct vuf_conn *conn, uint32_t request, const void *payload, size_t size,
                          const int *fds, size_t fd_count)
{
    uint64_t ack = 0;

    if (!ask(conn, request, payload, size, fds, fd_count, &ack))
        return false;
    if (ack == 0)
        FAIL("request %u was acknowledged with 0, and is illegal", request);
    guest_check_control(conn);
    return true;
}

void guest_expect_ack(struct vuf_conn *conn, uint32_t request, const void *payload, size_t size,
                      const int *fds, size_t fd_count)
{
    uint64_t ack = 0;

    if (!ask(conn, request, payload, size, fds, fd_count, &ack))
        FAIL("request %u is legal, and the connection is closed", request);
    if (ack != 0)
        FAIL("request %u is legal, and was acknowledged with %llu", request,
             (unsigned long long)ack);
}

void guest_expect_close(struct vuf_conn *conn)
{
    int r = vuf_conn_wait_close(conn);

    if (r < 0)
        FAIL("the connection is not closed: %s", strerrorname_np(-r));
}
