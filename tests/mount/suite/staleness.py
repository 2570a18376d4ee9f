# SPDX-License-Identifier: BSD-3-Clause
"""
test_cache: what the mount may show of yesterday after the host has changed something, and for how
long.  TABLE is the table of contrib/HACKING.md, cell by cell: each thing is looked at through the
mount, changed on the host, looked at again at once, and once more when the time is over.
"""
import os
import re
import time

from . import hostfs, isolation, options, runner
from . import world as worlds

SECONDS = 3.0        # the time-outs of the stands that cache
SLACK = 0.4          # jiffies, and a kernel that rounds up
ROUNDS = 5           # tries to look soon enough after the change, on a machine that is busy

FRESH = "fresh at once"
TIMED = "stale, and fresh after the time"
KEPT = "stale as long as the guest knows the file"


def write(path, text):
    with open(path, "w") as stream:
        stream.write(text)


def overwrite(path, text):
    """In place: the same file, the same length."""
    fd = os.open(path, os.O_WRONLY)
    os.pwrite(fd, text.encode(), 0)
    os.close(fd)


def replace(path, make, value):
    make(path + ".new", value)
    os.rename(path + ".new", path)


def read(path):
    with open(path) as stream:
        return stream.read()


def link(path, target):
    os.symlink(target, path)


class Held:
    """A file that stays open at the mount."""

    def __init__(self):
        self.fds = {}

    def look(self, path):
        if path not in self.fds:
            self.fds[path] = os.open(path, os.O_RDONLY)
        return os.pread(self.fds[path], 100, 0).decode()

    def close(self):
        for fd in self.fds.values():
            os.close(fd)
        self.fds = {}


HELD = Held()

# name: (made on the host, looked at through the mount, changed on the host). Looking must give
# another value when the change is seen.
THINGS = {
    "attributes": (lambda p: write(p, "x"), lambda p: os.stat(p).st_mode,
                   lambda p: os.chmod(p, 0o640)),
    "size": (lambda p: write(p, "x"), lambda p: os.stat(p).st_size, lambda p: write(p, "longer")),
    "gone": (lambda p: write(p, "x"), os.path.exists, os.unlink),
    "replaced": (lambda p: write(p, "x"), lambda p: os.stat(p).st_ino,
                 lambda p: replace(p, write, "y")),
    "missing": (lambda p: None, os.path.exists, lambda p: write(p, "x")),
    "listing": (os.mkdir, os.listdir, lambda p: write(p + "/new", "x")),
    "link": (lambda p: link(p, "old"), os.readlink, lambda p: replace(p, link, "new")),
    "open data": (lambda p: write(p, "old"), HELD.look, lambda p: overwrite(p, "new")),
    "data": (lambda p: write(p, "old"), read, lambda p: overwrite(p, "new")),
    "growth": (lambda p: write(p, "old"), HELD.look, lambda p: write(p, "old and more")),
}

UNCACHED = {"open data": FRESH, "data": FRESH, "growth": FRESH}
NAMES = {"attributes": TIMED, "size": TIMED, "gone": TIMED, "replaced": TIMED, "link": TIMED}
TIMES = (f"--attr-timeout={SECONDS}", f"--entry-timeout={SECONDS}")
NEGATIVE = f"--negative-timeout={SECONDS}"

AUTO = {**NAMES, "missing": FRESH, "listing": FRESH, "open data": TIMED, "data": FRESH,
        "growth": TIMED}
METADATA = {**NAMES, **UNCACHED, "missing": FRESH, "listing": TIMED}
ALWAYS = dict.fromkeys(THINGS, TIMED)
# The guest believes nobody else about sizes, times and data.
WRITEBACK = {"size": KEPT, "open data": KEPT, "growth": KEPT}

# (options, what is to be seen). With --cache=never the defaults: nothing is kept.
TABLE = (
    (("--cache=never",), dict.fromkeys(THINGS, FRESH)),
    (("--cache=never", "--writeback"), dict.fromkeys(THINGS, FRESH)),
    (("--cache=metadata", *TIMES), METADATA),
    (("--cache=metadata", "--writeback", *TIMES), METADATA),
    (("--cache=auto", *TIMES), AUTO),
    (("--cache=auto", "--writeback", *TIMES), {**AUTO, **WRITEBACK}),
    (("--cache=always", NEGATIVE, *TIMES), ALWAYS),
    (("--cache=always", "--no-open", NEGATIVE, *TIMES), ALWAYS),
    (("--cache=always", "--writeback", NEGATIVE, *TIMES), {**ALWAYS, **WRITEBACK, "data": KEPT}),
    # The options work in every mode, each alone.
    (("--cache=never", *TIMES), {**dict.fromkeys(THINGS, FRESH), **NAMES, "link": TIMED}),
    (("--cache=auto", NEGATIVE, *TIMES), {**AUTO, "missing": TIMED}),
    (("--cache=always", "--negative-timeout=0", *TIMES), {**ALWAYS, "missing": FRESH}),
    (("--cache=always", "--attr-timeout=0", NEGATIVE, f"--entry-timeout={SECONDS}"),
     {**ALWAYS, "attributes": FRESH, "size": FRESH, "listing": FRESH, "open data": FRESH,
      "data": FRESH, "growth": FRESH}),
    (("-o", f"timeout={SECONDS}", "--cache=auto"), AUTO),
)


def observe(mnt, share, number):
    """One round: {thing: (before, at once, afterwards)}, or None when it took too long."""
    place = f"round{number}"
    os.mkdir(os.path.join(share, place))

    def at(side, thing):
        return os.path.join(side, place, thing.replace(" ", "-"))

    for thing, (make, _, _) in THINGS.items():
        make(at(share, thing))
    time.sleep(0.02)  # so that the change has another time than the making
    started = time.monotonic()
    try:
        # Twice: after the first READ or READDIR Linux asks for the attributes once more.
        for _ in range(2):
            before = {thing: look(at(mnt, thing)) for thing, (_, look, _) in THINGS.items()}
        for thing, (_, _, change) in THINGS.items():
            change(at(share, thing))
        once = {thing: look(at(mnt, thing)) for thing, (_, look, _) in THINGS.items()}
        if time.monotonic() - started > SECONDS - SLACK:
            return None
        time.sleep(SECONDS + SLACK)
        later = {thing: look(at(mnt, thing)) for thing, (_, look, _) in THINGS.items()}
    finally:
        HELD.close()
    return {thing: (before[thing], once[thing], later[thing]) for thing in THINGS}


def classify(before, once, later):
    if once != before:
        return FRESH if later == once else f"unsteady: {before!r}, {once!r}, {later!r}"
    return KEPT if later == before else TIMED


def cells(expected):
    def test(check):
        seen = None
        for number in range(ROUNDS):
            seen = observe(check.stand.mnt, check.stand.share, number)
            if seen:
                break
        check.expect(seen, f"{ROUNDS} rounds took longer than {SECONDS} s each")
        for thing, values in (seen or {}).items():
            is_ = classify(*values)
            check.expect(is_ == expected[thing], f"{thing}: {is_}, not {expected[thing]}: {values}")
    return test


def counters(check):
    """The requests of the session that has ended, by name."""
    lines = re.findall(r"requests: (.*)", check.stand.log("daemon"))
    return {name: int(count) for name, count in re.findall(r"(\w+) (\d+)", ",".join(lines))}


def use(check):
    """Ten times what a program does all day, on files of the share."""
    mnt, share = check.stand.mnt, check.stand.share
    write(os.path.join(share, "f"), "content")
    write(os.path.join(share, "w"), "content")
    os.symlink("f", os.path.join(share, "l"))
    for _ in range(10):
        check.expect(read(os.path.join(mnt, "l")) == "content", "content")
        check.expect(not os.path.exists(os.path.join(mnt, "missing")), "missing")
        check.expect("w" in os.listdir(mnt), "list")
        fd = os.open(os.path.join(mnt, "w"), os.O_WRONLY)
        os.write(fd, b"other")
        os.close(fd)
    # What the guest makes itself is seen at once, whatever it remembers.
    write(os.path.join(mnt, "missing"), "made")
    check.expect(read(os.path.join(mnt, "missing")) == "made", "made in the guest")
    os.unlink(os.path.join(mnt, "missing"))
    check.expect(not os.path.exists(os.path.join(mnt, "missing")), "removed in the guest")


LONG = ("--attr-timeout=100", "--entry-timeout=100", "--negative-timeout=100")

# (options, {request: at least, at most}) of one session of use().
TRIPS = (
    (("--cache=never",), {"READLINK": (10, 10), "FLUSH": (0, 0), "LOOKUP": (30, 99),
                          "READ": (10, 99)}),
    (("--cache=auto", *LONG), {"READLINK": (1, 1), "FLUSH": (0, 0), "LOOKUP": (3, 8)}),
    (("--cache=auto", "--writeback", *LONG), {"FLUSH": (10, 99)}),
    # OPEN, OPENDIR and FLUSH are tried once.
    (("--cache=always", "--no-open", *LONG), {"READLINK": (1, 1), "FLUSH": (1, 1), "LOOKUP": (3, 8),
                                 "READ": (1, 3), "OPEN": (1, 1), "RELEASE": (0, 1),
                                 "OPENDIR": (1, 1), "RELEASEDIR": (0, 0), "WRITE": (11, 11)}),
    (("--cache=always", *LONG),
     {"FLUSH": (0, 0), "OPEN": (20, 99), "RELEASE": (20, 99), "OPENDIR": (10, 10)}),
)


def _check(tally, base, root, name, options_, test):
    check = options.Check(tally, base, root, name, options_)
    check.run(test)
    return check


def main(argv):
    isolation.isolate()
    started = time.monotonic()
    tally = runner.Tally()
    with isolation.WorkDir() as base:
        worlds.open_fuse_device(base)
        root = hostfs.make("ext4", base)
        for number, (options_, expected) in enumerate(TABLE):
            if not argv or f"cells{number}" in argv:
                _check(tally, base, root, f"cells{number}", options_, cells(expected))
        for number, (options_, limits) in enumerate(TRIPS):
            name = f"trips{number}"
            if argv and name not in argv:
                continue
            seen = counters(_check(tally, base, root, name, options_, use))
            for request, (least, most) in limits.items():
                count = seen.get(request, 0)
                if not least <= count <= most:
                    tally.fail(f"{name} {' '.join(options_)}",
                               f"{request}: {count}, not {least} to {most}: {seen}")
    tally.close("mount cache", started)
    return 1 if tally.failed or not tally.passed else 0
