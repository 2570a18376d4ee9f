// SPDX-License-Identifier: BSD-3-Clause
#include "namespaces.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "log.h"
#include "scope.h"

#define OPEN_DIRECTORY (O_PATH | O_DIRECTORY | O_CLOEXEC)

/* Logs what failed, why, and what would help. Returns -errno. */
static int failed_but(const char *what, const char *hint)
{
    int error = -errno;

    log_error("%s: %m%s", what, hint);
    return error;
}

static int failed(const char *what)
{
    return failed_but(what, "");
}

int namespaces_open_share(const struct settings *settings)
{
    int fd = open(settings->shared_dir, OPEN_DIRECTORY);

    if (fd < 0) {
        int error = -errno;
        log_error("--shared-dir=%s: %m: give a directory that can be reached",
                  settings->shared_dir);
        return error;
    }
    return fd;
}

/*
 * Opens /proc/self, by the process that will serve: the link is resolved here. The proc file
 * system is the caller's: ours would need mounting, which containers with a masked /proc refuse,
 * and only two files of it are kept.
 */
static int open_proc_self(int *ret_fd)
{
    autoclose int fd = open("/proc/self", OPEN_DIRECTORY);
    struct statfs st;

    if (fd < 0)
        return failed("cannot open /proc/self");
    if (fstatfs(fd, &st) < 0 || st.f_type != PROC_SUPER_MAGIC) {
        log_error("/proc is not a proc file system: mount one there");
        return -ENOTDIR;
    }
    *ret_fd = steal_fd(&fd);
    return 0;
}

/*
 * A mount of /proc/self/fd alone, attached nowhere: `..` from it is itself, so the rest of /proc,
 * with the root directories of other processes, is out of reach.
 */
static int clone_proc_fd(int proc_self, int *ret_fd)
{
    int fd = open_tree(proc_self, "fd", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

    if (fd < 0)
        return failed("cannot take /proc/self/fd along");
    *ret_fd = fd;
    return 0;
}

/*
 * A copy of the share's tree of mounts. No device node in it can be opened any more, and with
 * --readonly nothing be written, even if everything above the kernel fails. Submounts that appear
 * later on the host come without these attributes; the file system server has the same rules. Not
 * nosuid, not noexec: nothing is executed here, and noexec would show in access(2).
 */
static int clone_share(const struct settings *settings, int *ret_fd)
{
    struct mount_attr attributes = {.attr_set = MOUNT_ATTR_NODEV};
    autoclose int share = namespaces_open_share(settings);

    if (share < 0)
        return share;
    autoclose int tree =
        open_tree(share, "", AT_EMPTY_PATH | AT_RECURSIVE | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    if (tree < 0)
        return failed("--shared-dir: cannot copy its mounts");
    if (settings->readonly)
        attributes.attr_set |= MOUNT_ATTR_RDONLY;
    if (mount_setattr(tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes, sizeof(attributes)) < 0)
        return failed_but("--shared-dir: cannot set the attributes of its mounts",
                          " (Linux 5.12 can)");
    /* Attached over the original: a place that is sure to exist, in a namespace of our own. */
    if (move_mount(tree, "", share, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
        return failed("--shared-dir: cannot attach its mounts");
    *ret_fd = steal_fd(&tree);
    return 0;
}

/* pivot_root(2), "pivot_root(".", ".")": the old root ends up on top of the new one, then goes. */
static int pivot_into(int tree)
{
    if (fchdir(tree) < 0)
        return failed("cannot enter the shared directory");
    if (syscall(SYS_pivot_root, ".", ".") < 0)
        return failed("cannot make the shared directory the root");
    if (umount2(".", MNT_DETACH) < 0)
        return failed("cannot let go of the old root");
    if (chdir("/") < 0)
        return failed("cannot enter the new root");
    return 0;
}

static int open_root(int *ret_fd)
{
    int fd = open("/", OPEN_DIRECTORY);

    if (fd < 0)
        return failed("cannot open the shared directory from inside");
    *ret_fd = fd;
    return 0;
}

/*
 * The list of the mounts that this process sees, taken along after the last change of its namespace
 * and root. Without it serving goes on: mounts are then held as long as the guest knows a file
 * there.
 */
static int open_mountinfo(int proc_self)
{
    int fd = openat(proc_self, "mountinfo", O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        log_warn(
            "cannot open /proc/self/mountinfo: %m; the host may find file systems below the share "
            "busy");
    return fd;
}

/* Whether a map of ids (user_namespaces(7)) is that of the first user namespace: all of them. */
static bool maps_all(int proc_self, const char *map)
{
    char text[64];
    unsigned inside;
    unsigned outside;
    unsigned count;
    autoclose int fd = openat(proc_self, map, O_RDONLY | O_CLOEXEC);
    ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

    if (length <= 0)
        return false;
    text[length] = '\0';
    return sscanf(text, "%u %u %u", &inside, &outside, &count) == 3 && count == UINT32_MAX;
}

/* What /proc tells of this process, taken along before it is out of reach. */
static void look_at_proc(int proc_self, struct fuse_server_fds *fds)
{
    fds->mountinfo = open_mountinfo(proc_self);
    fds->all_ids = maps_all(proc_self, "uid_map") && maps_all(proc_self, "gid_map");
}

int namespaces_enter(const struct settings *settings, struct fuse_server_fds *ret_fds)
{
    struct fuse_server_fds fds = {-1, -1, -1, false};
    autoclose int proc_self = -1;
    autoclose int tree = -1;
    int error;

    if (unshare(CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) < 0)
        return failed_but("--sandbox=namespace: cannot make namespaces",
                          "; --sandbox=chroot or none need fewer rights");
    /* Slave, not private: what the host mounts below the share later shows up here as well; what
     * is done here never shows up there. */
    if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
        return failed_but("--sandbox=namespace: cannot separate our mounts from the host's",
                          "; inside a chroot whose / is no mount point, --sandbox=chroot works");
    if ((error = open_proc_self(&proc_self)) || (error = clone_proc_fd(proc_self, &fds.proc_fd)))
        return error;
    if ((error = clone_share(settings, &tree)) || (error = pivot_into(tree)))
        return error;
    if ((error = open_root(&fds.share)))
        return error;
    look_at_proc(proc_self, &fds);
    *ret_fds = fds;
    return 0;
}

/* The shared directory and /proc/self with its fd, as the caller's world has them. */
static int open_outside(const struct settings *settings, int *ret_proc_self,
                        struct fuse_server_fds *ret_fds)
{
    autoclose int proc_self = -1;
    int error = open_proc_self(&proc_self);

    if (error)
        return error;
    autoclose int share = namespaces_open_share(settings);
    if (share < 0)
        return share;
    int proc_fd = openat(proc_self, "fd", OPEN_DIRECTORY);
    if (proc_fd < 0)
        return failed("cannot open /proc/self/fd");
    *ret_fds =
        (struct fuse_server_fds){.share = steal_fd(&share), .proc_fd = proc_fd, .mountinfo = -1};
    *ret_proc_self = steal_fd(&proc_self);
    return 0;
}

int namespaces_chroot(const struct settings *settings, struct fuse_server_fds *ret_fds)
{
    struct fuse_server_fds fds = {-1, -1, -1, false};
    autoclose int proc_self = -1;
    int error = open_outside(settings, &proc_self, &fds);

    if (error)
        return error;
    autoclose int outside = fds.share;
    if (fchdir(outside) < 0)
        return failed("--shared-dir: cannot enter it");
    if (chroot(".") < 0)
        return failed_but("--sandbox=chroot: cannot change the root directory",
                          " (CAP_SYS_CHROOT is needed); --sandbox=namespace does without");
    if ((error = open_root(&fds.share)))
        return error;
    look_at_proc(proc_self, &fds);
    *ret_fds = fds;
    return 0;
}

int namespaces_stay(const struct settings *settings, struct fuse_server_fds *ret_fds)
{
    autoclose int proc_self = -1;
    int error = open_outside(settings, &proc_self, ret_fds);

    if (!error)
        look_at_proc(proc_self, ret_fds);
    return error;
}
