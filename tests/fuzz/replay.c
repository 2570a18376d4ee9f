// SPDX-License-Identifier: BSD-3-Clause
/* Runs a fuzz target over files, and over all files of folders: "fuzz replay" of the test run. */
#include <dirent.h>
#include <err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fuzz.h"

static unsigned run_file(const char *path)
{
    FILE *file = fopen(path, "r");
    struct stat st;

    if (!file || fstat(fileno(file), &st) < 0)
        err(1, "%s", path);
    /* Exactly as large as the input: the sanitizer sees a byte too far. */
    size_t size = (size_t)st.st_size;
    uint8_t *data = malloc(size ? size : 1);
    if (!data || fread(data, 1, size, file) != size)
        err(1, "%s", path);
    fclose(file);
    LLVMFuzzerTestOneInput(data, size);
    free(data);
    return 1;
}

static unsigned run_path(const char *path)
{
    DIR *dir = opendir(path);
    unsigned count = 0;

    if (!dir)
        return run_file(path);
    for (const struct dirent *entry; (entry = readdir(dir));) {
        char name[4096];

        if (entry->d_name[0] == '.')
            continue;
        snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
        count += run_file(name);
    }
    closedir(dir);
    return count;
}

int main(int argc, char **argv)
{
    unsigned count = 0;

    LLVMFuzzerInitialize(&argc, &argv);
    for (int i = 1; i < argc; i++)
        count += run_path(argv[i]);
    printf("%u inputs\n", count);
    return count ? 0 : 1;
}
