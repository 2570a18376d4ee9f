// SPDX-License-Identifier: BSD-3-Clause
/* seed: numbers that a guest must not be able to foresee. Any thread. */
#ifndef VIOFS_SEED_H
#define VIOFS_SEED_H

#include <stdint.h>

/* Random; just after boot, when the host may have no randomness yet, from its clock. */
uint64_t seed(void);

#endif
