#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# --cache=always --no-open, where the guest does without OPEN, OPENDIR and FLUSH; nobody but the guest changes the share.
exec "$(dirname "$0")/run_cases" --kernel 7.2 --queues 4 --timeout 800 -- --cache=always --no-open
