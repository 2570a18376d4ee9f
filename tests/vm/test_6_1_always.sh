#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# --cache=always --no-open, where the guest does without OPEN, OPENDIR and FLUSH, as a kernel of 2022 does it.
exec "$(dirname "$0")/run_cases" --kernel 6.1 --queues 1 --timeout 600 -- --cache=always --no-open
