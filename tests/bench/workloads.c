// SPDX-License-Identifier: BSD-3-Clause
#include "workloads.h"

#include <string.h>

#include "share.h"

#define MIB (1u << 20)

/* clang-format off */
const struct workload workloads[] = {
    {
        .name = "getattr", .about = "GETATTR of 1,000 files in turn",
        .open = meta_open_files, .send = getattr_send, .check = getattr_check,
    },
    {
        .name = "lookup", .about = "LOOKUP of 1,000 files that the guest knows",
        .open = meta_open_files, .send = lookup_send, .check = lookup_check,
    },
    {
        .name = "lookup-cold", .about = "LOOKUP of a file that the guest does not know, FORGET",
        .open = meta_open_dir, .send = lookup_send, .check = cold_check,
    },
    {
        .name = "lookup-miss", .about = "LOOKUP of a name that is not there",
        .open = meta_open_dir, .send = miss_send, .check = miss_check,
    },
    {
        .name = "open", .about = "OPEN for reading, RELEASE",
        .open = meta_open_files, .send = open_send, .check = open_check,
    },
    {
        .name = "small-file", .about = "LOOKUP, OPEN, READ of 4 KiB, FLUSH, RELEASE, FORGET",
        .open = meta_open_dir, .send = file_send, .check = file_check,
    },
    {
        .name = "create", .about = "CREATE, RELEASE, UNLINK, FORGET, as root",
        .open = meta_open_scratch, .send = create_send, .check = create_check,
        .verify = create_verify,
    },
    {
        .name = "create-user", .about = "the same as user 1000", .uid = 1000,
        .open = meta_open_scratch, .send = create_send, .check = create_check,
        .verify = create_verify,
    },
    {
        .name = "mknod", .about = "MKNOD of a FIFO, UNLINK, FORGET",
        .open = meta_open_scratch, .send = mknod_send, .check = mknod_check,
        .verify = create_verify,
    },
    {
        .name = "statfs", .about = "STATFS",
        .open = statfs_open, .send = statfs_send, .check = statfs_check,
    },
    {
        .name = "randread", .about = "READ of 4 KiB at random",
        .data = 4096, .random = true,
        .open = data_open, .send = data_send, .check = data_check,
    },
    {
        .name = "randwrite", .about = "WRITE of 4 KiB at random",
        .data = 4096, .random = true, .with_write = true,
        .open = data_open, .send = data_send, .check = data_check, .verify = data_verify,
    },
    {
        .name = "seqread-128k", .about = "READ of 128 KiB, one after the other",
        .data = MIB / 8,
        .open = data_open, .send = data_send, .check = data_check,
    },
    {
        .name = "seqwrite-128k", .about = "WRITE of 128 KiB, one after the other",
        .data = MIB / 8, .with_write = true,
        .open = data_open, .send = data_send, .check = data_check, .verify = data_verify,
    },
    {
        .name = "seqread", .about = "READ of 1 MiB, one after the other",
        .data = MIB,
        .open = data_open, .send = data_send, .check = data_check,
    },
    {
        .name = "seqwrite", .about = "WRITE of 1 MiB, one after the other",
        .data = MIB, .with_write = true,
        .open = data_open, .send = data_send, .check = data_check, .verify = data_verify,
    },
    {
        .name = "readdirplus", .about = "entries of a directory of 10,000, 4 KiB at a time (Linux up to 6.13)",
        .data = 4096, .entries = true,
        .open = list_open, .send = list_send, .check = list_check,
    },
    {
        .name = "readdirplus-32k", .about = "the same, 32 KiB at a time",
        .data = 32768, .entries = true,
        .open = list_open, .send = list_send, .check = list_check,
    },
    {
        .name = "readdirplus-cold", .about = "as readdirplus, each entry new to the guest, FORGET",
        .data = 4096, .entries = true,
        .open = list_open, .send = list_send, .check = list_cold_check,
    },
    {
        .name = "mixed", .about = "40 % getattr, 25 % lookup, 15 % small-file, 15 % randwrite, 5 % readdirplus",
        .data = 4096, .random = true, .with_write = true,
        .open = mixed_open, .send = mixed_send, .check = mixed_check, .verify = data_verify,
    },
    {.name = NULL},
};
/* clang-format on */

const struct workload *workload_find(const char *name)
{
    for (const struct workload *w = workloads; w->name; w++)
        if (strcmp(w->name, name) == 0)
            return w;
    return NULL;
}
