// SPDX-License-Identifier: BSD-3-Clause
#include "background.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "scope.h"

/* Copies what there is to stderr. Returns false at the end of file. */
static bool pass_on(int from)
{
    char text[4096];
    ssize_t length;

    while ((length = read(from, text, sizeof(text))) > 0) {
        for (ssize_t done = 0; done < length;) {
            ssize_t written = write(STDERR_FILENO, text + done, (size_t)(length - done));

            if (written < 0 && errno != EINTR)
                break; /* nobody wants to know */
            done += written > 0 ? written : 0;
        }
    }
    return length < 0;
}

static _Noreturn void wait_for_daemon(pid_t daemon, int ready, int messages)
{
    struct pollfd fds[] = {{.fd = messages, .events = POLLIN}, {.fd = ready, .events = POLLIN}};
    int status = 0;
    char byte;

    fcntl(messages, F_SETFL, O_NONBLOCK);
    for (;;) {
        if (poll(fds, ARRAY_SIZE(fds), -1) < 0)
            continue;
        if (fds[0].revents && !pass_on(messages))
            fds[0].fd = -1;
        if (!fds[1].revents)
            continue;
        if (read(ready, &byte, 1) != 1)
            break; /* it has ended without */
        pass_on(messages);
        _exit(EXIT_SUCCESS);
    }
    waitpid(daemon, &status, 0);
    pass_on(messages);
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILURE);
}

int background_enter(void)
{
    int ready[2];
    int messages[2];
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (null < 0 || pipe2(ready, O_CLOEXEC) < 0 || pipe2(messages, O_CLOEXEC) < 0)
        return -errno;
    pid_t daemon = fork();
    if (daemon < 0)
        return -errno;
    if (daemon > 0) {
        close(ready[1]);
        close(messages[1]);
        wait_for_daemon(daemon, ready[0], messages[0]);
    }
    setsid();
    dup2(null, STDIN_FILENO);
    dup2(null, STDOUT_FILENO);
    dup2(messages[1], STDERR_FILENO);
    close(null);
    close(ready[0]);
    close(messages[0]);
    close(messages[1]);
    return ready[1];
}

void background_ready(int fd)
{
    ssize_t written = write(fd, "+", 1);

    (void)written; /* a parent that is gone needs no word */
    close(fd);
}
