// SPDX-License-Identifier: BSD-3-Clause
/*
 * The system call filter, as it is loaded by the daemon: what must go on under it (error paths
 * above all) and what must not.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harden.h"
#include "log.h"
#include "scope.h"
#include "seccomp_filter.h"
#include "test.h"

typedef int deed_body(void);

/* Runs the deed in a child under the filter. Returns the child's wait status. */
static int run_under(enum seccomp_mode mode, deed_body *deed)
{
    int status = -1;

    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        struct rlimit no_core = {0, 0};

        setrlimit(RLIMIT_CORE, &no_core);
        /* What dies on purpose need not be read about. */
        dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDERR_FILENO);
        if (harden_no_new_privs() || seccomp_filter_load(mode, false))
            _exit(100);
        _exit(deed());
    }
    if (waitpid(child, &status, 0) != child)
        return -1;
    return status;
}

/* --- what must go on ------------------------------------------------------------------------- */

static int say_all(void)
{
    log_error("%s, %s, %m", strerror(EIO), strerror(99999));
    fprintf(stderr, "stdio %d\n", 1);
    printf("stdout\n");
    fflush(stdout);
    return 0;
}

static void *thread_body(void *argument)
{
    char *block = malloc(1 << 20);

    if (pthread_setname_np(pthread_self(), "worker"))
        _exit(2);
    memset(block, 1, 1 << 20);
    free(block);
    return argument;
}

static int make_threads(void)
{
    pthread_t threads[8];

    for (unsigned i = 0; i < ARRAY_SIZE(threads); i++) {
        if (pthread_create(&threads[i], NULL, thread_body, NULL))
            return 1;
    }
    for (unsigned i = 0; i < ARRAY_SIZE(threads); i++)
        if (pthread_join(threads[i], NULL))
            return 3;
    return 0;
}

static int use_libc(void)
{
    int *numbers = calloc(1 << 20, sizeof(int));
    struct rlimit limit;
    struct stat st;

    numbers = realloc(numbers, 64 << 20);
    free(numbers);
    if (sysconf(_SC_NPROCESSORS_ONLN) < 1 || sysconf(_SC_OPEN_MAX) < 1)
        return 1;
    if (getrlimit(RLIMIT_NOFILE, &limit) || fstat(0, &st))
        return 2;
    return isatty(STDOUT_FILENO) ? 3 : 0;
}

static int switch_ids(void)
{
    /* With or without the right to: what counts is that the calls return. */
    syscall(SYS_setresgid, -1, getegid(), -1);
    syscall(SYS_setresuid, -1, geteuid(), -1);
    return 0;
}

static int probe(void)
{
    errno = 0;
    if (syscall(SYS_clone3, NULL, 0) != -1 || errno != ENOSYS)
        return 1;
    return 0;
}

static int exit_with_five(void)
{
    exit(5);
}

static void needed_calls_go_on(void)
{
    static const struct {
        deed_body *deed;
        int status;
    } rows[] = {{say_all, 0},    {make_threads, 0}, {use_libc, 0},
                {switch_ids, 0}, {probe, 0},        {exit_with_five, 5}};

    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        int status = run_under(SECCOMP_KILL, rows[i].deed);

        if (!WIFEXITED(status) || WEXITSTATUS(status) != rows[i].status)
            fprintf(stderr, "row %u: wait status %#x\n", i, (unsigned)status);
        CHECK(WIFEXITED(status));
        CHECK_EQ(WEXITSTATUS(status), rows[i].status);
    }
}

/* --- a death of its own is the daemon's to die ------------------------------------------------ */

static int fail_assertion(void)
{
    assert(getpid() == 0);
    return 0;
}

static int call_abort(void)
{
    abort();
}

static void *abort_in_thread(void *argument)
{
    abort();
    return argument;
}

static int abort_elsewhere(void)
{
    pthread_t thread;

    pthread_create(&thread, NULL, abort_in_thread, NULL);
    pthread_join(thread, NULL);
    return 0;
}

static void an_abort_is_an_abort(void)
{
    static deed_body *const deeds[] = {fail_assertion, call_abort, abort_elsewhere};

    for (unsigned i = 0; i < ARRAY_SIZE(deeds); i++) {
        int status = run_under(SECCOMP_KILL, deeds[i]);

        CHECK(WIFSIGNALED(status));
        CHECK_EQ(WTERMSIG(status), SIGABRT);
    }
}

/* --- what must not --------------------------------------------------------------------------- */

static int do_exec(void)
{
    return execl("/bin/true", "true", (char *)NULL);
}

static int do_socket(void)
{
    return socket(AF_INET, SOCK_STREAM, 0) < 0;
}

static int do_fork(void)
{
    return (int)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}

static int do_new_user_thread(void)
{
    return (int)syscall(SYS_clone, CLONE_THREAD | CLONE_NEWUSER, 0, 0, 0, 0);
}

static int do_unshare(void)
{
    return unshare(CLONE_NEWNS);
}

static int do_setns(void)
{
    return setns(0, 0);
}

static int do_mount(void)
{
    return mount("none", "/", "tmpfs", 0, NULL);
}

static int do_chroot(void)
{
    return chroot("/");
}

static int do_undumpable(void)
{
    return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

static int do_raise_limit(void)
{
    struct rlimit limit = {1, 1};

    return setrlimit(RLIMIT_NOFILE, &limit);
}

static int do_lease(void)
{
    return fcntl(0, F_SETLEASE, F_RDLCK);
}

static int do_ioctl(void)
{
    return ioctl(0, TIOCSTI, "x");
}

static int do_signal_parent(void)
{
    return (int)syscall(SYS_tgkill, getppid(), getppid(), 0);
}

static int do_kill(void)
{
    return kill(1, 0);
}

static int do_ptrace(void)
{
    return (int)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}

static int do_map_code(void)
{
    return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
           MAP_FAILED;
}

static int do_make_code(void)
{
    void *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return mprotect(page, 4096, PROT_READ | PROT_WRITE | PROT_EXEC);
}

static int do_io_uring(void)
{
    return (int)syscall(SYS_io_uring_setup, 1, NULL);
}

static int do_bpf(void)
{
    return (int)syscall(SYS_bpf, 0, NULL, 0);
}

struct forbidden {
    const char *name;
    deed_body *deed;
    bool allowed_to_sanitizers;
};

static const struct forbidden forbidden[] = {
    {"execve", do_exec, false},
    {"socket", do_socket, false},
    {"clone a process", do_fork, true},
    {"clone a namespace", do_new_user_thread, true},
    {"unshare", do_unshare, false},
    {"setns", do_setns, false},
    {"mount", do_mount, false},
    {"chroot", do_chroot, false},
    {"prctl", do_undumpable, true},
    {"setrlimit", do_raise_limit, true},
    {"fcntl F_SETLEASE", do_lease, false},
    {"ioctl", do_ioctl, true},
    {"tgkill of another", do_signal_parent, true},
    {"kill", do_kill, true},
    {"ptrace", do_ptrace, true},
    {"mmap PROT_EXEC", do_map_code, true},
    {"mprotect PROT_EXEC", do_make_code, true},
    {"io_uring_setup", do_io_uring, false},
    {"bpf", do_bpf, false},
};

static void other_calls_kill(void)
{
    for (unsigned i = 0; i < ARRAY_SIZE(forbidden); i++) {
#ifdef VIOFS_SANITIZED
        if (forbidden[i].allowed_to_sanitizers)
            continue;
#endif
        int status = run_under(SECCOMP_KILL, forbidden[i].deed);

        if (!WIFSIGNALED(status))
            fprintf(stderr, "%s: wait status %#x\n", forbidden[i].name, (unsigned)status);
        CHECK(WIFSIGNALED(status));
        CHECK_EQ(WTERMSIG(status), SIGSYS);
    }
}

/* --- the other actions ----------------------------------------------------------------------- */

static void on_sigsys(int number)
{
    (void)number;
    _exit(42);
}

static int trap_socket(void)
{
    signal(SIGSYS, on_sigsys);
    return do_socket();
}

static void actions_differ(void)
{
    int status = run_under(SECCOMP_TRAP, trap_socket);
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 42);

    status = run_under(SECCOMP_LOG, do_socket);
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 0);

    status = run_under(SECCOMP_NONE, do_exec);
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 0);
}

/* --- the table ------------------------------------------------------------------------------- */

/* A misspelt name would be left out of the filter in silence. */
static void every_name_is_known(void)
{
    for (unsigned i = 0; i < syscall_row_count; i++) {
        const struct syscall_row *row = &syscall_rows[i];

        CHECK(row->reason[0]);
        /* Younger than libseccomp 2.5. */
        if (!strcmp(row->name, "fchmodat2"))
            continue;
        if (seccomp_syscall_resolve_name(row->name) == __NR_SCMP_ERROR)
            fprintf(stderr, "%s\n", row->name);
        CHECK(seccomp_syscall_resolve_name(row->name) != __NR_SCMP_ERROR);
    }
}

int main(void)
{
    RUN(every_name_is_known);
    RUN(needed_calls_go_on);
    RUN(an_abort_is_an_abort);
    RUN(other_calls_kill);
    RUN(actions_differ);
    return test_result();
}
