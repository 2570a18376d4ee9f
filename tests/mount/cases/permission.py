# SPDX-License-Identifier: BSD-3-Clause
"""Other users, their groups, and what they inherit."""
import os
import stat

from suite import syscalls
from suite.runner import case


@case(worlds=("root",))
def permission_owner_of_new_files(t):
    os.chmod(".", 0o777)

    def make(u):
        tag = f"{os.getuid()}-{os.getgid()}"
        u.write_file(f"file-{tag}", b"x")
        u.do("mkdir", os.mkdir, f"dir-{tag}")
        u.do("symlink", os.symlink, "t", f"link-{tag}")
        u.do("mkfifo", os.mkfifo, f"fifo-{tag}")
        u.do("socket", os.mknod, f"sock-{tag}", stat.S_IFSOCK | 0o600)
        for kind in ("file", "dir", "link", "fifo", "sock"):
            u.stat(f"{kind}-{tag}")
    for uid, gid, groups in ((1000, 1000, []), (1000, 2000, [3000]), (0, 1000, []),
                             (4294967294, 4294967294, []), (1, 0, [])):
        t.as_user(uid, gid, groups, make)
    t.listdir()


@case(worlds=("root",))
def permission_setgid_folder(t):
    """Group inheritance, and S_ISGID on a new file only for members of the group."""
    os.mkdir("g")
    os.chown("g", 0, 5000)
    os.chmod("g", 0o2777)

    def make(u):
        tag = f"{os.getuid()}-{len(os.getgroups())}"
        os.umask(0)
        u.do("mkdir", os.mkdir, f"g/dir-{tag}", 0o755)
        u.stat(f"g/dir-{tag}")
        for mode in (0o2755, 0o2745, 0o6777, 0o644):
            name = f"g/file-{tag}-{mode:o}"
            u.open(name, os.O_CREAT | os.O_WRONLY, mode)
            u.stat(name)
        u.do("mknod", os.mknod, f"g/fifo-{tag}", stat.S_IFIFO | 0o2755)
        u.stat(f"g/fifo-{tag}")
        u.do("symlink", os.symlink, "x", f"g/link-{tag}")
        u.stat(f"g/link-{tag}")
        name = f"g/file-{tag}-644"
        u.do("chmod setgid", os.chmod, name, 0o2755)
        u.stat(name)
    t.as_user(1000, 1000, [], make)
    t.as_user(1001, 1000, [5000], make)
    t.as_user(1002, 5000, [], make)
    t.as_user(0, 0, [], make)


@case(worlds=("root",))
def permission_supplementary_groups(t):
    os.chmod(".", 0o755)
    os.mkdir("team")
    os.chown("team", 0, 6000)
    os.chmod("team", 0o770)
    t.write_file("team/f", b"for the team", mode=0o640)
    os.chown("team/f", 0, 6000)

    def work(u):
        u.read_file("team/f")
        u.listdir("team")
        u.open("team/f", os.O_WRONLY)
        u.write_file(f"team/new-{os.getuid()}", b"x")
        u.stat(f"team/new-{os.getuid()}")
        u.do("mkdir", os.mkdir, f"team/dir-{os.getuid()}")
        u.do("chgrp to a group of mine", os.chown, f"team/new-{os.getuid()}", -1, 6000)
        u.do("chgrp to another", os.chown, f"team/new-{os.getuid()}", -1, 7000)
        u.do("rename", os.rename, f"team/new-{os.getuid()}", f"team/old-{os.getuid()}")
        u.do("unlink", os.unlink, f"team/old-{os.getuid()}")
    t.as_user(1000, 1000, [], work)
    t.as_user(1001, 1000, [6000], work)
    t.as_user(1002, 6000, [], work)
    t.as_user(1003, 1000, list(range(8000, 8040)) + [6000], work)
    t.listdir("team")


@case(worlds=("root",))
def permission_denied(t):
    os.chmod(".", 0o755)
    os.mkdir("closed", 0o700)
    t.write_file("closed/f", b"secret")
    t.write_file("f", b"readable", mode=0o644)
    t.write_file("private", b"secret", mode=0o600)
    os.mkdir("walk", 0o711)
    t.write_file("walk/known", b"by name", mode=0o644)
    os.mkdir("list", 0o744)
    t.write_file("list/x", b"")

    def stranger(u):
        u.read_file("closed/f")
        u.listdir("closed")
        u.stat("closed/f")
        u.stat("closed")
        u.read_file("private")
        u.open("f", os.O_WRONLY)
        u.open("f", os.O_RDONLY | os.O_TRUNC)
        u.do("truncate", os.truncate, "f", 0)
        u.do("chmod", os.chmod, "f", 0o777)
        u.do("chown", os.chown, "f", 1000, 1000)
        u.do("utime given", syscalls.utimensat, "f", (1, 1), (1, 1))
        u.do("utime now", syscalls.utimensat, "f", None, None)
        u.do("unlink", os.unlink, "f")
        u.do("rename", os.rename, "f", "g")
        u.do("link", os.link, "private", "stolen")
        u.do("mkdir", os.mkdir, "new")
        u.do("create", os.mknod, "node", stat.S_IFREG | 0o600)
        u.do("symlink", os.symlink, "x", "y")
        u.do("access", os.access, "f", os.W_OK)
        u.read_file("walk/known")
        u.listdir("walk")
        u.listdir("list")
        u.stat("list/x")
        u.do("rmdir", os.rmdir, "walk")
        u.do("setxattr", os.setxattr, "f", "user.x", b"v")
    t.as_user(1000, 1000, [], stranger)
    t.as_user(65534, 65534, [], stranger)
    t.read_file("f")


@case(worlds=("root",))
def permission_owner(t):
    """What only the owner may, without being root."""
    os.chmod(".", 0o777)

    def owner(u):
        u.write_file("f", b"mine", mode=0o600)
        u.do("chmod", os.chmod, "f", 0o6755)
        u.stat("f")
        u.do("chgrp to own group", os.chown, "f", -1, 4000)
        u.stat("f")
        u.do("chgrp to a foreign group", os.chown, "f", -1, 4001)
        u.do("give away", os.chown, "f", 1001, -1)
        u.do("chown to myself", os.chown, "f", 1000, -1)
        u.do("utime", syscalls.utimensat, "f", (1, 2), (3, 4))
        u.do("chmod 000", os.chmod, "f", 0)
        u.open("f")
        u.do("chmod back", os.chmod, "f", 0o400)
        u.open("f", os.O_RDWR)
        u.read_file("f")
        u.open("f", os.O_RDONLY | os.O_NOATIME)
        u.do("device", os.mknod, "dev", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    t.as_user(1000, 1000, [4000], owner)


@case(worlds=("root",))
def permission_change_after_open(t):
    """A descriptor keeps what it was opened for, whoever uses it later."""
    os.chmod(".", 0o777)
    t.write_file("f", b"0123456789", mode=0o666)
    os.chmod("f", 0o666)
    fd = t.open("f", os.O_RDWR)
    os.chmod("f", 0o600)

    def other(u):
        u.do("read", os.pread, fd, 4, 0)
        u.do("write", os.pwrite, fd, b"ab", 0)
        u.stat(fd, label="fstat")
        u.do("fsync", os.fsync, fd)
        u.do("ftruncate", os.ftruncate, fd, 6)
        u.do("fallocate", syscalls.fallocate, fd, 0, 0, 20)
        u.do("fchmod", os.fchmod, fd, 0o777)
        u.open("f")
    t.as_user(1000, 1000, [], other)
    t.read_file("f")


@case(worlds=("root",))
def permission_dac_override_is_the_callers(t):
    """Root of the caller passes where the owner's own bits say no."""
    os.mkdir("d", 0o000)
    t.write_file("d/f", b"x", mode=0o000)
    t.read_file("d/f")
    t.do("mkdir", os.mkdir, "d/e")
    t.listdir("d")
    os.chown("d", 1000, 1000)
    t.write_file("d/g", b"y")
    t.stat("d/g")


@case(worlds=("root",))
def permission_execute(t):
    """A script on the mount runs when its mode says so."""
    import subprocess
    t.write_file("run", b"#!/bin/sh\necho ran $1\n", mode=0o755)

    def start():
        return subprocess.run(["./run", "here"], stdout=subprocess.PIPE, check=False).stdout
    t.do("run", start)
    os.chmod("run", 0o644)
    t.do("not executable", start)
    os.chmod("run", 0o4755)
    t.do("setuid script", start)
