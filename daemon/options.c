// SPDX-License-Identifier: BSD-3-Clause
#include "options_table.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "scope.h"

int options_fail(struct options_parser *parser, const char *format, ...)
{
    struct options_report *report = parser->report;
    va_list arguments;

    parser->outcome = OPTIONS_WRONG;
    if (report->error[0])
        return -EINVAL;
    va_start(arguments, format);
    vsnprintf(report->error, sizeof(report->error), format, arguments);
    va_end(arguments);
    return -EINVAL;
}

void options_note(struct options_parser *parser, const char *format, ...)
{
    struct options_report *report = parser->report;
    va_list arguments;

    if (report->note_count == OPTIONS_NOTES_MAX)
        return;
    va_start(arguments, format);
    vsnprintf(report->notes[report->note_count++], sizeof(report->notes[0]), format, arguments);
    va_end(arguments);
}

static void set_defaults(struct settings *settings)
{
    *settings = (struct settings){
        .listen_fd = -1,
        .cache = CACHE_AUTO,
        .file_handles = FILE_HANDLES_PREFER,
        .announce_submounts = true,
        .readdirplus = true,
        .killpriv_v2 = FEATURE_AUTO,
        .dax_min_size = UINT64_C(256) << 10,
        .sandbox = SANDBOX_NAMESPACE,
        .seccomp = SECCOMP_KILL,
        .thread_pool_size = THREAD_POOL_SIZE,
        .poll_us = POLL_US_AUTO,
        .log_level = LOG_LEVEL_INFO,
    };
}

static int missing_value(struct options_parser *parser, const struct option_row *row)
{
    char choices[200];

    if (!row->choices || !row->choices[0].word)
        return options_fail(parser, "%s needs a value: %s", parser->spelled, row->metavar);
    option_choices_text(row, choices, sizeof(choices));
    return options_fail(parser, "%s needs a value: %s", parser->spelled, choices);
}

/*
 * Runs one option. attached is the value after '=' (or after the letter), or NULL; next is the
 * following argument or NULL. Returns how many further arguments it took, or a negative errno.
 */
static int run_option(struct options_parser *parser, const struct option_row *row,
                      const char *attached, const char *next)
{
    int error;

    switch (row->argument) {
    case ARGUMENT_NONE:
        if (attached)
            return options_fail(parser, "%s takes no value, got '%s'", parser->spelled, attached);
        return row->apply(parser, row, NULL);
    case ARGUMENT_OPTIONAL:
        return row->apply(parser, row, attached);
    case ARGUMENT_REQUIRED:
        break;
    }
    if (attached)
        return row->apply(parser, row, attached);
    /* What looks like the next option is no value: it must be written with '='. */
    if (!next || !strncmp(next, "--", 2))
        return missing_value(parser, row);
    error = row->apply(parser, row, next);
    return error ? error : 1;
}

static int parse_long(struct options_parser *parser, const char *argument, const char *next)
{
    const char *name = argument + 2;
    const char *equals = strchr(name, '=');
    size_t length = equals ? (size_t)(equals - name) : strlen(name);
    const struct option_row *row = option_find(name, length);

    snprintf(parser->spelled, sizeof(parser->spelled), "--%.*s", (int)length, name);
    if (!row)
        return options_fail(parser, "unknown option '%s': see viofsd --help", parser->spelled);
    return run_option(parser, row, equals ? equals + 1 : NULL, next);
}

static const struct option_row *find_letter(char letter)
{
    for (unsigned i = 0; i < option_row_count; i++)
        if (option_rows[i].letter && option_rows[i].letter == letter)
            return &option_rows[i];
    return NULL;
}

/* "-d", "-df", "-oword", "-o=word" and "-o word". */
static int parse_letters(struct options_parser *parser, const char *argument, const char *next)
{
    for (const char *letter = argument + 1; *letter; letter++) {
        const struct option_row *row = find_letter(*letter);

        snprintf(parser->spelled, sizeof(parser->spelled), "-%c", *letter);
        if (!row)
            return options_fail(parser, "unknown option '%s' in '%s': see viofsd --help",
                                parser->spelled, argument);
        if (row->argument == ARGUMENT_REQUIRED)
            return run_option(parser, row, letter[1] ? letter + 1 + (letter[1] == '=') : NULL,
                              next);

        int error = run_option(parser, row, NULL, NULL);
        if (error || parser->outcome != OPTIONS_SERVE)
            return error;
    }
    return 0;
}

static int check_socket(struct options_parser *parser)
{
    struct settings *settings = parser->settings;

    if (settings->socket_path && settings->listen_fd >= 0)
        return options_fail(parser, "--fd and --socket-path exclude each other: give one of them");
    if (settings->socket_group && settings->listen_fd >= 0)
        return options_fail(parser, "--socket-group is for --socket-path, not for --fd");
    if (settings->socket_path || settings->listen_fd >= 0)
        return 0;
    if (options_claim_listen_fds(parser) == -ENOENT)
        return options_fail(parser, "a socket is required: give --socket-path or --fd");
    return parser->report->error[0] ? -EINVAL : 0;
}

static bool has_rules(const struct id_translation *translation)
{
    return translation->to_host.count || translation->to_guest.count;
}

/* What only the whole of the command line can tell. */
static int check_together(struct options_parser *parser)
{
    struct settings *settings = parser->settings;

    if (!settings->shared_dir)
        return options_fail(parser,
                            "--shared-dir is required: give the directory to share; see --help");
    if ((settings->uid_map_count || settings->gid_map_count) &&
        settings->sandbox != SANDBOX_NAMESPACE)
        return options_fail(parser, "--uid-map and --gid-map need --sandbox=namespace");
    if (settings->owner_xattr &&
        (has_rules(&settings->translate_uid) || has_rules(&settings->translate_gid)))
        return options_fail(parser, "--owner-xattr and --translate-uid or --translate-gid exclude "
                                    "each other");
    if (options_finish_xattr_rules(parser))
        return -EINVAL;
    settings->xattr |= settings->xattr_rules || settings->posix_acl != FEATURE_NEVER ||
                       settings->security_label != FEATURE_NEVER;
    if (!settings->request_queues)
        settings->request_queues = settings->tag ? 1 : REQUEST_QUEUES_MAX;
    if (settings->thread_pool_size > THREAD_POOL_MAX) {
        options_note(parser, "--thread-pool-size=%u: %d threads are the most",
                     settings->thread_pool_size, THREAD_POOL_MAX);
        settings->thread_pool_size = THREAD_POOL_MAX;
    }
    return check_socket(parser);
}

enum options_outcome options_parse(int argc, char *const argv[], struct settings *ret_settings,
                                   struct options_report *ret_report)
{
    struct options_parser parser = {
        .settings = ret_settings,
        .report = ret_report,
        .outcome = OPTIONS_SERVE,
    };

    set_defaults(ret_settings);
    *ret_report = (struct options_report){0};
    for (int i = 1; i < argc && parser.outcome == OPTIONS_SERVE; i++) {
        const char *argument = argv[i];
        const char *next = i + 1 < argc ? argv[i + 1] : NULL;
        int taken;

        if (!strcmp(argument, "--") && !next)
            break; /* the end of the options, and of all */
        if (argument[0] != '-' || !argument[1] || !strcmp(argument, "--"))
            taken = options_fail(&parser, "unexpected argument '%s': see viofsd --help", argument);
        else if (argument[1] == '-')
            taken = parse_long(&parser, argument, next);
        else
            taken = parse_letters(&parser, argument, next);
        if (taken > 0)
            i += taken;
    }
    if (parser.outcome == OPTIONS_SERVE && !check_together(&parser))
        options_take_rust_log(ret_settings);
    return parser.outcome;
}

void options_free(struct settings *settings)
{
    free(settings->shared_dir);
    free(settings->socket_path);
    free(settings->socket_group);
    free(settings->tag);
    options_free_xattr_rules(settings);
    settings->shared_dir = settings->socket_path = settings->socket_group = settings->tag = NULL;
}
