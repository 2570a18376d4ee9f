// SPDX-License-Identifier: BSD-3-Clause
/*
 * The stages, in order. What a stage may need is gone after the next one: that is the order.
 *
 * stage                runs                       must                          must not
 * 1 look               in the caller's process    find a wrong directory        change anything
 *                                                 while no process is made
 * 2 limits             before a user namespace,   raise the descriptor limit
 *                      which takes the right
 * 3 user namespace     ordinary users, maps       be outermost: its rights      be made for root
 *   (namespace mode)                              make stages 4 and 5 possible  without maps
 * 4 fork               before any thread; the     leave a launcher outside,     share anything but
 *   (not mode none)    pid namespace begins with  tied to the server            the pipe of their
 * tie the child 5 stand              in the server: /proc/self  make the share the root,      keep
 * a descriptor must mean it               take /proc/self/fd along      of the outside 6 ids after
 * stage 5, whose paths become root of the user       come before the may need the caller's ids
 * namespace                     last open by path
 * -- here main opens what is left, makes the file system server --
 * 7 capabilities       after the last mount and   lock securebits, leave the    come after 9, which
 *                      chown                      documented set                forbids prctl
 * 8 no-new-privs       before 9: what lets a      be unconditional
 *                      process filter itself
 * 9 system calls       last                       hold in every thread to come  kill error paths
 *
 * The signals that end the daemon are blocked all the way through and lost nowhere.
 */
#include "sandbox.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include "caps.h"
#include "harden.h"
#include "idmap.h"
#include "launcher.h"
#include "log.h"
#include "namespaces.h"
#include "rlimits.h"
#include "scope.h"
#include "seccomp_filter.h"

/* Between stages 1 and 4, while nobody else does what server_ended is for. */
static _Noreturn void give_up(const struct sandbox_launcher *launcher)
{
    if (launcher->server_ended)
        launcher->server_ended(launcher->argument);
    exit(EXIT_FAILURE);
}

static int look(const struct settings *settings)
{
    autoclose int share = namespaces_open_share(settings);

    return share < 0 ? share : 0;
}

static int enter_user_and_pid(const struct settings *settings)
{
    int error;

    if (idmap_wanted(settings) && (error = idmap_enter(settings)))
        return error;
    if (unshare(CLONE_NEWPID) < 0) {
        error = -errno;
        log_error("--sandbox=namespace: cannot make a pid namespace: %m; --sandbox=chroot or none "
                  "need fewer rights");
        return error;
    }
    return 0;
}

/* Stages 5 and 6, in the server. */
static int stand(const struct settings *settings, int lifeline, struct fuse_server_fds *ret_fds)
{
    int error;

    if (settings->sandbox == SANDBOX_CHROOT)
        return namespaces_chroot(settings, ret_fds);
    error = namespaces_enter(settings, ret_fds);
    if (!error)
        error = idmap_become_root(settings);
    launcher_tie(lifeline);
    return error;
}

bool sandbox_enter(const struct settings *settings, const struct sandbox_launcher *launcher,
                   struct fuse_server_fds *ret_fds)
{
    autoclose int lifeline = -1;

    if (look(settings) || rlimits_apply(settings))
        give_up(launcher);
    if (settings->sandbox == SANDBOX_NONE) {
        if (namespaces_stay(settings, ret_fds))
            give_up(launcher);
        return false;
    }
    if (settings->sandbox == SANDBOX_NAMESPACE && enter_user_and_pid(settings))
        give_up(launcher);
    if (launcher_fork(launcher, settings->sandbox == SANDBOX_NAMESPACE, &lifeline))
        give_up(launcher);
    /* From here on in the server: the launcher sees our end and does what is left to do. */
    if (stand(settings, lifeline, ret_fds))
        _exit(EXIT_FAILURE);
    return true;
}

int sandbox_seal(const struct settings *settings)
{
    int error = caps_seal(settings);

    if (!error)
        error = harden_no_new_privs();
    if (!error)
        error = seccomp_filter_load(settings->seccomp, settings->syslog);
    return error;
}
