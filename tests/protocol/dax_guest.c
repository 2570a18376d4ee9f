// SPDX-License-Identifier: BSD-3-Clause
#include "dax_guest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define CHUNK          65536
#define RING_STOP_MS   1000

/* Features of the front-ends, beyond EVERY_PROTOCOL_FEATURE. */
#define LOOSE_FEATURES VUF_PF_SHMEM
#define EXACT_FEATURES (VUF_PF_SHMEM | VUF_PF_SHARED_OBJECT)

const struct dax_options dax_exact = {.window = {.style = WINDOW_EXACT}};
const struct dax_options dax_loose = {.window = {.style = WINDOW_LOOSE}};
const struct dax_options dax_strict = {.window = {.style = WINDOW_STRICT}};

static uint64_t features_of(const struct dax_options *options)
{
    static const uint64_t of_style[] = {
        [WINDOW_EXACT] = EXACT_FEATURES,
        [WINDOW_LOOSE] = LOOSE_FEATURES,
        [WINDOW_STRICT] = LOOSE_FEATURES,
        [WINDOW_LEGACY] = 0,
    };

    return (EVERY_PROTOCOL_FEATURE | of_style[options->window.style] |
            options->guest.protocol_features) &
           ~options->not_features;
}

/* What QEMU does when the device is realized: all that does not need a running guest. */
static void negotiate(struct dax *dax, const struct dax_options *options)
{
    struct vuf_dev *dev = &dax->guest.dev;
    struct vuf_conn *conn = &dev->conn;

    guest_connect(conn, dax->daemon);
    dev->mem.fd = -1;
    OK(vuf_get_features(conn, &dev->offered));
    CHECK(dev->offered & VUF_F_PROTOCOL_FEATURES);
    OK(vuf_get_protocol_features(conn, &dev->protocol_offered));
    OK(vuf_set_protocol_features(conn, dev->protocol_offered & features_of(options)));
    OK(vuf_get_queue_num(conn, &dev->n_queues_max));
    OK(vuf_set_owner(conn));
    if (options->window.style != WINDOW_LEGACY && !options->no_config &&
        (conn->protocol_features & VUF_PF_SHMEM)) {
        struct vuf_shmem_config config;

        OK(vuf_get_shmem_config(conn, &config));
        CHECK_EQ(config.n_regions, 1);
        CHECK_EQ(config.size[0], dax->window.options.size);
        for (unsigned i = 1; i < VUF_SHMEM_REGIONS; i++)
            CHECK_EQ(config.size[i], 0);
    }
}

void dax_realize(struct dax *ret_dax, struct daemon *daemon, const struct dax_options *options)
{
    struct dax *dax = ret_dax;
    struct window_options window = options->window;

    memset(dax, 0, sizeof(*dax));
    dax->daemon = daemon;
    dax->guest.daemon = daemon;
    if (!window.size)
        window.size = DAX_WINDOW;
    dax->window.options = window;
    negotiate(dax, options);
    if (!options->no_channel)
        window_open(&dax->window, &dax->guest, &window);
    OK(vuf_set_features(&dax->guest.dev.conn,
                        dax->guest.dev.offered & (options->guest.features ? options->guest.features
                                                                          : VUF_DEV_FEATURES)));
    guest_furnish(&dax->guest, &options->guest);
}

void dax_start_rings(struct dax *dax)
{
    bool has_window = dax->window.map != NULL;

    /* A request may come as soon as the first ring runs, and the socket is ours until all do. */
    if (has_window) {
        window_lock_socket(&dax->window);
        window_set_running(&dax->window, true);
    }
    OK(vuf_dev_start(&dax->guest.dev));
    if (has_window)
        window_unlock_socket(&dax->window);
}

void dax_stop_rings(struct dax *dax)
{
    dax_stop_rings_slowly(dax, 0);
}

void dax_stop_rings_slowly(struct dax *dax, int pause_ms)
{
    struct vuf_dev *dev = &dax->guest.dev;

    window_lock_socket(&dax->window);
    for (unsigned i = 0; i < dev->n_rings; i++) {
        long long start = now_ms();
        uint32_t base;

        OK(vuf_get_vring_base(&dev->conn, i, &base));
        if (now_ms() - start > RING_STOP_MS)
            FAIL("GET_VRING_BASE took %lld ms", now_ms() - start);
        sleep_ms(pause_ms);
    }
    window_set_running(&dax->window, false);
    window_unlock_socket(&dax->window);
    dev->started = false;
}

uint64_t dax_init(struct dax *dax)
{
    const uint64_t ours = VUF_INIT_MAP_ALIGNMENT | VUF_INIT_HAS_INODE_DAX;
    int error =
        vuf_fuse_init(&dax->guest.fuse, 38,
                      ours | VUF_INIT_ASYNC_READ | VUF_INIT_BIG_WRITES | VUF_INIT_ATOMIC_O_TRUNC |
                          VUF_INIT_DO_READDIRPLUS | VUF_INIT_READDIRPLUS_AUTO | VUF_INIT_MAX_PAGES |
                          VUF_INIT_PARALLEL_DIROPS | VUF_INIT_SUBMOUNTS | VUF_INIT_INIT_EXT);

    if (error)
        FAIL("INIT: %s", strerrorname_np(-error));
    return (dax->guest.fuse.init.flags | (uint64_t)dax->guest.fuse.init.flags2 << 32) & ours;
}

void dax_start(struct dax *ret_dax, struct daemon *daemon, const struct dax_options *options)
{
    dax_realize(ret_dax, daemon, options);
    dax_start_rings(ret_dax);
    CHECK_EQ(dax_init(ret_dax), VUF_INIT_MAP_ALIGNMENT | VUF_INIT_HAS_INODE_DAX);
    CHECK_EQ(ret_dax->guest.fuse.init.map_alignment, 21);
}

void dax_finish(struct dax *dax)
{
    window_close(&dax->window);
}

/* --- requests --- */

int dax_call(struct dax *dax, unsigned ring, uint32_t opcode, uint64_t node, const void *args,
             size_t args_size, const void *more, size_t more_size, void *out, size_t out_size)
{
    struct vuf_buf in[2] = {{args, args_size}, {more, more_size}};
    int error = 0;
    int r = vuf_fuse_call(&dax->guest.fuse, ring, opcode, node, in, 2, out, out_size, NULL, &error);

    if (r < 0)
        FAIL("opcode %u on ring %u: %s", opcode, ring, strerrorname_np(-r));
    return error;
}

int dax_map_on(struct dax *dax, unsigned ring, uint64_t node, uint64_t file_offset,
               uint64_t window_offset, uint64_t flags)
{
    struct vuf_setupmapping_in in = {
        .fh = ~0ull, /* Linux has none for it */
        .foffset = file_offset,
        .len = WINDOW_RANGE,
        .flags = flags,
        .moffset = window_offset,
    };

    return dax_call(dax, ring, VUF_OP_SETUPMAPPING, node, &in, sizeof(in), NULL, 0, NULL, 0);
}

int dax_map(struct dax *dax, uint64_t node, uint64_t file_offset, uint64_t window_offset,
            uint64_t flags)
{
    return dax_map_on(dax, 1, node, file_offset, window_offset, flags);
}

int dax_unmap(struct dax *dax, uint64_t window_offset, uint64_t length)
{
    struct vuf_removemapping_in in = {.count = 1};
    struct vuf_removemapping_one one = {window_offset, length};

    return dax_call(dax, 1, VUF_OP_REMOVEMAPPING, ROOT_ID, &in, sizeof(in), &one, sizeof(one), NULL,
                    0);
}

int dax_write(struct dax *dax, uint64_t node, uint64_t fh, uint64_t offset, const void *bytes,
              size_t size)
{
    while (size > 0) {
        uint32_t part = size < CHUNK ? (uint32_t)size : CHUNK;
        struct vuf_write_in in = {.fh = fh, .offset = offset, .size = part};
        struct vuf_write_out out = {0};
        int error =
            dax_call(dax, 1, VUF_OP_WRITE, node, &in, sizeof(in), bytes, part, &out, sizeof(out));

        if (error)
            return error;
        CHECK_EQ(out.size, part);
        offset += part;
        bytes = (const char *)bytes + part;
        size -= part;
    }
    return 0;
}

int dax_set_size(struct dax *dax, uint64_t node, uint64_t size)
{
    struct vuf_setattr_in in = {.valid = VUF_SETATTR_SIZE, .size = size};
    struct vuf_attr_out out = {0};
    int error = dax_call(dax, 1, VUF_OP_SETATTR, node, &in, sizeof(in), NULL, 0, &out, sizeof(out));

    if (!error)
        CHECK_EQ(out.attr.size, size);
    return error;
}

int dax_allocate(struct dax *dax, uint64_t node, uint64_t fh, uint64_t offset, uint64_t length)
{
    struct vuf_fallocate_in in = {.fh = fh, .offset = offset, .length = length};

    return dax_call(dax, 1, VUF_OP_FALLOCATE, node, &in, sizeof(in), NULL, 0, NULL, 0);
}

int dax_fsync(struct dax *dax, uint64_t node, uint64_t fh)
{
    struct vuf_fsync_in in = {.fh = fh, .fsync_flags = VUF_FSYNC_FDATASYNC};

    return dax_call(dax, 1, VUF_OP_FSYNC, node, &in, sizeof(in), NULL, 0, NULL, 0);
}

int dax_flush(struct dax *dax, uint64_t node, uint64_t fh)
{
    struct vuf_flush_in in = {.fh = fh};

    return dax_call(dax, 1, VUF_OP_FLUSH, node, &in, sizeof(in), NULL, 0, NULL, 0);
}

int dax_release(struct dax *dax, uint64_t node, uint64_t fh)
{
    struct vuf_release_in in = {.fh = fh};

    return dax_call(dax, 1, VUF_OP_RELEASE, node, &in, sizeof(in), NULL, 0, NULL, 0);
}

struct vuf_attr dax_getattr(struct dax *dax, uint64_t node)
{
    struct vuf_getattr_in in = {0};
    struct vuf_attr_out out = {0};

    CHECK_EQ(dax_call(dax, 1, VUF_OP_GETATTR, node, &in, sizeof(in), NULL, 0, &out, sizeof(out)),
             0);
    return out.attr;
}

/* --- the host's side --- */

const char *host_path(const struct dax *dax, const char *name)
{
    static char path[PATH_MAX];

    snprintf(path, sizeof(path), "%s/%s", dax->daemon->share, name);
    return path;
}

void pattern(unsigned seed, uint64_t offset, void *ret_bytes, size_t size)
{
    unsigned char *bytes = ret_bytes;

    for (size_t i = 0; i < size; i++) {
        uint64_t word =
            ((offset + i) / 8 + 1) * 0x9e3779b97f4a7c15ull + seed * 0xd6e8feb86659fd93ull;

        word ^= word >> 29;
        bytes[i] = (unsigned char)(word >> 8 * ((offset + i) % 8)) | 1; /* never 0 */
    }
}

void host_write(int fd, uint64_t offset, size_t size, unsigned seed)
{
    static unsigned char bytes[CHUNK];

    while (size > 0) {
        size_t part = size < CHUNK ? size : CHUNK;

        pattern(seed, offset, bytes, part);
        if (pwrite(fd, bytes, part, (off_t)offset) != (ssize_t)part)
            FAIL("pwrite: %m");
        offset += part;
        size -= part;
    }
}

int host_create(const struct dax *dax, const char *name, uint64_t size, unsigned seed)
{
    int fd = open(host_path(dax, name), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    if (fd < 0)
        FAIL("%s: %m", name);
    host_write(fd, 0, size, seed);
    return fd;
}

uint64_t host_size(int fd)
{
    struct stat st;

    CHECK(fstat(fd, &st) == 0);
    return (uint64_t)st.st_size;
}

/* --- comparisons --- */

/* The first byte of the window that is not as expected, or length. Needs all to be mapped. */
static uint64_t first_difference(struct dax *dax, uint64_t window_offset, uint64_t length,
                                 void (*expected)(const void *what, uint64_t at, void *ret_bytes,
                                                  size_t size),
                                 const void *what)
{
    static unsigned char wanted[CHUNK], found[CHUNK];

    for (uint64_t at = 0; at < length; at += CHUNK) {
        size_t part = length - at < CHUNK ? length - at : CHUNK;

        expected(what, at, wanted, part);
        if (window_load(&dax->window, window_offset + at, found, part) < 0)
            FAIL("window %#llx: not all of %zu bytes are there",
                 (unsigned long long)(window_offset + at), part);
        if (memcmp(wanted, found, part) == 0)
            continue;
        for (size_t i = 0; i < part; i++)
            if (wanted[i] != found[i])
                return at + i;
    }
    return length;
}

struct file_part {
    int fd;
    uint64_t offset;
};

static void from_file(const void *what, uint64_t at, void *ret_bytes, size_t size)
{
    const struct file_part *part = what;

    if (pread(part->fd, ret_bytes, size, (off_t)(part->offset + at)) != (ssize_t)size)
        FAIL("pread: %m");
}

struct pattern_part {
    unsigned seed;
    uint64_t offset;
};

static void from_pattern(const void *what, uint64_t at, void *ret_bytes, size_t size)
{
    const struct pattern_part *part = what;

    pattern(part->seed, part->offset + at, ret_bytes, size);
}

static void from_zeros(const void *what, uint64_t at, void *ret_bytes, size_t size)
{
    (void)what, (void)at;
    memset(ret_bytes, 0, size);
}

static uint64_t part_of_range(int fd, uint64_t file_offset)
{
    uint64_t size = host_size(fd), left = size > file_offset ? size - file_offset : 0;

    return left < WINDOW_RANGE ? left : WINDOW_RANGE;
}

static unsigned byte_of(int fd, uint64_t offset)
{
    unsigned char byte = 0;

    CHECK(pread(fd, &byte, 1, (off_t)offset) == 1);
    return byte;
}

void dax_expect_file(struct dax *dax, uint64_t window_offset, int fd, uint64_t file_offset)
{
    struct file_part part = {fd, file_offset};
    uint64_t length = part_of_range(fd, file_offset);
    uint64_t at = first_difference(dax, window_offset, length, from_file, &part);

    if (at < length)
        FAIL("window %#llx differs from the file at %#llx (%llu bytes long): %#x, not %#x",
             (unsigned long long)(window_offset + at), (unsigned long long)(file_offset + at),
             (unsigned long long)host_size(fd), dax->window.map[window_offset + at],
             byte_of(fd, file_offset + at));
}

void dax_expect_file_soon(struct dax *dax, uint64_t window_offset, int fd, uint64_t file_offset)
{
    struct file_part part = {fd, file_offset};
    uint64_t length = part_of_range(fd, file_offset);

    for (long long end = now_ms() + DAX_SETTLE_MS; now_ms() < end; sleep_ms(5))
        if (first_difference(dax, window_offset, length, from_file, &part) == length)
            return;
    dax_expect_file(dax, window_offset, fd, file_offset);
}

void dax_expect_pattern(struct dax *dax, uint64_t window_offset, uint64_t length, unsigned seed,
                        uint64_t pattern_offset)
{
    struct pattern_part part = {seed, pattern_offset};
    uint64_t at = first_difference(dax, window_offset, length, from_pattern, &part);

    if (at < length)
        FAIL("window %#llx: not pattern %u at %#llx", (unsigned long long)(window_offset + at),
             seed, (unsigned long long)(pattern_offset + at));
}

void dax_expect_zeros(struct dax *dax, uint64_t window_offset, uint64_t length)
{
    uint64_t at = first_difference(dax, window_offset, length, from_zeros, NULL);

    if (at < length)
        FAIL("window %#llx is not zero", (unsigned long long)(window_offset + at));
}

void dax_expect_nothing(struct dax *dax, uint64_t window_offset, uint64_t length)
{
    char byte;

    window_counts(&dax->window); /* an UNMAP may have been answered and not yet been carried out */
    for (uint64_t at = 0; at < length; at += WINDOW_PAGE)
        if (window_load(&dax->window, window_offset + at, &byte, 1) == 0)
            FAIL("window %#llx: something is mapped", (unsigned long long)(window_offset + at));
}

void dax_store(struct dax *dax, uint64_t window_offset, uint64_t length, unsigned seed,
               uint64_t pattern_offset)
{
    static unsigned char bytes[CHUNK];

    while (length > 0) {
        size_t part = length < CHUNK ? length : CHUNK;

        pattern(seed, pattern_offset, bytes, part);
        if (window_store(&dax->window, window_offset, bytes, part) < 0)
            FAIL("window %#llx: a store of %zu bytes fails", (unsigned long long)window_offset,
                 part);
        window_offset += part;
        pattern_offset += part;
        length -= part;
    }
}
