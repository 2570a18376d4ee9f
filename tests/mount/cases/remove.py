# SPDX-License-Identifier: BSD-3-Clause
"""UNLINK, RENAME, RENAME2: names that go and move."""
import os

from suite import syscalls
from suite.runner import case


@case()
def unlink_errors(t):
    t.do("missing", os.unlink, "missing")
    os.mkdir("d")
    t.do("folder", os.unlink, "d")
    t.write_file("f", b"")
    t.do("below a file", os.unlink, "f/x")
    t.do("slash", os.unlink, "f/")
    t.do("dot", os.unlink, ".")
    os.symlink("f", "l")
    t.do("symlink", os.unlink, "l")
    t.stat("f")
    t.times("times of the parent", ".", os.unlink, "f")
    t.listdir()


@case()
def unlink_open_file(t):
    """An open file without a name goes on working, for all that a descriptor can do."""
    fd = t.open("f", os.O_RDWR | os.O_CREAT)
    t.do("write", os.write, fd, b"0123456789")
    t.do("unlink", os.unlink, "f")
    t.stat("f")
    t.stat(fd, label="fstat")
    t.do("write", os.pwrite, fd, b"more", 10)
    t.do("read", os.pread, fd, 100, 0)
    t.do("ftruncate", os.ftruncate, fd, 6)
    t.do("fsync", os.fsync, fd)
    t.do("fchmod", os.fchmod, fd, 0o600)
    t.do("utime", os.utime, fd, ns=(5, 6))
    t.do("lseek end", os.lseek, fd, 0, os.SEEK_END)
    t.do("setxattr", os.setxattr, fd, "user.x", b"v")
    t.do("getxattr", os.getxattr, fd, "user.x")
    t.do("listxattr", lambda: sorted(os.listxattr(fd)))
    t.do("fallocate", syscalls.fallocate, fd, 0, 0, 8192)
    t.stat(fd, label="fstat")
    t.write_file("f", b"the new one")
    t.do("read the old one", os.pread, fd, 100, 0)
    t.read_file("f")
    other = t.open(f"/proc/self/fd/{fd}", os.O_RDWR, label="open again through /proc")
    if other is not None:
        t.do("read", os.pread, other, 6, 0)


@case()
def unlink_held_without_open(t):
    """Held by O_PATH, or as somebody's working directory: never opened, but still in use."""
    t.write_file("f", b"content")
    os.symlink("f", "l")
    os.mkdir("d")
    held = {name: t.open(name, os.O_PATH | os.O_NOFOLLOW) for name in ("f", "l", "d")}
    here = os.open(".", os.O_RDONLY)
    os.chdir("d")
    for name in ("f", "l"):
        t.do("unlink", os.unlink, f"../{name}")
    t.do("rmdir", os.rmdir, "../d")
    t.stat(".", label="held working directory")
    os.fchdir(here)
    os.close(here)
    for i in range(50):
        t.write_file(f"new{i}", b"")
    for name, fd in held.items():
        t.stat(fd, label=f"held {name}")
    t.do("held readlink", lambda: os.readlink("", dir_fd=held["l"]))


@case()
def unlink_one_of_two_names(t):
    fd = t.open("a", os.O_RDWR | os.O_CREAT)
    os.link("a", "b")
    t.do("unlink", os.unlink, "a")
    t.stat(fd, label="one left")
    t.stat("b")
    t.do("write", os.write, fd, b"shared")
    t.read_file("b")
    t.do("unlink", os.unlink, "b")
    t.stat(fd, label="none left")


@case(worlds=("root",))
def unlink_sticky(t):
    os.mkdir("s")
    os.chmod("s", 0o1777)
    os.chmod(".", 0o755)
    t.write_file("s/root", b"")
    t.write_file("s/mine", b"")
    os.chown("s/mine", 1000, 1000)

    def other(u):
        u.do("unlink root's", os.unlink, "s/root")
        u.do("rename root's", os.rename, "s/root", "s/x")
        u.do("rename over root's", os.rename, "s/mine", "s/root")
        u.do("unlink mine", os.unlink, "s/mine")
    t.as_user(1000, 1000, [], other)
    t.listdir("s")


@case()
def rename_basic(t):
    t.write_file("a", b"a")
    t.write_file("b", b"b")
    os.mkdir("d")
    os.mkdir("full")
    t.write_file("full/x", b"")
    fd = t.open("b")
    t.do("over a file", os.rename, "a", "b")
    t.read_file("b")
    t.do("old content", os.pread, fd, 10, 0)
    t.stat(fd, label="replaced")
    t.do("to itself", os.rename, "b", "b")
    t.do("missing", os.rename, "missing", "x")
    t.do("file over folder", os.rename, "b", "d")
    t.do("folder over file", os.rename, "d", "b")
    t.do("folder over full folder", os.rename, "d", "full")
    t.do("folder over empty folder", os.rename, "full", "d")
    t.listdir("d")
    t.do("into itself", os.rename, "d", "d/sub")
    os.mkdir("d/sub")
    t.do("into own child", os.rename, "d", "d/sub/deep")
    t.do("parent over child", os.rename, "d/sub", "d")
    t.do("dot", os.rename, ".", "x")
    t.do("to a missing folder", os.rename, "b", "missing/b")
    t.do("below a file", os.rename, "b", "b/c")
    t.do("name too long", os.rename, "b", "n" * 256)
    os.symlink("b", "l")
    t.do("symlink", os.rename, "l", "l2")
    t.do("over a symlink", os.rename, "b", "l2")
    t.stat("l2")
    os.link("l2", "hard")
    t.do("over its own hard link", os.rename, "hard", "l2")
    t.listdir()
    t.times("times of the parent", ".", os.rename, "l2", "l3")
    t.times("times of the file", "d", os.rename, "l3", "l4")


@case()
def rename_between_folders(t):
    for name in ("one", "two"):
        os.mkdir(name)
    os.makedirs("one/tree/deep")
    t.write_file("one/tree/deep/f", b"moved along")
    fd = t.open("one/tree/deep/f", os.O_RDWR)
    t.do("rename", os.rename, "one/tree", "two/tree")
    t.stat("one/tree/deep/f")
    t.read_file("two/tree/deep/f")
    t.do("write", os.pwrite, fd, b"still ", 0)
    t.read_file("two/tree/deep/f")
    t.stat("one")
    t.stat("two")
    t.stat("two/tree/..")
    t.note("dot dot", os.lstat("two/tree/..").st_ino == os.lstat("two").st_ino)


@case()
def rename_flags(t):
    t.write_file("a", b"a")
    t.write_file("b", b"b")
    os.makedirs("d/inner")
    no, swap = syscalls.RENAME_NOREPLACE, syscalls.RENAME_EXCHANGE
    t.do("noreplace over", syscalls.renameat2, "a", "b", no)
    t.do("noreplace", syscalls.renameat2, "a", "c", no)
    t.do("exchange", syscalls.renameat2, "b", "c", swap)
    t.read_file("b")
    t.read_file("c")
    t.do("exchange file and folder", syscalls.renameat2, "b", "d", swap)
    t.stat("b")
    t.stat("d")
    t.stat("b/inner")
    t.do("exchange with missing", syscalls.renameat2, "c", "missing", swap)
    t.do("exchange with own child", syscalls.renameat2, "b", "b/inner", swap)
    t.do("both", syscalls.renameat2, "c", "x", no | swap)
    t.do("unknown flag", syscalls.renameat2, "c", "x", 0x80)
    t.do("noreplace to itself", syscalls.renameat2, "c", "c", no)
    t.listdir()


@case()
def rename_whiteout(t):
    """What is left is a 0/0 character device, which takes no privilege to make."""
    white = syscalls.RENAME_WHITEOUT
    t.write_file("a", b"a")
    t.do("whiteout", syscalls.renameat2, "a", "b", white)
    t.stat("a")
    t.stat("b")
    t.do("over the whiteout", os.rename, "b", "a")
    t.stat("a")
    t.write_file("c", b"c")
    t.do("over a file", syscalls.renameat2, "a", "c", white)
    t.stat("a")
    t.read_file("c")
    os.makedirs("d/inner")
    t.do("a folder", syscalls.renameat2, "d", "e", white)
    t.stat("d")
    t.stat("e/inner")
    t.do("noreplace too", syscalls.renameat2, "c", "f", white | syscalls.RENAME_NOREPLACE)
    t.stat("c")
    t.do("exchange too", syscalls.renameat2, "f", "e", white | syscalls.RENAME_EXCHANGE)
    t.do("noreplace over", syscalls.renameat2, "f", "e", white | syscalls.RENAME_NOREPLACE)
    t.do("missing", syscalls.renameat2, "missing", "g", white)
    t.listdir()


@case()
def rename_over_held_folder(t):
    """A folder that somebody is in is replaced; who is in it stays in it."""
    os.mkdir("old")
    os.makedirs("new/inner")
    fd = t.open("old", os.O_PATH | os.O_DIRECTORY)
    t.do("rename over", os.rename, "new", "old")
    t.stat(fd, label="replaced")
    t.stat("old/inner")
    t.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_DIRECTORY, label="opened")


@case()
def rename_over_open_and_cached(t):
    """Names change places while their files are known and open."""
    for i in range(4):
        t.write_file(str(i), str(i).encode())
    fds = [t.open(str(i)) for i in range(4)]
    for i in range(3):
        t.do("rename", os.rename, str(i), str(i + 1))
        for j in range(4):
            t.read_file(str(j))
    for fd in fds:
        t.do("pread", os.pread, fd, 10, 0)
        t.stat(fd, label="nlink")
