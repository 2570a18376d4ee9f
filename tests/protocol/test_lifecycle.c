// SPDX-License-Identifier: BSD-3-Clause
/*
 * From the first connection to the last: how the daemon gets its socket, who is served, what a
 * second front-end finds, how it all ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest.h"

static void serves(struct daemon *daemon)
{
    struct guest guest;

    guest_start(&guest, daemon, NULL);
    guest_check_alive(&guest);
}

/* While one is served the socket is gone: the second is refused by the kernel. */
static void second_is_refused(struct daemon *daemon)
{
    struct guest guest;
    struct vuf_conn conn;

    guest_start(&guest, daemon, NULL);
    int r = vuf_conn_connect(&conn, daemon->socket, 1000);
    if (r != -ECONNREFUSED && r != -ENOENT)
        FAIL("the second front-end gets: %s", r ? strerrorname_np(-r) : "a connection");
    guest_check_alive(&guest);
}

/* With --persistent it waits for its turn. */
static void second_waits(struct daemon *daemon)
{
    struct guest guest;
    struct vuf_conn conn;
    uint64_t features;

    guest_start(&guest, daemon, NULL);
    guest_connect(&conn, daemon);
    conn.timeout_ms = 200;
    CHECK_EQ(vuf_get_features(&conn, &features), -ETIMEDOUT);
    guest_check_alive(&guest);
    vuf_dev_close(&guest.dev);
    conn.timeout_ms = DAEMON_PATIENCE_MS;
    struct vuf_msg reply;
    OK(vuf_conn_recv(&conn, &reply));
    CHECK_EQ(reply.hdr.request, VUF_GET_FEATURES);
}

/* One after the other, each with ids of the one before; nothing adds up. */
static void clean_session(struct daemon *daemon)
{
    uint64_t old_node = 0, old_fh = 0, old_dir_fh = 0;
    unsigned fds = 0, threads = 0;

    for (int i = 0; i < 20; i++) {
        struct guest guest;
        struct vuf_attr_out attr;
        char data[4096];

        guest_start(&guest, daemon, NULL);
        if (i == 0) {
            fds = daemon_fd_count(daemon);
            threads = daemon_thread_count(daemon);
        } else {
            struct vuf_read_in read_in = {.fh = old_fh, .size = 100};
            struct vuf_read_in dir_in = {.fh = old_dir_fh, .size = 4096};
            struct vuf_getattr_in getattr = {.flags = VUF_GETATTR_FH, .fh = old_fh};

            daemon_expect_fds(daemon, fds);
            daemon_expect_threads(daemon, threads);
            CHECK(guest_call(&guest, VUF_OP_GETATTR, old_node, (char[16]){0}, 16, NULL, &attr,
                             sizeof(attr), NULL) < 0);
            CHECK(guest_call(&guest, VUF_OP_GETATTR, ROOT_ID, &getattr, sizeof(getattr), NULL,
                             &attr, sizeof(attr), NULL) < 0);
            CHECK(guest_call(&guest, VUF_OP_READ, old_node, &read_in, sizeof(read_in), NULL, data,
                             100, NULL) < 0);
            CHECK(guest_call(&guest, VUF_OP_READDIR, ROOT_ID, &dir_in, sizeof(dir_in), NULL, data,
                             4096, NULL) < 0);
        }
        old_node = guest_lookup(&guest, ROOT_ID, "dir");
        old_node = guest_lookup(&guest, ROOT_ID, "hello");
        old_fh = guest_open(&guest, old_node, 0);
        old_dir_fh = guest_opendir(&guest, ROOT_ID);
        guest_check_alive(&guest);
        vuf_fuse_close(&guest.fuse);
        vuf_dev_close(&guest.dev);
    }
}

/* Connects and leaves at once, a hundred times. */
static void come_and_go(struct daemon *daemon)
{
    struct vuf_conn conn;
    unsigned fds = 0;

    for (int i = 0; i < 100; i++) {
        guest_connect(&conn, daemon);
        if (i == 0) {
            guest_check_control(&conn);
            fds = daemon_fd_count(daemon);
        }
        vuf_conn_close(&conn);
    }
    guest_connect(&conn, daemon);
    guest_check_control(&conn);
    daemon_expect_fds(daemon, fds);
}

static void term_at(struct daemon *daemon, int signal_number)
{
    struct guest guest;
    int status;
    long long start;

    guest_start(&guest, daemon, NULL);
    guest_check_alive(&guest);
    start = now_ms();
    kill(daemon->pid, signal_number);
    CHECK_EQ(waitpid(daemon->pid, &status, 0), daemon->pid);
    daemon->ended = true;
    CHECK(now_ms() - start <= DAEMON_TERM_MS);
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 0);
    guest_expect_close(&guest.dev.conn);
}

static void by_sigterm(struct daemon *daemon)
{
    term_at(daemon, SIGTERM);
}

static void by_sigint(struct daemon *daemon)
{
    term_at(daemon, SIGINT);
}

static void by_sighup(struct daemon *daemon)
{
    term_at(daemon, SIGHUP);
}

/* To the serving process itself, as somebody might who does not know of the launcher. */
static void to_the_server(struct daemon *daemon)
{
    struct guest guest;

    guest_start(&guest, daemon, NULL);
    daemon_fd_count(daemon);
    kill(daemon->server, SIGTERM);
    daemon_expect_exit(daemon);
}

/* Ten signals are as good as one. */
static void signals_in_a_row(struct daemon *daemon)
{
    struct guest guest;

    guest_start(&guest, daemon, NULL);
    for (int i = 0; i < 10; i++)
        kill(daemon->pid, i % 2 ? SIGTERM : SIGINT);
    daemon_expect_exit(daemon);
}

/* What the launcher is killed with takes the server along. */
static void launcher_killed(struct daemon *daemon)
{
    struct guest guest;
    int status;

    guest_start(&guest, daemon, NULL);
    daemon_fd_count(daemon);
    kill(daemon->pid, SIGKILL);
    CHECK_EQ(waitpid(daemon->pid, &status, 0), daemon->pid);
    daemon->ended = true;
    unlink(daemon->socket); /* nobody could */
    guest_expect_close(&guest.dev.conn);
}

/* A server that dies is not a success. */
static void server_killed(struct daemon *daemon)
{
    struct guest guest;
    int status;

    guest_start(&guest, daemon, NULL);
    daemon_fd_count(daemon);
    kill(daemon->server, SIGKILL);
    CHECK_EQ(waitpid(daemon->pid, &status, 0), daemon->pid);
    daemon->ended = true;
    CHECK(!WIFEXITED(status) || WEXITSTATUS(status) != 0);
}

/* After an end by any way there is nothing in the way of the next start. */
static void starts_again(struct daemon *daemon)
{
    for (int i = 0; i < 5; i++) {
        struct guest guest;

        daemon_start(daemon, DAEMON_SOCKET_PATH, NULL);
        guest_start(&guest, daemon, NULL);
        guest_check_alive(&guest);
        if (i % 2) {
            daemon_terminate(daemon);
        } else {
            vuf_dev_close(&guest.dev);
            daemon_expect_exit(daemon);
        }
        daemon_check_remains(daemon);
    }
}

/* A socket file that nobody listens on is replaced; one that is in use is not. */
static void stale_socket(struct daemon *daemon)
{
    struct guest guest;
    char words[2 * PATH_MAX];
    int status;

    FILE *file = fopen(daemon->socket, "w");
    CHECK(file && fclose(file) == 0);
    snprintf(words, sizeof(words), "--shared-dir=%s --socket-path=%s", daemon->share,
             daemon->socket);
    status = daemon_run(daemon, words); /* not a socket: not ours to remove */
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 1);
    CHECK(unlink(daemon->socket) == 0);
    daemon_start(daemon, DAEMON_SOCKET_PATH, NULL);
    status = daemon_run(daemon, words);
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 1);
    guest_start(&guest, daemon, NULL);
    guest_check_alive(&guest);
    daemon_terminate(daemon);
}

/* The socket is for its owner only. */
static void socket_mode(struct daemon *daemon)
{
    struct stat st;

    CHECK(stat(daemon->socket, &st) == 0);
    CHECK_EQ(st.st_mode & 0777, 0600);
    serves(daemon);
}

/* Nothing of the caller's survives: descriptors, environment, working directory. */
static void only_its_own_descriptors(struct daemon *daemon)
{
    struct guest guest;

    guest_start(&guest, daemon, NULL);
    unsigned count = daemon_fd_count(daemon);
    if (count > 40)
        FAIL("%u descriptors in a daemon that has just started", count);
    CHECK_EQ(daemon_log_has(daemon, "error"), false);
}

static const struct test_case cases[] = {
    {.name = "by-path", .run = serves},
    {.name = "by-fd", .run = serves, .how = DAEMON_SOCKET_FD},
    {.name = "by-unit", .run = serves, .how = DAEMON_SOCKET_UNIT},
    {.name = "by-fd-term", .run = serves, .how = DAEMON_SOCKET_FD, .end = END_TERM},
    {.name = "chroot", .run = serves, .words = "--sandbox=chroot"},
    {.name = "chroot-term", .run = serves, .words = "--sandbox=chroot", .end = END_TERM},
    {.name = "no-sandbox", .run = serves, .words = "--sandbox=none"},
    {.name = "trap", .run = serves, .words = "--seccomp=trap"},
    {.name = "pool", .run = serves, .words = "--thread-pool-size=8"},
    {.name = "pool-term", .run = serves, .words = "--thread-pool-size=64", .end = END_TERM},
    {.name = "second-is-refused", .run = second_is_refused},
    {.name = "second-waits", .run = second_waits, .words = "--persistent", .end = END_TERM},
    {.name = "clean-session", .run = clean_session, .words = "--persistent", .end = END_TERM},
    {.name = "clean-session-by-descriptors",
     .run = clean_session,
     .words = "--persistent --inode-file-handles=never",
     .end = END_TERM},
    {.name = "clean-session-pool",
     .run = clean_session,
     .words = "--persistent --thread-pool-size=4",
     .end = END_TERM},
    {.name = "come-and-go", .run = come_and_go, .words = "--persistent", .end = END_TERM},
    {.name = "sigterm", .run = by_sigterm, .end = END_SELF},
    {.name = "sigint", .run = by_sigint, .end = END_SELF},
    {.name = "sighup", .run = by_sighup, .end = END_SELF},
    {.name = "sigterm-persistent", .run = by_sigterm, .words = "--persistent", .end = END_SELF},
    {.name = "to-the-server", .run = to_the_server, .end = END_SELF},
    {.name = "signals-in-a-row", .run = signals_in_a_row, .end = END_SELF},
    {.name = "launcher-killed", .run = launcher_killed, .end = END_SELF},
    {.name = "server-killed", .run = server_killed, .end = END_SELF},
    {.name = "starts-again", .run = starts_again, .end = END_SELF, .not_started = true},
    {.name = "stale-socket", .run = stale_socket, .end = END_SELF, .not_started = true},
    {.name = "socket-mode", .run = socket_mode},
    {.name = "only-its-own-descriptors", .run = only_its_own_descriptors},
};

int main(int argc, char **argv)
{
    return case_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
