// SPDX-License-Identifier: BSD-3-Clause
/*
 * viofs-bench: one workload against one daemon; prints one line of JSON.
 */
#include <errno.h>
#include <getopt.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <seccomp.h>

#include "bench.h"
#include "share.h"
#include "workloads.h"

#define MIB (1u << 20)

static const char usage_text[] =
    "usage: viofs-bench --prepare --share DIR [--data-mib N]\n"
    "       viofs-bench --socket PATH --share DIR --workload NAME [OPTION...]\n"
    "       viofs-bench --list\n"
    "  --prepare        make the benchmark's files in DIR\n"
    "  --share DIR      the shared directory, as seen from here\n"
    "  --data-mib N     size of each of the two large files (128)\n"
    "  --socket PATH    where the daemon listens\n"
    "  --workload NAME  what to do; --list tells\n"
    "  --depth N        operations in flight (1)\n"
    "  --queues N       request queues (1)\n"
    "  --ring-size N    entries of each queue (1024)\n"
    "  --seconds S      how long to measure (1)\n"
    "  --warmup S       how long to run before (0.1)\n"
    "  --ops N          instead: exactly N operations, all measured\n"
    "  --pid PID        the daemon, or the top of its processes, to account for\n"
    "  --cpu N          run on this CPU only\n"
    "  --spin           never sleep, and ask for no notification\n"
    "  --think-us N     pause, without sleeping, before each operation (0)\n"
    "  --files N        how many of the 1,000 small files are used in turn (1000)\n"
    "  --lockstep       with --ops and --pid: send as many requests as there are operations in\n"
    "                   flight, wait until the daemon sleeps, take the replies, and so on;\n"
    "                   listings are of a small directory\n"
    "  --count          the same, and count the daemon's system calls\n";

struct command {
    struct bench_options options;
    bool prepare;
    bool list;
};

static int usage(const char *what, const char *value)
{
    fprintf(stderr, "viofs-bench: %s%s%s\n%s", what, value ? ": " : "", value ? value : "",
            usage_text);
    return 2;
}

/* A number within limits, or false. */
static bool number(const char *text, double min, double max, double *ret_value)
{
    char *end;
    double value = strtod(text, &end);

    if (end == text || *end || !(value >= min && value <= max))
        return false;
    *ret_value = value;
    return true;
}

enum {
    OPT_FIRST = 256,
    OPT_DATA = OPT_FIRST,
    OPT_DEPTH,
    OPT_QUEUES,
    OPT_RING,
    OPT_SECONDS,
    OPT_WARMUP,
    OPT_OPS,
    OPT_PID,
    OPT_CPU,
    OPT_FILES,
    OPT_THINK,
    OPT_END
};

static const struct {
    double min, max;
} limits[OPT_END - OPT_FIRST] = {
    [OPT_DATA - OPT_FIRST] = {1, 65536},
    [OPT_DEPTH - OPT_FIRST] = {1, BENCH_SLOTS_MAX},
    [OPT_QUEUES - OPT_FIRST] = {1, 63},
    [OPT_RING - OPT_FIRST] = {2, 32768},
    [OPT_SECONDS - OPT_FIRST] = {0.01, 1e5},
    [OPT_WARMUP - OPT_FIRST] = {0, 1e5},
    [OPT_OPS - OPT_FIRST] = {1, 1e15},
    [OPT_PID - OPT_FIRST] = {1, 1 << 30},
    [OPT_CPU - OPT_FIRST] = {0, CPU_SETSIZE - 1},
    [OPT_FILES - OPT_FIRST] = {1, SHARE_FILES},
    [OPT_THINK - OPT_FIRST] = {0, 1e6},
};

static void set_number(struct bench_options *options, int opt, double value)
{
    switch (opt) {
    case OPT_DATA:
        options->data_size = (uint64_t)value * MIB;
        break;
    case OPT_DEPTH:
        options->depth = (unsigned int)value;
        break;
    case OPT_QUEUES:
        options->queues = (unsigned int)value;
        break;
    case OPT_RING:
        options->ring_size = (unsigned int)value;
        break;
    case OPT_SECONDS:
        options->seconds = value;
        break;
    case OPT_WARMUP:
        options->warmup = value;
        break;
    case OPT_OPS:
        options->ops = (uint64_t)value;
        break;
    case OPT_PID:
        options->pid = (pid_t)value;
        break;
    case OPT_CPU:
        options->cpu = (int)value;
        break;
    case OPT_FILES:
        options->files = (unsigned int)value;
        break;
    case OPT_THINK:
        options->think_ns = (uint64_t)(value * 1e3);
        break;
    }
}

/* 0, or the exit status. */
static int parse(int argc, char **argv, struct command *command)
{
    static const struct option longs[] = {
        {"prepare", no_argument, NULL, 'p'},
        {"list", no_argument, NULL, 'l'},
        {"spin", no_argument, NULL, 's'},
        {"share", required_argument, NULL, 'd'},
        {"socket", required_argument, NULL, 'S'},
        {"workload", required_argument, NULL, 'w'},
        {"data-mib", required_argument, NULL, OPT_DATA},
        {"depth", required_argument, NULL, OPT_DEPTH},
        {"queues", required_argument, NULL, OPT_QUEUES},
        {"ring-size", required_argument, NULL, OPT_RING},
        {"seconds", required_argument, NULL, OPT_SECONDS},
        {"warmup", required_argument, NULL, OPT_WARMUP},
        {"ops", required_argument, NULL, OPT_OPS},
        {"pid", required_argument, NULL, OPT_PID},
        {"cpu", required_argument, NULL, OPT_CPU},
        {"files", required_argument, NULL, OPT_FILES},
        {"think-us", required_argument, NULL, OPT_THINK},
        {"lockstep", no_argument, NULL, 'k'},
        {"count", no_argument, NULL, 'c'},
        {NULL, 0, NULL, 0},
    };
    struct bench_options *options = &command->options;
    int opt, at;

    while ((opt = getopt_long(argc, argv, "", longs, &at)) != -1) {
        double value;

        if (opt == '?')
            return usage("wrong option", NULL);
        if (opt == 'p')
            command->prepare = true;
        else if (opt == 'l')
            command->list = true;
        else if (opt == 's')
            options->spin = true;
        else if (opt == 'd')
            options->share = optarg;
        else if (opt == 'S')
            options->socket = optarg;
        else if (opt == 'w' && !(options->workload = workload_find(optarg)))
            return usage("no such workload", optarg);
        else if (opt == 'k' || opt == 'c') {
            options->lockstep = options->few_entries = true;
            options->count |= opt == 'c';
        } else if (opt >= OPT_FIRST) {
            if (!number(optarg, limits[opt - OPT_FIRST].min, limits[opt - OPT_FIRST].max, &value))
                return usage(longs[at].name, optarg);
            set_number(options, opt, value);
        }
    }
    if (optind < argc)
        return usage("too many arguments", argv[optind]);
    if (command->list)
        return 0;
    if (!options->share)
        return usage("--share is missing", NULL);
    if (!command->prepare && (!options->socket || !options->workload))
        return usage("--socket and --workload are needed", NULL);
    if (options->lockstep && (!options->ops || !options->pid))
        return usage("--lockstep and --count need --ops and --pid", NULL);
    return 0;
}

static void print_calls(const struct trace_thread *thread)
{
    const char *comma = "";

    printf("{\"thread\": \"%s\", \"eventfd\": %llu, \"calls\": {", thread->name,
           (unsigned long long)thread->eventfd);
    for (int i = 0; i < TRACE_CALLS_MAX; i++) {
        char *name;

        if (!thread->calls[i])
            continue;
        name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, i);
        printf("%s\"%s\": %llu", comma, name ? name : "?", (unsigned long long)thread->calls[i]);
        comma = ", ";
        free(name);
    }
    printf("}}");
}

/* After a run in lockstep, which says nothing about time. */
static void print_counted(const struct bench *bench)
{
    const struct bench_options *options = bench->options;
    const struct bench_result *result = &bench->result;

    printf("{\"workload\": \"%s\", \"depth\": %u, \"ops\": %llu, \"requests\": %llu",
           options->workload->name, options->depth, (unsigned long long)result->ops,
           (unsigned long long)result->requests);
    if (options->count) {
        printf(", \"threads\": [");
        for (unsigned int i = 0; i < result->counts.n_threads; i++) {
            printf("%s", i ? ", " : "");
            print_calls(&result->counts.threads[i]);
        }
        printf("]");
    }
    printf("}\n");
}

static void print_result(const struct bench *bench)
{
    const struct bench_options *options = bench->options;
    const struct bench_result *result = &bench->result;
    const struct account *used = &result->used;
    double ops = result->ops ? (double)result->ops : 1;
    double n = result->latency.n ? (double)result->latency.n : 1;
    double ns = result->ns ? (double)result->ns : 1;
    double modes = (double)(used->daemon_user_ns + used->daemon_system_ns);
    /* The machine is counted in ticks, so this may be a little below zero. */
    double other = ((double)used->machine_ns - (double)used->daemon_ns - (double)used->client_ns);

    printf("{\"workload\": \"%s\", \"depth\": %u, \"queues\": %u, \"spin\": %s, "
           "\"unit\": \"%s\", \"bytes\": %u, \"ops\": %llu, \"seconds\": %.6f, \"rate\": %.3f, ",
           options->workload->name, options->depth, options->queues,
           options->spin ? "true" : "false", options->workload->entries ? "entry" : "op",
           bench->block, (unsigned long long)result->ops, ns / 1e9, (double)result->ops * 1e9 / ns);
    printf("\"mean_us\": %.3f, \"p50_us\": %.3f, \"p90_us\": %.3f, \"p99_us\": %.3f, "
           "\"max_us\": %.3f, ",
           (double)result->latency.sum / 1e3 / n,
           (double)histogram_percentile(&result->latency, 50) / 1e3,
           (double)histogram_percentile(&result->latency, 90) / 1e3,
           (double)histogram_percentile(&result->latency, 99) / 1e3,
           (double)result->latency.max / 1e3);
    if (options->pid)
        printf("\"daemon_cpu_us\": %.4f, \"daemon_user_share\": %.3f, \"voluntary\": %.4f, "
               "\"involuntary\": %.4f, ",
               (double)used->daemon_ns / 1e3 / ops,
               modes > 0 ? (double)used->daemon_user_ns / modes : 0, (double)used->voluntary / ops,
               (double)used->involuntary / ops);
    printf("\"client_cpu_us\": %.4f, \"client_busy\": %.4f, \"requests\": %.4f, \"notifications\": "
           "%.4f, \"kicks\": %.4f",
           (double)used->client_ns / 1e3 / ops, (double)used->client_ns / ns,
           (double)result->requests / ops, (double)result->calls / ops,
           (double)result->kicks / ops);
    if (options->pid)
        printf(", \"other_cpu_share\": %.3f", other > 0 ? other / ns : 0);
    printf("}\n");
}

static int run(const struct bench_options *options)
{
    static struct bench bench; /* zeroed; too large for the stack */
    int r;

    if (options->cpu >= 0) {
        cpu_set_t set;

        CPU_ZERO(&set);
        CPU_SET(options->cpu, &set);
        if (sched_setaffinity(0, sizeof(set), &set) < 0) {
            fprintf(stderr, "viofs-bench: CPU %d: %s\n", options->cpu, strerror(errno));
            return 1;
        }
    }
    r = bench_open(&bench, options);
    if (r == 0)
        r = bench_run(&bench);
    if (r == 0 && options->lockstep)
        print_counted(&bench);
    else if (r == 0)
        print_result(&bench);
    bench_close(&bench);
    return r < 0 ? 1 : 0;
}

int main(int argc, char **argv)
{
    struct command command = {
        .options =
            {
                .depth = 1,
                .queues = 1,
                .ring_size = 1024,
                .seconds = 1,
                .warmup = 0.1,
                .data_size = 128 * (uint64_t)MIB,
                .cpu = -1,
                .files = SHARE_FILES,
            },
    };
    int r = parse(argc, argv, &command);

    if (r)
        return r;
    if (command.list) {
        for (const struct workload *w = workloads; w->name; w++)
            printf("%-17s %s\n", w->name, w->about);
        return 0;
    }
    if (!command.prepare)
        return run(&command.options);
    r = share_prepare(command.options.share, command.options.data_size);
    if (r < 0)
        fprintf(stderr, "viofs-bench: %s: %s\n", command.options.share, strerror(-r));
    return r < 0 ? 1 : 0;
}
