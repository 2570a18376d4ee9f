// SPDX-License-Identifier: BSD-3-Clause
#include "dax.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "server.h"

struct dax {
    struct dax_mapper mapper;
    char *mirror; /* reserved addresses, as many as the window is large */
    size_t size;
};

int dax_new(struct fuse_server *server, struct dax **ret_dax)
{
    struct dax *dax;

    if (server->settings->dax_window == 0)
        return 0;
    dax = calloc(1, sizeof(*dax));
    if (!dax)
        return -ENOMEM;
    dax->size = server->settings->dax_window;
    dax->mirror = mmap(NULL, dax->size, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (dax->mirror == MAP_FAILED) {
        free(dax);
        return -ENOMEM;
    }
    *ret_dax = dax;
    return 0;
}

void dax_free(struct dax *dax)
{
    if (!dax)
        return;
    munmap(dax->mirror, dax->size);
    free(dax);
}

void fuse_server_set_mapper(struct fuse_server *server, const struct dax_mapper *mapper)
{
    if (server->dax)
        server->dax->mapper = mapper ? *mapper : (struct dax_mapper){0};
}

char *fuse_server_window(const struct fuse_server *server)
{
    return server->dax ? server->dax->mirror : NULL;
}
