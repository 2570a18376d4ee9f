// SPDX-License-Identifier: BSD-3-Clause
/*
 * Logging: one line per call to stderr (journald-friendly "<N>" prefixes when stderr is the
 * journal) or to syslog. Any thread may call; lines never mix. Nothing here allocates, and every
 * system call it makes is in the seccomp filter's table. errno is preserved.
 *
 * Owner: the process. log_init() is called once by main before threads exist.
 */
#ifndef VIOFS_LOG_H
#define VIOFS_LOG_H

#include <stdatomic.h>
#include <stdbool.h>

enum log_level {
    LOG_LEVEL_OFF,
    LOG_LEVEL_ERROR,
    LOG_LEVEL_WARN,
    LOG_LEVEL_INFO,
    LOG_LEVEL_DEBUG,
    LOG_LEVEL_TRACE,
};

extern enum log_level log_threshold;

/* Sets the threshold and the sink. ident names the program and must live for ever. */
void log_init(const char *ident, enum log_level threshold, bool to_syslog);

/*
 * The descriptor of the connection to syslog; -1: logging to stderr. It stays owned by the log and
 * must stay open.
 */
int log_syslog_fd(void);

/* Writes one line of at most 1,000 bytes (the rest is cut); no newline at the end of format. */
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_at(level, ...)                  \
    do {                                    \
        if ((level) <= log_threshold)       \
            log_line((level), __VA_ARGS__); \
    } while (0)

#define log_error(...)    log_at(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warn(...)     log_at(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_info(...)     log_at(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)    log_at(LOG_LEVEL_DEBUG, __VA_ARGS__)
#define log_trace(...)    log_at(LOG_LEVEL_TRACE, __VA_ARGS__)

/*
 * For lines that a peer can provoke: at most LOG_BURST of them in any LOG_BURST_SECONDS from one
 * place in the code, then silence; the first line after it tells how many were left out.
 */
#define LOG_BURST         10
#define LOG_BURST_SECONDS 5

struct log_limit {
    _Atomic long window_start; /* CLOCK_MONOTONIC seconds */
    atomic_uint seen;          /* lines asked for in this window */
};

/* True when a line may be written now; *ret_skipped is how many were left out before it. */
bool log_limit_pass(struct log_limit *limit, unsigned *ret_skipped);

#define log_limited(level, format, ...)                                                \
    do {                                                                               \
        static struct log_limit limit_;                                                \
        unsigned skipped_ = 0;                                                         \
        if ((level) <= log_threshold && log_limit_pass(&limit_, &skipped_)) {          \
            if (skipped_)                                                              \
                log_line((level), "(%u lines like the next were left out)", skipped_); \
            log_line((level), format __VA_OPT__(, ) __VA_ARGS__);                      \
        }                                                                              \
    } while (0)

#endif
