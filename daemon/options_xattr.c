// SPDX-License-Identifier: BSD-3-Clause
/*
 * --xattrmap and --xattr-preset: rules in the language of the older daemons.
 *
 *     :type:scope:key:prepend:     type: prefix, ok, bad, unsupported; scope: client, server, all
 *     :map:key:prepend:            the last rule, for several of the others
 *
 * Each rule has a separator of its own, its first character; white space may stand between rules.
 */
#include <ctype.h>
#include <errno.h>
#include <linux/limits.h>
#include <stdlib.h>
#include <string.h>

#include "options_table.h"
#include "scope.h"
#include "xattr_rules.h"

/* Where in the value a rule stands, for messages. */
struct rule_reader {
    struct options_parser *parser;
    char *start; /* of the value, in memory of our own */
    char *at;
    char separator[8]; /* one character, in UTF-8 */
};

static const struct {
    const char *word;
    enum xattr_rule_type type;
} types[] = {
    {"prefix", XATTR_RULE_PREFIX},
    {"ok", XATTR_RULE_OK},
    {"bad", XATTR_RULE_BAD},
    {"unsupported", XATTR_RULE_UNSUPPORTED},
};

static int position(const struct rule_reader *reader, const char *at)
{
    return (int)(at - reader->start) + 1;
}

/* Takes the character at reader->at as the rule's separator. */
static void take_separator(struct rule_reader *reader)
{
    size_t length = 0;

    do
        reader->separator[length++] = *reader->at++;
    while (length < sizeof(reader->separator) - 1 && ((unsigned char)*reader->at & 0xc0) == 0x80);
    reader->separator[length] = '\0';
}

/* Takes a field, which ends with the separator. Returns NULL after options_fail(). */
static char *take_field(struct rule_reader *reader, const char *what)
{
    const char *separator = reader->separator;
    char *field = reader->at;
    char *end = strstr(field, separator);

    if (!end) {
        options_fail(reader->parser,
                     "%s: character %d: no '%s' after the %s: a rule is "
                     "%stype%sscope%skey%sprepend%s or %smap%skey%sprepend%s",
                     reader->parser->spelled, position(reader, field), separator, what, separator,
                     separator, separator, separator, separator, separator, separator, separator,
                     separator);
        return NULL;
    }
    reader->at = end + strlen(separator);
    *end = '\0';
    return field;
}

/* The same for the parts of names. */
static char *take_name(struct rule_reader *reader, const char *what)
{
    char *name = take_field(reader, what);

    if (!name || strlen(name) <= XATTR_NAME_MAX)
        return name;
    options_fail(reader->parser, "%s: character %d: %s is longer than %d bytes",
                 reader->parser->spelled, position(reader, name), what, XATTR_NAME_MAX);
    return NULL;
}

static int add_rule(struct options_parser *parser, const struct xattr_rule *rule)
{
    struct xattr_rules *rules = parser->settings->xattr_rules;

    if (rules->count == XATTR_RULES_MAX)
        return options_fail(parser, "%s: more than %d rules", parser->spelled, XATTR_RULES_MAX);
    rules->rules[rules->count++] = *rule;
    return 0;
}

static int take_type(struct rule_reader *reader, const char *word, enum xattr_rule_type *ret_type)
{
    for (unsigned i = 0; i < ARRAY_SIZE(types); i++) {
        if (!strcmp(types[i].word, word)) {
            *ret_type = types[i].type;
            return 0;
        }
    }
    return options_fail(
        reader->parser,
        "%s: character %d: '%.40s' is not one of prefix, ok, bad, unsupported or map",
        reader->parser->spelled, position(reader, word), word);
}

static int take_scope(struct rule_reader *reader, struct xattr_rule *rule)
{
    const char *word = take_field(reader, "scope");

    if (!word)
        return -EINVAL;
    rule->client = !strcmp(word, "client") || !strcmp(word, "all");
    rule->server = !strcmp(word, "server") || !strcmp(word, "all");
    if (rule->client || rule->server)
        return 0;
    return options_fail(reader->parser,
                        "%s: character %d: '%.40s' is not one of client, server or all",
                        reader->parser->spelled, position(reader, word), word);
}

static int take_names(struct rule_reader *reader, struct xattr_rule *rule)
{
    const char *key = take_name(reader, "key");
    const char *prepend = key ? take_name(reader, "prepend") : NULL;

    if (!prepend)
        return -EINVAL;
    rule->key = key;
    rule->host = rule->prepend = prepend;
    return 0;
}

/*
 * Names that begin with key get prepend before them. Of the others, those that could be mistaken
 * for them are barred; with an empty key those are all that the host has besides.
 */
static int expand_map(struct rule_reader *reader)
{
    struct xattr_rule prefix = {.type = XATTR_RULE_PREFIX, .client = true, .server = true};
    int error = take_names(reader, &prefix);

    if (error)
        return error;
    struct xattr_rule mistaken = prefix;
    mistaken.type = XATTR_RULE_BAD;
    mistaken.key = prefix.prepend;
    mistaken.host = prefix.key;
    struct xattr_rule rest = prefix;
    rest.type = *prefix.key ? XATTR_RULE_OK : XATTR_RULE_BAD;
    rest.key = rest.host = rest.prepend = "";
    error = add_rule(reader->parser, &prefix);
    if (!error && *prefix.key)
        error = add_rule(reader->parser, &mistaken);
    return error ? error : add_rule(reader->parser, &rest);
}

static void skip_space(struct rule_reader *reader)
{
    while (isspace((unsigned char)*reader->at))
        reader->at++;
}

/* Takes one rule. *ret_last: nothing may follow it. */
static int take_rule(struct rule_reader *reader, bool *ret_last)
{
    struct xattr_rule rule = {0};

    take_separator(reader);
    const char *word = take_field(reader, "type");
    if (!word)
        return -EINVAL;
    *ret_last = !strcmp(word, "map");
    if (*ret_last)
        return expand_map(reader);
    int error = take_type(reader, word, &rule.type);
    if (!error)
        error = take_scope(reader, &rule);
    if (!error)
        error = take_names(reader, &rule);
    return error ? error : add_rule(reader->parser, &rule);
}

static int take_rules(struct rule_reader *reader)
{
    bool last = false;

    skip_space(reader);
    if (!*reader->at)
        return options_fail(reader->parser, "%s: no rule: write for example :map::user.virtiofs.:",
                            reader->parser->spelled);
    while (*reader->at) {
        if (last)
            return options_fail(reader->parser,
                                "%s: character %d: a rule follows map, which must be the last one",
                                reader->parser->spelled, position(reader, reader->at));
        int error = take_rule(reader, &last);
        if (error)
            return error;
        skip_space(reader);
    }
    return 0;
}

void options_free_xattr_rules(struct settings *settings)
{
    if (settings->xattr_rules)
        free(settings->xattr_rules->text);
    free(settings->xattr_rules);
    settings->xattr_rules = NULL;
}

int apply_xattrmap(struct options_parser *parser, const struct option_row *row, const char *value)
{
    struct settings *settings = parser->settings;
    struct rule_reader reader = {.parser = parser};

    (void)row;
    options_free_xattr_rules(settings);
    settings->xattr_rules = calloc(1, sizeof(*settings->xattr_rules));
    if (settings->xattr_rules)
        settings->xattr_rules->text = strdup(value);
    if (!settings->xattr_rules || !settings->xattr_rules->text)
        return options_fail(parser, "%s: out of memory", parser->spelled);
    reader.start = reader.at = settings->xattr_rules->text;
    return take_rules(&reader);
}

/*
 * A preset: the names that begin with key are stored with user.virtiofs. before them, which needs
 * no privilege on the host. The names are those that the older daemons give them with
 * :map:key:user.virtiofs.:, so that shares can change hands.
 */
#define PRESET_PREPEND "user.virtiofs."

static const struct {
    const char *word;
    const char *key;
    const char *host;
} presets[] = {
    {"overlay", "trusted.overlay.", PRESET_PREPEND "trusted.overlay."},
    {"selinux", "security.selinux", PRESET_PREPEND "security.selinux"},
};

static int take_preset(struct options_parser *parser, const char *word, size_t length)
{
    for (unsigned i = 0; i < ARRAY_SIZE(presets); i++) {
        if (strlen(presets[i].word) == length && !memcmp(presets[i].word, word, length)) {
            parser->settings->xattr_presets |= 1u << i;
            return 0;
        }
    }
    return options_fail(parser, "%s: '%.*s' is not one of overlay or selinux", parser->spelled,
                        (int)length, word);
}

int apply_xattr_preset(struct options_parser *parser, const struct option_row *row,
                       const char *value)
{
    (void)row;
    parser->settings->xattr_presets = 0;
    for (;;) {
        size_t length = strcspn(value, ",");

        if (take_preset(parser, value, length))
            return -EINVAL;
        if (!value[length])
            return 0;
        value += length + 1;
    }
}

/* A preset's two rules: the renaming, and that nobody sees what the host has under that name. */
static unsigned put_preset(struct xattr_rule *rules, unsigned i)
{
    rules[0] = (struct xattr_rule){
        .type = XATTR_RULE_PREFIX,
        .client = true,
        .server = true,
        .key = presets[i].key,
        .host = presets[i].host,
        .prepend = PRESET_PREPEND,
    };
    rules[1] = (struct xattr_rule){
        .type = XATTR_RULE_BAD,
        .client = true,
        .server = true,
        .key = presets[i].host, /* a guest's ordinary user must not write it as a user.* name */
        .host = presets[i].key,
    };
    return 2;
}

int options_finish_xattr_rules(struct options_parser *parser)
{
    struct settings *settings = parser->settings;
    struct xattr_rule first[2 * ARRAY_SIZE(presets)];
    unsigned count = 0;

    if (!settings->xattr_presets)
        return 0;
    for (unsigned i = 0; i < ARRAY_SIZE(presets); i++)
        if (settings->xattr_presets & (1u << i))
            count += put_preset(first + count, i);
    snprintf(parser->spelled, sizeof(parser->spelled), "--xattr-preset");
    if (!settings->xattr_rules) {
        static const struct option_row none;
        int error = apply_xattrmap(parser, &none, ":ok:all:::");
        if (error)
            return error;
    }
    struct xattr_rules *rules = settings->xattr_rules;
    if (rules->count + count > XATTR_RULES_MAX)
        return options_fail(parser, "%s: more than %d rules", parser->spelled, XATTR_RULES_MAX);
    memmove(rules->rules + count, rules->rules, rules->count * sizeof(rules->rules[0]));
    memcpy(rules->rules, first, count * sizeof(first[0]));
    rules->count += count;
    return 0;
}
