#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Linux's dax=inode: the files that the daemon flags are mapped, the others are not, and requests meet both.
exec "$(dirname "$0")/run_dax" --dax-window 64M --mount-opts dax=inode --queues 4 --timeout 800
