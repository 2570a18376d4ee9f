// SPDX-License-Identifier: BSD-3-Clause
/*
 * Polite vhost-user requests: one function per request of the protocol.
 *
 * Owner, threads and errors as in vuf_conn.h.  Requests without a reply of their own are
 * acknowledged when REPLY_ACK was negotiated and conn->ack is set (-EREMOTEIO for a refusal);
 * otherwise success only says that the message was sent.  Descriptors given stay the caller's.
 * Chapter and verse: vhost-user.rst, "Front-end message types".
 */
#ifndef VUF_REQUESTS_H
#define VUF_REQUESTS_H

#include "vuf_conn.h"

/*
 * The two shapes that all others are made of; for requests that have no function here.
 * vuf_command: REQUEST with payload and fds, then the acknowledgement if one can be asked for.
 * vuf_query: REQUEST, then its reply; the header of the reply is checked (request number, REPLY
 * flag, version).
 */
int vuf_command(struct vuf_conn *conn, uint32_t request, const void *payload, size_t len,
                const int *fds, size_t n_fds);
int vuf_query(struct vuf_conn *conn, uint32_t request, const void *payload, size_t len,
              const int *fds, size_t n_fds, struct vuf_msg *ret_reply);

/* A query whose reply is one u64. */
int vuf_query_u64(struct vuf_conn *conn, uint32_t request, uint64_t *ret_value);

int vuf_get_features(struct vuf_conn *conn, uint64_t *ret_features);
int vuf_set_features(struct vuf_conn *conn, uint64_t features);
int vuf_get_protocol_features(struct vuf_conn *conn, uint64_t *ret_features);
int vuf_set_protocol_features(struct vuf_conn *conn,
                              uint64_t features); /* turns conn->ack on or off */
int vuf_set_owner(struct vuf_conn *conn);
int vuf_reset_owner(struct vuf_conn *conn);
int vuf_reset_device(struct vuf_conn *conn);
int vuf_get_queue_num(struct vuf_conn *conn, uint64_t *ret_num);

/* Memory: n <= VUF_TABLE_REGIONS, one descriptor per region. */
int vuf_set_mem_table(struct vuf_conn *conn, const struct vuf_region *regions, const int *fds,
                      size_t n);
int vuf_get_max_mem_slots(struct vuf_conn *conn, uint64_t *ret_slots);
int vuf_add_mem_reg(struct vuf_conn *conn, const struct vuf_region *region, int fd);
int vuf_rem_mem_reg(struct vuf_conn *conn,
                    const struct vuf_region *region); /* sends no descriptor */

/* Rings.  fd -1 in the last three means "no descriptor" (the NOFD bit). */
int vuf_set_vring_num(struct vuf_conn *conn, uint32_t index, uint32_t num);
int vuf_set_vring_base(struct vuf_conn *conn, uint32_t index, uint32_t base);
int vuf_get_vring_base(struct vuf_conn *conn, uint32_t index,
                       uint32_t *ret_base); /* stops the ring */
int vuf_set_vring_addr(struct vuf_conn *conn, const struct vuf_vring_addr *addr);
int vuf_set_vring_enable(struct vuf_conn *conn, uint32_t index, bool enable);
int vuf_set_vring_kick(struct vuf_conn *conn, uint32_t index, int fd);
int vuf_set_vring_call(struct vuf_conn *conn, uint32_t index, int fd);
int vuf_set_vring_err(struct vuf_conn *conn, uint32_t index, int fd);
int vuf_set_vring_endian(struct vuf_conn *conn, uint32_t index, uint32_t big_endian);
int vuf_vring_kick(struct vuf_conn *conn, uint32_t index); /* in-band notification */

/* Configuration space.  len <= VUF_CONFIG_MAX.  -EREMOTEIO: the back-end answered with an empty
 * payload, its way to refuse. */
int vuf_get_config(struct vuf_conn *conn, uint32_t offset, void *ret_bytes, uint32_t len);
int vuf_set_config(struct vuf_conn *conn, uint32_t offset, uint32_t flags, const void *bytes,
                   uint32_t len);

/* Device status byte. */
int vuf_get_status(struct vuf_conn *conn, uint64_t *ret_status);
int vuf_set_status(struct vuf_conn *conn, uint64_t status);

/* Dirty log.  SET_LOG_BASE has a reply when LOG_SHMFD was negotiated, and is waited for. */
int vuf_set_log_base(struct vuf_conn *conn, uint64_t size, uint64_t offset, int fd);
int vuf_set_log_fd(struct vuf_conn *conn, int fd);

/* Opens a back-end request channel: gives one end to the back-end, the other to *ret_channel. */
int vuf_open_backend_channel(struct vuf_conn *conn, struct vuf_conn *ret_channel);
int vuf_set_backend_req_fd(struct vuf_conn *conn, int fd);

/* In-flight area.  *ret_fd is the caller's. */
int vuf_get_inflight_fd(struct vuf_conn *conn, const struct vuf_inflight *ask,
                        struct vuf_inflight *ret_area, int *ret_fd);
int vuf_set_inflight_fd(struct vuf_conn *conn, const struct vuf_inflight *area, int fd);

/* Device state.  *ret_fd is the back-end's own descriptor if it preferred one (the caller's), else
 * -1. */
int vuf_set_device_state_fd(struct vuf_conn *conn, uint32_t direction, uint32_t phase, int fd,
                            int *ret_fd);
int vuf_check_device_state(struct vuf_conn *conn);

/* Shared memory regions (DAX window): sizes by id. */
int vuf_get_shmem_config(struct vuf_conn *conn, struct vuf_shmem_config *ret_config);

#endif
