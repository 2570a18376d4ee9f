// SPDX-License-Identifier: BSD-3-Clause
/*
 * Processes that do random operations in a tree of few names, so that they meet often.
 *
 *   fsstress DIRECTORY PROCESSES SEED SECONDS OPERATIONS shared|apart
 *
 * shared: all in one tree; ends after SECONDS or OPERATIONS each, whichever is first (0: no limit).
 * apart: each in a folder of its own, so that the same seed leaves the same tree everywhere.
 * An operation may fail as the race explains; any other errno ends the run with status 1.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#define OPEN_MAX_FDS 6
#define PATH_BYTES   64

struct worker {
    uint64_t state;
    int fds[OPEN_MAX_FDS];
    unsigned long done;
    unsigned long failed;
};

static uint32_t roll(struct worker *w)
{
    w->state += 0x9e3779b97f4a7c15u;
    uint64_t z = w->state;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (uint32_t)((z ^ (z >> 31)) >> 16);
}

/* A name one to three folders deep, out of about a hundred. */
static void some_path(struct worker *w, char path[PATH_BYTES])
{
    switch (roll(w) % 4) {
    case 0:
        snprintf(path, PATH_BYTES, "n%u", roll(w) % 12);
        break;
    case 1:
    case 2:
        snprintf(path, PATH_BYTES, "n%u/n%u", roll(w) % 5, roll(w) % 12);
        break;
    default:
        snprintf(path, PATH_BYTES, "n%u/n%u/n%u", roll(w) % 5, roll(w) % 5, roll(w) % 8);
    }
}

/* What two processes in one tree may do to each other; all else is the file system's fault. */
static bool explained(int error)
{
    switch (error) {
    case 0:
    case ENOENT:
    case EEXIST:
    case ENOTDIR:
    case EISDIR:
    case ENOTEMPTY:
    case ELOOP:
    case EINVAL: /* rename into its own child */
    case EPERM:  /* link of a folder, xattr of a special file */
    case ENODATA:
    case EBUSY:
    case EXDEV:
    case EMLINK:
    case ENXIO:
    case EOPNOTSUPP:
    case ENOSPC:
        return true;
    default:
        return false;
    }
}

static int names(struct worker *w, unsigned kind)
{
    char a[PATH_BYTES];
    char b[PATH_BYTES];
    some_path(w, a);
    some_path(w, b);
    switch (kind) {
    case 0:
        return mkdir(a, 0755);
    case 1:
        return rmdir(a);
    case 2:
        return unlink(a);
    case 3:
        return rename(a, b);
    case 4:
        return renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE);
    case 5:
        return renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_NOREPLACE);
    case 6:
        return link(a, b);
    case 7:
        return symlink(b, a);
    default:
        return mknod(a, S_IFIFO | 0644, 0);
    }
}

static int attributes(struct worker *w, unsigned kind)
{
    char a[PATH_BYTES];
    char text[256];
    struct stat st;
    struct timespec times[2] = {{(time_t)(roll(w) % 1000000), 5}, {(time_t)(roll(w) % 1000000), 7}};
    some_path(w, a);
    switch (kind) {
    case 0:
        return stat(a, &st);
    case 1:
        return lstat(a, &st);
    case 2:
        /* The owner keeps all rights: what the others find is then the race's doing alone. */
        return chmod(a, 0700 | (roll(w) & 077));
    case 3:
        return utimensat(AT_FDCWD, a, times, AT_SYMLINK_NOFOLLOW);
    case 4:
        return (int)readlink(a, text, sizeof(text));
    case 5:
        return setxattr(a, roll(w) % 2 ? "user.one" : "user.two", text, 0, 0);
    case 6:
        return (int)getxattr(a, "user.one", text, sizeof(text));
    case 7:
        return removexattr(a, "user.one");
    default:
        return truncate(a, roll(w) % 100000);
    }
}

static int list(struct worker *w)
{
    char a[PATH_BYTES];
    some_path(w, a);
    DIR *dir = opendir(roll(w) % 3 ? a : ".");
    if (!dir)
        return -1;
    errno = 0;
    while (readdir(dir))
        continue;
    int error = errno;
    closedir(dir);
    errno = error;
    return error ? -1 : 0;
}

static int open_one(struct worker *w)
{
    char a[PATH_BYTES];
    unsigned slot = roll(w) % OPEN_MAX_FDS;
    int flags = roll(w) % 2 ? O_CREAT : roll(w) % 2 ? O_CREAT | O_EXCL : O_TRUNC;
    some_path(w, a);
    int fd = open(a, O_RDWR | O_CLOEXEC | O_NONBLOCK | flags, 0644);
    if (fd < 0)
        return -1;
    if (w->fds[slot] >= 0)
        close(w->fds[slot]);
    w->fds[slot] = fd;
    return 0;
}

static int data(struct worker *w, unsigned kind)
{
    static char block[20000];
    struct stat st;
    int fd = w->fds[roll(w) % OPEN_MAX_FDS];
    off_t offset = roll(w) % 200000;
    size_t length = roll(w) % sizeof(block);

    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return open_one(w);
    memset(block, 'a' + (int)(roll(w) % 26), length);
    switch (kind) {
    case 0:
    case 1:
        return pwrite(fd, block, length, offset) == (ssize_t)length ? 0 : -1;
    case 2:
        return pread(fd, block, length, offset) < 0 ? -1 : 0;
    case 3:
        return ftruncate(fd, offset);
    case 4:
        return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, (off_t)length + 1);
    case 5:
        return fallocate(fd, 0, offset, (off_t)length + 1);
    case 6:
        return roll(w) % 20 ? 0 : fsync(fd);
    default:
        return fchmod(fd, 0700 | (roll(w) & 077));
    }
}

static int one(struct worker *w)
{
    switch (roll(w) % 8) {
    case 0:
    case 1:
        return names(w, roll(w) % 9);
    case 2:
    case 3:
        return attributes(w, roll(w) % 9);
    case 4:
        return roll(w) % 4 ? open_one(w) : list(w);
    case 5:
        return open_one(w);
    default:
        return data(w, roll(w) % 8);
    }
}

static int work(unsigned number, uint64_t seed, time_t end, unsigned long limit)
{
    struct worker w = {.state = seed * 1000003 + number};
    for (unsigned i = 0; i < OPEN_MAX_FDS; i++)
        w.fds[i] = -1;
    while ((!end || time(NULL) < end) && (!limit || w.done < limit)) {
        uint64_t before = w.state;
        errno = 0;
        int result = one(&w);
        int error = result < 0 ? errno : 0;
        w.done++;
        w.failed += error != 0;
        if (!explained(error)) {
            printf("fsstress: process %u, operation %lu (state %llx): errno %d (%s)\n", number,
                   w.done, (unsigned long long)before, error, strerror(error));
            return 1;
        }
    }
    for (unsigned i = 0; i < OPEN_MAX_FDS; i++)
        if (w.fds[i] >= 0 && close(w.fds[i]) < 0)
            return 1;
    if (number == 0)
        printf("fsstress: process 0 did %lu operations, %lu were refused\n", w.done, w.failed);
    /* A run in which nearly everything is refused would prove nothing. */
    return w.done > 1000 && w.failed > w.done * 9 / 10;
}

int main(int argc, char **argv)
{
    if (argc != 7) {
        fprintf(stderr, "usage: fsstress DIRECTORY PROCESSES SEED SECONDS OPERATIONS "
                        "shared|apart\n");
        return 2;
    }
    unsigned processes = (unsigned)atoi(argv[2]);
    uint64_t seed = strtoull(argv[3], NULL, 0);
    time_t end = atoi(argv[4]) ? time(NULL) + atoi(argv[4]) : 0;
    unsigned long limit = strtoul(argv[5], NULL, 0);
    bool apart = strcmp(argv[6], "apart") == 0;
    int status;
    int worst = 0;

    setvbuf(stdout, NULL, _IOLBF, 0);
    umask(022);
    if (chdir(argv[1]) < 0) {
        perror(argv[1]);
        return 1;
    }
    for (unsigned i = 0; i < processes; i++) {
        pid_t pid = fork();
        if (pid < 0)
            return 1;
        if (pid > 0)
            continue;
        char folder[16];
        snprintf(folder, sizeof(folder), "p%u", i);
        if (apart && (mkdir(folder, 0755) < 0 || chdir(folder) < 0)) {
            perror(folder);
            _exit(1);
        }
        exit(work(i, seed, end, limit));
    }
    while (wait(&status) > 0)
        worst |= status;
    return worst ? 1 : 0;
}
