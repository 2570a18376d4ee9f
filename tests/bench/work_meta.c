// SPDX-License-Identifier: BSD-3-Clause
/* Workloads on attributes and names. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "share.h"
#include "workloads.h"

/* O_LARGEFILE as 64-bit Linux guests send it, where the C library has 0. */
#define GUEST_LARGEFILE 0100000u

int workload_lookup(struct bench *bench, uint64_t parent, const char *name, uint64_t *ret_nodeid)
{
    struct vuf_buf buf = {.base = name, .len = strlen(name) + 1};
    struct vuf_entry_out entry;
    int error;
    int r = vuf_fuse_call(&bench->fuse, 1, VUF_OP_LOOKUP, parent, &buf, 1, &entry, sizeof(entry),
                          NULL, &error);

    if (r == 0)
        r = error;
    if (r < 0)
        return bench_fail(bench, r, name);
    *ret_nodeid = entry.nodeid;
    return 0;
}

int workload_refused(const struct bench *bench, const struct vuf_fuse_req *req)
{
    char text[64];

    snprintf(text, sizeof(text), "request %u was refused", req->opcode);
    return bench_fail(bench, req->error, text);
}

int meta_open_dir(struct bench *bench)
{
    bench->inos = calloc(SHARE_FILES, sizeof(*bench->inos));
    if (!bench->inos)
        return bench_fail(bench, -ENOMEM, "tables");
    for (unsigned int i = 0; i < bench->options->files; i++) {
        char name[SHARE_NAME_SIZE];
        char path[64];
        uint64_t size;
        int r;

        share_file_name(name, i);
        snprintf(path, sizeof(path), "%s/%s", SHARE_DIR_FILES, name);
        r = share_stat(bench->options->share, path, &bench->inos[i], &size);
        if (r < 0)
            return bench_fail(bench, r, path);
    }
    return workload_lookup(bench, VUF_ROOT_ID, SHARE_DIR_FILES, &bench->dir_node);
}

int meta_open_files(struct bench *bench)
{
    int r = meta_open_dir(bench);

    if (r < 0)
        return r;
    bench->nodes = calloc(SHARE_FILES, sizeof(*bench->nodes));
    if (!bench->nodes)
        return bench_fail(bench, -ENOMEM, "tables");
    for (unsigned int i = 0; i < bench->options->files && r == 0; i++) {
        char name[SHARE_NAME_SIZE];

        share_file_name(name, i);
        r = workload_lookup(bench, bench->dir_node, name, &bench->nodes[i]);
    }
    return r;
}

/* The slot's next file.  Slots have shares of their own, so that no file is in flight twice. */
static unsigned int next_file(const struct bench *bench, const struct bench_slot *slot)
{
    unsigned int depth = bench->options->depth;

    unsigned int files = bench->options->files;

    if (depth > files)
        return slot->index % files;
    return slot->index + (unsigned int)(slot->n % (files / depth)) * depth;
}

static int check_attr(const struct bench *bench, const struct bench_slot *slot,
                      const struct vuf_attr *attr)
{
    if (attr->ino != bench->inos[slot->file] || attr->size != SHARE_FILE_SIZE ||
        !S_ISREG(attr->mode))
        return bench_fail(bench, -EBADMSG, "attributes of another file");
    return WORKLOAD_DONE;
}

int getattr_send(struct bench *bench, struct bench_slot *slot)
{
    struct vuf_fuse_req *req = bench_request(bench, slot);

    slot->file = next_file(bench, slot);
    *(struct vuf_getattr_in *)vuf_fuse_args(req) = (struct vuf_getattr_in){0};
    return bench_send(bench, slot, req,
                      &(struct bench_send){
                          .opcode = VUF_OP_GETATTR,
                          .nodeid = bench->nodes[slot->file],
                          .args = sizeof(struct vuf_getattr_in),
                          .reply = sizeof(struct vuf_attr_out),
                      });
}

int getattr_check(struct bench *bench, struct bench_slot *slot, const struct vuf_fuse_req *req)
{
    struct vuf_attr_out out;

    if (req->error)
        return workload_refused(bench, req);
    memcpy(&out, req->out + sizeof(struct vuf_out_header), sizeof(out));
    return check_attr(bench, slot, &out.attr);
}

static int send_name(struct bench *bench, struct bench_slot *slot, uint32_t opcode,
                     const char *name, size_t reply)
{
    struct vuf_fuse_req *req = bench_request(bench, slot);
    size_t len = strlen(name) + 1;

    memcpy(vuf_fuse_args(req), name, len);
    return bench_send(bench, slot, req,
                      &(struct bench_send){
                          .opcode = opcode,
                          .nodeid = bench->dir_node,
                          .args = len,
                          .reply = reply,
                      });
}

int lookup_send(struct bench *bench, struct bench_slot *slot)
{
    char name[SHARE_NAME_SIZE];

    slot->file = next_file(bench, slot);
    share_file_name(name, slot->file);
    return send_name(bench, slot, VUF_OP_LOOKUP, name, sizeof(struct vuf_entry_out));
}

static int read_entry(const struct bench *bench, const struct vuf_fuse_req *req,
                      struct vuf_entry_out *ret_entry)
{
    if (req->error)
        return workload_refused(bench, req);
    memcpy(ret_entry, req->out + sizeof(struct vuf_out_header), sizeof(*ret_entry));
    return 0;
}

int lookup_check(struct bench *bench, struct bench_slot *slot, const struct vuf_fuse_req *req)
{
    struct vuf_entry_out entry;
    int r = read_entry(bench, req, &entry);

    if (r < 0)
        return r;
    if (entry.nodeid != bench->nodes[slot->file])
        return bench_fail(bench, -EBADMSG, "another node id than before for the same file");
    return check_attr(bench, slot, &entry.attr);
}

int cold_check(struct bench *bench, struct bench_slot *slot, const struct vuf_fuse_req *req)
{
    struct vuf_entry_out entry;
    int r = read_entry(bench, req, &entry);

    if (r == 0)
        r = bench_forget(bench, entry.nodeid);
    return r < 0 ? r : check_attr(bench, slot, &entry.attr);
}

int miss_send(struct bench *bench, struct bench_slot *slot)
{
    char name[SHARE_NAME_SIZE];

    snprintf(name, sizeof(name), "m%04u", next_file(bench, slot));
    return send_name(bench, slot, VUF_OP_LOOKUP, name, sizeof(struct vuf_entry_out));
}

int miss_check(struct bench *bench, struct bench_slot *slot, const struct vuf_fuse_req *req)
{
    struct vuf_entry_out entry = {.nodeid = 0};

    (void)slot;
    if (req->error == -ENOENT)
        return WORKLOAD_DONE;
    /* A reply with node id 0 also says that there is none, and may be cached. */
    if (!req->error)
        memcpy(&entry, req->out + sizeof(struct vuf_out_header), sizeof(entry));
    if (req->error || entry.nodeid)
        return bench_fail(bench, req->error ? req->error : -EEXIST, "lookup of a missing name");
    return WORKLOAD_DONE;
}

static int send_release(struct bench *bench, struct bench_slot *slot, uint64_t nodeid)
{
    struct vuf_fuse_req *req = bench_request(bench, slot);

    *(struct vuf_release_in *)vuf_fuse_args(req) =
        (struct vuf_release_in){.fh = slot->fh, .flags = GUEST_LARGEFILE};
    return bench_send(bench, slot, req,
                      &(struct bench_send){
                          .opcode = VUF_OP_RELEASE,
                          .nodeid = nodeid,
                          .args = sizeof(struct vuf_release_in),
                      });
}

int open_send(struct bench *bench, struct bench_slot *slot)
{
    struct vuf_fuse_req *req;

    if (slot->step == 1)
        return send_release(bench, slot, bench->nodes[slot->file]);
    req = bench_request(bench, slot);
    slot->file = next_file(bench, slot);
    *(struct vuf_open_in *)vuf_fuse_args(req) = (struct vuf_open_in){.flags = GUEST_LARGEFILE};
    return bench_send(bench, slot, req,
                      &(struct bench_send){
                          .opcode = VUF_OP_OPEN,
                          .nodeid = bench->nodes[slot->file],
                          .args = sizeof(struct vuf_open_in),
                          .reply = sizeof(struct vuf_open_out),
                      });
}

int open_check(struct bench *bench, struct bench_slot *slot, const struct vuf_fuse_req *req)
{
    struct vuf_open_out out;

    if (req->error)
        return workload_refused(bench, req);
    if (slot->step == 1)
        return WORKLOAD_DONE;
    memcpy(&out, req->out + sizeof(struct vuf_out_header), sizeof(out));
    slot->fh = out.fh;
    return WORKLOAD_MORE;
}

int meta_open_scratch(struct bench *bench)
{
    bool empty;
    int r = share_is_empty(bench->options->share, SHARE_DIR_SPACE, &empty);

    if (r < 0 || !empty)
        return bench_fail(bench, r < 0 ? r : -ENOTEMPTY, SHARE_DIR_SPACE);
    return workload_lookup(bench, VUF_ROOT_ID, SHARE_DIR_SPACE, &bench->dir_node);
}

enum create_step { CREATE, RELEASE, UNLINK };

static void scratch_name(char *name, size_t size, const struct bench_slot *slot)
{
    snprintf(name, size, "s%u-%llu", slot->index, (unsigned long long)slot->n);
}

int create_send(struct bench *bench, struct bench_slot *slot)
{
    struct vuf_fuse_req *req;
    char name[40];
    size_t len;

    if (slot->step == RELEASE)
        return send_release(bench, slot, slot->nodeid);
    scratch_name(name, sizeof(name), slot);
    if (slot->step == UNLINK)
        return send_name(bench, slot, VUF_OP_UNLINK, name, 0);
    req = bench_request(bench, slot);
    *(struct vuf_create_in *)vuf_fuse_args(req) = (struct vuf_create_in){
        .flags = O_RDWR | O_CREAT | O_EXCL | GUEST_LARGEFILE,
        .mode = S_IFREG | 0640,
        .umask = 022,
    };
    len = strlen(name) + 1;
    memcpy((unsigned char *)vuf_fuse_args(req) + sizeof(struct vuf_create_in), name, len);
    return bench_send(bench, slot, req,
                      &(struct bench_send){
                          .opcode = VUF_OP_CREATE,
                          .nodeid = bench->dir_node,
                          .args = sizeof(struct vuf_create_in) + len,
                          .reply = sizeof(struct vuf_create_out),
                      });
}

int create_check(struct bench *bench, struct bench_slot *slot, const struct vuf_fuse_req *req)
{
    struct vuf_create_out out;
    int r;

    if (req->error)
        return workload_refused(bench, req);
    if (slot->step == UNLINK) {
        r = bench_forget(bench, slot->nodeid);
        return r < 0 ? r : WORKLOAD_DONE;
    }
    if (slot->step == CREATE) {
        memcpy(&out, req->out + sizeof(struct vuf_out_header), sizeof(out));
        slot->nodeid = out.entry.nodeid;
        slot->fh = out.open.fh;
        if (out.entry.attr.mode != (S_IFREG | 0640) || out.entry.attr.uid != bench->fuse.uid ||
            out.entry.attr.nlink != 1)
            return bench_fail(bench, -EBADMSG, "attributes of a new file");
    }
    return WORKLOAD_MORE;
}

int create_verify(struct bench *bench)
{
    bool empty;
    int r = share_is_empty(bench->options->share, SHARE_DIR_SPACE, &empty);

    if (r < 0 || !empty)
        return bench_fail(bench, r < 0 ? r : -ENOTEMPTY, "files left behind");
    return 0;
}

enum mknod_step { MKNOD, MKNOD_UNLINK };

int mknod_send(struct bench *bench, struct bench_slot *slot)
{
    struct vuf_fuse_req *req;
    char name[40];
    size_t len;

    scratch_name(name, sizeof(name), slot);
    if (slot->step == MKNOD_UNLINK)
        return send_name(bench, slot, VUF_OP_UNLINK, name, 0);
    req = bench_request(bench, slot);
    *(struct vuf_mknod_in *)vuf_fuse_args(req) =
        (struct vuf_mknod_in){.mode = S_IFIFO | 0640, .umask = 022};
    len = strlen(name) + 1;
    memcpy((unsigned char *)vuf_fuse_args(req) + sizeof(struct vuf_mknod_in), name, len);
    return bench_send(bench, slot, req,
                      &(struct bench_send){
                          .opcode = VUF_OP_MKNOD,
                          .nodeid = bench->dir_node,
                          .args = sizeof(struct vuf_mknod_in) + len,
                          .reply = sizeof(struct vuf_entry_out),
                      });
}

int mknod_check(struct bench *bench, struct bench_slot *slot, const struct vuf_fuse_req *req)
{
    struct vuf_entry_out entry;
    int r;

    if (slot->step == MKNOD_UNLINK) {
        if (req->error)
            return workload_refused(bench, req);
        r = bench_forget(bench, slot->nodeid);
        return r < 0 ? r : WORKLOAD_DONE;
    }
    r = read_entry(bench, req, &entry);
    if (r < 0)
        return r;
    slot->nodeid = entry.nodeid;
    if (entry.attr.mode != (S_IFIFO | 0640) || entry.attr.nlink != 1)
        return bench_fail(bench, -EBADMSG, "attributes of a new FIFO");
    return WORKLOAD_MORE;
}

int statfs_open(struct bench *bench)
{
    struct statvfs st;

    if (statvfs(bench->options->share, &st) < 0)
        return bench_fail(bench, -errno, bench->options->share);
    bench->fs_blocks = st.f_blocks;
    return 0;
}

int statfs_send(struct bench *bench, struct bench_slot *slot)
{
    return bench_send(bench, slot, bench_request(bench, slot),
                      &(struct bench_send){
                          .opcode = VUF_OP_STATFS,
                          .nodeid = VUF_ROOT_ID,
                          .reply = sizeof(struct vuf_statfs_out),
                      });
}

int statfs_check(struct bench *bench, struct bench_slot *slot, const struct vuf_fuse_req *req)
{
    struct vuf_statfs_out out;

    (void)slot;
    if (req->error)
        return workload_refused(bench, req);
    memcpy(&out, req->out + sizeof(struct vuf_out_header), sizeof(out));
    if (out.blocks != bench->fs_blocks)
        return bench_fail(bench, -EBADMSG, "another file system's size");
    return WORKLOAD_DONE;
}
