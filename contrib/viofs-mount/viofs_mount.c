// SPDX-License-Identifier: BSD-3-Clause
/*
 * viofs-mount: puts a vhost-user-fs back-end on the host's own /dev/fuse.
 *
 * Order: command line, background, back-end (connect, negotiate, rings), mount, FUSE_INIT, threads;
 * then supervise() until the end.  Whatever fails before the threads run is one line and status 1,
 * with nothing left mounted.
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "background.h"
#include "fusemount.h"
#include "handshake.h"
#include "options.h"
#include "pump.h"
#include "say.h"
#include "supervise.h"
#include "vuf_fuse.h"

#define EXIT_USAGE    2
#define PAGE          4096u

#define PIECES_MAX    5   /* of one request: header, arguments, data; header, data */
#define DEPTH_MAX     256 /* requests in flight per queue */
#define HIPRIO_DEPTH  256

#define PAGES_LIMIT   "/proc/sys/fs/fuse/max_pages_limit"
#define PAGES_DEFAULT 256  /* the limit of kernels without that file */
#define PAGES_MAX     4096 /* 16 MiB per request is enough for everyone who tunes that file */

/* Bytes of data in the largest request that the kernel can make. */
static size_t largest_data(void)
{
    unsigned int pages = PAGES_DEFAULT;
    FILE *file = fopen(PAGES_LIMIT, "re");

    if (file) {
        if (fscanf(file, "%u", &pages) != 1 || !pages)
            pages = PAGES_DEFAULT;
        fclose(file);
    }
    return (size_t)(pages < PAGES_MAX ? pages : PAGES_MAX) * PAGE;
}

/* Number of request queues to use, 0 (message printed) when the back-end has not that many. */
static unsigned int choose_queues(const struct options *options, const struct vuf_dev *dev)
{
    uint64_t available = dev->n_queues_max - 1; /* without hiprio */

    if (dev->n_queues_max < 2) {
        say("the back-end on '%s' has no request queue", options->socket);
        return 0;
    }
    if (available > VUF_QUEUES_MAX - 1)
        available = VUF_QUEUES_MAX - 1;
    if (options->queues > available) {
        say("the back-end has %u request queue%s, --queues=%u is too many", (unsigned int)available,
            available == 1 ? "" : "s", options->queues);
        return 0;
    }
    return options->queues ? options->queues : 1;
}

static int open_device(struct vuf_dev *ret_dev, const struct options *options)
{
    static const struct vuf_dev_options wanted = {
        .protocol_features = VUF_PF_MQ | VUF_PF_REPLY_ACK | VUF_PF_STATUS,
    };
    struct vuf_conn conn;
    int r = vuf_conn_connect(&conn, options->socket, VUF_DEFAULT_TIMEOUT_MS);

    if (r < 0) {
        say("cannot connect to '%s': %s", options->socket, strerror(-r));
        return r;
    }
    r = vuf_dev_open_fd(ret_dev, conn.fd, &wanted);
    if (r < 0)
        say("the back-end on '%s' fails at the start: %s", options->socket, say_errno(r));
    return r;
}

/* Rings, slots, and the back-end set to work. */
static int start_device(struct vuf_dev *dev, struct vuf_fuse *fuse, const struct options *options,
                        size_t data)
{
    unsigned int queues = choose_queues(options, dev);
    bool indirect = dev->conn.features & VUF_F_INDIRECT_DESC;
    unsigned int depth = indirect ? options->queue_size : options->queue_size / PIECES_MAX;
    struct vuf_fuse_options pools = {
        .hiprio_depth = options->queue_size < HIPRIO_DEPTH ? options->queue_size : HIPRIO_DEPTH,
        .data = data,
    };
    struct vuf_dev_layout layout = {
        .n_rings = queues + 1,
        .ring_size = options->queue_size,
        .indirect_max = PIECES_MAX,
    };
    int r;

    if (!queues)
        return -EINVAL;
    if (!depth) {
        say("--queue-size=%u is too small for a back-end without indirect descriptors",
            options->queue_size);
        return -EINVAL;
    }
    pools.depth = depth < DEPTH_MAX ? depth : DEPTH_MAX;
    layout.extra = vuf_fuse_mem_size(layout.n_rings, &pools);
    r = vuf_dev_create_rings(dev, &layout);
    if (r == 0)
        r = vuf_fuse_open(fuse, dev, &pools);
    if (r < 0) {
        say("cannot set up the rings: %s", strerror(-r));
        return r;
    }
    r = vuf_dev_start(dev);
    if (r < 0)
        say("the back-end on '%s' fails at the start: %s", options->socket, say_errno(r));
    return r;
}

/* From FUSE_INIT to the end of the mount.  Returns the exit status. */
static int serve(struct vuf_fuse *fuse, struct fusemount *mount, const struct options *options,
                 int signal_fd, int ready_fd, size_t data, FILE *count_file)
{
    struct pump_options wanted = {
        .send_interrupt = options->send_interrupt,
        .poll_ns = options->poll_us * INT64_C(1000),
    };
    struct pump *pump;
    int r = handshake(fuse, mount->fd, signal_fd, data);

    if (r == 0) {
        r = pump_start(&pump, fuse, mount->fd, &wanted);
        if (r < 0)
            say("cannot start the threads: %s", strerror(-r));
    }
    fusemount_identify(mount);
    if (r < 0) {
        supervise_discard(mount);
        return EXIT_FAILURE;
    }
    if (ready_fd >= 0)
        background_ready(ready_fd);
    r = supervise(pump, mount, fuse, signal_fd);
    if (count_file) {
        struct counts counts;

        pump_counts(pump, &counts);
        counts_print(&counts, count_file);
    }
    pump_close(pump);
    return r;
}

static int block_signals(void)
{
    sigset_t set;

    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* Absolute, without symbolic links: it is used again at the end, when the working directory is
 * another one. */
static bool resolve_directory(const char *directory, char ret_path[PATH_MAX])
{
    struct stat st;

    if (!realpath(directory, ret_path) || stat(ret_path, &st) < 0) {
        say("cannot mount on '%s': %s", directory, strerror(errno));
        return false;
    }
    if (!S_ISDIR(st.st_mode)) {
        say("cannot mount on '%s': not a directory", directory);
        return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    struct options options;
    struct vuf_dev dev = {.conn.fd = -1, .mem.fd = -1};
    struct vuf_fuse fuse = {0};
    struct fusemount mount = {.fd = -1};
    char directory[PATH_MAX];
    int status = EXIT_FAILURE;
    int ready_fd = -1;
    FILE *count_file = NULL;

    options_parse(&options, argc, argv);
    if (!resolve_directory(options.directory, directory))
        return EXIT_FAILURE;
    if (options.count_file && !(count_file = fopen(options.count_file, "we"))) {
        say("cannot write to '%s': %s", options.count_file, strerror(errno));
        return EXIT_FAILURE;
    }
    if (!options.foreground) {
        ready_fd = background_enter();
        if (ready_fd < 0) {
            say("cannot fork: %s", strerror(errno));
            return EXIT_FAILURE;
        }
    }
    int signal_fd = block_signals();
    size_t data = largest_data();

    if (open_device(&dev, &options) == 0 && start_device(&dev, &fuse, &options, data) == 0) {
        int r = fusemount_open(&mount, options.socket, directory, options.mount_options);

        if (r == 0)
            status = serve(&fuse, &mount, &options, signal_fd, ready_fd, data, count_file);
        else if (r == -EINVAL)
            status = EXIT_USAGE;
    }
    vuf_fuse_close(&fuse);
    vuf_dev_close(&dev);
    if (count_file && fclose(count_file) != 0) {
        say("cannot write to '%s': %s", options.count_file, strerror(errno));
        status = EXIT_FAILURE;
    }
    free((char *)options.mount_options);
    return status;
}
