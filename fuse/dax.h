// SPDX-License-Identifier: BSD-3-Clause
/*
 * dax: what is mapped where in the guest's DAX window.
 *
 * The guest cuts the window into ranges of DAX_RANGE_SIZE and puts parts of files into them
 * (SETUPMAPPING: one range of the window for one aligned range of a file). On a front-end that maps
 * past the end of files a range is one mapping. On an exact one (dax_mapper.h) it is up to two
 * pieces:
 *
 *   real   the pages at its start that lay wholly inside the file when it was mapped
 *   tail   from there to the end of the range: memory of our own, kept in step with the file
 *
 * so that the page which the end of the file cuts, and whatever the file grows by later, is there
 * before any reply tells the guest of it, and nothing that is mapped has to be replaced, ever,
 * while the guest may be looking. A range with nothing of the file in it has no piece at all.
 *
 * Owner: the server. Ranges are in the arena, found by their place in the window and by node id.
 * Every file has a lock (one of DAX_LOCKS, by node id), which is held over the host and front-end
 * calls that are made for its ranges; it ranks before all locks of the tables, and no thread holds
 * two.
 *
 * The functions below are for any thread inside a request, and cost a load or two when nothing of
 * the file is mapped. They return 0 or a negative errno, what the front-end's refusal or the host's
 * error is to the guest, or -REQ_STOPPED.
 */
#ifndef VIOFS_DAX_H
#define VIOFS_DAX_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "dax_mapper.h"
#include "settings.h"

struct dax;
struct fuse_chain;
struct fuse_server;
struct fuse_thread;
struct inode;

/* How much of the arena the tables take. */
size_t dax_arena_size(const struct settings *settings);

/* Leaves *ret_dax NULL when settings ask for no window. Returns 0 or a negative errno. */
int dax_new(struct fuse_server *server, struct dax **ret_dax);
void dax_free(struct dax *dax);

/* INIT: the flags that this server adds (FUSE_MAP_ALIGNMENT, FUSE_HAS_INODE_DAX), if there is a way
 * to the front-end's window. */
uint64_t dax_init_flags(const struct fuse_server *server);

/*
 * FUSE_ATTR_DAX or 0: whether a guest that leaves it to us (mount option dax=inode, or none) is to
 * use DAX for this file.
 */
uint32_t dax_attr_flags(const struct fuse_server *server, struct inode *inode,
                        const struct statx *attributes);

/* Puts [offset, offset + length) of the file into the window: both, and window_offset, are
 * multiples of DAX_RANGE_SIZE, and the place is inside the window. stores: the guest will write
 * there. */
int dax_map(struct fuse_thread *thread, struct inode *inode, uint64_t offset,
            uint64_t window_offset, uint64_t length, bool stores);

/* Takes whatever is in the ranges away, if there is anything. Alignment as above. */
int dax_unmap(struct fuse_thread *thread, uint64_t window_offset, uint64_t length);

/*
 * Before a reply that tells attributes of the file: what it has grown by is mapped first, and what
 * the guest has stored in tails is in the file, with which the attributes are brought up to date.
 */
int dax_tell(struct fuse_thread *thread, struct inode *inode, struct statx *attributes);

/*
 * Before a request that works on the file's data by a descriptor: what the guest has stored in
 * tails is in the file afterwards. end: the request may make the file as long as this (INT64_MAX:
 * any length; 0: no longer); what is needed to map that later is had now, when the request can
 * still be refused.
 */
int dax_before(struct fuse_thread *thread, struct inode *inode, uint64_t end);

/*
 * True for a file that has something in the window: the guest uses DAX for it, so that its page
 * cache holds nothing of the file that could be old.
 */
bool dax_is_mapped(struct fuse_thread *thread, struct inode *inode);

/* SYNCFS: dax_before() for every file. */
int dax_flush_all(struct fuse_thread *thread);

/*
 * After such a request that may have changed the file, well or not: tails show it. end: as far as
 * the guest may now take the file to reach (INT64_MAX: as far as it does). Never -REQ_STOPPED.
 */
int dax_after(struct fuse_thread *thread, struct inode *inode, uint64_t end);

/*
 * Before the file is cut or made longer by SETATTR or O_TRUNC: the guest's kernel lets nobody look
 * at the file then (fuse_dax_break_layouts() in Linux's fs/fuse/dir.c), so that mappings can be
 * taken away as far as size cuts them.
 */
int dax_before_resize(struct fuse_thread *thread, struct inode *inode, uint64_t size);

/*
 * The end of a session: forgets every range; what was stored in tails goes into the files first.
 * unmap: the front-end is asked to take the mappings back; otherwise it has done so itself, or does
 * when it refuses a new one for them. Requests of other threads may be running.
 */
void dax_end(struct fuse_thread *thread, bool unmap);

/*
 * Makes the chain's pieces that lie in fuse_server_window() usable until the request ends. Returns
 * 0, or -EFAULT when nothing is mapped there.
 */
int dax_reach(struct fuse_thread *thread, struct fuse_chain *chain);

/* Only file data may lie in the window. Of a chain that dax_reach() was called for. */
bool dax_may_use_window(uint32_t opcode, const struct fuse_chain *chain,
                        const struct fuse_server *server);

/* After such a request. */
void dax_leave(struct fuse_thread *thread);

/* Ranges that one request may have buffers in. */
#define DAX_PINS_MAX 64

#endif
