# SPDX-License-Identifier: BSD-3-Clause
"""test_acl: stands with --posix-acl, and starts that it must refuse."""
import os
import subprocess
import time

from . import hostfs, isolation, program, runner
from . import world as worlds
from .stand import Stand, programs

# Each with the ACL cases in every world; and as root with those whose outcome umask and mode decide.
OTHERS = ("create", "mkdir", "mknod", "permission", "setattr", "xattr", "write_clears")


def _select(cases, world):
    return [c for c in cases if "acl" in c.tags or
            world == "root" and c.name.startswith(OTHERS)]


def _without_acl(tally, base, root):
    """A share on a file system without ACLs: always is refused, auto serves without them."""
    place = os.path.join(root, "without")
    os.mkdir(place)
    subprocess.run(["mount", "-t", "ramfs", "ramfs", place], check=True)
    daemon, _ = programs()
    done = subprocess.run([daemon, f"--shared-dir={place}", f"--socket-path={base}/refused",
                           "--posix-acl"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=20, check=False)
    if done.returncode != 1 or "--posix-acl=always" not in done.stdout or \
            "file system has none" not in done.stdout:
        tally.fail("always without ACLs", f"{done.returncode} {done.stdout!r}")
    else:
        tally.passed += 1
    scratch = os.path.join(base, "without-stand")
    os.mkdir(scratch)
    stand = Stand(scratch, place, worlds.make("root"), ("--posix-acl=auto",))
    with stand:
        path = os.path.join(stand.mnt, "f")
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o640))
        done = subprocess.run(["setfacl", "-m", "u:1:r", path], stderr=subprocess.PIPE, text=True,
                              check=False)
        if "not supported" not in done.stderr or os.stat(path).st_mode & 0o777 != 0o640:
            tally.fail("auto without ACLs", f"{done.stderr!r} {os.stat(path)}")
        else:
            tally.passed += 1
    for complaint in stand.complaints:
        tally.fail("auto without ACLs", complaint)


def main(argv):
    isolation.isolate()
    program.need(setfacl="acl")
    only = [a.split("=", 1)[1] for a in argv if a.startswith("FS=")]
    names = [a for a in argv if "=" not in a]
    started = time.monotonic()
    tally = runner.Tally()
    cases = runner.selected(runner.load_cases(), names)
    with isolation.WorkDir() as base:
        worlds.open_fuse_device(base)
        for fs in only or hostfs.ALL:
            root = hostfs.make(fs, base)
            for world in worlds.NAMES:
                place = os.path.join(root, world)
                scratch = os.path.join(base, f"stand-{fs}-{world}")
                os.mkdir(place)
                os.mkdir(scratch)
                runner.run_stand(scratch, place, fs, world, _select(cases, world), tally,
                                 ("--posix-acl=always",))
            if fs == "tmpfs":
                _without_acl(tally, base, root)
    tally.close("mount acl", started)
    return 1 if tally.failed or not tally.passed else 0
