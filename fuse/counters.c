// SPDX-License-Identifier: BSD-3-Clause
#include "counters.h"

#include <stdio.h>
#include <string.h>

#include "log.h"

void counters_init(struct counters_list *list)
{
    memset(list, 0, sizeof(*list));
    pthread_mutex_init(&list->lock, NULL);
}

void counters_join(struct counters_list *list, struct counters *counters)
{
    pthread_mutex_lock(&list->lock);
    counters->next = list->first;
    list->first = counters;
    pthread_mutex_unlock(&list->lock);
}

void counters_leave(struct counters_list *list, struct counters *counters)
{
    pthread_mutex_lock(&list->lock);
    struct counters **link = &list->first;
    while (*link && *link != counters)
        link = &(*link)->next;
    if (*link) {
        *link = counters->next;
        for (unsigned i = 0; i < COUNTERS_OPCODES; i++)
            list->left[i] += atomic_load_explicit(&counters->served[i], memory_order_relaxed);
    }
    pthread_mutex_unlock(&list->lock);
}

/* The list's lock is held. */
static uint64_t sum(const struct counters_list *list, uint32_t opcode)
{
    uint64_t total = list->left[opcode];
    for (const struct counters *counters = list->first; counters; counters = counters->next)
        total += atomic_load_explicit(&counters->served[opcode], memory_order_relaxed);
    return total;
}

void counters_report(struct counters_list *list, const char *(*name)(uint32_t opcode))
{
    char line[1024] = "";
    size_t length = 0;
    pthread_mutex_lock(&list->lock);
    for (uint32_t i = 0; i < COUNTERS_OPCODES; i++) {
        uint64_t total = sum(list, i);
        uint64_t now = total - list->reported[i];
        list->reported[i] = total;
        if (now == 0 || !name(i) || length >= sizeof(line))
            continue;
        int put = snprintf(line + length, sizeof(line) - length, "%s%s %llu", length ? ", " : "",
                           name(i), (unsigned long long)now);
        length += put > 0 ? (size_t)put : 0;
    }
    pthread_mutex_unlock(&list->lock);
    if (length)
        log_limited(LOG_LEVEL_INFO, "requests: %s",
                    line); /* a guest may DESTROY as often as it likes */
}
