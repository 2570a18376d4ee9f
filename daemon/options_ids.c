// SPDX-License-Identifier: BSD-3-Clause
/*
 * --translate-uid and --translate-gid: rules of the form TYPE:NUMBER:... become ranges, which stay
 * in order and do not overlap, so that a request needs nothing but a binary search.
 */
#include <string.h>

#include "options_table.h"

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

/* Ids are below it; so is what follows the last id of a range, or equal to it. */
#define ID_LIMIT          (UINT64_C(1) << 32)

struct rule_type {
    const char *name;
    const char *form;
    unsigned numbers; /* the last one is the count */
    bool from_guest;
    bool from_host;
    enum id_rule rule;
};

static const struct rule_type rule_types[] = {
    {"guest", "guest:GUEST:HOST:COUNT", 3, true, false, ID_SHIFT},
    {"host", "host:HOST:GUEST:COUNT", 3, false, true, ID_SHIFT},
    {"squash-guest", "squash-guest:GUEST:HOST:COUNT", 3, true, false, ID_SQUASH},
    {"squash-host", "squash-host:HOST:GUEST:COUNT", 3, false, true, ID_SQUASH},
    {"forbid-guest", "forbid-guest:GUEST:COUNT", 2, true, false, ID_FORBID},
    {"map", "map:GUEST:HOST:COUNT", 3, true, true, ID_SHIFT},
};

static const struct rule_type *find_type(const char *value)
{
    size_t length = strcspn(value, ":");

    for (size_t i = 0; i < ARRAY_SIZE(rule_types); i++)
        if (strlen(rule_types[i].name) == length && !memcmp(value, rule_types[i].name, length))
            return &rule_types[i];
    return NULL;
}

/* Takes ":NUMBER". Returns what follows it, or NULL. */
static const char *take_number(const char *text, uint64_t *ret_number)
{
    uint64_t number = 0;
    const char *digits = text + 1;
    const char *at = digits;

    if (*text != ':')
        return NULL;
    for (; *at >= '0' && *at <= '9'; at++) {
        number = number * 10 + (uint64_t)(*at - '0');
        if (number >= ID_LIMIT)
            return NULL;
    }
    *ret_number = number;
    return at == digits ? NULL : at;
}

/* Puts a range in its place. Returns the one that is there already, or NULL. */
static const struct id_range *insert(struct id_table *table, struct id_range range)
{
    unsigned place = 0;

    while (place < table->count && table->ranges[place].last < range.first)
        place++;
    if (place < table->count && table->ranges[place].first <= range.last)
        return &table->ranges[place];
    memmove(&table->ranges[place + 1], &table->ranges[place],
            (table->count - place) * sizeof(range));
    table->ranges[place] = range;
    table->count++;
    return NULL;
}

static int add(struct options_parser *parser, const char *value, struct id_table *table,
               const char *side, struct id_range range)
{
    if (table->count == ID_RANGES_MAX)
        return options_fail(parser, "%s: more than %d ranges", parser->spelled, ID_RANGES_MAX);
    const struct id_range *other = insert(table, range);
    if (!other)
        return 0;
    return options_fail(parser, "%s: '%s': %s ids %u to %u have a rule already", parser->spelled,
                        value, side, other->first > range.first ? other->first : range.first,
                        other->last < range.last ? other->last : range.last);
}

static int add_rule(struct options_parser *parser, const char *value, const struct rule_type *type,
                    struct id_translation *translation, const uint64_t numbers[3])
{
    uint64_t count = numbers[type->numbers - 1];
    uint64_t from = numbers[0];
    uint64_t to = type->rule == ID_FORBID ? 0 : numbers[1];
    int error = 0;

    if (from + count > ID_LIMIT || (type->rule == ID_SHIFT && to + count > ID_LIMIT))
        return options_fail(parser, "%s: '%s': the range ends behind 4294967295", parser->spelled,
                            value);
    if (type->rule == ID_SQUASH && to == ID_LIMIT - 1)
        return options_fail(parser, "%s: '%s': 4294967295 is no id", parser->spelled, value);
    if (!count)
        return 0;
    struct id_range forth = {(uint32_t)from, (uint32_t)(from + count - 1), (uint32_t)to,
                             type->rule};
    struct id_range back = {(uint32_t)to, (uint32_t)(to + count - 1), (uint32_t)from, type->rule};
    if (type->from_guest)
        error = add(parser, value, &translation->to_host, "guest", forth);
    if (!error && type->from_host)
        error = add(parser, value, &translation->to_guest, "host", type->from_guest ? back : forth);
    return error;
}

int apply_id_rule(struct options_parser *parser, const struct option_row *row, const char *value)
{
    struct id_translation *translation =
        (struct id_translation *)((char *)parser->settings + row->offset);
    const struct rule_type *type = find_type(value);
    uint64_t numbers[3];
    const char *at = value + strcspn(value, ":");

    if (!type)
        return options_fail(parser,
                            "%s: '%s' does not begin with guest, host, squash-guest, squash-host, "
                            "forbid-guest or map",
                            parser->spelled, value);
    for (unsigned i = 0; at && i < type->numbers; i++)
        at = take_number(at, &numbers[i]);
    if (!at || *at)
        return options_fail(parser, "%s: '%s' is not of the form %s", parser->spelled, value,
                            type->form);
    return add_rule(parser, value, type, translation, numbers);
}
