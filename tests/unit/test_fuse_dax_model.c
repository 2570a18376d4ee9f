// SPDX-License-Identifier: BSD-3-Clause
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "dax_front.h"
#include "test.h"

/*
 * Anything in any order, against a model: bytes as the guest must see them. The window is compared
 * after every step, the file after every step that says so.
 */
#define MODEL_MAX (3 * MIB2)

struct model {
    struct guest guest;
    uint64_t node, fh;
    uint64_t size;
    uint8_t bytes[MODEL_MAX];
    int place[3]; /* the range of the window that shows this range of the file; -1: none */
    bool stores[3];
    unsigned random;
};

static unsigned pick(struct model *model, unsigned below)
{
    model->random = model->random * 1664525u + 1013904223u;
    return below ? (model->random >> 8) % below : 0;
}

static void model_write(struct model *model, uint64_t offset, const uint8_t *data, size_t length)
{
    if (offset > model->size)
        memset(model->bytes + model->size, 0, offset - model->size);
    memcpy(model->bytes + offset, data, length);
    if (offset + length > model->size)
        model->size = offset + length;
}

/* The window shows the model. */
static bool model_seen(struct model *model)
{
    for (unsigned i = 0; i < 3; i++) {
        uint64_t start = i * MIB2;
        if (model->place[i] < 0 || model->size <= start)
            continue;
        uint64_t length = model->size - start < MIB2 ? model->size - start : MIB2;
        const uint8_t *shown = front.window + (uint64_t)model->place[i] * MIB2;
        if (memcmp(shown, model->bytes + start, length) == 0)
            continue;
        for (uint64_t n = 0; n < length; n++) {
            if (shown[n] != model->bytes[start + n]) {
                fprintf(stderr, "     range %u differs at %lu of %lu: %u, not %u\n", i, n, length,
                        shown[n], model->bytes[start + n]);
                break;
            }
        }
        return false;
    }
    return true;
}

/* The file is the model. */
static bool model_synced(struct model *model)
{
    static uint8_t bytes[MODEL_MAX + 1];
    struct fuse_fsync_in in = {.fh = model->fh};
    if (guest_do(&model->guest, FUSE_FSYNC, model->node, in) != 0)
        return false;
    int fd = open(guest_path(&model->guest, "f"), O_RDONLY);
    ssize_t length = pread(fd, bytes, sizeof(bytes), 0);
    close(fd);
    return length == (ssize_t)model->size && memcmp(bytes, model->bytes, model->size) == 0;
}

static bool model_map(struct model *model)
{
    unsigned block = pick(model, 3), place = pick(model, 8);
    bool write = pick(model, 2);
    for (unsigned i = 0; i < 3; i++) {
        if (model->place[i] == (int)place && i != block)
            return true; /* Linux would not */
    }
    if (model->place[block] >= 0 && model->place[block] != (int)place)
        return true;
    model->place[block] = (int)place;
    model->stores[block] |= write;
    return window_setup(&model->guest, model->node, block * MIB2, place * MIB2, write) == 0;
}

static bool model_unmap(struct model *model)
{
    unsigned block = pick(model, 3);
    if (model->place[block] < 0)
        return true;
    front.frozen = false;
    int error = window_removal(&model->guest, model->node, (uint64_t)model->place[block] * MIB2);
    front.frozen = true;
    model->place[block] = -1;
    model->stores[block] = false;
    return error == 0;
}

/* A place for up to 10,000 bytes, mostly around the end of the file. */
static uint64_t model_place(struct model *model, size_t *ret_length)
{
    *ret_length = 1 + pick(model, pick(model, 4) ? 300 : 10000);
    uint64_t limit = MODEL_MAX - *ret_length;
    uint64_t offset =
        pick(model, 3) ? model->size + pick(model, 5000) - 4000 : pick(model, MODEL_MAX);
    return offset > limit ? pick(model, (unsigned)limit) : offset;
}

static bool model_request(struct model *model)
{
    static uint8_t data[10000];
    size_t length;
    uint64_t offset = model_place(model, &length);
    bool append = pick(model, 3) == 0 && model->size + length <= MODEL_MAX;
    for (size_t i = 0; i < length; i++)
        data[i] = (uint8_t)pick(model, 256);
    int put = guest_write(&model->guest, model->node, model->fh, offset, data, length,
                          append ? O_APPEND : 0, 0);
    model_write(model, append ? model->size : offset, data, length);
    return put == (int)length;
}

static bool model_store(struct model *model)
{
    size_t length;
    uint64_t offset = model_place(model, &length);
    for (size_t i = 0; i < length && offset + i < model->size; i++) {
        unsigned block = (unsigned)((offset + i) / MIB2);
        if (model->place[block] < 0 || !model->stores[block])
            continue;
        uint8_t byte = (uint8_t)pick(model, 256);
        front.window[(uint64_t)model->place[block] * MIB2 + (offset + i) % MIB2] = byte;
        model->bytes[offset + i] = byte;
    }
    return true;
}

/* By the host, told to the guest by GETATTR. */
static bool model_host(struct model *model)
{
    static uint8_t data[10000];
    size_t length;
    uint64_t offset = model_place(model, &length);
    if (!model_synced(model))
        return false;
    for (size_t i = 0; i < length; i++)
        data[i] = (uint8_t)pick(model, 256);
    int fd = open(guest_path(&model->guest, "f"), O_WRONLY);
    ssize_t put = pwrite(fd, data, length, (off_t)offset);
    close(fd);
    model_write(model, offset, data, length);
    return put == (ssize_t)length && window_getattr(&model->guest, model->node) == 0;
}

static bool model_resize(struct model *model)
{
    uint64_t size =
        pick(model, 3) ? model->size + pick(model, 20000) - 10000 : pick(model, MODEL_MAX);
    if (size > MODEL_MAX)
        size = pick(model, 3) * PAGE;
    if (size > model->size)
        memset(model->bytes + model->size, 0, size - model->size);
    model->size = size;
    return window_set_size(&model->guest, model->node, size) == 0;
}

static bool model_step(struct model *model)
{
    switch (pick(model, 12)) {
    case 0:
    case 1:
        return model_map(model);
    case 2:
        return model_unmap(model);
    case 3:
    case 4:
        return model_request(model);
    case 5:
    case 6:
    case 7:
        return model_store(model);
    case 8:
        return model_host(model);
    case 9:
        return model_resize(model);
    case 10:
        return model_synced(model);
    default:
        return window_getattr(&model->guest, model->node) == 0;
    }
}

static void anything(bool exact, unsigned seed)
{
    static struct model model;
    const char *scale = getenv("VIOFSD_TEST_SCALE");
    unsigned steps = scale && strcmp(scale, "full") == 0 ? 1000000 : 5000;
    model = (struct model){.place = {-1, -1, -1}, .random = seed};
    window_begin(&model.guest, exact);
    guest_host_file(&model.guest, "f", "");
    model.node = guest_lookup(&model.guest, "f");
    CHECK_EQ(guest_open(&model.guest, model.node, O_RDWR, &model.fh), 0);
    front.frozen = exact;
    for (unsigned i = 0; i < steps; i++) {
        unsigned before = model.random;
        if (!model_step(&model) || !model_seen(&model) || front.violations) {
            model.random = before;
            fprintf(stderr, "     seed %u, step %u, kind %u, size %lu\n", seed, i, pick(&model, 12),
                    model.size);
            CHECK(false);
        }
    }
    CHECK(model_synced(&model));
    CHECK_EQ(window_end(&model.guest), 0);
}

static void anything_exactly(void)
{
    unsigned seed = (unsigned)time(NULL);
    printf("     seed %u\n", seed);
    anything(true, seed);
}

static void anything_loosely(void)
{
    unsigned seed = (unsigned)time(NULL) + 1;
    printf("     seed %u\n", seed);
    anything(false, seed);
}

int main(void)
{
    RUN(anything_exactly);
    RUN(anything_loosely);
    return test_result();
}
