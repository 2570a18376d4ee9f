# SPDX-License-Identifier: BSD-3-Clause
"""
secfs.test: an older fstest of scripts that speak TAP, and programs that work a folder hard and end
with a status.  The programs are expected in tools/bin, those in Python as Python 3.
"""
import concurrent.futures
import glob
import os
import re

from . import pjdfstest, process
from .results import FAIL, PASS

WORLDS = ("root", "user")
MOUNTS_BY_ITSELF = HOST_LATER = False
SECONDS = 600
PROGRAMS = ("bonnie++", "fs_racer.sh", "fsrand.py", "cmptree.py", "fsstress", "fsx", "fstest", "iozone")

# What each test runs in its folder; each line has to end with 0.  {seed}: one test for each.
TESTS = {
    "fsx": ["fsx -q -S 1 -N 20000 file"],
    "fsx-reopen": ["fsx -q -S 2 -N 10000 -c 50 file"],
    "fsx-no-mmap": ["fsx -q -S 3 -N 20000 -R -W file"],
    "fsx-aligned": ["fsx -q -S 4 -N 10000 -r 4096 -w 4096 -t 4096 -R -W file"],
    "fsstress": ["fsstress -d . -s 1 -n 2000 -p 4"],
    "fsrand": [f"mkdir {side}{seed}; $python \"$(type -P fsrand.py)\" -c 400 -s {seed} {side}{seed}"
               for seed in (1, 2, 3) for side in "ab"]
              + [f"$python \"$(type -P cmptree.py)\" a{seed} b{seed}" for seed in (1, 2, 3)],
    # It kills itself and all that it started when its time is over.
    "fsracer": ["mkdir race; (trap : TERM; setsid -w fs_racer.sh 20 $PWD/race); "
                "test -d race && ls -lR race > /dev/null"],
    "bonnie++": ["bonnie++ -d . -s 64 -r 32 -n 4 -q $([ $(id -u) != 0 ] || echo -u 0)"],
    "iozone": ["iozone -a -q 512 -n 512 -g 4096 -f file > log 2>&1 || { tail -3 log; false; }"],
    "iozone-mmap": ["iozone -a -B -q 512 -n 512 -g 2048 -i 0 -i 1 -i 2 -f file > log 2>&1 || "
                    "{ tail -3 log; false; }"],
}


def tools(folder):
    return os.path.join(folder, "tools", "bin")


def missing(folder):
    lack = [name for name in PROGRAMS if not os.path.exists(os.path.join(tools(folder), name))]
    return f"{tools(folder)} lacks {' '.join(lack)}" if lack else None


def wanted(test, pattern):
    return re.search(pattern, test.rsplit(":", 1)[0])


def run(folder, place, options, say):
    results = {}
    path = f"{tools(folder)}:{os.environ['PATH']}"
    for name in filter(lambda name: re.search(options.k, name), TESTS):
        corner = place.corner(name)
        script = "\n".join(f"{{ {line}; }} || exit 1" for line in TESTS[name])
        status, output = process.run(["bash", "-c", script], corner, place.world.enter, SECONDS,
                                     {"PATH": path, "python": "/usr/bin/python3"})
        last = " | ".join(output.strip().splitlines()[-4:])
        results[name] = (FAIL, f"status {status}: {last}") if status else (PASS, "")
        status, output = process.run(["rm", "-r", corner], "/", place.world.enter, SECONDS)
        results[name + ":removed"] = (FAIL, output.strip()[-300:]) if status else (PASS, "")
        say(name)
    if place.world.name == "root":
        results.update(fstest(folder, place, options))
    return results


def fstest(folder, place, options):
    """The scripts: each names its own test folder by the way it is called."""
    tests = os.path.join(folder, "fstest", "fstest", "tests")
    scripts = sorted(glob.glob(os.path.join(tests, "*", "*.t")))

    def one(script):
        name = "fstest/" + os.path.relpath(script, tests)
        status, output = process.run(["/bin/sh", script], place.corner(name), place.world.enter, SECONDS)
        return pjdfstest.parse(name, status, output)

    results = {}
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for part in pool.map(one, [s for s in scripts
                                   if re.search(options.k, "fstest/" + os.path.relpath(s, tests))]):
            results.update(part)
    return results
