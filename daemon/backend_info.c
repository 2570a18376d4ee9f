// SPDX-License-Identifier: BSD-3-Clause
#include "backend_info.h"

#include "scope.h"

/*
 * separate-options: libvirt then passes --shared-dir and its kind instead of -o source=.
 * ...-negotiation-mode: --posix-acl and --security-label take a value, which Incus looks for.
 */
static const char *const features[] = {
    "posix-acl-negotiation-mode",
    "security-label-negotiation-mode",
    "separate-options",
};

void backend_info_print(FILE *out)
{
    fputs("{\n  \"type\": \"fs\",\n  \"features\": [\n", out);
    for (unsigned i = 0; i < ARRAY_SIZE(features); i++)
        fprintf(out, "    \"%s\"%s\n", features[i], i + 1 < ARRAY_SIZE(features) ? "," : "");
    fputs("  ]\n}\n", out);
}
