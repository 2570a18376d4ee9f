// SPDX-License-Identifier: BSD-3-Clause
/*
 * Making files and reading all of them, by read() and by mapping.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "daxtool.h"

#define CHUNK (256u << 10)

static uint64_t number(const char *text)
{
    return strtoull(text, NULL, 0);
}

void command_fill(char **argv)
{
    int fd = open_file(argv[1], O_RDWR | O_CREAT | O_TRUNC);
    write_pattern(fd, 0, number(argv[2]), number(argv[3]));
    if (close(fd) < 0)
        die("close");
}

void command_patch(char **argv)
{
    int fd = open_file(argv[1], O_RDWR);
    write_pattern(fd, number(argv[2]), number(argv[3]), number(argv[4]));
    if (close(fd) < 0)
        die("close");
}

void command_store(char **argv)
{
    int fd = open_file(argv[1], O_RDWR);
    uint64_t offset = number(argv[2]);
    size_t length = (size_t)number(argv[3]);
    unsigned char *area = map_file(fd, offset + length, true);
    pattern_fill(area + offset, offset, length, number(argv[4]));
}

void command_resize(char **argv)
{
    int fd = open_file(argv[1], O_RDWR | O_CREAT);
    if (ftruncate(fd, (off_t)number(argv[2])) < 0)
        die("ftruncate");
}

static void check_piece(int fd, const unsigned char *area, uint64_t offset, size_t length,
                        uint64_t seed)
{
    static unsigned char buffer[CHUNK];
    if (area) {
        pattern_check(area + offset, offset, length, seed, "mapped");
        return;
    }
    ssize_t got = pread(fd, buffer, length, (off_t)offset);
    if (got != (ssize_t)length)
        die("read of %zu bytes at %llu gave %zd", length, (unsigned long long)offset, got);
    pattern_check(buffer, offset, length, seed, "read");
}

void command_check(char **argv)
{
    int fd = open_file(argv[1], O_RDONLY);
    uint64_t end = number(argv[2]) + number(argv[3]);
    for (uint64_t offset = number(argv[2]); offset < end; offset += CHUNK)
        check_piece(fd, NULL, offset, end - offset < CHUNK ? (size_t)(end - offset) : CHUNK,
                    number(argv[4]));
}

/* random-*: four times as many places as there are 2 MiB ranges, each a few KiB. */
void command_verify(char **argv)
{
    uint64_t size = number(argv[2]);
    uint64_t seed = number(argv[3]);
    bool random = strncmp(argv[4], "random-", 7) == 0;
    bool map = strcmp(argv[4] + (random ? 7 : 0), "map") == 0;
    uint64_t state = seed + 1;
    int fd = open_file(argv[1], O_RDONLY);

    errno = 0;
    if (size_of(fd) != size)
        die("the size is %llu, not %s", (unsigned long long)size_of(fd), argv[2]);
    const unsigned char *area = map && size ? map_file(fd, size, false) : NULL;
    for (uint64_t offset = 0; !random && offset < size; offset += CHUNK)
        check_piece(fd, area, offset, size - offset < CHUNK ? (size_t)(size - offset) : CHUNK,
                    seed);
    for (uint64_t i = 0; random && i < (size >> 21) * 4; i++) {
        size_t length = 1 + roll(&state) % 9000;
        uint64_t offset = (((uint64_t)roll(&state) << 16) + roll(&state)) % (size - length);
        check_piece(fd, area, offset, length, seed);
    }
    /* The last page is the one that is hard to map. */
    if (size > 5000)
        check_piece(fd, area, size - 5000, 5000, seed);
    if (map && size % PAGE)
        zero_check(area + size, size, PAGE - size % PAGE, "the last page behind the end");
}

static double milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* One pass: by a mapping, by read() of 128 KiB, or by 4 KiB from as many random places. */
static uint64_t scan_once(int fd, uint64_t size, const char *way)
{
    static uint64_t buffer[(128 << 10) / 8];
    uint64_t state = 1;
    uint64_t sum = 0;

    if (strcmp(way, "map") == 0) {
        unsigned char *area = map_file(fd, size, false);
        const uint64_t *words = (const uint64_t *)(const void *)area;
        for (uint64_t i = 0; i < size / 8; i++)
            sum += words[i];
        munmap(area, (size_t)size);
        return sum;
    }
    bool random = strcmp(way, "random") == 0;
    size_t length = random ? PAGE : sizeof(buffer);
    for (uint64_t i = 0; i < size / length; i++) {
        uint64_t place = random ? roll(&state) % (size / length) : i;
        if (pread(fd, buffer, length, (off_t)(place * length)) != (ssize_t)length)
            die("read");
        for (size_t word = 0; word < length / 8; word++)
            sum += buffer[word];
    }
    return sum;
}

void command_scan(char **argv)
{
    int fd = open_file(argv[1], O_RDONLY);
    uint64_t size = size_of(fd);
    double start = milliseconds();
    uint64_t first = scan_once(fd, size, argv[2]);
    double middle = milliseconds();
    uint64_t second = scan_once(fd, size, argv[2]);
    errno = 0;
    if (first != second)
        die("two passes, two sums");
    printf("%.1f %.1f\n", middle - start, milliseconds() - middle);
}

static size_t small_size(uint64_t index)
{
    return index % 10 == 0 ? (index / 10 % 3) * PAGE : index * 37 % 9001;
}

void command_make_small(char **argv)
{
    char path[300];
    uint64_t count = number(argv[2]);
    uint64_t seed = number(argv[3]);

    if (mkdir(argv[1], 0755) < 0 && errno != EEXIST)
        die("%s", argv[1]);
    for (uint64_t i = 0; i < count; i++) {
        snprintf(path, sizeof(path), "%.250s/%llu", argv[1], (unsigned long long)i);
        int fd = open_file(path, O_RDWR | O_CREAT | O_TRUNC);
        write_pattern(fd, 0, small_size(i), seed + i);
        close(fd);
    }
}

void command_small(char **argv)
{
    char path[300];
    uint64_t count = number(argv[2]);
    uint64_t seed = number(argv[3]);
    bool map = strcmp(argv[4], "map") == 0;

    for (uint64_t i = 0; i < count; i++) {
        snprintf(path, sizeof(path), "%.250s/%llu", argv[1], (unsigned long long)i);
        int fd = open_file(path, O_RDONLY);
        size_t size = small_size(i);
        errno = 0;
        if (size_of(fd) != size)
            die("%s: %llu bytes, not %zu", path, (unsigned long long)size_of(fd), size);
        unsigned char *area = map && size ? map_file(fd, size, false) : NULL;
        if (size)
            check_piece(fd, area, 0, size, seed + i);
        if (area)
            munmap(area, size);
        close(fd);
    }
}
