# SPDX-License-Identifier: BSD-3-Clause
"""test_host_changes: every change of hostchange.py on several file systems and cache modes, then what
needs a host that does not stop, then file systems that come and go below the share."""
import concurrent.futures
import os
import subprocess
import time

from . import compare, hostbusy, hostchange, hostfs, hostmount, isolation, known, runner
from . import world as worlds
from .stand import Stand, StandError, in_child, programs

# (file system, options). Between the first look and the change all is idle for a while, or nothing.
PLAN = (
    ("ext4", ("--cache=never", "--inode-file-handles=prefer")),
    ("ext4", ("--cache=auto", "--inode-file-handles=prefer")),
    ("ext4", ("--cache=always", "--inode-file-handles=prefer")),
    ("ext4", ("--cache=never", "--inode-file-handles=never")),
    ("ext4", ("--cache=auto", "--inode-file-handles=never")),
    ("ext4", ("--cache=always", "--inode-file-handles=never")),
    # A cache of few descriptors: what is looked at is known by its handle only.
    ("ext4", ("--cache=never", "--inode-file-handles=prefer", "--rlimit-nofile=200")),
    ("ext4", ("--cache=auto", "--inode-file-handles=prefer", "--rlimit-nofile=200")),
    ("ext4", ("--cache=always", "--inode-file-handles=prefer", "--rlimit-nofile=200")),
    ("xfs", ("--cache=never", "--inode-file-handles=prefer")),
    ("xfs", ("--cache=auto", "--inode-file-handles=prefer")),
    ("btrfs", ("--cache=never", "--inode-file-handles=prefer")),
    ("btrfs", ("--cache=auto", "--inode-file-handles=prefer")),
    ("tmpfs", ("--cache=never", "--inode-file-handles=prefer")),
    ("tmpfs", ("--cache=auto", "--inode-file-handles=prefer")),
    ("tmpfs", ("--cache=auto", "--inode-file-handles=never")),
    ("overlayfs", ("--cache=never",)),
    ("overlayfs", ("--cache=auto",)),
)
AT_A_TIME = 6
IDLE_SECONDS = 6  # longer than the server keeps a descriptor of a file that nobody asks for
CACHED_SECONDS = 1.3


def _judge(tally, context, where, reference, seen, exact_early, exact_late):
    for name, expected in reference.items():
        failed = False
        for when, exact in (("early", exact_early), ("late", exact_late)):
            lines = seen[name][when]
            wrong = [line for line in lines if line not in expected[when] and
                     line.rpartition(": ")[2] in hostchange.NEVER_SEEN]
            pairs = [(f"{when}: never to be seen", None, line) for line in wrong]
            if exact:
                pairs += [(when, *pair) for pair in compare.differences(expected[when], lines)]
            this = type("Change", (), {"name": name})
            failed |= not runner.judge(tally, context, f"{where} {name}", this, pairs)
        tally.passed += not failed


def _stand(tally, base, root, fs, options, reference, idle):
    context = known.Context(fs, "root", options)
    where = f"{fs} {' '.join(options)}{' idle' if idle else ''}"
    world = worlds.make("root")
    stand = Stand(base, root, world, options)
    never, always = "--cache=never" in options, "--cache=always" in options
    try:
        with stand:
            seen = stand.in_world(lambda: hostchange.perform(
                stand.share, stand.mnt, IDLE_SECONDS if idle else 0,
                0 if never or always else CACHED_SECONDS), 90)
            _judge(tally, context, where, reference, seen, never, not always)
    finally:
        world.close()
    for complaint in stand.complaints:
        tally.fail(where, complaint)


def _check(tally, base, root, fs, options, function):
    """A function that looks for itself: function(stand, fail), fail taking a text."""
    where = f"{fs} {' '.join(options)} {function.__name__}"
    faults = []
    stand = Stand(base, root, worlds.make("root"), options)
    try:
        with stand:
            function(stand, faults.append)
            if not stand.alive():
                faults.append("a process died")
    except (OSError, RuntimeError, StandError) as error:
        faults.append(repr(error))
    for fault in faults + stand.complaints:
        tally.fail(where, fault)
    tally.passed += not faults and not stand.complaints


def _reference(root):
    """The same on the bare file system; its absolute paths do not matter."""
    os.mkdir(root)
    return in_child(lambda: None, lambda: hostchange.perform(root, root, 0, 0), 60)


def _in_process(job):
    """A stand in a process of its own: [passed, failed, reasons]."""
    def work():
        tally = runner.Tally()
        job(tally)
        return [tally.passed, tally.failed, tally.reasons]
    return in_child(lambda: None, work, 120)


def main(argv):
    isolation.isolate()
    programs()
    started = time.monotonic()
    tally = runner.Tally()
    jobs = []
    with isolation.WorkDir() as base:
        worlds.open_fuse_device(base)
        roots = {fs: hostfs.make(fs, base) for fs in {p[0] for p in PLAN}}
        # As on hosts: what is mounted later shows in namespaces that were made earlier.
        for root in roots.values():
            subprocess.run(["mount", "--make-shared", root], check=True)
        references = {fs: _reference(os.path.join(root, "reference")) for fs, root in roots.items()}
        for number, (fs, options) in enumerate(PLAN):
            for idle in (False, True):
                name = f"{number}{'i' if idle else ''}"
                if argv and name not in argv:
                    continue
                place, scratch = os.path.join(roots[fs], name), os.path.join(base, name)
                os.mkdir(place)
                os.mkdir(scratch)
                jobs.append(lambda t, a=(scratch, place, fs, options, references[fs], idle):
                            _stand(t, *a))
        for fs, options, function in hostbusy.PLAN + hostmount.PLAN:
            name = f"{function.__name__}{len(jobs)}"
            if argv and function.__name__ not in argv:
                continue
            place, scratch = os.path.join(roots[fs], name), os.path.join(base, name)
            os.mkdir(place)
            os.mkdir(scratch)
            jobs.append(lambda t, a=(scratch, place, fs, options, function): _check(t, *a))
        with concurrent.futures.ThreadPoolExecutor(AT_A_TIME) as pool:
            futures = [pool.submit(_in_process, job) for job in jobs]
            for future in futures:
                try:
                    passed, failed, reasons = future.result()
                except Exception as error:  # pylint: disable=broad-except
                    tally.fail("stand", str(error))
                    continue
                tally.passed += passed
                tally.failed += failed
                for reason, count in reasons.items():
                    tally.reasons[reason] = tally.reasons.get(reason, 0) + count
    tally.close("mount host changes", started)
    return 1 if tally.failed or not tally.passed else 0
