// SPDX-License-Identifier: BSD-3-Clause
/*
 * No request waits for another one's host call: sixteen requests sit in the slow file system, and
 * the same queue's others are answered as if they were alone.
 *
 * What is measured is printed. On any machine the 99th percentile must stay below 50 ms and no
 * request may take half as long as the slow ones; with VIOFSD_ISOLATION=strict the 99th percentile
 * must be within twice (and 100 us) of its value without them, which takes an idle machine.
 */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crowd.h"

#define CROWD     16
#define DELAY_MS  600
#define LONG_MS   1000
/* For slow ones that follow each other: two hundred and more a second. */
#define STREAM_MS 100
/* How long a measurement without slow requests takes. */
#define ALONE_MS  200
/* From the first request to the last one that is being held; 16 threads are made meanwhile. */
#define RAMP_MS   3000

#define WORDS     "--xattr"

static void start(struct crowd *crowd, struct daemon *daemon, const char *words)
{
    slow_mount(daemon);
    daemon_start(daemon, DAEMON_SOCKET_PATH, words);
    crowd_start(crowd, daemon);
}

static void check_answer(const struct crowd_job *job, int error, int least_ms)
{
    CHECK(job->answered);
    if (job->error != error)
        FAIL("%s is answered with %s, not %s", job->kind->name,
             job->error ? strerrorname_np(-job->error) : "success",
             error ? strerrorname_np(-error) : "success");
    if (error == 0 && job->length < job->kind->least)
        FAIL("%s is answered with %zu bytes", job->kind->name, job->length);
    if (job->took_us < 1000LL * least_ms)
        FAIL("%s took %lld us in a file system that takes %d ms", job->kind->name, job->took_us,
             least_ms);
}

/* A descriptor's last close comes after the reply, so nobody waits for it. */
static bool is_answered_before(const struct slow_kind *kind)
{
    return kind->opcode == VUF_OP_RELEASE;
}

static void delay_kind(const struct slow_kind *kind, int milliseconds)
{
    slow_tell("delay %s %d /t*%s", kind->call, milliseconds, kind->path);
}

/* Sixteen requests of one kind. */
static void of_one_kind(struct daemon *daemon)
{
    const struct slow_kind *kind = case_data();
    bool early = is_answered_before(kind);
    struct crowd crowd;

    start(&crowd, daemon, WORDS);
    crowd_prepare(&crowd, 0, CROWD);
    struct crowd_times without = crowd_measure(&crowd, ALONE_MS, 0);

    delay_kind(kind, DELAY_MS);
    crowd_send(&crowd, 0, CROWD, kind);
    unsigned behind = crowd_one(&crowd);
    unsigned long held = slow_await(early ? 1 : CROWD, RAMP_MS);
    if (held < (early ? 1 : CROWD))
        FAIL("only %lu requests wait at once", held);
    struct crowd_times with =
        crowd_measure(&crowd, early ? 2 * DELAY_MS : DELAY_MS, early ? 0 : CROWD);
    CHECK(crowd_wait(&crowd, DAEMON_PATIENCE_MS));
    printf("# %-12s the first one behind them took %u us\n", kind->name, behind);
    for (unsigned i = 0; i < CROWD; i++)
        check_answer(&crowd.jobs[i], 0, early ? 0 : DELAY_MS);
    crowd_hold(kind->name, &without, &with, DELAY_MS * 1000 / 2);
    /* It came when no thread had been made yet. */
    if (behind > DELAY_MS * 1000)
        FAIL("%s: the first request behind them took %u us", kind->name, behind);
}

/* Every kind that there is, each once, a second each. */
static void of_all_kinds(struct daemon *daemon)
{
    struct crowd crowd;

    start(&crowd, daemon, WORDS);
    crowd_prepare(&crowd, 0, (unsigned)slow_kind_count);
    struct crowd_times without = crowd_measure(&crowd, 2 * ALONE_MS, 0);
    for (size_t i = 0; i < slow_kind_count; i++)
        slow_tell("delay %s %d /t%zu%s", slow_kinds[i].call, LONG_MS, i, slow_kinds[i].path);
    for (unsigned i = 0; i < slow_kind_count; i++)
        crowd_send(&crowd, i, 1, &slow_kinds[i]);
    unsigned long held = slow_await(CROWD, RAMP_MS);
    if (held < CROWD)
        FAIL("only %lu requests wait at once", held);
    struct crowd_times with = crowd_measure(&crowd, LONG_MS / 2, (unsigned)slow_kind_count);
    CHECK(crowd_wait(&crowd, DAEMON_PATIENCE_MS));
    for (unsigned i = 0; i < slow_kind_count; i++)
        check_answer(&crowd.jobs[i], 0, is_answered_before(&slow_kinds[i]) ? 0 : LONG_MS);
    crowd_hold("all", &without, &with, LONG_MS * 1000 / 2);
}

/*
 * A slow file system that is used all the time: when one of the sixteen is answered, the next one
 * follows. Answers come one by one, as each has begun at a time of its own.
 */
static void one_after_the_other(struct daemon *daemon)
{
    static const uint32_t opcodes[] = {VUF_OP_LOOKUP, VUF_OP_GETATTR, VUF_OP_READ, VUF_OP_WRITE};
    struct crowd crowd;

    start(&crowd, daemon, WORDS);
    crowd_prepare(&crowd, 0, CROWD);
    struct crowd_times without = crowd_measure(&crowd, 2 * ALONE_MS, 0);
    for (unsigned i = 0; i < 4; i++)
        delay_kind(slow_kind_of(opcodes[i]), STREAM_MS);
    for (unsigned i = 0; i < CROWD; i++) {
        crowd_send(&crowd, i, 1, slow_kind_of(opcodes[i % 4]));
        crowd_measure(&crowd, STREAM_MS / CROWD, 0);
    }
    crowd.again = true;
    struct crowd_times with = crowd_measure(&crowd, 2 * LONG_MS, 0);
    crowd.again = false;
    CHECK(crowd_wait(&crowd, DAEMON_PATIENCE_MS));
    printf("# %u slow requests were answered\n", crowd.answered);
    crowd_hold("stream", &without, &with, LONG_MS * 1000 / 2);
}

int main(int argc, char **argv)
{
    static const struct test_case fixed[] = {
        {.name = "all kinds", .run = of_all_kinds},
        {.name = "stream", .run = one_after_the_other},
    };
    size_t count = sizeof(fixed) / sizeof(fixed[0]);
    struct test_case *cases = calloc(count + slow_kind_count, sizeof(*cases));

    if (!cases)
        return 1;
    memcpy(cases, fixed, sizeof(fixed));
    for (size_t i = 0; i < slow_kind_count; i++)
        cases[count++] = (struct test_case){
            .name = slow_kinds[i].name, .run = of_one_kind, .data = &slow_kinds[i]};
    for (size_t i = 0; i < count; i++)
        cases[i].not_started = true;
    return case_main(argc, argv, cases, count);
}
