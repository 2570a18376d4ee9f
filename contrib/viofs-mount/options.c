// SPDX-License-Identifier: BSD-3-Clause
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "say.h"
#include "vuf_dev.h"

#ifndef VIOFS_MOUNT_VERSION
#error "the build gives VIOFS_MOUNT_VERSION"
#endif

#define EXIT_USAGE 2

static const char help[] =
    "Usage: " PROGRAM " [OPTION]... SOCKET DIRECTORY\n"
    "Mount the file system of the vhost-user-fs back-end (virtiofs daemon) that listens\n"
    "on SOCKET on DIRECTORY, without a virtual machine.\n"
    "\n"
    "  -q, --queues=N       request queues, one thread each (default: 1, as with several\n"
    "                       Linux may keep data that was overwritten: see README.md)\n"
    "  -s, --queue-size=N   entries per queue, a power of two from 4 to 32768\n"
    "                       (default: 1024)\n"
    "  -o OPTION[,...]      FUSE mount options: ro, noatime, nodev, max_read=N, ...\n"
    "      --poll-us=N      microseconds to stay awake for a reply before sleeping until it\n"
    "                       comes, as long as most come that soon; 0 to 10000 (default: 200)\n"
    "      --count=FILE     at the end, write to FILE how many requests of which kind came\n"
    "      --send-interrupt forward FUSE_INTERRUPT, which Linux guests never send\n"
    "  -f, --foreground     stay in the foreground, messages go to standard error\n"
    "  -h, --help           this text\n"
    "  -V, --version        version\n"
    "\n"
    "Unmount with umount DIRECTORY or fusermount3 -u DIRECTORY, or send SIGTERM.\n"
    "Exit status: 0 unmounted (in the background: mounted), 1 failure, 2 usage.\n";

__attribute__((noreturn, format(printf, 1, 2))) static void usage(const char *format, ...)
{
    char line[512];
    va_list args;

    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    say("%s (try --help)", line);
    exit(EXIT_USAGE);
}

static unsigned int number(const char *option, const char *text, unsigned int min, unsigned int max)
{
    char *end;
    unsigned long value;

    errno = 0;
    value = strtoul(text, &end, 10);
    if (errno || *end || *text < '0' || *text > '9' || value < min || value > max)
        usage("%s must be a number from %u to %u, not '%s'", option, min, max, text);
    return (unsigned int)value;
}

static void add_mount_options(struct options *options, const char *text)
{
    char *joined = NULL;

    if (asprintf(&joined, "%s%s%s", options->mount_options ? options->mount_options : "",
                 options->mount_options ? "," : "", text) < 0) {
        say("out of memory");
        exit(1);
    }
    free((char *)options->mount_options);
    options->mount_options = joined;
}

void options_parse(struct options *ret_options, int argc, char **argv)
{
    enum { OPT_SEND_INTERRUPT = 256, OPT_COUNT, OPT_POLL_US };
    static const struct option table[] = {
        {"queues", required_argument, NULL, 'q'},
        {"queue-size", required_argument, NULL, 's'},
        {"send-interrupt", no_argument, NULL, OPT_SEND_INTERRUPT},
        {"poll-us", required_argument, NULL, OPT_POLL_US},
        {"count", required_argument, NULL, OPT_COUNT},
        {"foreground", no_argument, NULL, 'f'},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},
        {0},
    };
    struct options options = {.queue_size = 1024, .poll_us = 200};
    int c;

    opterr = 0;
    while ((c = getopt_long(argc, argv, ":q:s:o:fhV", table, NULL)) != -1) {
        switch (c) {
        case 'q':
            options.queues = number("--queues", optarg, 1, VUF_QUEUES_MAX - 1);
            break;
        case 's':
            options.queue_size = number("--queue-size", optarg, 4, VUF_RING_SIZE_MAX);
            if (options.queue_size & (options.queue_size - 1))
                usage("--queue-size must be a power of two, not %u", options.queue_size);
            break;
        case 'o':
            add_mount_options(&options, optarg);
            break;
        case OPT_POLL_US:
            options.poll_us = number("--poll-us", optarg, 0, 10000);
            break;
        case OPT_COUNT:
            options.count_file = optarg;
            break;
        case OPT_SEND_INTERRUPT:
            options.send_interrupt = true;
            break;
        case 'f':
            options.foreground = true;
            break;
        case 'h':
            fputs(help, stdout);
            exit(0);
        case 'V':
            puts(PROGRAM " " VIOFS_MOUNT_VERSION);
            exit(0);
        case ':':
            usage("option '%s' needs a value", argv[optind - 1]);
        default:
            usage("unknown option '%s'", argv[optind - 1]);
        }
    }
    if (argc - optind != 2)
        usage("need a SOCKET and a DIRECTORY");
    options.socket = argv[optind];
    options.directory = argv[optind + 1];
    *ret_options = options;
}
