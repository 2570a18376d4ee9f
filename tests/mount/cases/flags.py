# SPDX-License-Identifier: BSD-3-Clause
"""IOCTL: the flags of chattr and lsattr, and what is no ioctl of a file system."""
import fcntl
import os
import struct
import subprocess

from suite.runner import case

GETFLAGS, SETFLAGS = 0x80086601, 0x40086602
FSGETXATTR, FSSETXATTR = 0x801c581f, 0x401c5820

SYNC, IMMUTABLE, APPEND, NODUMP, NOATIME = 0x08, 0x10, 0x20, 0x40, 0x80
CASEFOLD, PROJINHERIT = 0x40000000, 0x20000000
X_IMMUTABLE, X_NODUMP, X_NOATIME, X_PROJINHERIT = 0x08, 0x80, 0x40, 0x200


def get(fd):
    return struct.unpack("i", fcntl.ioctl(fd, GETFLAGS, bytes(4)))[0]


def put(fd, flags):
    fcntl.ioctl(fd, SETFLAGS, struct.pack("i", flags))


def get_x(fd):
    """(xflags, extsize, nextents, projid, cowextsize)"""
    return struct.unpack_from("5I", fcntl.ioctl(fd, FSGETXATTR, bytes(28)))


def put_x(fd, xflags, extsize=0, projid=0, cowextsize=0):
    fcntl.ioctl(fd, FSSETXATTR, struct.pack("5I8x", xflags, extsize, 0, projid, cowextsize))


def _kinds(t):
    t.write_file("f", b"content")
    os.mkdir("d")
    return (("f", t.open("f")), ("d", t.open("d", os.O_RDONLY | os.O_DIRECTORY)))


@case()
def flags_come_and_go(t):
    for name, fd in _kinds(t):
        before = t.do(f"{name} get", get, fd)
        if before is None:
            continue
        for label, bits in (("nodump", NODUMP), ("noatime", NOATIME), ("sync", SYNC),
                            ("two", NODUMP | NOATIME), ("unknown", 0x08000000),
                            ("casefold", CASEFOLD | NODUMP)):
            t.do(f"{name} set {label}", put, fd, before | bits)
            t.do(f"{name} get", get, fd)
        t.do(f"{name} back", put, fd, before)
        t.do(f"{name} get", get, fd)
    t.write_file("f", b"still writable")
    writer = t.open("f", os.O_WRONLY)
    t.do("by a write-only descriptor", get, writer)
    os.mkdir("d/below")
    t.do("inherited", get, t.open("d/below", os.O_DIRECTORY))


@case()
def flags_times(t):
    for name, fd in _kinds(t):
        t.times(f"{name} set", name, put, fd, get(fd) | NODUMP)


@case()
def flags_of_the_newer_form(t):
    for name, fd in _kinds(t):
        before = t.do(f"{name} get", get_x, fd)
        if before is None:
            continue
        for label, bits in (("nodump", X_NODUMP), ("noatime", X_NOATIME), ("none", 0)):
            t.do(f"{name} set {label}", put_x, fd, before[0] | bits)
            t.do(f"{name} get", lambda: get_x(fd)[0])
            t.do(f"{name} in the old form", get, fd)
        t.do(f"{name} extent size without its flag", put_x, fd, before[0], 65536)
        t.do(f"{name} get", lambda: get_x(fd)[1:])


@case()
def flags_by_program(t):
    t.write_file("f", b"")
    os.mkdir("d")
    for argv in (["chattr", "+dA", "f", "d"], ["chattr", "-A", "f"], ["lsattr", "-d", "f", "d"]):
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        t.note(" ".join(argv), (done.returncode, done.stdout, done.stderr))


@case()
def flags_need_privileges(t):
    """The owner may not make a file immutable; in a user namespace nobody may."""
    for name, fd in _kinds(t):
        if t.world == "root":
            continue
        before = get(fd)
        for label, bits in (("immutable", IMMUTABLE), ("append", APPEND)):
            t.do(f"{name} {label}", put, fd, before | bits)
        t.do(f"{name} immutable, newer form", put_x, fd, get_x(fd)[0] | X_IMMUTABLE)
        t.do(f"{name} get", lambda: get(fd) ^ before)


@case(worlds=("root",))
def flags_of_others(t):
    t.write_file("f", b"content")
    os.chmod("f", 0o666)

    def body(inner):
        fd = inner.open("f", os.O_RDWR)
        before = inner.do("get", get, fd)
        if before is not None:
            inner.do("set", put, fd, before | NODUMP)
            inner.do("set, newer form", lambda: put_x(fd, get_x(fd)[0] | X_NODUMP))
    t.as_user(1234, 5678, [], body)


@case(worlds=("root",))
def flags_immutable(t):
    for name, fd in _kinds(t):
        before = get(fd)
        t.do(f"{name} immutable", put, fd, before | IMMUTABLE)
        t.do(f"{name} get", lambda: get(fd) & IMMUTABLE)
        t.do(f"{name} back", put, fd, before)


@case()
def flags_project(t):
    """In a user namespace nobody may change the project; nor may a guest."""
    t.write_file("f", b"content")
    fd = t.open("f")
    t.do("project", put_x, fd, get_x(fd)[0], 0, 77)
    t.do("inherit", put_x, fd, get_x(fd)[0] ^ X_PROJINHERIT)
    t.do("get", lambda: get_x(fd)[3])
    put_x(fd, get_x(fd)[0] & ~X_PROJINHERIT)


@case()
def ioctl_unknown(t):
    os.mkfifo("p")
    pairs = (*_kinds(t), ("p", t.open("p", os.O_RDWR)))
    for name, fd in pairs:
        for number in (0x5401, 0x0000, 0x1260, 0x12345678, 0x80041234):
            if name != "p" or number != 0x5401:
                t.do(f"{name} {number:#x}", lambda: fcntl.ioctl(fd, number, bytes(1024)) and None)
    t.do("of the link itself", get, t.open("p", os.O_PATH))
