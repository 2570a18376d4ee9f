// SPDX-License-Identifier: BSD-3-Clause
#include "patience.h"

#define CREDIT_MAX 16   /* one long request does not change what many short ones have shown */
#define MISS_COSTS 2    /* looks pay when two of three find something */
#define PAUSE_MIN  8    /* waits */
#define PAUSE_MAX  1024 /* where nothing is ever found, one wait in a thousand is looked through */

void patience_start(struct patience *patience)
{
    *patience = (struct patience){.credit = CREDIT_MAX, .pause = PAUSE_MIN};
}

bool patience_asks(struct patience *patience)
{
    if (!patience->rest)
        return true;
    patience->rest--;
    return false;
}

void patience_learns(struct patience *patience, enum look look)
{
    if (look == LOOK_FOUND) {
        if (patience->credit < CREDIT_MAX)
            patience->credit++;
        else
            patience->pause = PAUSE_MIN;
        return;
    }
    if (look == LOOK_IN_VAIN && patience->credit > MISS_COSTS) {
        patience->credit -= MISS_COSTS;
        return;
    }
    patience->credit = 1;
    patience->rest = patience->pause;
    if (patience->pause < PAUSE_MAX)
        patience->pause *= 2;
}
