// SPDX-License-Identifier: BSD-3-Clause
/*
 * Random operations on one file, checked against what the file has to hold: reads, writes,
 * truncation, mappings, holes, preallocation, copies, with two descriptors and closes in between.
 *
 *   fsx FILE SEED SECONDS [nommap] [DIRECT]
 *
 * DIRECT is the same file by another way, whose content has to agree after each sync. Exits 1 with
 * the last operations at the first disagreement. The same seed makes the same operations.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#ifndef FILE_MAX
#define FILE_MAX (1 << 20)
#endif
#define LENGTH_MAX (160 << 10)
#define HISTORY    40

static unsigned char model[FILE_MAX]; /* beyond model_size all zero */
static unsigned char buffer[FILE_MAX];
static size_t model_size;
static uint64_t state;
static const char *path;
static int fds[2];
static bool mappings = true;
static unsigned long step;
static char history[HISTORY][96];

static uint32_t roll(void)
{
    state += 0x9e3779b97f4a7c15u;
    uint64_t z = state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t)((z ^ (z >> 31)) >> 16);
}

static void note(const char *what, size_t offset, size_t length)
{
    snprintf(history[step % HISTORY], sizeof(history[0]), "%lu %s at %zu, %zu bytes", step, what,
             offset, length);
}

__attribute__((noreturn)) static void die(const char *what, size_t offset)
{
    printf("fsx: %s at %zu, errno %d (%s); the last operations, size now %zu:\n", what, offset,
           errno, strerror(errno), model_size);
    for (unsigned long i = step < HISTORY ? 0 : step - HISTORY + 1; i <= step; i++)
        printf("  %s\n", history[i % HISTORY]);
    exit(1);
}

/* A place and a length, half of the time on page boundaries, the place up to limit. */
static void place(size_t limit, size_t *ret_offset, size_t *ret_length)
{
    size_t offset = roll() % (limit ? limit : 1);
    size_t length = 1 + roll() % (roll() % 4 ? 8192 : LENGTH_MAX);

    if (roll() % 2) {
        offset &= ~(size_t)4095;
        length = (length + 4095) & ~(size_t)4095;
    }
    if (offset + length > FILE_MAX)
        length = FILE_MAX - offset;
    *ret_offset = offset;
    *ret_length = length;
}

static void fill(size_t length)
{
    uint32_t tag = roll();
    for (size_t i = 0; i < length; i++)
        buffer[i] = (unsigned char)(tag + i * 7 + (i >> 8));
}

static int any_fd(void)
{
    return fds[roll() % 2];
}

static void compare(const unsigned char *seen, size_t offset, size_t length, const char *what)
{
    for (size_t i = 0; i < length; i++)
        if (seen[i] != model[offset + i]) {
            errno = 0;
            printf("fsx: expected 0x%02x, got 0x%02x\n", model[offset + i], seen[i]);
            die(what, offset + i);
        }
}

static void check_size(const char *what)
{
    struct stat st;
    if (fstat(any_fd(), &st) < 0)
        die("fstat", 0);
    if ((size_t)st.st_size != model_size) {
        printf("fsx: size is %lld\n", (long long)st.st_size);
        die(what, 0);
    }
}

static void do_read(void)
{
    size_t offset;
    size_t length;
    place(model_size + 1, &offset, &length);
    note("read", offset, length);
    size_t expected = offset >= model_size ? 0 : model_size - offset;
    expected = expected > length ? length : expected;
    ssize_t got = pread(any_fd(), buffer, length, (off_t)offset);
    if (got < 0 || (size_t)got != expected)
        die("read of a wrong length", (size_t)got);
    compare(buffer, offset, expected, "read");
}

static void write_at(size_t offset, size_t length)
{
    fill(length);
    ssize_t put = pwrite(any_fd(), buffer, length, (off_t)offset);
    if (put < 0 || (size_t)put != length)
        die("write", (size_t)put);
    memcpy(model + offset, buffer, length);
    if (offset + length > model_size)
        model_size = offset + length;
}

static void do_write(void)
{
    size_t offset;
    size_t length;
    place(roll() % 4 ? model_size + 1 : FILE_MAX, &offset, &length);
    note("write", offset, length);
    write_at(offset, length);
}

static void do_truncate(void)
{
    size_t size = roll() % 8 ? roll() % FILE_MAX : 0;
    note("truncate", size, 0);
    if ((roll() % 2 ? ftruncate(any_fd(), (off_t)size) : truncate(path, (off_t)size)) < 0)
        die("truncate", size);
    if (size < model_size)
        memset(model + size, 0, model_size - size);
    model_size = size;
}

static void do_mapping(bool store)
{
    size_t offset;
    size_t length;
    if (!mappings || model_size == 0)
        return;
    place(model_size, &offset, &length);
    if (offset + length > model_size)
        length = model_size - offset;
    note(store ? "mapped write" : "mapped read", offset, length);
    size_t start = offset & ~(size_t)4095;
    size_t span = offset + length - start;
    unsigned char *area = mmap(NULL, span, store ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED,
                               any_fd(), (off_t)start);
    if (area == MAP_FAILED)
        die("mmap", offset);
    if (store) {
        fill(length);
        memcpy(area + (offset - start), buffer, length);
        memcpy(model + offset, buffer, length);
        if (roll() % 2 && msync(area, span, MS_SYNC) < 0)
            die("msync", offset);
    } else {
        compare(area + (offset - start), offset, length, "mapped read");
    }
    if (munmap(area, span) < 0)
        die("munmap", offset);
}

static void do_fallocate(void)
{
    static const struct {
        int mode;
        const char *name;
    } kinds[] = {
        {0, "preallocate"},
        {FALLOC_FL_KEEP_SIZE, "preallocate, size kept"},
        {FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, "punch"},
        {FALLOC_FL_ZERO_RANGE, "zero"},
        {FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, "zero, size kept"},
    };
    size_t offset;
    size_t length;
    unsigned kind = roll() % 5;
    place(model_size + 1, &offset, &length);
    if (length == 0)
        return;
    note(kinds[kind].name, offset, length);
    if (fallocate(any_fd(), kinds[kind].mode, (off_t)offset, (off_t)length) < 0) {
        if (errno == EOPNOTSUPP)
            return;
        die(kinds[kind].name, offset);
    }
    if (kind >= 2) {
        size_t end = offset + length < model_size ? offset + length : model_size;
        if (end > offset)
            memset(model + offset, 0, end - offset);
    }
    if (!(kinds[kind].mode & FALLOC_FL_KEEP_SIZE) && offset + length > model_size)
        model_size = offset + length;
}

static void do_copy(void)
{
    size_t from;
    size_t to;
    size_t length;
    size_t ignored;
    place(model_size, &from, &length);
    place(model_size + 1, &to, &ignored);
    if (from + length > model_size)
        length = model_size - from;
    if (to + length > FILE_MAX)
        length = FILE_MAX - to;
    if (length == 0 || (from < to + length && to < from + length))
        return;
    note("copy from", from, length);
    note("copy to", to, length);
    loff_t in = (loff_t)from;
    loff_t out = (loff_t)to;
    ssize_t got = copy_file_range(fds[0], &in, fds[1], &out, length, 0);
    if (got < 0 && (errno == EOPNOTSUPP || errno == EXDEV || errno == ENOSYS))
        return;
    if (got <= 0 || (size_t)got > length)
        die("copy_file_range", (size_t)got);
    memcpy(model + to, model + from, (size_t)got);
    if (to + (size_t)got > model_size)
        model_size = to + (size_t)got;
}

static void open_both(int flags)
{
    for (int i = 0; i < 2; i++) {
        fds[i] = open(path, O_RDWR | O_CLOEXEC | flags, 0644);
        if (fds[i] < 0)
            die("open", 0);
    }
}

static void do_reopen(void)
{
    note("close and open", 0, 0);
    for (int i = 0; i < 2; i++)
        if (close(fds[i]) < 0)
            die("close", 0);
    open_both(0);
}

static void do_sync(const char *direct)
{
    note("fsync", 0, 0);
    if ((roll() % 2 ? fsync(any_fd()) : fdatasync(any_fd())) < 0)
        die("fsync", 0);
    /* What mapped pages of the other descriptor hold is written with the same inode. */
    if (!direct)
        return;
    int fd = open(direct, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        die("open of the direct path", 0);
    ssize_t got = pread(fd, buffer, FILE_MAX, 0);
    close(fd);
    if (got < 0 || (size_t)got != model_size)
        die("the direct path has another size", (size_t)got);
    compare(buffer, 0, model_size, "the direct path");
}

static void one_step(const char *direct)
{
    unsigned kind = roll() % 32;
    if (kind < 7)
        do_read();
    else if (kind < 14)
        do_write();
    else if (kind < 16)
        do_truncate();
    else if (kind < 20)
        do_mapping(false);
    else if (kind < 24)
        do_mapping(true);
    else if (kind < 27)
        do_fallocate();
    else if (kind < 29)
        do_copy();
    else if (kind < 30)
        do_reopen();
    else if (kind < 31)
        do_sync(direct);
    else
        note("size", 0, 0);
    check_size("size");
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: fsx FILE SEED SECONDS [nommap|mmap] [DIRECT]\n");
        return 2;
    }
    path = argv[1];
    state = strtoull(argv[2], NULL, 0);
    mappings = argc < 5 || strcmp(argv[4], "nommap") != 0;
    const char *direct = argc > 5 ? argv[5] : NULL;
    time_t end = time(NULL) + atoi(argv[3]);

    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("fsx: seed %s\n", argv[2]);
    open_both(O_CREAT | O_TRUNC);
    for (step = 0; time(NULL) < end; step++)
        one_step(direct);
    do_sync(direct);
    printf("fsx: %lu operations, all as expected\n", step);
    return 0;
}
