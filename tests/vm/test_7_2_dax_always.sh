#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Linux's dax=always: each regular file is mapped, of whatever size, through a window that is smaller than some of them.
exec "$(dirname "$0")/run_dax" --dax-window 64M --mount-opts dax=always --queues 1 --timeout 800
