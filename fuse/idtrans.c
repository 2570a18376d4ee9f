// SPDX-License-Identifier: BSD-3-Clause
#include "idtrans.h"

#include <endian.h>
#include <errno.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <stdbool.h>
#include <string.h>

#define NO_ID UINT32_MAX

/* The range that an id is in, or NULL. */
static const struct id_range *find(const struct id_table *table, uint32_t id)
{
    unsigned low = 0;
    unsigned high = table->count;
    while (low < high) {
        unsigned middle = low + (high - low) / 2;
        const struct id_range *range = &table->ranges[middle];
        if (id < range->first)
            high = middle;
        else if (id > range->last)
            low = middle + 1;
        else
            return range;
    }
    return NULL;
}

static uint32_t translated(const struct id_range *range, uint32_t id)
{
    return range->rule == ID_SHIFT ? range->target + (id - range->first) : range->target;
}

int idtrans_to_host(const struct id_translation *translation, uint32_t id, uint32_t *ret_id)
{
    const struct id_range *range = id == NO_ID ? NULL : find(&translation->to_host, id);
    if (range && range->rule == ID_FORBID)
        return -EPERM;
    *ret_id = range ? translated(range, id) : id;
    return 0;
}

int idtrans_owner_to_host(const struct settings *settings, uint32_t uid, uint32_t gid,
                          uint32_t *ret_uid, uint32_t *ret_gid)
{
    uint32_t host_uid;
    int error = idtrans_to_host(&settings->translate_uid, uid, &host_uid);
    if (!error)
        error = idtrans_to_host(&settings->translate_gid, gid, ret_gid);
    if (!error)
        *ret_uid = host_uid;
    return error;
}

uint32_t idtrans_to_guest(const struct id_translation *translation, uint32_t id)
{
    const struct id_range *range = id == NO_ID ? NULL : find(&translation->to_guest, id);
    return range ? translated(range, id) : id;
}

/* Which rules an entry's id falls under; NULL: it has none. */
static const struct id_translation *translation_of(const struct settings *settings, uint16_t tag)
{
    if (tag == ACL_USER)
        return &settings->translate_uid;
    return tag == ACL_GROUP ? &settings->translate_gid : NULL;
}

static int translate_acl(const struct settings *settings, char *value, size_t size, bool to_host)
{
    struct posix_acl_xattr_header header;
    struct posix_acl_xattr_entry entry;
    if (size < sizeof(header) || (size - sizeof(header)) % sizeof(entry))
        return 0;
    memcpy(&header, value, sizeof(header));
    if (le32toh(header.a_version) != POSIX_ACL_XATTR_VERSION)
        return 0;
    for (size_t at = sizeof(header); at < size; at += sizeof(entry)) {
        memcpy(&entry, value + at, sizeof(entry));
        const struct id_translation *translation = translation_of(settings, le16toh(entry.e_tag));
        if (!translation)
            continue;
        uint32_t id = le32toh(entry.e_id);
        int error = 0;
        if (to_host)
            error = idtrans_to_host(translation, id, &id);
        else
            id = idtrans_to_guest(translation, id);
        if (error)
            return error;
        entry.e_id = htole32(id);
        memcpy(value + at, &entry, sizeof(entry));
    }
    return 0;
}

int idtrans_acl_to_host(const struct settings *settings, void *value, size_t size)
{
    return translate_acl(settings, value, size, true);
}

void idtrans_acl_to_guest(const struct settings *settings, void *value, size_t size)
{
    translate_acl(settings, value, size, false);
}
