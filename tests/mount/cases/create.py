# SPDX-License-Identifier: BSD-3-Clause
"""CREATE, MKNOD, MKDIR, SYMLINK, READLINK, LINK: things that come to be."""
import os
import socket
import stat
import time

from suite import syscalls
from suite.runner import case


@case()
def create_modes_and_umask(t):
    for mask in (0o000, 0o022, 0o027, 0o077, 0o777):
        os.umask(mask)
        for mode in (0o666, 0o777, 0o7777, 0o600):
            name = f"f-{mask:o}-{mode:o}"
            fd = t.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            t.do("write", os.write, fd, b"x")
            t.stat(name)
        t.do("mkdir", os.mkdir, f"d-{mask:o}", 0o1777)
        t.stat(f"d-{mask:o}")
        t.do("mkfifo", os.mkfifo, f"p-{mask:o}", 0o666)
        t.stat(f"p-{mask:o}")
    os.umask(0o022)


@case()
def create_errors(t):
    t.write_file("f", b"old")
    os.mkdir("d")
    os.symlink("target", "dangling")
    exclusive = os.O_CREAT | os.O_EXCL | os.O_WRONLY
    t.open("f", exclusive)
    t.open("d", exclusive)
    t.open("dangling", exclusive)
    t.open("d", os.O_CREAT | os.O_WRONLY)
    t.open("f/x", os.O_CREAT | os.O_WRONLY)
    t.open("missing/x", os.O_CREAT | os.O_WRONLY)
    t.open("trailing/", os.O_CREAT | os.O_WRONLY)
    t.open("n" * 256, os.O_CREAT | os.O_WRONLY)
    t.open("dangling", os.O_CREAT | os.O_WRONLY | os.O_NOFOLLOW)
    fd = t.open("dangling", os.O_CREAT | os.O_WRONLY)
    t.do("write through a dangling link", os.write, fd, b"made")
    t.read_file("target")
    t.open("d", os.O_CREAT | os.O_DIRECTORY)
    t.listdir()
    t.read_file("f")


@case()
def create_without_permission_for_itself(t):
    """A new file of mode 0 can still be written by who made it."""
    fd = t.open("f", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o000)
    t.do("write", os.write, fd, b"secret")
    t.do("pread", os.pread, fd, 10, 0)
    t.stat("f")
    if t.world != "root":
        t.open("f")
    fd = t.open("g", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o400)
    t.do("write", os.write, fd, b"read only by name")
    t.do("ftruncate", os.ftruncate, fd, 4)
    t.read_file("g")


@case()
def open_tmpfile(t):
    os.umask(0o027)
    fd = t.open(".", os.O_TMPFILE | os.O_RDWR, 0o666, label="tmpfile")
    os.umask(0o022)
    if fd is None:
        return
    t.do("write", os.write, fd, b"nameless")
    t.stat(fd, label="stat")
    t.listdir()
    t.do("read", os.pread, fd, 20, 0)
    t.do("truncate", os.ftruncate, fd, 4)
    t.do("chmod", os.fchmod, fd, 0o604)
    t.do("xattr", os.setxattr, fd, "user.x", b"v")
    t.stat(fd, label="stat")
    t.do("again by number", lambda: os.close(os.open(f"/proc/self/fd/{fd}", os.O_RDWR)))
    os.mkdir("d")
    t.do("link", syscalls.linkat, syscalls.AT_FDCWD, f"/proc/self/fd/{fd}", "d/named",
         syscalls.AT_SYMLINK_FOLLOW)
    t.stat(fd, label="linked")
    t.stat("d/named")
    t.do("write", os.pwrite, fd, b"NAME", 0)
    t.read_file("d/named")
    t.do("second link", os.link, "d/named", "other")
    t.do("unlink", os.unlink, "d/named")
    t.stat(fd, label="still there")
    t.close(fd)
    t.read_file("other")
    t.do("xattr", os.getxattr, "other", "user.x")


@case()
def open_tmpfile_errors(t):
    t.open(".", os.O_TMPFILE | os.O_RDONLY, label="read only")
    t.open("missing", os.O_TMPFILE | os.O_RDWR, label="missing folder")
    t.write_file("f", b"")
    t.open("f", os.O_TMPFILE | os.O_RDWR, label="in a file")
    os.mkdir("d")
    folder = t.open("d", os.O_RDONLY | os.O_DIRECTORY)
    os.rmdir("d")
    t.open(f"/proc/self/fd/{folder}", os.O_TMPFILE | os.O_RDWR, label="in a removed folder")
    fd = t.open(".", os.O_TMPFILE | os.O_WRONLY | os.O_EXCL, 0o600, label="never to be linked")
    if fd is not None:
        t.do("link", syscalls.linkat, syscalls.AT_FDCWD, f"/proc/self/fd/{fd}", "named",
             syscalls.AT_SYMLINK_FOLLOW)
    t.listdir()
    if t.world != "user":
        return
    os.mkdir("locked", 0o555)
    t.open("locked", os.O_TMPFILE | os.O_RDWR, label="without permission")


@case()
def open_tmpfile_held(t):
    """A file without a name lives as long as somebody holds it, opened or not."""
    fd = t.open(".", os.O_TMPFILE | os.O_RDWR, 0o600, label="tmpfile")
    if fd is None:
        return
    t.do("write", os.write, fd, b"held")
    held = t.open(f"/proc/self/fd/{fd}", os.O_PATH, label="held by path")
    t.close(fd)
    t.stat(held, label="stat")
    fd = t.open(f"/proc/self/fd/{held}", os.O_RDWR, label="opened again")
    t.do("read", os.pread, fd, 10, 0)
    t.do("link", syscalls.linkat, syscalls.AT_FDCWD, f"/proc/self/fd/{held}", "named",
         syscalls.AT_SYMLINK_FOLLOW)
    t.read_file("named")


@case(worlds=("root",))
def open_tmpfile_of_others(t):
    os.mkdir("shared")
    os.chmod("shared", 0o777)
    os.mkdir("g")
    os.chown("g", 0, 77)
    os.chmod("g", 0o2777)

    def body(inner):
        for place in ("shared", "g"):
            fd = inner.open(place, os.O_TMPFILE | os.O_RDWR, 0o2755, label=f"tmpfile {place}")
            if fd is not None:
                inner.stat(fd, label=place)
    t.as_user(1234, 5678, [], body)


@case()
def statx_birth(t):
    """Time of birth and attribute flags, where the file system has them."""
    before = time.time()
    t.write_file("f", b"x")
    os.mkdir("d")
    os.symlink("f", "l")
    os.mkfifo("p")
    for name in ("f", "d", "l", "p"):
        mask, birth = syscalls.statx_birth(name)
        t.note(f"{name} has birth", bool(mask & syscalls.STATX_BTIME))
        t.note(f"{name} was born now", not mask & syscalls.STATX_BTIME or
               before - 5 < birth < time.time() + 5)
    first = syscalls.statx_birth("f")
    time.sleep(0.02)
    t.write_file("f", b"changed")
    os.rename("f", "g")
    t.note("birth stays", syscalls.statx_birth("g") == first)
    fd = t.open("g")
    t.note("of a descriptor", syscalls.statx_birth(fd) == first)
    os.unlink("g")
    t.note("of a deleted file", syscalls.statx_birth(fd) == first)


@case()
def mkdir_rmdir(t):
    t.do("mkdir", os.mkdir, "d", 0o750)
    t.stat("d")
    t.do("again", os.mkdir, "d")
    t.do("nested", os.mkdir, "d/e")
    t.stat("d")
    t.do("not empty", os.rmdir, "d")
    t.do("dot", os.rmdir, "d/.")
    t.do("dot dot", os.rmdir, "d/e/..")
    t.do("missing", os.rmdir, "missing")
    t.write_file("f", b"")
    t.do("rmdir of a file", os.rmdir, "f")
    t.do("mkdir below a file", os.mkdir, "f/d")
    t.do("mkdir over a file", os.mkdir, "f")
    t.do("trailing slash", os.mkdir, "t/")
    t.do("mkdir missing parent", os.mkdir, "missing/d")
    t.do("unlink of a directory", os.unlink, "d")
    os.symlink("d", "l")
    t.do("rmdir of a symlink", os.rmdir, "l")
    t.do("mkdir over a symlink", os.mkdir, "l")
    t.times("mkdir, times of the parent", ".", os.mkdir, "new")
    t.times("rmdir, times of the parent", ".", os.rmdir, "new")
    t.do("rmdir", os.rmdir, "d/e")
    t.do("rmdir", os.rmdir, "d")
    t.listdir()


@case()
def mkdir_removed(t):
    """A removed directory that is still open, or somebody's working directory."""
    os.mkdir("d")
    fd = t.open("d", os.O_RDONLY | os.O_DIRECTORY)
    here = os.open(".", os.O_RDONLY)
    os.chdir("d")
    t.do("rmdir", os.rmdir, "../d")
    t.stat(fd, label="removed")
    t.do("create in it", os.mkdir, "x")
    t.open("y", os.O_CREAT | os.O_WRONLY)
    t.do("list", lambda: os.listdir(fd))
    t.do("list by name", os.listdir, ".")
    t.stat("..")
    t.do("fchmod", os.fchmod, fd, 0o700)
    t.do("getcwd", os.getcwd)
    os.fchdir(here)
    os.close(here)
    t.do("made again", os.mkdir, "d")
    t.stat(fd, label="the old one")
    t.listdir()


@case()
def mknod_kinds(t):
    for label, mode in (("fifo", stat.S_IFIFO), ("socket", stat.S_IFSOCK), ("file", stat.S_IFREG)):
        t.do(label, os.mknod, label, mode | 0o624)
        t.stat(label)
        t.do(label + " again", os.mknod, label, mode | 0o600)
    t.do("directory", os.mknod, "dir", stat.S_IFDIR | 0o700)
    t.do("symlink", os.mknod, "link", stat.S_IFLNK | 0o700)
    t.do("no kind", os.mknod, "none", 0o600)
    t.stat("none")
    t.do("fifo in a missing folder", os.mknod, "missing/fifo", stat.S_IFIFO | 0o600)


@case(worlds=("root",))
def mknod_devices(t):
    for label, kind, major, minor in (("null", stat.S_IFCHR, 1, 3), ("zero", stat.S_IFCHR, 0, 0),
                                      ("disk", stat.S_IFBLK, 7, 300),
                                      ("large", stat.S_IFCHR, 4095, 1_048_575)):
        t.do(label, os.mknod, label, kind | 0o620, os.makedev(major, minor))
        t.stat(label)
    t.do("rename", os.rename, "disk", "disk2")
    t.stat("disk2")
    t.do("link", os.link, "disk2", "disk3")
    t.stat("disk3")
    t.do("unlink", os.unlink, "disk2")
    t.listdir()


@case()
def mknod_whiteout(t):
    """A 0/0 character device is overlayfs's whiteout, and everybody may make one."""
    t.do("whiteout", os.mknod, "white", stat.S_IFCHR | 0o640, os.makedev(0, 0))
    t.stat("white")
    if t.world != "root":
        t.do("block", os.mknod, "block", stat.S_IFBLK | 0o600, os.makedev(0, 0))
        t.do("other minor", os.mknod, "other", stat.S_IFCHR | 0o600, os.makedev(0, 1))
    t.do("unlink", os.unlink, "white")
    t.listdir()


@case(worlds=("user", "userns"))
def mknod_devices_refused(t):
    t.do("char", os.mknod, "char", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    t.do("block", os.mknod, "block", stat.S_IFBLK | 0o600, os.makedev(7, 0))
    t.listdir()


@case()
def symlink_readlink(t):
    for target in ("target", ".", "/", "../..", "with\nnewline", "a" * 4095, "/absolute/path"):
        name = f"link{len(target)}"
        t.do(f"symlink {target[:20]!r}", os.symlink, target, name)
        t.do("readlink", lambda: len(os.readlink(name)) if len(target) > 100 else os.readlink(name))
        t.stat(name)
        t.note("whole", os.readlink(name) == target if os.path.islink(name) else "no link")
        if os.path.islink(name):
            os.unlink(name)
    t.do("4096 bytes", os.symlink, "a" * 4096, "long")
    t.do("empty", os.symlink, "", "empty")
    t.write_file("f", b"")
    t.do("over a file", os.symlink, "x", "f")
    t.do("in a missing folder", os.symlink, "x", "missing/l")
    t.do("readlink of a file", os.readlink, "f")
    t.do("readlink of a folder", os.readlink, ".")
    t.do("readlink of nothing", os.readlink, "missing")
    t.do("symlink", os.symlink, b"\xff\x80", b"bytes")
    t.do("readlink", os.readlink, b"bytes")
    t.times("symlink, times of the parent", ".", os.symlink, "t", "timed")


@case()
def link_counts(t):
    t.write_file("f", b"one body")
    t.do("link", os.link, "f", "g")
    t.stat("f")
    t.stat("g")
    t.note("same", os.lstat("f").st_ino == os.lstat("g").st_ino)
    os.mkdir("d")
    t.do("link elsewhere", os.link, "g", "d/h")
    t.write_file("d/h", b"through h")
    t.read_file("f")
    t.do("chmod", os.chmod, "g", 0o640)
    t.stat("f")
    t.do("exists", os.link, "f", "g")
    t.do("missing", os.link, "missing", "x")
    t.do("missing folder", os.link, "f", "missing/x")
    t.do("folder", os.link, "d", "x")
    t.do("unlink", os.unlink, "f")
    t.stat("g")
    t.read_file("d/h")
    os.symlink("nowhere", "l")
    t.do("link to a symlink", os.link, "l", "l2", follow_symlinks=False)
    t.stat("l2")
    t.do("readlink", os.readlink, "l2")
    os.symlink("g", "lg")
    t.do("link follows", syscalls.linkat, syscalls.AT_FDCWD, "lg", "from-lg",
         syscalls.AT_SYMLINK_FOLLOW)
    t.stat("from-lg")
    os.mkfifo("p")
    t.do("link to a fifo", os.link, "p", "p2")
    t.stat("p2")
    t.times("link, times of the file", "g", os.link, "g", "timed")
    t.times("unlink, times of the file", "g", os.unlink, "timed")
    t.times("link, times of the parent", "d", os.link, "g", "d/timed")


@case()
def link_many(t):
    t.write_file("f", b"x")
    os.mkdir("d")
    for i in range(300):
        os.link("f", f"d/{i}")
    t.stat("f")
    for i in range(0, 300, 2):
        os.unlink(f"d/{i}")
    t.stat("d/1")
    os.unlink("f")
    t.stat("d/299")
    t.read_file("d/299")


@case()
def fifo_use(t):
    os.mkfifo("p")
    t.open("p", os.O_WRONLY | os.O_NONBLOCK, label="no reader")
    reader = t.open("p", os.O_RDONLY | os.O_NONBLOCK)
    writer = t.open("p", os.O_WRONLY | os.O_NONBLOCK)
    t.do("write", os.write, writer, b"through the pipe")
    t.do("read", os.read, reader, 100)
    t.do("read empty", os.read, reader, 100)
    t.stat(reader, label="fstat")
    os.close(writer)
    t.fds.remove(writer)
    t.do("end", os.read, reader, 100)
    t.do("unlink", os.unlink, "p")
    t.stat(reader, label="unlinked")


@case()
def socket_use(t):
    server = socket.socket(socket.AF_UNIX)
    t.do("bind", server.bind, "sock")
    t.stat("sock")
    t.do("listen", server.listen)
    client = socket.socket(socket.AF_UNIX)
    t.do("connect", client.connect, "sock")
    connection, _ = server.accept()
    t.do("send", client.send, b"hello")
    t.do("receive", connection.recv, 10)
    t.open("sock")
    other = socket.socket(socket.AF_UNIX)
    t.do("bind again", other.bind, "sock")
    t.do("rename", os.rename, "sock", "sock2")
    t.do("connect", socket.socket(socket.AF_UNIX).connect, "sock2")
    t.do("unlink", os.unlink, "sock2")
    t.do("connect gone", other.connect, "sock2")


@case(worlds=("root",))
def device_use(t):
    """A device node on the mount is the caller's device, never opened by the daemon."""
    os.mknod("null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    t.stat("null")
    os.mknod("zero", stat.S_IFCHR | 0o666, os.makedev(1, 5))
    t.do("truncate", os.truncate, "null", 0)
    t.do("chmod", os.chmod, "null", 0o600)
    t.do("chown", os.chown, "null", 5, 6)
    t.do("utime", syscalls.utimensat, "null", (1, 2), (3, 4))
    t.stat("null")
