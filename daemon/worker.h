// SPDX-License-Identifier: BSD-3-Clause
/*
 * The thread that serves a queue. Made by queue_start(), joined by queue_finish_stop(); everything
 * in its struct worker but the chain's memory is its own.
 */
#ifndef VIOFS_WORKER_H
#define VIOFS_WORKER_H

#include "queue.h"

/* The thread's function; argument is a struct worker. */
void *worker_main(void *argument);

#endif
