# SPDX-License-Identifier: BSD-3-Clause
"""
Runs cases on both sides of a stand and compares.  A case passes when

- what its calls returned is the same on the mount as on the bare host,
- the files it left are the same,
- the mount shows exactly the files that the share really holds, times and numbers included.
"""
import importlib
import os
import pkgutil
import time

from . import compare, hostfs, isolation, known, syscalls
from . import world as worlds
from .recorder import Recorder
from .stand import Hang, Stand, StandError

CASE_SECONDS = 60
CASES = {}


class Case:
    def __init__(self, function, in_worlds, tags, but=()):
        self.function, self.worlds, self.tags, self.but = function, in_worlds, tags, but
        self.name = function.__name__

    def fits(self, context):
        """Cases that need an option say so by a tag."""
        if context.fs in self.but:
            return False
        return "acl" not in self.tags or any(o.startswith("--posix-acl") for o in context.options)


def case(worlds=worlds.NAMES, tags=(), but=()):
    """
    Registers a case: function(recorder), run in an empty folder of its own. but: file systems on which
    there is nothing to compare with, as the host cannot do it.
    """
    def register(function):
        assert function.__name__ not in CASES, function.__name__
        CASES[function.__name__] = Case(function, worlds, set(tags), set(but))
        return function
    return register


def load_cases():
    import cases
    for module in pkgutil.iter_modules(cases.__path__):
        importlib.import_module(f"cases.{module.name}")
    return list(CASES.values())


def perform(this, side, context):
    """In a child: the log of one case on one side."""
    place = os.path.join(side, this.name)
    os.mkdir(place, 0o755)
    os.chdir(place)
    recorder = Recorder(context.cases, context.fs)
    this.function(recorder)
    return recorder.lines


class Tally:
    def __init__(self):
        self.passed = self.failed = 0
        self.reasons = {}

    def fail(self, where, text):
        self.failed += 1
        print(f"FAIL {where}: {text}", flush=True)

    def close(self, what, started):
        for reason, count in sorted(self.reasons.items()):
            print(f"  known difference, {count} times: {reason}")
        print(f"{what}: {self.passed} passed, {self.failed} failed, "
              f"{time.monotonic() - started:.0f} s", flush=True)


def judge(tally, context, where, this, pairs):
    """Prints what no entry of the known list covers; True when nothing is left."""
    left = []
    for title, expected, seen in pairs:
        entry = known.accepted(context, this.name, expected, seen)
        if entry:
            tally.reasons[entry.reason] = tally.reasons.get(entry.reason, 0) + 1
        else:
            left.append((title, expected, seen))
    if left:
        lines = []
        for title, expected, seen in left[:12]:
            lines += [f"  {title}", f"    - {expected}", f"    + {seen}"]
        if len(left) > 12:
            lines.append(f"  and {len(left) - 12} more")
        tally.fail(where, "not as on the host (-), but (+):\n" + "\n".join(lines))
    return not left


def run_case(stand, context, this, tally):
    where = f"{context.fs}/{context.world}{''.join(' ' + o for o in context.options)} {this.name}"

    def trees():
        def at(side):
            return os.path.join(side, this.name)
        exact = compare.EXACT
        if context.has("--writeback"):
            # The client keeps data for a while, and of the times its own opinion.
            exact = exact - {"ctime", "mtime"}
            fd = os.open(stand.mnt, os.O_RDONLY)
            syscalls.syncfs(fd)
            os.close(fd)
        return (compare.tree(at(stand.host)), *compare.views(at(stand.share), exact),
                *compare.views(at(stand.mnt), exact))

    try:
        expected = stand.in_world(lambda: perform(this, stand.host, context), CASE_SECONDS)
        seen = stand.in_world(lambda: perform(this, stand.mnt, context), CASE_SECONDS)
        host, share, share_exact, mnt, mnt_exact = stand.in_world(trees, CASE_SECONDS)
    except Hang as error:
        tally.fail(where, str(error))
        raise StandError(f"{this.name} hangs: {error}") from None
    except RuntimeError as error:
        tally.fail(where, str(error))
        return
    pairs = [("calls",) + pair for pair in compare.differences(expected, seen)]
    if stand.world.same_files:
        pairs += [("files left", *pair) for pair in compare.differences(host, share)]
        pairs += [("share against mount", *pair)
                  for pair in compare.differences(share_exact, mnt_exact)]
    else:
        pairs += [("files left", *pair) for pair in compare.differences(host, mnt)]
    if judge(tally, context, where, this, pairs):
        tally.passed += 1


def run_stand(base, root, fs, world_name, cases, tally, options=(), mount_options=()):
    """All cases that apply on one stand; false when the stand itself broke."""
    world = worlds.make(world_name)
    context = known.Context(fs, world_name, options, world.cases)
    where = f"{fs}/{world_name}{''.join(' ' + o for o in options)}"
    stand = None
    try:
        stand = Stand(base, root, world, options, mount_options)
        with stand:
            for this in cases:
                if world.cases in this.worlds and this.fits(context):
                    run_case(stand, context, this, tally)
                    if not stand.alive():
                        logs = "".join(stand.log(name) for name in stand.logs)
                        raise StandError(f"a process died in {this.name}\n{logs}")
    except StandError as error:
        tally.fail(where, str(error))
    finally:
        world.close()
    for complaint in stand.complaints if stand else ():
        tally.fail(where, complaint)


def selected(all_cases, names):
    return [c for c in all_cases if not names or any(n in c.name for n in names)]


def main_fs(fs, argv):
    """test_ext4 and the like: every case in every world. Arguments: WORLD=..., parts of names."""
    isolation.isolate()
    only = [a.split("=", 1)[1] for a in argv if a.startswith("WORLD=")]
    names = [a for a in argv if "=" not in a]
    started = time.monotonic()
    tally = Tally()
    cases = selected(load_cases(), names)
    with isolation.WorkDir() as base:
        worlds.open_fuse_device(base)
        root = hostfs.make(fs, base)
        for name in only or worlds.NAMES:
            place = os.path.join(root, name)
            os.mkdir(place)
            scratch = os.path.join(base, "stand-" + name)
            os.mkdir(scratch)
            run_stand(scratch, place, fs, name, cases, tally)
    tally.close(f"mount {fs}", started)
    return 1 if tally.failed or not tally.passed else 0
