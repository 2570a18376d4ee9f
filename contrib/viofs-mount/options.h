// SPDX-License-Identifier: BSD-3-Clause
/*
 * Command line.  The strings belong to argv, the struct to main; read-only after options_parse.
 */
#ifndef VIOFS_MOUNT_OPTIONS_H
#define VIOFS_MOUNT_OPTIONS_H

#include <stdbool.h>

struct options {
    const char *socket;
    const char *directory;
    const char *mount_options; /* all -o joined by commas (malloc'ed), or NULL */
    unsigned int queues;       /* request queues; 0: as many as back-end and CPUs allow */
    unsigned int queue_size;
    unsigned int poll_us;   /* how long to look for a reply before sleeping */
    const char *count_file; /* where to write how many requests came, or NULL */
    bool foreground;
    bool send_interrupt;
};

/* Exits with status 2 and one line for a wrong command line, with 0 after --help and --version. */
void options_parse(struct options *ret_options, int argc, char **argv);

#endif
