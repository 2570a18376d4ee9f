// SPDX-License-Identifier: BSD-3-Clause
#include "launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "caps.h"
#include "harden.h"
#include "log.h"
#include "scope.h"

static void launcher_signals(sigset_t *ret_set)
{
    sigemptyset(ret_set);
    sigaddset(ret_set, SIGTERM);
    sigaddset(ret_set, SIGINT);
    sigaddset(ret_set, SIGHUP);
    sigaddset(ret_set, SIGCHLD);
}

/* Forwards signals until the server has ended. Returns its wait status. */
static int wait_for_server(pid_t server)
{
    sigset_t set;
    int status;

    launcher_signals(&set);
    for (;;) {
        int number = sigwaitinfo(&set, NULL);

        if (number == SIGCHLD) {
            /* Also sent when the server is stopped or continued. */
            if (waitpid(server, &status, WNOHANG) == server)
                return status;
        } else if (number > 0) {
            kill(server, number);
        }
    }
}

/* Ends as the server did, so that whoever started us sees it. */
static _Noreturn void end_like(int status)
{
    sigset_t set;
    int number;

    if (WIFEXITED(status))
        _exit(WEXITSTATUS(status));
    number = WTERMSIG(status);
    log_error("the server was ended by signal %d (%s)%s", number, strsignal(number),
              number == SIGSYS ? ": a system call that the filter does not allow; the audit log "
                                 "names it, --seccomp=log goes on"
                               : "");
    signal(number, SIG_DFL);
    sigemptyset(&set);
    sigaddset(&set, number);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    raise(number);
    _exit(128 + number);
}

/* What the launcher has made. */
struct family {
    pid_t first; /* of the pid namespace; 0: none */
    pid_t server;
    int lifeline[2]; /* written to by nobody: it hangs up when the launcher is gone */
};

static _Noreturn void run_launcher(const struct sandbox_launcher *launcher,
                                   const struct family *family)
{
    const int keep[KEEP_MAX] = {launcher->keep_fd, log_syslog_fd(), family->lifeline[1], -1};

    /* The socket, above all: a second front-end must be refused when the server closes its own. */
    harden_close_all_but(keep);
    /* The directory that we were started in may be unmounted; server_ended uses absolute paths. */
    if (chdir("/") < 0)
        log_debug("the launcher stays in its directory: %m");
    caps_drop_in_launcher();
    harden_no_new_privs();

    int status = wait_for_server(family->server);
    if (family->first) {
        kill(family->first, SIGKILL);
        waitpid(family->first, NULL, 0);
    }
    if (launcher->server_ended)
        launcher->server_ended(launcher->argument);
    end_like(status);
}

void launcher_tie(int lifeline)
{
    struct pollfd pollfd = {.fd = lifeline, .events = POLLIN};

    /* First ask, then look: if the launcher dies in between, one of the two tells. */
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (poll(&pollfd, 1, 0) > 0)
        _exit(EXIT_FAILURE);
}

/* The first process of the pid namespace: its end is the end of all in there. */
static _Noreturn void run_first(const struct family *family)
{
    sigset_t all;

    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    close(family->lifeline[1]);
    caps_drop_all();
    harden_no_new_privs();
    launcher_tie(family->lifeline[0]);
    close_range(0, UINT_MAX, 0);
    for (;;)
        pause();
}

static int fork_both(struct family *family, bool pid_namespace)
{
    int error;

    if (pid_namespace) {
        family->first = fork();
        if (family->first == 0)
            run_first(family);
    }
    if (family->first >= 0) {
        family->server = fork();
        if (family->server >= 0)
            return 0;
    }
    error = -errno;
    log_error("cannot fork the server: %m");
    if (family->first > 0) {
        kill(family->first, SIGKILL);
        waitpid(family->first, NULL, 0);
    }
    return error;
}

int launcher_fork(const struct sandbox_launcher *launcher, bool pid_namespace, int *ret_lifeline)
{
    struct family family = {0};
    sigset_t set;
    sigset_t saved;
    int error;

    if (pipe2(family.lifeline, O_CLOEXEC) < 0) {
        error = -errno;
        log_error("cannot make a pipe: %m");
        return error;
    }
    launcher_signals(&set);
    sigprocmask(SIG_BLOCK, &set, &saved);
    error = fork_both(&family, pid_namespace);
    if (!error && family.server > 0)
        run_launcher(launcher, &family);

    /* The server, or nobody. */
    sigprocmask(SIG_SETMASK, &saved, NULL);
    close(family.lifeline[1]);
    if (error) {
        close(family.lifeline[0]);
        return error;
    }
    launcher_tie(family.lifeline[0]);
    *ret_lifeline = family.lifeline[0];
    return 0;
}
