// SPDX-License-Identifier: BSD-3-Clause
/* What the environment has to say about a command line. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "options_table.h"
#include "scope.h"

/* systemd's sd_listen_fds(3): the first descriptor that is passed. */
#define LISTEN_FDS_START 3

int options_claim_listen_fds(struct options_parser *parser)
{
    const char *pid = getenv("LISTEN_PID");
    const char *count = getenv("LISTEN_FDS");
    int error = 0;

    if (!pid || !count || strtol(pid, NULL, 10) != (long)getpid())
        return -ENOENT;
    if (strcmp(count, "1"))
        error =
            options_fail(parser, "LISTEN_FDS=%s: exactly one listening socket is expected", count);
    else
        parser->settings->listen_fd = LISTEN_FDS_START;
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    return error;
}

/* The level that length bytes of text name; false: none. */
static bool read_level(const char *text, size_t length, enum log_level *ret_level)
{
    static const char *const words[] = {
        [LOG_LEVEL_OFF] = "off",   [LOG_LEVEL_ERROR] = "error", [LOG_LEVEL_WARN] = "warn",
        [LOG_LEVEL_INFO] = "info", [LOG_LEVEL_DEBUG] = "debug", [LOG_LEVEL_TRACE] = "trace",
    };

    for (unsigned i = 0; i < ARRAY_SIZE(words); i++) {
        if (strlen(words[i]) == length && !strncasecmp(words[i], text, length)) {
            *ret_level = (enum log_level)i;
            return true;
        }
    }
    return false;
}

/*
 * One of the directives of RUST_LOG, which are separated by commas: "level", "target=level" or
 * "target". Targets are the Rust daemon's modules; all of our log goes by its own name.
 */
static void take_directive(const char *text, size_t length, enum log_level *all,
                           enum log_level *ours, bool *ours_set)
{
    static const char target[] = "virtiofsd";
    const char *equals = memchr(text, '=', length);
    size_t target_length = equals ? (size_t)(equals - text) : length;
    enum log_level level = LOG_LEVEL_TRACE;

    if (!equals && read_level(text, length, all))
        return;
    if (target_length != sizeof(target) - 1 || memcmp(text, target, target_length))
        return;
    if (equals && !read_level(equals + 1, length - target_length - 1, &level))
        return;
    *ours = level;
    *ours_set = true;
}

void options_take_rust_log(struct settings *settings)
{
    const char *text = getenv("RUST_LOG");
    enum log_level ours = LOG_LEVEL_OFF;
    bool ours_set = false;

    if (!text || settings->syslog)
        return;
    /* Without a word for us there are errors only where there is no word at all. */
    enum log_level all = *text ? LOG_LEVEL_OFF : LOG_LEVEL_ERROR;

    while (*text) {
        size_t length = strcspn(text, ",/");

        take_directive(text, length, &all, &ours, &ours_set);
        text += length;
        if (*text != ',')
            break;
        text++;
    }
    settings->log_level = ours_set ? ours : all;
}
