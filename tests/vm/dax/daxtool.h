// SPDX-License-Identifier: BSD-3-Clause
/*
 * What the DAX cases of the guest tests do to files, as one static program that runs in the guest
 * and on the host: `daxtool COMMAND ARGUMENT...` exits 0 when all was as it must be, else 1 with a
 * line that says what was not.
 *
 * Content is a function of a seed and the place in the file, so that any byte can be checked
 * anywhere, without a second copy.
 */
#ifndef TESTS_VM_DAXTOOL_H
#define TESTS_VM_DAXTOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE 4096u

/* Puts what belongs at offset (bytes) of a file of that seed. */
void pattern_fill(unsigned char *buffer, uint64_t offset, size_t length, uint64_t seed);

/* Ends the program unless the bytes are the pattern; `what` names them. */
void pattern_check(const unsigned char *seen, uint64_t offset, size_t length, uint64_t seed,
                   const char *what);

/* Ends the program unless all bytes are zero. */
void zero_check(const unsigned char *seen, uint64_t offset, size_t length, const char *what);

/* The next random number. */
uint32_t roll(uint64_t *state);

/* Prints the text, and errno if it is not 0, and ends with 1. */
__attribute__((noreturn, format(printf, 1, 2))) void die(const char *format, ...);

int open_file(const char *path, int flags);
uint64_t size_of(int fd);
void write_pattern(int fd, uint64_t offset, uint64_t length, uint64_t seed);
unsigned char *map_file(int fd, uint64_t length, bool writable);

/* Waits for a child that has to end with 0. */
void expect_child(int pid, const char *what);

/* The commands: argv[0] is the command's name. They return, or die(). */
void command_fill(char **argv);
void command_patch(char **argv);
void command_store(char **argv);
void command_check(char **argv);
void command_resize(char **argv);
void command_verify(char **argv);
void command_scan(char **argv);
void command_make_small(char **argv);
void command_small(char **argv);
void command_count(char **argv);
void command_append(char **argv);
void command_cut(char **argv);
void command_cut_race(char **argv);

#endif
