// SPDX-License-Identifier: BSD-3-Clause
#include "guestfault.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

/*
 * A slot is written by its registrar between FREE -> FILLING -> LIVE; the handler looks only at
 * LIVE ones. A mapping cannot be forgotten while a thread works in it (the thread's pin on the
 * memory snapshot sees to that), so a slot that the handler needs does not change under it.
 */
enum slot_state { SLOT_FREE, SLOT_FILLING, SLOT_LIVE };

struct slot {
    atomic_int state;
    atomic_uintptr_t start;
    atomic_size_t size;
    atomic_size_t page_size;
    atomic_bool damaged;
};

static struct slot slots[GUESTFAULT_MAPPINGS_MAX];

/* Initial-exec: reaching it from a signal handler must not allocate. */
static __thread volatile sig_atomic_t hit __attribute__((tls_model("initial-exec")));

static struct slot *find_slot(uintptr_t address)
{
    for (size_t i = 0; i < GUESTFAULT_MAPPINGS_MAX; i++) {
        struct slot *slot = &slots[i];

        if (atomic_load_explicit(&slot->state, memory_order_acquire) == SLOT_LIVE &&
            address - atomic_load_explicit(&slot->start, memory_order_relaxed) <
                atomic_load_explicit(&slot->size, memory_order_relaxed))
            return slot;
    }
    return NULL;
}

static void handle_sigbus(int number, siginfo_t *info, void *context)
{
    int saved = errno;
    uintptr_t address = (uintptr_t)info->si_addr;
    struct slot *slot = info->si_code > 0 ? find_slot(address) : NULL;

    (void)context;
    if (slot) {
        size_t page_size = atomic_load_explicit(&slot->page_size, memory_order_relaxed);
        void *page = (void *)(address & ~(uintptr_t)(page_size - 1));

        if (mmap(page, page_size, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) == page) {
            atomic_store_explicit(&slot->damaged, true, memory_order_relaxed);
            hit = 1;
            errno = saved;
            return;
        }
    }

    /* Not ours: the access (or, for a signal that was sent, the raise) now kills as usual. */
    struct sigaction usual = {.sa_handler = SIG_DFL};
    sigaction(SIGBUS, &usual, NULL);
    if (info->si_code <= 0)
        raise(number);
    errno = saved;
}

int guestfault_install(void)
{
    struct sigaction action = {.sa_sigaction = handle_sigbus, .sa_flags = SA_SIGINFO};

    sigfillset(&action.sa_mask);
    sigdelset(&action.sa_mask, SIGSEGV);
    sigdelset(&action.sa_mask, SIGSYS);
    return sigaction(SIGBUS, &action, NULL) < 0 ? -errno : 0;
}

int guestfault_register(void *address, size_t size, size_t page_size)
{
    for (int i = 0; i < GUESTFAULT_MAPPINGS_MAX; i++) {
        struct slot *slot = &slots[i];
        int expected = SLOT_FREE;

        if (!atomic_compare_exchange_strong(&slot->state, &expected, SLOT_FILLING))
            continue;
        atomic_store_explicit(&slot->start, (uintptr_t)address, memory_order_relaxed);
        atomic_store_explicit(&slot->size, size, memory_order_relaxed);
        atomic_store_explicit(&slot->page_size, page_size, memory_order_relaxed);
        atomic_store_explicit(&slot->damaged, false, memory_order_relaxed);
        atomic_store_explicit(&slot->state, SLOT_LIVE, memory_order_release);
        return i;
    }
    return -ENOSPC;
}

void guestfault_forget(int slot)
{
    atomic_store_explicit(&slots[slot].state, SLOT_FREE, memory_order_release);
}

bool guestfault_damaged(int slot)
{
    return atomic_load_explicit(&slots[slot].damaged, memory_order_relaxed);
}

bool guestfault_taken(void)
{
    bool taken = hit;

    hit = 0;
    return taken;
}
