#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
# What all guests have to do well, with every file mapped through a DAX window.
exec "$(dirname "$0")/run_cases" --kernel 7.2 --device generic --queues 2 --dax-window 64M --mount-opts dax=always --timeout 600
