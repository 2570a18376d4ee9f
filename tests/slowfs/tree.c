// SPDX-License-Identifier: BSD-3-Clause
#include "tree.h"

#include <errno.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <time.h>

#define FILE_MAX  (UINT64_C(1) << 30)
#define PATH_DEEP 32

struct entry {
    char *name; /* NULL: removed; a listing's cookies stay what they were */
    struct node *node;
};

struct xattr {
    char *name;
    char *value;
    size_t size;
};

struct node {
    struct stat st;
    struct node *parent; /* and name: the last that was given */
    char *name;
    char *data;
    size_t capacity;
    struct entry *entries;
    size_t entry_count, entry_room;
    struct xattr *xattrs;
    size_t xattr_count;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct node **nodes; /* by inode number */
static size_t node_count, node_room;

/* Tests have no use for a file system that is out of memory. */
static void *grown(void *memory, size_t count, size_t size)
{
    void *larger = reallocarray(memory, count, size);

    if (!larger)
        abort();
    return larger;
}

static char *copy_of(const char *text)
{
    char *copy = strdup(text);

    if (!copy)
        abort();
    return copy;
}

static struct timespec now(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    return ts;
}

static struct node *node_new(const struct tree_make *make)
{
    struct node *node = grown(NULL, 1, sizeof(*node));

    if (node_count == node_room) {
        node_room = node_room ? node_room * 2 : 64;
        nodes = grown(nodes, node_room, sizeof(struct node *));
    }
    *node = (struct node){
        .st = {.st_ino = node_count,
               .st_mode = make->mode,
               .st_uid = make->uid,
               .st_gid = make->gid,
               .st_rdev = make->rdev,
               .st_blksize = 4096,
               .st_nlink = S_ISDIR(make->mode) ? 2 : 0,
               .st_atim = now(),
               .st_mtim = now(),
               .st_ctim = now()},
    };
    nodes[node_count++] = node;
    return node;
}

void tree_new(void)
{
    nodes = grown(NULL, 1, sizeof(struct node *));
    nodes[0] = NULL;
    node_count = node_room = 1;
    struct node *root = node_new(&(struct tree_make){.mode = S_IFDIR | 0755});
    root->parent = root;
    root->name = copy_of("");
}

/* lock held, as for all that follow. */
static struct node *find(uint64_t ino)
{
    return ino < node_count ? nodes[ino] : NULL;
}

static struct node *find_dir(uint64_t ino)
{
    struct node *node = find(ino);

    return node && S_ISDIR(node->st.st_mode) ? node : NULL;
}

static struct entry *find_entry(const struct node *dir, const char *name)
{
    for (size_t i = 0; i < dir->entry_count; i++)
        if (dir->entries[i].name && strcmp(dir->entries[i].name, name) == 0)
            return &dir->entries[i];
    return NULL;
}

static bool is_empty(const struct node *dir)
{
    for (size_t i = 0; i < dir->entry_count; i++)
        if (dir->entries[i].name)
            return false;
    return true;
}

static void touch_dir(struct node *dir)
{
    dir->st.st_mtim = dir->st.st_ctim = now();
}

static void add_entry(struct node *dir, const char *name, struct node *node)
{
    if (dir->entry_count == dir->entry_room) {
        dir->entry_room = dir->entry_room ? dir->entry_room * 2 : 8;
        dir->entries = grown(dir->entries, dir->entry_room, sizeof(*dir->entries));
    }
    dir->entries[dir->entry_count++] = (struct entry){copy_of(name), node};
    free(node->name);
    node->name = copy_of(name);
    node->parent = dir;
    node->st.st_ctim = now();
    if (S_ISDIR(node->st.st_mode))
        dir->st.st_nlink++;
    else
        node->st.st_nlink++;
    touch_dir(dir);
}

static void drop_entry(struct node *dir, struct entry *entry)
{
    struct node *node = entry->node;

    free(entry->name);
    entry->name = NULL;
    node->st.st_ctim = now();
    if (S_ISDIR(node->st.st_mode))
        dir->st.st_nlink--;
    else
        node->st.st_nlink--;
    touch_dir(dir);
}

static int resize(struct node *node, uint64_t size)
{
    if (size > FILE_MAX)
        return -EFBIG;
    if (size > node->capacity) {
        size_t capacity = node->capacity ? node->capacity : 4096;
        while (capacity < size)
            capacity *= 2;
        node->data = grown(node->data, capacity, 1);
        node->capacity = capacity;
    }
    if (size > (uint64_t)node->st.st_size)
        memset(node->data + node->st.st_size, 0, size - (uint64_t)node->st.st_size);
    node->st.st_size = (off_t)size;
    node->st.st_blocks = (blkcnt_t)((size + 511) / 512);
    node->st.st_mtim = node->st.st_ctim = now();
    return 0;
}

/* Every function below is called without the lock, and each locks for its own length. */
static void unlock(pthread_mutex_t **held)
{
    pthread_mutex_unlock(*held);
}

static pthread_mutex_t *locked(void)
{
    pthread_mutex_lock(&lock);
    return &lock;
}
#define LOCKED __attribute__((cleanup(unlock), unused)) pthread_mutex_t *held = locked()

void tree_path(uint64_t ino, char *ret_path, size_t size)
{
    LOCKED;
    const struct node *way[PATH_DEEP], *node = find(ino);
    size_t deep = 0, used = 0;

    for (; node && node != nodes[TREE_ROOT] && deep < PATH_DEEP; node = node->parent)
        way[deep++] = node;
    ret_path[0] = '\0';
    if (deep == 0)
        snprintf(ret_path, size, "/");
    while (deep-- > 0 && used < size)
        used += (size_t)snprintf(ret_path + used, size - used, "/%s", way[deep]->name);
}

int tree_stat(uint64_t ino, struct stat *ret_st)
{
    LOCKED;
    const struct node *node = find(ino);

    if (!node)
        return -ESTALE;
    *ret_st = node->st;
    return 0;
}

int tree_set(uint64_t ino, const struct stat *st, unsigned members)
{
    LOCKED;
    struct node *node = find(ino);
    int rc = 0;

    if (!node)
        return -ESTALE;
    if (members & TREE_SIZE)
        rc = resize(node, (uint64_t)st->st_size);
    if (members & TREE_MODE)
        node->st.st_mode = (node->st.st_mode & S_IFMT) | (st->st_mode & ~(mode_t)S_IFMT);
    if (members & TREE_UID)
        node->st.st_uid = st->st_uid;
    if (members & TREE_GID)
        node->st.st_gid = st->st_gid;
    if (members & TREE_ATIME)
        node->st.st_atim = st->st_atim;
    if (members & TREE_MTIME)
        node->st.st_mtim = st->st_mtim;
    node->st.st_ctim = now();
    return rc;
}

int tree_lookup(uint64_t parent, const char *name, struct stat *ret_st)
{
    LOCKED;
    const struct node *dir = find(parent), *node = dir;

    if (!dir)
        return -ESTALE;
    if (strcmp(name, "..") == 0) {
        node = dir->parent;
    } else if (strcmp(name, ".") != 0) {
        const struct entry *entry = find_entry(dir, name);
        if (!entry)
            return -ENOENT;
        node = entry->node;
    }
    *ret_st = node->st;
    return 0;
}

int tree_make(uint64_t parent, const char *name, const struct tree_make *make, struct stat *ret_st)
{
    LOCKED;
    struct node *dir = find_dir(parent);

    if (!dir)
        return -ESTALE;
    if (find_entry(dir, name))
        return -EEXIST;
    struct node *node = node_new(make);
    if (make->target && resize(node, strlen(make->target)) == 0)
        memcpy(node->data, make->target, strlen(make->target));
    add_entry(dir, name, node);
    *ret_st = node->st;
    return 0;
}

int tree_link(uint64_t ino, uint64_t parent, const char *name, struct stat *ret_st)
{
    LOCKED;
    struct node *dir = find_dir(parent), *node = find(ino);

    if (!dir || !node)
        return -ESTALE;
    if (find_entry(dir, name))
        return -EEXIST;
    add_entry(dir, name, node);
    *ret_st = node->st;
    return 0;
}

int tree_remove(uint64_t parent, const char *name, int directory)
{
    LOCKED;
    struct node *dir = find_dir(parent);
    struct entry *entry = dir ? find_entry(dir, name) : NULL;

    if (!entry)
        return -ENOENT;
    if (S_ISDIR(entry->node->st.st_mode) != (directory != 0))
        return directory ? -ENOTDIR : -EISDIR;
    if (directory && !is_empty(entry->node))
        return -ENOTEMPTY;
    drop_entry(dir, entry);
    return 0;
}

int tree_rename(uint64_t from, const char *from_name, uint64_t to, const char *to_name,
                unsigned flags)
{
    LOCKED;
    struct node *from_dir = find_dir(from), *to_dir = find_dir(to);
    struct entry *source = from_dir ? find_entry(from_dir, from_name) : NULL;
    struct entry *target = to_dir ? find_entry(to_dir, to_name) : NULL;

    if (flags & ~(unsigned)RENAME_NOREPLACE)
        return -EINVAL;
    if (!source || !to_dir)
        return -ENOENT;
    if (target && (flags & RENAME_NOREPLACE))
        return -EEXIST;
    if (target && S_ISDIR(target->node->st.st_mode) && !is_empty(target->node))
        return -ENOTEMPTY;
    struct node *node = source->node;
    if (target && target->node == node)
        return 0;
    if (target)
        drop_entry(to_dir, target);
    drop_entry(from_dir, source);
    add_entry(to_dir, to_name, node);
    return 0;
}

ssize_t tree_read(uint64_t ino, char *ret_data, size_t size, uint64_t offset)
{
    LOCKED;
    const struct node *node = find(ino);

    if (!node)
        return -ESTALE;
    if (offset >= (uint64_t)node->st.st_size)
        return 0;
    if (size > (uint64_t)node->st.st_size - offset)
        size = (uint64_t)node->st.st_size - offset;
    memcpy(ret_data, node->data + offset, size);
    return (ssize_t)size;
}

ssize_t tree_write(uint64_t ino, const char *data, size_t size, uint64_t offset)
{
    LOCKED;
    struct node *node = find(ino);

    if (!node)
        return -ESTALE;
    if (offset > FILE_MAX || size > FILE_MAX - offset)
        return -EFBIG;
    uint64_t end = offset + size;
    int rc = resize(node, end > (uint64_t)node->st.st_size ? end : (uint64_t)node->st.st_size);
    if (rc < 0)
        return rc;
    if (size)
        memcpy(node->data + offset, data, size);
    return (ssize_t)size;
}

int tree_next(uint64_t ino, uint64_t *cookie, char ret_name[256], struct stat *ret_st)
{
    LOCKED;
    const struct node *dir = find_dir(ino);

    if (!dir)
        return -ESTALE;
    for (; *cookie < 2 + dir->entry_count; (*cookie)++) {
        const struct entry *entry = *cookie < 2 ? NULL : &dir->entries[*cookie - 2];
        const struct node *node = entry ? entry->node : *cookie == 0 ? dir : dir->parent;

        if (entry && !entry->name)
            continue;
        snprintf(ret_name, 256, "%s", entry ? entry->name : *cookie == 0 ? "." : "..");
        *ret_st = node->st;
        (*cookie)++;
        return 1;
    }
    return 0;
}

static struct xattr *find_xattr(const struct node *node, const char *name)
{
    for (size_t i = 0; i < node->xattr_count; i++)
        if (strcmp(node->xattrs[i].name, name) == 0)
            return &node->xattrs[i];
    return NULL;
}

int tree_xattr_set(uint64_t ino, const char *name, const char *value, size_t size, int flags)
{
    LOCKED;
    struct node *node = find(ino);
    struct xattr *xattr = node ? find_xattr(node, name) : NULL;

    if (!node)
        return -ESTALE;
    if (xattr ? flags == XATTR_CREATE : flags == XATTR_REPLACE)
        return xattr ? -EEXIST : -ENODATA;
    if (!xattr) {
        node->xattrs = grown(node->xattrs, node->xattr_count + 1, sizeof(*xattr));
        xattr = &node->xattrs[node->xattr_count++];
        *xattr = (struct xattr){.name = copy_of(name)};
    }
    xattr->value = grown(xattr->value, size + 1, 1);
    memcpy(xattr->value, value, size);
    xattr->size = size;
    node->st.st_ctim = now();
    return 0;
}

ssize_t tree_xattr_get(uint64_t ino, const char *name, char *ret_value, size_t size)
{
    LOCKED;
    const struct node *node = find(ino);
    const struct xattr *xattr = node ? find_xattr(node, name) : NULL;

    if (!xattr)
        return node ? -ENODATA : -ESTALE;
    if (size && size < xattr->size)
        return -ERANGE;
    if (size)
        memcpy(ret_value, xattr->value, xattr->size);
    return (ssize_t)xattr->size;
}

ssize_t tree_xattr_list(uint64_t ino, char *ret_names, size_t size)
{
    LOCKED;
    const struct node *node = find(ino);
    size_t used = 0;

    for (size_t i = 0; node && i < node->xattr_count; i++) {
        size_t length = strlen(node->xattrs[i].name) + 1;
        if (size && used + length > size)
            return -ERANGE;
        if (size)
            memcpy(ret_names + used, node->xattrs[i].name, length);
        used += length;
    }
    return node ? (ssize_t)used : -ESTALE;
}

int tree_xattr_remove(uint64_t ino, const char *name)
{
    LOCKED;
    struct node *node = find(ino);
    struct xattr *xattr = node ? find_xattr(node, name) : NULL;

    if (!xattr)
        return node ? -ENODATA : -ESTALE;
    free(xattr->name);
    free(xattr->value);
    *xattr = node->xattrs[--node->xattr_count];
    node->st.st_ctim = now();
    return 0;
}
