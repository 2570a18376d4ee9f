// SPDX-License-Identifier: BSD-3-Clause
/*
 * READDIR and READDIRPLUS.
 *
 * The guest reads a directory in pieces, each from the offset that the entry before it gave. Those
 * offsets are the host's own (d_off), so no state is kept but the descriptor's position, which
 * is moved only when the guest asks for another place than the one where the last piece ended.
 *
 * How much to read from the host is guessed from the room in the reply; entries that do not fit
 * are read again next time. As the host may return fewer than fit, a few rounds are made, as
 * long as the last one was full: a system call costs less than another request.
 */
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "host_dir.h"
#include "host_io.h"
#include "owner.h"
#include "server.h"
#include "wire_attr.h"

#define DIR_BLOCK_MAX  (FUSE_BUFFER_SIZE & ~7u)

/* Some file systems have names of more than NAME_MAX bytes; the guest's kernel takes as many. */
#define REPLY_NAME_MAX 1024

/* The entry as the reply has it: struct fuse_dirent with room for the name. */
struct reply_dirent {
    uint64_t ino;
    uint64_t off;
    uint32_t namelen;
    uint32_t type;
    char name[REPLY_NAME_MAX + 8]; /* padded with zeros to 8 bytes */
};

struct reply_direntplus {
    struct fuse_entry_out node;
    struct reply_dirent dirent;
};

_Static_assert(offsetof(struct reply_dirent, off) == offsetof(struct fuse_dirent, off) &&
                   offsetof(struct reply_dirent, namelen) ==
                       offsetof(struct fuse_dirent, namelen) &&
                   offsetof(struct reply_dirent, type) == offsetof(struct fuse_dirent, type) &&
                   offsetof(struct reply_dirent, name) == FUSE_NAME_OFFSET,
               "the wire's layout");
_Static_assert(offsetof(struct reply_direntplus, dirent) + FUSE_NAME_OFFSET ==
                   FUSE_NAME_OFFSET_DIRENTPLUS,
               "the wire's layout");

/*
 * The nodes in a reply, by the low bits of their ids: two may look like one, never the other way
 * round. Slots are given out in order, so that in practice they rarely do.
 */
#define NODE_BITS 16384u /* 2 KiB; a reply of 128 KiB has 900 entries at most */

struct node_set {
    uint64_t words[NODE_BITS / 64];
};

/* What one call of either operation works with. */
struct listing {
    struct fuse_req *req;
    struct handle *handle;
    uint64_t offset;        /* of the next entry to give */
    size_t room;            /* bytes of the reply that may still be used */
    bool rewind;            /* before the next block, wherever the descriptor is */
    struct node_set *nodes; /* those in the reply; NULL: READDIR */
};

/* Reads a block of entries from the listing's offset. The lock makes seek and read one step. */
static int read_block(struct listing *listing, size_t size, size_t *ret_length)
{
    struct handle *handle = listing->handle;
    char *buffer = listing->req->thread->buffer;
    int error = 0;
    pthread_mutex_lock(&handle->position_lock);
    if (handle->position != (int64_t)listing->offset || listing->rewind) {
        off_t position;
        error = host_seek(handle->fd, (off_t)listing->offset, SEEK_SET, &position);
        if (!error)
            handle->position = (int64_t)listing->offset;
    }
    listing->rewind = false;
    if (!error)
        error = host_read_dir(handle->fd, buffer, size, ret_length);
    if (!error && *ret_length) {
        const struct host_dirent *last = NULL;
        for (size_t at = 0; at < *ret_length; at += last->length)
            last = (const void *)(buffer + at);
        handle->position = last->next;
    }
    pthread_mutex_unlock(&handle->position_lock);
    return error;
}

/* Fills in the entry. Returns its length in the reply, padding included. */
static size_t fill_dirent(const struct host_dirent *from, struct reply_dirent *to)
{
    size_t length = strnlen(from->name, REPLY_NAME_MAX);
    to->ino = from->ino;
    to->off = (uint64_t)from->next;
    to->namelen = (uint32_t)length;
    to->type = from->type;
    memcpy(to->name, from->name, length);
    memset(to->name + length, 0, 8);
    return FUSE_DIRENT_ALIGN(FUSE_NAME_OFFSET + length);
}

static bool is_dot(const char *name)
{
    return name[0] == '.' && (name[1] == '\0' || (name[1] == '.' && name[2] == '\0'));
}

/* Adds the node. Returns true if it, or one that looks like it, was there. */
static bool node_set_add(struct node_set *nodes, uint64_t nodeid)
{
    uint64_t *word = &nodes->words[nodeid % NODE_BITS / 64];
    uint64_t bit = UINT64_C(1) << nodeid % 64;
    bool was_there = *word & bit;
    *word |= bit;
    return was_there;
}

/*
 * Looks the entry up for READDIRPLUS. Node id 0 tells the guest that there are no attributes to
 * keep: for "." and "..", and for what cannot be looked up just now; the name is given all the
 * same.
 *
 * And for a node's second name in one reply. Linux (fuse_change_attributes()) takes a node's first
 * attributes in a reply and ignores later ones: a file written under one name and renamed to
 * another while we list would have the first name's size, 0, under the second one.
 */
static struct fuse_entry_out look_up(struct listing *listing, const struct host_dirent *entry)
{
    struct fuse_req *req = listing->req;
    struct fuse_thread *thread = req->thread;
    struct inode *inode;
    struct statx attributes;
    bool submount;
    /* However many entries there are, only this one's descriptors are held. */
    unsigned mark = thread->temporary_count;
    int error = is_dot(entry->name)
                    ? -ENOENT
                    : inode_lookup(thread, req->inode, entry->name, &inode, &attributes, &submount);
    int shown = error ? 0 : owner_show(thread, inode, &attributes);
    while (thread->temporary_count > mark)
        close(thread->temporary[--thread->temporary_count]);
    if (!error) {
        uint64_t nodeid = inode_id(req->server->inodes, inode);
        error = shown ? shown : dax_tell(thread, inode, &attributes);
        if (!error && !node_set_add(listing->nodes, nodeid))
            return wire_entry(req->server, inode, &attributes, submount);
        inode_forget(thread, nodeid, 1);
    }
    return (struct fuse_entry_out){
        .attr.ino = entry->ino,
        .attr.mode = DTTOIF(entry->type),
    };
}

/* Puts one entry. Returns false when the reply is full; no lookup is counted then. */
static bool put_entry(struct listing *listing, const struct host_dirent *entry)
{
    struct fuse_req *req = listing->req;
    struct reply_direntplus reply;
    size_t length = fill_dirent(entry, &reply.dirent);
    const void *from = &reply.dirent;
    if (listing->nodes) {
        length += sizeof(reply.node);
        from = &reply;
    }
    if (length > listing->room)
        return false;
    reply.node.nodeid = 0;
    if (listing->nodes)
        reply.node = look_up(listing, entry);
    /* What is a regular file on the host may be something else for the guest. */
    if (owner_kept(req->server) && entry->type == DT_REG)
        reply.dirent.type = reply.node.nodeid ? IFTODT(reply.node.attr.mode) : DT_UNKNOWN;
    if (wire_out_put(&req->out, from, length) < 0) {
        if (reply.node.nodeid)
            inode_forget(req->thread, reply.node.nodeid, 1);
        return false;
    }
    listing->room -= length;
    listing->offset = (uint64_t)entry->next;
    return true;
}

/* Puts the entries of a block of the thread's buffer. Returns false when the reply is full. */
static bool put_block(struct listing *listing, size_t length)
{
    const char *buffer = listing->req->thread->buffer;
    const struct host_dirent *entry;
    for (size_t at = 0; at < length; at += entry->length) {
        entry = (const void *)(buffer + at);
        if (!put_entry(listing, entry))
            return false;
    }
    return true;
}

/*
 * How many bytes of host entries to ask for. A plain entry is at most 4/3 of the host's; one with
 * attributes is 5 to 6 times as long with usual names.
 */
static size_t block_size(const struct listing *listing)
{
    size_t size = listing->nodes ? listing->room / 6 : listing->room / 4 * 3;
    return size < DIR_BLOCK_MAX ? size : DIR_BLOCK_MAX;
}

static int list(struct fuse_req *req, struct node_set *nodes)
{
    const struct fuse_read_in *in = &req->args.read;
    struct listing listing = {
        .req = req,
        .offset = in->offset,
        .room = in->size < req->out.room ? in->size : req->out.room,
        .nodes = nodes,
        /* A descriptor that was not opened for this listing may know less than is there: btrfs. */
        .rewind = in->fh == 0 && in->offset == 0,
    };
    int error = opens_dir(req, in->fh, &listing.handle);
    if (error)
        return error;
    if (in->offset > INT64_MAX)
        return -EINVAL;

    size_t size = block_size(&listing);
    if (size < HOST_DIRENT_MAX)
        size = HOST_DIRENT_MAX; /* the first round returns one entry at least */
    for (;;) {
        size_t length;
        error = read_block(&listing, size, &length);
        if (error == -EINVAL && req->out.length == 0 && size < DIR_BLOCK_MAX) {
            size = DIR_BLOCK_MAX; /* a name longer than HOST_DIRENT_MAX has room for */
            error = read_block(&listing, size, &length);
        }
        if (error)
            return req->out.length ? 0 : error;
        if (!put_block(&listing, length))
            /* Nothing at all would say that the directory ends here. */
            return req->out.length ? 0 : -EINVAL;
        bool was_full = length + HOST_DIRENT_MAX > size;
        size = block_size(&listing);
        if (length == 0 || !was_full || size < HOST_DIRENT_MAX)
            return 0;
    }
}

int op_readdir(struct fuse_req *req)
{
    return list(req, NULL);
}

int op_readdirplus(struct fuse_req *req)
{
    if (!session_has(&req->server->session, FUSE_DO_READDIRPLUS))
        return -ENOSYS;
    struct node_set nodes = {0};
    return list(req, &nodes);
}
