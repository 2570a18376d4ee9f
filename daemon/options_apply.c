// SPDX-License-Identifier: BSD-3-Clause
/* How the rows of the option table take their values. */
#include <cap-ng.h>
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "options_table.h"
#include "scope.h"

#define ID_LIMIT     (UINT64_C(1) << 32)
#define NSEC_PER_SEC UINT64_C(1000000000)

_Static_assert(sizeof(enum cache_mode) == sizeof(int) && sizeof(enum sandbox_mode) == sizeof(int) &&
                   sizeof(enum seccomp_mode) == sizeof(int) &&
                   sizeof(enum file_handles_mode) == sizeof(int) &&
                   sizeof(enum dax_mode) == sizeof(int) &&
                   sizeof(enum feature_mode) == sizeof(int) &&
                   sizeof(enum dax_protocol) == sizeof(int) &&
                   sizeof(enum log_level) == sizeof(int),
               "apply_choice writes an int");

static void *field(struct options_parser *parser, const struct option_row *row)
{
    return (char *)parser->settings + row->offset;
}

/* Reads digits only, at least one, up to limit. Returns what follows them, or NULL. */
static const char *read_number(const char *text, uint64_t limit, uint64_t *ret_number)
{
    uint64_t number = 0;

    if (!isdigit((unsigned char)*text))
        return NULL;
    for (; isdigit((unsigned char)*text); text++) {
        number = number * 10 + (uint64_t)(*text - '0');
        if (number > limit)
            return NULL;
    }
    *ret_number = number;
    return text;
}

static int take_number(struct options_parser *parser, const struct option_row *row,
                       const char *value, uint64_t *ret_number)
{
    uint64_t number;
    const char *end = read_number(value, row->max, &number);

    if (!end || *end || number < row->min)
        return options_fail(parser, "%s: '%s' is not a number from %llu to %llu", parser->spelled,
                            value, (unsigned long long)row->min, (unsigned long long)row->max);
    *ret_number = number;
    return 0;
}

int apply_flag(struct options_parser *parser, const struct option_row *row, const char *value)
{
    (void)value;
    *(bool *)field(parser, row) = row->flag;
    return 0;
}

void option_choices_text(const struct option_row *row, char *text, size_t size)
{
    size_t fill = 0;
    unsigned shown = 0;
    unsigned total = 0;

    text[0] = '\0';
    for (const struct option_choice *choice = row->choices; choice->word; choice++)
        total += !choice->hidden;
    for (const struct option_choice *choice = row->choices; choice->word; choice++) {
        if (choice->hidden)
            continue;
        shown++;
        const char *before = shown == 1 ? "" : shown == total ? " or " : ", ";
        int written = snprintf(text + fill, size - fill, "%s%s", before, choice->word);
        if (written < 0 || (size_t)written >= size - fill)
            return;
        fill += (size_t)written;
    }
}

static const struct option_choice *find_choice(const struct option_row *row, const char *value)
{
    for (const struct option_choice *choice = row->choices; choice->word; choice++)
        if (!strcasecmp(choice->word, value))
            return choice;
    return NULL;
}

static const struct option_choice *take_choice(struct options_parser *parser,
                                               const struct option_row *row, const char *value)
{
    const struct option_choice *choice = find_choice(row, value);
    char choices[200];

    if (choice)
        return choice;
    option_choices_text(row, choices, sizeof(choices));
    options_fail(parser, "%s: '%s' is not one of %s", parser->spelled, value, choices);
    return NULL;
}

int apply_choice(struct options_parser *parser, const struct option_row *row, const char *value)
{
    const struct option_choice *choice = take_choice(parser, row, value);

    if (!choice)
        return -EINVAL;
    *(int *)field(parser, row) = choice->value;
    return 0;
}

int apply_feature_flag(struct options_parser *parser, const struct option_row *row,
                       const char *value)
{
    (void)value;
    *(int *)field(parser, row) = row->flag ? FEATURE_ALWAYS : FEATURE_NEVER;
    return 0;
}

/* Without a value: always. */
int apply_feature(struct options_parser *parser, const struct option_row *row, const char *value)
{
    return apply_choice(parser, row, value ? value : "always");
}

int apply_string(struct options_parser *parser, const struct option_row *row, const char *value)
{
    char **string = field(parser, row);

    if (!*value)
        return options_fail(parser, "%s: the value is empty: give a %s", parser->spelled,
                            row->metavar);
    char *copy = strdup(value);
    if (!copy)
        return options_fail(parser, "%s: out of memory", parser->spelled);
    free(*string);
    *string = copy;
    return 0;
}

int apply_tag(struct options_parser *parser, const struct option_row *row, const char *value)
{
    size_t length = strlen(value);

    if (length < 1 || length > TAG_MAX_BYTES)
        return options_fail(parser, "%s: '%s' has %zu bytes: 1 to %d are right", parser->spelled,
                            value, length, TAG_MAX_BYTES);
    return apply_string(parser, row, value);
}

int apply_unsigned(struct options_parser *parser, const struct option_row *row, const char *value)
{
    uint64_t number = 0;

    if (take_number(parser, row, value, &number))
        return -EINVAL;
    *(unsigned *)field(parser, row) = (unsigned)number;
    return 0;
}

int apply_poll_us(struct options_parser *parser, const struct option_row *row, const char *value)
{
    struct settings *settings = parser->settings;

    settings->poll_always = strcmp(value, "auto");
    if (settings->poll_always)
        return apply_unsigned(parser, row, value);
    settings->poll_us = POLL_US_AUTO;
    return 0;
}

int apply_fd(struct options_parser *parser, const struct option_row *row, const char *value)
{
    uint64_t number;
    const char *end = read_number(value, INT_MAX, &number);

    if (!end || *end)
        return options_fail(parser, "%s: '%s' is not the number of a descriptor", parser->spelled,
                            value);
    *(int *)field(parser, row) = (int)number;
    return 0;
}

/* "4096", "64K", "2M", "8G": bytes, or binary multiples of them. Returns false for anything else.
 */
static bool read_size(const char *text, uint64_t *ret_size)
{
    static const char suffixes[] = "kmg";
    uint64_t number = 0;
    unsigned shift = 0;
    const char *end = read_number(text, UINT64_MAX / 10 - 1, &number);

    if (!end)
        return false;
    if (*end) {
        const char *suffix = strchr(suffixes, tolower((unsigned char)*end));

        if (!suffix || end[1])
            return false;
        shift = 10 * (unsigned)(suffix - suffixes + 1);
    }
    if (number > UINT64_MAX >> shift)
        return false;
    *ret_size = number << shift;
    return true;
}

/* Writes a size of the table, a round number, as a user would. */
static const char *size_text(uint64_t size, char *text, size_t text_size)
{
    static const char *const suffixes[] = {"", "K", "M", "G"};
    unsigned i = 0;

    for (; size && size % 1024 == 0 && i + 1 < ARRAY_SIZE(suffixes); i++)
        size /= 1024;
    snprintf(text, text_size, "%llu%s", (unsigned long long)size, suffixes[i]);
    return text;
}

int apply_size(struct options_parser *parser, const struct option_row *row, const char *value)
{
    uint64_t size = 0;
    char min[24], max[24];

    if (!read_size(value, &size) || size < row->min || size > row->max)
        return options_fail(parser, "%s: '%s' is not a size from %s to %s", parser->spelled, value,
                            size_text(row->min, min, sizeof(min)),
                            size_text(row->max, max, sizeof(max)));
    *(uint64_t *)field(parser, row) = size;
    return 0;
}

int apply_power_of_two(struct options_parser *parser, const struct option_row *row,
                       const char *value)
{
    uint64_t size = 0;

    if (read_size(value, &size) && (size & (size - 1)))
        return options_fail(parser, "%s: '%s' is not a power of two", parser->spelled, value);
    return apply_size(parser, row, value);
}

/* "5", "0.25": seconds, and a fraction of up to nine digits. Returns false for anything else. */
static bool read_seconds(const char *text, uint64_t limit, uint64_t *ret_nanoseconds)
{
    uint64_t seconds = 0;
    uint64_t fraction = 0;
    uint64_t unit = NSEC_PER_SEC;
    const char *end = read_number(text, limit, &seconds);

    if (!end)
        return false;
    if (*end == '.' && end[1])
        for (end++; isdigit((unsigned char)*end) && unit > 1; end++) {
            unit /= 10;
            fraction += (uint64_t)(*end - '0') * unit;
        }
    if (*end || (seconds == limit && fraction))
        return false;
    *ret_nanoseconds = seconds * NSEC_PER_SEC + fraction;
    return true;
}

int apply_seconds(struct options_parser *parser, const struct option_row *row, const char *value)
{
    uint64_t nanoseconds = 0;

    if (!read_seconds(value, row->max, &nanoseconds))
        return options_fail(parser, "%s: '%s' is not a number of seconds from 0 to %llu, as in 1.5",
                            parser->spelled, value, (unsigned long long)row->max);
    *(struct timeout *)field(parser, row) = (struct timeout){true, nanoseconds};
    return 0;
}

int apply_rlimit(struct options_parser *parser, const struct option_row *row, const char *value)
{
    if (take_number(parser, row, value, &parser->settings->rlimit_nofile))
        return -EINVAL;
    parser->settings->rlimit_nofile_set = true;
    return 0;
}

/* One "+name" or "-name" of --modcaps. */
static int take_modcap(struct options_parser *parser, const char *word, size_t length)
{
    struct settings *settings = parser->settings;
    char name[32];

    if (length < 2 || (word[0] != '+' && word[0] != '-'))
        return options_fail(parser,
                            "%s: '%.*s' does not begin with + or -: write +sys_admin:-chown",
                            parser->spelled, (int)length, word);
    snprintf(name, sizeof(name), "%.*s", (int)(length - 1), word + 1);
    int capability = length - 1 < sizeof(name) ? capng_name_to_capability(name) : -1;
    if (capability < 0 || capability > 63)
        return options_fail(parser, "%s: '%.*s' is not a capability: see capabilities(7)",
                            parser->spelled, (int)(length - 1), word + 1);

    uint64_t bit = UINT64_C(1) << capability;
    settings->modcaps_add &= ~bit;
    settings->modcaps_drop &= ~bit;
    *(word[0] == '+' ? &settings->modcaps_add : &settings->modcaps_drop) |= bit;
    return 0;
}

int apply_modcaps(struct options_parser *parser, const struct option_row *row, const char *value)
{
    (void)row;
    parser->settings->modcaps_add = parser->settings->modcaps_drop = 0;
    for (;;) {
        size_t length = strcspn(value, ":");

        if (take_modcap(parser, value, length))
            return -EINVAL;
        if (!value[length])
            return 0;
        value += length + 1;
    }
}

/* ":inside:outside:count:", where any character may stand for the colon. */
static bool read_id_map(const char *value, struct id_map *ret_map)
{
    uint64_t numbers[3];
    char delimiter = *value;

    if (!delimiter || isdigit((unsigned char)delimiter))
        return false;
    for (unsigned i = 0; i < ARRAY_SIZE(numbers); i++) {
        value = read_number(value + 1, ID_LIMIT - 1, &numbers[i]);
        if (!value || *value != delimiter)
            return false;
    }
    if (value[1] || !numbers[2] || numbers[0] + numbers[2] > ID_LIMIT - 1 ||
        numbers[1] + numbers[2] > ID_LIMIT - 1)
        return false;
    *ret_map = (struct id_map){(uint32_t)numbers[0], (uint32_t)numbers[1], (uint32_t)numbers[2]};
    return true;
}

static bool overlaps(uint32_t a, uint32_t a_count, uint32_t b, uint32_t b_count)
{
    return a < (uint64_t)b + b_count && b < (uint64_t)a + a_count;
}

int apply_id_map(struct options_parser *parser, const struct option_row *row, const char *value)
{
    struct settings *settings = parser->settings;
    struct id_map *maps = field(parser, row);
    unsigned *count =
        maps == settings->uid_maps ? &settings->uid_map_count : &settings->gid_map_count;
    struct id_map map;

    if (!read_id_map(value, &map))
        return options_fail(parser, "%s: '%s' is not of the form %s", parser->spelled, value,
                            row->metavar);
    for (unsigned i = 0; i < *count; i++)
        if (overlaps(map.inside, map.count, maps[i].inside, maps[i].count) ||
            overlaps(map.outside, map.count, maps[i].outside, maps[i].count))
            return options_fail(parser, "%s: '%s' overlaps an earlier range", parser->spelled,
                                value);
    if (*count == ID_MAPS_MAX)
        return options_fail(parser, "%s: more than %d ranges", parser->spelled, ID_MAPS_MAX);
    maps[(*count)++] = map;
    return 0;
}

int apply_debug(struct options_parser *parser, const struct option_row *row, const char *value)
{
    (void)row;
    (void)value;
    parser->settings->log_level = LOG_LEVEL_DEBUG;
    parser->settings->daemonize = false;
    return 0;
}

/*
 * How a migration should go, if there were one. Nobody is misled: without the protocol feature
 * DEVICE_STATE the VMM does not begin to migrate.
 */
int apply_migration(struct options_parser *parser, const struct option_row *row, const char *value)
{
    if (value && !take_choice(parser, row, value))
        return -EINVAL;
    if (!parser->migration)
        options_note(parser, "%s has no effect: live migration is not supported yet",
                     parser->spelled);
    parser->migration = true;
    return 0;
}

int apply_outcome(struct options_parser *parser, const struct option_row *row, const char *value)
{
    (void)value;
    parser->outcome = (enum options_outcome)row->max;
    return 0;
}
