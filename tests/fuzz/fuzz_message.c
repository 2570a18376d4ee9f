// SPDX-License-Identifier: BSD-3-Clause
/*
 * vhost-user messages over a socket pair, into the receiver and the request table. The file system
 * behind the device answers nothing: what is wanted are the messages, and the queues that they
 * start.
 *
 * Input: records of {u8 descriptors, u8 request, u8 flags, u8 size, size bytes of payload}.
 * Descriptors: how many in the low four bits, of which kind in the high ones.
 */
#include <err.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "device_core.h"
#include "fuzz.h"
#include "guestfault.h"
#include "vu_dispatch.h"
#include "vu_msg.h"

#define RECORDS_MAX 64
#define KINDS       4

static struct settings settings = {
    .tag = "fuzz", .request_queues = 3, .thread_pool_size = 2, .log_level = LOG_LEVEL_OFF};
static int kinds[KINDS]; /* a descriptor of each kind */
static int stop_fd;

/* The seam of include/fuse_server.h, as small as it gets. */
static int dummy;

int fuse_server_new(const struct settings *unused, const struct fuse_server_fds *fds,
                    struct fuse_server **ret_server)
{
    (void)unused, (void)fds;
    *ret_server = (struct fuse_server *)(void *)&dummy;
    return 0;
}

void fuse_server_free(struct fuse_server *server)
{
    (void)server;
}

void fuse_server_reset(struct fuse_server *server)
{
    (void)server;
}

void fuse_thread_stuck(struct fuse_thread *thread, bool is_stuck)
{
    (void)thread;
    (void)is_stuck;
}

void fuse_server_set_mapper(struct fuse_server *server, const struct dax_mapper *mapper)
{
    (void)server, (void)mapper;
}

char *fuse_server_window(const struct fuse_server *server)
{
    (void)server;
    return NULL;
}

int fuse_thread_new(struct fuse_server *server, const struct fuse_thread_hooks *hooks,
                    struct fuse_thread **ret_thread)
{
    (void)server, (void)hooks;
    *ret_thread = (struct fuse_thread *)(void *)&dummy;
    return 0;
}

void fuse_thread_free(struct fuse_thread *thread)
{
    (void)thread;
}

bool fuse_thread_owes(const struct fuse_thread *thread)
{
    (void)thread;
    return false;
}

bool fuse_thread_puts_off(const struct fuse_thread *thread)
{
    (void)thread;
    return false;
}

void fuse_thread_settle(struct fuse_thread *thread, bool all)
{
    (void)thread;
    (void)all;
}

size_t fuse_server_run(struct fuse_thread *thread, struct fuse_chain *chain)
{
    (void)thread;
    return chain->writable_count ? chain->writable[0].iov_len : 0;
}

bool fuse_forget_read(const struct fuse_chain *chain, struct fuse_forget *ret_forget)
{
    *ret_forget = (struct fuse_forget){0};
    return chain->writable_count == 0;
}

void fuse_server_forget(struct fuse_thread *thread, const struct fuse_forget *forgets,
                        unsigned count)
{
    (void)thread;
    (void)forgets;
    (void)count;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    log_init("fuzz", LOG_LEVEL_OFF, false);
    stop_fd = eventfd(0, EFD_CLOEXEC);
    kinds[0] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    kinds[1] = memfd_create("guest", MFD_CLOEXEC);
    kinds[2] = open("/dev/null", O_RDWR | O_CLOEXEC);
    kinds[3] = stop_fd >= 0 ? socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) : -1;
    if (kinds[3] < 0 || kinds[1] < 0 || ftruncate(kinds[1], 1 << 20) < 0 ||
        guestfault_install() < 0)
        err(1, "set-up");
    return 0;
}

/* One message with its descriptors. */
static void send_record(int fd, struct fuzz_input *input)
{
    uint8_t record[4], bytes[sizeof(struct vu_header) + 255];
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(sizeof(int) * 15)];
    } control;
    int fds[15];

    fuzz_take(input, record, sizeof(record));
    struct vu_header header = {record[1], record[2], record[3]};
    memcpy(bytes, &header, sizeof(header));
    fuzz_take(input, bytes + sizeof(header), record[3]);
    struct iovec iov = {bytes, sizeof(header) + record[3]};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    unsigned count = record[0] & 15;
    if (count) {
        for (unsigned i = 0; i < count; i++)
            fds[i] = kinds[(record[0] >> 4) % KINDS];
        memset(&control, 0, sizeof(control));
        msg.msg_control = control.space;
        msg.msg_controllen = CMSG_SPACE(sizeof(int) * count);
        struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(sizeof(int) * count);
        memcpy(CMSG_DATA(cmsg), fds, sizeof(int) * count);
    }
    if (sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
        err(1, "sendmsg");
}

/* Throws the replies away, so that the socket never fills. */
static void drain(int fd)
{
    char bytes[4096];

    while (recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
        ;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    struct fuse_server *server;
    int pair[2], rc = 1;

    fuse_server_new(&settings, NULL, &server);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        err(1, "socketpair");
    struct device *device = device_new(&settings, server, stop_fd);
    if (!device)
        err(1, "device_new");
    for (int i = 0; rc >= 0 && input.left && i < RECORDS_MAX; i++) {
        struct vu_msg msg;

        send_record(pair[0], &input);
        rc = vu_msg_receive(pair[1], stop_fd, &msg);
        if (rc > 0)
            rc = vu_dispatch(device, pair[1], &msg);
        vu_msg_clear(&msg);
        drain(pair[0]);
    }
    if (device_stop_all(device, 5000) < 0)
        __builtin_trap(); /* nothing behind the device can hang */
    device_free(device);
    close(pair[0]);
    close(pair[1]);
    return 0;
}
