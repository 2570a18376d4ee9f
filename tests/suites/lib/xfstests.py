# SPDX-License-Identifier: BSD-3-Clause
"""
xfstests, the tests of the group quick in generic/.  On the mount it has FSTYP=fuse and a mount(8)
that starts a daemon for each mount, on the host FSTYP of the file system and two loop devices.
"""
import glob
import os
import re
import select as selecting
import shutil
import signal
import subprocess
import time

from .results import FAIL, PASS, SKIP

WORLDS = ("root",)
MOUNTS_BY_ITSELF = True
# The host's verdict is asked for only where it matters, after the runs on the mount.
HOST_LATER = True
STALL_SECONDS = 900
IMAGE_MEGABYTES = 6144
QUICK = re.compile(r"^_begin_fstest\b.*\bquick\b", re.MULTILINE)
LINE = re.compile(r"^(generic/\d+)\b(.*)$")
BAD = re.compile(r"output mismatch|\[failed|\[dumped core\]|_check_|no qualified output|"
                 r"inconsistent")
USERS = ("fsgqa", "fsgqa2", "123456-fsgqa")


def missing(folder):
    program = os.path.join(folder, "ltp", "fsstress")
    return None if os.access(program, os.X_OK) else f"{program}: not built"


def wanted(test, pattern):
    return re.search(pattern, test)


def select(folder, pattern):
    out = []
    for path in sorted(glob.glob(os.path.join(folder, "tests", "generic", "[0-9]*"))):
        name = "generic/" + os.path.basename(path)
        if "." in name or not re.search(pattern, name):
            continue
        with open(path, encoding="utf-8", errors="replace") as stream:
            if QUICK.search(stream.read()):
                out.append(name)
    return out


def add_users(scratch):
    """The users that the tests want, in this mount namespace only."""
    for number, name in enumerate(USERS):
        for path, line in (("/etc/passwd", f"{name}:x:{7101 + number}:{7101 + number}::/tmp:/bin/bash"),
                           ("/etc/group", f"{name}:x:{7101 + number}:"),
                           ("/etc/shadow", f"{name}:*:19000:0:99999:7:::")):
            copy = os.path.join(scratch, os.path.basename(path))
            if not os.path.exists(copy):
                shutil.copy(path, copy)
                subprocess.run(["mount", "--bind", copy, path], check=True)
            with open(copy, "a", encoding="utf-8") as stream:
                stream.write(line + "\n")


def shims(scratch, place):
    """A folder for PATH with a mount(8) and a df(1) that know what the suite expects of them."""
    folder = os.path.join(scratch, "bin")
    os.makedirs(folder)
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    shutil.copy(os.path.join(here, "mount_shim"), os.path.join(folder, "mount"))
    with open(os.path.join(folder, "settings"), "w", encoding="utf-8") as stream:
        stream.write(f"roots='{place.path}'\nlogs='{scratch}'\n"
                     f"viofs_mount='{os.environ['VIOFS_MOUNT']}'\n"
                     f"daemon=({' '.join(place.daemon)})\n")
    with open(os.path.join(folder, "df"), "w", encoding="utf-8") as stream:
        # The type without the subtype.
        stream.write(f"#!/bin/sh\n{shutil.which('df')} \"$@\" | sed 's/fuse\\.viofs/fuse/'\n")
    os.chmod(os.path.join(folder, "df"), 0o755)
    return folder


def loop(scratch, name, fs):
    image = os.path.join(scratch, name)
    with open(image, "wb") as stream:
        stream.truncate(IMAGE_MEGABYTES << 20)
    subprocess.run([f"mkfs.{fs}", "-q", image], check=True)
    return subprocess.run(["losetup", "-f", "--show", image], check=True, text=True,
                          stdout=subprocess.PIPE).stdout.strip()


def settings(scratch, place, options):
    """The environment that the suite is told everything by."""
    env = {"TEST_DIR": os.path.join(scratch, "test"), "SCRATCH_MNT": os.path.join(scratch, "scratch"),
           "RESULT_BASE": os.path.join(scratch, "results"), "HOST_OPTIONS": "/nonexistent",
           "DIFF_LENGTH": "12"}
    for name in ("TEST_DIR", "SCRATCH_MNT", "RESULT_BASE"):
        os.makedirs(env[name])
    os.mkdir(os.path.join(env["RESULT_BASE"], "tmp"), 0o1777)
    if place.daemon:
        env.update(FSTYP="fuse", FUSE_SUBTYP=".viofs", TEST_DEV="viofs-test",
                   SCRATCH_DEV="viofs-scratch", PATH=f"{shims(scratch, place)}:{os.environ['PATH']}")
    else:
        env.update(FSTYP=options.fs, TEST_DEV=loop(scratch, "test.img", options.fs),
                   SCRATCH_DEV=loop(scratch, "scratch.img", options.fs))
    return env


class Check:
    """
    One run of ./check over a list of tests, up to its end or the first test that does not end.  It has
    a /tmp of its own: it makes names of process ids, and those of our pid namespace are not unique.
    """
    START = 'mount --bind "$1" /tmp && shift && exec ./check "$@"'

    def __init__(self, folder, env, tests, say):
        self.say = say
        self.process = subprocess.Popen(["unshare", "--mount", "--propagation", "private", "sh", "-c",
                                         self.START, "sh", env["RESULT_BASE"] + "/tmp", *tests],
                                        cwd=folder, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                        env=dict(os.environ, LC_ALL="C", **env),
                                        start_new_session=True)
        self.left, self.results, self.name, self.text = list(tests), {}, None, ""

    def settle(self):
        """The test that printed self.text is over."""
        if not self.name:
            return
        text = self.text
        if BAD.search(text):
            verdict = (FAIL, " | ".join(line.strip() for line in text.splitlines())[:600])
            self.say(f"{self.name}: {verdict[1]}")
        elif "[not run]" in text:
            verdict = (SKIP, text.split("[not run]")[1].strip().splitlines()[0])
        else:
            verdict = (PASS, "")
        self.results[self.name] = verdict
        if self.name in self.left:
            self.left.remove(self.name)
        self.name, self.text = None, ""

    def read(self, buffer):
        """Takes whole lines off; what is begun of the next one tells which test runs."""
        *lines, rest = buffer.split("\n")
        for line in lines:
            match = LINE.match(line)
            if match:
                self.settle()
                self.name, self.text = match[1], match[2]
            elif re.match(r"^(Ran|Not run|Failures|Passed all|Failed \d+)", line):
                self.settle()
            elif self.name:
                self.text += "\n" + line
        return rest

    def run(self):
        buffer, last = "", time.monotonic()
        descriptor = self.process.stdout.fileno()
        while True:
            ready, _, _ = selecting.select([descriptor], [], [], 5)
            chunk = os.read(descriptor, 1 << 16) if ready else None
            if chunk == b"":
                break
            if chunk:
                last = time.monotonic()
                before = len(self.results)
                buffer = self.read(buffer + chunk.decode(errors="replace"))
                if len(self.results) // 50 > before // 50:
                    self.say(f"{len(self.results)} tests, {len(self.left)} left")
            elif time.monotonic() - last > STALL_SECONDS:
                self.stalled(buffer)
                break
        self.settle()
        self.process.wait()

    def stalled(self, buffer):
        match = LINE.match(buffer)
        self.settle()
        os.killpg(self.process.pid, signal.SIGKILL)
        name = match[1] if match else self.left[0] if self.left else None
        if name:
            self.name, self.text = None, ""
            self.results[name] = (FAIL, f"no end within {STALL_SECONDS} s")
            if name in self.left:
                self.left.remove(name)


def run(folder, place, options, say, tests=None):
    scratch = place.scratch
    if not os.path.exists(os.path.join(place.base, "passwd")):
        add_users(place.base)
    env = settings(scratch, place, options)
    left = select(folder, options.k) if tests is None else tests
    results = {}
    try:
        while left:
            check = Check(folder, env, left, say)
            check.run()
            results.update(check.results)
            if len(check.left) == len(left):
                say(f"./check ended without a result:\n{check.text}")
                break
            left = check.left
    finally:
        if not place.daemon:
            for device in ("TEST_DEV", "SCRATCH_DEV"):
                subprocess.run(["losetup", "-d", env[device]], check=False)
    return results
