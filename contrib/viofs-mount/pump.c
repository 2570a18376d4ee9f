// SPDX-License-Identifier: BSD-3-Clause
#include "pump.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "forgets.h"
#include "patience.h"
#include "reply_room.h"
#include "say.h"

/* Gives a descriptor its own list of requests being worked on, so that threads do not share a lock
 * there. */
#define DEV_CLONE      _IOR(229, 0, uint32_t)

#define BATCH          64 /* requests taken before replies are looked at again */
#define ROUNDS         64 /* of work, after which a thread that has not slept looks at all else */
#define LOOK_NS        10000 /* between looks at /dev/fuse while a reply is awaited */
#define COMPLAINTS_MAX 10    /* lines about odd replies; a broken back-end could fill the log */

enum source { SOURCE_DEV, SOURCE_CALL, SOURCE_HIPRIO, SOURCE_STOP };

struct worker {
    struct pump *pump;
    unsigned int ring;
    pthread_t thread;
    bool running;
    int dev_fd;  /* /dev/fuse */
    bool cloned; /* dev_fd is ours to close */
    int epoll_fd;
    bool readable; /* /dev/fuse may have a request */
    bool watching; /* dev_fd is in the epoll set: not while all slots are in flight */
    struct patience patience;
    unsigned int n_late; /* requests in flight that were looked for in vain */
    uint64_t n_done;
    struct counts counts;
};

struct pump {
    struct vuf_fuse *fuse;
    struct forgets forgets;
    struct pump_options options;
    int stop_fd;
    int event_fd;
    int end;          /* enum pump_end, atomic */
    int n_complaints; /* atomic */
    unsigned int n_workers;
    struct worker workers[];
};

static void end_with(struct pump *pump, enum pump_end why)
{
    int running = PUMP_RUNNING;

    if (__atomic_compare_exchange_n(&pump->end, &running, (int)why, false, __ATOMIC_SEQ_CST,
                                    __ATOMIC_SEQ_CST))
        eventfd_write(pump->event_fd, 1);
}

static bool ended(const struct pump *pump)
{
    return __atomic_load_n(&pump->end, __ATOMIC_RELAXED) != PUMP_RUNNING;
}

static void complain(struct pump *pump, const struct vuf_fuse_req *req, const char *what)
{
    if (__atomic_fetch_add(&pump->n_complaints, 1, __ATOMIC_RELAXED) < COMPLAINTS_MAX)
        say("back-end: opcode %u: %s", req->opcode, what);
}

static bool watch(struct worker *worker, int fd, uint32_t events, enum source source)
{
    struct epoll_event event = {.events = events, .data.u32 = source};

    return epoll_ctl(worker->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

/* Exclusive: one request shall wake one thread. */
static bool watch_dev(struct worker *worker)
{
    worker->watching = watch(worker, worker->dev_fd, EPOLLIN | EPOLLEXCLUSIVE, SOURCE_DEV);
    return worker->watching;
}

static void unwatch_dev(struct worker *worker)
{
    if (worker->watching)
        epoll_ctl(worker->epoll_fd, EPOLL_CTL_DEL, worker->dev_fd, NULL);
    worker->watching = false;
}

static void answer_error(struct worker *worker, uint64_t unique, int error)
{
    struct vuf_out_header head = {.len = sizeof(head), .error = error, .unique = unique};
    ssize_t n = write(worker->dev_fd, &head, sizeof(head));

    (void)n; /* the request was aborted meanwhile, or the mount is gone and the reader will see */
}

static void finish(struct worker *worker, struct vuf_fuse_req *req)
{
    struct iovec iov[2] = {
        {.iov_base = &req->head, .iov_len = sizeof(req->head)},
        {.iov_base = vuf_fuse_reply(req), .iov_len = vuf_fuse_reply_len(req)},
    };

    if (req->bad) {
        complain(worker->pump, req, req->bad);
        answer_error(worker, req->unique, -EIO);
    } else if (writev(worker->dev_fd, iov, iov[1].iov_len ? 2 : 1) < 0 && errno == EINVAL) {
        complain(worker->pump, req, "the kernel refuses the reply");
        answer_error(worker, req->unique, -EIO);
    }
    vuf_fuse_put(worker->pump->fuse, req);
}

static unsigned int in_flight(const struct worker *worker)
{
    const struct vuf_fuse_pool *pool = &worker->pump->fuse->pools[worker->ring];

    return pool->n_reqs - pool->n_free;
}

/* Answers all that the back-end has finished.  Returns whether there was any. */
static bool finish_all(struct worker *worker)
{
    struct vuf_fuse_req *req;
    uint64_t n = 0;
    int r;

    while ((r = vuf_fuse_reap(worker->pump->fuse, worker->ring, &req)) > 0) {
        finish(worker, req);
        n++;
    }
    if (r < 0)
        end_with(worker->pump, PUMP_RING);
    if (n)
        __atomic_store_n(&worker->n_done, worker->n_done + n, __ATOMIC_RELAXED);
    if (n && !worker->watching)
        watch_dev(worker);
    /* With more in flight, whoever got a reply is likely to have the next request by now, and epoll
     * is not asked while there is work: without this look the queue would run dry first.  With
     * nothing in flight epoll says so as fast. */
    if (n && worker->watching && in_flight(worker))
        worker->readable = true;
    /* Which of them it was does not matter: with one less, the others are likely to be the late
     * ones. */
    if (worker->n_late > in_flight(worker))
        worker->n_late = in_flight(worker);
    return n;
}

static void check_lane(struct pump *pump, int r)
{
    if (r == -EPROTO)
        end_with(pump, PUMP_RING);
    else if (r == -ENOMEM)
        say("out of memory, FORGETs are lost");
}

/* Requests without a reply.  true: it was one; the slot is free again. */
static bool handle_one_way(struct pump *pump, struct vuf_fuse_req *req,
                           const struct vuf_in_header *hdr)
{
    const unsigned char *args = vuf_fuse_args(req);
    size_t args_len = hdr->len - sizeof(*hdr);
    struct vuf_batch_forget_in batch;
    struct vuf_forget_one one = {.nodeid = hdr->nodeid};
    struct vuf_interrupt_in interrupt;

    switch (hdr->opcode) {
    case VUF_OP_FORGET:
        if (args_len < sizeof(struct vuf_forget_in))
            break;
        memcpy(&one.nlookup, args, sizeof(one.nlookup));
        check_lane(pump, forgets_add(&pump->forgets, &one, 1));
        break;
    case VUF_OP_BATCH_FORGET:
        if (args_len < sizeof(batch))
            break;
        memcpy(&batch, args, sizeof(batch));
        if (batch.count > (args_len - sizeof(batch)) / sizeof(one))
            break;
        check_lane(pump,
                   forgets_add(&pump->forgets,
                               (const struct vuf_forget_one *)(args + sizeof(batch)), batch.count));
        break;
    case VUF_OP_INTERRUPT:
        if (!pump->options.send_interrupt || args_len < sizeof(interrupt))
            break;
        memcpy(&interrupt, args, sizeof(interrupt));
        check_lane(pump, forgets_interrupt(&pump->forgets, interrupt.unique));
        break;
    case VUF_OP_NOTIFY_REPLY:
        break;
    default:
        return false;
    }
    vuf_fuse_put(pump->fuse, req);
    return true;
}

static void forward(struct worker *worker, struct vuf_fuse_req *req, size_t len)
{
    struct pump *pump = worker->pump;
    struct vuf_in_header hdr;
    int r;

    memcpy(&hdr, req->in, sizeof(hdr));
    if (len < sizeof(hdr) || hdr.len != len) {
        /* The kernel never does this: the back-end wrote over a slot that was not its own. */
        vuf_fuse_put(pump->fuse, req);
        end_with(pump, PUMP_RING);
        return;
    }
    counts_add(&worker->counts, &hdr, vuf_fuse_args(req));
    if (handle_one_way(pump, req, &hdr))
        return;
    r = vuf_fuse_submit_raw(pump->fuse, req, &hdr,
                            reply_room(&hdr, vuf_fuse_args(req), len - sizeof(hdr), req->out_cap));
    if (r < 0) {
        answer_error(worker, hdr.unique, -EIO);
        vuf_fuse_put(pump->fuse, req);
        return;
    }
    /* Right away: the back-end works on it while the next one is read.  A busy one is not notified.
     */
    vuf_fuse_kick(pump->fuse, worker->ring);
}

static void read_failed(struct worker *worker, int err)
{
    switch (err) {
    case EAGAIN:
        worker->readable = false;
        break;
    case EINTR:
    case ENOENT: /* the request was interrupted before we had it */
        break;
    case ENODEV:
        end_with(worker->pump, PUMP_UNMOUNTED);
        break;
    case ECONNABORTED:
        end_with(worker->pump, PUMP_ABORTED);
        break;
    default:
        say("reading /dev/fuse: %s", strerror(err));
        end_with(worker->pump, PUMP_FAILED);
    }
}

/* Takes requests from the kernel as long as there are any and slots to put them in. */
static bool take_requests(struct worker *worker)
{
    struct pump *pump = worker->pump;
    unsigned int n = 0;

    while (worker->readable && n < BATCH && !ended(pump)) {
        struct vuf_fuse_req *req = vuf_fuse_get(pump->fuse, worker->ring);

        if (!req) {
            unwatch_dev(worker);
            worker->readable = false;
            break;
        }
        ssize_t len = read(worker->dev_fd, req->in, req->in_cap);

        if (len < 0) {
            int err = errno;

            vuf_fuse_put(pump->fuse, req);
            read_failed(worker, err);
            continue;
        }
        forward(worker, req, (size_t)len);
        n++;
    }
    return n;
}

static int64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/*
 * Looks for a reply as long as the options say, since the last request.  The back-end does not have
 * to make a call meanwhile.  The processor is offered to others all the time: the back-end may need
 * this very one.  Who is offered it may keep it for milliseconds, though, where a sleeper that is
 * woken would get it back at once: where there are others the looking ends.
 */
static enum look look_for_reply(struct worker *worker)
{
    const struct vuf_ring *ring = &worker->pump->fuse->dev->rings[worker->ring];
    int64_t patient = worker->pump->options.poll_ns;
    int64_t now = now_ns();
    int64_t end = now + patient;
    int64_t look = now + LOOK_NS;

    while (now < end && !ended(worker->pump)) {
        int64_t before = now;

        if (vuf_ring_has_done(ring))
            return LOOK_FOUND;
        sched_yield();
        now = now_ns();
        if (now - before > patient)
            return LOOK_CROWDED;
        if (now < look)
            continue;
        look = now + LOOK_NS;
        worker->readable = worker->watching;
        if (take_requests(worker))
            end = now + patient;
    }
    return LOOK_IN_VAIN;
}

/* Stays awake for a reply where that is likely to pay.  Returns whether there is one. */
static bool await_reply(struct worker *worker)
{
    enum look look;

    if (!worker->pump->options.poll_ns || in_flight(worker) <= worker->n_late ||
        !patience_asks(&worker->patience))
        return false;
    look = look_for_reply(worker);
    patience_learns(&worker->patience, look);
    if (look == LOOK_IN_VAIN)
        worker->n_late = in_flight(worker);
    return look == LOOK_FOUND;
}

/* What other descriptors than the ring have to say.  false: told to stop. */
static bool look_around(struct worker *worker, int timeout_ms)
{
    struct epoll_event events[4];
    int n = epoll_wait(worker->epoll_fd, events, 4, timeout_ms);

    for (int i = 0; i < n; i++) {
        switch (events[i].data.u32) {
        case SOURCE_DEV:
            worker->readable = true;
            break;
        case SOURCE_HIPRIO:
            check_lane(worker->pump, forgets_service(&worker->pump->forgets));
            break;
        case SOURCE_STOP:
            return false;
        default:
            break; /* a call: finish_all comes next in any case */
        }
    }
    return true;
}

/* Sleeps until there is something to do.  false: told to stop. */
static bool sleep_for_work(struct worker *worker)
{
    struct vuf_ring *ring = &worker->pump->fuse->dev->rings[worker->ring];
    bool goes_on = vuf_ring_calls_on(ring) || look_around(worker, -1);

    vuf_ring_calls_off(ring);
    return goes_on;
}

static void *work(void *arg)
{
    struct worker *worker = arg;
    unsigned int rounds = 0;
    bool goes_on = true;

    while (goes_on && !ended(worker->pump)) {
        bool busy = finish_all(worker);

        busy |= take_requests(worker);
        if (!busy && !await_reply(worker)) {
            goes_on = sleep_for_work(worker);
            rounds = 0;
        } else if (++rounds % ROUNDS == 0) {
            goes_on = look_around(worker, 0);
        }
    }
    return NULL;
}

/* A descriptor of its own for the thread, or the shared one where that is not possible (an ordinary
 * user who may not open /dev/fuse himself). */
static void clone_dev(struct worker *worker, int fuse_fd)
{
    uint32_t source = (uint32_t)fuse_fd;
    int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK);

    worker->dev_fd = fuse_fd;
    if (fd < 0)
        return;
    if (ioctl(fd, DEV_CLONE, &source) < 0) {
        close(fd);
        return;
    }
    worker->dev_fd = fd;
    worker->cloned = true;
}

static int start_worker(struct pump *pump, struct worker *worker, unsigned int index, int fuse_fd)
{
    struct vuf_dev *dev = pump->fuse->dev;
    int r;

    *worker = (struct worker){.pump = pump, .ring = index + 1, .dev_fd = fuse_fd, .readable = true};
    patience_start(&worker->patience);
    worker->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (worker->epoll_fd < 0)
        return -errno;
    if (index > 0)
        clone_dev(worker, fuse_fd);
    /* Edge-triggered, so that the counter need not be read: what counts is the used ring. */
    if (!watch_dev(worker) || !watch(worker, pump->stop_fd, EPOLLIN, SOURCE_STOP) ||
        !watch(worker, dev->rings[worker->ring].call_fd, EPOLLIN | EPOLLET, SOURCE_CALL) ||
        (index == 0 &&
         !watch(worker, dev->rings[VUF_HIPRIO].call_fd, EPOLLIN | EPOLLET, SOURCE_HIPRIO)))
        return -errno;
    r = pthread_create(&worker->thread, NULL, work, worker);
    if (r)
        return -r;
    worker->running = true;
    return 0;
}

int pump_start(struct pump **ret_pump, struct vuf_fuse *fuse, int fuse_fd,
               const struct pump_options *options)
{
    unsigned int n = fuse->n_pools - 1;
    struct pump *pump = calloc(1, sizeof(*pump) + n * sizeof(pump->workers[0]));
    int r = 0;

    if (!pump)
        return -ENOMEM;
    pump->fuse = fuse;
    pump->options = *options;
    forgets_open(&pump->forgets, fuse);
    pump->stop_fd = eventfd(0, EFD_CLOEXEC);
    pump->event_fd = eventfd(0, EFD_CLOEXEC);
    if (pump->stop_fd < 0 || pump->event_fd < 0)
        r = -errno;
    while (r == 0 && pump->n_workers < n) {
        unsigned int i = pump->n_workers++;

        r = start_worker(pump, &pump->workers[i], i, fuse_fd);
    }
    if (r < 0) {
        pump_stop(pump);
        pump_close(pump);
        return r;
    }
    *ret_pump = pump;
    return 0;
}

int pump_event_fd(const struct pump *pump)
{
    return pump->event_fd;
}

enum pump_end pump_end(const struct pump *pump)
{
    return (enum pump_end)__atomic_load_n(&pump->end, __ATOMIC_SEQ_CST);
}

uint64_t pump_progress(const struct pump *pump)
{
    uint64_t sum = 0;

    for (unsigned int i = 0; i < pump->n_workers; i++)
        sum += __atomic_load_n(&pump->workers[i].n_done, __ATOMIC_RELAXED);
    return sum;
}

void pump_counts(const struct pump *pump, struct counts *ret_counts)
{
    *ret_counts = (struct counts){0};
    for (unsigned int i = 0; i < pump->n_workers; i++)
        for (unsigned int j = 0; j < COUNTS_OPCODES; j++)
            ret_counts->requests[j] += pump->workers[i].counts.requests[j];
}

void pump_stop(struct pump *pump)
{
    if (!pump)
        return;
    end_with(pump, PUMP_STOPPED);
    if (pump->stop_fd >= 0)
        eventfd_write(pump->stop_fd, 1);
    for (unsigned int i = 0; i < pump->n_workers; i++) {
        struct worker *worker = &pump->workers[i];

        if (worker->running)
            pthread_join(worker->thread, NULL);
        if (worker->cloned)
            close(worker->dev_fd);
        if (worker->epoll_fd >= 0)
            close(worker->epoll_fd);
        worker->running = worker->cloned = false;
        worker->epoll_fd = -1;
    }
}

void pump_close(struct pump *pump)
{
    if (!pump)
        return;
    forgets_close(&pump->forgets);
    if (pump->stop_fd >= 0)
        close(pump->stop_fd);
    if (pump->event_fd >= 0)
        close(pump->event_fd);
    free(pump);
}
