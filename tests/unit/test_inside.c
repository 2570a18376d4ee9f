// SPDX-License-Identifier: BSD-3-Clause
/*
 * The sandbox seen from inside: each case enters and seals it for good in a child, and looks
 * around as the file system server will. What a thread with the guest's user id must still be able
 * to do is the point: capabilities stay, /proc/self/fd stays usable.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sandbox.h"
#include "scope.h"
#include "test.h"

#define GUEST_USER 61234
#define SECRET     "secret" /* mode 0600, owned by root */

static char share[] = "/tmp/viofsd-inside-XXXXXX";
static struct fuse_server_fds fds;

/* In the child: a failed look ends it with the line's number, which no exit status below 2 is. */
#define LOOK(condition)                                                                  \
    do {                                                                                 \
        if (!(condition)) {                                                              \
            dprintf(STDERR_FILENO, "%s:%d: inside: %s (errno %d)\n", __FILE__, __LINE__, \
                    #condition, errno);                                                  \
            _exit(99);                                                                   \
        }                                                                                \
    } while (0)

static int change_caps(unsigned capability, bool on)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];

    if (syscall(SYS_capget, &header, data) < 0)
        return -errno;
    if (on)
        data[0].effective |= 1u << capability;
    else
        data[0].effective &= ~(1u << capability);
    return syscall(SYS_capset, &header, data) < 0 ? -errno : 0;
}

/* Opens the secret file for reading by the number of an O_PATH descriptor, as the server does. */
static int open_secret(void)
{
    char name[16];
    autoclose int path_fd = openat(fds.share, SECRET, O_PATH | O_NOFOLLOW | O_CLOEXEC);

    if (path_fd < 0)
        return -errno;
    snprintf(name, sizeof(name), "%d", path_fd);
    int fd = openat(fds.proc_fd, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    close(fd);
    return 0;
}

static void *act_as_guest_user(void *argument)
{
    (void)argument;
    LOOK(syscall(SYS_setresgid, -1, GUEST_USER, -1) == 0);
    LOOK(syscall(SYS_setresuid, -1, GUEST_USER, -1) == 0);
    LOOK(geteuid() == GUEST_USER);
    /* NO_SETUID_FIXUP: still the file system's root ... */
    LOOK(open_secret() == 0);
    /* ... until the thread says otherwise, for as long as it says so. */
    LOOK(change_caps(CAP_DAC_OVERRIDE, false) == 0);
    LOOK(change_caps(CAP_DAC_READ_SEARCH, false) == 0);
    LOOK(open_secret() == -EACCES);
    LOOK(change_caps(CAP_DAC_OVERRIDE, true) == 0);
    LOOK(open_secret() == 0);
    LOOK(change_caps(CAP_SYS_ADMIN, true) == -EPERM);
    return NULL;
}

static bool same_directory(int directory, const char *path)
{
    struct stat here;
    struct stat there;

    return fstat(directory, &here) == 0 && fstatat(directory, path, &there, 0) == 0 &&
           here.st_dev == there.st_dev && here.st_ino == there.st_ino;
}

static void look_around(enum sandbox_mode mode)
{
    pthread_t thread;
    struct stat st;
    char text[12];

    LOOK(fcntl(fds.share, F_GETFL) & O_PATH);
    LOOK(openat(fds.share, SECRET, O_RDONLY | O_NOFOLLOW | O_CLOEXEC) >= 0);
    snprintf(text, sizeof(text), "%d", fds.share);
    LOOK(fstatat(fds.proc_fd, text, &st, 0) == 0);
    if (mode == SANDBOX_NAMESPACE)
        LOOK(same_directory(fds.proc_fd, ".."));
    if (mode != SANDBOX_NONE) {
        LOOK(same_directory(fds.share, ".."));
        LOOK(fstatat(AT_FDCWD, "/etc", &st, 0) < 0 && errno == ENOENT);
        LOOK(fstatat(AT_FDCWD, "/" SECRET, &st, 0) == 0);
    }
    LOOK(pthread_create(&thread, NULL, act_as_guest_user, NULL) == 0);
    LOOK(pthread_join(thread, NULL) == 0);
    /* The other threads' ids and rights are their own. */
    LOOK(geteuid() == 0 && open_secret() == 0);
}

/* Returns the exit status of whoever is left to give one: the launcher, or the server itself. */
static int run_inside(enum sandbox_mode mode, int server_status)
{
    struct settings settings = {
        .shared_dir = share,
        .listen_fd = -1,
        .sandbox = mode,
        .seccomp = SECCOMP_KILL,
        .file_handles = FILE_HANDLES_PREFER,
    };
    struct sandbox_launcher launcher = {.keep_fd = -1};
    int status = -1;

    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        sigset_t set;

        sigemptyset(&set);
        sigaddset(&set, SIGTERM);
        sigprocmask(SIG_BLOCK, &set, NULL);
        LOOK(sandbox_enter(&settings, &launcher, &fds) == (mode != SANDBOX_NONE));
        LOOK(sandbox_seal(&settings) == 0);
        look_around(mode);
        _exit(server_status);
    }
    if (waitpid(child, &status, 0) != child || !WIFEXITED(status))
        return -1;
    return WEXITSTATUS(status);
}

static void namespace_is_usable(void)
{
    CHECK_EQ(run_inside(SANDBOX_NAMESPACE, 7), 7);
}

static void chroot_is_usable(void)
{
    CHECK_EQ(run_inside(SANDBOX_CHROOT, 0), 0);
}

static void none_is_usable(void)
{
    CHECK_EQ(run_inside(SANDBOX_NONE, 3), 3);
}

static void a_wrong_directory_ends_it(void)
{
    char saved = share[0];

    share[0] = '#';
    int status = run_inside(SANDBOX_NAMESPACE, 0);
    share[0] = saved;
    CHECK_EQ(status, 1);
}

int main(void)
{
    int fd;

    if (geteuid() != 0) {
        puts("needs root");
        return 77;
    }
    if (!mkdtemp(share) || chmod(share, 0755) < 0 || chdir(share) < 0)
        return 1;
    fd = open(SECRET, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || close(fd) < 0)
        return 1;
    RUN(namespace_is_usable);
    RUN(chroot_is_usable);
    RUN(none_is_usable);
    RUN(a_wrong_directory_ends_it);
    unlink(SECRET);
    rmdir(share);
    return test_result();
}
