// SPDX-License-Identifier: BSD-3-Clause
#define FUSE_USE_VERSION 312
#include "fusemount.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse_lowlevel.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "say.h"

#define FUSE_CONF "/etc/fuse.conf"

/* What libfuse says, piece by piece and in lines of its own: kept for our one line. */
static char libfuse_words[512];

static void __attribute__((format(printf, 2, 0)))
keep_words(enum fuse_log_level level, const char *format, va_list args)
{
    size_t len = strlen(libfuse_words);

    (void)level;
    vsnprintf(libfuse_words + len, sizeof(libfuse_words) - len, format, args);
    for (char *c = libfuse_words; *c; c++)
        if (isspace((unsigned char)*c))
            *c = ' ';
    for (len = strlen(libfuse_words); len && libfuse_words[len - 1] == ' ';)
        libfuse_words[--len] = '\0';
}

/* Ordinary users may ask for allow_other only where fuse.conf says so; fusermount3 refuses the
 * mount otherwise. */
static bool may_allow_other(void)
{
    char line[256];
    bool found = false;

    if (geteuid() == 0)
        return true;
    FILE *conf = fopen(FUSE_CONF, "re");

    if (!conf)
        return false;
    while (!found && fgets(line, sizeof(line), conf)) {
        char word[32];

        found = sscanf(line, " %31s", word) == 1 && strcmp(word, "user_allow_other") == 0;
    }
    fclose(conf);
    return found;
}

static int build_args(struct fuse_args *args, const char *source, const char *extra)
{
    char *defaults = NULL;
    char *fsname = NULL;
    int r = -1;

    if (asprintf(&fsname, "fsname=%s", source) >= 0 &&
        fuse_opt_add_opt(&defaults, "default_permissions,subtype=viofs") == 0 &&
        fuse_opt_add_opt_escaped(&defaults, fsname) == 0 &&
        (!may_allow_other() || fuse_opt_add_opt(&defaults, "allow_other") == 0) &&
        fuse_opt_add_arg(args, PROGRAM) == 0 && fuse_opt_add_arg(args, "-o") == 0 &&
        fuse_opt_add_arg(args, defaults) == 0)
        r = 0;
    if (r == 0 && extra)
        r = fuse_opt_add_arg(args, "-o") || fuse_opt_add_arg(args, extra) ? -1 : 0;
    free(fsname);
    free(defaults);
    return r < 0 ? -ENOMEM : 0;
}

int fusemount_open(struct fusemount *ret_mount, const char *source, const char *directory,
                   const char *extra)
{
    /* libfuse never parses a request of ours; it wants to see some operations nevertheless. */
    static const struct fuse_lowlevel_ops no_ops;
    struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
    struct fuse_session *session;
    int r = build_args(&args, source, extra);

    if (r < 0) {
        say("out of memory");
        fuse_opt_free_args(&args);
        return r;
    }
    fuse_set_log_func(keep_words);
    session = fuse_session_new(&args, &no_ops, sizeof(no_ops), NULL);
    fuse_opt_free_args(&args);
    if (!session) {
        say("bad mount option in -o '%s': %s", extra ? extra : "", libfuse_words);
        return -EINVAL;
    }
    if (fuse_session_mount(session, directory) != 0) {
        say("cannot mount on '%s'%s%s", directory, *libfuse_words ? ": " : "", libfuse_words);
        fuse_session_destroy(session);
        return -EIO;
    }
    *ret_mount = (struct fusemount){
        .session = session,
        .fd = fuse_session_fd(session),
        .directory = directory,
    };
    fcntl(ret_mount->fd, F_SETFL, fcntl(ret_mount->fd, F_GETFL) | O_NONBLOCK);
    fcntl(ret_mount->fd, F_SETFD, FD_CLOEXEC);
    return 0;
}

/* The mount on top of the directory.  DONT_SYNC: the answer comes from the kernel alone, so that a
 * dead or sleeping back-end does not matter. */
static bool look(const char *directory, struct statx *ret_stx)
{
    return statx(AT_FDCWD, directory, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, STATX_MNT_ID,
                 ret_stx) == 0 &&
           (ret_stx->stx_mask & STATX_MNT_ID);
}

void fusemount_identify(struct fusemount *mount)
{
    struct statx stx;

    if (!look(mount->directory, &stx))
        return;
    mount->mount_id = stx.stx_mnt_id;
    mount->dev_major = stx.stx_dev_major;
    mount->dev_minor = stx.stx_dev_minor;
}

bool fusemount_present(const struct fusemount *mount)
{
    struct statx stx;

    return mount->mount_id && look(mount->directory, &stx) && stx.stx_mnt_id == mount->mount_id &&
           stx.stx_dev_major == mount->dev_major && stx.stx_dev_minor == mount->dev_minor;
}

/* In the child.  Only calls that are safe after fork() of a program with threads. */
__attribute__((noreturn)) static void unmount_in_child(const char *directory, enum unmount how)
{
    sigset_t none;
    int fd = open("/dev/null", O_RDWR);

    /* Not a single /dev/fuse descriptor may stay open here: if umount() sleeps, closing the
     * parent's must abort it. */
    dup2(fd, 0);
    dup2(fd, 1);
    dup2(fd, 2);
    close_range(3, ~0u, 0);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (how == UNMOUNT_WRITE_BACK) {
        fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd >= 0) {
            syncfs(fd);
            close(fd);
        }
    }
    if (umount2(directory, (how == UNMOUNT_PLAIN ? 0 : MNT_DETACH) | UMOUNT_NOFOLLOW) == 0)
        _exit(0);
    if (errno != EPERM)
        _exit(1);
    if (how == UNMOUNT_PLAIN)
        execlp("fusermount3", "fusermount3", "-u", "--", directory, (char *)NULL);
    else
        execlp("fusermount3", "fusermount3", "-u", "-z", "--", directory, (char *)NULL);
    _exit(1);
}

pid_t fusemount_start_unmount(const struct fusemount *mount, enum unmount how)
{
    pid_t pid = fork();

    if (pid == 0)
        unmount_in_child(mount->directory, how);
    return pid < 0 ? -errno : pid;
}

void fusemount_close(struct fusemount *mount)
{
    /* A session that cannot be ended without unmounting whatever is there by then stays until the
     * process ends. */
    static struct fuse_session *kept;
    struct pollfd fd = {.fd = mount->fd};

    if (mount->fd < 0)
        return;
    mount->fd = -1;
    kept = mount->session;
    if (poll(&fd, 1, 0) != 1 || !(fd.revents & POLLERR)) {
        close(fd.fd);
        return;
    }
    /* The connection is dead: libfuse sees that, too, and frees its things without touching any
     * mount. */
    fuse_session_unmount(kept);
    fuse_session_destroy(kept);
    kept = NULL;
}
