// SPDX-License-Identifier: BSD-3-Clause
/*
 * The start-up order, as a flat list. Each step says why it stands where it stands; whatever it
 * prints on failure is one line, and nothing has been served then.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend_info.h"
#include "background.h"
#include "device.h"
#include "fuse_server.h"
#include "listener.h"
#include "log.h"
#include "options.h"
#include "sandbox.h"
#include "settings.h"
#include "signals.h"

static void server_ended(void *argument)
{
    listener_remove(argument);
}

/* Ends the process where the command line asks for no service. */
static void answer_or_return(enum options_outcome outcome, const struct options_report *report)
{
    switch (outcome) {
    case OPTIONS_SERVE:
        return;
    case OPTIONS_HELP:
        options_print_help(stdout);
        break;
    case OPTIONS_VERSION:
        puts("viofsd " VIOFS_VERSION);
        break;
    case OPTIONS_CAPABILITIES:
        backend_info_print(stdout);
        break;
    case OPTIONS_WRONG:
        fprintf(stderr, "viofsd: error: %s\n", report->error);
        exit(EXIT_USAGE);
    }
    exit(fflush(stdout) ? EXIT_FAILURE : EXIT_SUCCESS);
}

/* Goes into the background where that is asked for. Returns what background_ready() needs, or -1.
 */
static int background_or_not(const struct settings *settings)
{
    int fd = settings->daemonize ? background_enter() : -1;

    if (settings->daemonize && fd < 0) {
        fprintf(stderr, "viofsd: error: --daemonize: %s\n", strerror(-fd));
        exit(EXIT_FAILURE);
    }
    return fd;
}

/*
 * Serves until the front-end leaves or a signal asks for the end. ready_fd is for
 * background_ready(), -1: nobody waits. Returns the exit status;
 * *ret_busy tells that a thread hangs in a host call, still in the middle of the server.
 */
static int serve(const struct settings *settings, const struct fuse_server_fds *fds, int socket_fd,
                 int stop_fd, int ready_fd, bool *ret_busy)
{
    struct fuse_server *server;
    int end;

    /* Before the seal: it may need files and calls that serving does not. */
    if (fuse_server_new(settings, fds, &server))
        return EXIT_FAILURE;

    /* Nothing that a front-end sends is read with more rights than these. */
    if (sandbox_seal(settings)) {
        fuse_server_free(server);
        return EXIT_FAILURE;
    }

    /* Kata Containers waits for the first words of this line. */
    log_info("Waiting for vhost-user socket connection...");
    if (ready_fd >= 0)
        background_ready(ready_fd);
    end = device_serve(settings, server, socket_fd, stop_fd);

    *ret_busy = end == DEVICE_END_BUSY;
    if (!*ret_busy)
        fuse_server_free(server);
    return end < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char *argv[])
{
    static struct settings settings;
    static struct options_report report;
    static struct listener listener;
    struct fuse_server_fds fds;

    /* 1. The command line; a wrong one leaves no trace. */
    answer_or_return(options_parse(argc, argv, &settings, &report), &report);

    /* 2. Only what was meant for us stays open; 0 to 2 exist, so no later descriptor is taken
     * for stderr. */
    sandbox_close_inherited(settings.listen_fd);

    /* 3. The process that will be the daemon, before a process id is written down; then signals,
     * before anything exists that would have to be cleaned up. */
    int ready_fd = background_or_not(&settings);
    signals_block();

    /* 4. The log: from here on failures may go to syslog, whose socket is out of reach later. */
    log_init("viofsd", settings.log_level, settings.syslog);
    for (unsigned i = 0; i < report.note_count; i++)
        log_info("%s", report.notes[i]);

    /* 5. The socket: its path, group and pid file belong to the caller's world. */
    if (listener_open(&settings, &listener))
        return EXIT_FAILURE;

    /* 6. Into the sandbox. Outside stays the launcher, which removes socket and pid file. */
    struct sandbox_launcher launcher = {listener.pid_fd, server_ended, &listener};
    bool launched = sandbox_enter(&settings, &launcher, &fds);
    if (launched)
        listener_disown(&listener);

    /* 7. Files get exactly the mode that the guest asks for. */
    umask(0);

    /* 8. The descriptor that tells of signals: of this process, so not before the fork. */
    int stop_fd = signals_open();
    if (stop_fd < 0) {
        errno = -stop_fd;
        log_error("cannot wait for signals: %m");
    }

    /* 9. File system server, seal, device. */
    bool busy = false;
    int status = stop_fd < 0 ? EXIT_FAILURE
                             : serve(&settings, &fds, listener.socket_fd, stop_fd, ready_fd, &busy);

    /* 10. The end. What a hanging thread uses stays as it is until the kernel takes it away. */
    if (!launched)
        listener_remove(&listener);
    if (busy)
        _exit(status);
    options_free(&settings);
    return status;
}
