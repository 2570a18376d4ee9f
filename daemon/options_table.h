// SPDX-License-Identifier: BSD-3-Clause
/*
 * What a row of the option table says. The table is constant; the parser below belongs to one
 * options_parse() call.
 */
#ifndef VIOFS_OPTIONS_TABLE_H
#define VIOFS_OPTIONS_TABLE_H

#include <stdint.h>

#include "options.h"

enum option_section {
    SECTION_SHARE,
    SECTION_FS,
    SECTION_DAX,
    SECTION_SANDBOX,
    SECTION_THREADS,
    SECTION_LOG,
    SECTION_INFO,
    SECTION_COMPAT,
    SECTION_LATER,
    SECTION_COUNT,
};

enum option_argument {
    ARGUMENT_NONE,
    ARGUMENT_REQUIRED, /* --name VALUE or --name=VALUE */
    ARGUMENT_OPTIONAL, /* --name or --name=VALUE */
};

struct option_choice {
    const char *word;
    int value;
    bool hidden; /* an alias that help does not mention */
};

struct option_row;

struct options_parser {
    struct settings *settings;
    struct options_report *report;
    enum options_outcome outcome;
    char spelled[64]; /* the option as the user wrote it, for messages */
    bool migration;   /* a --migration option was given */
};

/*
 * Takes one occurrence of an option. value is NULL where the row takes none, or where an optional
 * one is absent. Returns 0, or -EINVAL after options_fail().
 */
typedef int option_apply(struct options_parser *parser, const struct option_row *row,
                         const char *value);

struct option_row {
    const char *name; /* without the dashes; NULL: only a letter */
    char letter;      /* 0: none */
    enum option_section section;
    enum option_argument argument;
    const char *metavar;      /* what the argument is called; NULL: its choices */
    const char *default_text; /* NULL: nothing to say */
    option_apply *apply;
    size_t offset;                       /* of the field in struct settings */
    bool flag;                           /* apply_flag: what the option sets the field to */
    const struct option_choice *choices; /* apply_choice; ends with a NULL word */
    uint64_t min, max;                   /* of numbers, sizes in bytes; max: apply_outcome */
    const char *help;                    /* plain text; paragraphs are separated by \n */
};

extern const struct option_row option_rows[];
extern const unsigned option_row_count;
extern const char *const option_sections[SECTION_COUNT];

const struct option_row *option_find(const char *name, size_t length);

/* The ways in which a row takes its value. */
option_apply apply_flag, apply_choice, apply_feature, apply_feature_flag, apply_string,
    apply_unsigned, apply_poll_us, apply_fd;
option_apply apply_size, apply_power_of_two, apply_seconds;
option_apply apply_tag, apply_modcaps, apply_id_map, apply_rlimit, apply_debug;
option_apply apply_outcome, apply_migration, apply_compat;
option_apply apply_xattrmap, apply_xattr_preset, apply_id_rule;

/* Puts what presets there are before the rules of --xattrmap. Returns 0, or after options_fail().
 */
int options_finish_xattr_rules(struct options_parser *parser);
void options_free_xattr_rules(struct settings *settings);

/* Writes "a, b or c" of the choices that are not hidden. */
void option_choices_text(const struct option_row *row, char *text, size_t size);

/* Records the error; the first one stays. Returns -EINVAL. */
int options_fail(struct options_parser *parser, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Records that something accepted has no effect. */
void options_note(struct options_parser *parser, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/*
 * What the environment says, where the command line is silent (options_env.c).
 *
 * Takes the socket of a systemd socket unit: 0, with listen_fd set; -ENOENT where none is meant for
 * us; -EINVAL after options_fail().
 */
int options_claim_listen_fds(struct options_parser *parser);

/* RUST_LOG, by which callers quieten the Rust daemon: sets the level of a log that is on stderr. */
void options_take_rust_log(struct settings *settings);

#endif
