// SPDX-License-Identifier: BSD-3-Clause
/* Run by the build: prints the manual page viofsd(1). */
#include <stdlib.h>

#include "options.h"

int main(void)
{
    options_print_man(stdout);
    return ferror(stdout) || fflush(stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
}
