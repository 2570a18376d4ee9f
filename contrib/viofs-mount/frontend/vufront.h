// SPDX-License-Identifier: BSD-3-Clause
/*
 * The vhost-user front-end library, all of it.  From the bottom up, each layer usable without those
 * above:
 *
 *   vuf_proto.h     numbers and wire formats of vhost-user and the split ring
 *   vuf_conn.h      connection: raw bytes, whole messages, descriptors, timeouts
 *   vuf_requests.h  one function per vhost-user request
 *   vuf_mem.h       guest memory with three kinds of addresses
 *   vuf_ring.h      split virtqueue, driver's side
 *   vuf_dev.h       all of these put together: connect, start, stop
 *   vuf_fuse_abi.h  the FUSE protocol
 *   vuf_fuse.h      FUSE calls, one at a time or many in flight
 *
 * Owners, lifetimes and threads are told in each of them.
 */
#ifndef VUFRONT_H
#define VUFRONT_H

#include "vuf_conn.h"
#include "vuf_dev.h"
#include "vuf_fuse.h"
#include "vuf_fuse_abi.h"
#include "vuf_mem.h"
#include "vuf_proto.h"
#include "vuf_requests.h"
#include "vuf_ring.h"

#endif
