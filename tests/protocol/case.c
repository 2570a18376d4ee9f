// SPDX-License-Identifier: BSD-3-Clause
#include "case.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* A case that is still running after this is a hang. */
#define CASE_SECONDS 120

static const struct test_case *running;
static int why_fd = -1; /* to the parent: one line that says what went wrong */

const void *case_data(void)
{
    return running->data;
}

void test_fail(const char *file, int line, const char *format, ...)
{
    char text[1000];
    const char *base = strrchr(file, '/');
    int n = snprintf(text, sizeof(text), "%s:%d: ", base ? base + 1 : file, line);
    va_list list;

    va_start(list, format);
    vsnprintf(text + n, sizeof(text) - (size_t)n, format, list);
    va_end(list);
    if (write(why_fd, text, strlen(text)) < 0)
        perror("test_fail");
    _exit(1);
}

/* The life of one case, in its own process. */
static void run_case(struct daemon *daemon, const struct test_case *test)
{
    running = test;
    if (!test->not_started)
        daemon_start(daemon, test->how, test->words);
    test->run(daemon);
    if (test->end == END_TERM) {
        daemon_terminate(daemon);
    } else if (test->end == END_LEAVE) {
        close_range((unsigned)why_fd + 1, ~0U, 0);
        daemon_expect_exit(daemon);
    }
    daemon_check_remains(daemon);
    _exit(0);
}

/* Reads what the case has to say until it, and whatever holds the pipe, is gone. */
static void read_why(int fd, char *text, size_t size)
{
    size_t used = 0;

    while (used + 1 < size) {
        ssize_t n = read(fd, text + used, size - 1 - used);
        if (n <= 0)
            break;
        used += (size_t)n;
    }
    text[used] = '\0';
}

static bool run_isolated(const struct test_case *test)
{
    struct daemon daemon;
    char why[1001];
    int pipe_fds[2], status;

    daemon_prepare(&daemon);
    if (pipe(pipe_fds) < 0) {
        perror("pipe");
        exit(1);
    }
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0) {
        perror("fork");
        exit(1);
    }
    if (pid == 0) {
        setpgid(0, 0);
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        alarm(CASE_SECONDS);
        /* The lowest number, so that everything the case opens lies above. */
        why_fd = dup2(pipe_fds[1], pipe_fds[0]);
        close(pipe_fds[1]);
        run_case(&daemon, test);
    }
    setpgid(pid, pid);
    close(pipe_fds[1]);
    /* The daemon must not keep the pipe: it is close-on-exec in daemon_start(). */
    read_why(pipe_fds[0], why, sizeof(why));
    close(pipe_fds[0]);
    waitpid(pid, &status, 0);
    kill(-pid, SIGKILL);

    bool passed = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (passed)
        printf("ok %s\n", test->name);
    else if (WIFSIGNALED(status))
        printf("not ok %s: %s %s\n", test->name,
               WTERMSIG(status) == SIGALRM ? "hangs:" : "the test itself died:",
               strsignal(WTERMSIG(status)));
    else
        printf("not ok %s: %s\n", test->name, why);
    if (!passed)
        daemon_print_log(&daemon);
    daemon_clean(&daemon);
    fflush(stdout);
    return passed;
}

static bool is_wanted(const char *name, int argc, char **argv)
{
    if (argc < 2)
        return true;
    for (int i = 1; i < argc; i++)
        if (strstr(name, argv[i]))
            return true;
    return false;
}

int case_main(int argc, char **argv, const struct test_case *cases, size_t count)
{
    struct rlimit files;
    size_t passed = 0, failed = 0;

    if (!getenv("VIOFSD")) {
        fprintf(stderr, "VIOFSD must name the daemon to test\n");
        return 1;
    }
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < count; i++) {
        if (!is_wanted(cases[i].name, argc, argv))
            continue;
        if (run_isolated(&cases[i]))
            passed++;
        else
            failed++;
    }
    printf("# %zu passed, %zu failed\n", passed, failed);
    return failed || !passed ? 1 : 0;
}
