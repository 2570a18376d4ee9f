// SPDX-License-Identifier: BSD-3-Clause
#include "share.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MIB (1u << 20)

void share_file_name(char name[SHARE_NAME_SIZE], unsigned int i)
{
    snprintf(name, SHARE_NAME_SIZE, "f%04u", i % 10000);
}

static int join(char *path, size_t size, const char *dir, const char *name)
{
    int n = snprintf(path, size, "%s/%s", dir, name);

    return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

/* A file of SIZE bytes; words of the data file if WITH_WORDS, else zeroes.  Kept if it is there. */
static int make_file(int dirfd, const char *name, uint64_t size, bool with_words)
{
    struct stat st;
    uint64_t *chunk;
    size_t step = size < MIB ? size : MIB;
    int r = 0;
    int fd;

    if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && (uint64_t)st.st_size == size)
        return 0;
    fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return -errno;
    chunk = calloc(1, step ? step : 8);
    if (!chunk)
        r = -ENOMEM;
    for (uint64_t at = 0; r == 0 && at < size; at += step) {
        for (size_t i = 0; with_words && i < step / 8; i++)
            chunk[i] = share_word(at + i * 8);
        ssize_t n = write(fd, chunk, step);
        if (n < 0)
            r = -errno;
        else if ((size_t)n != step)
            r = -ENOSPC;
    }
    free(chunk);
    close(fd);
    return r;
}

/* A directory with N files, named by FORMAT_ENTRY (e00000) or as share_file_name does. */
static int make_dir(int dirfd, const char *name, mode_t mode, unsigned int n, uint64_t size,
                    bool entries)
{
    int r = 0;
    int fd;

    if (mkdirat(dirfd, name, mode) < 0 && errno != EEXIST)
        return -errno;
    fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    if (fchmod(fd, mode) < 0)
        r = -errno;
    for (unsigned int i = 0; r == 0 && i < n; i++) {
        char file[SHARE_NAME_SIZE];

        if (entries)
            snprintf(file, sizeof(file), "e%05u", i % 100000);
        else
            share_file_name(file, i);
        r = make_file(fd, file, size, true);
    }
    close(fd);
    return r;
}

int share_prepare(const char *dir, uint64_t data_size)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int r;

    if (fd < 0)
        return -errno;
    r = make_dir(fd, SHARE_DIR_FILES, 0755, SHARE_FILES, SHARE_FILE_SIZE, false);
    if (r == 0)
        r = make_dir(fd, SHARE_DIR_ENTRY, 0755, SHARE_ENTRIES, 0, true);
    if (r == 0)
        r = make_dir(fd, SHARE_DIR_FEW, 0755, SHARE_FEW, 0, true);
    if (r == 0)
        r = make_dir(fd, SHARE_DIR_SPACE, 0777, 0, 0, false);
    if (r == 0)
        r = make_file(fd, SHARE_DATA, data_size, true);
    if (r == 0)
        r = make_file(fd, SHARE_SINK, data_size, false);
    /* What the preparation left dirty is not to be written back during a measurement. */
    if (r == 0 && syncfs(fd) < 0)
        r = -errno;
    close(fd);
    return r;
}

int share_stat(const char *dir, const char *name, uint64_t *ret_ino, uint64_t *ret_size)
{
    char path[4096];
    struct stat st;
    int r = join(path, sizeof(path), dir, name);

    if (r < 0)
        return r;
    if (lstat(path, &st) < 0)
        return -errno;
    *ret_ino = st.st_ino;
    *ret_size = (uint64_t)st.st_size;
    return 0;
}

int share_is_empty(const char *dir, const char *name, bool *ret_empty)
{
    char path[4096];
    unsigned int n = 0;
    DIR *d;
    int r = join(path, sizeof(path), dir, name);

    if (r < 0)
        return r;
    d = opendir(path);
    if (!d)
        return -errno;
    while (readdir(d))
        n++;
    closedir(d);
    *ret_empty = n == 2;
    return 0;
}

int share_open(const char *dir, const char *name)
{
    char path[4096];
    int r = join(path, sizeof(path), dir, name);
    int fd;

    if (r < 0)
        return r;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int share_read_word(int fd, uint64_t offset, uint64_t *ret_word)
{
    uint64_t word;
    ssize_t n = pread(fd, &word, sizeof(word), (off_t)offset);

    if (n < 0)
        return -errno;
    if (n != sizeof(word))
        return -EIO;
    *ret_word = word;
    return 0;
}
