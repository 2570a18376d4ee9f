// SPDX-License-Identifier: BSD-3-Clause
#include "rlimits.h"

#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>

#include "log.h"

/* The kernel's own ceiling, or its default where /proc/sys is not there. */
static unsigned long long read_nr_open(void)
{
    unsigned long long ceiling = 1048576;
    FILE *file = fopen("/proc/sys/fs/nr_open", "re");

    if (file) {
        if (fscanf(file, "%llu", &ceiling) != 1)
            log_debug("/proc/sys/fs/nr_open holds no number");
        fclose(file);
    }
    return ceiling;
}

static int set_files(rlim_t count, rlim_t hard)
{
    struct rlimit limit = {.rlim_cur = count, .rlim_max = hard};

    return setrlimit(RLIMIT_NOFILE, &limit) < 0 ? -errno : 0;
}

static int set_exactly(unsigned long long count, unsigned long long ceiling)
{
    int error;

    if (count > ceiling) {
        log_error("--rlimit-nofile=%llu: fs.nr_open of this system allows %llu at the most", count,
                  ceiling);
        return -EINVAL;
    }
    error = set_files(count, count);
    if (error) {
        errno = -error;
        log_error("--rlimit-nofile=%llu: cannot set the limit of open files: %m", count);
    }
    return error;
}

static int set_high(unsigned long long ceiling)
{
    unsigned long long wanted = ceiling < RLIMIT_NOFILE_WANTED ? ceiling : RLIMIT_NOFILE_WANTED;
    struct rlimit now;

    if (getrlimit(RLIMIT_NOFILE, &now) < 0 || !set_files(wanted, wanted))
        return 0;
    log_debug("the limit of open files stays at %llu: %llu is more than we may have",
              (unsigned long long)now.rlim_max, wanted);
    return set_files(now.rlim_max, now.rlim_max);
}

int rlimits_apply(const struct settings *settings)
{
    unsigned long long ceiling = read_nr_open();
    struct rlimit core;

    if (!getrlimit(RLIMIT_CORE, &core)) {
        core.rlim_cur = 0;
        setrlimit(RLIMIT_CORE, &core);
    }
    if (!settings->rlimit_nofile_set)
        return set_high(ceiling);
    if (!settings->rlimit_nofile)
        return 0;
    return set_exactly(settings->rlimit_nofile, ceiling);
}
