// SPDX-License-Identifier: BSD-3-Clause
/*
 * Why not syslog(3): it allocates, reads the time zone's file and reconnects to /dev/log on its
 * own, none of which works inside the sandbox. One datagram socket, connected while the process
 * still sees /dev/log, does.
 */
#include "log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "scope.h"

#define LINE_MAX_BYTES         1000 /* what the header promises */
#define PREFIX_MAX_BYTES       128

#define SYSLOG_FACILITY_DAEMON (3 << 3)

enum log_level log_threshold = LOG_LEVEL_INFO;

static const char *log_ident = "viofsd";
static bool stderr_is_journal;
static int syslog_fd = -1;
static long syslog_pid; /* the pid that the caller knows: the server's own is of its namespace */

/* What a level is called on stderr, and its syslog severity. */
static const struct {
    const char *word;
    int severity;
} levels[] = {
    [LOG_LEVEL_OFF] = {"", 7},           [LOG_LEVEL_ERROR] = {"error: ", 3},
    [LOG_LEVEL_WARN] = {"warning: ", 4}, [LOG_LEVEL_INFO] = {"", 6},
    [LOG_LEVEL_DEBUG] = {"debug: ", 7},  [LOG_LEVEL_TRACE] = {"trace: ", 7},
};

/* systemd tells the device and inode of the stream that it reads, in JOURNAL_STREAM. */
static bool find_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long long device;
    unsigned long long inode;
    struct stat st;

    if (!stream || sscanf(stream, "%llu:%llu", &device, &inode) != 2)
        return false;
    return !fstat(STDERR_FILENO, &st) && st.st_dev == device && st.st_ino == inode;
}

static int connect_syslog(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "/dev/log"};
    autoclose int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        return -errno;
    return steal_fd(&fd);
}

void log_init(const char *ident, enum log_level threshold, bool to_syslog)
{
    log_ident = ident;
    log_threshold = threshold;
    stderr_is_journal = find_journal();
    syslog_pid = (long)getpid();
    if (!to_syslog)
        return;
    tzset(); /* localtime_r() must not look for /etc/localtime later */
    syslog_fd = connect_syslog();
    if (syslog_fd < 0) {
        errno = -syslog_fd;
        syslog_fd = -1;
        log_warn("--syslog: /dev/log: %m; logging to stderr");
    }
}

int log_syslog_fd(void)
{
    return syslog_fd;
}

static int syslog_prefix(char *prefix, size_t size, enum log_level level)
{
    char stamp[32] = "";
    time_t now = time(NULL);
    struct tm tm;

    if (localtime_r(&now, &tm))
        strftime(stamp, sizeof(stamp), "%b %e %H:%M:%S ", &tm);
    return snprintf(prefix, size,
                    "<%d>%s%.40s[%ld]: ", SYSLOG_FACILITY_DAEMON | levels[level].severity, stamp,
                    log_ident, syslog_pid);
}

static int stderr_prefix(char *prefix, size_t size, enum log_level level)
{
    if (stderr_is_journal)
        return snprintf(prefix, size, "<%d>", levels[level].severity);
    return snprintf(prefix, size, "%.40s: %s", log_ident, levels[level].word);
}

/* A file name may hold anything: no byte of it may start a new line or drive a terminal. */
static void defuse(char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            text[i] = '?';
}

static bool send_syslog(enum log_level level, const char *text, size_t length)
{
    char line[PREFIX_MAX_BYTES + LINE_MAX_BYTES];
    int prefix = syslog_prefix(line, PREFIX_MAX_BYTES, level);

    memcpy(line + prefix, text, length);
    return send(syslog_fd, line, (size_t)prefix + length, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
}

/* One write() per line: pipes keep what is below PIPE_BUF in one piece. */
static void write_stderr(enum log_level level, const char *text, size_t length)
{
    char line[PREFIX_MAX_BYTES + LINE_MAX_BYTES + 1];
    size_t fill = (size_t)stderr_prefix(line, PREFIX_MAX_BYTES, level);

    memcpy(line + fill, text, length);
    fill += length;
    line[fill++] = '\n';
    while (write(STDERR_FILENO, line, fill) < 0 && errno == EINTR)
        ;
}

void log_line(enum log_level level, const char *format, ...)
{
    int saved = errno;
    char text[LINE_MAX_BYTES + 1];
    va_list arguments;

    va_start(arguments, format);
    int wanted = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (wanted >= 0) {
        size_t length = (size_t)wanted > LINE_MAX_BYTES ? LINE_MAX_BYTES : (size_t)wanted;

        defuse(text, length);
        /* A log daemon that went away cannot be found again from inside the sandbox. */
        if (syslog_fd < 0 || !send_syslog(level, text, length))
            write_stderr(level, text, length);
    }
    errno = saved;
}

bool log_limit_pass(struct log_limit *limit, unsigned *ret_skipped)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    long start = atomic_load(&limit->window_start);
    if (start == 0 || now.tv_sec - start >= LOG_BURST_SECONDS) {
        /* Whoever moves the window writes the first line of the new one; second 0 is "never". */
        long stamp = now.tv_sec ? now.tv_sec : 1;
        if (atomic_compare_exchange_strong(&limit->window_start, &start, stamp)) {
            unsigned seen = atomic_exchange(&limit->seen, 1);

            *ret_skipped = seen > LOG_BURST ? seen - LOG_BURST : 0;
            return true;
        }
    }
    /* No wrap-around: a peer that provokes 2^32 lines in five seconds is not of this world. */
    if (atomic_fetch_add(&limit->seen, 1) >= LOG_BURST)
        return false;
    *ret_skipped = 0;
    return true;
}
