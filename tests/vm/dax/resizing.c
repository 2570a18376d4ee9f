// SPDX-License-Identifier: BSD-3-Clause
/*
 * Files that grow and shrink under a mapping which stays the same, larger than the file.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "daxtool.h"

#define AREA (UINT64_C(12) << 20)
#define SEED 77

static sigjmp_buf escape;

static void on_sigbus(int number)
{
    (void)number;
    siglongjmp(escape, 1);
}

static void catch_sigbus(void)
{
    struct sigaction action = {.sa_handler = on_sigbus};
    if (sigaction(SIGBUS, &action, NULL) < 0)
        die("sigaction");
}

/* True if the byte can be read, or a page can be written with what it holds. */
static bool touch(volatile unsigned char *place, bool store)
{
    if (sigsetjmp(escape, 1))
        return false;
    unsigned char value = *place;
    if (store)
        *place = value;
    return true;
}

/* The end of the file and what is behind it in its last page. */
static void check_end(const unsigned char *area, uint64_t size, uint64_t from, const char *what)
{
    pattern_check(area + from, from, (size_t)(size - from), SEED, what);
    if (size % PAGE)
        zero_check(area + size, size, PAGE - size % PAGE, "behind the end");
}

/* Sees each new size in a mapping that was made before the first. */
static void follow(const char *path, int from_writer, int to_writer)
{
    int fd = open_file(path, O_RDONLY);
    const unsigned char *area = map_file(fd, AREA, false);
    uint64_t old = size_of(fd);
    uint64_t size;
    char word = 0;

    while (read(from_writer, &size, sizeof(size)) == sizeof(size)) {
        errno = 0;
        if (size_of(fd) != size)
            die("fstat says %llu, not %llu", (unsigned long long)size_of(fd),
                (unsigned long long)size);
        check_end(area, size, old > 6000 ? old - 6000 : 0, "grown");
        old = size;
        if (write(to_writer, &word, 1) != 1)
            die("pipe");
    }
    pattern_check(area, 0, (size_t)old, SEED, "the whole in the end");
    _exit(0);
}

/*
 * Looks at the end again and again, whatever size it has at that moment. Linux hands the size of a
 * GETATTR reply to fstat() before a write that is under way has put it into the inode (there are no
 * such pages yet then, SIGBUS): not for long.
 */
static void race(const char *path)
{
    int fd = open_file(path, O_RDONLY);
    unsigned char *area = map_file(fd, AREA, false);
    static unsigned tries;
    catch_sigbus();
    for (;;) {
        uint64_t size = size_of(fd);
        uint64_t from = size > 3 * PAGE ? size - 3 * PAGE : 0;
        for (tries = 0; size && !touch(area + size - 1, false); tries++) {
            errno = 0;
            if (tries > 1000)
                die("no page for the last of %llu bytes", (unsigned long long)size);
            usleep(1000);
        }
        pattern_check(area + from, from, (size_t)(size - from), SEED, "seen while it grows");
    }
}

/*
 * By write(), and by making room first and storing into a mapping. The racing reader may only see
 * bytes that were written before the size that it was told, so room is made only without it.
 */
static void grow(int fd, unsigned char *area, uint64_t *size, uint64_t length, bool by_store)
{
    if (by_store) {
        if (ftruncate(fd, (off_t)(*size + length)) < 0)
            die("ftruncate");
        zero_check(area + *size, *size, (size_t)length, "new room");
        pattern_fill(area + *size, *size, (size_t)length, SEED);
    } else {
        write_pattern(fd, *size, length, SEED);
    }
    *size += length;
}

/* One that ends with its parent, whatever that dies of. */
static pid_t fork_child(void)
{
    pid_t child = fork();
    if (child == 0 && prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        die("prctl");
    return child;
}

void command_append(char **argv)
{
    static const uint32_t lengths[] = {1, 7, 500, 4095, 4096, 4097, 13001, 70001, 300007};
    uint64_t size = strtoull(argv[2], NULL, 0);
    unsigned steps = (unsigned)atoi(argv[3]);
    bool watched = strcmp(argv[4], "watched") == 0;
    int there[2];
    int back[2];
    char word;
    uint64_t state = size + 1;
    int fd = open_file(argv[1], O_RDWR | O_CREAT | O_TRUNC);
    unsigned char *area = map_file(fd, AREA, true);

    write_pattern(fd, 0, size, SEED);
    if (pipe(there) < 0 || pipe(back) < 0)
        die("pipe");
    pid_t follower = fork_child();
    if (follower == 0) {
        close(there[1]);
        follow(argv[1], there[0], back[1]);
    }
    close(there[0]);
    close(back[1]);
    for (int by_store = 0; by_store < 2; by_store++) {
        pid_t racer = by_store || !watched ? -1 : fork_child();
        if (racer == 0)
            race(argv[1]);
        for (unsigned i = 0; i < steps; i++) {
            uint64_t length = lengths[roll(&state) % 9];
            if (size + length > AREA)
                break;
            grow(fd, area, &size, length, by_store);
            if (write(there[1], &size, sizeof(size)) != sizeof(size) ||
                read(back[0], &word, 1) != 1)
                die("the follower is gone");
        }
        int status = -1;
        if (racer > 0 && (kill(racer, SIGKILL) < 0 || waitpid(racer, &status, 0) != racer ||
                          !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL))
            die("the racing reader ended by itself, status 0x%x", status);
    }
    close(there[1]);
    expect_child(follower, "the follower");
}

/* Which pages must be there with which content when the file was cut to size and is `full` long. */
static void check_cut(unsigned char *area, uint64_t size, uint64_t full, bool store)
{
    static const int64_t places[] = {
        -3 * (int64_t)PAGE, -(int64_t)PAGE, -1, 0, 1, PAGE - 1, PAGE, 2 * PAGE, 1 << 20, 3 << 20};
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        int64_t place = (int64_t)size + places[i];
        if (place < 0 || place >= (int64_t)full)
            continue;
        bool inside = (uint64_t)place < (size + PAGE - 1) / PAGE * PAGE;
        errno = 0;
        if (touch(area + place, store) != inside)
            die("cut to %llu: the byte at %lld can%s be touched", (unsigned long long)size,
                (long long)place, inside ? "not" : "");
        if (inside && place < (int64_t)size)
            pattern_check(area + place, (uint64_t)place, 1, SEED, "before the cut");
        else if (inside)
            zero_check(area + place, (uint64_t)place, 1, "behind the cut");
    }
}

/* In a child, because its SIGBUS must be its own; the cut itself is made by this process. */
static void cut_once(const char *path, int fd, uint64_t full, uint64_t size, bool touched)
{
    int ready[2];
    int done[2];
    char word = 0;
    if (pipe(ready) < 0 || pipe(done) < 0)
        die("pipe");
    write_pattern(fd, 0, full, SEED);
    pid_t child = fork();
    if (child == 0) {
        int mine = open_file(path, O_RDWR);
        unsigned char *area = map_file(mine, full, true);
        catch_sigbus();
        if (touched)
            pattern_check(area, 0, (size_t)full, SEED, "before");
        if (write(ready[1], &word, 1) != 1 || read(done[0], &word, 1) != 1)
            die("pipe");
        errno = 0;
        if (size_of(mine) != size)
            die("cut to %llu, fstat says %llu", (unsigned long long)size,
                (unsigned long long)size_of(mine));
        check_cut(area, size, full, false);
        check_cut(area, size, full, true);
        if (ftruncate(mine, (off_t)full) < 0)
            die("ftruncate");
        zero_check(area + size, size, (size_t)(full - size), "grown again");
        pattern_check(area, 0, (size_t)size, SEED, "kept");
        pattern_fill(area, 0, (size_t)full, SEED);
        _exit(0);
    }
    if (read(ready[0], &word, 1) != 1 || ftruncate(fd, (off_t)size) < 0)
        die("ftruncate to %llu", (unsigned long long)size);
    if (write(done[1], &word, 1) != 1)
        die("pipe");
    for (int i = 0; i < 2; i++) {
        close(ready[i]);
        close(done[i]);
    }
    expect_child(child, "the process with the mapping");
    unsigned char *again = malloc((size_t)full);
    if (!again || pread(fd, again, (size_t)full, 0) != (ssize_t)full)
        die("read after the cut");
    pattern_check(again, 0, (size_t)full, SEED, "stored after the cut");
    free(again);
}

void command_cut(char **argv)
{
    static const uint64_t sizes[] = {0,    1,        PAGE,           PAGE + 100,        5 * PAGE,
                                     9999, 1u << 20, (2u << 20) - 1, (2u << 20) + 5000, 2u << 20};
    uint64_t full = strtoull(argv[2], NULL, 0);
    int fd = open_file(argv[1], O_RDWR | O_CREAT | O_TRUNC);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        for (int touched = 0; touched < 2 && sizes[i] < full; touched++)
            cut_once(argv[1], fd, full, sizes[i], touched);
}

/* Stores what it reads, so it may only touch bytes that nobody looks at: the last of each 64. */
static void store_everywhere(const char *path, uint64_t seed)
{
    int fd = open_file(path, O_RDWR);
    unsigned char *area = map_file(fd, AREA, true);
    catch_sigbus();
    /* Kept across the jump out of touch() by being static. */
    static uint64_t state;
    for (state = seed;;)
        touch(area + ((((uint64_t)roll(&state) << 8) % AREA) | 63), true);
}

static void check_between(const unsigned char *seen, uint64_t offset, size_t length)
{
    for (size_t i = 0; i < length; i += 64 - (offset + i) % 64) {
        size_t part = 63 - (offset + i) % 64;
        pattern_check(seen + i, offset + i, part < length - i ? part : length - i, SEED,
                      "written in the race");
    }
}

/* Nothing to expect but that all live, and that size and ends are right afterwards. */
void command_cut_race(char **argv)
{
    time_t end = time(NULL) + atoi(argv[2]);
    uint64_t state = strtoull(argv[3], NULL, 0);
    int fd = open_file(argv[1], O_RDWR | O_CREAT | O_TRUNC);
    pid_t storers[3];
    unsigned rounds = 0;

    for (unsigned i = 0; i < 3; i++) {
        storers[i] = fork();
        if (storers[i] == 0)
            store_everywhere(argv[1], state + i);
    }
    for (; time(NULL) < end; rounds++) {
        uint64_t size = ((uint64_t)roll(&state) << 8) % (AREA / 2) + roll(&state) % PAGE;
        if (ftruncate(fd, (off_t)size) < 0)
            die("ftruncate");
        errno = 0;
        if (size_of(fd) != size)
            die("cut to %llu, fstat says %llu", (unsigned long long)size,
                (unsigned long long)size_of(fd));
        write_pattern(fd, size, 3 * PAGE + 5, SEED);
        static unsigned char seen[3 * PAGE + 5];
        if (pread(fd, seen, sizeof(seen), (off_t)size) != sizeof(seen))
            die("read at %llu", (unsigned long long)size);
        check_between(seen, size, sizeof(seen));
    }
    for (unsigned i = 0; i < 3; i++) {
        int status;
        if (kill(storers[i], SIGKILL) < 0 || waitpid(storers[i], &status, 0) != storers[i] ||
            !WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
            die("a storing process ended by itself");
    }
    errno = 0;
    if (rounds < 10)
        die("only %u rounds", rounds);
}
