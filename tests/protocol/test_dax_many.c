// SPDX-License-Identifier: BSD-3-Clause
/*
 * Many mappings, many queues, the policy that decides which files are flagged for DAX, and the
 * messages that came before SHMEM.
 */
#include "dax_guest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define R          WINDOW_RANGE
#define GIB        (1ull << 30)

/* --- 20,000 mappings --- */

#define MANY       20000u
#define BYTES_EACH 64u
#define SLACK      (2ull << 20) /* what requests of any kind may leave in the allocator */

/* Memory of the serving process that is no file's, in bytes. */
static uint64_t memory_of(const struct daemon *daemon)
{
    char path[64], line[256];
    unsigned long kib, sum = 0;

    daemon_fd_count(daemon); /* finds the server */
    snprintf(path, sizeof(path), "/proc/%d/status", daemon->server);
    FILE *file = fopen(path, "re");
    CHECK(file);
    while (fgets(line, sizeof(line), file))
        if (sscanf(line, "RssAnon: %lu", &kib) == 1 || sscanf(line, "RssShmem: %lu", &kib) == 1)
            sum += kib;
    fclose(file);
    CHECK(sum > 0);
    return sum * 1024;
}

/* Shadow memory and quarantines are not the daemon's doing. */
static bool is_sanitized(const struct daemon *daemon)
{
    char path[64], line[512];
    bool found = false;

    snprintf(path, sizeof(path), "/proc/%d/maps", daemon->server);
    FILE *file = fopen(path, "re");
    CHECK(file);
    while (!found && fgets(line, sizeof(line), file))
        found = strstr(line, "libasan") || strstr(line, "libtsan");
    fclose(file);
    return found;
}

static void many(struct daemon *daemon)
{
    struct dax dax;

    dax_start(&dax, daemon, case_data());
    int a = host_create(&dax, "a", 0, 1), b = host_create(&dax, "b", 0, 2);
    CHECK(ftruncate(a, 64 * (off_t)GIB) == 0 && ftruncate(b, 64 * (off_t)GIB) == 0);
    uint64_t nodes[2] = {guest_lookup(&dax.guest, ROOT_ID, "a"),
                         guest_lookup(&dax.guest, ROOT_ID, "b")};
    for (unsigned i = 0; i < 100; i++)
        CHECK_EQ(dax_map(&dax, nodes[i % 2], i * R, i * R, DAX_WRITE), 0);
    unsigned fds = daemon_fd_count(daemon);
    uint64_t before = memory_of(daemon);
    long long begin = now_ms();
    for (unsigned i = 100; i < MANY; i++)
        if (dax_map(&dax, nodes[i % 2], i * R, i * R, DAX_WRITE) != 0)
            FAIL("mapping %u fails", i);
    printf("# %u mappings in %lld ms, %lld bytes each\n", MANY, now_ms() - begin,
           ((long long)memory_of(daemon) - (long long)before) / MANY);
    fflush(stdout);
    CHECK(window_counts(&dax.window).pieces >= MANY);
    daemon_expect_fds(daemon, fds);
    uint64_t after = memory_of(daemon);
    if (!is_sanitized(daemon) && after > before + MANY * BYTES_EACH + SLACK)
        FAIL("%u mappings take %llu bytes of memory", MANY, (unsigned long long)(after - before));
    /* Each is what it should be. */
    for (unsigned i = 0; i < MANY; i += 97) {
        uint64_t word = i;
        CHECK_EQ(window_store(&dax.window, i * R + 8 * i % 4096, &word, sizeof(word)), 0);
    }
    for (unsigned i = 0; i < MANY; i += 97) {
        uint64_t word = 0;
        CHECK(pread(i % 2 ? b : a, &word, sizeof(word), (off_t)(i * R + 8 * i % 4096)) == 8);
        CHECK_EQ(word, i);
    }
    for (uint64_t at = 0; at < MANY * R; at += 250 * R)
        CHECK_EQ(dax_unmap(&dax, at, 250 * R), 0);
    CHECK_EQ(window_counts(&dax.window).pieces, 0);
    daemon_expect_fds(daemon, fds);
    dax_finish(&dax);
}

/* A tail each: small files, one page and a bit. */
static void many_tails(struct daemon *daemon)
{
    struct dax dax;

    dax_start(&dax, daemon, case_data());
    for (unsigned i = 0; i < 500; i++) {
        char name[20];

        snprintf(name, sizeof(name), "file%u", i);
        int fd = host_create(&dax, name, 4096 + 100 + i, i);
        uint64_t node = guest_lookup(&dax.guest, ROOT_ID, name);
        CHECK_EQ(dax_map(&dax, node, 0, i * R, DAX_WRITE), 0);
        dax_store(&dax, i * R + 4096, 50, 1000 + i, 0);
        close(fd);
    }
    sleep_ms(DAX_SETTLE_MS);
    for (unsigned i = 0; i < 500; i++) {
        char name[20], found[50], wanted[50];

        snprintf(name, sizeof(name), "file%u", i);
        int fd = open(host_path(&dax, name), O_RDONLY);
        pattern(1000 + i, 0, wanted, sizeof(wanted));
        CHECK(pread(fd, found, sizeof(found), 4096) == sizeof(found));
        if (memcmp(found, wanted, sizeof(found)) != 0)
            FAIL("file %u does not have what was stored a second ago", i);
        dax_expect_file(&dax, i * R, fd, 0);
        close(fd);
    }
    CHECK_EQ(vuf_fuse_destroy(&dax.guest.fuse), 0);
    CHECK_EQ(window_counts(&dax.window).pieces, 0);
    dax_finish(&dax);
}

/* --- several queues --- */

#define QUEUES 4u

struct crowd {
    struct dax dax;
    uint64_t nodes[QUEUES];
    int fds[QUEUES];
    unsigned rounds;
};

struct member {
    struct crowd *crowd;
    unsigned number;
    pthread_t thread;
};

/* Each on a ring, and in a part of the window, of its own; files are everybody's. */
static void *map_and_unmap(void *argument)
{
    struct member *member = argument;
    struct dax *dax = &member->crowd->dax;
    unsigned ring = 1 + member->number;
    uint64_t home = member->number * 4 * R;

    for (unsigned i = 0; i < member->crowd->rounds; i++) {
        uint64_t node = member->crowd->nodes[(i + member->number) % QUEUES];
        struct vuf_removemapping_in in = {.count = 2};
        struct vuf_removemapping_one ones[2] = {{home, 2 * R}, {home + 2 * R, 2 * R}};
        struct vuf_getattr_in getattr = {0};
        struct vuf_attr_out out;
        uint64_t found;

        for (uint64_t at = 0; at < 4 * R; at += R)
            CHECK_EQ(dax_map_on(dax, ring, node, at, home + at, i % 3 ? DAX_WRITE : DAX_READ), 0);
        CHECK_EQ(dax_call(dax, ring, VUF_OP_GETATTR, node, &getattr, sizeof(getattr), NULL, 0, &out,
                          sizeof(out)),
                 0);
        for (uint64_t at = 0; at < 4 * R; at += R / 2) {
            uint64_t wanted;

            if (at + 8 > out.attr.size)
                break;
            pattern((i + member->number) % QUEUES, at, &wanted, sizeof(wanted));
            CHECK_EQ(window_load(&dax->window, home + at, &found, sizeof(found)), 0);
            CHECK_EQ(found, wanted);
        }
        CHECK_EQ(dax_call(dax, ring, VUF_OP_REMOVEMAPPING, node, &in, sizeof(in), ones,
                          sizeof(ones), NULL, 0),
                 0);
    }
    return NULL;
}

static void several_queues(struct daemon *daemon)
{
    struct dax_options options = *(const struct dax_options *)case_data();
    struct member members[QUEUES];
    struct crowd crowd = {.rounds = 40};

    options.guest.rings = QUEUES + 1;
    dax_start(&crowd.dax, daemon, &options);
    for (unsigned i = 0; i < QUEUES; i++) {
        char name[20];

        snprintf(name, sizeof(name), "file%u", i);
        crowd.fds[i] = host_create(&crowd.dax, name, 3 * R + 100 + i * 4096, i);
        crowd.nodes[i] = guest_lookup(&crowd.dax.guest, ROOT_ID, name);
    }
    for (unsigned i = 0; i < QUEUES; i++) {
        members[i] = (struct member){.crowd = &crowd, .number = i};
        CHECK_EQ(pthread_create(&members[i].thread, NULL, map_and_unmap, &members[i]), 0);
    }
    /* The control channel answers all the time. */
    for (unsigned i = 0; i < 50; i++) {
        long long begin = now_ms();

        window_lock_socket(&crowd.dax.window);
        long long locked = now_ms();
        guest_check_control(&crowd.dax.guest.dev.conn);
        window_unlock_socket(&crowd.dax.window);
        if (now_ms() - locked > 2000)
            FAIL("GET_FEATURES took %lld ms", now_ms() - begin);
        sleep_ms(5);
    }
    for (unsigned i = 0; i < QUEUES; i++)
        pthread_join(members[i].thread, NULL);
    CHECK_EQ(window_counts(&crowd.dax.window).pieces, 0);
    dax_finish(&crowd.dax);
}

/* Everybody maps other files over the same four places, and grows and cuts them, as no kernel does:
 * whatever comes of it, nothing is mapped over anything, and at the end the window is right. */
static void *fight(void *argument)
{
    struct member *member = argument;
    struct dax *dax = &member->crowd->dax;
    unsigned ring = 1 + member->number;

    for (unsigned i = 0; i < member->crowd->rounds * 4; i++) {
        uint64_t node = member->crowd->nodes[(i * 3 + member->number) % QUEUES];
        uint64_t place = (i * 5 + member->number * 7) % 4 * R;
        struct vuf_removemapping_in in = {.count = 1};
        struct vuf_removemapping_one one = {place, R};
        struct vuf_setattr_in size = {.valid = VUF_SETATTR_SIZE,
                                      .size = (i * 7919 + member->number) * 977 % (2 * R)};
        struct vuf_attr_out out;

        int error = dax_map_on(dax, ring, node, i % 2 * R, place, i % 3 ? DAX_WRITE : DAX_READ);
        CHECK(error == 0 || error == -EAGAIN);
        if (i % 4 == 0)
            CHECK_EQ(dax_call(dax, ring, VUF_OP_SETATTR, node, &size, sizeof(size), NULL, 0, &out,
                              sizeof(out)),
                     0);
        if (i % 5 == 0)
            CHECK_EQ(dax_call(dax, ring, VUF_OP_REMOVEMAPPING, node, &in, sizeof(in), &one,
                              sizeof(one), NULL, 0),
                     0);
    }
    return NULL;
}

static void several_queues_fight(struct daemon *daemon)
{
    struct dax_options options = *(const struct dax_options *)case_data();
    struct member members[QUEUES];
    struct crowd crowd = {.rounds = 40};

    options.guest.rings = QUEUES + 1;
    dax_start(&crowd.dax, daemon, &options);
    for (unsigned i = 0; i < QUEUES; i++) {
        char name[20];

        snprintf(name, sizeof(name), "file%u", i);
        crowd.fds[i] = host_create(&crowd.dax, name, R + 100 + i * 4096, i);
        crowd.nodes[i] = guest_lookup(&crowd.dax.guest, ROOT_ID, name);
    }
    for (unsigned i = 0; i < QUEUES; i++) {
        members[i] = (struct member){.crowd = &crowd, .number = i};
        CHECK_EQ(pthread_create(&members[i].thread, NULL, fight, &members[i]), 0);
    }
    for (unsigned i = 0; i < QUEUES; i++)
        pthread_join(members[i].thread, NULL);
    for (unsigned i = 0; i < QUEUES; i++) {
        host_write(crowd.fds[i], 0, R + 5000, 50 + i);
        CHECK_EQ(dax_map(&crowd.dax, crowd.nodes[i], R, i * R, DAX_READ), 0);
        dax_getattr(&crowd.dax, crowd.nodes[i]);
        dax_expect_file(&crowd.dax, i * R, crowd.fds[i], R);
    }
    CHECK_EQ(dax_unmap(&crowd.dax, 0, 4 * R), 0);
    CHECK_EQ(window_counts(&crowd.dax.window).pieces, 0);
    dax_finish(&crowd.dax);
}

/* --- which files are flagged --- */

struct policy {
    struct dax_options options;
    /* By size: 0, 5000, 256 KiB, 256 KiB + 1, 3 MiB. */
    bool flagged[5];
};

static bool lookup_says(struct dax *dax, const char *name, uint64_t *ret_node)
{
    struct vuf_entry_out entry;

    CHECK_EQ(dax_call(dax, 1, VUF_OP_LOOKUP, ROOT_ID, NULL, 0, name, strlen(name) + 1, &entry,
                      sizeof(entry)),
             0);
    *ret_node = entry.nodeid;
    return entry.attr.flags & VUF_ATTR_DAX;
}

static void policy(struct daemon *daemon)
{
    static const uint64_t sizes[5] = {0, 5000, 262144, 262145, 3 << 20};
    const struct policy *wanted = case_data();
    struct dax dax;

    dax_start(&dax, daemon, &wanted->options);
    for (unsigned i = 0; i < 5; i++) {
        char name[20];
        uint64_t node;

        snprintf(name, sizeof(name), "file%u", i);
        close(host_create(&dax, name, sizes[i], i));
        bool flagged = lookup_says(&dax, name, &node);
        if (flagged != wanted->flagged[i])
            FAIL("a file of %llu bytes is %sflagged", (unsigned long long)sizes[i],
                 flagged ? "" : "not ");
        CHECK_EQ(!!(dax_getattr(&dax, node).flags & VUF_ATTR_DAX), flagged);
        /* The flag is advice: mapping works in any case. */
        CHECK_EQ(dax_map(&dax, node, 0, 0, DAX_WRITE), 0);
    }
    uint64_t dir;
    CHECK(!lookup_says(&dax, "dir", &dir));
    CHECK(!lookup_says(&dax, "link", &dir));
    CHECK(!lookup_says(&dax, "fifo", &dir));
    CHECK_EQ(dax_getattr(&dax, ROOT_ID).flags & VUF_ATTR_DAX, 0);
    dax_finish(&dax);
}

#define EXACT_WINDOW                       \
    {                                      \
        .window = {.style = WINDOW_EXACT } \
    }
#define LOOSE_WINDOW                       \
    {                                      \
        .window = {.style = WINDOW_LOOSE } \
    }

static const struct policy auto_exact = {EXACT_WINDOW, {0, 0, 1, 0, 1}};
static const struct policy auto_loose = {LOOSE_WINDOW, {0, 0, 1, 1, 1}};
static const struct policy min_size = {LOOSE_WINDOW, {0, 1, 1, 1, 1}};
static const struct policy large_size = {EXACT_WINDOW, {0, 0, 0, 0, 1}};
static const struct policy always = {EXACT_WINDOW, {1, 1, 1, 1, 1}};
static const struct policy never = {EXACT_WINDOW, {0, 0, 0, 0, 0}};

/* --- the messages before SHMEM --- */

static const struct dax_options legacy = {.window = {.style = WINDOW_LEGACY}};

static void old_messages(struct daemon *daemon)
{
    struct dax dax;

    dax_start(&dax, daemon, &legacy);
    int fd = host_create(&dax, "file", 2 * R + 777, 1), other = host_create(&dax, "other", 999, 2);
    uint64_t node = guest_lookup(&dax.guest, ROOT_ID, "file");
    uint64_t other_node = guest_lookup(&dax.guest, ROOT_ID, "other");
    uint64_t fh = guest_open(&dax.guest, node, O_RDWR);
    for (uint64_t at = 0; at < 3 * R; at += R) {
        CHECK_EQ(dax_map(&dax, node, at, at, at ? DAX_WRITE : DAX_READ), 0);
        dax_expect_file(&dax, at, fd, at);
    }
    dax_store(&dax, 2 * R, 777, 5, 0);
    dax_expect_file(&dax, 2 * R, fd, 2 * R);
    CHECK_EQ(dax_map(&dax, node, 0, 0, DAX_WRITE), 0);
    dax_store(&dax, 50, 5000, 6, 0);
    dax_expect_file(&dax, 0, fd, 0);
    CHECK_EQ(dax_write(&dax, node, fh, 2 * R + 777, "appended", 8), 0);
    dax_expect_file(&dax, 2 * R, fd, 2 * R);
    CHECK_EQ(dax_set_size(&dax, node, 100), 0);
    CHECK_EQ(dax_set_size(&dax, node, R + 100), 0);
    dax_expect_file(&dax, 0, fd, 0);
    dax_expect_file(&dax, R, fd, R);
    CHECK_EQ(dax_map(&dax, other_node, 0, R, DAX_WRITE), 0);
    dax_expect_file(&dax, R, other, 0);
    CHECK_EQ(dax_unmap(&dax, 0, 3 * R), 0);
    dax_expect_nothing(&dax, 0, 3 * R);
    CHECK_EQ(window_counts(&dax.window).pieces, 0);
    CHECK_EQ(dax_map(&dax, node, 0, 5 * R, DAX_WRITE), 0);
    CHECK_EQ(vuf_fuse_destroy(&dax.guest.fuse), 0);
    CHECK_EQ(window_counts(&dax.window).pieces, 0);
    dax_finish(&dax);
}

/* The old messages are not tried on a front-end that would take them for something else. */
static const struct dax_options no_shmem = {.window = {.style = WINDOW_EXACT},
                                            .not_features = VUF_PF_SHMEM};
static const struct dax_options no_ack = {.window = {.style = WINDOW_LEGACY},
                                          .not_features = VUF_PF_REPLY_ACK};
static const struct dax_options no_send_fd = {.window = {.style = WINDOW_LEGACY},
                                              .not_features = VUF_PF_BACKEND_SEND_FD};

static void no_way(struct daemon *daemon)
{
    struct dax dax;

    dax_realize(&dax, daemon, case_data());
    dax_start_rings(&dax);
    CHECK_EQ(dax_init(&dax), 0);
    uint64_t node = guest_lookup(&dax.guest, ROOT_ID, "hello");
    CHECK(dax_map(&dax, node, 0, 0, DAX_READ) < 0);
    CHECK_EQ(window_counts(&dax.window).seen, 0);
    guest_check_alive(&dax.guest);
    dax_finish(&dax);
}

static const struct dax_options many_exact = {
    .window = {.style = WINDOW_EXACT, .size = 64 * GIB, .without_tables = true, .at_once = true}};
static const struct dax_options many_loose = {.window = {.style = WINDOW_LOOSE, .size = 64 * GIB}};
/* What is cut between the look at its size and the mapping cannot be mapped. */
static const struct dax_options fighting = {
    .window = {.style = WINDOW_EXACT, .eof_is_lenient = true}};
static const struct dax_options gib_exact = {
    .window = {.style = WINDOW_EXACT, .size = GIB, .without_tables = true}};

#define WORDS        "--tag=dax --request-queues=8 --dax-window="
#define LEGACY_WORDS "--dax-window=32M --dax-protocol="

static const struct test_case cases[] = {
    {.name = "many-exact", .run = many, .words = WORDS "64G", .data = &many_exact},
    {.name = "many-loose", .run = many, .words = WORDS "64G", .data = &many_loose},
    {.name = "many-tails", .run = many_tails, .words = WORDS "1G", .data = &gib_exact},
    {.name = "queues-exact", .run = several_queues, .words = WORDS "32M", .data = &dax_exact},
    {.name = "queues-loose", .run = several_queues, .words = WORDS "32M", .data = &dax_loose},
    {.name = "queues-pool",
     .run = several_queues,
     .words = WORDS "32M --thread-pool-size=8",
     .data = &dax_exact},
    {.name = "fight-exact", .run = several_queues_fight, .words = WORDS "32M", .data = &fighting},
    {.name = "fight-loose", .run = several_queues_fight, .words = WORDS "32M", .data = &dax_loose},
    {.name = "policy-auto-exact", .run = policy, .words = WORDS "32M", .data = &auto_exact},
    {.name = "policy-auto-loose", .run = policy, .words = WORDS "32M", .data = &auto_loose},
    {.name = "policy-min-size",
     .run = policy,
     .words = WORDS "32M --dax-min-size=5000",
     .data = &min_size},
    {.name = "policy-large-size",
     .run = policy,
     .words = WORDS "32M --dax-min-size=1M",
     .data = &large_size},
    {.name = "policy-always", .run = policy, .words = WORDS "32M --dax=always", .data = &always},
    {.name = "policy-never", .run = policy, .words = WORDS "32M --dax=never", .data = &never},
    {.name = "old-messages", .run = old_messages, .words = LEGACY_WORDS "fs-map"},
    {.name = "old-messages-by-themselves", .run = old_messages, .words = LEGACY_WORDS "auto"},
    {.name = "old-messages-not-wanted",
     .run = no_way,
     .words = LEGACY_WORDS "shmem",
     .data = &legacy},
    {.name = "old-messages-unknown", .run = no_way, .words = WORDS "32M", .data = &no_shmem},
    {.name = "old-messages-no-ack", .run = no_way, .words = LEGACY_WORDS "fs-map", .data = &no_ack},
    {.name = "old-messages-no-send-fd",
     .run = no_way,
     .words = LEGACY_WORDS "fs-map",
     .data = &no_send_fd},
};

int main(int argc, char **argv)
{
    return case_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
