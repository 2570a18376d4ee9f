// SPDX-License-Identifier: BSD-3-Clause
#include "host_mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "host_path.h"
#include "scope.h"

#ifndef STATX_MNT_ID_UNIQUE
#define STATX_MNT_ID_UNIQUE 0x4000U
#endif

#define TEXT_SIZE 65536

/* The next of the words that a line is made of; NULL at its end. */
static char *next_word(char **line)
{
    char *word = strsep(line, " ");
    while (word && !*word)
        word = strsep(line, " ");
    return word;
}

/* "\040" stands for a space, and so for all that would end the word. */
static void unescape(char *text)
{
    char *to = text;
    while (*text) {
        if (text[0] == '\\' && text[1] >= '0' && text[1] <= '3' && text[2] >= '0' &&
            text[2] <= '7' && text[3] >= '0' && text[3] <= '7') {
            *to++ = (char)((text[1] - '0') << 6 | (text[2] - '0') << 3 | (text[3] - '0'));
            text += 4;
        } else {
            *to++ = *text++;
        }
    }
    *to = '\0';
}

/* "36 35 98:0 /root /mount/point rw,noatime master:1 - ext4 /dev/sda1 rw", see proc(5). */
static bool parse(char *line, struct host_mount *ret_mount)
{
    char *id = next_word(&line);
    for (unsigned i = 0; i < 3; i++)
        (void)next_word(&line);
    char *path = next_word(&line);
    char *word = next_word(&line);
    while (word && strcmp(word, "-") != 0)
        word = next_word(&line);
    char *type = next_word(&line);
    if (!id || !path || !type)
        return false;
    uint64_t number = strtoull(id, NULL, 10);
    if (number == 0)
        return false;
    unescape(path);
    *ret_mount = (struct host_mount){.id = number, .path = path, .type = type};
    return true;
}

/* Shows the whole lines at the start of text. Returns how many bytes they are, -1: enough seen. */
static ssize_t show_lines(char *text, size_t length, host_mount_visit *visit, void *argument)
{
    char *at = text;
    char *end;
    while ((end = memchr(at, '\n', length - (size_t)(at - text)))) {
        struct host_mount mount;
        *end = '\0';
        if (parse(at, &mount) && !visit(argument, &mount))
            return -1;
        at = end + 1;
    }
    return at - text;
}

int host_mounts_each(int mountinfo, host_mount_visit *visit, void *argument)
{
    if (mountinfo < 0)
        return -ENOTSUP;
    autofree char *text = malloc(TEXT_SIZE);
    if (!text)
        return -ENOMEM;
    size_t length = 0;
    off_t offset = 0;
    for (;;) {
        struct iovec piece = {text + length, TEXT_SIZE - length};
        ssize_t got = preadv(mountinfo, &piece, 1, offset);
        if (got < 0)
            return -errno;
        if (got == 0)
            return 0;
        offset += got;
        length += (size_t)got;
        ssize_t shown = show_lines(text, length, visit, argument);
        if (shown < 0)
            return 0;
        length -= (size_t)shown;
        memmove(text, text + shown, length);
        if (length == TEXT_SIZE) {
            text[0] = 'x'; /* no mount's id: what is left of this line is not shown */
            length = 1;
        }
    }
}

struct search {
    uint64_t id;
    int error;
    int fd;
};

static bool open_wanted(void *argument, const struct host_mount *mount)
{
    struct search *search = argument;
    if (mount->id != search->id)
        return true;
    search->error = host_open_path(AT_FDCWD, mount->path, &search->fd);
    return false;
}

int host_mounts_open(int mountinfo, uint64_t id, int *ret_fd)
{
    struct search search = {.id = id, .error = -ENOENT, .fd = -1};
    int error = host_mounts_each(mountinfo, open_wanted, &search);
    if (!error)
        error = search.error;
    if (error)
        return error;
    *ret_fd = search.fd;
    return 0;
}

uint64_t host_mounts_unique(int fd)
{
    struct statx attributes;
    if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID_UNIQUE, &attributes) < 0 ||
        !(attributes.stx_mask & STATX_MNT_ID_UNIQUE))
        return 0;
    return attributes.stx_mnt_id;
}
