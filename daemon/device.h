// SPDX-License-Identifier: BSD-3-Clause
/*
 * The device: a vhost-user back-end (virtio-fs, virtio 1.3 section 5.11) that serves one
 * front-end at a time on a stream socket and hands the guest's requests to a fuse_server.
 *
 * Owner: main, for the time of one device_serve() call. The call makes the control thread: it
 * alone reads the socket, and it alone starts and stops queues; the calling thread only waits for
 * it. All threads are made and joined inside the call; they inherit what the caller has (seccomp
 * filter, capabilities, signal mask). Every signal but SIGBUS is blocked in the queues' threads.
 */
#ifndef VIOFS_DEVICE_H
#define VIOFS_DEVICE_H

#include "fuse_server.h"
#include "settings.h"

/* How device_serve() ended, when it did not fail. */
enum device_end {
    /* Everything is answered, every thread is joined, the server may be freed. */
    DEVICE_END_CLEAN = 0,
    /*
     * A request hangs in a host system call, or the front-end has made a thread of ours block: it
     * is still inside the server. The caller must end the process without freeing the server or
     * anything that it uses; no reply that was given is lost by that.
     */
    DEVICE_END_BUSY = 1,
};

/*
 * From the moment that stop_fd becomes readable until device_serve() returns; a tenth of a second
 * more when the front-end blocks the control thread itself.
 */
#define DEVICE_STOP_TIMEOUT_MS 800

/*
 * Serves front-ends on socket_fd.
 *
 * socket_fd is a UNIX stream socket, either listening (it is asked: SO_ACCEPTCONN) or already
 * connected to a front-end. It is taken over and closed, also on failure. A listening one:
 *  - not settings->persistent: closed as soon as one front-end is accepted, so that a second
 *    one is refused by the kernel; the call returns when that front-end left.
 *  - settings->persistent: kept; a second front-end waits in the backlog until the first one has
 *    left, and then finds a device and a server as new; the call returns on stop only.
 *
 * stop_fd is anything that poll() can tell readable when the daemon must end (signalfd, eventfd);
 * it is not read and not closed. On stop no further request is taken, those that were taken are
 * answered (or left in the ring untouched, if they were waiting for the front-end), and the call
 * returns within DEVICE_STOP_TIMEOUT_MS, also if the front-end stalls in the middle of a message or
 * a request hangs.
 *
 * fuse_server_reset() is called after each front-end that left, with no request running.
 *
 * SIGPIPE is ignored and SIGBUS has a handler of ours from then on, for the rest of the process.
 *
 * Returns enum device_end, or a negative errno when the socket cannot be used at all (after one
 * line in the log). A front-end that breaks the protocol is not an error of this call: its
 * connection is closed, which counts as leaving.
 *
 * Prerequisite: the process is sealed (sandbox_seal()). The system calls made inside, beyond
 * the server's own: accept4, clone3/clone and what libc needs to start a thread, close, eventfd2,
 * fcntl(F_GETFL), fstat, fstatfs, futex, getsockopt(SO_ACCEPTCONN), ioctl(SIOCOUTQ), madvise,
 * mmap, mprotect, munmap, poll/ppoll, prctl(PR_SET_NAME), preadv2, read, recvmsg,
 * rt_sigaction, rt_sigprocmask, sendmsg, tgkill (a SIGBUS that was sent), write.
 */
int device_serve(const struct settings *settings, struct fuse_server *server, int socket_fd,
                 int stop_fd);

#endif
