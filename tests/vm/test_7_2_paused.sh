#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# The VM is paused every few seconds: rings stop and go on where they were, and the session with them.
exec "$(dirname "$0")/run_cases" --kernel 7.2 --queues 4 --pause 2 --timeout 800
