# SPDX-License-Identifier: BSD-3-Clause
"""
pjdfstest: about 240 scripts that speak TAP, some 9,000 assertions.  Each assertion is a test here.
The scripts change uids by themselves, so that only root can run them.
"""
import concurrent.futures
import glob
import os
import re
import shutil

from . import process
from .results import FAIL, PASS, SKIP

WORLDS = ("root",)
MOUNTS_BY_ITSELF = HOST_LATER = False
SECONDS = 600
LINE = re.compile(r"^(not )?ok\b *(\d*)(.*)$")
PLAN = re.compile(r"^1\.\.(\d+)")
# TAP: what is known not to work, or was left out.
DIRECTIVE = re.compile("# ?(to" "do|skip)", re.IGNORECASE)
# Names are made of random digits.
RANDOM = re.compile(r"(pjd)?fstest_[0-9a-f]{32,}")


def missing(folder):
    """What the folder lacks, or None."""
    program = os.path.join(folder, "pjdfstest")
    return None if os.access(program, os.X_OK) else f"{program}: not built"


def select(folder, pattern):
    tests = os.path.join(folder, "tests")
    scripts = sorted(glob.glob(os.path.join(tests, "*", "*.t")))
    return [s for s in scripts if re.search(pattern, os.path.relpath(s, tests))]


def parse(name, status, output):
    out = {}
    planned = 0
    number = 0
    for line in output.splitlines():
        plan = PLAN.match(line)
        if plan:
            planned = int(plan[1])
            continue
        match = LINE.match(line)
        if not match:
            continue
        number = int(match[2]) if match[2] else number + 1
        detail = RANDOM.sub("NAME", match[3].strip(" -"))
        if DIRECTIVE.search(detail):
            out[f"{name}:{number}"] = (SKIP, detail)
        else:
            out[f"{name}:{number}"] = (FAIL if match[1] else PASS, detail)
    for lost in range(number + 1, planned + 1):
        out[f"{name}:{lost}"] = (FAIL, "no result")
    if status:
        ended = "no end" if status == process.TIMEOUT else f"exit status {status}"
        out[f"{name}:end"] = (FAIL, ended)
    elif planned:
        out[f"{name}:end"] = (PASS, "")
    return out


def df_shim(place, fs):
    """A folder with a df(1) that gives the mount out for what is below: it is to behave like that."""
    folder = os.path.join(place.scratch, "bin")
    os.makedirs(folder)
    program = os.path.join(folder, "df")
    with open(program, "w", encoding="utf-8") as stream:
        stream.write(f"#!/bin/sh\n{shutil.which('df')} \"$@\" | sed 's/fuse\\.viofs/{fs}/'\n")
    os.chmod(program, 0o755)
    return folder


def run(folder, place, options, say):
    """Results of the scripts that options.k selects, options.jobs of them at a time."""
    tests = os.path.join(folder, "tests")
    path = {"PATH": f"{df_shim(place, options.fs)}:{os.environ['PATH']}"}

    def one(script):
        name = os.path.relpath(script, tests)
        corner = place.corner(name)
        status, output = process.run(["/bin/sh", script], corner, place.world.enter, SECONDS, path)
        return parse(name, status, output)

    results = {}
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for number, part in enumerate(pool.map(one, select(folder, options.k)), 1):
            results.update(part)
            if number % 40 == 0:
                say(f"{number} scripts")
    return results


def wanted(test, pattern):
    return re.search(pattern, test.rsplit(":", 1)[0])
