// SPDX-License-Identifier: BSD-3-Clause
/*
 * Epochs: how a table entry or descriptor is given up while other threads may still be using it.
 *
 * A thread announces that it is inside a request; what it finds in the tables stays what it is
 * until it announces that it has left. Giving up has two steps: first make the thing impossible to
 * find, then retire it; it is released when every thread that was inside a request at that moment
 * has left it. Readers take no lock and write only their own cache line.
 *
 *   reader                        the one who gives up
 *   announce epoch E              unlink the thing
 *   (full barrier)                stamp it with E, advance the epoch to E+1
 *   find the thing, use it        release it once no thread announces an epoch <= its stamp
 *   announce "outside"
 *
 * A reader that could still find the thing announced an epoch <= E before it was unlinked; one
 * that announced later cannot find it. The full barrier makes "later" mean the same to both.
 *
 * Owner: the server. Threads: a slot belongs to one thread; the rest may be called by any.
 */
#ifndef VIOFS_EPOCH_H
#define VIOFS_EPOCH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct epochs;

#define EPOCH_USES_MAX 4

struct epoch_slot {
    _Alignas(64) _Atomic uint64_t inside; /* the epoch announced; 0: outside */
    atomic_bool taken;
    uint32_t number; /* of the slot, from 0 on */
    /* What the thread says it uses, 0 behind the last one. Written by itself only. */
    _Atomic uint32_t uses[EPOCH_USES_MAX];
    _Atomic uint64_t writes; /* the node id that the thread is writing to; 0: none */
};

/* How a retired thing is released: by function, with the argument given at retirement. */
typedef void epoch_release(void *context, uint64_t argument);

int epochs_new(unsigned max_threads, struct epochs **ret_epochs);
void epochs_free(struct epochs *epochs); /* releases whatever is retired */

/* Takes a slot for the calling thread. Returns 0 or -EAGAIN when all are taken. */
int epoch_slot_take(struct epochs *epochs, struct epoch_slot **ret_slot);
void epoch_slot_put(struct epoch_slot *slot);

/* Which of the slots it is: no two threads at a time have the same number. */
static inline uint32_t epoch_slot_number(const struct epoch_slot *slot)
{
    return slot->number;
}

void epoch_enter(struct epochs *epochs, struct epoch_slot *slot);

/*
 * Leaves. Somebody has to look afterwards what may be released by now: who leaves, or who gave
 * something up, whoever of them is the later.
 */
void epoch_exit(struct epoch_slot *slot);

/* Whether something is retired that nobody has begun to release. */
bool epoch_owes(const struct epochs *epochs);

/* Leaves, and releases what may be released by now. */
void epoch_leave(struct epochs *epochs, struct epoch_slot *slot);

/*
 * A shorter way, for what is often given up (open files) while some thread may be stuck in its
 * epoch: whoever is about to use thing number n announces it and then makes sure that it is still
 * there. Until the thread leaves its epoch, epoch_is_used(n) is true. own (NULL: none) is the slot
 * of a caller who has no more use for n itself.
 *
 * Whoever has made n impossible to find and then is told that nobody uses it may release it at
 * once; else it retires it. n is not 0.
 */
void epoch_use(struct epoch_slot *slot, uint32_t n);
bool epoch_is_used(struct epochs *epochs, uint32_t n, const struct epoch_slot *own);

/* Whether a thread is in a WRITE to that node. */
bool epoch_is_written(struct epochs *epochs, uint64_t nodeid);

/*
 * Retires a thing that can no longer be found. When there is no memory to note it, the thing is
 * never released: a slot or descriptor lost, and one line in the log, but nothing used wrongly.
 */
void epoch_retire(struct epochs *epochs, epoch_release *release, void *context, uint64_t argument);

/* Releases what may be released, which may take long: it closes files. */
void epoch_reclaim(struct epochs *epochs);

#endif
