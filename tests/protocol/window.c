// SPDX-License-Identifier: BSD-3-Clause
#include "window.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* How long QEMU's other threads may keep it from committing what it has acknowledged. */
#define APPEAR_US       300
#define LATE_MS         5000

/* The old messages; the numbers were given to others later. */
#define LEGACY_FS_MAP   6
#define LEGACY_FS_UNMAP 7
#define LEGACY_ENTRIES  8
#define LEGACY_READ     1u
#define LEGACY_WRITE    2u

struct legacy_payload {
    uint64_t fd_offset[LEGACY_ENTRIES];
    uint64_t cache_offset[LEGACY_ENTRIES];
    uint64_t len[LEGACY_ENTRIES];
    uint64_t flags[LEGACY_ENTRIES];
};

_Static_assert(sizeof(struct legacy_payload) == 256, "FS_MAP");

/* One mapping or unmapping as asked for, in the style of either protocol. */
struct wish {
    bool unmap;
    uint64_t offset;
    uint64_t length;
    uint64_t fd_offset;
    bool writable;
    int fd; /* borrowed; -1: none */
};

static void violate(struct window *window, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void violate(struct window *window, const char *format, ...)
{
    va_list list;

    pthread_mutex_lock(&window->lock);
    va_start(list, format);
    if (window->violations++ == 0)
        vsnprintf(window->violation, sizeof(window->violation), format, list);
    va_end(list);
    pthread_mutex_unlock(&window->lock);
}

/* --- the area ----------------------------------------------------------------------------- */

static void reserve(struct window *window, uint64_t offset, uint64_t length)
{
    if (mmap(window->map + offset, length, PROT_NONE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED)
        FAIL("reserving the window: %m");
}

static bool keeps_fds(const struct window *window)
{
    return window->options.style == WINDOW_EXACT && !window->options.without_tables;
}

static void add_piece(struct window *window, const struct window_piece *piece)
{
    if (window->count == window->room) {
        window->room = window->room ? 2 * window->room : 64;
        window->pieces = realloc(window->pieces, window->room * sizeof(*piece));
        if (!window->pieces)
            FAIL("out of memory");
    }
    window->pieces[window->count++] = *piece;
}

/* Takes what lies in the stretch out of the list, cutting those that reach beyond it. */
static void forget_stretch(struct window *window, uint64_t offset, uint64_t length)
{
    uint64_t end = offset + length;

    for (size_t i = 0; i < window->count;) {
        struct window_piece piece = window->pieces[i];
        uint64_t piece_end = piece.offset + piece.length;

        if (piece_end <= offset || piece.offset >= end) {
            i++;
            continue;
        }
        window->pieces[i] = window->pieces[--window->count];
        if (piece.offset < offset) {
            struct window_piece before = piece;
            before.length = offset - piece.offset;
            add_piece(window, &before);
        }
        if (piece_end > end) {
            struct window_piece after = piece;
            after.offset = end;
            after.length = piece_end - end;
            after.fd_offset += end - piece.offset;
            add_piece(window, &after);
        }
        /* Cut pieces exist on loose windows only, which keep no descriptors. */
        if (piece.fd >= 0)
            close(piece.fd);
    }
}

static bool overlaps(const struct window *window, uint64_t offset, uint64_t length)
{
    for (size_t i = 0; i < window->count; i++)
        if (window->pieces[i].offset < offset + length &&
            offset < window->pieces[i].offset + window->pieces[i].length)
            return true;
    return false;
}

static bool is_one_piece(const struct window *window, uint64_t offset, uint64_t length)
{
    for (size_t i = 0; i < window->count; i++)
        if (window->pieces[i].offset == offset && window->pieces[i].length == length)
            return true;
    return false;
}

static void carry_out(struct window *window, const struct wish *wish)
{
    struct window_piece piece = {
        .offset = wish->offset,
        .length = wish->length,
        .fd_offset = wish->fd_offset,
        .fd = -1,
        .writable = wish->writable,
    };

    pthread_mutex_lock(&window->lock);
    forget_stretch(window, wish->offset, wish->length);
    if (wish->unmap) {
        reserve(window, wish->offset, wish->length);
        window->unmaps++;
    } else {
        if (mmap(window->map + wish->offset, wish->length,
                 PROT_READ | (wish->writable ? PROT_WRITE : 0), MAP_SHARED | MAP_FIXED, wish->fd,
                 (off_t)wish->fd_offset) == MAP_FAILED)
            FAIL("mapping into the window: %m");
        if (keeps_fds(window))
            piece.fd = fcntl(wish->fd, F_DUPFD_CLOEXEC, 0);
        add_piece(window, &piece);
        window->maps++;
    }
    pthread_mutex_unlock(&window->lock);
}

/* --- what the rules say --------------------------------------------------------------------- */

/* QEMU's reasons to refuse; each is a violation, as a daemon that knows them never asks. But what
 * is left of another session it may try. */
static bool exact_allows(struct window *window, const struct wish *wish)
{
    struct stat st;

    if (wish->unmap) {
        if (is_one_piece(window, wish->offset, wish->length))
            return true;
        if (!window->options.may_probe)
            violate(window, "UNMAP %#llx+%#llx is not one mapping",
                    (unsigned long long)wish->offset, (unsigned long long)wish->length);
        return false;
    }
    if (overlaps(window, wish->offset, wish->length)) {
        if (!window->options.may_probe)
            violate(window, "MAP %#llx+%#llx over another mapping",
                    (unsigned long long)wish->offset, (unsigned long long)wish->length);
        return false;
    }
    if (fstat(wish->fd, &st) < 0)
        FAIL("fstat: %m");
    if (st.st_size == 0) {
        /* This is what QEMU does, and what no daemon may let it do. */
        violate(window, "MAP of an empty file");
        if (ftruncate(wish->fd, (off_t)(wish->fd_offset + wish->length)) < 0)
            return false;
        return true;
    }
    uint64_t end = (wish->fd_offset + wish->length + WINDOW_PAGE - 1) & ~(WINDOW_PAGE - 1);
    if (end > (uint64_t)st.st_size) {
        if (!window->options.eof_is_lenient)
            violate(window, "MAP of file bytes up to %#llx, and it has %#llx",
                    (unsigned long long)end, (unsigned long long)st.st_size);
        return false;
    }
    return true;
}

static bool is_sound(struct window *window, const struct wish *wish)
{
    uint64_t size = window->options.size;
    bool sound = wish->length > 0 && wish->offset < size && wish->length <= size - wish->offset &&
                 (wish->offset | wish->length | wish->fd_offset) % WINDOW_PAGE == 0;

    if (!sound)
        violate(window, "%s %#llx+%#llx of file offset %#llx", wish->unmap ? "UNMAP" : "MAP",
                (unsigned long long)wish->offset, (unsigned long long)wish->length,
                (unsigned long long)wish->fd_offset);
    if (sound && !wish->unmap) {
        int mode = fcntl(wish->fd, F_GETFL) & O_ACCMODE;

        if (mode == O_WRONLY || (wish->writable && mode != O_RDWR)) {
            violate(window, "MAP with a descriptor of mode %d, writable %d", mode, wish->writable);
            return false;
        }
    }
    return sound;
}

/* The same without a word. */
static bool strict_allows(const struct window *window, const struct wish *wish)
{
    struct stat st;

    if (wish->unmap)
        return is_one_piece(window, wish->offset, wish->length);
    if (fstat(wish->fd, &st) < 0)
        FAIL("fstat: %m");
    return !overlaps(window, wish->offset, wish->length) &&
           wish->fd_offset + wish->length <= (uint64_t)st.st_size;
}

static bool allows(struct window *window, const struct wish *wish)
{
    if (!is_sound(window, wish))
        return false;
    if (window->options.style == WINDOW_STRICT)
        return strict_allows(window, wish);
    return window->options.style != WINDOW_EXACT || exact_allows(window, wish);
}

/* --- the channel ---------------------------------------------------------------------------- */

/* The new memory table, as long as it has room for all: the serving thread waits for its answer. */
void window_send_table(struct window *window)
{
    struct vuf_region regions[VUF_TABLE_REGIONS] = {vuf_mem_region(&window->guest->dev.mem)};
    int fds[VUF_TABLE_REGIONS] = {window->guest->dev.mem.fd};
    size_t n = 1;
    int r = 0;

    pthread_mutex_lock(&window->socket);
    pthread_mutex_lock(&window->lock);
    bool fits = window->count < VUF_TABLE_REGIONS && window->running;
    for (size_t i = 0; fits && i < window->count; i++, n++) {
        const struct window_piece *piece = &window->pieces[i];
        regions[n] = (struct vuf_region){WINDOW_GPA + piece->offset, piece->length,
                                         WINDOW_UVA + piece->offset, piece->fd_offset};
        fds[n] = piece->fd;
    }
    pthread_mutex_unlock(&window->lock);
    if (fits)
        r = vuf_set_mem_table(&window->guest->dev.conn, regions, fds, n);
    if (fits && r == 0) {
        pthread_mutex_lock(&window->lock);
        window->tables++;
        pthread_mutex_unlock(&window->lock);
    }
    pthread_mutex_unlock(&window->socket);
    if (r == -EREMOTEIO || r == -ETIMEDOUT || r == -EPROTO)
        violate(window, "SET_MEM_TABLE with %zu mappings: %s", n - 1, strerrorname_np(-r));
}

static void answer(struct window *window, const struct vuf_msg *msg, uint64_t value)
{
    /* An error: the daemon has left, which is for the test to notice. */
    vuf_conn_answer(&window->channel, msg, value);
}

static void answer_garbage(struct window *window, const struct vuf_msg *msg)
{
    struct {
        struct vuf_hdr hdr;
        uint32_t words[4];
    } reply = {{msg->hdr.request + 77, VUF_VERSION | VUF_FLAG_REPLY, 16}, {1, 2, 3, 4}};

    vuf_conn_send_raw(&window->channel, &reply, sizeof(reply), NULL, 0);
}

/* Takes note of the request; which fault it meets. */
static enum window_fault meet_fault(struct window *window)
{
    enum window_fault fault = FAULT_NONE;

    pthread_mutex_lock(&window->lock);
    window->seen++;
    if (window->fault_in > 0 && --window->fault_in == 0) {
        fault = window->fault;
        if (window->fault_goes_on)
            window->fault_in = 1;
    }
    pthread_mutex_unlock(&window->lock);
    if (!window->in_order)
        violate(window, "a request while the device is not running");
    return fault;
}

/* Until window_release(). Returns whether the device still runs. */
static bool be_late(struct window *window)
{
    long long end = now_ms() + LATE_MS;
    bool released = false, running = true;

    while (!released && now_ms() < end) {
        sleep_ms(2);
        pthread_mutex_lock(&window->lock);
        released = window->released;
        running = window->running;
        pthread_mutex_unlock(&window->lock);
    }
    return running;
}

/* Whether the request is to be served; if not, it has met its fate. */
static bool survives_fault(struct window *window, const struct vuf_msg *msg)
{
    switch (meet_fault(window)) {
    case FAULT_NONE:
        return true;
    case FAULT_REFUSE:
        answer(window, msg, 1);
        return false;
    case FAULT_LATE:
        if (be_late(window))
            return true;
        answer(window, msg, 1);
        return false;
    case FAULT_NEVER:
        pthread_mutex_lock(&window->lock);
        window->fault_in = 1;
        window->fault_goes_on = true;
        pthread_mutex_unlock(&window->lock);
        return false;
    case FAULT_CLOSE:
        vuf_conn_close(&window->channel);
        return false;
    case FAULT_GARBAGE:
        answer_garbage(window, msg);
        return false;
    }
    return false;
}

/* Which wishes a message carries: at most LEGACY_ENTRIES. 0: none that makes sense. */
static unsigned parse(struct window *window, const struct vuf_msg *msg, struct wish *ret_wishes)
{
    int fd = msg->n_fds ? msg->fds[0] : -1;
    struct legacy_payload old;
    struct vuf_shmem_map one;
    unsigned n = 0;

    if (window->options.style == WINDOW_LEGACY && msg->hdr.size == sizeof(old) &&
        (msg->hdr.request == LEGACY_FS_MAP || msg->hdr.request == LEGACY_FS_UNMAP)) {
        memcpy(&old, msg->payload, sizeof(old));
        for (unsigned i = 0; i < LEGACY_ENTRIES; i++)
            if (old.len[i])
                ret_wishes[n++] = (struct wish){msg->hdr.request == LEGACY_FS_UNMAP,
                                                old.cache_offset[i],
                                                old.len[i],
                                                old.fd_offset[i],
                                                old.flags[i] & LEGACY_WRITE,
                                                fd};
        for (unsigned i = 0; i < n; i++)
            if (!ret_wishes[i].unmap && !(old.flags[i] & LEGACY_READ))
                violate(window, "FS_MAP that is not for reading");
    } else if (window->options.style != WINDOW_LEGACY && msg->hdr.size == sizeof(one) &&
               (msg->hdr.request == VUF_BACKEND_SHMEM_MAP ||
                msg->hdr.request == VUF_BACKEND_SHMEM_UNMAP)) {
        memcpy(&one, msg->payload, sizeof(one));
        if (one.shmid != 0 || (one.flags & ~1ull))
            violate(window, "shmid %u, flags %#llx", one.shmid, (unsigned long long)one.flags);
        ret_wishes[n++] = (struct wish){msg->hdr.request == VUF_BACKEND_SHMEM_UNMAP,
                                        one.shm_offset,
                                        one.len,
                                        one.fd_offset,
                                        one.flags & 1,
                                        fd};
    } else {
        violate(window, "request %u of %u bytes on the channel", msg->hdr.request, msg->hdr.size);
        return 0;
    }
    if (n == 0 || msg->n_fds != (ret_wishes[0].unmap ? 0u : 1u)) {
        violate(window, "request %u with %u entries and %zu descriptors", msg->hdr.request, n,
                msg->n_fds);
        return 0;
    }
    if (!(msg->hdr.flags & VUF_FLAG_NEED_REPLY))
        violate(window, "request %u wants no answer", msg->hdr.request);
    return n;
}

static void serve_one(struct window *window, const struct vuf_msg *msg)
{
    bool exact = window->options.style == WINDOW_EXACT;
    struct wish wishes[LEGACY_ENTRIES];

    if (exact && msg->hdr.request == VUF_BACKEND_SHARED_OBJECT_LOOKUP) {
        answer(window, msg, 1); /* none of that name */
        return;
    }
    if (!survives_fault(window, msg))
        return;
    unsigned n = parse(window, msg, wishes);
    bool fine = n > 0;
    for (unsigned i = 0; fine && i < n; i++) {
        fine = allows(window, &wishes[i]);
        if (fine && !exact)
            carry_out(window, &wishes[i]);
    }
    answer(window, msg, !fine);
    if (!fine || !exact)
        return;
    if (!window->options.at_once)
        usleep(APPEAR_US);
    carry_out(window, &wishes[0]);
    if (!window->options.without_tables)
        window_send_table(window);
}

static void begin_reading(struct window *window)
{
    pthread_mutex_lock(&window->lock);
    window->busy = window->reading = true;
    pthread_mutex_unlock(&window->lock);
}

/* The request is there: whether it came when the device could ask. */
static void end_reading(struct window *window, const struct vuf_msg *msg)
{
    pthread_mutex_lock(&window->lock);
    window->reading = false;
    window->in_order = window->running || window->unread > 0;
    if (!window->running)
        window->unread -= (int)(sizeof(msg->hdr) + msg->hdr.size);
    pthread_mutex_unlock(&window->lock);
}

static void end_serving(struct window *window)
{
    pthread_mutex_lock(&window->lock);
    window->busy = window->reading = false;
    pthread_mutex_unlock(&window->lock);
}

static void *serve(void *argument)
{
    struct window *window = argument;

    while (window->channel.fd >= 0) {
        struct pollfd fds[2] = {{.fd = window->stop_fd, .events = POLLIN},
                                {.fd = window->channel.fd, .events = POLLIN}};
        struct vuf_msg msg;

        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            FAIL("poll: %m");
        if (fds[0].revents)
            break;
        if (!fds[1].revents)
            continue;
        begin_reading(window);
        int r = vuf_conn_recv(&window->channel, &msg);
        if (r == 0) {
            end_reading(window, &msg);
            serve_one(window, &msg);
            vuf_msg_close_fds(&msg);
        }
        end_serving(window);
        if (r < 0)
            break;
    }
    return NULL;
}

/* --- the test's side ------------------------------------------------------------------------ */

static void start_thread(struct window *window)
{
    OK(vuf_open_backend_channel(&window->guest->dev.conn, &window->channel));
    if (pthread_create(&window->thread, NULL, serve, window) != 0)
        FAIL("pthread_create");
}

static void end_thread(struct window *window)
{
    uint64_t number = 1;

    CHECK(write(window->stop_fd, &number, sizeof(number)) == sizeof(number));
    window_release(window);
    pthread_join(window->thread, NULL);
    CHECK(read(window->stop_fd, &number, sizeof(number)) == sizeof(number));
}

void window_reopen(struct window *window)
{
    end_thread(window);
    vuf_conn_close(&window->channel);
    window_fail(window, FAULT_NONE, 0, false);
    start_thread(window);
}

void window_open(struct window *ret_window, struct guest *guest,
                 const struct window_options *options)
{
    struct window *window = ret_window;

    *window = (struct window){.guest = guest, .options = *options};
    window->map =
        mmap(NULL, options->size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (window->map == MAP_FAILED)
        FAIL("reserving the window: %m");
    pthread_mutex_init(&window->socket, NULL);
    pthread_mutex_init(&window->lock, NULL);
    window->stop_fd = eventfd(0, EFD_CLOEXEC);
    CHECK(window->stop_fd >= 0);
    start_thread(window);
}

void window_close(struct window *window)
{
    end_thread(window);
    if (window->violations)
        FAIL("%u rules broken; the first: %s", window->violations, window->violation);
    for (size_t i = 0; i < window->count; i++)
        if (window->pieces[i].fd >= 0)
            close(window->pieces[i].fd);
    free(window->pieces);
    munmap(window->map, window->options.size);
    close(window->stop_fd);
    window->map = NULL;
}

/*
 * Between the stops of two rings the one that still runs may ask, and one who is busy comes to read
 * that when none runs any more.
 */
void window_set_running(struct window *window, bool running)
{
    int unread = 0;

    pthread_mutex_lock(&window->lock);
    if (!running && ioctl(window->channel.fd, FIONREAD, &unread) < 0)
        unread = 0; /* the channel is closed */
    window->running = running;
    window->unread = unread + window->reading;
    pthread_mutex_unlock(&window->lock);
}

/* Takes the lock when nothing is half done. A request that waits to be released is not. */
static void lock_idle(struct window *window)
{
    long long end = now_ms() + LATE_MS;

    pthread_mutex_lock(&window->lock);
    while (window->busy && now_ms() < end) {
        pthread_mutex_unlock(&window->lock);
        usleep(50);
        pthread_mutex_lock(&window->lock);
    }
}

void window_drop(struct window *window)
{
    lock_idle(window);
    forget_stretch(window, 0, window->options.size);
    reserve(window, 0, window->options.size);
    pthread_mutex_unlock(&window->lock);
}

void window_fail(struct window *window, enum window_fault fault, unsigned in, bool goes_on)
{
    pthread_mutex_lock(&window->lock);
    window->fault = fault;
    window->fault_in = in;
    window->fault_goes_on = goes_on;
    window->released = false;
    pthread_mutex_unlock(&window->lock);
}

void window_release(struct window *window)
{
    pthread_mutex_lock(&window->lock);
    window->released = true;
    pthread_mutex_unlock(&window->lock);
}

void window_expect_seen(struct window *window, unsigned long seen)
{
    unsigned long now = 0;

    for (long long end = now_ms() + DAEMON_PATIENCE_MS; now_ms() < end; sleep_ms(2)) {
        pthread_mutex_lock(&window->lock);
        now = window->seen;
        pthread_mutex_unlock(&window->lock);
        if (now >= seen)
            return;
    }
    FAIL("%lu requests for the window, not %lu", now, seen);
}

struct window_counts window_counts(struct window *window)
{
    lock_idle(window);
    struct window_counts counts = {window->maps, window->unmaps, window->seen, window->tables,
                                   window->count};
    pthread_mutex_unlock(&window->lock);
    return counts;
}

void window_check_backed(struct window *window)
{
    lock_idle(window);
    for (size_t i = 0; i < window->count; i++) {
        const struct window_piece *piece = &window->pieces[i];
        struct stat st;

        CHECK(fstat(piece->fd, &st) == 0);
        uint64_t pages_end = ((uint64_t)st.st_size + WINDOW_PAGE - 1) & ~(WINDOW_PAGE - 1);
        if (piece->fd_offset + piece->length > pages_end)
            FAIL("at %#llx file bytes up to %#llx are mapped, and it has %#llx",
                 (unsigned long long)piece->offset,
                 (unsigned long long)(piece->fd_offset + piece->length),
                 (unsigned long long)st.st_size);
    }
    pthread_mutex_unlock(&window->lock);
}

void window_lock_socket(struct window *window)
{
    pthread_mutex_lock(&window->socket);
}

void window_unlock_socket(struct window *window)
{
    pthread_mutex_unlock(&window->socket);
}

/* By way of the kernel, which looks at the same page tables and says EFAULT where a load would be
 * the end of the process. */
int window_load(const struct window *window, uint64_t offset, void *ret_bytes, size_t size)
{
    struct iovec local = {ret_bytes, size}, remote = {window->map + offset, size};
    ssize_t n = process_vm_readv(getpid(), &local, 1, &remote, 1, 0);

    if (n < 0 && errno != EFAULT)
        FAIL("process_vm_readv: %m");
    return n == (ssize_t)size ? 0 : -EFAULT;
}

int window_store(const struct window *window, uint64_t offset, const void *bytes, size_t size)
{
    struct iovec local = {(void *)bytes, size}, remote = {window->map + offset, size};
    ssize_t n = process_vm_writev(getpid(), &local, 1, &remote, 1, 0);

    if (n < 0 && errno != EFAULT)
        FAIL("process_vm_writev: %m");
    return n == (ssize_t)size ? 0 : -EFAULT;
}
