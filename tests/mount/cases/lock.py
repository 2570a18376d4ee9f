# SPDX-License-Identifier: BSD-3-Clause
"""flock and fcntl locks among the callers of one mount (kept by the client's kernel), leases."""
import fcntl
import os
import struct
import time

from suite.runner import case


@case()
def lock_flock(t):
    t.write_file("f", b"")
    one, two = t.open("f", os.O_RDWR), t.open("f", os.O_RDWR)
    t.do("exclusive", fcntl.flock, one, fcntl.LOCK_EX)
    t.do("second", fcntl.flock, two, fcntl.LOCK_EX | fcntl.LOCK_NB)
    t.do("shared", fcntl.flock, two, fcntl.LOCK_SH | fcntl.LOCK_NB)
    t.do("downgrade", fcntl.flock, one, fcntl.LOCK_SH)
    t.do("shared", fcntl.flock, two, fcntl.LOCK_SH | fcntl.LOCK_NB)
    t.do("upgrade", fcntl.flock, one, fcntl.LOCK_EX | fcntl.LOCK_NB)
    t.close(two)
    t.do("after close", fcntl.flock, one, fcntl.LOCK_EX | fcntl.LOCK_NB)
    t.do("unlock", fcntl.flock, one, fcntl.LOCK_UN)


@case()
def lock_posix(t):
    t.write_file("f", b"0123456789")
    fd = t.open("f", os.O_RDWR)
    t.do("lock", fcntl.lockf, fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 5, 0)

    def other(u):
        mine = u.open("f", os.O_RDWR)
        u.do("overlap", fcntl.lockf, mine, fcntl.LOCK_EX | fcntl.LOCK_NB, 5, 2)
        u.do("apart", fcntl.lockf, mine, fcntl.LOCK_EX | fcntl.LOCK_NB, 5, 5)
        u.do("shared overlap", fcntl.lockf, mine, fcntl.LOCK_SH | fcntl.LOCK_NB, 1, 0)
    t.child(other)
    t.do("unlock", fcntl.lockf, fd, fcntl.LOCK_UN, 5, 0)
    t.child(other)
    readonly = t.open("f", os.O_RDONLY)
    t.do("write lock of a read-only descriptor", fcntl.lockf, readonly,
         fcntl.LOCK_EX | fcntl.LOCK_NB)


@case()
def lock_posix_waits(t):
    """A waiting lock is granted when the holder lets go, and does not stop the rest."""
    t.write_file("f", b"")
    fd = t.open("f", os.O_RDWR)
    fcntl.lockf(fd, fcntl.LOCK_EX)
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        mine = os.open("f", os.O_RDWR)
        os.write(writer, b"w")
        fcntl.lockf(mine, fcntl.LOCK_EX)
        os.write(writer, b"g")
        os._exit(0)
    t.do("waiter starts", os.read, reader, 1)
    for i in range(20):
        t.write_file(f"meanwhile{i}", b"x")
    t.do("unlock", fcntl.lockf, fd, fcntl.LOCK_UN)
    t.do("waiter gets it", os.read, reader, 1)
    os.waitpid(pid, 0)
    os.close(reader)
    os.close(writer)


def _ofd(kind, start, length):
    """struct flock of F_OFD_SETLK."""
    return struct.pack("hhqqi4x", kind, os.SEEK_SET, start, length, 0)


@case()
def lock_ofd(t):
    """Locks of open files: they keep out the same process, and go with the last descriptor."""
    t.write_file("f", b"0123456789")
    one, two = t.open("f", os.O_RDWR), t.open("f", os.O_RDWR)
    copy = os.dup(one)
    t.do("lock", fcntl.fcntl, one, fcntl.F_OFD_SETLK, _ofd(fcntl.F_WRLCK, 0, 5))
    t.do("same process", fcntl.fcntl, two, fcntl.F_OFD_SETLK, _ofd(fcntl.F_WRLCK, 4, 1))
    t.do("apart", fcntl.fcntl, two, fcntl.F_OFD_SETLK, _ofd(fcntl.F_RDLCK, 5, 1))
    t.close(one)
    t.do("held by the copy", fcntl.fcntl, two, fcntl.F_OFD_SETLK, _ofd(fcntl.F_WRLCK, 4, 1))
    os.close(copy)

    def free():
        # RELEASE is not waited for by close().
        for _ in range(500):
            try:
                return fcntl.fcntl(two, fcntl.F_OFD_SETLK, _ofd(fcntl.F_WRLCK, 4, 1))
            except BlockingIOError:
                time.sleep(0.01)
        raise TimeoutError
    t.do("after the last close", free)


@case()
def lock_posix_who(t):
    """F_GETLK tells the range, the kind and the process; any close() gives all up."""
    t.write_file("f", b"0123456789")
    fd = t.open("f", os.O_RDWR)
    other = t.open("f", os.O_RDWR)
    for kind, start, length in ((fcntl.F_WRLCK, 0, 10), (fcntl.F_UNLCK, 3, 4),
                                (fcntl.F_RDLCK, 5, 1), (fcntl.F_RDLCK, 6, 1)):
        t.do("set", fcntl.fcntl, fd, fcntl.F_SETLK, _ofd(kind, start, length))
    parent = os.getpid()

    def look(u):
        mine = u.open("f", os.O_RDWR)
        for start, length in ((0, 0), (3, 2), (4, 3), (7, 1), (9, 100), (10, 0)):
            answer = struct.unpack("hhqqi4x", fcntl.fcntl(
                mine, fcntl.F_GETLK, _ofd(fcntl.F_WRLCK, start, length)))
            u.note(f"{start}+{length}", f"{answer[:4]} {answer[4] == parent}")
    t.child(look)
    t.close(other)
    t.child(look)


@case()
def lock_posix_deadlock(t):
    t.write_file("f", b"ab")
    fd = t.open("f", os.O_RDWR)
    fcntl.lockf(fd, fcntl.LOCK_EX, 1, 0)
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX, 1, 1)
            os.write(writer, b"h")
            fcntl.lockf(fd, fcntl.LOCK_EX, 1, 0)
            status = 0
        finally:
            os._exit(status)
    t.do("child holds", os.read, reader, 1)
    time.sleep(0.2)
    t.do("would wait for each other", fcntl.lockf, fd, fcntl.LOCK_EX, 1, 1)
    fcntl.lockf(fd, fcntl.LOCK_UN, 1, 0)
    t.note("the child gets it", os.waitpid(pid, 0)[1])
    os.close(reader)
    os.close(writer)


@case()
def lock_many_wait(t):
    """Forty processes take turns; none is forgotten, and never do two have it."""
    t.write_file("f", b"0")
    pids = []
    for _ in range(40):
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                mine = os.open("f", os.O_RDWR)
                fcntl.lockf(mine, fcntl.LOCK_EX)
                count = int(os.pread(mine, 10, 0))
                time.sleep(0.001)
                os.pwrite(mine, b"%d" % (count + 1), 0)
                os.close(mine)
                status = 0
            finally:
                os._exit(status)
        pids.append(pid)
    t.note("statuses", sorted(os.waitpid(pid, 0)[1] for pid in pids))
    with open("f", "rb") as stream:
        t.note("turns", stream.read())
