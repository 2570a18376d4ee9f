// SPDX-License-Identifier: BSD-3-Clause
#include "cachepol.h"

#include <linux/capability.h>

#include "fuse_abi.h"

#define NSEC_PER_SEC         UINT64_C(1000000000)

/* Long enough to mean "always", short enough for any kernel's arithmetic in jiffies. */
#define ONE_DAY              (86400 * NSEC_PER_SEC)

/* Data that goes past the guest's page cache. Each WRITE is one step for us, so that the guest
 * need not send them one after the other. */
#define UNCACHED             (FOPEN_DIRECT_IO | FOPEN_PARALLEL_DIRECT_WRITES)

/* Before 7.42 Linux cuts cached links to st_size, which some host file systems say is 0. */
#define CACHE_SYMLINKS_MINOR 42

/*
 * One row per cache mode; times in nanoseconds. A name that leads to nothing is asked for again
 * even with "always", after a second: what the older daemons' users rely on is that a file which
 * the host adds appears. A second is enough for a compiler that looks for a header in ten
 * directories.
 */
static const struct policy {
    uint64_t attributes;
    uint64_t entry;
    uint64_t negative;
    uint32_t open_file;
    uint32_t open_dir;
} policies[] = {
    [CACHE_NEVER] = {0, 0, 0, UNCACHED, 0},
    [CACHE_METADATA] = {ONE_DAY, ONE_DAY, 0, UNCACHED, FOPEN_KEEP_CACHE | FOPEN_CACHE_DIR},
    [CACHE_AUTO] = {NSEC_PER_SEC, NSEC_PER_SEC, 0, 0, 0},
    [CACHE_ALWAYS] = {ONE_DAY, ONE_DAY, NSEC_PER_SEC, FOPEN_KEEP_CACHE,
                      FOPEN_KEEP_CACHE | FOPEN_CACHE_DIR},
};

/* What an option says, or else what the cache mode says. */
static struct cache_time chosen(struct timeout option, uint64_t by_mode)
{
    uint64_t time = option.set ? option.nanoseconds : by_mode;
    return (struct cache_time){time / NSEC_PER_SEC, (uint32_t)(time % NSEC_PER_SEC)};
}

struct cache_time cachepol_attributes(const struct settings *settings)
{
    return chosen(settings->attr_timeout, policies[settings->cache].attributes);
}

struct cache_time cachepol_entry(const struct settings *settings)
{
    return chosen(settings->entry_timeout, policies[settings->cache].entry);
}

struct cache_time cachepol_negative(const struct settings *settings)
{
    return chosen(settings->negative_timeout, policies[settings->cache].negative);
}

uint32_t cachepol_open_file(const struct settings *settings, bool close_matters)
{
    return policies[settings->cache].open_file | (close_matters ? 0 : FOPEN_NOFLUSH);
}

uint32_t cachepol_open_dir(const struct settings *settings)
{
    return policies[settings->cache].open_dir;
}

/*
 * Only where open() has nothing to find out: with "always" data is kept over it anyway. On a
 * read-only share it has to refuse; O_DIRECT and O_NOATIME are the host's to see, once for each
 * open file.
 */
uint64_t cachepol_without_open(const struct settings *settings)
{
    if (settings->cache != CACHE_ALWAYS || !settings->no_open)
        return 0;
    /* A guest that may make files immutable expects that they cannot be opened to write. */
    bool immutable = settings->modcaps_add & UINT64_C(1) << CAP_LINUX_IMMUTABLE;
    bool open_matters =
        settings->readonly || settings->allow_direct_io || settings->preserve_noatime || immutable;
    return FUSE_NO_OPENDIR_SUPPORT | (open_matters ? 0 : FUSE_NO_OPEN_SUPPORT);
}

uint64_t cachepol_init_flags(const struct settings *settings, uint32_t minor)
{
    /*
     * Also with "always": there, too, data is to be as old as attributes at most. What it costs is
     * that a file which the guest has written is read again after the next look at its attributes.
     */
    uint64_t flags = FUSE_AUTO_INVAL_DATA;
    /* Attributes that may not be kept would be fetched for nothing. */
    if (settings->readdirplus && settings->cache != CACHE_NEVER)
        flags |= FUSE_DO_READDIRPLUS | FUSE_READDIRPLUS_AUTO;
    /* Where no data is cached there is none to write back; only sizes and times would be stale. */
    if (settings->writeback && !(policies[settings->cache].open_file & FOPEN_DIRECT_IO))
        flags |= FUSE_WRITEBACK_CACHE;
    /* A symbolic link never changes its target: another target is another inode under the name. */
    if (settings->cache != CACHE_NEVER && minor >= CACHE_SYMLINKS_MINOR)
        flags |= FUSE_CACHE_SYMLINKS;
    return flags;
}
