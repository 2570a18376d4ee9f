// SPDX-License-Identifier: BSD-3-Clause
/*
 * Messages for the person who started the tool: standard error, or the system log once in the
 * background.
 *
 * One process-wide switch, set before threads start.  Any thread may speak.
 */
#ifndef VIOFS_MOUNT_SAY_H
#define VIOFS_MOUNT_SAY_H

#define PROGRAM "viofs-mount"

/* One line, without newline at its end, with the program's name before it. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* From now on to the system log. */
void say_to_syslog(void);

/* Text of a negative errno as the front-end library returns it. */
const char *say_errno(int negative_errno);

#endif
