// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daxtool.h"

static const struct {
    const char *name;
    int arguments;
    void (*run)(char **argv);
    const char *help;
} commands[] = {
    {"fill", 3, command_fill, "FILE SIZE SEED: makes the file, full of the pattern"},
    {"patch", 4, command_patch, "FILE OFFSET LENGTH SEED: writes the pattern there"},
    {"store", 4, command_store, "FILE OFFSET LENGTH SEED: the same through a mapping"},
    {"check", 4, command_check, "FILE OFFSET LENGTH SEED: reads the pattern there"},
    {"resize", 2, command_resize, "FILE SIZE: makes it, or cuts or grows it by a hole"},
    {"verify", 4, command_verify, "FILE SIZE SEED read|map|random-read|random-map: all of it"},
    {"scan", 2, command_scan, "FILE read|map|random: prints the milliseconds of two passes"},
    {"make-small", 3, command_make_small, "FOLDER COUNT SEED: files of 0 to 9000 bytes"},
    {"small", 4, command_small, "FOLDER COUNT SEED read|map: checks them"},
    {"count", 4, command_count, "FILE SLOT SLOTS ROUNDS: counts with others in a mapping"},
    {"append", 4, command_append, "FILE SIZE STEPS watched|alone: grows it while it is mapped"},
    {"cut", 2, command_cut, "FILE SIZE: truncates it while it is mapped"},
    {"cut-race", 3, command_cut_race, "FILE SECONDS SEED: stores race with truncation"},
};

uint32_t roll(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15u;
    uint64_t z = *state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t)((z ^ (z >> 31)) >> 16);
}

static uint64_t word_at(uint64_t index, uint64_t seed)
{
    uint64_t z = (index + 1) * 0x9e3779b97f4a7c15u + seed * 0xd1342543de82ef95u;
    z = (z ^ (z >> 32)) * 0xd6e8feb86659fd93u;
    return z ^ (z >> 32);
}

static unsigned char byte_at(uint64_t offset, uint64_t seed)
{
    return (unsigned char)(word_at(offset / 8, seed) >> (offset % 8 * 8));
}

void pattern_fill(unsigned char *buffer, uint64_t offset, size_t length, uint64_t seed)
{
    size_t i = 0;
    for (; i < length && (offset + i) % 8; i++)
        buffer[i] = byte_at(offset + i, seed);
    for (; i + 8 <= length; i += 8) {
        uint64_t word = word_at((offset + i) / 8, seed);
        memcpy(buffer + i, &word, 8);
    }
    for (; i < length; i++)
        buffer[i] = byte_at(offset + i, seed);
}

void pattern_check(const unsigned char *seen, uint64_t offset, size_t length, uint64_t seed,
                   const char *what)
{
    size_t i = 0;
    for (; i < length; i++) {
        while ((offset + i) % 8 == 0 && i + 8 <= length) {
            uint64_t word;
            memcpy(&word, seen + i, 8);
            if (word != word_at((offset + i) / 8, seed))
                break;
            i += 8;
        }
        if (i < length && seen[i] != byte_at(offset + i, seed)) {
            errno = 0;
            die("%s: at %llu is 0x%02x, not 0x%02x", what, (unsigned long long)(offset + i),
                seen[i], byte_at(offset + i, seed));
        }
    }
}

void zero_check(const unsigned char *seen, uint64_t offset, size_t length, const char *what)
{
    for (size_t i = 0; i < length; i++)
        if (seen[i]) {
            errno = 0;
            die("%s: at %llu is 0x%02x, not zero", what, (unsigned long long)(offset + i), seen[i]);
        }
}

void die(const char *format, ...)
{
    int error = errno;
    char text[400];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (error)
        printf("daxtool: %s: %s\n", text, strerror(error));
    else
        printf("daxtool: %s\n", text);
    exit(1);
}

int open_file(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0644);
    if (fd < 0)
        die("%s", path);
    return fd;
}

uint64_t size_of(int fd)
{
    struct stat st;
    if (fstat(fd, &st) < 0)
        die("fstat");
    return (uint64_t)st.st_size;
}

void write_pattern(int fd, uint64_t offset, uint64_t length, uint64_t seed)
{
    static unsigned char buffer[1 << 18];
    while (length > 0) {
        size_t part = length < sizeof(buffer) ? (size_t)length : sizeof(buffer);
        pattern_fill(buffer, offset, part, seed);
        if (pwrite(fd, buffer, part, (off_t)offset) != (ssize_t)part)
            die("write of %zu bytes at %llu", part, (unsigned long long)offset);
        offset += part;
        length -= part;
    }
}

unsigned char *map_file(int fd, uint64_t length, bool writable)
{
    int protection = writable ? PROT_READ | PROT_WRITE : PROT_READ;
    void *area = mmap(NULL, (size_t)length, protection, MAP_SHARED, fd, 0);
    if (area == MAP_FAILED)
        die("mmap");
    return area;
}

void expect_child(int pid, const char *what)
{
    int status;
    if (waitpid(pid, &status, 0) != pid)
        die("waitpid");
    errno = 0;
    if (status)
        die("%s ended with status 0x%x", what, status);
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (argc == commands[i].arguments + 2 && strcmp(argv[1], commands[i].name) == 0) {
            commands[i].run(argv + 1);
            return 0;
        }
    fprintf(stderr, "usage:\n");
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        fprintf(stderr, "  daxtool %s %s\n", commands[i].name, commands[i].help);
    return 2;
}
