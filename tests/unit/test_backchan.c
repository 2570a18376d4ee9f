// SPDX-License-Identifier: BSD-3-Clause
/* Requests to the front-end: answered, refused, late, never, wrongly, and stopped meanwhile. */
#include "backchan.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "test.h"
#include "vu_proto.h"

#define PATIENCE_MS 5000
#define MAP         VU_BACKEND_SHMEM_MAP
#define LOOKUP      VU_BACKEND_SHARED_OBJECT_LOOKUP

static struct backchan channel;
static int peer; /* the front-end's end */

/* A thread of a queue that asks once. */
struct asker {
    pthread_t thread;
    struct backchan_request requests[2];
    unsigned count;
    int rc;
    uint64_t value;
};

static void open_channel(void)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0 ||
        backchan_open(&channel, pair[1]) < 0)
        abort();
    peer = pair[0];
}

static void setup(void)
{
    if (backchan_init(&channel) < 0)
        abort();
    open_channel();
    backchan_start(&channel);
}

static void teardown(void)
{
    backchan_destroy(&channel);
    close(peer);
}

static void *ask_main(void *argument)
{
    struct asker *asker = argument;

    asker->rc = backchan_ask(&channel, asker->requests, asker->count, &asker->value);
    return NULL;
}

static const char payload[40] = "what is to be mapped";

static void begin_ask(struct asker *asker, unsigned count, int fd)
{
    *asker = (struct asker){
        .requests = {{MAP, payload, sizeof(payload), fd, false}, {LOOKUP, payload, 16, -1, false}},
        .count = count,
        .rc = 1,
        .value = 99,
    };
    if (pthread_create(&asker->thread, NULL, ask_main, asker))
        abort();
}

static void begin_staged(struct asker *asker)
{
    *asker = (struct asker){.requests = {{MAP, payload, sizeof(payload), -1, true}}, .count = 1};
    if (pthread_create(&asker->thread, NULL, ask_main, asker))
        abort();
}

static int end_ask(struct asker *asker)
{
    pthread_join(asker->thread, NULL);
    return asker->rc;
}

/* Reads one request. Returns its number, -1 for none within the patience, -2 for a wrong one. */
static int take(int *ret_fd)
{
    struct {
        struct vu_header header;
        char payload[64];
    } __attribute__((packed)) request;
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec iov = {&request.header, sizeof(request.header)};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.bytes,
                         .msg_controllen = sizeof(control.bytes)};
    struct pollfd wait = {.fd = peer, .events = POLLIN};

    if (poll(&wait, 1, PATIENCE_MS) <= 0 ||
        recvmsg(peer, &msg, MSG_CMSG_CLOEXEC) != sizeof(request.header))
        return -1;
    struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
    if ((cmsg != NULL) != (ret_fd != NULL))
        return -2;
    if (cmsg)
        memcpy(ret_fd, CMSG_DATA(cmsg), sizeof(int));
    if (request.header.flags != (VU_VERSION | VU_FLAG_NEED_REPLY) ||
        request.header.size > sizeof(request.payload) ||
        recv(peer, request.payload, request.header.size, MSG_WAITALL) != request.header.size ||
        memcmp(request.payload, payload, request.header.size))
        return -2;
    return (int)request.header.request;
}

struct reply {
    struct vu_header header;
    uint64_t value;
} __attribute__((packed));

static struct reply reply_to(uint32_t request, uint64_t value)
{
    return (struct reply){{request, VU_VERSION | VU_FLAG_REPLY, 8}, value};
}

static void answer(uint32_t request, uint64_t value)
{
    struct reply reply = reply_to(request, value);

    if (send(peer, &reply, sizeof(reply), MSG_NOSIGNAL) != sizeof(reply))
        abort();
}

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

static unsigned open_descriptors(void)
{
    DIR *directory = opendir("/proc/self/fd");
    unsigned count = 0;

    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

static void answered_and_refused(void)
{
    struct asker asker;
    struct stat sent, got;
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC), taken = -1;

    setup();
    begin_ask(&asker, 1, fd);
    CHECK_EQ(take(&taken), MAP);
    CHECK_EQ(fstat(fd, &sent) | fstat(taken, &got), 0);
    CHECK_EQ(got.st_ino, sent.st_ino);
    answer(MAP, 0);
    CHECK_EQ(end_ask(&asker), 0);
    CHECK_EQ(asker.value, 0);
    close(taken);

    begin_ask(&asker, 1, -1);
    CHECK_EQ(take(NULL), MAP);
    answer(MAP, 1);
    CHECK_EQ(end_ask(&asker), 0);
    CHECK_EQ(asker.value, 1);
    close(fd);
    teardown();
}

/* Both are sent before either is answered; a descriptor that comes with an answer is closed. */
static void two_in_one_call(void)
{
    struct asker asker;
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {0};
    struct reply reply = reply_to(LOOKUP, 7);
    struct iovec iov = {&reply, sizeof(reply)};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.bytes,
                         .msg_controllen = sizeof(control.bytes)};
    struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

    setup();
    unsigned before = open_descriptors();
    cmsg->cmsg_level = SOL_SOCKET;
    cmsg->cmsg_type = SCM_RIGHTS;
    cmsg->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(cmsg), &peer, sizeof(int));
    begin_ask(&asker, 2, -1);
    CHECK_EQ(take(NULL), MAP);
    CHECK_EQ(take(NULL), LOOKUP);
    answer(MAP, 3);
    CHECK_EQ(sendmsg(peer, &msg, MSG_NOSIGNAL), sizeof(reply));
    CHECK_EQ(end_ask(&asker), 0);
    CHECK_EQ(asker.value, 3);
    CHECK_EQ(open_descriptors(), before);
    teardown();
}

static void only_between_start_and_stop(void)
{
    struct asker asker;
    struct pollfd wait = {.events = POLLIN};

    if (backchan_init(&channel) < 0)
        abort();
    CHECK(!backchan_is_open(&channel));
    backchan_start(&channel);
    begin_ask(&asker, 1, -1);
    CHECK_EQ(end_ask(&asker), -EIO);
    backchan_stop(&channel);
    open_channel();
    CHECK(backchan_is_open(&channel));
    begin_ask(&asker, 1, -1);
    CHECK_EQ(end_ask(&asker), -ECANCELED);
    wait.fd = peer;
    CHECK_EQ(poll(&wait, 1, 20), 0);
    backchan_start(&channel);
    begin_ask(&asker, 1, -1);
    CHECK_EQ(take(NULL), MAP);
    answer(MAP, 0);
    CHECK_EQ(end_ask(&asker), 0);
    teardown();
}

/* What a stopped call is owed, whole or from the middle on, is not the next call's answer. */
static void late_replies_are_skipped(void)
{
    struct asker asker;
    struct reply late = reply_to(MAP, 77);

    for (size_t early = 0; early < sizeof(late); early++) {
        setup();
        begin_ask(&asker, 2, -1);
        CHECK_EQ(take(NULL), MAP);
        CHECK_EQ(take(NULL), LOOKUP);
        CHECK_EQ(send(peer, &late, early, MSG_NOSIGNAL), early);
        if (early % 2)
            usleep(2000); /* has been taken in, or not yet */
        int64_t start = now_ms();
        backchan_stop(&channel);
        CHECK_EQ(end_ask(&asker), -ECANCELED);
        CHECK(now_ms() - start < 1000);

        backchan_start(&channel);
        begin_ask(&asker, 1, -1);
        CHECK_EQ(take(NULL), MAP);
        CHECK_EQ(send(peer, (char *)&late + early, sizeof(late) - early, MSG_NOSIGNAL),
                 sizeof(late) - early);
        answer(LOOKUP, 1);
        answer(MAP, 5);
        CHECK_EQ(end_ask(&asker), 0);
        CHECK_EQ(asker.value, 5);
        teardown();
    }
}

/* An answer that was there before the stop counts. */
static void answer_before_stop_is_taken(void)
{
    struct asker asker;

    for (unsigned i = 0; i < 300; i++) {
        setup();
        begin_ask(&asker, 2, -1);
        CHECK_EQ(take(NULL), MAP);
        CHECK_EQ(take(NULL), LOOKUP);
        answer(MAP, 4);
        answer(LOOKUP, 1);
        if (i % 2)
            backchan_stop(&channel);
        else
            backchan_interrupt(&channel);
        CHECK_EQ(end_ask(&asker), 0);
        CHECK_EQ(asker.value, 4);
        teardown();
    }
}

/* An interruption ends what is under way, and nothing that comes later. */
static void interruption_is_short(void)
{
    struct asker asker;

    setup();
    backchan_interrupt(&channel);
    begin_ask(&asker, 1, -1);
    CHECK_EQ(take(NULL), MAP);
    usleep(20000);
    backchan_interrupt(&channel);
    CHECK_EQ(end_ask(&asker), -ECANCELED);
    begin_ask(&asker, 1, -1);
    CHECK_EQ(take(NULL), MAP);
    answer(MAP, 9);
    answer(MAP, 0);
    CHECK_EQ(end_ask(&asker), 0);
    CHECK_EQ(asker.value, 0);
    teardown();
}

/*
 * A staged request's first byte goes ahead, with its descriptor. Stopped before it was read, the
 * request becomes one that nobody knows; stopped after, it is completed.
 */
static void staged_requests_are_whole_or_nothing(void)
{
    struct asker asker;
    struct pollfd wait = {.events = POLLIN};
    char byte;

    for (unsigned is_read = 0; is_read < 2; is_read++) {
        setup();
        wait.fd = peer;
        begin_ask(&asker, 0, -1);
        CHECK_EQ(end_ask(&asker), 0);
        begin_staged(&asker);
        CHECK_EQ(poll(&wait, 1, PATIENCE_MS), 1);
        usleep(5000);
        CHECK_EQ(recv(peer, &byte, 1, MSG_PEEK), 1);
        CHECK_EQ(byte, MAP);
        if (is_read) {
            char rest[sizeof(struct vu_header) - 1 + sizeof(payload)];
            CHECK_EQ(recv(peer, &byte, 1, 0), 1);
            CHECK_EQ(recv(peer, rest, sizeof(rest), MSG_WAITALL), sizeof(rest));
            CHECK(memcmp(rest + sizeof(struct vu_header) - 1, payload, sizeof(payload)) == 0);
            answer(MAP, 0);
            backchan_stop(&channel);
            CHECK_EQ(end_ask(&asker), 0);
        } else {
            struct vu_header header;
            CHECK_EQ(recv(peer, &header, sizeof(header), MSG_PEEK), 1);
            backchan_stop(&channel);
            CHECK_EQ(end_ask(&asker), -ECANCELED);
            CHECK_EQ(recv(peer, &header, sizeof(header), MSG_WAITALL), sizeof(header));
            CHECK_EQ(header.request, MAP | 0x40000000);
            CHECK_EQ(header.size, 0);
            CHECK_EQ(poll(&wait, 1, 20), 0);
            /* Its refusal comes later, and is nobody's answer. */
            backchan_start(&channel);
            begin_ask(&asker, 1, -1);
            CHECK_EQ(take(NULL), MAP);
            answer(header.request, 1);
            answer(MAP, 6);
            CHECK_EQ(end_ask(&asker), 0);
            CHECK_EQ(asker.value, 6);
        }
        teardown();
    }
}

/* Sends what is wrong instead of an answer: no call on this channel succeeds any more. */
static void wrong(const void *bytes, size_t size, bool leave)
{
    struct asker asker;

    setup();
    begin_ask(&asker, 1, -1);
    CHECK_EQ(take(NULL), MAP);
    CHECK_EQ(send(peer, bytes, size, MSG_NOSIGNAL), size);
    if (leave)
        shutdown(peer, SHUT_WR);
    CHECK_EQ(end_ask(&asker), -EIO);
    if (!leave)
        answer(MAP, 0);
    begin_ask(&asker, 1, -1);
    CHECK_EQ(end_ask(&asker), -EIO);
    /* But on the next one. */
    close(peer);
    open_channel();
    begin_ask(&asker, 1, -1);
    CHECK_EQ(take(NULL), MAP);
    answer(MAP, 0);
    CHECK_EQ(end_ask(&asker), 0);
    teardown();
}

static void broken_answers(void)
{
    struct reply reply = reply_to(LOOKUP, 0);

    wrong(&reply, sizeof(reply), false);
    reply = reply_to(MAP, 0);
    reply.header.flags = VU_VERSION;
    wrong(&reply, sizeof(reply), false);
    reply.header.flags = VU_FLAG_REPLY;
    wrong(&reply, sizeof(reply), false);
    reply.header.flags = 2 | VU_FLAG_REPLY;
    wrong(&reply, sizeof(reply), false);
    reply = reply_to(MAP, 0);
    reply.header.size = 16;
    wrong(&reply, sizeof(reply), false);
    reply = reply_to(MAP, 0);
    reply.header.size = 4;
    wrong(&reply, sizeof(reply), false);
    wrong("", 0, true);
    reply = reply_to(MAP, 0);
    wrong(&reply, 13, true);
}

/* A call that takes too long fails, and so do others, sooner, until its replies have come. */
static void front_end_that_answers_too_late(void)
{
    struct asker asker;
    struct pollfd wait = {.events = POLLIN};

    setup();
    wait.fd = peer;
    for (unsigned answered = 0; answered < 2; answered++) {
        channel.timeout_ms = 50;
        int64_t start = now_ms();
        begin_ask(&asker, 2, -1);
        CHECK_EQ(take(NULL), MAP);
        CHECK_EQ(take(NULL), LOOKUP);
        /* The barrier is part of it: until then the guest may not see what was mapped. */
        if (answered)
            answer(MAP, 0);
        CHECK_EQ(end_ask(&asker), -EIO);
        CHECK(now_ms() - start >= 50);

        channel.timeout_ms = BACKCHAN_TIMEOUT_MS;
        for (unsigned i = 0; i < 2; i++) {
            start = now_ms();
            begin_ask(&asker, 1, -1);
            CHECK_EQ(end_ask(&asker), -EIO);
            CHECK(now_ms() - start < BACKCHAN_TIMEOUT_MS / 2);
            CHECK_EQ(poll(&wait, 1, 0), 0);
            if (!answered && i == 0)
                answer(MAP, 7);
        }
        answer(LOOKUP, 1);
        begin_ask(&asker, 1, -1);
        CHECK_EQ(take(NULL), MAP);
        answer(MAP, 5);
        CHECK_EQ(end_ask(&asker), 0);
        CHECK_EQ(asker.value, 5);
    }
    teardown();
}

/* What a stalled front-end finds of requests given up is one that is nothing, however many were. */
static void front_end_that_reads_too_late(void)
{
    struct asker asker;
    struct vu_header header;
    char all[2 * sizeof(header)];
    struct pollfd wait = {.events = POLLIN};

    for (unsigned stops = 0; stops < 2; stops++) {
        setup();
        wait.fd = peer;
        channel.timeout_ms = stops ? BACKCHAN_TIMEOUT_MS : 30;
        for (unsigned i = 0; i < 3; i++) {
            begin_staged(&asker);
            if (stops) {
                CHECK_EQ(poll(&wait, 1, PATIENCE_MS), 1);
                usleep(5000);
                backchan_stop(&channel);
            }
            CHECK_EQ(end_ask(&asker), stops ? -ECANCELED : -EIO);
            backchan_start(&channel);
        }
        CHECK_EQ(recv(peer, all, sizeof(all), MSG_DONTWAIT), sizeof(header));
        memcpy(&header, all, sizeof(header));
        CHECK_EQ(header.request, MAP | 0x40000000);
        CHECK_EQ(header.size, 0);
        answer(header.request, 1);

        /* It is well again: the byte, and the rest. */
        channel.timeout_ms = BACKCHAN_TIMEOUT_MS;
        begin_staged(&asker);
        CHECK_EQ(recv(peer, &header, sizeof(header), MSG_WAITALL), sizeof(header));
        CHECK_EQ(header.request, MAP);
        CHECK_EQ(recv(peer, all, sizeof(all), MSG_WAITALL), sizeof(all));
        CHECK_EQ(recv(peer, all, 16, MSG_WAITALL), 16);
        answer(MAP, 3);
        CHECK_EQ(end_ask(&asker), 0);
        CHECK_EQ(asker.value, 3);
        teardown();
    }
}

/* A socket without room holds a call up, and nobody else. */
static void front_end_that_never_reads(void)
{
    struct asker asker;
    char rubbish[256] = {0};
    size_t filled = 0;
    ssize_t sent;

    setup();
    int same = dup(channel.fd);
    while ((sent = send(same, rubbish, sizeof(rubbish), MSG_DONTWAIT | MSG_NOSIGNAL)) > 0)
        filled += (size_t)sent;
    CHECK_EQ(errno, EAGAIN);
    begin_ask(&asker, 2, -1);
    usleep(20000);
    backchan_stop(&channel);
    CHECK_EQ(end_ask(&asker), -ECANCELED);

    while (filled) {
        ssize_t got = recv(peer, rubbish, sizeof(rubbish), MSG_DONTWAIT);
        CHECK(got > 0);
        filled -= (size_t)got;
    }
    /* It was not sent, so nothing is owed. */
    backchan_start(&channel);
    begin_ask(&asker, 1, -1);
    CHECK_EQ(take(NULL), MAP);
    answer(MAP, 0);
    CHECK_EQ(end_ask(&asker), 0);
    close(same);
    teardown();
}

static void replaced_while_in_use(void)
{
    struct asker asker;
    char byte;

    setup();
    begin_ask(&asker, 1, -1);
    CHECK_EQ(take(NULL), MAP);
    int old = peer;
    open_channel();
    CHECK_EQ(end_ask(&asker), -ECANCELED);
    begin_ask(&asker, 1, -1);
    CHECK_EQ(take(NULL), MAP);
    answer(MAP, 0);
    CHECK_EQ(end_ask(&asker), 0);
    CHECK_EQ(recv(old, &byte, 1, MSG_DONTWAIT), 0); /* closed */
    close(old);
    /* While nobody uses it, at once; and twice in a row. */
    unsigned before = open_descriptors();
    old = peer;
    open_channel();
    CHECK_EQ(recv(old, &byte, 1, MSG_DONTWAIT), 0);
    close(old);
    old = peer;
    open_channel();
    close(old);
    CHECK_EQ(open_descriptors(), before);
    teardown();
}

static void what_is_no_socket_is_refused(void)
{
    unsigned before = open_descriptors();

    if (backchan_init(&channel) < 0)
        abort();
    CHECK_EQ(backchan_open(&channel, open("/dev/null", O_RDWR)), -ENOTSOCK);
    CHECK_EQ(backchan_open(&channel, -1), -EBADF);
    CHECK(!backchan_is_open(&channel));
    backchan_destroy(&channel);
    CHECK_EQ(open_descriptors(), before);
}

#define CROWD       6
#define CROWD_CALLS 400

static atomic_uint crowd_done, crowd_cancelled, crowd_bad;

static void *crowd_main(void *argument)
{
    (void)argument;
    for (uint64_t i = 0; i < CROWD_CALLS; i++) {
        uint64_t value = 0, numbers[2] = {rand() % 1000u, rand() % 1000u};
        struct backchan_request requests[2] = {{MAP, &numbers[0], 8, -1, i % 2},
                                               {LOOKUP, &numbers[1], 8, -1, false}};
        int rc = backchan_ask(&channel, requests, 2, &value);

        if (rc == -ECANCELED)
            crowd_cancelled++;
        else if (rc || value != numbers[0])
            crowd_bad++;
        else
            crowd_done++;
    }
    return NULL;
}

/* Answers every request with its own payload, some of them late. */
static void *echo_main(void *argument)
{
    struct reply request;

    (void)argument;
    for (;;) {
        /* A request that became none has no payload. */
        if (recv(peer, &request.header, sizeof(request.header), MSG_WAITALL) !=
            sizeof(request.header))
            break;
        request.value = 1;
        if (request.header.size &&
            recv(peer, &request.value, sizeof(request.value), MSG_WAITALL) != sizeof(request.value))
            break;
        if (request.value % 50 == 0)
            usleep(300);
        answer(request.header.request, request.value);
    }
    return NULL;
}

static void many_threads_and_stops(void)
{
    pthread_t crowd[CROWD], echo;

    setup();
    crowd_done = crowd_cancelled = crowd_bad = 0;
    CHECK_EQ(pthread_create(&echo, NULL, echo_main, NULL), 0);
    for (unsigned i = 0; i < CROWD; i++)
        CHECK_EQ(pthread_create(&crowd[i], NULL, crowd_main, NULL), 0);
    for (unsigned i = 0; i < 100; i++) {
        usleep(200);
        backchan_interrupt(&channel);
        usleep(200);
        backchan_stop(&channel);
        backchan_start(&channel);
    }
    for (unsigned i = 0; i < CROWD; i++)
        pthread_join(crowd[i], NULL);
    shutdown(peer, SHUT_RDWR);
    pthread_join(echo, NULL);
    CHECK_EQ(crowd_bad, 0);
    CHECK_EQ(crowd_done + crowd_cancelled, CROWD * CROWD_CALLS);
    CHECK(crowd_done > 0 && crowd_cancelled > 0);
    teardown();
}

int main(void)
{
    RUN(answered_and_refused);
    RUN(two_in_one_call);
    RUN(only_between_start_and_stop);
    RUN(late_replies_are_skipped);
    RUN(answer_before_stop_is_taken);
    RUN(interruption_is_short);
    RUN(staged_requests_are_whole_or_nothing);
    RUN(broken_answers);
    RUN(front_end_that_answers_too_late);
    RUN(front_end_that_reads_too_late);
    RUN(front_end_that_never_reads);
    RUN(replaced_while_in_use);
    RUN(what_is_no_socket_is_refused);
    RUN(many_threads_and_stops);
    return test_result();
}
