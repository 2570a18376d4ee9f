// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "device_core.h"
#include "guestfault.h"
#include "log.h"
#include "scope.h"
#include "vu_dispatch.h"
#include "vu_msg.h"

/* Pause when the system has no descriptor or memory for a connection right now. */
#define ACCEPT_RETRY_MS  100

/* What the control thread gets beyond its own time limit before it is taken for stuck. */
#define CONTROL_GRACE_MS 100

/* What a hanging request, or thread, keeps in use after device_serve() has returned. */
static struct device *volatile left_behind;
static struct control *volatile control_left_behind;

/* Handles messages until the front-end leaves, errs, or the daemon must stop. */
static void talk(struct device *device, int socket_fd)
{
    int rc;

    do {
        struct vu_msg msg;

        device_wait_message(device, socket_fd);
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
    /* While the mapper is known: without one, what the server doubts about mappings is nothing. */
    fuse_server_reset(server);
    dax_window_leave(&device->window);
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
    struct pollfd stop = {.fd = stop_fd, .events = POLLIN};

    for (;;) {
        int rc = vu_msg_wait(listen_fd, stop_fd, POLLIN);
        if (rc < 0)
            return rc;
        /* The descriptor may be shared and blocking: only after poll(), and errors may pass. */
        int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0) {
            log_info("a front-end has connected");
            *ret_fd = fd;
            return 0;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
            poll(&stop, 1, ACCEPT_RETRY_MS);
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

/*
 * The control thread. Most of what it does with a front-end's descriptors cannot be done without
 * blocking for ever if the front-end wants it to: asking for the attributes of a file that the
 * front-end itself serves, waiting for a queue's lock while a thread of the queue signals an
 * eventfd that is full. So the caller of device_serve() is another thread, which only waits.
 */
struct control {
    const struct settings *settings;
    struct fuse_server *server;
    int socket_fd; /* the control thread's */
    int stop_fd;
    int ended_fd; /* readable: the thread has ended */
    int result;
};

static void *control_main(void *argument)
{
    static const uint64_t one = 1;
    struct control *control = argument;
    int *socket_fd = &control->socket_fd;

    pthread_setname_np(pthread_self(), "control");
    control->result =
        is_listening(*socket_fd)
            ? serve_listening(control->settings, control->server, socket_fd, control->stop_fd)
            : serve_connection(control->settings, control->server, *socket_fd, control->stop_fd);
    scope_close(socket_fd);
    if (write(control->ended_fd, &one, sizeof(one)) < 0)
        log_error("the end of the control thread cannot be told: %s", strerror(errno));
    return NULL;
}

/* Returns false when the control thread neither ends nor minds that the daemon must stop. */
static bool wait_for_control(const struct control *control)
{
    struct pollfd fds[2] = {
        {.fd = control->ended_fd, .events = POLLIN},
        {.fd = control->stop_fd, .events = POLLIN},
    };

    while (poll(fds, 2, -1) < 0 && errno == EINTR)
        continue;
    if (fds[0].revents)
        return true;
    return poll(fds, 1, DEVICE_STOP_TIMEOUT_MS + CONTROL_GRACE_MS) > 0;
}

static int run_control(struct control *control)
{
    pthread_t thread;
    int error = pthread_create(&thread, NULL, control_main, control);

    if (error) {
        close(control->socket_fd);
        return -error;
    }
    if (!wait_for_control(control)) {
        log_error("the front-end keeps the control thread from stopping");
        pthread_detach(thread);
        return DEVICE_END_BUSY;
    }
    pthread_join(thread, NULL);
    return control->result;
}

int device_serve(const struct settings *settings, struct fuse_server *server, int socket_fd,
                 int stop_fd)
{
    autoclose int owned = socket_fd;
    struct control *control = calloc(1, sizeof(*control));
    int rc = control ? guestfault_install() : -ENOMEM;

    if (settings->dax_window && !settings->tag && settings->dax_protocol != DAX_PROTOCOL_FS_MAP)
        log_warn("--dax-window without --tag: the window is not offered by SHMEM, which QEMU and "
                 "crosvm need");
    signal(SIGPIPE, SIG_IGN);
    if (rc == 0) {
        *control = (struct control){settings, server, -1, stop_fd, -1, 0};
        control->ended_fd = eventfd(0, EFD_CLOEXEC);
        rc = control->ended_fd < 0 ? -errno : 0;
    }
    if (rc == 0) {
        control->socket_fd = steal_fd(&owned);
        rc = run_control(control);
        /* A thread that is left behind still uses it. */
        if (rc == DEVICE_END_BUSY) {
            control_left_behind = control;
            return rc;
        }
        close(control->ended_fd);
    }
    free(control);
    if (rc < 0)
        log_error("the socket cannot be served: %s", strerror(-rc));
    return rc;
}
