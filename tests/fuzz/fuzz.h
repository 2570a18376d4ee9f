// SPDX-License-Identifier: BSD-3-Clause
/*
 * What a fuzz target is: the two functions that libFuzzer calls. replay.c calls the same two for
 * each file of a corpus, so that every input that was ever of interest is run with every test run.
 *
 * Single-threaded. A target aborts (or a sanitizer does) when the code under test is wrong.
 */
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* Once, before the first input. Returns 0. */
int LLVMFuzzerInitialize(int *argc, char ***argv);

/* One input. Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Reads an input from its start; what is behind the end reads as zeros. */
struct fuzz_input {
    const uint8_t *data;
    size_t left;
};

static inline void fuzz_take(struct fuzz_input *input, void *to, size_t size)
{
    size_t have = size < input->left ? size : input->left;

    __builtin_memset(to, 0, size);
    if (have)
        __builtin_memcpy(to, input->data, have);
    input->data += have;
    input->left -= have;
}

#endif
