// SPDX-License-Identifier: BSD-3-Clause
/*
 * The guest's locks. What a record lock does is what the kernel does: every step of the guest's
 * is made by the host, too, on another file, with an open file for each owner, and the answers are
 * compared. Then waiting: who is answered, when, with what.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "fuse_guest.h"
#include "test.h"

#define OWNERS      4
#define SPAN        64 /* bytes in which locks begin and end */
#define WAITS_LIMIT 4096

/* --- deferred requests -------------------------------------------------------------------------
 */

struct deferral {
    struct fuse_deferral base;
    uint64_t unique; /* 0: free */
};

struct answer {
    uint64_t unique;
    int error;
};

static struct deferral deferrals[WAITS_LIMIT + 1];
static struct answer answers[WAITS_LIMIT + 1];
static unsigned deferral_count;
static atomic_uint answer_count;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t answered = PTHREAD_COND_INITIALIZER;

static void finish(struct fuse_deferral *base, const void *reply, size_t length)
{
    struct fuse_out_header header;
    (void)base;
    if (length != sizeof(header))
        abort();
    memcpy(&header, reply, sizeof(header));
    pthread_mutex_lock(&lock);
    answers[answer_count++] = (struct answer){header.unique, header.error};
    pthread_cond_signal(&answered);
    pthread_mutex_unlock(&lock);
}

static struct fuse_deferral *defer(void *argument, const struct iovec *pieces, unsigned count)
{
    size_t length = 0;
    (void)argument;
    for (unsigned i = 0; i < count; i++)
        length += pieces[i].iov_len;
    if (length != sizeof(struct fuse_out_header))
        abort();
    struct deferral *deferral = &deferrals[deferral_count++];
    deferral->base.finish = finish;
    return &deferral->base;
}

static void lock_guest(struct guest *guest)
{
    deferral_count = answer_count = 0;
    guest_prepare(guest);
    guest->settings.posix_lock = guest->settings.flock = true;
    guest->init_flags |= FUSE_POSIX_LOCKS | FUSE_FLOCK_LOCKS;
    guest->hooks = (struct fuse_thread_hooks){.defer = defer};
    guest_start(guest);
    guest_host_file(guest, "file", "content");
    guest_host_file(guest, "reference", "content");
}

/* Waits up to milliseconds for the next answer. Returns its error, or 1 when none came. */
static int next_answer(uint64_t unique, unsigned milliseconds)
{
    struct timespec until;
    int error = 1;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += milliseconds % 1000 * 1000000L;
    until.tv_sec += milliseconds / 1000 + until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    pthread_mutex_lock(&lock);
    while (answer_count == 0 && pthread_cond_timedwait(&answered, &lock, &until) == 0)
        continue;
    if (answer_count) {
        if (answers[0].unique == unique)
            error = answers[0].error;
        else
            fprintf(stderr, "an answer to %ju, not %ju\n", (uintmax_t)answers[0].unique,
                    (uintmax_t)unique);
        answer_count--;
        memmove(answers, answers + 1, answer_count * sizeof(*answers));
    }
    pthread_mutex_unlock(&lock);
    return error;
}

/* --- requests ----------------------------------------------------------------------------------
 */

struct file {
    uint64_t node;
    uint64_t fh;
};

static struct file open_file(struct guest *guest, uint32_t flags)
{
    struct file file = {.node = guest_lookup(guest, "file")};
    if (guest_open(guest, file.node, flags, &file.fh) != 0)
        abort();
    return file;
}

static struct fuse_lk_in lk_in(const struct file *file, uint64_t owner, int type, uint64_t start,
                               uint64_t end)
{
    return (struct fuse_lk_in){
        .fh = file->fh,
        .owner = owner,
        .lk = {.start = start, .end = end, .type = (uint32_t)type, .pid = 1000 + (uint32_t)owner},
    };
}

static int set_lock(struct guest *guest, const struct file *file, uint64_t owner, int type,
                    uint64_t start, uint64_t end)
{
    struct fuse_lk_in in = lk_in(file, owner, type, start, end);
    return guest_do(guest, FUSE_SETLK, file->node, in);
}

static int wait_lock(struct guest *guest, const struct file *file, uint64_t owner, int type,
                     uint64_t start, uint64_t end)
{
    struct fuse_lk_in in = lk_in(file, owner, type, start, end);
    return guest_do(guest, FUSE_SETLKW, file->node, in);
}

static int set_flock(struct guest *guest, const struct file *file, int type, bool wait)
{
    struct fuse_lk_in in = lk_in(file, 9, type, 0, INT64_MAX);
    in.lk_flags = FUSE_LK_FLOCK;
    return guest_do(guest, wait ? FUSE_SETLKW : FUSE_SETLK, file->node, in);
}

static int flush(struct guest *guest, const struct file *file, uint64_t owner)
{
    struct fuse_flush_in in = {.fh = file->fh, .lock_owner = owner};
    return guest_do(guest, FUSE_FLUSH, file->node, in);
}

static int release(struct guest *guest, const struct file *file, bool flocked)
{
    struct fuse_release_in in = {.fh = file->fh,
                                 .release_flags = flocked ? FUSE_RELEASE_FLOCK_UNLOCK : 0};
    return guest_do(guest, FUSE_RELEASE, file->node, in);
}

/* The host's lock on a file of the share. Returns 0 or a negative errno. */
static int host_set(int fd, int type, off_t start, off_t length)
{
    struct flock flock = {.l_type = (short)type, .l_start = start, .l_len = length};
    return fcntl(fd, F_OFD_SETLK, &flock) < 0 ? -errno : 0;
}

static int host_open(const struct guest *guest, const char *name)
{
    int fd = open(guest_path(guest, name), O_RDWR | O_CLOEXEC);
    if (fd < 0)
        abort();
    return fd;
}

/* --- record locks as the kernel has them -------------------------------------------------------
 */

static void as_the_kernel_does(void)
{
    struct guest guest;
    lock_guest(&guest);
    struct file file = open_file(&guest, O_RDWR);
    int reference[OWNERS], stranger = host_open(&guest, "reference");
    int host = host_open(&guest, "file");
    for (unsigned i = 0; i < OWNERS; i++)
        reference[i] = host_open(&guest, "reference");
    srandom(4711);
    for (unsigned step = 0; step < 60000; step++) {
        static const int types[] = {F_RDLCK, F_WRLCK, F_UNLCK, F_UNLCK};
        unsigned who = (unsigned)random() % OWNERS;
        int type = types[random() % 4];
        uint64_t start = (uint64_t)random() % SPAN;
        uint64_t end = start + (uint64_t)random() % (SPAN - start);
        bool to_end = random() % 16 == 0;
        off_t length = to_end ? 0 : (off_t)(end - start + 1);
        if (to_end)
            end = INT64_MAX;
        if (random() % 8 == 0) {
            /* The host, too, locks the file now and then, so that there is a stranger. */
            int got = host_set(host, type, (off_t)start, length);
            CHECK_EQ(got, host_set(stranger, type, (off_t)start, length));
            continue;
        }
        if (random() % 64 == 0) {
            CHECK_EQ(flush(&guest, &file, who + 1), 0);
            CHECK_EQ(host_set(reference[who], F_UNLCK, 0, 0), 0);
            continue;
        }
        struct flock flock = {.l_type = (short)type, .l_start = (off_t)start, .l_len = length};
        if (type != F_UNLCK && random() % 2) {
            struct fuse_lk_in in = lk_in(&file, who + 1, type, start, end);
            CHECK_EQ(guest_do(&guest, FUSE_GETLK, file.node, in), 0);
            CHECK_EQ(fcntl(reference[who], F_OFD_GETLK, &flock), 0);
            /* With several in the way, any of them may be told. */
            const struct fuse_file_lock *found = &BODY(fuse_lk_out)->lk;
            CHECK_EQ(found->type == F_UNLCK, flock.l_type == F_UNLCK);
            if (found->type != F_UNLCK) {
                CHECK(found->start <= end && found->end >= start);
                CHECK(found->type == F_WRLCK || type == F_WRLCK);
                CHECK(found->pid == 0 || (found->pid > 1000 && found->pid <= 1000 + OWNERS));
                CHECK(found->pid != 1001 + who);
            }
            continue;
        }
        int wanted = fcntl(reference[who], F_OFD_SETLK, &flock) < 0 ? -errno : 0;
        CHECK_EQ(set_lock(&guest, &file, who + 1, type, start, end), wanted);
    }
    for (unsigned i = 0; i < OWNERS; i++) {
        CHECK_EQ(flush(&guest, &file, i + 1), 0);
        close(reference[i]);
    }
    CHECK_EQ(host_set(host, F_WRLCK, 0, 0), 0);
    close(host);
    close(stranger);
    CHECK_EQ(guest_end(&guest), 0);
}

static void upgrades_and_modes(void)
{
    struct guest guest;
    lock_guest(&guest);
    struct file reader = open_file(&guest, O_RDONLY), writer = open_file(&guest, O_RDWR);
    int host = host_open(&guest, "file");
    CHECK_EQ(set_lock(&guest, &reader, 1, F_WRLCK, 0, 9), -EBADF);
    CHECK_EQ(set_lock(&guest, &reader, 1, F_RDLCK, 0, 9), 0);
    CHECK_EQ(set_lock(&guest, &reader, 1, F_RDLCK, 20, 29), 0);
    /* The same owner, by a descriptor that may write: what it had stays. */
    CHECK_EQ(set_lock(&guest, &writer, 1, F_WRLCK, 40, 49), 0);
    CHECK_EQ(host_set(host, F_WRLCK, 25, 1), -EAGAIN);
    CHECK_EQ(host_set(host, F_RDLCK, 25, 1), 0);
    CHECK_EQ(host_set(host, F_RDLCK, 45, 1), -EAGAIN);
    CHECK_EQ(flush(&guest, &reader, 1), 0);
    CHECK_EQ(host_set(host, F_WRLCK, 0, 0), 0);
    close(host);
    CHECK_EQ(guest_end(&guest), 0);
}

static void the_last_close_releases(void)
{
    struct guest guest;
    lock_guest(&guest);
    struct file one = open_file(&guest, O_RDWR), two = open_file(&guest, O_RDWR);
    int host = host_open(&guest, "file");
    /* F_OFD_SETLK in the guest: the owner is the open file, and no FLUSH names it. */
    CHECK_EQ(set_lock(&guest, &one, 77, F_WRLCK, 0, 9), 0);
    CHECK_EQ(set_lock(&guest, &two, 78, F_WRLCK, 10, 19), 0);
    CHECK_EQ(release(&guest, &one, false), 0);
    CHECK_EQ(host_set(host, F_WRLCK, 0, 10), 0);
    CHECK_EQ(host_set(host, F_WRLCK, 10, 10), -EAGAIN);
    CHECK_EQ(set_flock(&guest, &two, F_WRLCK, false), 0);
    CHECK_EQ(flock(host, LOCK_SH | LOCK_NB), -1);
    CHECK_EQ(release(&guest, &two, true), 0);
    CHECK_EQ(flock(host, LOCK_EX | LOCK_NB), 0);
    CHECK_EQ(host_set(host, F_WRLCK, 0, 0), 0);
    close(host);
    CHECK_EQ(guest_end(&guest), 0);
}

static void hostile_values(void)
{
    struct guest guest;
    lock_guest(&guest);
    struct file file = open_file(&guest, O_RDWR);
    static const uint32_t opcodes[] = {FUSE_GETLK, FUSE_SETLK, FUSE_SETLKW};
    for (unsigned i = 0; i < 3; i++) {
        struct fuse_lk_in in = lk_in(&file, 1, F_WRLCK, 5, 4);
        CHECK_EQ(guest_do(&guest, opcodes[i], file.node, in), -EINVAL);
        in = lk_in(&file, 1, F_WRLCK, 0, UINT64_MAX);
        CHECK_EQ(guest_do(&guest, opcodes[i], file.node, in), -EINVAL);
        in = lk_in(&file, 1, F_WRLCK, UINT64_MAX, UINT64_MAX);
        CHECK_EQ(guest_do(&guest, opcodes[i], file.node, in), -EINVAL);
        in = lk_in(&file, 1, 3, 0, 9);
        CHECK_EQ(guest_do(&guest, opcodes[i], file.node, in), -EINVAL);
        in = lk_in(&file, 1, F_WRLCK, 0, 9);
        in.lk_flags = 2;
        CHECK_EQ(guest_do(&guest, opcodes[i], file.node, in), -EINVAL);
        in = lk_in(&file, 1, F_WRLCK, 0, 9);
        in.fh ^= 1;
        CHECK_EQ(guest_do(&guest, opcodes[i], file.node, in), -EBADF);
        in = lk_in(&file, 1, F_WRLCK, 0, 9);
        CHECK_EQ(guest_do(&guest, opcodes[i], FUSE_ROOT_ID, in), -EBADF);
    }
    CHECK_EQ(flush(&guest, &file, 123456), 0);
    CHECK_EQ(guest_end(&guest), 0);
}

/* A guest that keeps its locks to itself does not get others' by asking. */
static void not_negotiated(void)
{
    struct guest guest;
    guest_begin(&guest);
    guest_host_file(&guest, "file", "content");
    struct file file = open_file(&guest, O_RDWR);
    CHECK_EQ(set_lock(&guest, &file, 1, F_WRLCK, 0, 9), -ENOSYS);
    CHECK_EQ(set_flock(&guest, &file, F_WRLCK, false), -ENOSYS);
    CHECK_EQ(guest_end(&guest), 0);
}

/* --- waiting -----------------------------------------------------------------------------------
 */

static void granted_when_released(void)
{
    struct guest guest;
    lock_guest(&guest);
    struct file file = open_file(&guest, O_RDWR);
    CHECK_EQ(wait_lock(&guest, &file, 1, F_WRLCK, 0, 9), 0);
    CHECK_EQ(wait_lock(&guest, &file, 2, F_WRLCK, 5, 14), GUEST_DEFERRED);
    uint64_t second = guest.unique;
    CHECK_EQ(wait_lock(&guest, &file, 3, F_WRLCK, 14, 20), 0);
    CHECK_EQ(next_answer(second, 60), 1);
    CHECK_EQ(set_lock(&guest, &file, 1, F_UNLCK, 0, 9), 0);
    CHECK_EQ(next_answer(second, 100), 1); /* the third is in the way, too */
    CHECK_EQ(flush(&guest, &file, 3), 0);
    CHECK_EQ(next_answer(second, 2000), 0);
    CHECK_EQ(set_lock(&guest, &file, 1, F_RDLCK, 14, 14), -EAGAIN);
    CHECK_EQ(guest_end(&guest), 0);
}

/* In the order in which they came; a lock that becomes weaker lets others in. */
static void first_come_first_served(void)
{
    struct guest guest;
    lock_guest(&guest);
    struct file file = open_file(&guest, O_RDWR);
    uint64_t uniques[5];
    CHECK_EQ(set_lock(&guest, &file, 9, F_WRLCK, 0, 9), 0);
    for (unsigned i = 0; i < 5; i++) {
        CHECK_EQ(wait_lock(&guest, &file, 10 + i, F_WRLCK, 0, 0), GUEST_DEFERRED);
        uniques[i] = guest.unique;
    }
    CHECK_EQ(flush(&guest, &file, 9), 0);
    for (unsigned i = 0; i < 5; i++) {
        CHECK_EQ(next_answer(uniques[i], 2000), 0);
        CHECK_EQ(answer_count, 0);
        CHECK_EQ(set_lock(&guest, &file, 10 + i, F_UNLCK, 0, 0), 0);
    }
    CHECK_EQ(set_lock(&guest, &file, 1, F_WRLCK, 0, 0), 0);
    CHECK_EQ(wait_lock(&guest, &file, 2, F_RDLCK, 0, 0), GUEST_DEFERRED);
    uint64_t reader = guest.unique;
    CHECK_EQ(set_lock(&guest, &file, 1, F_RDLCK, 0, 0), 0);
    CHECK_EQ(next_answer(reader, 2000), 0);
    CHECK_EQ(guest_end(&guest), 0);
}

/* Nobody tells when the host lets go: it is found out. */
static void the_host_in_the_way(void)
{
    struct guest guest;
    lock_guest(&guest);
    struct file file = open_file(&guest, O_RDWR);
    int host = host_open(&guest, "file");
    CHECK_EQ(host_set(host, F_WRLCK, 0, 10), 0);
    CHECK_EQ(flock(host, LOCK_EX), 0);
    CHECK_EQ(wait_lock(&guest, &file, 1, F_RDLCK, 0, 4), GUEST_DEFERRED);
    uint64_t record = guest.unique;
    CHECK_EQ(next_answer(record, 200), 1);
    CHECK_EQ(host_set(host, F_UNLCK, 0, 10), 0);
    CHECK_EQ(next_answer(record, 2000), 0);
    CHECK_EQ(set_flock(&guest, &file, F_RDLCK, true), GUEST_DEFERRED);
    uint64_t whole = guest.unique;
    CHECK_EQ(next_answer(whole, 200), 1);
    CHECK_EQ(flock(host, LOCK_UN), 0);
    CHECK_EQ(next_answer(whole, 2000), 0);
    CHECK_EQ(flock(host, LOCK_EX | LOCK_NB), -1);
    close(host);
    CHECK_EQ(guest_end(&guest), 0);
}

static void deadlock_is_found(void)
{
    struct guest guest;
    lock_guest(&guest);
    struct file file = open_file(&guest, O_RDWR);
    for (unsigned i = 0; i < 3; i++)
        CHECK_EQ(set_lock(&guest, &file, 1 + i, F_WRLCK, i, i), 0);
    CHECK_EQ(wait_lock(&guest, &file, 1, F_WRLCK, 1, 1), GUEST_DEFERRED);
    uint64_t first = guest.unique;
    CHECK_EQ(wait_lock(&guest, &file, 2, F_WRLCK, 2, 2), GUEST_DEFERRED);
    uint64_t second = guest.unique;
    CHECK_EQ(wait_lock(&guest, &file, 3, F_WRLCK, 0, 0), -EDEADLK);
    CHECK_EQ(flush(&guest, &file, 3), 0);
    CHECK_EQ(next_answer(second, 2000), 0);
    CHECK_EQ(set_lock(&guest, &file, 2, F_UNLCK, 0, INT64_MAX), 0);
    CHECK_EQ(next_answer(first, 2000), 0);
    CHECK_EQ(guest_end(&guest), 0);
}

static void interrupt(struct guest *guest, uint64_t unique)
{
    struct fuse_interrupt_in in = {.unique = unique};
    guest_do(guest, FUSE_INTERRUPT, 0, in);
}

static void what_ends_a_wait(void)
{
    struct guest guest;
    lock_guest(&guest);
    struct file file = open_file(&guest, O_RDWR), other = open_file(&guest, O_RDWR);
    CHECK_EQ(set_lock(&guest, &file, 1, F_WRLCK, 0, 9), 0);

    CHECK_EQ(wait_lock(&guest, &file, 2, F_WRLCK, 0, 9), GUEST_DEFERRED);
    interrupt(&guest, guest.unique + 1000); /* somebody else's */
    CHECK_EQ(next_answer(guest.unique - 1, 60), 1);
    uint64_t unique = guest.unique - 1;
    interrupt(&guest, unique);
    CHECK_EQ(next_answer(unique, 2000), -EINTR);

    /* The interrupt overtakes its request, on another queue. */
    interrupt(&guest, guest.unique + 2);
    CHECK_EQ(wait_lock(&guest, &file, 2, F_WRLCK, 0, 9), -EINTR);

    /* FLUSH ends it by the handle that waits, and not by another of the same process. */
    CHECK_EQ(wait_lock(&guest, &other, 2, F_WRLCK, 0, 9), GUEST_DEFERRED);
    unique = guest.unique;
    CHECK_EQ(flush(&guest, &file, 2), 0);
    CHECK_EQ(next_answer(unique, 60), 1);
    CHECK_EQ(flush(&guest, &other, 2), 0);
    CHECK_EQ(next_answer(unique, 2000), -EBADF);

    CHECK_EQ(wait_lock(&guest, &other, 2, F_WRLCK, 0, 9), GUEST_DEFERRED);
    unique = guest.unique;
    CHECK_EQ(release(&guest, &other, false), 0);
    CHECK_EQ(next_answer(unique, 2000), -EBADF);

    other = open_file(&guest, O_RDWR);
    CHECK_EQ(set_flock(&guest, &file, F_WRLCK, false), 0);
    CHECK_EQ(set_flock(&guest, &other, F_WRLCK, true), GUEST_DEFERRED);
    unique = guest.unique;
    CHECK_EQ(release(&guest, &other, true), 0);
    CHECK_EQ(next_answer(unique, 2000), -EBADF);

    /* DESTROY, at the end: answered before it returns, and nothing is left open. */
    CHECK_EQ(wait_lock(&guest, &file, 2, F_WRLCK, 0, 9), GUEST_DEFERRED);
    CHECK_EQ(guest_end(&guest), 0);
    CHECK_EQ(answer_count, 1);
}

/* The owner waits by one handle while another of its handles is closed: it can still be granted. */
static void waits_on_after_a_close(void)
{
    struct guest guest;
    lock_guest(&guest);
    struct file file = open_file(&guest, O_RDWR), other = open_file(&guest, O_RDWR);
    CHECK_EQ(set_lock(&guest, &file, 1, F_WRLCK, 0, 9), 0);
    CHECK_EQ(set_lock(&guest, &other, 2, F_WRLCK, 20, 29), 0);
    CHECK_EQ(wait_lock(&guest, &other, 2, F_WRLCK, 0, 9), GUEST_DEFERRED);
    uint64_t unique = guest.unique;
    CHECK_EQ(flush(&guest, &file, 2), 0);
    CHECK_EQ(set_lock(&guest, &file, 1, F_WRLCK, 20, 29), 0);
    CHECK_EQ(flush(&guest, &file, 1), 0);
    CHECK_EQ(next_answer(unique, 2000), 0);
    CHECK_EQ(guest_end(&guest), 0);
}

static void as_many_as_there_may_be(void)
{
    struct guest guest;
    lock_guest(&guest);
    struct file file = open_file(&guest, O_RDWR);
    CHECK_EQ(set_lock(&guest, &file, 1, F_WRLCK, 0, 9), 0);
    for (unsigned i = 0; i < WAITS_LIMIT; i++)
        CHECK_EQ(wait_lock(&guest, &file, 2, F_RDLCK, 0, 9), GUEST_DEFERRED);
    CHECK_EQ(wait_lock(&guest, &file, 2, F_RDLCK, 0, 9), -ENOLCK);
    CHECK_EQ(set_lock(&guest, &file, 1, F_UNLCK, 0, 9), 0);
    for (unsigned i = 0; i < 5000 && answer_count < WAITS_LIMIT; i++)
        usleep(1000);
    CHECK_EQ(answer_count, WAITS_LIMIT);
    CHECK_EQ(guest_end(&guest), 0);
}

int main(void)
{
    RUN(as_the_kernel_does);
    RUN(upgrades_and_modes);
    RUN(the_last_close_releases);
    RUN(hostile_values);
    RUN(not_negotiated);
    RUN(granted_when_released);
    RUN(first_come_first_served);
    RUN(the_host_in_the_way);
    RUN(deadlock_is_found);
    RUN(what_ends_a_wait);
    RUN(waits_on_after_a_close);
    RUN(as_many_as_there_may_be);
    return test_result();
}
