// SPDX-License-Identifier: BSD-3-Clause
/* Lines on stderr, in the journal's form, and to syslog. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "log.h"
#include "scope.h"
#include "test.h"

static char captured[16384];
static int pipe_out = -1;
static int real_stderr = -1;

static void capture_begin(void)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
        abort();
    real_stderr = dup(STDERR_FILENO);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    pipe_out = ends[0];
}

static void capture_end(void)
{
    dup2(real_stderr, STDERR_FILENO);
    close(real_stderr);
    ssize_t got = read(pipe_out, captured, sizeof(captured) - 1);
    captured[got > 0 ? got : 0] = '\0';
    close(pipe_out);
}

static void lines_have_name_and_level(void)
{
    log_init("viofsd", LOG_LEVEL_INFO, false);
    capture_begin();
    log_error("broken %d", 7);
    log_warn("odd");
    log_info("Waiting");
    log_debug("not shown");
    capture_end();
    CHECK(!strcmp(captured, "viofsd: error: broken 7\nviofsd: warning: odd\nviofsd: Waiting\n"));
}

static void errno_is_kept_and_shown(void)
{
    capture_begin();
    errno = ENOSPC;
    log_error("%m");
    int after = errno;
    capture_end();
    CHECK_EQ(after, ENOSPC);
    CHECK(strstr(captured, "No space left on device"));
    capture_begin();
    errno = ENOSPC;
    close(STDERR_FILENO);
    log_error("nobody reads this");
    after = errno;
    capture_end();
    CHECK_EQ(after, ENOSPC);
}

/* A guest picks file names: none may forge a line, drive a terminal or fill a disk. */
static void text_is_defused_and_cut(void)
{
    static char longest[5000];

    capture_begin();
    log_error("name '%s'", "a\nviofsd: error: forged\x1b[31m");
    capture_end();
    CHECK(!strcmp(captured, "viofsd: error: name 'a?viofsd: error: forged?[31m'\n"));

    memset(longest, 'x', sizeof(longest) - 1);
    capture_begin();
    log_error("%s", longest);
    capture_end();
    CHECK_EQ(strlen(captured), strlen("viofsd: error: ") + 1000 + 1);
    CHECK_EQ(captured[strlen(captured) - 1], '\n');
}

static void the_journal_gets_priorities(void)
{
    struct stat st;
    char stream[64];

    capture_begin();
    fstat(STDERR_FILENO, &st);
    snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
    setenv("JOURNAL_STREAM", stream, 1);
    log_init("viofsd", LOG_LEVEL_TRACE, false);
    log_error("e");
    log_info("i");
    log_trace("t");
    capture_end();
    unsetenv("JOURNAL_STREAM");
    log_init("viofsd", LOG_LEVEL_INFO, false);
    CHECK(!strcmp(captured, "<3>e\n<6>i\n<7>t\n"));
}

static void a_flood_is_limited(void)
{
    unsigned lines = 0;

    capture_begin();
    for (unsigned i = 0; i < 1000; i++)
        log_limited(LOG_LEVEL_ERROR, "flood %u", i);
    capture_end();
    for (const char *at = captured; (at = strstr(at, "flood")); at++)
        lines++;
    CHECK_EQ(lines, LOG_BURST);
}

static void a_new_window_tells_what_was_left_out(void)
{
    struct log_limit limit = {0};
    unsigned skipped = 99;

    for (unsigned i = 0; i < LOG_BURST; i++) {
        CHECK(log_limit_pass(&limit, &skipped));
        CHECK_EQ(skipped, 0);
    }
    for (unsigned i = 0; i < 25; i++)
        CHECK(!log_limit_pass(&limit, &skipped));
    limit.window_start -= LOG_BURST_SECONDS;
    CHECK(log_limit_pass(&limit, &skipped));
    CHECK_EQ(skipped, 25);
    CHECK(log_limit_pass(&limit, &skipped));
    CHECK_EQ(skipped, 0);
}

static void without_a_syslog_stderr_is_used(void)
{
    capture_begin();
    log_init("viofsd", LOG_LEVEL_INFO, true);
    log_info("still heard");
    capture_end();
    CHECK_EQ(log_syslog_fd(), -1);
    CHECK(strstr(captured, "viofsd: warning: --syslog: /dev/log:"));
    CHECK(strstr(captured, "viofsd: still heard\n"));
}

static int make_dev_log(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "/dev/log"};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    return bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? -1 : fd;
}

static void syslog_gets_datagrams(void)
{
    autoclose int fd = make_dev_log();
    char wanted[64];

    CHECK(fd >= 0);
    log_init("viofsd", LOG_LEVEL_INFO, true);
    CHECK(log_syslog_fd() >= 0);
    log_error("to syslog");
    ssize_t got = recv(fd, captured, sizeof(captured) - 1, MSG_DONTWAIT);
    CHECK(got > 0);
    captured[got] = '\0';
    snprintf(wanted, sizeof(wanted), " viofsd[%ld]: to syslog", (long)getpid());
    CHECK(!strncmp(captured, "<27>", 4));
    CHECK(!strcmp(captured + strlen(captured) - strlen(wanted), wanted));

    /* The log daemon goes away: the line is not lost. */
    close(steal_fd(&fd));
    capture_begin();
    log_error("after");
    capture_end();
    CHECK(!strcmp(captured, "viofsd: error: after\n"));
}

int main(void)
{
    RUN(lines_have_name_and_level);
    RUN(errno_is_kept_and_shown);
    RUN(text_is_defused_and_cut);
    RUN(the_journal_gets_priorities);
    RUN(a_flood_is_limited);
    RUN(a_new_window_tells_what_was_left_out);
    /* The last cases need a /dev of their own. */
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("none", "/dev", "tmpfs", 0, NULL) < 0) {
        puts("syslog: only root can make a /dev/log of its own");
        return test_result() ? test_result() : 77;
    }
    RUN(without_a_syslog_stderr_is_used);
    RUN(syslog_gets_datagrams);
    return test_result();
}
