// SPDX-License-Identifier: BSD-3-Clause
#include "daemon.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "case.h"

#define STAND_INS       4
#define WORDS_MAX       32
#define LISTEN_FD_FIRST 3 /* sd_listen_fds(3) */

long long now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (long long)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

void sleep_ms(int milliseconds)
{
    struct timespec ts = {milliseconds / 1000, milliseconds % 1000 * 1000000L};

    nanosleep(&ts, NULL);
}

/* Before any case: failures end the whole program. */
static void need(bool fine, const char *what)
{
    if (!fine) {
        perror(what);
        exit(1);
    }
}

static void write_file(const char *dir, const char *name, const char *text)
{
    char path[2 * PATH_MAX];

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *file = fopen(path, "we");
    need(file && fputs(text, file) >= 0 && fclose(file) == 0, path);
}

void daemon_prepare(struct daemon *ret_daemon)
{
    struct daemon daemon = {.pid = -1, .server = -1};
    const char *tmp = getenv("TMPDIR");
    char path[PATH_MAX];

    snprintf(daemon.dir, sizeof(daemon.dir), "%s/viofsd-proto-XXXXXX", tmp ? tmp : "/tmp");
    need(mkdtemp(daemon.dir) != NULL, daemon.dir);
    chmod(daemon.dir, 0755);
    snprintf(daemon.share, sizeof(daemon.share), "%s/share", daemon.dir);
    snprintf(daemon.socket, sizeof(daemon.socket), "%s/socket", daemon.dir);
    snprintf(daemon.log, sizeof(daemon.log), "%s/log", daemon.dir);
    need(mkdir(daemon.share, 0755) == 0, daemon.share);
    snprintf(path, sizeof(path), "%s/dir", daemon.share);
    need(mkdir(path, 0755) == 0, path);
    write_file(daemon.dir, "secret", "not for the guest\n");
    write_file(daemon.dir, "log", "");
    write_file(daemon.share, "hello", "hello, world\n");
    write_file(path, "file", "in a directory\n");
    snprintf(path, sizeof(path), "%s/link", daemon.share);
    need(symlink("hello", path) == 0, path);
    snprintf(path, sizeof(path), "%s/outside", daemon.share);
    need(symlink("../secret", path) == 0, path);
    snprintf(path, sizeof(path), "%s/fifo", daemon.share);
    need(mkfifo(path, 0600) == 0, path);
    *ret_daemon = daemon;
}

static int listen_on(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    if (strlen(path) >= sizeof(address.sun_path))
        FAIL("%s is too long for a socket", path);
    memcpy(address.sun_path, path, strlen(path) + 1);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(fd, 5) < 0)
        FAIL("listening on %s: %m", path);
    return fd;
}

/* In the child: everything up to exec. WORDS is cut into pieces in place. */
static void exec_daemon(const struct daemon *daemon, enum daemon_socket how, char *words,
                        int listen_fd, bool serve)
{
    char shared[PATH_MAX], socket_option[PATH_MAX];
    const char *argv[WORDS_MAX] = {getenv("VIOFSD")};
    unsigned n = 1;
    char *rest = words;

    int log = open(daemon->log, O_WRONLY | O_APPEND);
    dup2(log, 1);
    dup2(log, 2);
    if (listen_fd >= 0)
        dup2(listen_fd, LISTEN_FD_FIRST);
    close_range(LISTEN_FD_FIRST + (listen_fd >= 0), ~0U, 0);
    if (serve) {
        snprintf(shared, sizeof(shared), "--shared-dir=%s", daemon->share);
        argv[n++] = shared;
        snprintf(socket_option, sizeof(socket_option), "--socket-path=%s", daemon->socket);
        if (how == DAEMON_SOCKET_PATH)
            argv[n++] = socket_option;
        if (how == DAEMON_SOCKET_FD)
            argv[n++] = "--fd=3";
    }
    if (how == DAEMON_SOCKET_UNIT) {
        char pid[20];
        snprintf(pid, sizeof(pid), "%d", getpid());
        setenv("LISTEN_PID", pid, 1);
        setenv("LISTEN_FDS", "1", 1);
    }
    for (char *word; n + 1 < WORDS_MAX && (word = strsep(&rest, " "));)
        if (*word)
            argv[n++] = word;
    /*
     * Leak detection stops the process by ptrace, which neither the filter nor the pid namespace
     * allows; leaks are for the unit tests and fuzzers, and descriptors are counted here.
     */
    setenv("ASAN_OPTIONS", "detect_leaks=0:abort_on_error=0:exitcode=99:allow_user_segv_handler=1",
           1);
    setenv("UBSAN_OPTIONS", "print_stacktrace=1:halt_on_error=1:exitcode=99", 1);
    signal(SIGPIPE, SIG_DFL);
    execv(argv[0], (char *const *)argv);
    fprintf(stderr, "%s: %m\n", argv[0]);
    _exit(127);
}

static unsigned count_entries(pid_t pid, const char *what)
{
    char path[64];
    unsigned count = 0;

    snprintf(path, sizeof(path), "/proc/%d/%s", pid, what);
    DIR *dir = opendir(path);
    if (!dir)
        FAIL("%s: %m", path);
    for (const struct dirent *entry; (entry = readdir(dir));)
        count += entry->d_name[0] != '.';
    closedir(dir);
    return count;
}

/*
 * The process that serves: the launcher's child that holds descriptors (the first process of a pid
 * namespace has none), or the launcher itself when it has no child.
 */
static pid_t server_of(pid_t pid)
{
    char path[64];
    pid_t server = pid;
    int child;

    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, pid);
    FILE *file = fopen(path, "re");
    while (file && fscanf(file, "%d", &child) == 1)
        if (count_entries(child, "fd"))
            server = child;
    if (file)
        fclose(file);
    return server;
}

/* A listening socket shows in /proc/net/unix with the flag __SO_ACCEPTCON; no connection needed. */
static bool has_listener(const char *path)
{
    char line[PATH_MAX + 200];
    bool found = false;
    FILE *file = fopen("/proc/net/unix", "re");

    while (file && !found && fgets(line, sizeof(line), file)) {
        unsigned long flags;
        line[strcspn(line, "\n")] = '\0';
        size_t length = strlen(line), wanted = strlen(path);
        found = length > wanted && strcmp(line + length - wanted, path) == 0 &&
                sscanf(line, "%*s %*s %*s %lx", &flags) == 1 && (flags & 0x10000);
    }
    if (file)
        fclose(file);
    return found;
}

/* The daemon listens under another name, and then moves the socket to its place. */
static bool is_listening(const char *path)
{
    char fresh[PATH_MAX];

    snprintf(fresh, sizeof(fresh), "%s.new", path);
    return has_listener(path) || (has_listener(fresh) && access(fresh, F_OK) < 0);
}

static pid_t spawn(struct daemon *daemon, enum daemon_socket how, const char *words, bool serve)
{
    char *copy = strdup(words ? words : "");
    int listen_fd = how == DAEMON_SOCKET_PATH ? -1 : listen_on(daemon->socket);
    pid_t pid = fork();

    if (pid < 0)
        FAIL("fork: %m");
    if (pid == 0)
        exec_daemon(daemon, how, copy, listen_fd, serve);
    free(copy);
    if (listen_fd >= 0)
        close(listen_fd);
    return pid;
}

void daemon_start(struct daemon *daemon, enum daemon_socket how, const char *words)
{
    long long deadline = now_ms() + DAEMON_PATIENCE_MS;

    daemon->ended = false;
    daemon->how = how;
    daemon->pid = spawn(daemon, how, words, true);
    while (!is_listening(daemon->socket)) {
        if (!daemon_is_alive(daemon))
            FAIL("the daemon ended before it listened");
        if (now_ms() > deadline)
            FAIL("the daemon does not listen");
        sleep_ms(2);
    }
}

int daemon_run(struct daemon *daemon, const char *words)
{
    int status;
    pid_t pid = spawn(daemon, DAEMON_SOCKET_PATH, words, false);

    for (long long deadline = now_ms() + DAEMON_PATIENCE_MS; now_ms() < deadline; sleep_ms(2))
        if (waitpid(pid, &status, WNOHANG) == pid)
            return status;
    FAIL("'%s' does not end", words);
}

bool daemon_is_alive(const struct daemon *daemon)
{
    siginfo_t info = {0};

    return !daemon->ended &&
           waitid(P_PID, (id_t)daemon->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid == 0;
}

static void expect_exit_within(struct daemon *daemon, int milliseconds)
{
    long long start = now_ms();
    int status;

    if (daemon->ended)
        return;
    while (waitpid(daemon->pid, &status, WNOHANG) == 0) {
        if (now_ms() - start > milliseconds)
            FAIL("the daemon has not ended after %d ms", milliseconds);
        sleep_ms(2);
    }
    daemon->ended = true;
    if (WIFSIGNALED(status))
        FAIL("the daemon was killed by signal %d (%s)", WTERMSIG(status),
             strsignal(WTERMSIG(status)));
    if (WEXITSTATUS(status) != 0)
        FAIL("the daemon ended with status %d", WEXITSTATUS(status));
}

void daemon_terminate(struct daemon *daemon)
{
    if (!daemon_is_alive(daemon))
        FAIL("the daemon ended before SIGTERM");
    daemon_fd_count(daemon); /* finds the server, whose end is checked later */
    kill(daemon->pid, SIGTERM);
    expect_exit_within(daemon, DAEMON_TERM_MS);
}

void daemon_expect_exit(struct daemon *daemon)
{
    expect_exit_within(daemon, DAEMON_PATIENCE_MS);
}

/* Dead and not yet taken note of counts as gone: that is up to whoever inherited it. */
static bool is_gone(pid_t pid)
{
    char path[64], state = 'Z';

    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return true;
    if (fscanf(file, "%*d (%*[^)]) %c", &state) != 1)
        state = 'Z';
    fclose(file);
    return state == 'Z' || state == 'X';
}

void daemon_check_remains(struct daemon *daemon)
{
    static const char *const reports[] = {
        "AddressSanitizer", "LeakSanitizer", "ThreadSanitizer", "MemorySanitizer", "runtime error:",
    };

    for (size_t i = 0; i < sizeof(reports) / sizeof(reports[0]); i++)
        if (daemon_log_has(daemon, reports[i]))
            FAIL("the log has a report of a sanitizer");
    if (daemon->pid < 0)
        return;
    long long deadline = now_ms() + 1000;
    while (daemon->server > 0 && !is_gone(daemon->server)) {
        if (now_ms() > deadline)
            FAIL("the serving process is still there after the launcher");
        sleep_ms(2);
    }
    if (is_listening(daemon->socket))
        FAIL("somebody still listens on the socket");
    if (daemon->how == DAEMON_SOCKET_PATH && access(daemon->socket, F_OK) == 0)
        FAIL("the socket is still there");
}

static unsigned count_of_server(const struct daemon *daemon, const char *what)
{
    /* Found late: the launcher forks only after it listens. */
    struct daemon *me = (struct daemon *)daemon;

    me->server = server_of(daemon->pid);
    unsigned count = count_entries(daemon->server, what);
    CHECK(count > 0);
    return count;
}

unsigned daemon_fd_count(const struct daemon *daemon)
{
    return count_of_server(daemon, "fd");
}

unsigned daemon_thread_count(const struct daemon *daemon)
{
    return count_of_server(daemon, "task");
}

void daemon_expect_threads(const struct daemon *daemon, unsigned before)
{
    unsigned now = daemon_thread_count(daemon);

    if (now > before + STAND_INS)
        FAIL("the daemon has %u threads, and had %u", now, before);
}

void daemon_expect_fds(const struct daemon *daemon, unsigned count)
{
    unsigned last = 0;

    for (long long deadline = now_ms() + 3000; now_ms() < deadline; sleep_ms(2)) {
        last = daemon_fd_count(daemon);
        if (last <= count)
            return;
    }
    FAIL("the daemon has %u descriptors, more than %u", last, count);
}

bool daemon_log_has(const struct daemon *daemon, const char *text)
{
    char line[4096];
    bool found = false;
    FILE *file = fopen(daemon->log, "re");

    while (file && !found && fgets(line, sizeof(line), file))
        found = strstr(line, text) != NULL;
    if (file)
        fclose(file);
    return found;
}

void daemon_print_log(const struct daemon *daemon)
{
    char line[4096];
    FILE *file = fopen(daemon->log, "re");

    for (int n = 0; file && n < 60 && fgets(line, sizeof(line), file); n++)
        printf("# %s%s", line, strchr(line, '\n') ? "" : "\n");
    if (file)
        fclose(file);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

void daemon_clean(struct daemon *daemon)
{
    nftw(daemon->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}
