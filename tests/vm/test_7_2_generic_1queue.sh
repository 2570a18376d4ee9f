#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Kernel 7.2 with QEMU's generic device and one request queue, as --tag alone offers it.
exec "$(dirname "$0")/run_cases" --kernel 7.2 --device generic --queues 1 --timeout 600
