// SPDX-License-Identifier: BSD-3-Clause
/*
 * The signals that end the daemon: SIGTERM, SIGINT, SIGHUP. They are blocked from the first line
 * of main until the process ends and read through a descriptor, so that none can be lost while
 * the sandbox is made. Threads inherit the mask.
 */
#ifndef VIOFS_SIGNALS_H
#define VIOFS_SIGNALS_H

/*
 * Blocks them (SIGHUP not where the caller has it ignored), ignores SIGPIPE, and makes sure that
 * children can be waited for. Before any fork and any thread.
 */
void signals_block(void);

/*
 * Returns a descriptor that is readable once one of them is pending for the calling process, or a
 * negative errno. The caller owns it.
 */
int signals_open(void);

#endif
