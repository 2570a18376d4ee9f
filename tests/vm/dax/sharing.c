// SPDX-License-Identifier: BSD-3-Clause
/*
 * Several processes, in several guests or on the host, that store into one mapping at once.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "daxtool.h"

#define PATIENCE_SECONDS 90

static volatile uint64_t *page_of(unsigned char *area, unsigned index)
{
    return (volatile uint64_t *)(void *)(area + (size_t)index * PAGE);
}

/* Another process's counter never goes back, and never past the end. */
static void look_at_others(unsigned char *area, unsigned slots, uint64_t rounds, uint64_t *seen)
{
    for (unsigned i = 0; i < slots; i++) {
        uint64_t now = __atomic_load_n(page_of(area, i), __ATOMIC_ACQUIRE);
        errno = 0;
        if (now < seen[i] || now > rounds)
            die("counter %u goes from %llu to %llu", i, (unsigned long long)seen[i],
                (unsigned long long)now);
        seen[i] = now;
    }
}

/*
 * Page i of the file is the counter of slot i, page SLOTS is everybody's, and counts right only if
 * all of them have the same memory under their mapping.
 */
void command_count(char **argv)
{
    unsigned slot = (unsigned)atoi(argv[2]);
    unsigned slots = (unsigned)atoi(argv[3]);
    uint64_t rounds = strtoull(argv[4], NULL, 0);
    uint64_t *seen = calloc(slots, sizeof(*seen));
    int fd = open_file(argv[1], O_RDWR);
    unsigned char *area = map_file(fd, (uint64_t)(slots + 1) * PAGE, true);
    time_t end = time(NULL) + PATIENCE_SECONDS;

    if (!seen || slot >= slots)
        die("no such slot");
    for (uint64_t i = 1; i <= rounds; i++) {
        __atomic_store_n(page_of(area, slot), i, __ATOMIC_RELEASE);
        __atomic_fetch_add(page_of(area, slots), 1, __ATOMIC_SEQ_CST);
        look_at_others(area, slots, rounds, seen);
    }
    for (unsigned i = 0; i < slots;) {
        look_at_others(area, slots, rounds, seen);
        i += seen[i] == rounds;
        errno = 0;
        if (time(NULL) > end)
            die("slot %u sees slot %u at %llu of %llu", slot, i, (unsigned long long)seen[i],
                (unsigned long long)rounds);
        usleep(1000);
    }
    uint64_t total = __atomic_load_n(page_of(area, slots), __ATOMIC_SEQ_CST);
    while (total < rounds * slots && time(NULL) <= end) {
        usleep(1000);
        total = __atomic_load_n(page_of(area, slots), __ATOMIC_SEQ_CST);
    }
    errno = 0;
    if (total != rounds * slots)
        die("slot %u: together %llu, not %llu", slot, (unsigned long long)total,
            (unsigned long long)(rounds * slots));
    free(seen);
}
