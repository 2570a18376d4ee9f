# SPDX-License-Identifier: BSD-3-Clause
"""What an operation costs in numbers that do not depend on the machine's load: system calls by
ptrace, instructions under callgrind, both in lockstep (see bench.h)."""
import glob
import os
import re
import shutil

import daemons

FILES = 64  # used in turn: few, so that a short run gets to know all of them
# Two lengths: what starting and finding files costs is in both and goes out.
INSTRUCTION_OPS = (64, 2112)
LISTING_OPS = (72, 720)  # each brings many entries
CALL_OPS, CALL_OPS_LISTING = 256, 96
# Operations in flight.  Of listings fewer: the entries of all must find room in the hiprio queue.
DEPTHS, DEPTHS_LISTING = (1, 32), (1, 8)
# Their work depends on time, which tracing changes: how late a notification is, what was not used
# for seconds.  They do nothing for a request by itself.
BACKGROUND = ("control", "janitor")


def is_listing(workload):
    return workload.startswith("readdir")


def depths(workload):
    return DEPTHS_LISTING if is_listing(workload) else DEPTHS


def count_calls(client, daemon, workload, depth):
    """{"requests": per operation, "calls": {name: per operation}, "eventfd": per operation}, and
    "background" as "calls" for the threads that are left out of it."""
    ops = CALL_OPS_LISTING if is_listing(workload) else CALL_OPS
    found = client.run_lockstep(daemon.variant(daemon.steady), workload, depth, ops, FILES, count=True)
    counted = {"calls": {}, "background": {}, "eventfd": 0.0,
               "requests": found["requests"] / found["ops"]}
    for thread in found["threads"]:
        calls = counted["background" if thread["thread"] in BACKGROUND else "calls"]
        for name, n in thread["calls"].items():
            calls[name] = calls.get(name, 0) + n / found["ops"]
        if thread["thread"] not in BACKGROUND:
            counted["eventfd"] += thread["eventfd"] / found["ops"]
    return counted


def _take_totals(pattern, first):
    """The sum of callgrind's files of the threads from FIRST on; all files are removed."""
    total = 0
    for path in glob.glob(pattern):
        with open(path, encoding="ascii", errors="replace") as f:
            found = re.search(r"^totals: (\d+)", f.read(), re.MULTILINE)
        os.unlink(path)
        if found and int(path.rsplit("-", 1)[1]) >= first:
            total += int(found.group(1))
    return total


def count_instructions(client, daemon, workload, depth):
    """Instructions of the threads that serve requests per operation, outside the kernel.  Valgrind
    cannot follow into a sandbox with a system call filter, so both are off; None where that is
    impossible."""
    if daemon.without_sandbox is None:
        return None
    if not shutil.which("valgrind"):
        raise SystemExit("valgrind is needed to count instructions")
    out = os.path.join(client.scratch, "callgrind")
    prefix = ["valgrind", "--tool=callgrind", "--trace-children=yes", "--separate-threads=yes",
              f"--callgrind-out-file={out}"]
    unsealed = daemon.variant(daemon.steady + daemon.without_sandbox)
    totals = []
    for ops in LISTING_OPS if is_listing(workload) else INSTRUCTION_OPS:
        found = client.run_lockstep(unsealed, workload, depth, ops, FILES, prefix=prefix)
        total = _take_totals(out + "-*", daemon.first_serving)
        if not total:
            raise daemons.RunFailed("callgrind counted nothing")
        totals.append((found["ops"], total))
    (ops_few, few), (ops_many, many) = totals
    return (many - few) / (ops_many - ops_few)
