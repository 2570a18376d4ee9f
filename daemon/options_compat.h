// SPDX-License-Identifier: BSD-3-Clause
/*
 * The comma syntax of older daemons (-o word[=value],...), mapped onto the rows of the option
 * table. Belongs to one options_parse() call.
 */
#ifndef VIOFS_OPTIONS_COMPAT_H
#define VIOFS_OPTIONS_COMPAT_H

#include "options_table.h"

/*
 * Takes the value of one -o. A comma that belongs to a value is doubled, as libvirt does, or has a
 * backslash before it, as the C daemon wants it.
 * Returns 0, or -EINVAL after options_fail().
 */
int options_compat_parse(struct options_parser *parser, const char *words);

#endif
