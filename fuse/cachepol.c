// SPDX-License-Identifier: BSD-3-Clause
#include "cachepol.h"

#include "fuse_abi.h"

/* Long enough to mean "always", short enough for any kernel's arithmetic in jiffies. */
#define ONE_DAY 86400u

/* One row per cache mode. */
static const struct policy {
    uint64_t seconds;
    uint32_t open_file;
    uint32_t open_dir;
} policies[] = {
    [CACHE_NEVER] = {0, FOPEN_DIRECT_IO, 0},
    [CACHE_METADATA] = {ONE_DAY, FOPEN_DIRECT_IO, FOPEN_KEEP_CACHE | FOPEN_CACHE_DIR},
    [CACHE_AUTO] = {1, 0, 0},
    [CACHE_ALWAYS] = {ONE_DAY, FOPEN_KEEP_CACHE, FOPEN_KEEP_CACHE | FOPEN_CACHE_DIR},
};

uint64_t cachepol_seconds(const struct settings *settings)
{
    return policies[settings->cache].seconds;
}

uint32_t cachepol_open_file(const struct settings *settings)
{
    return policies[settings->cache].open_file;
}

uint32_t cachepol_open_dir(const struct settings *settings)
{
    return policies[settings->cache].open_dir;
}

bool cachepol_readdirplus(const struct settings *settings)
{
    return settings->readdirplus && settings->cache != CACHE_NEVER;
}
