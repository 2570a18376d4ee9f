// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

#include "device_core.h"
#include "guestfault.h"
#include "log.h"
#include "scope.h"
#include "vu_dispatch.h"
#include "vu_msg.h"

/* Pause when the system has no descriptor or memory for a connection right now. */
#define ACCEPT_RETRY_MS 100

/* A device that a hanging request keeps in use after device_serve() has returned. */
static struct device *volatile left_behind;

/* Handles messages until the front-end leaves, errs, or the daemon must stop. */
static void talk(struct device *device, int socket_fd)
{
    int rc;

    do {
        struct vu_msg msg;

        rc = vu_msg_receive(socket_fd, device->stop_fd, &msg);
        if (rc > 0) {
            rc = vu_dispatch(device, socket_fd, &msg);
            if (rc == 0)
                rc = 1;
        }
        vu_msg_clear(&msg);
    } while (rc > 0);

    if (rc == 0)
        log_info("the front-end has left");
    else if (rc != -ECANCELED)
        log_limited(LOG_LEVEL_WARN, "the connection to the front-end is closed: %s", strerror(-rc));
}

/*
 * Serves one front-end on a connected socket, to the end. Returns enum device_end, or -ENOMEM.
 * A device with a request that hangs is left behind for the thread that still uses it.
 */
static int serve_connection(const struct settings *settings, struct fuse_server *server,
                            int socket_fd, int stop_fd)
{
    struct device *device = device_new(settings, server, stop_fd);
    if (!device)
        return -ENOMEM;

    talk(device, socket_fd);

    int rc = device_stop_all(device, DEVICE_DRAIN_TIMEOUT_MS);
    /* The next front-end must find no trace of this one, however long that takes. */
    if (rc < 0 && settings->persistent)
        rc = device_stop_all(device, -1);
    if (rc < 0) {
        left_behind = device;
        return DEVICE_END_BUSY;
    }
    fuse_server_reset(server);
    device_free(device);
    return DEVICE_END_CLEAN;
}

static bool is_listening(int socket_fd)
{
    int listening = 0;
    socklen_t size = sizeof(listening);

    return getsockopt(socket_fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &size) == 0 && listening;
}

/* Waits for a front-end. Returns 0 with a descriptor, -ECANCELED on stop, or a negative errno. */
static int accept_front_end(int listen_fd, int stop_fd, int *ret_fd)
{
    struct pollfd fds[2] = {
        {.fd = listen_fd, .events = POLLIN},
        {.fd = stop_fd, .events = POLLIN},
    };

    for (;;) {
        if (poll(fds, 2, -1) < 0) {
            if (errno == EINTR)
                continue;
            return -errno;
        }
        if (fds[1].revents)
            return -ECANCELED;
        /* The descriptor may be shared and blocking: only after poll(), and errors may pass. */
        int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0) {
            log_info("a front-end has connected");
            *ret_fd = fd;
            return 0;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
            poll(&fds[1], 1, ACCEPT_RETRY_MS);
        else if (errno != EINTR && errno != EAGAIN && errno != ECONNABORTED)
            return -errno;
    }
}

static int serve_listening(const struct settings *settings, struct fuse_server *server,
                           int *listen_fd, int stop_fd)
{
    for (;;) {
        autoclose int socket_fd = -1;
        struct pollfd stop = {.fd = stop_fd, .events = POLLIN};
        int rc = accept_front_end(*listen_fd, stop_fd, &socket_fd);

        if (rc == -ECANCELED)
            return DEVICE_END_CLEAN;
        if (rc < 0)
            return rc;
        if (!settings->persistent) {
            close(*listen_fd);
            *listen_fd = -1;
        }
        rc = serve_connection(settings, server, socket_fd, stop_fd);
        if (rc != DEVICE_END_CLEAN || !settings->persistent || poll(&stop, 1, 0) > 0)
            return rc;
        log_info("waiting for the next front-end");
    }
}

int device_serve(const struct settings *settings, struct fuse_server *server, int socket_fd,
                 int stop_fd)
{
    autoclose int owned = socket_fd;

    signal(SIGPIPE, SIG_IGN);
    int rc = guestfault_install();
    if (rc == 0)
        rc = is_listening(owned) ? serve_listening(settings, server, &owned, stop_fd)
                                 : serve_connection(settings, server, owned, stop_fd);
    if (rc < 0)
        log_error("the socket cannot be served: %s", strerror(-rc));
    return rc;
}
