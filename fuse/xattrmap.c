// SPDX-License-Identifier: BSD-3-Clause
#include "xattrmap.h"

#include <errno.h>
#include <linux/limits.h>
#include <string.h>

static bool begins_with(const char *name, const char *start)
{
    return strncmp(name, start, strlen(start)) == 0;
}

static int with_prefix(const char *prepend, const char *name, char *room, const char **ret_name)
{
    size_t before = strlen(prepend);
    size_t length = strlen(name);
    if (before + length + 1 > XATTRMAP_NAME_MAX)
        return -ERANGE;
    memcpy(room, prepend, before);
    memcpy(room + before, name, length + 1);
    *ret_name = room;
    return 0;
}

int xattrmap_to_host(const struct xattr_rules *rules, const char *name, char *room,
                     const char **ret_name)
{
    if (!rules) {
        *ret_name = name;
        return 0;
    }
    for (unsigned i = 0; i < rules->count; i++) {
        const struct xattr_rule *rule = &rules->rules[i];
        if (!rule->client || !begins_with(name, rule->key))
            continue;
        switch (rule->type) {
        case XATTR_RULE_PREFIX:
            return with_prefix(rule->prepend, name, room, ret_name);
        case XATTR_RULE_OK:
            *ret_name = name;
            return 0;
        case XATTR_RULE_BAD:
            return -EPERM;
        case XATTR_RULE_UNSUPPORTED:
            return -EOPNOTSUPP;
        }
    }
    return -EPERM;
}

const char *xattrmap_to_guest(const struct xattr_rules *rules, const char *name)
{
    if (!rules)
        return name;
    for (unsigned i = 0; i < rules->count; i++) {
        const struct xattr_rule *rule = &rules->rules[i];
        if (!rule->server || !begins_with(name, rule->host))
            continue;
        if (rule->type == XATTR_RULE_OK)
            return name;
        if (rule->type != XATTR_RULE_PREFIX)
            return NULL;
        name += strlen(rule->prepend);
        return *name ? name : NULL; /* a list has no empty names */
    }
    return NULL;
}
