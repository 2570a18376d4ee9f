// SPDX-License-Identifier: BSD-3-Clause
/*
 * Anything that a guest and the host do with mapped files, in any order, against a model: files as
 * arrays of bytes. What a guest has stored counts from that moment on; what the host has done,
 * after the guest's next GETATTR.
 *
 * VIOFSD_DAX_SECONDS: how long each case runs (10; 100 with VIOFSD_TEST_SCALE=full);
 * VIOFSD_DAX_SEED: another sequence (the time, which is printed).
 */
#include "dax_guest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define R          WINDOW_RANGE
#define FILES      3u
#define BLOCKS     3u
#define SIZE_MAX_  (BLOCKS * R)
#define PLACES     8u
#define PIECE_MAX  40000u
#define SYNC_EVERY 100u
#define NOTES      8u

/* Longer than a tick of the clock that file systems take their times from. */
#define TICK_MS    11

struct model {
    int fd; /* the host's */
    uint64_t node;
    uint64_t fh;
    uint64_t size;
    unsigned char *bytes; /* SIZE_MAX_; zeros behind size */
    bool dirty;           /* the guest has stored since it last told us to look */
};

struct place {
    struct model *file; /* NULL: nothing is mapped */
    uint64_t offset;    /* of the file */
    bool writable;
};

struct world {
    struct dax dax;
    struct model files[FILES];
    struct place places[PLACES];
    uint64_t random;
    unsigned long steps;
    char notes[NOTES][100]; /* the latest steps, for failures */
};

static uint64_t any(struct world *world, uint64_t limit)
{
    world->random ^= world->random << 13;
    world->random ^= world->random >> 7;
    world->random ^= world->random << 17;
    return (world->random >> 11) % limit;
}

static void note(struct world *world, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void note(struct world *world, const char *format, ...)
{
    va_list list;

    va_start(list, format);
    vsnprintf(world->notes[world->steps % NOTES], sizeof(world->notes[0]), format, list);
    va_end(list);
}

static void fail(struct world *world, const char *what, uint64_t at)
{
    char history[NOTES * 104] = "";

    for (unsigned i = 0; i < NOTES; i++) {
        strcat(history, world->notes[(world->steps + NOTES - i) % NOTES]);
        strcat(history, "; ");
    }
    FAIL("step %lu: %s at %#llx. Latest first: %s", world->steps, what, (unsigned long long)at,
         history);
}

static struct model *any_file(struct world *world)
{
    return &world->files[any(world, FILES)];
}

static unsigned index_of(const struct world *world, const struct model *file)
{
    return (unsigned)(file - world->files);
}

/* Sizes and offsets are often near pages' and ranges' edges. */
static uint64_t any_offset(struct world *world, uint64_t limit)
{
    uint64_t offset = any(world, limit + 1), unit = any(world, 2) ? 4096 : R;

    if (any(world, 3) == 0)
        offset = offset / unit * unit + any(world, 5) - 2;
    return offset > limit ? limit : offset;
}

/* --- the model's side --- */

static void set_size(struct model *file, uint64_t size)
{
    if (size < file->size)
        memset(file->bytes + size, 0, file->size - size);
    file->size = size;
}

static void put(struct model *file, uint64_t offset, const void *bytes, size_t length)
{
    memcpy(file->bytes + offset, bytes, length);
    if (offset + length > file->size)
        file->size = offset + length;
}

/* What the guest has stored is in the file. */
static void sync_file(struct world *world, struct model *file)
{
    switch (any(world, 4)) {
    case 0:
        CHECK_EQ(dax_flush(&world->dax, file->node, file->fh), 0);
        break;
    case 1:
        dax_getattr(&world->dax, file->node);
        break;
    default:
        CHECK_EQ(dax_fsync(&world->dax, file->node, file->fh), 0);
    }
    file->dirty = false;
}

static void check_place(struct world *world, const struct place *place)
{
    static unsigned char found[R];
    const struct model *file = place->file;
    uint64_t left = file->size > place->offset ? file->size - place->offset : 0;
    uint64_t length = left < R ? left : R;

    if (length == 0)
        return;
    uint64_t at = (uint64_t)(place - world->places) * R;
    if (window_load(&world->dax.window, at, found, length) < 0)
        fail(world, "the window has holes", at);
    if (memcmp(found, file->bytes + place->offset, length) == 0)
        return;
    for (uint64_t i = 0; i < length; i++)
        if (found[i] != file->bytes[place->offset + i])
            fail(world, "the window is not the model", at + i);
}

static void check_host(struct world *world, const struct model *file)
{
    static unsigned char found[SIZE_MAX_];

    if (host_size(file->fd) != file->size)
        fail(world, "the file has another size", host_size(file->fd));
    if (pread(file->fd, found, file->size, 0) != (ssize_t)file->size)
        FAIL("pread: %m");
    if (memcmp(found, file->bytes, file->size) == 0)
        return;
    for (uint64_t i = 0; i < file->size; i++)
        if (found[i] != file->bytes[i])
            fail(world, "the file is not the model", i);
}

static void check_all(struct world *world)
{
    for (unsigned i = 0; i < PLACES; i++)
        if (world->places[i].file)
            check_place(world, &world->places[i]);
    for (unsigned i = 0; i < FILES; i++) {
        sync_file(world, &world->files[i]);
        check_host(world, &world->files[i]);
    }
}

/* --- steps of the guest --- */

static void step_map(struct world *world)
{
    struct model *file = any_file(world);
    unsigned at = (unsigned)any(world, PLACES);
    uint64_t offset = any(world, BLOCKS) * R;
    bool writable = any(world, 3) > 0;

    note(world, "map %u+%#llx at %u%s", index_of(world, file), (unsigned long long)offset, at,
         writable ? " rw" : "");
    struct place *place = &world->places[at];
    /* Linux has each part of a file in one place. */
    for (unsigned i = 0; i < PLACES; i++) {
        if (i == at || world->places[i].file != file || world->places[i].offset != offset)
            continue;
        CHECK_EQ(dax_unmap(&world->dax, i * R, R), 0);
        world->places[i].file = NULL;
    }
    if (place->file == file && place->offset == offset && place->writable)
        writable = true;
    int error = dax_map(&world->dax, file->node, offset, at * R, writable ? DAX_WRITE : DAX_READ);
    if (error)
        fail(world, strerrorname_np(-error), 0);
    *place = (struct place){file, offset, writable};
    check_place(world, place);
}

static void step_unmap(struct world *world)
{
    unsigned at = (unsigned)any(world, PLACES);

    note(world, "unmap %u", at);
    CHECK_EQ(dax_unmap(&world->dax, at * R, R), 0);
    world->places[at].file = NULL;
    dax_expect_nothing(&world->dax, at * R, R);
}

static void step_store(struct world *world)
{
    static unsigned char bytes[PIECE_MAX];
    struct place *place = &world->places[any(world, PLACES)];
    struct model *file = place->file;

    if (!file || !place->writable || file->size <= place->offset)
        return;
    uint64_t end = file->size - place->offset < R ? file->size - place->offset : R;
    uint64_t offset =
        any(world, 2) ? any(world, end) : end - 1 - any(world, end < 5000 ? end : 5000);
    size_t length = 1 + any(world, PIECE_MAX);
    if (length > end - offset)
        length = end - offset;
    note(world, "store %u+%#llx %zu", index_of(world, file),
         (unsigned long long)(place->offset + offset), length);
    pattern((unsigned)world->steps, 0, bytes, length);
    if (window_store(&world->dax.window, (uint64_t)(place - world->places) * R + offset, bytes,
                     length) < 0)
        fail(world, "the window cannot be stored to", offset);
    put(file, place->offset + offset, bytes, length);
    file->dirty = true;
}

static void step_write(struct world *world)
{
    static unsigned char bytes[PIECE_MAX];
    struct model *file = any_file(world);
    bool append = any(world, 3) == 0;
    uint64_t offset = append ? file->size : any_offset(world, file->size + R / 4);
    size_t length = 1 + any(world, PIECE_MAX);

    if (offset + length > SIZE_MAX_)
        return;
    note(world, "write %u+%#llx %zu", index_of(world, file), (unsigned long long)offset, length);
    pattern((unsigned)world->steps, 0, bytes, length);
    CHECK_EQ(dax_write(&world->dax, file->node, file->fh, offset, bytes, length), 0);
    put(file, offset, bytes, length);
}

static void step_read(struct world *world)
{
    static unsigned char bytes[PIECE_MAX];
    struct model *file = any_file(world);
    struct vuf_read_in in = {.fh = file->fh, .size = PIECE_MAX};

    in.offset = any_offset(world, file->size);
    uint64_t left = file->size - in.offset, length = left < PIECE_MAX ? left : PIECE_MAX;
    note(world, "read %u+%#llx", index_of(world, file), (unsigned long long)in.offset);
    CHECK_EQ(dax_call(&world->dax, 1, VUF_OP_READ, file->node, &in, sizeof(in), NULL, 0, bytes,
                      sizeof(bytes)),
             0);
    if (memcmp(bytes, file->bytes + in.offset, length) != 0)
        fail(world, "READ is not the model", in.offset);
}

static void step_set_size(struct world *world)
{
    struct model *file = any_file(world);
    uint64_t size = any(world, 10) ? any_offset(world, SIZE_MAX_) : 0;

    note(world, "size %u %#llx -> %#llx", index_of(world, file), (unsigned long long)file->size,
         (unsigned long long)size);
    CHECK_EQ(dax_set_size(&world->dax, file->node, size), 0);
    set_size(file, size);
}

static void step_open_truncate(struct world *world)
{
    struct model *file = any_file(world);

    note(world, "open O_TRUNC %u", index_of(world, file));
    uint64_t fh = guest_open(&world->dax.guest, file->node, O_RDWR | O_TRUNC);
    set_size(file, 0);
    CHECK_EQ(dax_release(&world->dax, file->node, fh), 0);
}

static void step_allocate(struct world *world)
{
    struct model *file = any_file(world);
    struct vuf_fallocate_in in = {.fh = file->fh, .mode = any(world, 2) ? 3 : 0};

    in.offset = any_offset(world, file->size);
    in.length = 1 + any(world, R / 2);
    if (in.offset + in.length > SIZE_MAX_)
        return;
    note(world, "%s %u+%#llx %llu", in.mode ? "punch" : "allocate", index_of(world, file),
         (unsigned long long)in.offset, (unsigned long long)in.length);
    int error =
        dax_call(&world->dax, 1, VUF_OP_FALLOCATE, file->node, &in, sizeof(in), NULL, 0, NULL, 0);
    if (error == -EOPNOTSUPP)
        return;
    CHECK_EQ(error, 0);
    uint64_t end = in.offset + in.length;
    if (in.mode && in.offset < file->size)
        memset(file->bytes + in.offset, 0, (end < file->size ? end : file->size) - in.offset);
    else if (!in.mode && end > file->size)
        set_size(file, end);
}

static void step_copy(struct world *world)
{
    struct model *from = any_file(world), *to = any_file(world);
    struct vuf_copy_file_range_in in = {
        .fh_in = from->fh, .nodeid_out = to->node, .fh_out = to->fh};
    struct vuf_write_out out = {0};

    if (from == to || from->size == 0)
        return;
    in.off_in = any(world, from->size);
    in.off_out = any_offset(world, to->size + 5000);
    in.len = 1 + any(world, R / 2);
    if (in.off_out + in.len > SIZE_MAX_)
        return;
    note(world, "copy %u+%#llx to %u+%#llx %llu", index_of(world, from),
         (unsigned long long)in.off_in, index_of(world, to), (unsigned long long)in.off_out,
         (unsigned long long)in.len);
    CHECK_EQ(dax_call(&world->dax, 1, VUF_OP_COPY_FILE_RANGE, from->node, &in, sizeof(in), NULL, 0,
                      &out, sizeof(out)),
             0);
    CHECK(out.size <= in.len && out.size <= from->size - in.off_in);
    if (out.size)
        put(to, in.off_out, from->bytes + in.off_in, out.size);
}

static void step_sync(struct world *world)
{
    struct model *file = any_file(world);

    note(world, "sync %u", index_of(world, file));
    sync_file(world, file);
    check_host(world, file);
}

/* --- steps of the host: the guest has let go of what it stored, and looks afterwards --- */

static void step_host_write(struct world *world)
{
    static unsigned char bytes[PIECE_MAX];
    struct model *file = any_file(world);
    uint64_t offset = any_offset(world, file->size + 10000);
    size_t length = 1 + any(world, PIECE_MAX);

    if (offset + length > SIZE_MAX_)
        return;
    note(world, "host write %u+%#llx %zu", index_of(world, file), (unsigned long long)offset,
         length);
    sync_file(world, file);
    sleep_ms(TICK_MS);
    pattern((unsigned)world->steps, 0, bytes, length);
    if (pwrite(file->fd, bytes, length, (off_t)offset) != (ssize_t)length)
        FAIL("pwrite: %m");
    put(file, offset, bytes, length);
    CHECK_EQ(dax_getattr(&world->dax, file->node).size, file->size);
}

static void step_host_truncate(struct world *world)
{
    struct model *file = any_file(world);
    uint64_t size = any_offset(world, SIZE_MAX_);

    note(world, "host size %u %#llx -> %#llx", index_of(world, file),
         (unsigned long long)file->size, (unsigned long long)size);
    sync_file(world, file);
    sleep_ms(TICK_MS);
    CHECK(ftruncate(file->fd, (off_t)size) == 0);
    set_size(file, size);
    CHECK_EQ(dax_getattr(&world->dax, file->node).size, size);
}

static void meet_files(struct world *world)
{
    for (unsigned i = 0; i < FILES; i++) {
        char name[20];

        snprintf(name, sizeof(name), "file%u", i);
        world->files[i].node = guest_lookup(&world->dax.guest, ROOT_ID, name);
        world->files[i].fh = guest_open(&world->dax.guest, world->files[i].node, O_RDWR);
        world->files[i].dirty = false;
    }
}

static void step_mount_again(struct world *world)
{
    note(world, "destroy");
    CHECK_EQ(vuf_fuse_destroy(&world->dax.guest.fuse), 0);
    CHECK_EQ(window_counts(&world->dax.window).pieces, 0);
    memset(world->places, 0, sizeof(world->places));
    for (unsigned i = 0; i < FILES; i++)
        check_host(world, &world->files[i]);
    dax_init(&world->dax);
    meet_files(world);
}

static const struct {
    void (*run)(struct world *world);
    unsigned weight;
} steps[] = {
    {step_map, 20}, {step_unmap, 6},    {step_store, 40},        {step_write, 25},
    {step_read, 8}, {step_set_size, 6}, {step_open_truncate, 1}, {step_allocate, 6},
    {step_copy, 3}, {step_sync, 6},     {step_host_write, 5},    {step_host_truncate, 2},
};

static void take_step(struct world *world)
{
    unsigned sum = 0;

    for (unsigned i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
        sum += steps[i].weight;
    uint64_t choice = any(world, sum);
    for (unsigned i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        if (choice < steps[i].weight) {
            steps[i].run(world);
            return;
        }
        choice -= steps[i].weight;
    }
}

static void random_steps(struct daemon *daemon)
{
    static struct world world;
    const char *seconds_text = getenv("VIOFSD_DAX_SECONDS"), *seed_text = getenv("VIOFSD_DAX_SEED");
    const char *scale = getenv("VIOFSD_TEST_SCALE");
    int seconds = seconds_text                          ? atoi(seconds_text)
                  : scale && strcmp(scale, "full") == 0 ? 100
                                                        : 10;
    uint64_t seed = seed_text ? strtoull(seed_text, NULL, 0) : (uint64_t)now_ms();

    alarm((unsigned)seconds + 120);
    printf("# VIOFSD_DAX_SEED=%llu\n", (unsigned long long)seed);
    fflush(stdout);
    world.random = (seed + 1) * 0x9e3779b97f4a7c15ull;
    dax_start(&world.dax, daemon, case_data());
    for (unsigned i = 0; i < FILES; i++) {
        char name[20];

        snprintf(name, sizeof(name), "file%u", i);
        world.files[i].fd = host_create(&world.dax, name, 0, 0);
        world.files[i].bytes = calloc(1, SIZE_MAX_);
        CHECK(world.files[i].bytes);
    }
    meet_files(&world);
    for (long long end = now_ms() + seconds * 1000LL; now_ms() < end;) {
        take_step(&world);
        for (unsigned i = 0; i < PLACES; i++)
            if (world.places[i].file && (world.steps + i) % PLACES == 0)
                check_place(&world, &world.places[i]);
        world.steps++;
        if (world.steps % SYNC_EVERY == 0)
            check_all(&world);
        if (world.steps % 2000 == 0)
            step_mount_again(&world);
    }
    check_all(&world);
    printf("# %lu steps\n", world.steps);
    fflush(stdout);
    step_mount_again(&world);
    dax_finish(&world.dax);
}

static const struct dax_options exact = {.window = {.style = WINDOW_EXACT, .eof_is_lenient = true}};
static const struct dax_options legacy = {.window = {.style = WINDOW_LEGACY}};

static const struct test_case cases[] = {
    {.name = "random-exact", .run = random_steps, .words = DAX_WINDOW_WORD, .data = &exact},
    {.name = "random-loose", .run = random_steps, .words = DAX_WINDOW_WORD, .data = &dax_loose},
    {.name = "random-strict", .run = random_steps, .words = DAX_WINDOW_WORD, .data = &dax_strict},
    {.name = "random-legacy",
     .run = random_steps,
     .words = "--dax-window=32M --dax-protocol=fs-map",
     .data = &legacy},
};

int main(int argc, char **argv)
{
    return case_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
