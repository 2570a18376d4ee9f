# SPDX-License-Identifier: BSD-3-Clause
"""GETXATTR, SETXATTR, LISTXATTR, REMOVEXATTR."""
import ctypes
import os

from suite import syscalls
from suite.runner import case


def raw_get(path, name, size):
    """getxattr with a buffer of that size; the length, or OSError."""
    buffer = ctypes.create_string_buffer(max(size, 1))
    ctypes.set_errno(0)
    result = syscalls.libc.lgetxattr(os.fsencode(path), name.encode(), buffer,
                                     ctypes.c_size_t(size))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def raw_list(path, size):
    buffer = ctypes.create_string_buffer(max(size, 1))
    ctypes.set_errno(0)
    result = syscalls.libc.llistxattr(os.fsencode(path), buffer, ctypes.c_size_t(size))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def listed(path):
    return sorted(os.listxattr(path, follow_symlinks=False))


@case()
def xattr_user(t):
    t.write_file("f", b"")
    os.mkdir("d")
    for name in ("f", "d"):
        t.do("none", listed, name)
        t.do("missing", os.getxattr, name, "user.none")
        t.do("set", os.setxattr, name, "user.one", b"value \0 with zero")
        t.do("get", os.getxattr, name, "user.one")
        t.do("create again", os.setxattr, name, "user.one", b"x", os.XATTR_CREATE)
        t.do("replace missing", os.setxattr, name, "user.two", b"x", os.XATTR_REPLACE)
        t.do("create", os.setxattr, name, "user.two", b"2", os.XATTR_CREATE)
        t.do("replace", os.setxattr, name, "user.one", b"1", os.XATTR_REPLACE)
        t.do("empty value", os.setxattr, name, "user.empty", b"")
        t.do("get empty", os.getxattr, name, "user.empty")
        t.do("list", listed, name)
        t.do("remove", os.removexattr, name, "user.one")
        t.do("remove again", os.removexattr, name, "user.one")
        t.do("list", listed, name)
    t.do("of a missing file", os.getxattr, "missing", "user.x")
    t.times("times", "f", os.setxattr, "f", "user.t", b"t")
    t.times("remove times", "f", os.removexattr, "f", "user.t")
    fd = t.open("f", os.O_RDWR)
    t.do("fsetxattr", os.setxattr, fd, "user.fd", b"by descriptor")
    t.do("fgetxattr", os.getxattr, fd, "user.fd")
    t.do("flistxattr", lambda: sorted(os.listxattr(fd)))
    t.do("fremovexattr", os.removexattr, fd, "user.fd")


@case()
def xattr_sizes(t):
    t.write_file("f", b"")
    t.do("set", os.setxattr, "f", "user.x", b"0123456789")
    for size in (0, 1, 9, 10, 11, 65536):
        t.do(f"get into {size}", raw_get, "f", "user.x", size)
    for size in (0, 1, 6, 7, 8, 65536):
        t.do(f"list into {size}", raw_list, "f", size)
    t.do("name of 255", os.setxattr, "f", "user." + "n" * 250, b"long name")
    t.do("get it", os.getxattr, "f", "user." + "n" * 250)
    t.do("name of 256", os.setxattr, "f", "user." + "n" * 251, b"")
    t.do("65537 bytes", os.setxattr, "f", "user.toolarge", b"v" * 65537)
    for size in (1000, 3000):
        t.do(f"{size} bytes", os.setxattr, "f", "user.big", b"v" * size)
        t.do("get", os.getxattr, "f", "user.big")
    t.do("list", listed, "f")


@case()
def xattr_64_kib(t):
    """The largest value that the system call takes; not every file system does."""
    t.write_file("f", b"")
    t.do("set", os.setxattr, "f", "user.huge", bytes(range(256)) * 256)
    t.do("get", os.getxattr, "f", "user.huge")
    t.do("size", raw_get, "f", "user.huge", 0)
    t.do("too small", raw_get, "f", "user.huge", 65535)


@case()
def xattr_many(t):
    t.write_file("f", b"")
    for i in range(40):
        t.do("set", os.setxattr, "f", f"user.attribute.number.{i:03d}", b"v%d" % i)
    t.do("list", listed, "f")
    t.do("size", raw_list, "f", 0)


@case()
def xattr_on_special_files(t):
    os.symlink("nowhere", "l")
    os.mkfifo("p")
    t.do("symlink set", os.setxattr, "l", "user.x", b"v", follow_symlinks=False)
    t.do("symlink get", os.getxattr, "l", "user.x", follow_symlinks=False)
    t.do("symlink list", listed, "l")
    t.do("symlink remove", os.removexattr, "l", "user.x", follow_symlinks=False)
    t.do("fifo set", os.setxattr, "p", "user.x", b"v")
    t.do("fifo get", os.getxattr, "p", "user.x")
    t.do("fifo list", listed, "p")


@case()
def xattr_name_spaces(t):
    t.write_file("f", b"")
    t.do("no name space", os.setxattr, "f", "plain", b"v")
    t.do("unknown name space", os.setxattr, "f", "other.x", b"v")
    t.do("empty name", os.setxattr, "f", "", b"v")
    t.do("user. alone", os.setxattr, "f", "user.", b"v")
    if t.world != "root":
        t.do("trusted", os.setxattr, "f", "trusted.x", b"v")
        t.do("trusted get", os.getxattr, "f", "trusted.x")
    t.do("acl missing", os.getxattr, "f", "system.posix_acl_access")
    t.do("list", listed, "f")


@case(worlds=("root",))
def xattr_trusted(t):
    t.write_file("f", b"")
    t.do("trusted set", os.setxattr, "f", "trusted.x", b"v")
    t.do("trusted get", os.getxattr, "f", "trusted.x")
    t.do("trusted list", listed, "f")
    os.symlink("x", "l")
    t.do("trusted symlink set", os.setxattr, "l", "trusted.y", b"w", follow_symlinks=False)
    t.do("trusted symlink get", os.getxattr, "l", "trusted.y", follow_symlinks=False)
    t.do("trusted symlink list", listed, "l")


@case(worlds=("root",))
def xattr_capability(t):
    """security.capability: kept, and gone with the first write."""
    t.write_file("f", b"program")
    value = bytes.fromhex("0100000200200000000000000000000000000000")
    t.do("set", os.setxattr, "f", "security.capability", value)
    t.do("get", os.getxattr, "f", "security.capability")
    t.do("list", listed, "f")
    fd = t.open("f", os.O_WRONLY)
    t.do("write", os.write, fd, b"x")
    t.do("after write", os.getxattr, "f", "security.capability")
    t.do("set", os.setxattr, "f", "security.capability", value)
    t.do("chown", os.chown, "f", 1000, 1000)
    t.do("after chown", os.getxattr, "f", "security.capability")
    t.do("set", os.setxattr, "f", "security.capability", value)
    t.do("truncate", os.truncate, "f", 1)
    t.do("after truncate", os.getxattr, "f", "security.capability")


@case(worlds=("root",))
def xattr_permissions(t):
    os.chmod(".", 0o755)
    t.write_file("f", b"", mode=0o644)
    os.setxattr("f", "user.x", b"v")

    def other(u):
        u.do("get", os.getxattr, "f", "user.x")
        u.do("set", os.setxattr, "f", "user.x", b"w")
        u.do("remove", os.removexattr, "f", "user.x")
        u.do("list", listed, "f")
        u.do("trusted", os.setxattr, "f", "trusted.x", b"w")
    t.as_user(1000, 1000, [], other)
    os.chmod("f", 0o600)
    t.as_user(1000, 1000, [], other)


@case()
def xattr_capability_values(t):
    """
    What is a capability: of version 2, of version 3 with the root of a user namespace, or none; in a
    user namespace the host stores version 3 and shows version 2.
    """
    t.write_file("f", b"program", mode=0o755)
    rest = bytes.fromhex("20000000" "00000000" "00000000" "00000000")
    for label, value in (("version 2", b"\1\0\0\2" + rest),
                         ("version 3, root 0", b"\1\0\0\3" + rest + b"\0\0\0\0"),
                         ("version 3, root 1000", b"\1\0\0\3" + rest + (1000).to_bytes(4, "little")),
                         ("version 3, no id", b"\1\0\0\3" + rest + b"\xff\xff\xff\xff"),
                         ("version 1", b"\1\0\0\1" + rest[:8]), ("version 4", b"\1\0\0\4" + rest),
                         ("short", b"\1\0\0\2" + rest[:-1]), ("empty", b"")):
        t.do(f"set {label}", os.setxattr, "f", "security.capability", value)
        t.do("get", os.getxattr, "f", "security.capability")
        t.do("size", raw_get, "f", "security.capability", 0)
        t.do("list", listed, "f")
        t.do("remove", os.removexattr, "f", "security.capability")
    os.symlink("f", "l")
    t.do("of a link", os.setxattr, "l", "security.capability", b"\1\0\0\2" + rest,
         follow_symlinks=False)
    os.mkdir("d")
    t.do("of a folder", os.setxattr, "d", "security.capability", b"\1\0\0\2" + rest)
