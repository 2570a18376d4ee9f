#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Kernel 7.2 under QEMU 11.1 with one request queue, which all CPUs share.
exec "$(dirname "$0")/run_cases" --host-hidden --kernel 7.2 --queues 1 --timeout 600
