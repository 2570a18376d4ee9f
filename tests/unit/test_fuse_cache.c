// SPDX-License-Identifier: BSD-3-Clause
/*
 * What the guest is told that it may keep, for how long: by cache mode and by the options that say
 * otherwise. tests/mount has what a real kernel makes of it.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "fuse_guest.h"
#include "test.h"

#define ROOT FUSE_ROOT_ID

static void cache_modes(void)
{
    static const struct {
        enum cache_mode mode;
        uint64_t seconds;
        uint64_t negative;
        uint32_t file, dir;
    } rows[] = {
        {CACHE_NEVER, 0, 0, FOPEN_DIRECT_IO, 0},
        {CACHE_METADATA, 86400, 0, FOPEN_DIRECT_IO, FOPEN_KEEP_CACHE | FOPEN_CACHE_DIR},
        {CACHE_AUTO, 1, 0, 0, 0},
        {CACHE_ALWAYS, 86400, 1, FOPEN_KEEP_CACHE, FOPEN_KEEP_CACHE | FOPEN_CACHE_DIR},
    };
    for (unsigned i = 0; i < 4; i++) {
        struct guest guest;
        guest_prepare(&guest);
        guest.settings.cache = rows[i].mode;
        guest_start(&guest);
        CHECK_EQ(!!(BODY(fuse_init_out)->flags & FUSE_DO_READDIRPLUS), rows[i].mode != CACHE_NEVER);
        guest_host_file(&guest, "f", "x");
        uint64_t node = guest_lookup(&guest, "f"), fh;
        CHECK_EQ(BODY(fuse_entry_out)->attr_valid, rows[i].seconds);
        CHECK_EQ(BODY(fuse_entry_out)->entry_valid, rows[i].seconds);
        CHECK_EQ(guest_name(&guest, FUSE_LOOKUP, ROOT, "missing"), rows[i].negative ? 0 : -ENOENT);
        if (rows[i].negative) {
            CHECK_EQ(BODY(fuse_entry_out)->nodeid, 0);
            CHECK_EQ(BODY(fuse_entry_out)->entry_valid, rows[i].negative);
            CHECK_EQ(BODY(fuse_entry_out)->attr_valid, 0);
        }
        CHECK_EQ(guest_open(&guest, node, O_RDONLY, &fh), 0);
        CHECK_EQ(BODY(fuse_open_out)->open_flags, rows[i].file);
        CHECK_EQ(guest_opendir(&guest, ROOT, &fh), 0);
        CHECK_EQ(BODY(fuse_open_out)->open_flags, rows[i].dir);
        CHECK_EQ(guest_end(&guest), 0);
    }
}

/* The options win over every mode, each for itself, to the nanosecond. */
static void options_win(void)
{
    static const enum cache_mode modes[] = {CACHE_NEVER, CACHE_METADATA, CACHE_AUTO, CACHE_ALWAYS};
    for (unsigned i = 0; i < 4; i++) {
        struct guest guest;
        guest_prepare(&guest);
        guest.settings.cache = modes[i];
        guest.settings.attr_timeout = (struct timeout){true, 1500000000};
        guest.settings.entry_timeout = (struct timeout){true, 7};
        guest.settings.negative_timeout = (struct timeout){true, UINT64_C(4294967295000000000)};
        guest_start(&guest);
        guest_host_file(&guest, "f", "x");
        uint64_t node = guest_lookup(&guest, "f");
        CHECK_EQ(BODY(fuse_entry_out)->attr_valid, 1);
        CHECK_EQ(BODY(fuse_entry_out)->attr_valid_nsec, 500000000);
        CHECK_EQ(BODY(fuse_entry_out)->entry_valid, 0);
        CHECK_EQ(BODY(fuse_entry_out)->entry_valid_nsec, 7);
        struct fuse_getattr_in in = {0};
        CHECK_EQ(guest_do(&guest, FUSE_GETATTR, node, in), 0);
        CHECK_EQ(BODY(fuse_attr_out)->attr_valid, 1);
        CHECK_EQ(BODY(fuse_attr_out)->attr_valid_nsec, 500000000);
        CHECK_EQ(guest_name(&guest, FUSE_LOOKUP, ROOT, "missing"), 0);
        CHECK_EQ(BODY(fuse_entry_out)->nodeid, 0);
        CHECK_EQ(BODY(fuse_entry_out)->entry_valid, UINT32_MAX);
        CHECK_EQ(BODY(fuse_entry_out)->entry_valid_nsec, 0);
        /* Only what is missing is remembered so: no other error. */
        CHECK_EQ(guest_name(&guest, FUSE_LOOKUP, node, "x"), -ENOTDIR);
        CHECK_EQ(guest_end(&guest), 0);

        guest_prepare(&guest);
        guest.settings.cache = modes[i];
        guest.settings.negative_timeout = (struct timeout){true, 0};
        guest_start(&guest);
        CHECK_EQ(guest_name(&guest, FUSE_LOOKUP, ROOT, "missing"), -ENOENT);
        CHECK_EQ(guest_end(&guest), 0);
    }
}

int main(void)
{
    if (geteuid() != 0) {
        printf("skipped: needs root\n");
        return 77;
    }
    RUN(cache_modes);
    RUN(options_win);
    return test_result();
}
