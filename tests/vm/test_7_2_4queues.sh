#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Kernel 7.2 under QEMU 11.1 with four request queues, one for each of four CPUs.
exec "$(dirname "$0")/run_cases" --host --kernel 7.2 --queues 4 --timeout 600
