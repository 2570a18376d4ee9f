// SPDX-License-Identifier: BSD-3-Clause
/* Any command line: words separated by newlines. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "options.h"

#define WORDS_MAX 64

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc, (void)argv;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct options_report report;
    char *words[WORDS_MAX + 2] = {"viofsd"};
    struct settings settings;
    int count = 1;

    char *text = malloc(size + 1), *rest = text;
    if (!text)
        return 0;
    memcpy(text, data, size);
    text[size] = '\0';
    for (char *word; count <= WORDS_MAX && (word = strsep(&rest, "\n"));)
        words[count++] = word;
    memset(&report, 0, sizeof(report));
    enum options_outcome outcome = options_parse(count, words, &settings, &report);
    /* What is wrong is said, in one line. */
    if (outcome == OPTIONS_WRONG && (!report.error[0] || strchr(report.error, '\n')))
        __builtin_trap();
    if (outcome == OPTIONS_SERVE && (!settings.shared_dir || settings.request_queues < 1 ||
                                     settings.request_queues > REQUEST_QUEUES_MAX))
        __builtin_trap();
    options_free(&settings);
    free(text);
    return 0;
}
