# SPDX-License-Identifier: BSD-3-Clause
"""dax_counters.py LOG always|inode: whether the daemon's log shows that DAX did it; says what it found.

At the end of each session the daemon logs a line with its mappings and one with its requests by kind.
"""

import re
import sys


def sessions(path):
    """(ranges mapped, {kind: requests}) for each session, in their order."""
    result, mapped = [], 0
    with open(path, encoding="utf-8", errors="replace") as log:
        for line in log:
            match = re.search(r"DAX: (\d+) ranges mapped", line)
            if match:
                mapped = int(match[1])
            match = re.search(r"requests: (.*)", line)
            if match:
                result.append((mapped, {kind: int(count) for kind, count in re.findall(r"(\w+) (\d+)", match[1])}))
                mapped = 0
    return result


def main():
    path, mode = sys.argv[1:]
    found = sessions(path)
    if not found:
        sys.exit(f"{path} has no line with requests by kind")
    mapped = sum(session[0] for session in found)
    total = {}
    for _, requests in found:
        for kind, count in requests.items():
            total[kind] = total.get(kind, 0) + count
    reads, writes, setups = (total.get(kind, 0) for kind in ("READ", "WRITE", "SETUPMAPPING"))
    print(f"{len(found)} sessions: {mapped} ranges mapped by {setups} requests, {reads} READ, {writes} WRITE")
    if mapped < 50 or setups < mapped:
        sys.exit("that was hardly DAX")
    # With dax=always the guest has no way to read a regular file but the window; it writes by requests what grows files.
    if mode == "always" and reads:
        sys.exit("READ, with every file in the window")


if __name__ == "__main__":
    main()
