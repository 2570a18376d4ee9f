// SPDX-License-Identifier: BSD-3-Clause
/*
 * Guest memory on huge pages: mapped at their alignment, and replaced a huge page at a time when
 * the front-end takes it away. Reserves the pages for its own time where it may, and is skipped
 * where there are none.
 */
#include <errno.h>
#include <linux/memfd.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "guestfault.h"
#include "memmap.h"
#include "test.h"

#define HUGE_PAGE (UINT64_C(2) << 20)

static int memory_fd;

/* An offset inside a huge page, a region that ends inside another. */
static void odd_offset(void)
{
    struct vu_memory_region region = {0x1000, HUGE_PAGE, 0x100000, 0x3000};
    struct memmap *map = NULL;
    char copy[3];

    CHECK_EQ(memmap_new_table(NULL, &region, &memory_fd, 1, &map), 0);
    char *user = memmap_user_address(map, 0x100000, HUGE_PAGE);
    CHECK(user);
    memcpy(user + HUGE_PAGE - 3, "abc", 3);
    CHECK_EQ(memmap_copy_in(map, 0x1000 + HUGE_PAGE - 3, copy, 3), 0);
    CHECK(memcmp(copy, "abc", 3) == 0);
    memmap_unref(map);
}

static void truncated(void)
{
    struct vu_memory_region region = {0, 2 * HUGE_PAGE, 0x100000, 0};
    struct memmap *map = NULL;

    CHECK_EQ(guestfault_install(), 0);
    CHECK_EQ(memmap_new_table(NULL, &region, &memory_fd, 1, &map), 0);
    char *user = memmap_user_address(map, 0x100000, 2 * HUGE_PAGE);
    memset(user, 'x', 2 * HUGE_PAGE);
    CHECK(!guestfault_taken());
    CHECK_EQ(ftruncate(memory_fd, HUGE_PAGE), 0);
    CHECK_EQ(user[HUGE_PAGE + 12345], 0);
    CHECK(guestfault_taken());
    /* The whole huge page was replaced, the other one was not. */
    CHECK_EQ(user[HUGE_PAGE], 0);
    CHECK_EQ(user[2 * HUGE_PAGE - 1], 0);
    CHECK_EQ(user[HUGE_PAGE - 1], 'x');
    CHECK(!guestfault_taken());
    memmap_unref(map);
    CHECK_EQ(ftruncate(memory_fd, 2 * HUGE_PAGE), 0);
}

#define HUGE_PAGES_FILE "/proc/sys/vm/nr_hugepages"

/* Sets the number of reserved huge pages, for root. Returns the former number, or -1. */
static long reserve(long pages)
{
    FILE *file = fopen(HUGE_PAGES_FILE, "r+");
    long before = -1;

    if (!file)
        return -1;
    if (fscanf(file, "%ld", &before) == 1) {
        rewind(file);
        fprintf(file, "%ld", pages >= 0 ? pages : before + 4);
    }
    fclose(file);
    return before;
}

int main(void)
{
    long before = reserve(-1);
    void *probe = MAP_FAILED;

    memory_fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB | MFD_HUGE_2MB);
    if (memory_fd >= 0 && ftruncate(memory_fd, 2 * HUGE_PAGE) == 0)
        probe = mmap(NULL, 2 * HUGE_PAGE, PROT_READ, MAP_SHARED, memory_fd, 0);
    if (probe != MAP_FAILED) {
        munmap(probe, 2 * HUGE_PAGE);
        RUN(odd_offset);
        RUN(truncated);
    }
    close(memory_fd);
    if (before >= 0)
        reserve(before);
    if (probe == MAP_FAILED) {
        printf("skipped: no two huge pages of 2 MiB can be had\n");
        return 77;
    }
    return test_result();
}
