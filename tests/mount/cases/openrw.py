# SPDX-License-Identifier: BSD-3-Clause
"""OPEN, READ, WRITE, FLUSH, FSYNC, RELEASE and mmap: content."""
import mmap
import os
import time

from suite import syscalls
from suite.runner import case


def beneath(path):
    """RESOLVE_BENEATH with dot dot says EAGAIN while anybody renames or mounts: try again."""
    for _ in range(100):
        try:
            return os.close(syscalls.openat2(path, os.O_RDONLY, 0, 0x08))
        except BlockingIOError:
            time.sleep(0.01)
    return "EAGAIN for ever"


@case()
def open_flags(t):
    t.write_file("f", b"content")
    os.mkdir("d")
    os.symlink("f", "l")
    os.symlink("d", "ld")
    t.open("f", os.O_DIRECTORY)
    t.open("d", os.O_DIRECTORY)
    t.open("d", os.O_WRONLY)
    t.open("d", os.O_RDWR)
    t.open("l", os.O_NOFOLLOW)
    t.open("ld", os.O_DIRECTORY | os.O_NOFOLLOW)
    t.open("ld/", os.O_DIRECTORY)
    t.open("missing")
    path = t.open("f", os.O_PATH)
    t.stat(path, label="O_PATH")
    t.do("read of O_PATH", os.read, path, 1)
    t.do("fchmod of O_PATH", os.fchmod, path, 0o600)
    link = t.open("l", os.O_PATH | os.O_NOFOLLOW)
    t.stat(link, label="O_PATH of a symlink")
    fd = t.open("f", os.O_WRONLY)
    t.do("read of O_WRONLY", os.read, fd, 1)
    fd = t.open("f", os.O_RDONLY)
    t.do("write of O_RDONLY", os.write, fd, b"x")
    fd = t.open("f", os.O_RDWR | os.O_TRUNC)
    t.stat(fd, label="O_TRUNC")
    t.do("write", os.write, fd, b"new")
    t.read_file("f")
    t.open("f", os.O_RDONLY | os.O_SYNC)
    fd = t.open("f", os.O_WRONLY | os.O_DSYNC)
    t.do("write", os.write, fd, b"NEW")
    t.open("f", os.O_RDONLY | os.O_NOATIME)
    t.open("f", os.O_RDONLY | os.O_NONBLOCK)
    fd = t.open("d")
    t.do("read of a folder", os.read, fd, 10)
    t.times("truncating open, times", "f", lambda: os.close(os.open("f", os.O_WRONLY | os.O_TRUNC)))
    t.do("beneath", beneath, "d/../f")
    t.do("no symlinks", syscalls.openat2, "l", os.O_RDONLY, 0, 0x04)


@case()
def open_append_two_writers(t):
    one = t.open("f", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    two = t.open("f", os.O_WRONLY | os.O_APPEND)
    for i in range(20):
        t.do("one", os.write, one, f"one {i}\n".encode())
        t.do("two", os.write, two, f"two {i}\n".encode())
    t.do("pwrite appends", os.pwrite, one, b"at the end\n", 0)
    t.read_file("f")
    t.do("position", os.lseek, one, 0, os.SEEK_CUR)
    rest = []
    for i in range(4):
        pid = os.fork()
        if pid == 0:
            fd = os.open("g", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            for _ in range(100):
                os.write(fd, bytes([97 + i]) * 63 + b"\n")
            os._exit(0)
        rest.append(pid)
    for pid in rest:
        os.waitpid(pid, 0)
    with open("g", "rb") as stream:
        lines = stream.read().splitlines()
    t.note("lines of four writers", len(lines))
    t.note("none torn", all(len(set(line)) == 1 and len(line) == 63 for line in lines))
    os.unlink("g")  # the order is nobody's


@case()
def open_append_after_fcntl(t):
    import fcntl
    t.write_file("f", b"0123456789")
    fd = t.open("f", os.O_RDWR)
    fcntl.fcntl(fd, fcntl.F_SETFL, os.O_APPEND)
    t.do("write", os.write, fd, b"appended")
    fcntl.fcntl(fd, fcntl.F_SETFL, 0)
    t.do("pwrite", os.pwrite, fd, b"X", 0)
    t.read_file("f")


@case()
def rw_offsets_and_holes(t):
    fd = t.open("f", os.O_RDWR | os.O_CREAT)
    for offset, data in ((0, b"start"), (4095, b"edge"), (1_000_000, b"far"), (3, b"over"),
                         (131_071, b"x" * 70_000), (1 << 33, b"beyond 4 GiB")):
        t.do(f"pwrite {offset}", os.pwrite, fd, data, offset)
        t.stat(fd, label="fstat")
    for offset, length in ((0, 10), (4090, 20), (5000, 5000), (999_990, 100), (131_000, 70_200),
                           ((1 << 33) - 5, 100), ((1 << 33) + 12, 10), (1 << 40, 10)):
        t.do(f"pread {offset} {length}", os.pread, fd, length, offset)
    t.do("negative", os.pread, fd, 1, -1)
    t.do("empty write", os.write, fd, b"")
    t.do("too far", os.pwrite, fd, b"x", (1 << 63) - 1)
    t.times("write times", fd, os.pwrite, fd, b"y", 0)
    t.times("empty write times", fd, os.pwrite, fd, b"", 0)


@case()
def rw_large(t):
    data = bytes((i * 7 + (i >> 8)) & 0xff for i in range(1 << 16)) * 64
    fd = t.open("f", os.O_RDWR | os.O_CREAT)
    t.do("write 4 MiB", os.write, fd, data)
    t.do("pwrite unaligned", os.pwrite, fd, data[:1_234_567], 777)
    t.do("fsync", os.fsync, fd)
    t.do("read 4 MiB", os.pread, fd, 4 << 20, 0)
    t.do("unaligned", os.pread, fd, 1_500_001, 333)
    t.do("past the end", os.pread, fd, 8 << 20, (4 << 20) - 10)
    t.do("pwritev", os.pwritev, fd, [b"abc", b"", b"defg" * 5000, b"h"], 5)
    buffers = [bytearray(3), bytearray(20_000), bytearray(7)]
    t.do("preadv", os.preadv, fd, buffers, 5)
    t.do("buffers", lambda: b"".join(bytes(b) for b in buffers))
    t.read_file("f")
    t.stat("f")


@case()
def rw_direct(t):
    """O_DIRECT reaches the same bytes as the page cache does."""
    if t.fs == "tmpfs":
        t.note("tmpfs", "takes O_DIRECT or not by its version")
        return
    fd = t.open("f", os.O_RDWR | os.O_CREAT | os.O_DIRECT)
    if fd is None:
        return
    page = mmap.mmap(-1, 1 << 16)
    page.write(b"direct! " * 8192)
    t.do("pwritev", os.pwritev, fd, [page], 0)
    t.do("pwritev", os.pwritev, fd, [page], 1 << 20)
    other = mmap.mmap(-1, 1 << 16)
    t.do("preadv", os.preadv, fd, [other], 1 << 20)
    t.do("same", lambda: other[:] == page[:])
    t.read_file("f")


@case(tags=("mmap",))
def rw_direct_mapped(t):
    """What is stored in a map of a file that is open with O_DIRECT is written as it is: the last
    page, which the file's end cuts, too."""
    if t.fs == "tmpfs":
        t.note("tmpfs", "takes O_DIRECT or not by its version")
        return
    t.write_file("f", b"0123456789" * 1001)
    fd = t.open("f", os.O_RDWR | os.O_DIRECT)
    if fd is None or t.do("map", lambda: len(mmap.mmap(fd, 10_010))) is None:
        return
    area = mmap.mmap(fd, 10_010)
    area[10_000:10_005] = b"store"
    t.do("flush", area.flush)
    area.close()
    page = mmap.mmap(-1, 4096)
    t.do("preadv", os.preadv, fd, [page], 8192)
    t.do("stored", lambda: page[1800:1820])
    t.read_file("f")


@case()
def rw_shared_between_descriptors(t):
    one = t.open("f", os.O_RDWR | os.O_CREAT)
    two = t.open("f", os.O_RDWR)
    t.do("write", os.write, one, b"first")
    t.do("read", os.pread, two, 100, 0)
    t.do("truncate", os.ftruncate, two, 2)
    t.do("read", os.pread, one, 100, 0)
    t.do("append", os.pwrite, two, b"tail", 6)
    t.do("read", os.pread, one, 100, 0)
    copy = os.dup(one)
    t.do("position is shared", os.lseek, copy, 0, os.SEEK_CUR)
    os.close(copy)


@case(tags=("mmap",))
def mmap_shared(t):
    t.write_file("f", b"\0" * 20_000)
    fd = t.open("f", os.O_RDWR)
    if t.do("map", lambda: len(mmap.mmap(fd, 20_000))) is None:
        return
    area = mmap.mmap(fd, 20_000)
    area[0:5] = b"hello"
    area[4094:4100] = b"across"
    t.do("flush", area.flush)
    t.do("pread", os.pread, fd, 20_000, 0)
    t.do("pwrite", os.pwrite, fd, b"by write", 10_000)
    t.do("seen in the map", lambda: area[10_000:10_008])
    two = mmap.mmap(fd, 20_000, access=mmap.ACCESS_READ)
    area[12_000:12_003] = b"map"
    t.do("other map", lambda: two[12_000:12_003])
    area.close()
    two.close()
    t.read_file("f")


@case()
def mmap_private_and_read(t):
    t.write_file("f", b"0123456789" * 1000)
    fd = t.open("f", os.O_RDONLY)
    area = mmap.mmap(fd, 10_000, access=mmap.ACCESS_COPY)
    t.do("content", lambda: bytes(area[:]))
    area[0:3] = b"xyz"
    t.do("changed privately", lambda: bytes(area[0:10]))
    t.do("file", os.pread, fd, 10, 0)
    area.close()
    t.do("shared writable map of a read-only descriptor", mmap.mmap, fd, 100)


@case(tags=("mmap",))
def mmap_after_unlink_and_close(t):
    fd = os.open("f", os.O_RDWR | os.O_CREAT, 0o644)
    os.ftruncate(fd, 8192)
    t.do("map", lambda: mmap.mmap(fd, 8192).close())
    try:
        area = mmap.mmap(fd, 8192)
    except OSError:
        return
    os.unlink("f")
    os.close(fd)
    area[5000:5005] = b"alive"
    t.do("flush", area.flush)
    t.do("content", lambda: bytes(area[4990:5010]))
    area.close()


@case()
def fsync_kinds(t):
    fd = t.open("f", os.O_RDWR | os.O_CREAT)
    os.mkdir("d")
    t.do("write", os.write, fd, b"durable")
    t.do("fsync", os.fsync, fd)
    t.do("fdatasync", os.fdatasync, fd)
    directory = t.open("d", os.O_RDONLY | os.O_DIRECTORY)
    t.do("fsync folder", os.fsync, directory)
    t.do("fdatasync folder", os.fdatasync, directory)
    t.do("syncfs", syscalls.syncfs, fd)
    t.do("fsync of O_PATH", os.fsync, t.open("f", os.O_PATH))
    os.mkfifo("p")
    t.do("fsync fifo", os.fsync, t.open("p", os.O_RDWR))
    readonly = t.open("f")
    t.do("fsync read-only descriptor", os.fsync, readonly)
    t.close(fd)


@case()
def write_clears_suid(t):
    """Only without CAP_FSETID: the ordinary user's write does it."""
    for mode in (0o6777, 0o4755, 0o2755, 0o2745, 0o6666, 0o1777):
        t.write_file("f", b"x" * 10)
        os.chmod("f", mode)
        fd = t.open("f", os.O_RDWR)
        t.do("write", os.write, fd, b"y")
        t.stat("f", label=f"{mode:o} after write")
        os.chmod("f", mode)
        t.do("ftruncate", os.ftruncate, fd, 3)
        t.stat("f", label=f"{mode:o} after ftruncate")
        os.chmod("f", mode)
        t.do("truncate", os.truncate, "f", 2)
        t.stat("f", label=f"{mode:o} after truncate")
        os.chmod("f", mode)
        os.close(os.open("f", os.O_WRONLY | os.O_TRUNC))
        t.stat("f", label=f"{mode:o} after O_TRUNC")
        os.chmod("f", mode)
        t.do("fallocate", syscalls.fallocate, fd, 0, 0, 100)
        t.stat("f", label=f"{mode:o} after fallocate")
        t.close(fd)
        os.unlink("f")


@case(worlds=("root",))
def write_clears_suid_of_others(t):
    os.chmod(".", 0o777)
    for mode in (0o6777, 0o2767, 0o4766):
        for label, action in (
                ("write", lambda fd: os.write(fd, b"z")),
                ("ftruncate", lambda fd: os.ftruncate(fd, 1)),
                ("fallocate", lambda fd: syscalls.fallocate(fd, 0, 0, 100)),
                ("truncate", lambda fd: os.truncate("f", 1)),
                ("trunc open", lambda fd: os.close(os.open("f", os.O_WRONLY | os.O_TRUNC)))):
            t.write_file("f", b"x" * 10)
            os.chown("f", 3000, 3000)
            os.chmod("f", mode)

            def other(u, action=action, label=label):
                fd = u.open("f", os.O_RDWR)
                if fd is not None:
                    u.do(label, action, fd)
            t.as_user(1000, 1000, [], other)
            t.stat("f", label=f"{mode:o} after {label}")
            os.unlink("f")
