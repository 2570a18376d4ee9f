#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Kernel 6.1 under QEMU 7.2 with one request queue: what Debian 12 users have.
exec "$(dirname "$0")/run_cases" --kernel 6.1 --queues 1 --timeout 600
