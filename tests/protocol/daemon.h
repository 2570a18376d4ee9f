// SPDX-License-Identifier: BSD-3-Clause
/*
 * A daemon under test: started for one case, watched from outside, and held to its promises when it
 * ends.
 *
 * Owner: the process of the case (case.h), which has exactly one. Single-threaded. Every function
 * here fails the case (test_fail) instead of returning an error, unless it says otherwise.
 *
 * $VIOFSD names the program. It runs with its own defaults, sandbox and filter at full strength;
 * only what the case asks for is added.
 */
#ifndef PROTOCOL_DAEMON_H
#define PROTOCOL_DAEMON_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Nothing that a daemon does takes longer, also under a sanitizer on a busy machine. */
#define DAEMON_PATIENCE_MS 10000

/* SIGTERM promises an end within a second; the rest is for process start-up noise. */
#define DAEMON_TERM_MS     1100

/* How the daemon gets its socket. */
enum daemon_socket {
    DAEMON_SOCKET_PATH, /* --socket-path */
    DAEMON_SOCKET_FD,   /* --fd, a listening socket */
    DAEMON_SOCKET_UNIT, /* LISTEN_FDS */
};

struct daemon {
    pid_t pid;    /* what the management layer sees: it reports the exit status */
    pid_t server; /* the process that talks to us; the same as pid when there is no launcher */
    bool ended;
    enum daemon_socket how;
    char dir[PATH_MAX / 4]; /* scratch folder of the case, holds all of the following */
    char share[PATH_MAX / 2];
    char socket[PATH_MAX / 2];
    char log[PATH_MAX / 2]; /* the daemon's stderr */
};

/*
 * Makes the scratch folder with a share in it:
 *
 *     secret             not shared
 *     share/hello        "hello, world\n"
 *     share/dir/file     "in a directory\n"
 *     share/link         -> hello
 *     share/outside      -> ../secret
 *     share/fifo         FIFO
 */
void daemon_prepare(struct daemon *ret_daemon);

/*
 * Starts the daemon with these further words (separated by single spaces; NULL: none) and waits
 * until it listens.
 */
void daemon_start(struct daemon *daemon, enum daemon_socket how, const char *words);

/* Runs the program with these words, not served: returns its wait status, the output in the log. */
int daemon_run(struct daemon *daemon, const char *words);

/* Ends the daemon by SIGTERM: exit status 0, within DAEMON_TERM_MS. */
void daemon_terminate(struct daemon *daemon);

/* The front-end has left: exit status 0. */
void daemon_expect_exit(struct daemon *daemon);

/* Nothing is left of it: no process, no socket, no word of a sanitizer in the log. */
void daemon_check_remains(struct daemon *daemon);

/* True while it has not ended. */
bool daemon_is_alive(const struct daemon *daemon);

/* Descriptors and threads of the serving process. */
unsigned daemon_fd_count(const struct daemon *daemon);
unsigned daemon_thread_count(const struct daemon *daemon);

/*
 * No more threads than there were, but for a few: one that a busy machine keeps waiting looks
 * stuck, and gets another one beside it.
 */
void daemon_expect_threads(const struct daemon *daemon, unsigned before);

/* Waits for the serving process to have so many descriptors, or fewer: it closes what is idle. */
void daemon_expect_fds(const struct daemon *daemon, unsigned count);

/* True when the log contains the text. */
bool daemon_log_has(const struct daemon *daemon, const char *text);

/* Prints the log, each line behind "# ". */
void daemon_print_log(const struct daemon *daemon);

/* Removes the scratch folder. */
void daemon_clean(struct daemon *daemon);

/* CLOCK_MONOTONIC in milliseconds. */
long long now_ms(void);
void sleep_ms(int milliseconds);

#endif
