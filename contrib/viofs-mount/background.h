// SPDX-License-Identifier: BSD-3-Clause
/*
 * Going into the background without lying: the parent waits until the child knows whether the mount
 * works, and exits with the child's word.  Main thread only, before any other thread exists
 * (background_enter) and after (background_ready).
 */
#ifndef VIOFS_MOUNT_BACKGROUND_H
#define VIOFS_MOUNT_BACKGROUND_H

/* Forks.  Returns in the child, with the descriptor to give to background_ready, or -1 with errno
 * set. The parent exits from inside: 0 after background_ready, else with the child's status. */
int background_enter(void);

/* Releases the parent and the terminal: messages go to the system log from here on. */
void background_ready(int fd);

#endif
