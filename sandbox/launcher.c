// SPDX-License-Identifier: BSD-3-Clause
#include "launcher.h"

#include <errno.h>
#include <fcntl.h>
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

static _Noreturn void run_launcher(const struct sandbox_launcher *launcher, pid_t server,
                                   int lifeline)
{
    const int keep[KEEP_MAX] = {launcher->keep_fd, log_syslog_fd(), lifeline, -1};

    /* The socket, above all: a second front-end must be refused when the server closes its own. */
    harden_close_all_but(keep);
    /* The directory that we were started in may be unmounted; server_ended uses absolute paths. */
    if (chdir("/") < 0)
        log_debug("the launcher stays in its directory: %m");
    caps_drop_in_launcher();
    harden_no_new_privs();

    int status = wait_for_server(server);
    if (launcher->server_ended)
        launcher->server_ended(launcher->argument);
    end_like(status);
}

void launcher_tie_server(int lifeline)
{
    struct pollfd pollfd = {.fd = lifeline, .events = POLLIN};

    /* First ask, then look: if the launcher dies in between, one of the two tells. */
    prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    if (poll(&pollfd, 1, 0) > 0)
        _exit(EXIT_FAILURE);
}

int launcher_fork(const struct sandbox_launcher *launcher, int *ret_lifeline)
{
    sigset_t set;
    sigset_t saved;
    int ends[2];

    /* Written to by nobody: it hangs up when the launcher is gone. */
    if (pipe2(ends, O_CLOEXEC) < 0) {
        int error = -errno;
        log_error("cannot make a pipe: %m");
        return error;
    }
    launcher_signals(&set);
    sigprocmask(SIG_BLOCK, &set, &saved);

    pid_t server = fork();
    if (server < 0) {
        int error = -errno;
        log_error("cannot fork the server: %m");
        close(ends[0]);
        close(ends[1]);
        sigprocmask(SIG_SETMASK, &saved, NULL);
        return error;
    }
    if (server > 0) {
        close(ends[0]);
        run_launcher(launcher, server, ends[1]);
    }
    close(ends[1]);
    sigprocmask(SIG_SETMASK, &saved, NULL);
    launcher_tie_server(ends[0]);
    *ret_lifeline = ends[0];
    return 0;
}
