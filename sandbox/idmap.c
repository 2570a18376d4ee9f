// SPDX-License-Identifier: BSD-3-Clause
#include "idmap.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "log.h"
#include "scope.h"

/* Three numbers of ten digits, and what stands between them. */
#define ID_MAP_LINE 36

/* One kind of id: what differs between users and groups. */
struct id_kind {
    const char *option;
    const char *proc_file;
    const char *tool;
    const char *ranges_file;
    const struct id_map *maps;
    unsigned count;
    uint32_t own;
};

bool idmap_wanted(const struct settings *settings)
{
    return geteuid() != 0 || settings->uid_map_count || settings->gid_map_count;
}

static void describe(const struct settings *settings, struct id_kind *ret_uids,
                     struct id_kind *ret_gids)
{
    *ret_uids = (struct id_kind){
        "--uid-map",         "uid_map",          "newuidmap",
        "/etc/subuid",       settings->uid_maps, settings->uid_map_count,
        (uint32_t)geteuid(),
    };
    *ret_gids = (struct id_kind){
        "--gid-map",         "gid_map",          "newgidmap",
        "/etc/subgid",       settings->gid_maps, settings->gid_map_count,
        (uint32_t)getegid(),
    };
}

static int write_proc(pid_t pid, const char *name, const char *text)
{
    char path[64];
    size_t length = strlen(text);

    snprintf(path, sizeof(path), "/proc/%ld/%s", (long)pid, name);
    autoclose int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    return write(fd, text, length) == (ssize_t)length ? 0 : -errno;
}

static bool is_own_id_only(const struct id_kind *kind)
{
    return kind->count == 0 ||
           (kind->count == 1 && kind->maps[0].count == 1 && kind->maps[0].outside == kind->own);
}

/* The map in the kernel's own format. An absent one is the own id, as itself. */
static int write_map(pid_t pid, const struct id_kind *kind)
{
    char text[ID_MAPS_MAX * ID_MAP_LINE];
    size_t fill = 0;
    int error;

    if (!kind->count)
        snprintf(text, sizeof(text), "%u %u 1\n", kind->own, kind->own);
    for (unsigned i = 0; i < kind->count; i++)
        fill += (size_t)snprintf(text + fill, sizeof(text) - fill, "%u %u %u\n",
                                 kind->maps[i].inside, kind->maps[i].outside, kind->maps[i].count);
    error = write_proc(pid, kind->proc_file, text);
    if (error) {
        errno = -error;
        log_error("%s: cannot write the map of the user namespace: %m", kind->option);
    }
    return error;
}

/* Runs newuidmap or newgidmap PID inside outside count...; quietly, for our line says it. */
static int run_tool(pid_t pid, const struct id_kind *kind)
{
    static char words[1 + ID_MAPS_MAX * 3][12];
    char *arguments[2 + ID_MAPS_MAX * 3 + 1] = {(char *)kind->tool, words[0]};
    posix_spawn_file_actions_t actions;
    pid_t child;
    int status;

    snprintf(words[0], sizeof(words[0]), "%ld", (long)pid);
    for (unsigned i = 0; i < kind->count; i++) {
        const uint32_t numbers[3] = {kind->maps[i].inside, kind->maps[i].outside,
                                     kind->maps[i].count};
        for (unsigned j = 0; j < 3; j++) {
            unsigned place = 1 + i * 3 + j;
            snprintf(words[place], sizeof(words[place]), "%u", numbers[j]);
            arguments[1 + place] = words[place];
        }
    }
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    int error = posix_spawnp(&child, kind->tool, &actions, NULL, arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (error) {
        errno = error;
        log_error("%s: cannot run %s: %m: it comes with the package uidmap or shadow-utils",
                  kind->option, kind->tool);
        return -error;
    }
    if (waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status)) {
        log_error("%s: %s refuses the map: give this user the range in %s", kind->option,
                  kind->tool, kind->ranges_file);
        return -EPERM;
    }
    return 0;
}

/* Runs outside the new namespace, where the rights to map ids are. */
static int write_maps(pid_t pid, const struct settings *settings)
{
    struct id_kind uids;
    struct id_kind gids;
    bool root = geteuid() == 0;
    int error;

    describe(settings, &uids, &gids);
    error = root || is_own_id_only(&uids) ? write_map(pid, &uids) : run_tool(pid, &uids);
    if (error)
        return error;
    if (!root && !is_own_id_only(&gids))
        return run_tool(pid, &gids);
    /* Without the right to map groups one may not drop a group either. */
    if (!root && (error = write_proc(pid, "setgroups", "deny")) && error != -ENOENT) {
        errno = -error;
        log_error("--gid-map: cannot deny setgroups in the user namespace: %m");
        return error;
    }
    return write_map(pid, &gids);
}

/*
 * The child of idmap_enter(), which stays outside. Waits until the parent is inside; reads nothing
 * if it failed.
 */
static _Noreturn void run_mapper(int go, pid_t parent, const struct settings *settings)
{
    char byte;

    if (read(go, &byte, 1) != 1)
        _exit(EXIT_SUCCESS);
    _exit(write_maps(parent, settings) ? EXIT_FAILURE : EXIT_SUCCESS);
}

static int unshare_user(int go)
{
    if (unshare(CLONE_NEWUSER) < 0) {
        int error = -errno;
        log_error("--sandbox=namespace: cannot make a user namespace: %m; --sandbox=none needs "
                  "none");
        return error;
    }
    return write(go, "", 1) == 1 ? 0 : -EPIPE;
}

int idmap_enter(const struct settings *settings)
{
    pid_t parent = getpid();
    int ends[2];
    int status;

    if (pipe2(ends, O_CLOEXEC) < 0) {
        int error = -errno;
        log_error("cannot make a pipe: %m");
        return error;
    }
    autoclose int go_out = ends[0];
    autoclose int go_in = ends[1];
    pid_t mapper = fork();
    if (mapper < 0) {
        int error = -errno;
        log_error("cannot fork: %m");
        return error;
    }
    if (mapper == 0) {
        close(go_in);
        run_mapper(go_out, parent, settings);
    }
    int error = unshare_user(go_in);
    close(steal_fd(&go_in));
    if (waitpid(mapper, &status, 0) != mapper)
        return error ? error : -ECHILD;
    if (!error && (!WIFEXITED(status) || WEXITSTATUS(status)))
        error = -EPERM; /* the mapper said why */
    return error;
}

static bool maps_zero(const struct id_map *maps, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (maps[i].inside == 0)
            return true;
    return false;
}

int idmap_become_root(const struct settings *settings)
{
    if (maps_zero(settings->gid_maps, settings->gid_map_count)) {
        /* Denied where only the own group is mapped: the groups that stay are the caller's. */
        if (setgroups(0, NULL) < 0)
            log_debug("the supplementary groups stay: %m");
        if (setresgid(0, 0, 0) < 0) {
            int error = -errno;
            log_error("--gid-map: cannot become group 0 of the user namespace: %m");
            return error;
        }
    }
    if (maps_zero(settings->uid_maps, settings->uid_map_count) && setresuid(0, 0, 0) < 0) {
        int error = -errno;
        log_error("--uid-map: cannot become user 0 of the user namespace: %m");
        return error;
    }
    return 0;
}
