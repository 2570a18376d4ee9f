// SPDX-License-Identifier: BSD-3-Clause
/*
 * Ways to the end:
 *   somebody unmounts      the threads read ENODEV; DESTROY, stop the rings, 0
 *   SIGTERM, SIGINT        unmount, while the threads go on serving what is written back; a busy
 * mount is detached; then as above.  No progress for a while: the back-end hangs; abort, 1 the
 * back-end leaves    abort (close /dev/fuse: every waiter gets an error), detach, 1 connection
 * aborted, ring broken, read error: as if the back-end had left, with their own message
 */
#include "supervise.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "say.h"

#define STALL_MS    3000 /* no request finished for so long while unmounting: the back-end hangs */
#define DETACHED_MS 1000 /* grace for open files on a mount that was busy */
#define GOODBYE_MS  2000 /* per message of the shutdown */
#define TICK_MS     50

enum wake { WAKE_SIGNAL, WAKE_BACKEND, WAKE_PUMP, WAKE_RING_ERROR };

static int64_t now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* The back-end has nothing to say on this socket; the end of it is the news. */
static bool backend_left(const struct vuf_conn *conn)
{
    char bytes[256];
    ssize_t n = recv(conn->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

    return n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
}

/* Sleeps until something happens. */
static enum wake wait_for_news(const struct pump *pump, const struct vuf_fuse *fuse, int signal_fd)
{
    unsigned int n_rings = fuse->dev->n_rings;
    struct pollfd fds[3 + VUF_QUEUES_MAX] = {
        {.fd = pump_event_fd(pump), .events = POLLIN},
        {.fd = fuse->dev->conn.fd, .events = POLLIN},
        {.fd = signal_fd, .events = POLLIN},
    };

    for (unsigned int i = 0; i < n_rings; i++)
        fds[3 + i] = (struct pollfd){.fd = fuse->dev->rings[i].err_fd, .events = POLLIN};
    for (;;) {
        struct signalfd_siginfo info;

        if (poll(fds, 3 + n_rings, -1) < 0)
            continue;
        if (fds[0].revents)
            return WAKE_PUMP;
        if (fds[1].revents && backend_left(&fuse->dev->conn))
            return WAKE_BACKEND;
        if (fds[2].revents && read(signal_fd, &info, sizeof(info)) == sizeof(info))
            return WAKE_SIGNAL;
        for (unsigned int i = 0; i < n_rings; i++)
            if (fds[3 + i].revents)
                return WAKE_RING_ERROR;
    }
}

/* Waits up to timeout_ms for the child.  0: it succeeded, -ETIMEDOUT, -EBUSY: it failed. */
static int wait_child(pid_t pid, int timeout_ms)
{
    int64_t deadline = now_ms() + timeout_ms;
    int status;

    for (;;) {
        pid_t r = waitpid(pid, &status, WNOHANG);

        if (r == pid)
            return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EBUSY;
        if (r < 0)
            return -errno;
        if (now_ms() >= deadline)
            return -ETIMEDOUT;
        poll(NULL, 0, TICK_MS);
    }
}

static void detach(struct fusemount *mount)
{
    if (!fusemount_present(mount))
        return;
    pid_t pid = fusemount_start_unmount(mount, UNMOUNT_DETACH);

    if (pid < 0 || wait_child(pid, STALL_MS) < 0)
        say("cannot unmount '%s', please do", mount->directory);
}

void supervise_discard(struct fusemount *mount)
{
    struct fusemount still_there = *mount;

    /* Closing first: nobody can wait for a file system that is aborted. */
    fusemount_close(mount);
    detach(&still_there);
}

/* Abort and out.  CHILD: an unmount that got stuck, or 0.  The abort wakes it, and it must end
 * before another one looks at the mount table: two of them could take down what lies below. */
static int end_badly(struct pump *pump, struct fusemount *mount, pid_t child)
{
    struct fusemount still_there = *mount;

    pump_stop(pump);
    fusemount_close(mount);
    if (child > 0)
        wait_child(child, STALL_MS);
    detach(&still_there);
    return EXIT_FAILURE;
}

/* As long as it goes forward, an unmount may take its time: data are being written back. */
static int wait_unmount(struct pump *pump, const struct vuf_fuse *fuse, pid_t pid)
{
    uint64_t progress = pump_progress(pump);
    int64_t last = now_ms();

    for (;;) {
        int r = wait_child(pid, TICK_MS);

        if (r != -ETIMEDOUT)
            return r;
        if (backend_left(&fuse->dev->conn))
            return -ECONNRESET;
        if (pump_progress(pump) != progress) {
            progress = pump_progress(pump);
            last = now_ms();
        } else if (now_ms() - last > STALL_MS) {
            return -ETIMEDOUT;
        }
    }
}

/* SIGTERM.  0 when the mount is gone or detached.  *ret_child is a child that is stuck, or 0;
 * always set. */
static int unmount_politely(struct pump *pump, struct fusemount *mount, const struct vuf_fuse *fuse,
                            pid_t *ret_child)
{
    static const enum unmount ways[] = {UNMOUNT_PLAIN, UNMOUNT_WRITE_BACK};
    int r = 0;

    *ret_child = 0;
    for (int i = 0; i < 2 && fusemount_present(mount); i++) {
        pid_t pid = fusemount_start_unmount(mount, ways[i]);

        r = pid < 0 ? pid : wait_unmount(pump, fuse, pid);
        if (r == -ETIMEDOUT || r == -ECONNRESET) {
            *ret_child = pid;
            return r;
        }
        if (r == 0)
            break;
    }
    if (r == 0) {
        /* A detached mount lives on while files are open in it. */
        struct pollfd fd = {.fd = pump_event_fd(pump), .events = POLLIN};

        poll(&fd, 1, DETACHED_MS);
    }
    return r;
}

/* The end of the session as a guest ends it, on a mount that is gone.  Returns the exit status. */
static int end_well(struct pump *pump, struct fusemount *mount, struct vuf_fuse *fuse)
{
    int r;

    pump_stop(pump);
    fusemount_close(mount);
    fuse->dev->conn.timeout_ms = GOODBYE_MS;
    r = vuf_fuse_destroy(fuse);
    if (r != -ETIMEDOUT)
        r = vuf_dev_stop(fuse->dev);
    if (r == -ETIMEDOUT || r == -ECONNRESET) {
        say("the back-end does not see the end of '%s': %s", mount->directory, say_errno(r));
        return EXIT_FAILURE;
    }
    /* An errno from a back-end that has stopped is of no interest to anybody. */
    return EXIT_SUCCESS;
}

static int end_of_pump(struct pump *pump, struct fusemount *mount, struct vuf_fuse *fuse)
{
    enum pump_end why = pump_end(pump);

    /* The error of the read does not tell: an abort can look like an unmount (without
     * FUSE_ABORT_ERROR), and an unmount like an abort (when it comes between a request's leaving
     * the queue and its being copied). The mount table does. */
    if (why == PUMP_UNMOUNTED || why == PUMP_ABORTED)
        why = fusemount_present(mount) ? PUMP_ABORTED : PUMP_UNMOUNTED;
    switch (why) {
    case PUMP_UNMOUNTED:
        return end_well(pump, mount, fuse);
    case PUMP_ABORTED:
        say("the FUSE connection of '%s' was aborted; unmounting", mount->directory);
        break;
    case PUMP_RING:
        say("the back-end broke a virtqueue; unmounting '%s'", mount->directory);
        break;
    default:
        say("unmounting '%s'", mount->directory);
    }
    return end_badly(pump, mount, 0);
}

static int end_by_signal(struct pump *pump, struct fusemount *mount, struct vuf_fuse *fuse)
{
    pid_t child;
    int r = unmount_politely(pump, mount, fuse, &child);

    if (r == 0)
        return end_well(pump, mount, fuse);
    if (r == -ETIMEDOUT)
        say("the back-end does not answer; '%s' is aborted", mount->directory);
    else if (r == -ECONNRESET)
        say("the back-end left; unmounting '%s'", mount->directory);
    else
        say("unmounting '%s' failed; it is aborted", mount->directory);
    return end_badly(pump, mount, child);
}

int supervise(struct pump *pump, struct fusemount *mount, struct vuf_fuse *fuse, int signal_fd)
{
    switch (wait_for_news(pump, fuse, signal_fd)) {
    case WAKE_PUMP:
        return end_of_pump(pump, mount, fuse);
    case WAKE_SIGNAL:
        return end_by_signal(pump, mount, fuse);
    case WAKE_RING_ERROR:
        say("the back-end reports a broken virtqueue; unmounting '%s'", mount->directory);
        return end_badly(pump, mount, 0);
    case WAKE_BACKEND:
    default:
        say("the back-end left; unmounting '%s'", mount->directory);
        return end_badly(pump, mount, 0);
    }
}
