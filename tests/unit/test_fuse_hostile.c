// SPDX-License-Identifier: BSD-3-Clause
/*
 * Hostile values in every field of every request. For each row of opcodes.def there is a sample, a
 * request that is right; a row without one fails. From the sample the cases follow by themselves:
 * each word of the fixed arguments takes each hostile value, node ids and lengths lie, what follows
 * the arguments is cut, overlong, or not terminated, and the reply gets too little room.
 *
 * After every request the reply is well-formed or an errno (fuse_guest.c sees to that), and once
 * the guest has given back what it was given, nothing is left: inodes, descriptors, memory, log
 * lines.
 */
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/securebits.h>
#include <malloc.h>
#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/mman.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "fuse_guest.h"
#include "hostile_samples.h"
#include "log.h"
#include "server.h"
#include "test.h"

#define LOG_LINES_MAX 200

static const struct row {
    uint32_t opcode;
    const char *name;
    size_t args_size;
} rows[] = {
#define OPCODE(number, label, handler, size, flags) {number, #label, size},
#include "opcodes.def"
#undef OPCODE
};

/* One attacker: a guest, what it knows now, and the row that it abuses. */
struct attack {
    struct guest guest;
    struct known known;
    const struct row *row;
    const struct sample *sample;
    struct request request;
    uint64_t init_flags;
    bool negotiated_badly; /* the last request was a hostile INIT */
    unsigned sent;
    int messages; /* the real standard error */
    bool left;    /* something was, once everything had been given back */
};

static void forget(struct guest *guest, uint64_t node, uint64_t count)
{
    struct fuse_forget_in in = {.nlookup = count};
    if (node && node != ROOT)
        guest_do(guest, FUSE_FORGET, node, in);
}

static void release(struct guest *guest, uint32_t opcode, uint64_t node, uint64_t fh)
{
    struct fuse_release_in in = {.fh = fh};
    guest_do(guest, opcode, node, in);
}

/* Some of it may have been made immutable. */
static void clear_flags(int dirfd, const char *name)
{
    int flags = 0;
    int fd = openat(dirfd, name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return; /* a link, or a socket */
    ioctl(fd, FS_IOC_SETFLAGS, &flags);
    close(fd);
}

static void wipe(int parent, const char *name)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir)
        err(1, "%s", name);
    clear_flags(fd, ".");
    struct dirent *entry;
    while ((entry = readdir(dir))) {
        const char *below = entry->d_name;
        if (strcmp(below, ".") == 0 || strcmp(below, "..") == 0 || unlinkat(fd, below, 0) == 0)
            continue;
        if (entry->d_type == DT_DIR)
            wipe(fd, below);
        else
            clear_flags(fd, below);
        if (unlinkat(fd, below, entry->d_type == DT_DIR ? AT_REMOVEDIR : 0) < 0)
            err(1, "%s", below);
    }
    closedir(dir);
}

/* The share as every request finds it. */
static void restore_share(const struct guest *guest)
{
    wipe(AT_FDCWD, guest->root);
    mkdir(guest_path(guest, "dir"), 0755);
    mkdir(guest_path(guest, "empty"), 0755);
    guest_host_file(guest, "file", "some content");
    guest_host_file(guest, "victim", "x");
    if (symlink("file", guest_path(guest, "link")) < 0 ||
        mkfifo(guest_path(guest, "fifo"), 0600) < 0)
        err(1, "the share");
}

static void keep_attribute(const struct guest *guest)
{
    int fd = open(guest_path(guest, "file"), O_RDONLY);
    char name[64];
    snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
    if (fd < 0 || setxattr(name, "trusted.kept", "v", 1, 0) < 0)
        err(1, "trusted.kept");
    close(fd);
}

static void learn(struct attack *attack)
{
    struct guest *guest = &attack->guest;
    struct known *known = &attack->known;
    struct fuse_init_in init = {
        .major = FUSE_ABI_MAJOR,
        .minor = FUSE_ABI_MINOR,
        .flags = (uint32_t)attack->init_flags | FUSE_INIT_EXT,
        .flags2 = (uint32_t)(attack->init_flags >> 32),
    };
    guest->uid = guest->gid = 0;
    if (!guest->server->session.ready || attack->negotiated_badly)
        if (guest_do(guest, FUSE_INIT, 0, init) != 0)
            errx(1, "INIT after %s", attack->row->name);
    attack->negotiated_badly = attack->row->opcode == FUSE_INIT;
    restore_share(guest);
    keep_attribute(guest);
    known->dir = guest_lookup(guest, "dir");
    known->file = guest_lookup(guest, "file");
    known->link = guest_lookup(guest, "link");
    known->fifo = guest_lookup(guest, "fifo");
    if (guest_open(guest, known->file, O_RDWR, &known->fh) != 0 ||
        guest_opendir(guest, known->dir, &known->dir_fh) != 0)
        errx(1, "nothing can be opened after %s", attack->row->name);
}

/* Gives everything back, and counts what is left. */
static void give_back(struct attack *attack)
{
    struct guest *guest = &attack->guest;
    const struct known *known = &attack->known;
    guest->uid = guest->gid = 0;
    release(guest, FUSE_RELEASE, known->file, known->fh);
    release(guest, FUSE_RELEASEDIR, known->dir, known->dir_fh);
    forget(guest, known->file, 1);
    forget(guest, known->dir, 1);
    forget(guest, known->link, 1);
    forget(guest, known->fifo, 1);
    epoch_reclaim(guest->server->epochs);
    /* Then those that are forgotten linger; their descriptors do not, or not for long. */
    bool linger = guest->server->session.flags & FUSE_EXPORT_SUPPORT;
    uint32_t inodes = linger ? 1 : inode_count(guest->server->inodes);
    while (linger && inode_rest(guest->server->inodes))
        continue;
    int descriptors = fd_budget_used(&guest->server->budget);
    /* The janitor may be closing some this very moment. */
    for (unsigned i = 0; i < 1000 && linger && descriptors; i++) {
        usleep(1000);
        descriptors = fd_budget_used(&guest->server->budget);
    }
    if ((inodes != 1 || descriptors != 0) && !attack->left)
        dprintf(attack->messages, "%s: %u inodes and %d descriptors left\n", attack->row->name,
                inodes - 1, descriptors);
    attack->left |= inodes != 1 || descriptors != 0;
}

static void take_listing(struct guest *guest)
{
    size_t at = 0, length = guest->length;
    static uint8_t copy[GUEST_BODY_MAX];
    memcpy(copy, guest->body, length);
    while (at + FUSE_NAME_OFFSET_DIRENTPLUS < length) {
        struct fuse_direntplus *entry = (struct fuse_direntplus *)(copy + at);
        forget(guest, entry->entry_out.nodeid, 1);
        at += FUSE_DIRENTPLUS_SIZE(entry);
    }
}

/* Gives back what the reply to the hostile request brought. */
static void take_gift(struct attack *attack, uint64_t nodeid)
{
    struct guest *guest = &attack->guest;
    struct fuse_entry_out entry = {0};
    struct fuse_open_out opened = {0};
    guest->uid = guest->gid = 0;
    switch (attack->sample->gift) {
    case GIFT_NOTHING:
        break;
    case GIFT_ENTRY:
        memcpy(&entry, guest->body, sizeof(entry));
        forget(guest, entry.nodeid, 1);
        break;
    case GIFT_CREATED:
        memcpy(&entry, guest->body, sizeof(entry));
        memcpy(&opened, guest->body + sizeof(entry), sizeof(opened));
        release(guest, FUSE_RELEASE, entry.nodeid, opened.fh);
        forget(guest, entry.nodeid, 1);
        break;
    case GIFT_FILE:
    case GIFT_DIR:
        memcpy(&opened, guest->body, sizeof(opened));
        release(guest, attack->sample->gift == GIFT_DIR ? FUSE_RELEASEDIR : FUSE_RELEASE, nodeid,
                opened.fh);
        break;
    case GIFT_LISTING:
        take_listing(guest);
        break;
    }
}

/* Starts from the sample; the caller changes it, and sends it. */
static struct request *begin(struct attack *attack)
{
    struct request *request = &attack->request;
    learn(attack);
    memset(request->args, 0, sizeof(request->args));
    *request =
        (struct request){.nodeid = ROOT, .args_length = attack->row->args_size, .room = 8192};
    attack->sample->fill(&attack->known, request);
    return request;
}

/* lie: what the header's length says too much. */
static int send(struct attack *attack, int64_t lie)
{
    struct guest *guest = &attack->guest;
    const struct request *request = &attack->request;
    struct fuse_in_header header = {
        .len = (uint32_t)((int64_t)(sizeof(header) + request->args_length + request->tail_length) +
                          lie),
        .opcode = attack->row->opcode,
        .nodeid = request->nodeid,
        .uid = guest->uid,
        .gid = guest->gid,
    };
    int error = guest_send(guest, &header, request->args, request->args_length, request->tail,
                           request->tail_length, request->room);
    if (error == 0 && guest->length)
        take_gift(attack, request->nodeid);
    give_back(attack);
    attack->sent++;
    return error;
}

static void hostile_words(struct attack *attack)
{
    static const uint32_t words[] = {
        0, 1, 2, 7, 4095, 4096, 0x10000, INT32_MAX, 0x80000000u, UINT32_MAX - 1, UINT32_MAX};
    size_t size = attack->row->args_size;
    for (size_t at = 0; at + 4 <= size; at += 4) {
        for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
            struct request *request = begin(attack);
            memcpy(request->args + at, &words[i], 4);
            send(attack, 0);
        }
    }
    for (size_t at = 0; at + 8 <= size; at += 4) {
        for (unsigned i = 0; i < 12; i++) {
            struct request *request = begin(attack);
            const struct known *known = &attack->known;
            const uint64_t values[12] = {UINT32_MAX + 1ull,
                                         INT64_MAX,
                                         1ull << 63,
                                         UINT64_MAX,
                                         ROOT,
                                         known->file ^ 1,
                                         known->file ^ 1ull << 32,
                                         known->dir,
                                         known->link,
                                         known->dir_fh,
                                         known->fh ^ 1,
                                         known->fh ^ 1ull << 32};
            memcpy(request->args + at, &values[i], 8);
            send(attack, 0);
        }
    }
}

static void hostile_headers(struct attack *attack)
{
    static const int64_t lies[] = {1, 8, 1 << 20, -1, -8, -40, -41, -100, UINT32_MAX / 2};
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        begin(attack);
        send(attack, lies[i]);
    }
    for (unsigned i = 0; i < 9; i++) {
        struct request *request = begin(attack);
        const struct known *known = &attack->known;
        const uint64_t nodes[9] = {0,           ROOT,        known->dir,
                                   known->link, known->fifo, known->file ^ 1ull << 32,
                                   UINT32_MAX,  UINT64_MAX,  1ull << 63};
        request->nodeid = nodes[i];
        send(attack, 0);
    }
    static const uint32_t ids[] = {UINT32_MAX, INT32_MAX, 0x80000000u, 65534};
    for (unsigned i = 0; i < 8; i++) {
        begin(attack);
        attack->guest.uid = i < 4 ? ids[i] : 0;
        attack->guest.gid = i < 4 ? 0 : ids[i - 4];
        send(attack, 0);
    }
}

static void hostile_lengths(struct attack *attack)
{
    for (size_t length = 0; length < attack->row->args_size; length++) {
        struct request *request = begin(attack);
        request->args_length = length;
        request->tail_length = 0;
        send(attack, 0);
    }
    size_t tail = begin(attack)->tail_length;
    send(attack, 0);
    for (size_t length = 0; length < tail; length++) {
        begin(attack)->tail_length = length;
        send(attack, 0);
    }
    static const size_t rooms[] = {0, 1, 4, 8, 15, 16, 39, 104, 127, 128, 129, 143, 144, 1 << 20};
    for (size_t i = 0; i < sizeof(rooms) / sizeof(rooms[0]); i++) {
        begin(attack)->room = rooms[i];
        send(attack, 0);
    }
}

/* What follows the arguments: long, empty, not terminated, names that mean something. */
static void hostile_tails(struct attack *attack)
{
    static const size_t lengths[] = {1,    2,    3,     254,   255,   256,   257,
                                     4095, 4096, 65535, 65536, 73727, 73728, TAIL_MAX};
    static const char fills[] = {'\0', 'n', '/', '.', '\xff'};
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        for (size_t j = 0; j < 2 * sizeof(fills); j++) {
            struct request *request = begin(attack);
            memset(request->tail, fills[j / 2], lengths[i]);
            request->tail_length = lengths[i];
            if (j % 2)
                request->tail[lengths[i] - 1] = '\0';
            send(attack, 0);
        }
    }
    static const char *const names[] = {".",
                                        "..",
                                        "../x",
                                        "/etc",
                                        "a/b",
                                        "dir/",
                                        "fifo",
                                        "link",
                                        "dir",
                                        "file",
                                        "security.capability",
                                        "system.posix_acl_access"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        for (size_t j = 0; j < sizeof(names) / sizeof(names[0]); j++) {
            struct request *request = begin(attack);
            request->tail_length = 0;
            put_string(request, names[i]);
            put_string(request, names[j]);
            send(attack, 0);
        }
    }
    struct request *request = begin(attack);
    request->tail_length += 1000; /* more than there should be */
    send(attack, 0);
}

static void abuse(struct attack *attack, const struct row *row)
{
    attack->row = row;
    attack->sample = sample_of(row->opcode);
    attack->left = false;
    begin(attack);
    int error = send(attack, 0);
    if (error != attack->sample->error) {
        dprintf(attack->messages, "%s: the sample itself: %d, not %d\n", row->name, error,
                attack->sample->error);
        test_failed++;
    }
    hostile_words(attack);
    hostile_headers(attack);
    hostile_lengths(attack);
    hostile_tails(attack);
    if (attack->left)
        test_failed++;
}

/* All lines that the server logs go to a file. */
static int catch_log(int *ret_stderr)
{
    int file = memfd_create("log", MFD_CLOEXEC);
    *ret_stderr = dup(STDERR_FILENO);
    if (file < 0 || *ret_stderr < 0)
        err(1, "log");
    return file;
}

static unsigned count_lines(int file)
{
    char block[4096];
    unsigned lines = 0;
    ssize_t length;
    lseek(file, 0, SEEK_SET);
    while ((length = read(file, block, sizeof(block))) > 0)
        for (ssize_t i = 0; i < length; i++)
            lines += block[i] == '\n';
    return lines;
}

static void abuse_all(uint64_t init_flags)
{
    static struct attack attack;
    int messages;
    int file = catch_log(&messages);
    attack = (struct attack){.init_flags = init_flags, .messages = messages};
    guest_prepare(&attack.guest);
    attack.guest.init_flags = init_flags;
    attack.guest.settings.posix_lock = attack.guest.settings.flock = true;
    CHECK_EQ(mount("hostile", attack.guest.root, "tmpfs", 0, "size=8m,nr_inodes=1k"), 0);
    guest_start(&attack.guest);

    size_t memory = 0;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (!sample_of(rows[i].opcode)) {
            fprintf(stderr, "%s has no sample here\n", rows[i].name);
            test_failed++;
            continue;
        }
        int before = test_failed;
        dup2(file, STDERR_FILENO);
        abuse(&attack, &rows[i]);
        dup2(messages, STDERR_FILENO);
        if (test_failed != before)
            fprintf(stderr, "%s failed\n", rows[i].name);
        if (i == 0)
            memory = mallinfo2().uordblks;
    }
    size_t grown = mallinfo2().uordblks - memory;
    unsigned lines = count_lines(file);
    printf("     %u requests, %u lines in the log\n", attack.sent, lines);
    CHECK(lines <= LOG_LINES_MAX);
    /* Hash tables of inodes that linger are the only thing that may have grown. */
    CHECK(grown < (init_flags & FUSE_EXPORT_SUPPORT ? 32 * INODES_LINGERING_MAX : 65536) ||
          grown > SIZE_MAX / 2);
    CHECK_EQ(umount2(attack.guest.root, MNT_DETACH), 0);
    CHECK_EQ(guest_end(&attack.guest), 0);
    close(messages);
    close(file);
}

static void every_field_of_every_request(void)
{
    abuse_all(FUSE_DO_READDIRPLUS | FUSE_HANDLE_KILLPRIV_V2 | FUSE_MAX_PAGES | FUSE_POSIX_LOCKS |
              FUSE_FLOCK_LOCKS);
}

/* Whatever can be negotiated is. */
static void with_everything_negotiated(void)
{
    abuse_all(UINT64_MAX);
}

int main(void)
{
    if (geteuid() != 0) {
        printf("skipped: needs root\n");
        return 77;
    }
    umask(0);
    /* The share is a small file system of its own, which goes with this process. */
    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
        printf("skipped: needs a mount namespace\n");
        return 77;
    }
    if (prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP) < 0) {
        printf("skipped: needs CAP_SETPCAP\n");
        return 77;
    }
    RUN(every_field_of_every_request);
    RUN(with_everything_negotiated);
    return test_result();
}
