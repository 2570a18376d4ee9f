// SPDX-License-Identifier: BSD-3-Clause
#include "background.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "say.h"

int background_enter(void)
{
    int ends[2];
    pid_t pid;

    if (pipe2(ends, O_CLOEXEC) < 0)
        return -1;
    pid = fork();
    if (pid < 0)
        return -1;
    if (pid > 0) {
        char byte;
        int status;

        close(ends[1]);
        if (read(ends[0], &byte, 1) == 1)
            _exit(EXIT_SUCCESS);
        /* End of file without a byte: the child has failed, and has said why. */
        if (waitpid(pid, &status, 0) == pid && WIFEXITED(status))
            _exit(WEXITSTATUS(status));
        _exit(EXIT_FAILURE);
    }
    close(ends[0]);
    setsid();
    return ends[1];
}

void background_ready(int fd)
{
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    ssize_t n;

    if (chdir("/") < 0)
        say("cannot change to the root directory");
    say_to_syslog();
    if (null_fd >= 0) {
        dup2(null_fd, 0);
        dup2(null_fd, 1);
        dup2(null_fd, 2);
        if (null_fd > 2)
            close(null_fd);
    }
    n = write(fd, "+", 1);
    (void)n; /* a parent that is gone needs no word */
    close(fd);
}
