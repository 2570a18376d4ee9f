// SPDX-License-Identifier: BSD-3-Clause
/*
 * The command line. options_table.c has one row per option; the row drives parsing, help and
 * manual page.
 *
 * Owner: main. Used once, before threads.
 */
#ifndef VIOFS_OPTIONS_H
#define VIOFS_OPTIONS_H

#include <stdio.h>

#include "settings.h"

enum options_outcome {
    OPTIONS_SERVE,        /* the settings are complete */
    OPTIONS_HELP,         /* -h */
    OPTIONS_VERSION,      /* -V */
    OPTIONS_CAPABILITIES, /* --print-capabilities */
    OPTIONS_WRONG,        /* usage error: report->error says which and what is right */
};

/* The status that a usage error ends with; everything else that fails ends with 1. */
#define EXIT_USAGE        2

#define OPTIONS_NOTES_MAX 16

/* What there is to say about a command line, without the program's name and a newline. */
struct options_report {
    char error[512];
    char notes[OPTIONS_NOTES_MAX][160]; /* options that were accepted and have no effect */
    unsigned note_count;
};

/*
 * Fills *ret_settings from the arguments (argv[0] is skipped) and, when neither a socket path nor
 * a descriptor is given, from LISTEN_FDS and LISTEN_PID, which are then removed from the
 * environment. The last of repeated options wins; --uid-map and --gid-map add up. RUST_LOG beats
 * --log-level, unless the log goes to syslog.
 *
 * Only the words are checked here: whether directory, socket and group exist shows later.
 * *ret_settings is to be released with options_free() whatever the outcome.
 */
enum options_outcome options_parse(int argc, char *const argv[], struct settings *ret_settings,
                                   struct options_report *ret_report);
void options_free(struct settings *settings);

void options_print_help(FILE *out);

/* The manual page viofsd(1), in mdoc. */
void options_print_man(FILE *out);

#endif
