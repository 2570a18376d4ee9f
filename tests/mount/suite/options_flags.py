# SPDX-License-Identifier: BSD-3-Clause
"""Checks of test_options: flags of chattr and device nodes, with capabilities more and less."""
import fcntl
import os
import stat
import struct

from . import syscalls

GETFLAGS, SETFLAGS, FSGETXATTR, FSSETXATTR = 0x80086601, 0x40086602, 0x801c581f, 0x401c5820
IMMUTABLE, APPEND, NODUMP = 0x10, 0x20, 0x40


def _change(path, add, remove=0):
    fd = os.open(path, os.O_RDONLY)
    try:
        flags = struct.unpack("i", fcntl.ioctl(fd, GETFLAGS, bytes(4)))[0]
        fcntl.ioctl(fd, SETFLAGS, struct.pack("i", flags & ~remove | add))
    finally:
        os.close(fd)


def _change_newer(path):
    fd = os.open(path, os.O_RDONLY)
    try:
        fcntl.ioctl(fd, FSSETXATTR, fcntl.ioctl(fd, FSGETXATTR, bytes(28)))
    finally:
        os.close(fd)


def _open_close(path, flags, data=b""):
    fd = os.open(path, flags)
    try:
        os.write(fd, data)
    finally:
        os.close(fd)


def readonly_flags(check):
    """--readonly: flags are told, and not changed."""
    path = os.path.join(check.stand.mnt, "f")
    check.error("EROFS", "chattr", _change, path, NODUMP)
    check.error("EROFS", "newer form", _change_newer, path)
    fd = os.open(path, os.O_RDONLY)
    check.expect(len(fcntl.ioctl(fd, FSGETXATTR, bytes(28))) == 28, "flags are told")
    os.close(fd)


def immutable(check):
    """--modcaps=+linux_immutable: chattr +i and +a from the guest mean what they mean."""
    path = os.path.join(check.stand.mnt, "f")
    try:
        _change(path, IMMUTABLE)
        check.error("EPERM", "write", _open_close, path, os.O_WRONLY)
        check.error("EPERM", "unlink", os.unlink, path)
        check.error("EPERM", "chmod", os.chmod, path, 0o600)
        check.error("EPERM", "on the host", os.unlink, os.path.join(check.stand.share, "f"))
        _change(path, APPEND, IMMUTABLE)
        check.error("EPERM", "write", _open_close, path, os.O_WRONLY)
        check.error("EPERM", "truncate", os.truncate, path, 0)
        _open_close(path, os.O_WRONLY | os.O_APPEND, b", more")
        fd = os.open(path, os.O_WRONLY | os.O_APPEND)
        check.error("EPERM", "truncate when open", os.ftruncate, fd, 0)
        os.close(fd)
    finally:
        _change(path, 0, IMMUTABLE | APPEND)
    with open(path) as stream:
        check.expect(stream.read() == "content, more", "appended")
    os.unlink(path)


def whiteout(check):
    """--modcaps=-mknod: no devices; a whiteout is none."""
    mnt = check.stand.mnt

    def at(name):
        return os.path.join(mnt, name)

    check.error("EPERM", "device", os.mknod, at("null"), stat.S_IFCHR | 0o600, os.makedev(1, 3))
    os.mknod(at("white"), stat.S_IFCHR | 0o600, os.makedev(0, 0))
    syscalls.renameat2(at("f"), at("moved"), syscalls.RENAME_WHITEOUT)
    for name in ("white", "f"):
        st = os.lstat(os.path.join(check.stand.share, name))
        check.expect(stat.S_ISCHR(st.st_mode) and st.st_rdev == 0, f"{name} is no whiteout")
