// SPDX-License-Identifier: BSD-3-Clause
#include "options_compat.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "scope.h"

enum compat_kind {
    COMPAT_VALUE,   /* word=value becomes --option=value */
    COMPAT_SET,     /* word becomes --option */
    COMPAT_CLEAR,   /* word becomes the opposite of the flag --option */
    COMPAT_NEVER,   /* word becomes --option=never */
    COMPAT_IGNORED, /* no meaning here: a note tells */
    COMPAT_TIMEOUT, /* word=seconds becomes --attr-timeout and --entry-timeout */
};

struct compat_row {
    const char *word;
    enum compat_kind kind;
    const char *option;
};

static const struct compat_row compat_rows[] = {
    {"source", COMPAT_VALUE, "shared-dir"},
    {"cache", COMPAT_VALUE, "cache"},
    {"loglevel", COMPAT_VALUE, "log-level"},
    {"log_level", COMPAT_VALUE, "log-level"},
    {"sandbox", COMPAT_VALUE, "sandbox"},
    {"modcaps", COMPAT_VALUE, "modcaps"},
    {"xattrmap", COMPAT_VALUE, "xattrmap"},
    {"xattr", COMPAT_SET, "xattr"},
    {"no_xattr", COMPAT_CLEAR, "xattr"},
    {"readdirplus", COMPAT_CLEAR, "no-readdirplus"},
    {"no_readdirplus", COMPAT_SET, "no-readdirplus"},
    {"writeback", COMPAT_SET, "writeback"},
    {"no_writeback", COMPAT_CLEAR, "writeback"},
    {"allow_direct_io", COMPAT_SET, "allow-direct-io"},
    {"no_allow_direct_io", COMPAT_CLEAR, "allow-direct-io"},
    {"killpriv_v2", COMPAT_SET, "killpriv-v2"},
    {"no_killpriv_v2", COMPAT_CLEAR, "killpriv-v2"},
    {"announce_submounts", COMPAT_SET, "announce-submounts"},
    {"no_announce_submounts", COMPAT_CLEAR, "announce-submounts"},
    {"posix_acl", COMPAT_SET, "posix-acl"},
    {"no_posix_acl", COMPAT_NEVER, "posix-acl"},
    {"security_label", COMPAT_SET, "security-label"},
    {"no_security_label", COMPAT_NEVER, "security-label"},
    {"posix_lock", COMPAT_SET, "posix-lock"},
    {"no_posix_lock", COMPAT_CLEAR, "posix-lock"},
    {"flock", COMPAT_SET, "flock"},
    {"no_flock", COMPAT_CLEAR, "flock"},
    {"timeout", COMPAT_TIMEOUT, "attr-timeout"},
    {"debug", COMPAT_SET, "debug"},
    {"max_idle_threads", COMPAT_IGNORED, NULL},
    {"allow_root", COMPAT_IGNORED, NULL},
};

/* Values that had another name in the old syntax. */
static const struct {
    const char *option;
    const char *old;
    const char *now;
} compat_values[] = {
    {"cache", "none", "never"},
    {"log-level", "err", "error"},
};

static const char *translate_value(const char *option, const char *value)
{
    for (unsigned i = 0; i < ARRAY_SIZE(compat_values); i++)
        if (!strcmp(compat_values[i].option, option) && !strcmp(compat_values[i].old, value))
            return compat_values[i].now;
    return value;
}

static const struct compat_row *find_word(const char *word)
{
    for (unsigned i = 0; i < ARRAY_SIZE(compat_rows); i++)
        if (!strcmp(compat_rows[i].word, word))
            return &compat_rows[i];
    return NULL;
}

/* The C daemon has one time-out for names and attributes. */
static int run_timeout(struct options_parser *parser, const struct option_row *attributes,
                       const char *value)
{
    const struct option_row *entries = option_find("entry-timeout", strlen("entry-timeout"));

    if (!value)
        return options_fail(parser, "%s needs a value: timeout=%s", parser->spelled,
                            attributes->metavar);
    int error = attributes->apply(parser, attributes, value);
    return error ? error : entries->apply(parser, entries, value);
}

static int run_row(struct options_parser *parser, const struct compat_row *row, const char *value)
{
    const struct option_row *option =
        row->option ? option_find(row->option, strlen(row->option)) : NULL;
    struct option_row opposite;

    switch (row->kind) {
    case COMPAT_VALUE:
        if (!value)
            return options_fail(parser, "%s needs a value: %s=%s", parser->spelled, row->word,
                                option->metavar);
        return option->apply(parser, option, translate_value(row->option, value));
    case COMPAT_TIMEOUT:
        return run_timeout(parser, option, value);
    case COMPAT_SET:
        return option->apply(parser, option, NULL);
    case COMPAT_CLEAR:
        opposite = *option;
        opposite.flag = !option->flag;
        return opposite.apply(parser, &opposite, NULL);
    case COMPAT_NEVER:
        return option->apply(parser, option, "never");
    case COMPAT_IGNORED:
        break;
    }
    options_note(parser, "%s has no effect", parser->spelled);
    return 0;
}

static int take_word(struct options_parser *parser, char *word)
{
    char *value = strchr(word, '=');
    const struct compat_row *row;

    if (value)
        *value++ = '\0';
    snprintf(parser->spelled, sizeof(parser->spelled), "-o %s", word);
    row = find_word(word);
    if (!row)
        return options_fail(parser, "unknown word '%s' in -o: see viofsd --help", word);
    if (value &&
        (row->kind == COMPAT_SET || row->kind == COMPAT_CLEAR || row->kind == COMPAT_NEVER))
        return options_fail(parser, "%s takes no value, got '%s'", parser->spelled, value);
    return run_row(parser, row, value);
}

/*
 * Copies one word, with the commas of a value as they are meant: ",," as libvirt writes it, "\," as
 * the C daemon reads it. Returns what follows the word's comma, or NULL.
 */
static const char *copy_word(const char *words, char *word)
{
    for (; *words; words++) {
        if (words[0] == ',' && words[1] != ',')
            break;
        if ((words[0] == ',' || words[0] == '\\') && words[1] == ',')
            words++;
        *word++ = *words;
    }
    *word = '\0';
    return *words ? words + 1 : NULL;
}

int options_compat_parse(struct options_parser *parser, const char *words)
{
    autofree char *word = malloc(strlen(words) + 1);

    if (!word)
        return options_fail(parser, "-o: out of memory");
    while (words) {
        words = copy_word(words, word);
        int error = take_word(parser, word);
        if (error)
            return error;
    }
    return 0;
}

int apply_compat(struct options_parser *parser, const struct option_row *row, const char *value)
{
    (void)row;
    return options_compat_parse(parser, value);
}
