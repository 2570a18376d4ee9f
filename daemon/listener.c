// SPDX-License-Identifier: BSD-3-Clause
#include "listener.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "log.h"
#include "scope.h"

#define SOCKET_BACKLOG 16

/*
 * A socket as standard input, as inetd passes it: 0 to 2 stay open in every process of ours, the
 * socket must not.
 */
static int move_up(int fd, struct listener *ret_listener)
{
    autoclose int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    autoclose int copy = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);

    if (null < 0 || copy < 0 || dup2(null, fd) < 0) {
        int error = -errno;
        log_error("--fd=%d: cannot move the socket to another descriptor: %m", fd);
        return error;
    }
    ret_listener->socket_fd = steal_fd(&copy);
    return 0;
}

/* An inherited descriptor: anything but a UNIX stream socket would fail much later and unclearly.
 */
static int inherit_socket(int fd, struct listener *ret_listener)
{
    int value;
    socklen_t size = sizeof(value);

    if (fcntl(fd, F_GETFD) < 0) {
        log_error("--fd=%d: this descriptor is not open: pass a listening UNIX socket", fd);
        return -EBADF;
    }
    if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &value, &size) < 0 || value != AF_UNIX ||
        getsockopt(fd, SOL_SOCKET, SO_TYPE, &value, &size) < 0 || value != SOCK_STREAM) {
        log_error("--fd=%d: this is not a UNIX stream socket: pass a listening one", fd);
        return -ENOTSOCK;
    }
    if (fd <= STDERR_FILENO)
        return move_up(fd, ret_listener);
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
        return -errno;
    ret_listener->socket_fd = fd;
    return 0;
}

/* Makes the paths absolute, for whoever removes them later; checks that they fit. */
static int name_paths(const char *path, struct listener *listener)
{
    char directory[PATH_MAX] = "";
    int length;

    if (path[0] != '/' && !getcwd(directory, sizeof(directory))) {
        log_error("--socket-path=%s: the current directory has no path: %m", path);
        return -ENOENT;
    }
    length = snprintf(listener->pid_file, PATH_MAX, "%s%s%s.pid", directory,
                      directory[0] ? "/" : "", path);
    if (length >= PATH_MAX) {
        log_error("--socket-path=%s: the path is too long", path);
        return -ENAMETOOLONG;
    }
    snprintf(listener->socket, PATH_MAX, "%.*s", length - 4, listener->pid_file);
    return 0;
}

/*
 * The lock says whether a daemon serves this path, whatever a stale file says. The file may be
 * removed by a daemon that ends between our open and our lock: then look again.
 */
static int lock_pid_file(struct listener *listener)
{
    for (;;) {
        autoclose int fd =
            open(listener->pid_file, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        struct stat locked;
        struct stat named;
        char text[24];

        if (fd < 0) {
            int error = -errno;
            log_error("--socket-path: cannot make the pid file %s: %m", listener->pid_file);
            return error;
        }
        if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
            int error = -errno;
            log_error("--socket-path: another daemon serves it and holds the lock of %s",
                      listener->pid_file);
            return error;
        }
        if (fstat(fd, &locked) < 0 || stat(listener->pid_file, &named) < 0 ||
            locked.st_dev != named.st_dev || locked.st_ino != named.st_ino)
            continue;

        int length = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
        if (ftruncate(fd, 0) < 0 || pwrite(fd, text, (size_t)length, 0) != length) {
            log_error("--socket-path: cannot write the pid file %s: %m", listener->pid_file);
            return -EIO;
        }
        listener->pid_fd = steal_fd(&fd);
        return 0;
    }
}

/* Only a socket is stale; anything else in its place is somebody's file. */
static int remove_stale_socket(const char *path)
{
    struct stat st;

    if (lstat(path, &st) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISSOCK(st.st_mode))
        return -EEXIST;
    return unlink(path) < 0 ? -errno : 0;
}

/* A socket's address is short: a longer path is reached through a descriptor of its directory. */
static int bind_path(int fd, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    autoclose int directory = -1;

    if (strlen(path) < sizeof(address.sun_path)) {
        strcpy(address.sun_path, path);
    } else {
        const char *name = strrchr(path, '/') + 1;
        char parent[PATH_MAX];

        snprintf(parent, sizeof(parent), "%.*s", (int)(name - path), path);
        directory = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (directory < 0)
            return -errno;
        int length = snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s",
                              directory, name);
        if (length >= (int)sizeof(address.sun_path))
            return -ENAMETOOLONG;
    }
    return bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ? -errno : 0;
}

/*
 * Whoever waits for the socket's file connects as soon as it is there: so the socket is made beside
 * its place, as fresh, and moved there when it listens.
 */
static int make_socket(const char *path, const char *fresh, int *ret_fd)
{
    autoclose int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int error;

    if (fd < 0)
        return -errno;
    error = remove_stale_socket(path);
    if (!error)
        error = remove_stale_socket(fresh);
    if (error)
        return error;
    /* The mask makes the file closed from birth: nobody may connect before the group is set. */
    mode_t saved = umask(0177);
    error = bind_path(fd, fresh);
    umask(saved);
    if (error)
        return error;
    *ret_fd = steal_fd(&fd);
    return 0;
}

static int find_group(const char *name, gid_t *ret_gid)
{
    const struct group *group;

    errno = 0;
    group = getgrnam(name);
    if (!group) {
        log_error("--socket-group=%s: there is no such group: see /etc/group", name);
        return -ENOENT;
    }
    *ret_gid = group->gr_gid;
    return 0;
}

static int open_socket(const struct settings *settings, gid_t gid, struct listener *listener)
{
    char fresh[PATH_MAX];
    autoclose int fd = -1;

    /* As long as the pid file's name, which was found to fit. */
    snprintf(fresh, sizeof(fresh), "%.*s.new", PATH_MAX - 5, listener->socket);
    int error = make_socket(listener->socket, fresh, &fd);
    if (error) {
        errno = -error;
        log_error("--socket-path=%s: cannot make the socket: %m%s", settings->socket_path,
                  error == -EEXIST ? " and is not a socket" : "");
        return error;
    }
    if (settings->socket_group && (chown(fresh, (uid_t)-1, gid) < 0 || chmod(fresh, 0660) < 0)) {
        error = -errno;
        log_error("--socket-group=%s: cannot give the socket to this group: %m",
                  settings->socket_group);
    } else if (listen(fd, SOCKET_BACKLOG) < 0 || rename(fresh, listener->socket) < 0) {
        error = -errno;
        log_error("--socket-path=%s: cannot listen: %m", settings->socket_path);
    }
    if (error) {
        unlink(fresh);
        return error;
    }
    listener->socket_fd = steal_fd(&fd);
    return 0;
}

int listener_open(const struct settings *settings, struct listener *ret_listener)
{
    struct listener *listener = ret_listener;
    gid_t gid = (gid_t)-1;
    int error;

    *listener = (struct listener){.socket_fd = -1, .pid_fd = -1};
    if (settings->listen_fd >= 0)
        return inherit_socket(settings->listen_fd, listener);
    if (settings->socket_group && find_group(settings->socket_group, &gid))
        return -ENOENT;
    error = name_paths(settings->socket_path, listener);
    if (!error)
        error = lock_pid_file(listener);
    if (error) {
        listener->socket[0] = '\0';
        return error;
    }
    error = open_socket(settings, gid, listener);
    if (error) {
        listener->socket[0] = '\0';
        listener_remove(listener);
    }
    return error;
}

void listener_disown(struct listener *listener)
{
    if (listener->pid_fd >= 0)
        close(listener->pid_fd);
    listener->pid_fd = -1;
}

void listener_remove(struct listener *listener)
{
    if (listener->pid_fd < 0)
        return;
    /*
     * The pid file goes last, still locked: who finds it gone finds no socket of ours either.
     * unlinkat: the system call filter, which has no unlink, may be at work.
     */
    if (listener->socket[0])
        unlinkat(AT_FDCWD, listener->socket, 0);
    unlinkat(AT_FDCWD, listener->pid_file, 0);
    listener_disown(listener);
}
