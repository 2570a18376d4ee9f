// SPDX-License-Identifier: BSD-3-Clause
/*
 * The benchmark's files in the shared directory, made and inspected on the host's side.
 *
 *   files/f0000 ...      SHARE_FILES files of SHARE_FILE_SIZE bytes
 *   entries/e00000 ...   SHARE_ENTRIES empty files
 *   few/e00000 ...       SHARE_FEW empty files
 *   scratch/             empty, everybody may write
 *   data                 for reading: each 8-byte word holds share_word(its offset)
 *   sink                 for writing, as large as data
 *
 * Stateless; threads: one per directory.  Errors are negative errno.
 */
#ifndef BENCH_SHARE_H
#define BENCH_SHARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SHARE_FILES     1000u
#define SHARE_FILE_SIZE 4096u
#define SHARE_ENTRIES   10000u
#define SHARE_FEW       200u
#define SHARE_NAME_SIZE 16
#define SHARE_DIR_FILES "files"
#define SHARE_DIR_ENTRY "entries"
#define SHARE_DIR_FEW   "few"
#define SHARE_DIR_SPACE "scratch"
#define SHARE_DATA      "data"
#define SHARE_SINK      "sink"

/* Word at byte OFFSET (a multiple of 8) of the data file. */
static inline uint64_t share_word(uint64_t offset)
{
    return (offset + 8) * 0x9e3779b97f4a7c15ull;
}

void share_file_name(char name[SHARE_NAME_SIZE], unsigned int i);

/* Makes what is missing in DIR; DATA_SIZE bytes (whole MiB) for each of the two large files. */
int share_prepare(const char *dir, uint64_t data_size);

/* Inode number and size of DIR/NAME, not following links. */
int share_stat(const char *dir, const char *name, uint64_t *ret_ino, uint64_t *ret_size);

/* Is DIR/NAME a directory without entries? */
int share_is_empty(const char *dir, const char *name, bool *ret_empty);

/* Opens DIR/NAME for reading, for share_read_word. */
int share_open(const char *dir, const char *name);
int share_read_word(int fd, uint64_t offset, uint64_t *ret_word);

#endif
