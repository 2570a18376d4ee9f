#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Kernel 7.2 under QEMU 11.1, which knows nothing of file systems: the daemon serves tag and queue count (--tag).
exec "$(dirname "$0")/run_cases" --kernel 7.2 --device generic --queues 4 --timeout 600
