// SPDX-License-Identifier: BSD-3-Clause
/* What management software may rely on, in the form of QEMU's docs/interop/vhost-user.json. */
#ifndef VIOFS_BACKEND_INFO_H
#define VIOFS_BACKEND_INFO_H

#include <stdio.h>

/* The answer to --print-capabilities. */
void backend_info_print(FILE *out);

#endif
