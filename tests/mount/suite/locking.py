# SPDX-License-Identifier: BSD-3-Clause
"""
Locks between two guests of one share and the host: three parties, each of which must keep the
other two out. Two daemons, two mounts; what one waits for is released by another, dies, or is
interrupted, and the rest of the mount goes on meanwhile.
"""
import fcntl
import os
import signal
import struct
import subprocess
import time

from . import hostfs, isolation, runner
from .options import Check
from .stand import Stand

LOCKS = ("--posix-lock", "--flock")


def _flock(kind, start, length):
    return struct.pack("hhqqi4x", kind, os.SEEK_SET, start, length, 0)


def record(kind):
    def lock(fd):
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _flock(kind, 0, 10))
    return lock


def whole(operation):
    def lock(fd):
        fcntl.flock(fd, operation | fcntl.LOCK_NB)
    return lock


# name, exclusive, shared, unlock, as a process waits for the exclusive one
KINDS = (
    ("record", record(fcntl.F_WRLCK), record(fcntl.F_RDLCK), record(fcntl.F_UNLCK),
     lambda fd: fcntl.lockf(fd, fcntl.LOCK_EX, 10)),
    ("flock", whole(fcntl.LOCK_EX), whole(fcntl.LOCK_SH), whole(fcntl.LOCK_UN),
     lambda fd: fcntl.flock(fd, fcntl.LOCK_EX)),
)


class Waiter:
    """A process that waits for a lock and holds it until it is told to end."""

    def __init__(self, path, lock):
        self.reader, writer = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                # What the parent has open would be held by us, too.
                os.closerange(3, writer)
                os.closerange(writer + 1, 1024)
                fd = os.open(path, os.O_RDWR)
                os.write(writer, b"w")
                lock(fd)
                os.write(writer, b"g")
                time.sleep(60)
            except OSError:
                os.write(writer, b"e")
            finally:
                os._exit(0)
        os.close(writer)
        os.read(self.reader, 1)

    def next(self, seconds):
        """The next word: g(ranted), e(rror), empty: ended; None: nothing for so long."""
        os.set_blocking(self.reader, False)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                return os.read(self.reader, 1)
            except BlockingIOError:
                time.sleep(0.005)
        return None

    def end(self):
        os.kill(self.pid, signal.SIGKILL)
        started = time.monotonic()
        os.waitpid(self.pid, 0)
        os.close(self.reader)
        return time.monotonic() - started


def three_parties(check, other):
    """Whoever has it keeps the others out, in all directions."""
    places = {"host": check.stand.share, "guest": check.stand.mnt, "other guest": other.mnt}
    for name, exclusive, shared, unlock, _ in KINDS:
        for holder, place in places.items():
            mine = os.open(os.path.join(place, "f"), os.O_RDWR)
            exclusive(mine)
            for seeker, elsewhere in places.items():
                fd = os.open(os.path.join(elsewhere, "f"), os.O_RDWR)
                what = f"{name} of {holder}, {seeker}"
                check.error("EAGAIN", f"{what}: exclusive", exclusive, fd)
                check.error("EAGAIN", f"{what}: shared", shared, fd)
                shared(mine)
                shared(fd)
                check.error("EAGAIN", f"{what}: beside shared", exclusive, fd)
                unlock(fd)
                exclusive(mine)
                os.close(fd)
            unlock(mine)
            os.close(mine)


def waits(check, other):
    """Granted soon after whoever it was let go, however that came about; then it is really held."""
    for name, exclusive, _, _, wait in KINDS:
        for holder, place in (("host", check.stand.share), ("guest", check.stand.mnt),
                              ("other guest", other.mnt)):
            fd = os.open(os.path.join(place, "f"), os.O_RDWR)
            exclusive(fd)
            waiter = Waiter(os.path.join(check.stand.mnt, "f"), wait)
            what = f"{name}, held by {holder}"
            check.expect(waiter.next(0.3) is None, f"{what}: does not wait")
            for i in range(50):
                with open(os.path.join(check.stand.mnt, "g"), "w") as stream:
                    stream.write(str(i))
            os.close(fd)
            check.expect(waiter.next(5) == b"g", f"{what}: not granted")
            host = os.open(os.path.join(check.stand.share, "f"), os.O_RDWR)
            check.error("EAGAIN", f"{what}: granted, but not on the host", exclusive, host)
            waiter.end()
            _soon(check, f"{what}: not free after the holder died", lambda: exclusive(host))
            os.close(host)


def _soon(check, text, function):
    for _ in range(500):
        try:
            function()
            return
        except BlockingIOError:
            time.sleep(0.01)
    check.expect(False, text)


def interrupted(check, other):
    """A signal ends a wait; --send-interrupt is what virtio-fs does not have."""
    fd = os.open(os.path.join(other.mnt, "f"), os.O_RDWR)
    for name, exclusive, _, unlock, wait in KINDS:
        exclusive(fd)
        waiter = Waiter(os.path.join(check.stand.mnt, "f"), wait)
        time.sleep(0.3)
        check.expect(waiter.end() < 2, f"{name}: a killed process does not end")
        unlock(fd)
        host = os.open(os.path.join(check.stand.share, "f"), os.O_RDWR)
        _soon(check, f"{name}: somebody has a lock that nobody holds", lambda: exclusive(host))
        os.close(host)
    os.close(fd)


def costs_nothing(check, other):
    """A hundred waits: no thread but one, and no descriptor is left of them."""
    def numbers():
        child = subprocess.run(["pgrep", "-P", str(check.stand.daemon.pid)], text=True,
                               stdout=subprocess.PIPE, check=True).stdout.split()[0]
        return (len(os.listdir(f"/proc/{child}/task")), len(os.listdir(f"/proc/{child}/fd")))
    fd = os.open(os.path.join(other.mnt, "f"), os.O_RDWR)
    KINDS[0][1](fd)
    os.close(os.open(os.path.join(check.stand.mnt, "f"), os.O_RDWR))
    first = Waiter(os.path.join(check.stand.mnt, "f"), KINDS[0][4])
    time.sleep(0.2)
    before = numbers()
    waiters = [Waiter(os.path.join(check.stand.mnt, "f"), KINDS[0][4]) for _ in range(100)]
    during = numbers()
    check.expect(during[0] == before[0], f"{during[0]} threads, not {before[0]}")
    started = time.monotonic()
    for i in range(200):
        os.close(os.open(os.path.join(check.stand.mnt, f"n{i}"), os.O_CREAT | os.O_WRONLY))
    check.expect(time.monotonic() - started < 5, "the mount is slow while others wait")
    for waiter in waiters:
        check.expect(waiter.end() < 5, "a waiting process does not end")
    deadline = time.monotonic() + 5
    while numbers()[1] > before[1] and time.monotonic() < deadline:
        time.sleep(0.05)
    after = numbers()
    check.expect(after[1] <= before[1], f"{after[1]} descriptors, {before[1]} before")
    first.end()
    os.close(fd)


TESTS = (three_parties, waits, interrupted, costs_nothing)


def main(argv):
    isolation.isolate()
    started = time.monotonic()
    tally = runner.Tally()
    with isolation.WorkDir() as base:
        roots = {fs: hostfs.make(fs, base) for fs in ("tmpfs", "ext4")}
        for fs, root in roots.items():
            for test in TESTS:
                if not argv or test.__name__ in argv:
                    _run(tally, base, root, f"{fs}-{test.__name__}", test)
    tally.close("locks", started)
    return 1 if tally.failed or not tally.passed else 0


def _run(tally, base, root, name, test):
    check = Check(tally, base, root, name, LOCKS, mount_arguments=("--send-interrupt",))
    scratch = os.path.join(base, "other-" + name)
    os.mkdir(scratch)
    other = Stand(scratch, os.path.join(root, name), check.world, LOCKS)
    for file in ("f", "g"):
        with open(os.path.join(check.stand.share, file), "w") as stream:
            stream.write("x" * 20)

    def both(check):
        with other:
            test(check, other)
        check.faults += other.complaints
    check.run(both)
