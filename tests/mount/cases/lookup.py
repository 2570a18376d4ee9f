# SPDX-License-Identifier: BSD-3-Clause
"""LOOKUP, GETATTR, SETATTR, ACCESS, STATFS: names and attributes."""
import os

from suite import syscalls
from suite.runner import case


@case()
def lookup_errors(t):
    t.stat("missing")
    t.write_file("file", b"x")
    t.stat("file/below")
    t.stat("file/")
    t.stat("missing/below")
    t.stat("n" * 255)
    t.stat("n" * 256)
    t.stat("d/" * 2100)
    t.write_file("n" * 255, b"long name")
    t.read_file("n" * 255)
    t.stat("n" * 255)
    t.write_file("n" * 256, b"")
    t.stat("")
    t.stat(".")
    t.stat("..")
    t.stat("file/..")
    t.listdir()


@case()
def lookup_after_change(t):
    """A name that was missing, then there, then another kind, then missing again."""
    t.stat("x")
    t.write_file("x", b"1")
    t.stat("x")
    t.do("unlink", os.unlink, "x")
    t.stat("x")
    t.do("mkdir", os.mkdir, "x")
    t.stat("x")
    t.do("rmdir", os.rmdir, "x")
    t.do("symlink", os.symlink, "nowhere", "x")
    t.stat("x")
    t.stat("x", follow=True, label="follow")


@case()
def lookup_symlink_loops(t):
    t.do("a", os.symlink, "b", "a")
    t.do("b", os.symlink, "a", "b")
    t.stat("a")
    t.stat("a", follow=True, label="loop")
    t.open("a")
    t.write_file("end", b"end")
    previous = "end"
    for i in range(41):
        os.symlink(previous, f"chain{i}")
        previous = f"chain{i}"
    t.read_file("chain39")
    t.read_file("chain40")
    t.do("dot", os.symlink, ".", "dot")
    t.read_file("dot/dot/dot/end")


@case()
def lookup_names_of_any_bytes(t):
    names = [b"\x80\xff\xfe", b"new\nline", b"tab\t", b" ", b"-rf", b"...", b"..a", b"\\",
             b"\x01\x7f", "größe-文件-🙂".encode(), b"a" * 254 + b"\xff", b"%s%n", b"*?[x]",
             b"~"]
    for name in names:
        t.write_file(name, b"content of " + name[:20])
    t.listdir()
    for name in names:
        t.read_file(name)
        t.stat(name)
    for name in names:
        t.do(f"rename {name!r}", os.rename, name, name[:200] + b".new")
    t.listdir()
    for name in names[::2]:
        t.do(f"unlink {name!r}", os.unlink, name[:200] + b".new")
    t.listdir()


@case()
def lookup_deep_path(t):
    """Deeper than PATH_MAX, step by step; and a path that is too long in one call."""
    name = "d" * 200
    here = os.open(".", os.O_RDONLY)
    for _ in range(25):
        os.mkdir(name)
        os.chdir(name)
    t.write_file("bottom", b"deep")
    t.read_file("bottom")
    t.stat("../" * 3 + "/".join([name] * 3) + "/bottom")
    t.do("getcwd", lambda: len(os.getcwd()) > 4096)
    os.fchdir(here)
    t.stat("/".join([name] * 19))
    t.stat("/".join([name] * 21))
    for depth in range(25, 0, -1):
        os.fchdir(here)
        for _ in range(depth - 1):
            os.chdir(name)
        if depth == 25:
            os.unlink(name + "/bottom")
        os.rmdir(name)
    os.fchdir(here)
    os.close(here)
    t.listdir()


@case()
def getattr_fields(t):
    t.write_file("empty", b"")
    t.write_file("small", b"x" * 100)
    t.write_file("big", b"y" * 100_000)
    os.mkdir("dir")
    os.symlink("small", "link")
    os.mkfifo("fifo", 0o640)
    for name in ("empty", "small", "big", "dir", "link", "fifo"):
        st = t.stat(name)
        t.note("blksize is sane", st.st_blksize in (4096, 512, 65536, 131072, 1 << 20))
    fd = t.open("big")
    t.stat(fd, label="fstat")
    os.fsync(fd)
    t.stat(fd, label="blocks after fsync", blocks=t.fs != "btrfs")
    fd = t.open("small", os.O_RDWR)
    os.ftruncate(fd, 10 << 20)
    os.fsync(fd)
    t.stat(fd, label="sparse", blocks=t.fs != "btrfs")
    t.note("one device", len({os.lstat(n).st_dev for n in os.listdir(".")}))
    t.note("numbers differ", len({os.lstat(n).st_ino for n in os.listdir(".")}))


@case()
def setattr_chmod(t):
    t.write_file("f", b"")
    os.mkdir("d")
    for mode in (0o000, 0o777, 0o4755, 0o2755, 0o1777, 0o7777, 0o640):
        t.do(f"chmod f {mode:o}", os.chmod, "f", mode)
        t.stat("f")
        t.do(f"chmod d {mode:o}", os.chmod, "d", mode)
        t.stat("d")
    t.do("chmod missing", os.chmod, "missing", 0o600)
    os.symlink("f", "l")
    t.do("chmod through symlink", os.chmod, "l", 0o604)
    t.stat("f")
    fd = t.open("f", os.O_RDWR)
    t.do("fchmod", os.fchmod, fd, 0o611)
    t.do("unlink", os.unlink, "f")
    t.do("fchmod unlinked", os.fchmod, fd, 0o622)
    t.stat(fd, label="unlinked")
    t.times("chmod times", "d", os.chmod, "d", 0o700)


@case(worlds=("root",))
def setattr_chown(t):
    t.write_file("f", b"", mode=0o6777)
    os.chmod("f", 0o6777)
    t.do("chown", os.chown, "f", 1000, 2000)
    t.stat("f")
    os.chmod("f", 0o6777)
    t.do("uid only", os.chown, "f", 1001, -1)
    t.stat("f")
    os.chmod("f", 0o2745)
    t.do("gid only, no group execute", os.chown, "f", -1, 1)
    t.stat("f")
    t.do("neither", os.chown, "f", -1, -1)
    t.times("neither times", "f", os.chown, "f", -1, -1)
    t.stat("f")
    os.symlink("f", "l")
    t.do("lchown", os.lchown, "l", 7, 8)
    t.stat("l")
    t.stat("f")
    t.do("chown follows", os.chown, "l", 9, 10)
    t.stat("f")
    t.do("large ids", os.chown, "f", 4294967294, 4294967294)
    t.stat("f")
    os.mkdir("d", 0o777)
    os.chmod("d", 0o6777)
    t.do("chown directory keeps bits", os.chown, "d", 5, 6)
    t.stat("d")
    t.times("chown times", "d", os.chown, "d", 6, 7)
    fd = t.open("f", os.O_RDWR)
    os.unlink("f")
    t.do("fchown unlinked", os.fchown, fd, 3, 4)
    t.stat(fd, label="unlinked")


@case()
def setattr_truncate(t):
    t.write_file("f", b"0123456789" * 1000)
    for size in (5000, 5001, 0, 4096, 100_000, 1, 1):
        t.do(f"truncate {size}", os.truncate, "f", size)
        t.stat("f")
        t.read_file("f")
    t.do("negative", os.truncate, "f", -1)
    t.do("huge", os.truncate, "f", (1 << 63) - 1)
    t.do("missing", os.truncate, "missing", 0)
    os.mkdir("d")
    t.do("directory", os.truncate, "d", 0)
    fd = t.open("f")
    t.do("ftruncate of a read-only descriptor", os.ftruncate, fd, 0)
    fd = t.open("f", os.O_RDWR)
    t.do("write", os.pwrite, fd, b"abc", 10_000)
    t.do("ftruncate", os.ftruncate, fd, 3)
    t.stat(fd, label="after")
    t.times("truncate times", "f", os.truncate, "f", 10)
    t.times("same size times", "f", os.truncate, "f", 10)
    t.times("ftruncate same size times", fd, os.ftruncate, fd, 10)


@case()
def setattr_truncate_permissions(t):
    t.write_file("f", b"data", mode=0o644)
    fd = t.open("f", os.O_RDWR)
    os.chmod("f", 0o444)
    if t.world != "root":
        t.do("truncate read-only file", os.truncate, "f", 1)
    t.do("ftruncate a writable descriptor of it", os.ftruncate, fd, 2)
    t.do("write to it", os.pwrite, fd, b"zz", 0)
    t.read_file("f")


@case()
def setattr_times(t):
    t.write_file("f", b"")
    os.symlink("f", "l")

    def show(name):
        st = os.lstat(name)
        t.note(f"times of {name}", (st.st_atime_ns, st.st_mtime_ns))

    t.do("set", syscalls.utimensat, "f", (1_000_000_000, 123_456_789), (1_500_000_000, 987_654_321))
    show("f")
    t.do("atime only", syscalls.utimensat, "f", (5, 6), (0, syscalls.UTIME_OMIT))
    show("f")
    t.do("mtime only", syscalls.utimensat, "f", (0, syscalls.UTIME_OMIT), (7, 8))
    show("f")
    t.do("neither", syscalls.utimensat, "f", (0, syscalls.UTIME_OMIT), (0, syscalls.UTIME_OMIT))
    show("f")
    t.do("bad nanoseconds", syscalls.utimensat, "f", (0, 1_000_000_000), (0, 0))
    t.do("mtime now", syscalls.utimensat, "f", (11, 12), (0, syscalls.UTIME_NOW))
    st = os.stat("f")
    t.note("now", (st.st_atime_ns, abs(st.st_mtime - st.st_ctime) < 1))
    t.do("now", syscalls.utimensat, "f", None, None)
    st = os.stat("f")
    t.note("now", abs(st.st_mtime - st.st_ctime) < 1 and abs(st.st_atime - st.st_ctime) < 1)
    t.do("symlink", syscalls.utimensat, "l", (21, 22), (23, 24), False)
    show("l")
    t.do("before 1970", syscalls.utimensat, "f", (-1000, 5), (-1, 999_999_999))
    show("f")
    t.do("missing", syscalls.utimensat, "missing", None, None)
    fd = t.open("f", os.O_RDWR)
    t.do("futimens", os.utime, fd, ns=(30_000_000_031, 32_000_000_033))
    show("f")
    os.unlink("f")
    t.do("futimens unlinked", os.utime, fd, ns=(1, 2))
    st = os.fstat(fd)
    t.note("unlinked", (st.st_atime_ns, st.st_mtime_ns))
    t.write_file("g", b"")
    t.times("ctime moves", "g", syscalls.utimensat, "g", (1, 1), (1, 1))


@case()
def access_modes(t):
    t.write_file("f", b"")
    os.mkdir("d")
    for name in ("f", "d"):
        for mode in (0o000, 0o400, 0o200, 0o100, 0o111, 0o777):
            os.chmod(name, mode)
            for check in (os.F_OK, os.R_OK, os.W_OK, os.X_OK, os.R_OK | os.W_OK | os.X_OK):
                t.do(f"access {name} {mode:o} {check}", os.access, name, check)
    os.chmod("d", 0o700)
    t.do("missing", syscalls.faccessat2, "missing", os.F_OK, 0)
    t.do("below a file", syscalls.faccessat2, "f/x", os.F_OK, 0)
    os.symlink("nowhere", "l")
    t.do("dangling", syscalls.faccessat2, "l", os.F_OK, 0)
    t.do("dangling itself", syscalls.faccessat2, "l", os.F_OK, 0x100)


@case()
def statfs(t):
    st = os.statvfs(".")
    t.note("bsize frsize namemax", (st.f_bsize > 0, st.f_frsize, st.f_namemax))
    t.note("blocks", st.f_blocks)
    t.note("free is sane", 0 < st.f_bavail <= st.f_bfree <= st.f_blocks)
    t.note("files", st.f_files if t.fs != "xfs" else st.f_files > 0)
    fd = t.open(".", os.O_RDONLY | os.O_DIRECTORY)
    t.do("fstatfs blocks", lambda: os.fstatvfs(fd).f_blocks)
    t.do("missing", os.statvfs, "missing")
