// SPDX-License-Identifier: BSD-3-Clause
/* Guest memory snapshots: what is refused, translation, sharing, release. */
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guestfault.h"
#include "memmap.h"
#include "test.h"

#define PAGE 4096

static int file_of(off_t size)
{
    int fd = memfd_create("memory", MFD_CLOEXEC);

    if (ftruncate(fd, size) < 0)
        return -1;
    return fd;
}

static int new_one(uint64_t guest, uint64_t size, uint64_t user, uint64_t offset,
                   struct memmap **ret_map)
{
    int fd = file_of(16 * PAGE);
    struct vu_memory_region region = {guest, size, user, offset};
    int rc = memmap_new_table(NULL, &region, &fd, 1, ret_map);

    close(fd);
    return rc;
}

static void bad_regions_are_refused(void)
{
    struct memmap *const untouched = (struct memmap *)(uintptr_t)1;
    struct memmap *map = untouched;

    CHECK_EQ(new_one(0, 0, 0, 0, &map), -EINVAL);
    CHECK_EQ(new_one(UINT64_MAX - PAGE + 2, PAGE, 0, 0, &map), -EINVAL);
    CHECK_EQ(new_one(0, PAGE, UINT64_MAX - PAGE + 2, 0, &map), -EINVAL);
    CHECK_EQ(new_one(0, PAGE, 0, UINT64_MAX, &map), -EINVAL);
    CHECK_EQ(new_one(0, PAGE, 0, UINT64_MAX - PAGE + 1, &map), -EINVAL);
    CHECK_EQ(new_one(0, UINT64_MAX, 0, 0, &map), -EINVAL);
    CHECK_EQ(new_one(0, PAGE, 0, 16 * PAGE, &map), -ENXIO);
    CHECK_EQ(new_one(0, 17 * PAGE, 0, 0, &map), -ENXIO);
    CHECK(map == untouched);

    /* Up to the very last byte is fine. */
    CHECK_EQ(new_one(UINT64_MAX - PAGE + 1, PAGE, UINT64_MAX - PAGE + 1, 15 * PAGE, &map), 0);
    struct iovec iov;
    CHECK_EQ(memmap_translate(map, UINT64_MAX, 1, &iov, 1), 1);
    CHECK_EQ(memmap_translate(map, UINT64_MAX, 2, &iov, 1), -EFAULT);
    memmap_unref(map);
}

static void overlaps_are_refused(void)
{
    int fd = file_of(16 * PAGE);
    int fds[2] = {fd, fd};
    struct memmap *map = NULL;
    struct vu_memory_region regions[2] = {{0, 2 * PAGE, 0x10000, 0}, {PAGE, PAGE, 0x20000, 0}};

    CHECK_EQ(memmap_new_table(NULL, regions, fds, 2, &map), -EINVAL);
    regions[1].guest_address = 2 * PAGE;
    regions[1].user_address = 0x10000 + 2 * PAGE - 1;
    CHECK_EQ(memmap_new_table(NULL, regions, fds, 2, &map), -EINVAL);
    regions[1].user_address = 0x10000 - PAGE + 1;
    CHECK_EQ(memmap_new_table(NULL, regions, fds, 2, &map), -EINVAL);
    regions[1].user_address = 0x10000 + 2 * PAGE;
    CHECK_EQ(memmap_new_table(NULL, regions, fds, 2, &map), 0);
    memmap_unref(map);
    close(fd);
}

/* Regions out of order, a hole, one that straddles. */
static void translation(void)
{
    int fd = file_of(16 * PAGE);
    int fds[3] = {fd, fd, fd};
    struct memmap *map = NULL;
    struct vu_memory_region regions[3] = {
        {8 * PAGE, PAGE, 0x300000, 2 * PAGE},
        {0, 2 * PAGE, 0x100000, 0},
        {2 * PAGE, PAGE, 0x200000, 4 * PAGE},
    };
    struct iovec iov[4];

    CHECK_EQ(memmap_new_table(NULL, regions, fds, 3, &map), 0);
    CHECK_EQ(memmap_region_count(map), 3);
    CHECK_EQ(memmap_translate(map, 0, 0, iov, 4), 0);
    CHECK_EQ(memmap_translate(map, PAGE, PAGE + 10, iov, 4), 2);
    CHECK_EQ(iov[0].iov_len, PAGE);
    CHECK_EQ(iov[1].iov_len, 10);
    CHECK_EQ(memmap_translate(map, PAGE, PAGE + 10, iov, 1), -E2BIG);
    CHECK_EQ(memmap_translate(map, 2 * PAGE, PAGE + 1, iov, 4), -EFAULT);
    CHECK_EQ(memmap_translate(map, 7 * PAGE, 1, iov, 4), -EFAULT);
    CHECK_EQ(memmap_translate(map, 8 * PAGE + 5, PAGE - 5, iov, 4), 1);
    CHECK_EQ(memmap_translate(map, 8 * PAGE + 5, PAGE - 4, iov, 4), -EFAULT);
    CHECK_EQ(memmap_translate(map, 8 * PAGE, UINT64_MAX, iov, 4), -EFAULT);

    /* User addresses: inside one region only. */
    char *user = memmap_user_address(map, 0x200000, PAGE);
    CHECK(user);
    CHECK(!memmap_user_address(map, 0x200000, PAGE + 1));
    CHECK(!memmap_user_address(map, 0x1fffff, 2));
    CHECK(!memmap_user_address(map, 0x200001, UINT64_MAX));

    /* Both ways lead to the byte of the file. */
    user[7] = 'x';
    CHECK_EQ(memmap_translate(map, 2 * PAGE + 7, 1, iov, 4), 1);
    CHECK_EQ(*(char *)iov[0].iov_base, 'x');
    char byte = 0;
    CHECK_EQ(pread(fd, &byte, 1, 4 * PAGE + 7), 1);
    CHECK_EQ(byte, 'x');

    char copy[PAGE + 8];
    CHECK_EQ(memmap_copy_in(map, PAGE, copy, sizeof(copy)), 0);
    CHECK_EQ(copy[PAGE + 7], 'x');
    CHECK_EQ(memmap_copy_in(map, 2 * PAGE, copy, sizeof(copy)), -EFAULT);
    memmap_unref(map);
    close(fd);
}

/* An offset that is not on a page boundary. */
static void odd_offset(void)
{
    int fd = file_of(4 * PAGE);
    struct vu_memory_region region = {0x1000, 100, 0x5000, PAGE + 40};
    struct memmap *map = NULL;

    CHECK_EQ(pwrite(fd, "abc", 3, PAGE + 40), 3);
    CHECK_EQ(memmap_new_table(NULL, &region, &fd, 1, &map), 0);
    char copy[3];
    CHECK_EQ(memmap_copy_in(map, 0x1000, copy, 3), 0);
    CHECK(memcmp(copy, "abc", 3) == 0);
    memmap_unref(map);
    close(fd);
}

static void add_and_remove(void)
{
    int fd = file_of(4 * PAGE);
    struct memmap *empty = memmap_new_empty(), *one = NULL, *two = NULL, *less = NULL;
    struct vu_memory_region a = {0, PAGE, 0x100000, 0}, b = {PAGE, PAGE, 0x200000, PAGE};

    CHECK(empty);
    CHECK_EQ(memmap_new_added(empty, &a, fd, &one), 0);
    CHECK_EQ(memmap_new_added(one, &a, fd, &two), -EINVAL);
    CHECK_EQ(memmap_new_added(one, &b, fd, &two), 0);
    CHECK(!memmap_lost_regions(one, two));
    CHECK(memmap_lost_regions(two, one));
    b.size--;
    CHECK_EQ(memmap_new_removed(two, &b, &less), -ENOENT);
    b.size++;
    b.mmap_offset = 99; /* does not count */
    CHECK_EQ(memmap_new_removed(two, &b, &less), 0);
    CHECK_EQ(memmap_region_count(less), 1);

    /* The region outlives the snapshots that brought it. */
    memmap_unref(empty);
    memmap_unref(one);
    memmap_unref(two);
    char byte;
    CHECK_EQ(memmap_copy_in(less, 0, &byte, 1), 0);
    CHECK(memmap_is_sole(less));
    memmap_unref(less);
    close(fd);
}

static void slots_are_limited(void)
{
    int fd = file_of(PAGE);
    struct memmap *map = memmap_new_empty();

    for (uint64_t i = 0; i < MEMMAP_SLOTS_MAX; i++) {
        struct vu_memory_region region = {i * PAGE, PAGE, i * PAGE, 0};
        struct memmap *next = NULL;

        CHECK_EQ(memmap_new_added(map, &region, fd, &next), 0);
        memmap_unref(map);
        map = next;
    }
    struct vu_memory_region region = {UINT64_C(1) << 40, PAGE, UINT64_C(1) << 40, 0};
    CHECK_EQ(memmap_new_added(map, &region, fd, &map), -ENOSPC);
    memmap_unref(map);
    close(fd);
}

/* The same table again shares its mappings; a damaged one is mapped anew. */
static void tables_share_regions(void)
{
    int fd = file_of(PAGE);
    struct vu_memory_region region = {0, PAGE, 0x100000, 0};
    struct memmap *first = NULL, *second = NULL, *third = NULL;

    CHECK_EQ(guestfault_install(), 0);
    CHECK_EQ(memmap_new_table(NULL, &region, &fd, 1, &first), 0);
    int again = dup(fd);
    CHECK_EQ(memmap_new_table(first, &region, &again, 1, &second), 0);
    close(again);
    CHECK(!memmap_lost_regions(first, second));

    CHECK(!guestfault_taken());
    CHECK_EQ(ftruncate(fd, 0), 0);
    char byte = 1;
    CHECK_EQ(memmap_copy_in(second, 0, &byte, 1), 0);
    CHECK_EQ(byte, 0);
    CHECK(guestfault_taken());
    CHECK(!guestfault_taken());
    CHECK_EQ(ftruncate(fd, PAGE), 0);
    CHECK_EQ(memmap_new_table(second, &region, &fd, 1, &third), 0);
    CHECK(memmap_lost_regions(second, third));
    memmap_unref(first);
    memmap_unref(second);
    memmap_unref(third);
    close(fd);
}

/* A SIGBUS that is not the guest's ends the process, as ever. */
static void other_faults_are_fatal(void)
{
    int fd = file_of(0);
    int status = 0;
    char *page = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);

    CHECK(page != MAP_FAILED);
    pid_t child = fork();
    if (child == 0) {
        guestfault_install();
        _exit(*(volatile char *)page);
    }
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
    child = fork();
    if (child == 0) {
        guestfault_install();
        kill(getpid(), SIGBUS);
        _exit(0);
    }
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
    munmap(page, PAGE);
    close(fd);
}

int main(void)
{
    RUN(bad_regions_are_refused);
    RUN(overlaps_are_refused);
    RUN(translation);
    RUN(odd_offset);
    RUN(add_and_remove);
    RUN(slots_are_limited);
    RUN(tables_share_regions);
    RUN(other_faults_are_fatal);
    return test_result();
}
