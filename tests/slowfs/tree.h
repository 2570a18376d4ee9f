// SPDX-License-Identifier: BSD-3-Clause
/*
 * The slow file system's files: a tree in memory.
 *
 * Owner: the program. Threads: every function takes the tree's one lock and never waits for
 * anything else. Functions return 0 (or what they say) or a negative errno. Inode numbers start at
 * 1, the root, and are never used again, so that a file handle is good as long as the file is; what
 * the tree has taken it keeps until the program ends.
 */
#ifndef SLOWFS_TREE_H
#define SLOWFS_TREE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#define TREE_ROOT  1

/* Which members of a struct stat tree_set() takes over. */
#define TREE_MODE  1u
#define TREE_UID   2u
#define TREE_GID   4u
#define TREE_SIZE  8u
#define TREE_ATIME 16u
#define TREE_MTIME 32u

void tree_new(void);

/* The path by which the inode was last named, from the root: "/dir/file". */
void tree_path(uint64_t ino, char *ret_path, size_t size);

int tree_stat(uint64_t ino, struct stat *ret_st);
int tree_set(uint64_t ino, const struct stat *st, unsigned members);

/* "." and ".." are found as well. */
int tree_lookup(uint64_t parent, const char *name, struct stat *ret_st);

/* A new file of any kind; target: of a symbolic link. */
struct tree_make {
    mode_t mode;
    uid_t uid;
    gid_t gid;
    dev_t rdev;
    const char *target;
};
int tree_make(uint64_t parent, const char *name, const struct tree_make *make, struct stat *ret_st);

int tree_link(uint64_t ino, uint64_t parent, const char *name, struct stat *ret_st);

/* A directory if directory is not 0, else anything but. */
int tree_remove(uint64_t parent, const char *name, int directory);
int tree_rename(uint64_t from, const char *from_name, uint64_t to, const char *to_name,
                unsigned flags);

/* How many bytes; a link's target is its data. */
ssize_t tree_read(uint64_t ino, char *ret_data, size_t size, uint64_t offset);
ssize_t tree_write(uint64_t ino, const char *data, size_t size, uint64_t offset);

/* The next entry at or behind *cookie, which is moved behind it. 1, or 0 at the end. */
int tree_next(uint64_t ino, uint64_t *cookie, char ret_name[256], struct stat *ret_st);

/* Extended attributes. Sizes as getxattr(2) has them. */
int tree_xattr_set(uint64_t ino, const char *name, const char *value, size_t size, int flags);
ssize_t tree_xattr_get(uint64_t ino, const char *name, char *ret_value, size_t size);
ssize_t tree_xattr_list(uint64_t ino, char *ret_names, size_t size);
int tree_xattr_remove(uint64_t ino, const char *name);

#endif
