# SPDX-License-Identifier: BSD-3-Clause
"""flock and fcntl locks among the callers of one mount (kept by the client's kernel), leases."""
import fcntl
import os

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
