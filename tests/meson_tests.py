#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""From `meson introspect --tests` on standard input: one suite's tests, a line each, as
name, tab, time limit in seconds, tab, the command for a shell."""
import json
import shlex
import sys

for test in json.load(sys.stdin):
    # meson writes a suite as "project:suite".
    if not any(suite.split(":")[-1] == sys.argv[1] for suite in test["suite"]):
        continue
    settings = [f"{key}={value}" for key, value in test["env"].items()]
    command = ["env", *settings, *test["cmd"]]
    print(test["name"], max(test["timeout"], 60), shlex.join(command), sep="\t")
