#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# Kernel 6.1 with four request queues, of which this kernel uses the first.
exec "$(dirname "$0")/run_cases" --host --kernel 6.1 --queues 4 --timeout 600
