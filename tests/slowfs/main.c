// SPDX-License-Identifier: BSD-3-Clause
/*
 * A file system that is slow, hangs and fails on command, for tests.
 *
 *     slowfs DIR
 *
 * mounts an empty file system in memory on DIR, prints "ready", and then takes commands from
 * standard input, each answered by a line "ok N" (N is 0 if nothing is asked for):
 *
 *     delay CALL MILLISECONDS [PATTERN]   calls whose path fits PATTERN take so long
 *     hang CALL [PATTERN]                 ... do not end before "release"
 *     fail CALL ERRNO [PATTERN]           ... end like this ("EIO"), after delay and hang
 *     clear                               forgets these rules; what is held stays held
 *     release                             what is held now goes on
 *     held                                how many calls are held
 *     seen CALL                           how many such calls have come
 *     deaf                                interrupts (a killed caller) end no call any more
 *
 * CALL is the name of a FUSE request as libfuse has it (rules.h), or "*"; paths begin with "/" at
 * the mount point. At the end of its input the program unmounts and ends, and whatever is held ends
 * with ENOTCONN: so the mount goes with the test that asked for it, however that ends.
 *
 * Up to SLOW_THREADS calls are held at once. Nothing is cached by the kernel: each call arrives.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "ops.h"
#include "tree.h"

#define SLOW_THREADS 300

static void *serve(void *argument)
{
    struct fuse_session *session = argument;
    struct fuse_buf buf = {0};

    while (!fuse_session_exited(session)) {
        int rc = fuse_session_receive_buf(session, &buf);
        if (rc == -EINTR)
            continue;
        if (rc <= 0)
            break;
        fuse_session_process_buf(session, &buf);
    }
    free(buf.mem);
    return NULL;
}

static void obey_standard_input(void)
{
    char line[1000], answer[100];

    while (fgets(line, sizeof(line), stdin)) {
        rules_command(line, answer, sizeof(answer));
        puts(answer);
        fflush(stdout);
    }
}

int main(int argc, char **argv)
{
    char *words[] = {argv[0], "-oallow_other,fsname=slowfs,subtype=slowfs", NULL};
    struct fuse_args args = FUSE_ARGS_INIT(2, words);
    pthread_attr_t attr;

    if (argc != 2) {
        fprintf(stderr, "usage: slowfs DIR\n");
        return 2;
    }
    /* What ends a test does not end us before its mount is gone. */
    setpgid(0, 0);
    signal(SIGPIPE, SIG_IGN);
    tree_new();
    struct fuse_session *session = fuse_session_new(&args, &slow_ops, sizeof(slow_ops), NULL);
    if (!session || fuse_session_mount(session, argv[1]) < 0)
        return 1;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 128 << 10);
    for (int i = 0; i < SLOW_THREADS; i++) {
        pthread_t thread;
        int rc = pthread_create(&thread, &attr, serve, session);
        if (rc) {
            fprintf(stderr, "slowfs: %s\n", strerror(rc));
            fuse_session_unmount(session);
            return 1;
        }
    }
    puts("ready");
    fflush(stdout);
    obey_standard_input();
    /* Not by fuse_session_unmount(), which closes what the threads are reading. */
    if (umount2(argv[1], MNT_DETACH) < 0)
        fuse_session_unmount(session);
    /* Threads that still hold calls go with the process. */
    _exit(0);
}
