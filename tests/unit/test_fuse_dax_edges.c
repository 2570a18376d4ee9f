// SPDX-License-Identifier: BSD-3-Clause
/*
 * Where the DAX window meets the rest: buffers of requests in it, times of files, stores beyond
 * their end, mappings that cannot be had just now. Each case was a bug.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "dax_front.h"
#include "test.h"

static void pause_ms(unsigned ms)
{
    nanosleep(&(struct timespec){.tv_nsec = ms * 1000000L}, NULL);
}

static int fsync_file(struct guest *guest, uint64_t node)
{
    uint64_t fh;
    int error = guest_open(guest, node, O_RDWR, &fh);
    struct fuse_fsync_in in = {.fh = fh};
    return error ? error : guest_do(guest, FUSE_FSYNC, node, in);
}

/* WRITE to the start of a file, with its data in the window. Returns the bytes or the error. */
static int write_from_window(struct guest *guest, uint64_t node, uint64_t fh,
                             uint64_t window_offset, uint32_t length)
{
    struct {
        struct fuse_in_header header;
        struct fuse_write_in in;
    } request = {
        .header = {.len = (uint32_t)sizeof(request) + length,
                   .opcode = FUSE_WRITE,
                   .unique = 9,
                   .nodeid = node},
        .in = {.fh = fh, .size = length},
    };
    struct {
        struct fuse_out_header header;
        struct fuse_write_out out;
    } reply;
    struct iovec readable[] = {{&request, sizeof(request)},
                               {fuse_server_window(guest->server) + window_offset, length}};
    struct iovec writable = {&reply, sizeof(reply)};
    struct fuse_chain chain = {.readable = readable,
                               .readable_count = 2,
                               .writable = &writable,
                               .writable_count = 1,
                               .in_window = true};
    fuse_server_run(guest->thread, &chain);
    return reply.header.error ? reply.header.error : (int)reply.out.size;
}

/* READ of the start of a file; the reply's header and the data where the pieces say. */
static size_t read_to(struct guest *guest, uint64_t node, uint64_t fh, uint32_t size,
                      struct iovec *writable, unsigned count)
{
    struct {
        struct fuse_in_header header;
        struct fuse_read_in in;
    } request = {
        .header = {.len = sizeof(request), .opcode = FUSE_READ, .unique = 7, .nodeid = node},
        .in = {.fh = fh, .size = size},
    };
    struct iovec readable = {&request, sizeof(request)};
    struct fuse_chain chain = {.readable = &readable,
                               .readable_count = 1,
                               .writable = writable,
                               .writable_count = count,
                               .in_window = true};
    return fuse_server_run(guest->thread, &chain);
}

/* The mirror shows what the window shows, also when that has changed since. */
static void mirror_follows_a_new_tail(void)
{
    struct guest guest;
    window_begin(&guest, true);
    window_host_write(&guest, "src", 0, PAGE, 1);
    window_host_write(&guest, "dst", 0, PAGE, 2);
    uint64_t src = guest_lookup(&guest, "src"), dst = guest_lookup(&guest, "dst"), from, to;
    CHECK_EQ(window_setup(&guest, src, 0, 0, true), 0);
    CHECK_EQ(guest_open(&guest, src, O_RDWR, &from), 0);
    CHECK_EQ(guest_open(&guest, dst, O_RDWR, &to), 0);
    CHECK_EQ(write_from_window(&guest, dst, to, 0, PAGE), PAGE);
    uint8_t page[PAGE];
    memset(page, 'T', PAGE);
    CHECK_EQ(guest_write(&guest, src, from, PAGE, page, PAGE, 0, 0), PAGE);
    CHECK_EQ(front.window[PAGE], 'T');
    CHECK_EQ(write_from_window(&guest, dst, to, PAGE, PAGE), PAGE);
    CHECK_EQ(guest_read(&guest, dst, to, 0, PAGE), PAGE);
    CHECK_EQ(guest.body[0], 'T');
    CHECK_EQ(window_end(&guest), 0);
}

static void mirror_follows_an_upgrade(void)
{
    struct guest guest;
    window_begin(&guest, false);
    window_host_write(&guest, "a", 0, 3 * PAGE, 1);
    window_host_write(&guest, "b", 0, 3 * PAGE, 2);
    uint64_t a = guest_lookup(&guest, "a"), b = guest_lookup(&guest, "b"), fh;
    CHECK_EQ(window_setup(&guest, a, 0, 0, false), 0);
    CHECK_EQ(guest_open(&guest, b, O_RDWR, &fh), 0);
    CHECK_EQ(write_from_window(&guest, b, fh, 0, PAGE), PAGE);
    CHECK_EQ(window_setup(&guest, a, 0, 0, true), 0);
    struct fuse_out_header reply = {0};
    struct iovec writable[] = {{&reply, sizeof(reply)}, {fuse_server_window(guest.server), 1000}};
    CHECK_EQ(read_to(&guest, b, fh, 1000, writable, 2), sizeof(reply) + 1000);
    CHECK_EQ(reply.error, 0);
    CHECK_EQ(window_end(&guest), 0);
}

/* Nothing but file data may lie in the window: whatever is there, we never touch it ourselves. */
static void only_data_in_the_window(void)
{
    struct guest guest;
    window_begin(&guest, false);
    window_host_write(&guest, "a", 0, 100, 1);
    uint64_t a = guest_lookup(&guest, "a"), fh;
    CHECK_EQ(window_setup(&guest, a, 0, 0, true), 0);
    CHECK_EQ(guest_open(&guest, a, O_RDWR, &fh), 0);
    char *window = fuse_server_window(guest.server);
    struct fuse_out_header reply = {0};
    /* A request beyond the end of the file: touching it would be SIGBUS. */
    struct iovec readable = {window + 5 * PAGE, 100}, writable = {&reply, sizeof(reply)};
    struct fuse_chain chain = {.readable = &readable,
                               .readable_count = 1,
                               .writable = &writable,
                               .writable_count = 1,
                               .in_window = true};
    CHECK_EQ(fuse_server_run(guest.thread, &chain), sizeof(reply));
    CHECK_EQ(reply.error, -EFAULT);
    /* A reply there. */
    struct iovec inside = {window + 5 * PAGE, 4096};
    CHECK_EQ(read_to(&guest, a, fh, 1000, &inside, 1), 0);
    /* Data beyond the end: the kernel says so. */
    CHECK_EQ(write_from_window(&guest, a, fh, 5 * PAGE, 10), -EFAULT);
    /* Attributes are no file data. */
    struct {
        struct fuse_in_header header;
        struct fuse_getattr_in in;
    } getattr = {
        .header = {.len = sizeof(getattr), .opcode = FUSE_GETATTR, .unique = 8, .nodeid = a}};
    struct iovec ask = {&getattr, sizeof(getattr)};
    struct iovec answer[] = {{&reply, sizeof(reply)}, {window, 4000}};
    chain = (struct fuse_chain){.readable = &ask,
                                .readable_count = 1,
                                .writable = answer,
                                .writable_count = 2,
                                .in_window = true};
    CHECK_EQ(fuse_server_run(guest.thread, &chain), sizeof(reply));
    CHECK_EQ(reply.error, -EFAULT);
    CHECK_EQ(window_end(&guest), 0);
}

/* As Linux sends it: a piece for each page. */
static void any_number_of_pieces(void)
{
    struct guest guest;
    window_begin(&guest, true);
    window_host_write(&guest, "a", 0, 200 * PAGE, 1);
    window_host_write(&guest, "b", 0, 2 * MIB2, 2);
    uint64_t a = guest_lookup(&guest, "a"), b = guest_lookup(&guest, "b"), fh;
    CHECK_EQ(window_setup(&guest, b, 0, 0, true), 0);
    CHECK_EQ(window_setup(&guest, b, MIB2, MIB2, true), 0);
    CHECK_EQ(guest_open(&guest, a, O_RDWR, &fh), 0);
    struct fuse_out_header reply = {0};
    struct iovec writable[1 + 200] = {{&reply, sizeof(reply)}};
    for (unsigned i = 0; i < 200; i++)
        writable[1 + i] =
            (struct iovec){fuse_server_window(guest.server) + MIB2 - 100 * PAGE + i * PAGE, PAGE};
    CHECK_EQ(read_to(&guest, a, fh, 200 * PAGE, writable, 201), sizeof(reply) + 200 * PAGE);
    for (unsigned i = 0; i < 200 * PAGE; i++)
        CHECK_EQ(front.window[MIB2 - 100 * PAGE + i], window_pattern(i, 1));
    CHECK_EQ(window_end(&guest), 0);
}

static void far_offset_is_no_other(void)
{
    struct guest guest;
    window_begin(&guest, true);
    window_host_write(&guest, "f", 0, 2 * MIB2, 1);
    uint64_t node = guest_lookup(&guest, "f");
    CHECK_EQ(window_setup(&guest, node, UINT64_C(1) << 53, 0, true), 0);
    CHECK_EQ(front.piece_count, 0);
    CHECK_EQ(window_end(&guest), 0);
}

/* What was stored before times are set does not change them afterwards. */
static void times_stay_as_set(void)
{
    struct guest guest;
    window_begin(&guest, true);
    window_host_write(&guest, "f", 0, 1000, 1);
    uint64_t node = guest_lookup(&guest, "f");
    CHECK_EQ(window_setup(&guest, node, 0, 0, true), 0);
    front.window[10] = 'X';
    struct fuse_setattr_in in = {.valid = FATTR_MTIME, .mtime = 1000000000};
    CHECK_EQ(guest_do(&guest, FUSE_SETATTR, node, in), 0);
    CHECK_EQ(fsync_file(&guest, node), 0);
    CHECK_EQ(guest_host_stat(&guest, "f").st_mtim.tv_sec, 1000000000);
    /* And attributes that are told are those after the store, not before. */
    front.window[11] = 'Y';
    CHECK_EQ(window_getattr(&guest, node), 0);
    uint64_t told = BODY(fuse_attr_out)->attr.mtime;
    CHECK_EQ(told, guest_host_stat(&guest, "f").st_mtim.tv_sec);
    CHECK(told != 1000000000);
    CHECK_EQ(window_end(&guest), 0);
}

/* rsync --inplace -t on the host: same size, same time of modification, other bytes. */
static void restored_times_hide_nothing(void)
{
    static const struct timespec times[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
    struct guest guest;
    window_begin(&guest, true);
    window_host_write(&guest, "f", 0, 1000, 1);
    utimensat(AT_FDCWD, guest_path(&guest, "f"), times, 0);
    uint64_t node = guest_lookup(&guest, "f");
    CHECK_EQ(window_setup(&guest, node, 0, 0, true), 0);
    pause_ms(300);
    window_host_write(&guest, "f", 0, 1000, 7);
    utimensat(AT_FDCWD, guest_path(&guest, "f"), times, 0);
    pause_ms(300);
    CHECK_EQ(window_getattr(&guest, node), 0);
    CHECK_EQ(window_compare(&guest, "f", 0, 0), -1);
    CHECK_EQ(window_end(&guest), 0);
}

static void stores_beyond_the_end_are_gone(void)
{
    struct guest guest;
    window_begin(&guest, true);
    window_host_write(&guest, "f", 0, 100, 1);
    uint64_t node = guest_lookup(&guest, "f");
    CHECK_EQ(window_setup(&guest, node, 0, 0, true), 0);
    memset(front.window + 2 * PAGE, 'J', 50);
    memset(front.window + 200, 'J', 50);
    CHECK_EQ(truncate(guest_path(&guest, "f"), 5 * PAGE), 0);
    CHECK_EQ(window_getattr(&guest, node), 0);
    CHECK_EQ(fsync_file(&guest, node), 0);
    CHECK_EQ(window_compare(&guest, "f", 0, 0), -1);
    CHECK_EQ(front.window[2 * PAGE], 0);
    CHECK_EQ(front.window[200], 0);
    CHECK_EQ(window_end(&guest), 0);
}

/* A file that is made longer keeps its mappings; one that is cut gets new ones, if need be later.
 */
static void resizing_leaves_no_hole(void)
{
    struct guest guest;
    window_begin(&guest, true);
    window_host_write(&guest, "f", 0, 5 * PAGE + 10, 1);
    uint64_t node = guest_lookup(&guest, "f");
    CHECK_EQ(window_setup(&guest, node, 0, 0, true), 0);
    front.refuse_from = 1;
    CHECK_EQ(window_set_size(&guest, node, 9 * PAGE), 0);
    CHECK_EQ(front.unmaps, 0);
    front.window[3 * PAGE + 5] = '3';
    front.window[8 * PAGE + 5] = '8';
    CHECK_EQ(window_set_size(&guest, node, 3 * PAGE + 7), -EAGAIN);
    CHECK_EQ(guest_host_stat(&guest, "f").st_size, 9 * PAGE);
    CHECK_EQ(window_pieces(), 0);
    window_refuse_from(0);
    for (unsigned i = 0; i < 300 && window_pieces() == 0; i++)
        pause_ms(10);
    CHECK_EQ(window_pieces(), 1);
    CHECK_EQ(front.window[8 * PAGE + 5], '8');
    CHECK_EQ(window_compare(&guest, "f", 0, 0), -1);
    CHECK_EQ(window_set_size(&guest, node, 3 * PAGE + 7), 0);
    CHECK_EQ(front.window[3 * PAGE + 5], '3');
    CHECK_EQ(window_compare(&guest, "f", 0, 0), -1);
    CHECK_EQ(window_end(&guest), 0);
}

/* Requests of a device that is being stopped are run again, and answered then. */
static void stopped_requests_come_again(void)
{
    struct guest guest;
    window_begin(&guest, true);
    window_host_write(&guest, "f", 0, 2 * PAGE + 10, 1);
    uint64_t node = guest_lookup(&guest, "f");
    struct {
        struct fuse_in_header header;
        struct fuse_setupmapping_in in;
    } request = {
        .header = {.len = sizeof(request),
                   .opcode = FUSE_SETUPMAPPING,
                   .unique = 5,
                   .nodeid = node},
        .in = {.fh = UINT64_MAX, .len = MIB2, .flags = FUSE_SETUPMAPPING_FLAG_WRITE},
    };
    struct fuse_out_header reply = {.error = 77};
    /* The first piece, the second, and then all is well. */
    for (unsigned stop = 1; stop <= 3; stop++) {
        struct iovec readable = {&request, sizeof(request)}, writable = {&reply, sizeof(reply)};
        struct fuse_chain chain = {
            .readable = &readable, .readable_count = 1, .writable = &writable, .writable_count = 1};
        front.maps = 0;
        front.stop_from = stop < 3 ? 1 + (stop == 2) : 0;
        size_t used = fuse_server_run(guest.thread, &chain);
        CHECK_EQ(used, stop < 3 ? FUSE_SERVER_RESTART : sizeof(reply));
        CHECK_EQ(reply.error, stop < 3 ? 77 : 0);
    }
    CHECK_EQ(window_compare(&guest, "f", 0, 0), -1);
    CHECK_EQ(window_setup(&guest, node, 0, MIB2, true), 0);
    front.stop_from = 1;
    CHECK_EQ(window_removal(&guest, node, 0), GUEST_RESTART);
    CHECK_EQ(front.piece_count, 4);
    front.stop_from = 0;
    /* Whatever is to be said of the next one. */
    for (unsigned one_piece = 0; one_piece < 2; one_piece++) {
        front.breaks = true;
        CHECK_EQ(window_two_removals(&guest, node, 0, one_piece), GUEST_RESTART);
        front.breaks = front.broken = false;
    }
    CHECK_EQ(front.piece_count, 4);
    CHECK_EQ(window_two_removals(&guest, node, 0, true), 0);
    CHECK_EQ(front.piece_count, 0);
    CHECK_EQ(window_end(&guest), 0);
}

/* One request that changes a file of *size bytes, at a place and in a way by chance. */
static int change_file(struct guest *guest, uint64_t node, uint64_t fh, unsigned chance,
                       uint64_t *size)
{
    static const uint8_t data[3 * PAGE] = {1, 2, 3};
    uint64_t place = chance / 8 % (9 * PAGE) + (chance >> 27 & 1 ? MIB2 - 3 * PAGE : 0);
    uint64_t length = 100 + chance / 8 % (2 * PAGE);
    struct fuse_fallocate_in fallocate = {.fh = fh, .offset = place, .length = length};
    struct fuse_copy_file_range_in copy = {.fh_in = fh,
                                           .off_in = 0,
                                           .nodeid_out = node,
                                           .fh_out = fh,
                                           .off_out = *size,
                                           .len = *size < length ? *size : length};
    switch (chance % 8) {
    case 0:
    case 1:
    case 2:
        *size = place;
        return window_set_size(guest, node, place);
    case 3:
        fallocate.mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
        return guest_do(guest, FUSE_FALLOCATE, node, fallocate);
    case 4:
        *size = place + length > *size ? place + length : *size;
        return guest_do(guest, FUSE_FALLOCATE, node, fallocate);
    case 5:
        *size += copy.len;
        return guest_do(guest, FUSE_COPY_FILE_RANGE, node, copy);
    case 6:
        *size += length;
        place = 0;
        break;
    default:
        *size = place + length > *size ? place + length : *size;
        break;
    }
    int done = guest_write(guest, node, fh, place, data, length, chance % 8 == 6 ? O_APPEND : 0, 0);
    return done == (int)length ? 0 : done;
}

/*
 * A device that stops at any call to the front-end, however often: each request is answered in the
 * end as if it had not stopped, and is done once.
 */
static void stops_are_not_noticed(void)
{
    for (unsigned seed = 1; seed <= 100; seed++) {
        struct guest guest;
        uint64_t fh, size = seed % 3 ? 5 * PAGE + 10 : MIB2 + PAGE + 3;
        unsigned chance = seed * 2654435761u;
        window_begin(&guest, seed % 4 != 0);
        window_host_write(&guest, "f", 0, size, 1);
        uint64_t node = guest_lookup(&guest, "f");
        CHECK_EQ(guest_open(&guest, node, O_RDWR, &fh), 0);
        CHECK_EQ(window_setup(&guest, node, 0, 0, true), 0);
        CHECK_EQ(window_setup(&guest, node, MIB2, MIB2, true), 0);
        for (unsigned step = 0; step < 6; step++) {
            uint64_t before = size;
            int error = GUEST_RESTART;
            chance = chance * 1664525u + 1013904223u;
            for (unsigned run = 0; run < 40 && error == GUEST_RESTART; run++) {
                window_stop_by_chance(run < 30 ? chance + run : 0);
                size = before;
                error = change_file(&guest, node, fh, chance >> 4, &size);
                if (error == GUEST_RESTART)
                    CHECK_EQ(guest_host_stat(&guest, "f").st_size, before);
            }
            window_stop_by_chance(0);
            CHECK_EQ(error, 0);
            CHECK_EQ(guest_host_stat(&guest, "f").st_size, size);
            CHECK(size == 0 || window_overlaps(0, PAGE));
            CHECK(size <= MIB2 || window_overlaps(MIB2, PAGE));
            CHECK_EQ(size ? window_compare(&guest, "f", 0, 0) : -1, -1);
            CHECK_EQ(size > MIB2 ? window_compare(&guest, "f", MIB2, MIB2) : -1, -1);
        }
        CHECK_EQ(window_end(&guest), 0);
    }
}

/* Another request, which maps the file's first range while a call to the host goes on. */
static struct {
    struct guest guest; /* of a thread of its own */
    uint64_t node;
    bool stops; /* the device, right after it */
    int error;
} meanwhile;

static void *map_first_range(void *argument)
{
    meanwhile.guest.body = malloc(GUEST_BODY_MAX);
    meanwhile.error = window_setup(&meanwhile.guest, meanwhile.node, 0, 0, true);
    free(meanwhile.guest.body);
    return argument;
}

static void map_meanwhile(void *argument)
{
    struct guest *guest = argument;
    pthread_t thread;
    if (meanwhile.guest.thread)
        return;
    meanwhile.guest = *guest;
    CHECK_EQ(fuse_thread_new(guest->server, NULL, &meanwhile.guest.thread), 0);
    CHECK_EQ(pthread_create(&thread, NULL, map_first_range, NULL), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    front.stop_from = meanwhile.stops ? front.maps + 1 : 0;
}

/* What the file grows by is mapped in a range that was not there when that began, or it is an
 * error. */
static void a_range_claimed_meanwhile(void)
{
    for (unsigned stops = 0; stops < 2; stops++) {
        struct guest guest;
        uint64_t fh;
        window_begin(&guest, true);
        window_host_write(&guest, "f", 0, 5 * PAGE, 1);
        uint64_t node = guest_lookup(&guest, "f");
        CHECK_EQ(guest_open(&guest, node, O_RDWR, &fh), 0);
        meanwhile.guest = (struct guest){0};
        meanwhile.node = node;
        meanwhile.stops = stops;
        guest.hooks = (struct fuse_thread_hooks){.may_block = map_meanwhile, .argument = &guest};
        struct fuse_thread *first = guest.thread;
        CHECK_EQ(fuse_thread_new(guest.server, &guest.hooks, &guest.thread), 0);
        struct fuse_fallocate_in fallocate = {.fh = fh, .offset = 5 * PAGE, .length = 2 * PAGE};
        CHECK_EQ(guest_do(&guest, FUSE_FALLOCATE, node, fallocate), stops ? -EIO : 0);
        CHECK_EQ(meanwhile.error, 0);
        front.stop_from = 0;
        CHECK_EQ(guest_host_stat(&guest, "f").st_size, 7 * PAGE);
        CHECK_EQ(window_getattr(&guest, node), 0);
        CHECK_EQ(window_compare(&guest, "f", 0, 0), -1);
        fuse_thread_free(meanwhile.guest.thread);
        fuse_thread_free(guest.thread);
        guest.thread = first;
        CHECK_EQ(window_end(&guest), 0);
    }
}

/* A tail that cannot be written for now, as on a full disk: names and attributes are told. */
static void an_unwritable_tail_locks_nothing(void)
{
    struct guest guest;
    window_begin(&guest, true);
    window_host_write(&guest, "f", 0, 1000, 1);
    uint64_t node = guest_lookup(&guest, "f");
    CHECK_EQ(window_setup(&guest, node, 0, 0, true), 0);
    struct rlimit before, none;
    CHECK_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
    none = (struct rlimit){.rlim_cur = 0, .rlim_max = before.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    CHECK_EQ(setrlimit(RLIMIT_FSIZE, &none), 0);
    front.window[10] = 'X';
    CHECK_EQ(window_getattr(&guest, node), 0);
    CHECK_EQ(guest_lookup(&guest, "f"), node);
    int error = fsync_file(&guest, node);
    CHECK_EQ(setrlimit(RLIMIT_FSIZE, &before), 0);
    CHECK_EQ(error, -EFBIG);
    CHECK_EQ(fsync_file(&guest, node), 0);
    CHECK_EQ(window_compare(&guest, "f", 0, 0), -1);
    CHECK_EQ(window_end(&guest), 0);
}

/* Any number of ranges with a tail are looked after, wherever in the window they are. */
static void every_tail_is_kept(void)
{
    struct guest guest;
    window_begin(&guest, true);
    window_host_write(&guest, "last", 0, 1000, 1);
    uint64_t last = guest_lookup(&guest, "last");
    CHECK_EQ(window_setup(&guest, last, 0, WINDOW - MIB2, true), 0);
    for (unsigned i = 0; i < 30; i++) {
        char name[16];
        snprintf(name, sizeof(name), "f%u", i);
        window_host_write(&guest, name, 0, 100, i);
        CHECK_EQ(window_setup(&guest, guest_lookup(&guest, name), 0, i * MIB2, i % 2), 0);
    }
    front.window[WINDOW - MIB2 + 5] = 'L';
    int64_t difference = 0;
    for (unsigned i = 0; i < 100 && difference >= 0; i++) {
        pause_ms(10);
        difference = window_compare(&guest, "last", 0, WINDOW - MIB2);
    }
    CHECK_EQ(difference, -1);
    CHECK_EQ(window_end(&guest), 0);
}

int main(void)
{
    RUN(mirror_follows_a_new_tail);
    RUN(mirror_follows_an_upgrade);
    RUN(only_data_in_the_window);
    RUN(any_number_of_pieces);
    RUN(far_offset_is_no_other);
    RUN(times_stay_as_set);
    RUN(restored_times_hide_nothing);
    RUN(stores_beyond_the_end_are_gone);
    RUN(resizing_leaves_no_hole);
    RUN(stopped_requests_come_again);
    RUN(stops_are_not_noticed);
    RUN(a_range_claimed_meanwhile);
    RUN(an_unwritable_tail_locks_nothing);
    RUN(every_tail_is_kept);
    return test_result();
}
