// SPDX-License-Identifier: BSD-3-Clause
/* When one looks for what comes next, and when one sleeps. */
#include "patience.h"
#include "test.h"

/* Waits, each ending like this; returns in how many it looked. */
static unsigned int waits(struct patience *patience, unsigned int n, enum look look)
{
    unsigned int looks = 0;

    for (unsigned int i = 0; i < n; i++) {
        if (!patience_asks(patience))
            continue;
        patience_learns(patience, look);
        looks++;
    }
    return looks;
}

static void looks_while_it_pays(void)
{
    struct patience patience;

    patience_start(&patience);
    CHECK_EQ(waits(&patience, 1000, LOOK_FOUND), 1000);
}

/* A listing with attributes among short requests. */
static void bears_a_long_one_now_and_then(void)
{
    struct patience patience;

    patience_start(&patience);
    for (unsigned int i = 0; i < 1000; i++) {
        CHECK_EQ(waits(&patience, 3, LOOK_FOUND), 3);
        CHECK_EQ(waits(&patience, 1, LOOK_IN_VAIN), 1);
    }
}

static void gives_up_where_nothing_is_found(void)
{
    struct patience patience;

    patience_start(&patience);
    CHECK(waits(&patience, 3000, LOOK_IN_VAIN) <= 20);
    CHECK(waits(&patience, 100000, LOOK_IN_VAIN) <= 100000 / 1000);
}

static void gives_up_at_once_in_a_crowd(void)
{
    struct patience patience;

    patience_start(&patience);
    CHECK_EQ(waits(&patience, 1, LOOK_CROWDED), 1);
    CHECK_EQ(waits(&patience, 1, LOOK_FOUND), 0);
}

/* Whatever it was like, a thousand waits later all is well again, and it bears as much as ever. */
static void comes_back(void)
{
    struct patience patience, fresh;

    patience_start(&patience);
    waits(&patience, 100000, LOOK_IN_VAIN);
    waits(&patience, 1100, LOOK_FOUND);
    CHECK_EQ(waits(&patience, 100, LOOK_FOUND), 100);
    patience_start(&fresh);
    CHECK_EQ(waits(&patience, 50, LOOK_IN_VAIN), waits(&fresh, 50, LOOK_IN_VAIN));
}

int main(void)
{
    RUN(looks_while_it_pays);
    RUN(bears_a_long_one_now_and_then);
    RUN(gives_up_where_nothing_is_found);
    RUN(gives_up_at_once_in_a_crowd);
    RUN(comes_back);
    return test_result();
}
