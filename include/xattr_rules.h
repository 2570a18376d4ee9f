// SPDX-License-Identifier: BSD-3-Clause
/*
 * The rules by which names of extended attributes differ between guest and host, as the command
 * line gave them: made by daemon/options_xattr, applied by fuse/xattrmap.
 *
 * Owner: struct settings. Read-only once made. The strings point into text.
 */
#ifndef VIOFS_XATTR_RULES_H
#define VIOFS_XATTR_RULES_H

#include <stdbool.h>
#include <stddef.h>

enum xattr_rule_type {
    XATTR_RULE_PREFIX,      /* the host's name is the guest's with prepend before it */
    XATTR_RULE_OK,          /* the same name on both sides */
    XATTR_RULE_BAD,         /* EPERM for the guest, hidden from it */
    XATTR_RULE_UNSUPPORTED, /* EOPNOTSUPP for the guest, hidden from it */
};

/* The first rule that matches a name decides. */
struct xattr_rule {
    enum xattr_rule_type type;
    bool client;      /* looked at for names that the guest uses */
    bool server;      /* looked at for names that the host lists */
    const char *key;  /* the guest's names begin with it */
    const char *host; /* the host's names begin with it */
    /* PREFIX: what comes before the guest's name on the host. host begins with it. */
    const char *prepend;
};

#define XATTR_RULES_MAX 256

struct xattr_rules {
    unsigned count;
    char *text;
    struct xattr_rule rules[XATTR_RULES_MAX];
};

#endif
