# SPDX-License-Identifier: BSD-3-Clause
"""FALLOCATE, LSEEK, COPY_FILE_RANGE."""
import os

from suite import syscalls
from suite.runner import case


@case()
def fallocate_modes(t):
    keep, punch = syscalls.FALLOC_FL_KEEP_SIZE, syscalls.FALLOC_FL_PUNCH_HOLE
    modes = (("plain", 0), ("keep size", keep), ("punch", punch | keep),
             ("zero", syscalls.FALLOC_FL_ZERO_RANGE),
             ("zero keep", syscalls.FALLOC_FL_ZERO_RANGE | keep),
             ("punch without keep", punch), ("unknown", 0x8000))
    for label, mode in modes:
        t.write_file("f", b"0123456789abcdef" * 1024)
        fd = t.open("f", os.O_RDWR)
        t.do(label, syscalls.fallocate, fd, mode, 4096, 8192)
        t.stat(fd, label="after")
        t.do(label + " past the end", syscalls.fallocate, fd, mode, 16_000, 10_000)
        t.stat(fd, label="after")
        t.read_file("f")
        t.close(fd)
    fd = t.open("f", os.O_RDWR)
    t.do("negative offset", syscalls.fallocate, fd, 0, -1, 10)
    t.do("zero length", syscalls.fallocate, fd, 0, 0, 0)
    t.do("too far", syscalls.fallocate, fd, 0, (1 << 63) - 10, 100)
    t.do("too large", syscalls.fallocate, fd, 0, 0, 1 << 50)
    t.do("read-only descriptor", syscalls.fallocate, t.open("f"), 0, 0, 10)
    t.do("folder", syscalls.fallocate, t.open(".", os.O_DIRECTORY), 0, 0, 10)
    t.times("fallocate times", fd, syscalls.fallocate, fd, 0, 0, 100_000)
    t.times("punch times", fd, syscalls.fallocate, fd, punch | keep, 0, 4096)


@case()
def fallocate_collapse_insert(t):
    for label, mode in (("collapse", syscalls.FALLOC_FL_COLLAPSE_RANGE),
                        ("insert", syscalls.FALLOC_FL_INSERT_RANGE)):
        t.write_file("f", b"".join(bytes([65 + i]) * 4096 for i in range(4)))
        fd = t.open("f", os.O_RDWR)
        t.do(label, syscalls.fallocate, fd, mode, 4096, 4096)
        t.read_file("f")
        t.stat("f")
        t.close(fd)


@case()
def lseek_data_hole(t):
    fd = t.open("f", os.O_RDWR | os.O_CREAT)
    block = 1 << 16
    t.do("write", os.pwrite, fd, b"d" * block, block)
    t.do("write", os.pwrite, fd, b"d" * block, 4 * block)
    t.do("truncate", os.ftruncate, fd, 8 * block)
    t.do("fsync", os.fsync, fd)
    for offset in (0, 1, block, 2 * block, 3 * block, 4 * block, 5 * block, 8 * block - 1):
        t.do(f"data from {offset}", os.lseek, fd, offset, os.SEEK_DATA)
        t.do(f"hole from {offset}", os.lseek, fd, offset, os.SEEK_HOLE)
    t.do("data at the end", os.lseek, fd, 8 * block, os.SEEK_DATA)
    t.do("hole past the end", os.lseek, fd, 9 * block, os.SEEK_HOLE)
    t.do("negative", os.lseek, fd, -1, os.SEEK_DATA)
    t.do("end", os.lseek, fd, -5, os.SEEK_END)
    t.do("bad whence", os.lseek, fd, 0, 77)
    t.write_file("empty", b"")
    empty = t.open("empty")
    t.do("empty data", os.lseek, empty, 0, os.SEEK_DATA)
    t.do("empty hole", os.lseek, empty, 0, os.SEEK_HOLE)


@case()
def copy_file_range(t):
    data = bytes(i & 0xff for i in range(300_000))
    t.write_file("a", data)
    one = t.open("a")
    two = t.open("b", os.O_RDWR | os.O_CREAT)
    t.do("all", syscalls.copy_file_range, one, 0, two, 0, 300_000)
    t.read_file("b")
    t.do("piece", syscalls.copy_file_range, one, 1000, two, 400_000, 5000)
    t.stat(two, label="after")
    t.read_file("b")
    t.do("past the end", syscalls.copy_file_range, one, 299_990, two, 0, 100)
    t.do("at the end", syscalls.copy_file_range, one, 300_000, two, 0, 100)
    t.do("to a read-only descriptor", syscalls.copy_file_range, two, 0, one, 0, 10)
    t.do("from a write-only one", syscalls.copy_file_range, t.open("b", os.O_WRONLY), 0, two, 0, 1)
    both = t.open("a", os.O_RDWR)
    t.do("within, apart", syscalls.copy_file_range, both, 0, both, 200_000, 1000)
    t.do("within, overlapping", syscalls.copy_file_range, both, 0, both, 500, 1000)
    append = t.open("b", os.O_WRONLY | os.O_APPEND)
    t.do("append", syscalls.copy_file_range, one, 0, append, 0, 10)
    t.do("folder", syscalls.copy_file_range, t.open("."), 0, two, 0, 10)
    for label, length in (("more than 32 bits", (1 << 32) + 4096), ("a lot", 1 << 40),
                          ("to the end of numbers", (1 << 63) - 1), ("beyond them", (1 << 64) - 1)):
        t.do(label, syscalls.copy_file_range, one, 10, two, 20, length)
        t.do(label + " within", syscalls.copy_file_range, both, 0, both, 400_000, length)
        t.do(label + ", overlapping", syscalls.copy_file_range, both, 0, both, 10, length)
    t.stat(two, label="after")
    t.stat(both, label="after")
    os.mkfifo("p")
    t.do("fifo", syscalls.copy_file_range, t.open("p", os.O_RDWR), 0, two, 0, 10)
    t.read_file("a")
    t.times("times", two, syscalls.copy_file_range, one, 0, two, 0, 10)


@case()
def file_larger_than_space(t):
    """A file of 8 EiB less a byte is refused as the host refuses it; a write past its limit too."""
    import resource
    import signal
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, resource.RLIM_INFINITY))
    fd = t.open("f", os.O_RDWR | os.O_CREAT)
    t.do("within", os.pwrite, fd, b"x" * 5000, 0)
    t.do("across", os.pwrite, fd, b"y" * 5000, 8000)
    t.do("beyond", os.pwrite, fd, b"z", 10_000)
    t.do("truncate beyond", os.ftruncate, fd, 10_001)
    t.stat(fd, label="after")
    t.read_file("f")
