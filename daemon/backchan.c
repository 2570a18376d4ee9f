// SPDX-License-Identifier: BSD-3-Clause
#include "backchan.h"

#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "log.h"
#include "scope.h"
#include "vu_msg.h"

_Static_assert(BACKCHAN_REPLY_SIZE == sizeof(struct vu_header) + sizeof(uint64_t), "a reply");

/* How often to look whether the front-end has read a byte. */
#define STAGE_PAUSE_MIN_NS 10000
#define STAGE_PAUSE_MAX_NS 1000000

/* No request has this bit in its number. */
#define UNKNOWN_REQUEST    UINT32_C(0x40000000)

/* One call of backchan_ask(), from its begin to its end. */
struct call {
    struct backchan *channel;
    const struct backchan_request *requests;
    unsigned count;
    unsigned sent;
    unsigned answered;
    uint64_t value; /* that the first was answered with */
    unsigned turn;  /* of the channel, at the begin */
    int64_t deadline;
};

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

int backchan_init(struct backchan *channel)
{
    *channel = (struct backchan){
        .timeout_ms = BACKCHAN_TIMEOUT_MS, .fd = -1, .next_fd = -1, .stopped = true};
    channel->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (channel->wake_fd < 0)
        return -errno;
    pthread_mutex_init(&channel->call_lock, NULL);
    pthread_mutex_init(&channel->state_lock, NULL);
    return 0;
}

void backchan_destroy(struct backchan *channel)
{
    scope_close(&channel->fd);
    scope_close(&channel->next_fd);
    scope_close(&channel->wake_fd);
    pthread_mutex_destroy(&channel->state_lock);
    pthread_mutex_destroy(&channel->call_lock);
}

/* call_lock held. Goes over to the descriptor that replaces the one in use, if there is one. */
static void adopt_next(struct backchan *channel)
{
    pthread_mutex_lock(&channel->state_lock);
    int next = steal_fd(&channel->next_fd);
    pthread_mutex_unlock(&channel->state_lock);

    if (next < 0)
        return;
    scope_close(&channel->fd);
    channel->fd = next;
    channel->dead = false;
    channel->owed = 0;
    channel->late = false;
    channel->reply_fill = 0;
}

static void wake(struct backchan *channel)
{
    static const uint64_t one = 1;

    if (write(channel->wake_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
        log_limited(LOG_LEVEL_ERROR, "the back-end channel cannot be woken: %s", strerror(errno));
}

int backchan_open(struct backchan *channel, int fd)
{
    autoclose int owned = fd;
    struct stat st;

    if (fstat(owned, &st) < 0)
        return -errno;
    if (!S_ISSOCK(st.st_mode))
        return -ENOTSOCK;

    pthread_mutex_lock(&channel->state_lock);
    int unused = channel->next_fd;
    channel->next_fd = steal_fd(&owned);
    channel->turn++;
    pthread_mutex_unlock(&channel->state_lock);
    scope_close(&unused);
    channel->is_opened = true;
    wake(channel);
    /* If a call uses the old one, the next call finds the new one. */
    if (pthread_mutex_trylock(&channel->call_lock) == 0) {
        adopt_next(channel);
        pthread_mutex_unlock(&channel->call_lock);
    }
    return 0;
}

bool backchan_is_open(const struct backchan *channel)
{
    return channel->is_opened;
}

void backchan_start(struct backchan *channel)
{
    pthread_mutex_lock(&channel->state_lock);
    channel->stopped = false;
    pthread_mutex_unlock(&channel->state_lock);
}

void backchan_stop(struct backchan *channel)
{
    pthread_mutex_lock(&channel->state_lock);
    channel->stopped = true;
    channel->turn++;
    pthread_mutex_unlock(&channel->state_lock);
    wake(channel);
}

void backchan_interrupt(struct backchan *channel)
{
    pthread_mutex_lock(&channel->state_lock);
    channel->turn++;
    pthread_mutex_unlock(&channel->state_lock);
    wake(channel);
}

static bool is_interrupted(const struct call *call)
{
    struct backchan *channel = call->channel;

    pthread_mutex_lock(&channel->state_lock);
    bool interrupted = channel->stopped || channel->turn != call->turn;
    pthread_mutex_unlock(&channel->state_lock);
    return interrupted;
}

static int die(struct backchan *channel, const char *why)
{
    log_limited(LOG_LEVEL_WARN, "the back-end channel is of no use any more: %s", why);
    channel->dead = true;
    return -EIO;
}

/*
 * Returns 0 when events may have come, -ECANCELED, -ETIMEDOUT, or -EIO. Inside, a call that took
 * too long is -ETIMEDOUT, as that is not the end of the channel.
 */
static int wait_for(struct call *call, short events)
{
    struct backchan *channel = call->channel;
    int64_t left = call->deadline - now_ms();
    struct pollfd fds[2] = {
        {.fd = channel->fd, .events = events},
        {.fd = channel->wake_fd, .events = POLLIN},
    };
    uint64_t value;

    /* Somebody else may have taken the wake-up. */
    if (is_interrupted(call))
        return -ECANCELED;
    if (left <= 0)
        return -ETIMEDOUT;
    if (poll(fds, 2, (int)left) < 0 && errno != EINTR)
        return die(channel, strerror(errno));
    /* The state counts, not the wake-up, which may be an old one. */
    if (fds[1].revents && read(channel->wake_fd, &value, sizeof(value)) < 0 && errno != EAGAIN)
        return die(channel, strerror(errno));
    return is_interrupted(call) ? -ECANCELED : 0;
}

/* Takes the first skip bytes off a list of two pieces. */
static void skip_bytes(struct iovec iov[2], size_t skip)
{
    for (unsigned i = 0; i < 2; i++) {
        size_t here = skip < iov[i].iov_len ? skip : iov[i].iov_len;

        iov[i].iov_base = (char *)iov[i].iov_base + here;
        iov[i].iov_len -= here;
        skip -= here;
    }
}

/*
 * One sendmsg(), which never blocks: the request's first byte, and the descriptor with it, or its
 * other bytes, or all of it. Returns 0 or a negative errno.
 */
enum part { PART_ALL, PART_FIRST, PART_REST };

static int send_now(struct backchan *channel, const struct backchan_request *request,
                    enum part part)
{
    struct vu_header header = {request->number, VU_VERSION | VU_FLAG_NEED_REPLY, request->size};
    struct iovec iov[2] = {
        {.iov_base = &header, .iov_len = part == PART_FIRST ? 1 : sizeof(header)},
        {.iov_base = (void *)(uintptr_t)request->payload,
         .iov_len = part == PART_FIRST ? 0 : request->size},
    };

    if (part == PART_REST)
        skip_bytes(iov, 1);
    size_t length = iov[0].iov_len + iov[1].iov_len;
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {0};
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};

    if (request->fd >= 0 && part != PART_REST) {
        msg.msg_control = control.bytes;
        msg.msg_controllen = sizeof(control.bytes);
        struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(cmsg), &request->fd, sizeof(int));
    }
    ssize_t sent = sendmsg(channel->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0)
        return -errno;
    /* A UNIX stream takes what is as short as this whole or not at all. */
    return sent == (ssize_t)length ? 0 : -EPROTO;
}

/* Sends of the next request, waiting for room if must be. Returns 0, -EAGAIN, or as wait_for(). */
static int send_part(struct call *call, enum part part)
{
    for (;;) {
        int rc = send_now(call->channel, &call->requests[call->sent], part);

        switch (rc) {
        case 0:
            return 0;
        case -EINTR:
            continue;
        case -EAGAIN:
            rc = wait_for(call, POLLOUT);
            if (rc < 0)
                return rc;
            continue;
        case -ETOOMANYREFS:
        case -ENOBUFS:
        case -ENOMEM:
        case -EBADF:
            if (call->sent == 0 && part != PART_REST)
                return -EAGAIN;
            break;
        default:
            break;
        }
        return die(call->channel, strerror(-rc));
    }
}

/*
 * Returns 0 once the front-end has read all that was sent, or as wait_for(). Nothing tells us when,
 * so we look, first soon and then less and less often.
 */
static int wait_until_read(struct call *call)
{
    struct backchan *channel = call->channel;
    struct timespec pause = {.tv_nsec = STAGE_PAUSE_MIN_NS};

    for (;;) {
        struct pollfd wake = {.fd = channel->wake_fd, .events = POLLIN};
        uint64_t value;
        int unread;

        if (ioctl(channel->fd, SIOCOUTQ, &unread) < 0)
            return die(channel, strerror(errno));
        if (unread == 0)
            return 0;
        if (is_interrupted(call))
            return -ECANCELED;
        if (now_ms() >= call->deadline)
            return -ETIMEDOUT;
        if (ppoll(&wake, 1, &pause, NULL) > 0 &&
            read(channel->wake_fd, &value, sizeof(value)) < 0 && errno != EAGAIN)
            return die(channel, strerror(errno));
        if (pause.tv_nsec < STAGE_PAUSE_MAX_NS)
            pause.tv_nsec += pause.tv_nsec / 4;
    }
}

/* Makes a request that nobody knows of the first byte that was sent. */
static int send_nonsense(struct call *call)
{
    struct backchan *channel = call->channel;
    struct backchan_request nonsense = {
        .number = call->requests[call->sent].number | UNKNOWN_REQUEST, .fd = -1};
    int rc = send_now(channel, &nonsense, PART_REST);

    if (rc < 0)
        return die(channel, strerror(-rc));
    channel->owed++;
    return 0;
}

static int send_staged(struct call *call)
{
    /* What a stalled front-end has not read gets no more, and the other half always finds room. */
    int rc = wait_until_read(call);

    if (rc == 0)
        rc = send_part(call, PART_FIRST);
    if (rc < 0)
        return rc;
    rc = wait_until_read(call);
    if (rc == -ECANCELED || rc == -ETIMEDOUT)
        return send_nonsense(call) < 0 ? -EIO : rc;
    if (rc == 0)
        rc = send_part(call, PART_REST);
    /* Half a request cannot be left behind. */
    if (rc == -ECANCELED || rc == -ETIMEDOUT)
        return die(call->channel, "there is no room for the rest of a request");
    return rc;
}

/* Sends the next request. Returns 0, -EAGAIN, or as wait_for(). */
static int send_next(struct call *call)
{
    int rc = call->requests[call->sent].staged ? send_staged(call) : send_part(call, PART_ALL);

    if (rc == 0)
        call->sent++;
    return rc;
}

/* Takes in what is there of the next reply. Returns 1 when it is whole, -EAGAIN, or -EIO. */
static int receive_reply(struct backchan *channel, struct vu_header *ret_header,
                         uint64_t *ret_value)
{
    while (channel->reply_fill < BACKCHAN_REPLY_SIZE) {
        struct vu_msg fds = {.fd_count = 0};
        ssize_t got = vu_msg_receive_piece(channel->fd, &fds, channel->reply + channel->reply_fill,
                                           BACKCHAN_REPLY_SIZE - channel->reply_fill);

        vu_msg_clear(&fds); /* SHARED_OBJECT_LOOKUP may bring one; nobody wants it */
        if (got == -EINTR)
            continue;
        if (got == -EAGAIN)
            return -EAGAIN;
        if (got < 0)
            return die(channel, strerror((int)-got));
        if (got == 0)
            return die(channel, "the front-end has closed it");
        channel->reply_fill += (unsigned)got;
    }
    channel->reply_fill = 0;
    memcpy(ret_header, channel->reply, sizeof(*ret_header));
    memcpy(ret_value, channel->reply + sizeof(*ret_header), sizeof(*ret_value));
    if ((ret_header->flags & (VU_VERSION_MASK | VU_FLAG_REPLY)) != (VU_VERSION | VU_FLAG_REPLY) ||
        ret_header->size != sizeof(*ret_value))
        return die(channel, "a reply makes no sense");
    return 1;
}

/* Takes the replies that are there. Returns 0 when all to what was sent are, -EAGAIN, or -EIO. */
static int take_replies(struct call *call)
{
    struct backchan *channel = call->channel;

    while (channel->owed || call->answered < call->sent) {
        struct vu_header header = {0};
        uint64_t value = 0;
        int rc = receive_reply(channel, &header, &value);

        if (rc < 0)
            return rc;
        if (channel->owed) {
            channel->owed--;
            continue;
        }
        if (header.request != call->requests[call->answered].number)
            return die(channel, "a reply is to another request");
        if (call->answered++ == 0)
            call->value = value;
    }
    return 0;
}

/* Waits for all replies to what was sent, by this call or before. Returns 0 or as wait_for(). */
static int await_replies(struct call *call)
{
    int stop = 0;

    for (;;) {
        int rc = take_replies(call);

        if (rc != -EAGAIN)
            return rc;
        if (stop < 0)
            return stop;
        /* Once interrupted or too late, what is there already is still taken. */
        stop = wait_for(call, POLLIN);
        if (stop == -EIO)
            return stop;
    }
}

/*
 * A front-end that was too late once is asked again when it has caught up, so that it keeps nobody
 * waiting for long meanwhile. Returns 0 when it has, or as wait_for().
 */
static int await_late(struct call *call)
{
    struct backchan *channel = call->channel;
    int64_t deadline = call->deadline;
    int64_t soon = now_ms() + BACKCHAN_LATE_MS;

    if (!channel->late)
        return 0;
    if (soon < deadline)
        call->deadline = soon;
    int rc = await_replies(call);
    call->deadline = deadline;
    if (rc == 0)
        channel->late = false;
    return rc;
}

/* call_lock held. Returns as backchan_ask(). */
static int run_call(struct call *call)
{
    struct backchan *channel = call->channel;

    adopt_next(channel);
    if (is_interrupted(call))
        return -ECANCELED;
    if (channel->fd < 0 || channel->dead)
        return -EIO;
    int rc = await_late(call);
    while (rc == 0 && call->sent < call->count)
        rc = send_next(call);
    if (rc == 0)
        rc = await_replies(call);
    channel->owed += call->sent - call->answered;
    if (rc == -ETIMEDOUT) {
        if (!channel->late)
            log_limited(LOG_LEVEL_WARN, "the front-end has not answered request %u in %d ms",
                        call->requests[0].number, channel->timeout_ms);
        channel->late = true;
        return -EIO;
    }
    return rc == -ECANCELED && call->answered ? 0 : rc;
}

bool backchan_is_busy(struct backchan *channel)
{
    if (pthread_mutex_trylock(&channel->call_lock))
        return true;
    pthread_mutex_unlock(&channel->call_lock);
    return false;
}

int backchan_ask(struct backchan *channel, const struct backchan_request *requests, unsigned count,
                 uint64_t *ret_value)
{
    struct call call = {.channel = channel, .requests = requests, .count = count};

    pthread_mutex_lock(&channel->state_lock);
    call.turn = channel->turn;
    pthread_mutex_unlock(&channel->state_lock);

    pthread_mutex_lock(&channel->call_lock);
    call.deadline = now_ms() + channel->timeout_ms;
    int rc = run_call(&call);
    pthread_mutex_unlock(&channel->call_lock);
    if (rc == 0)
        *ret_value = call.value;
    return rc;
}
