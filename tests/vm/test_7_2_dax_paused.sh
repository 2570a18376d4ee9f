#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The VM is paused several times a second while files are mapped through a window of two ranges: no request is lost, and
# QEMU finds nothing on its channel that it cannot stand. (Each range may be two mappings, its tail one; with eight of them,
# more than QEMU has room for, a pause would not be survived.)
DAX_CASES="larger_than_window sqlite append_while_mapped" DAX_LARGE=24 DAX_SECONDS=5 \
    exec "$(dirname "$0")/run_dax" --dax-window 4M --mount-opts dax=always --queues 2 --pause 0.3 --timeout 500
