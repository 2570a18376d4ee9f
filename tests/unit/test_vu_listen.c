// SPDX-License-Identifier: BSD-3-Clause
/* device_serve() on a listening socket: once, persistent, stop while nobody is there. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "device.h"
#include "fake_fuse.h"
#include "test.h"
#include "vu_front.h"

static struct {
    struct settings settings;
    struct sockaddr_un address;
    socklen_t address_size;
    int listen_fd;
    int stop_fd;
    int result;
    pthread_t thread;
} daemon_side;

static void *serve(void *argument)
{
    (void)argument;
    daemon_side.result =
        device_serve(&daemon_side.settings, NULL, daemon_side.listen_fd, daemon_side.stop_fd);
    return NULL;
}

static int start(bool persistent)
{
    static unsigned number;

    fake_clear();
    memset(&daemon_side, 0, sizeof(daemon_side));
    daemon_side.settings.persistent = persistent;
    daemon_side.settings.request_queues = 1;
    daemon_side.address.sun_family = AF_UNIX;
    /* An abstract name: nothing to remove. */
    int length = snprintf(daemon_side.address.sun_path + 1, 60, "viofsd-test-%d-%u", (int)getpid(),
                          number++);
    daemon_side.address_size = (socklen_t)(sizeof(sa_family_t) + 1 + (size_t)length);
    daemon_side.listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    daemon_side.stop_fd = eventfd(0, EFD_CLOEXEC);
    if (bind(daemon_side.listen_fd, (struct sockaddr *)&daemon_side.address,
             daemon_side.address_size) < 0 ||
        listen(daemon_side.listen_fd, 1) < 0)
        return -errno;
    return -pthread_create(&daemon_side.thread, NULL, serve, NULL);
}

static int stop(void)
{
    uint64_t one = 1;

    if (write(daemon_side.stop_fd, &one, sizeof(one)) != sizeof(one))
        return -errno;
    pthread_join(daemon_side.thread, NULL);
    close(daemon_side.stop_fd);
    return daemon_side.result;
}

/* Returns a connected socket or a negative errno. */
static int join_in(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (connect(fd, (struct sockaddr *)&daemon_side.address, daemon_side.address_size) < 0) {
        int error = -errno;
        close(fd);
        return error;
    }
    return fd;
}

/* Sends GET_FEATURES; true when the answer comes within wait_ms. */
static bool is_served(int fd, int wait_ms)
{
    struct vu_header ask = {VU_GET_FEATURES, VU_VERSION, 0};
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    char reply[sizeof(struct vu_header) + 8];

    if (write(fd, &ask, sizeof(ask)) != sizeof(ask) || poll(&poll_fd, 1, wait_ms) <= 0)
        return false;
    return recv(fd, reply, sizeof(reply), MSG_WAITALL) == sizeof(reply);
}

static void once(void)
{
    CHECK_EQ(start(false), 0);
    int first = join_in();
    CHECK(first >= 0);
    CHECK(is_served(first, 5000));
    CHECK_EQ(join_in(), -ECONNREFUSED);
    close(first);
    pthread_join(daemon_side.thread, NULL);
    CHECK_EQ(daemon_side.result, DEVICE_END_CLEAN);
    CHECK_EQ(fake_resets, 1);
    close(daemon_side.stop_fd);
}

static void one_after_the_other(void)
{
    CHECK_EQ(start(true), 0);
    int first = join_in();
    CHECK(first >= 0 && is_served(first, 5000));
    int second = join_in();
    CHECK(second >= 0);
    CHECK(!is_served(second, 200));
    CHECK_EQ(fake_resets, 0);
    close(first);
    /* Its first question still stands in the socket, and is answered first. */
    CHECK(is_served(second, 5000));
    CHECK_EQ(fake_resets, 1);
    /* Stop while a front-end is there. */
    CHECK_EQ(stop(), DEVICE_END_CLEAN);
    CHECK_EQ(fake_resets, 2);
    close(second);
}

static void stop_without_front_end(void)
{
    CHECK_EQ(start(true), 0);
    usleep(20000);
    CHECK_EQ(stop(), DEVICE_END_CLEAN);
    CHECK_EQ(fake_resets, 0);
    CHECK_EQ(join_in(), -ECONNREFUSED);
}

int main(void)
{
    RUN(once);
    RUN(one_after_the_other);
    RUN(stop_without_front_end);
    return test_result();
}
