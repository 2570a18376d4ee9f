# SPDX-License-Identifier: BSD-3-Clause
"""
The system calls that Python's os module lacks.  Every function raises OSError like os does.
"""
import ctypes
import errno
import os
import signal
import struct

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long

AT_FDCWD = -100
AT_SYMLINK_FOLLOW = 0x400
AT_EMPTY_PATH = 0x1000

RENAME_NOREPLACE = 1
RENAME_EXCHANGE = 2
RENAME_WHITEOUT = 4

FALLOC_FL_KEEP_SIZE = 0x01
FALLOC_FL_PUNCH_HOLE = 0x02
FALLOC_FL_COLLAPSE_RANGE = 0x08
FALLOC_FL_ZERO_RANGE = 0x10
FALLOC_FL_INSERT_RANGE = 0x20
FALLOC_FL_UNSHARE_RANGE = 0x40

SEEK_DATA = 3
SEEK_HOLE = 4

UTIME_NOW = (1 << 30) - 1
UTIME_OMIT = (1 << 30) - 2

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000

PR_SET_PDEATHSIG = 1
PR_CAPBSET_DROP = 24

# x86-64 and the generic table (arm64, riscv) differ for the older calls.
_X86 = os.uname().machine == "x86_64"
NR = {
    "getdents64": 217 if _X86 else 61,
    "utimensat": 280 if _X86 else 88,
    "fallocate": 285 if _X86 else 47,
    "setns": 308 if _X86 else 268,
    "syncfs": 306 if _X86 else 267,
    "renameat2": 316 if _X86 else 276,
    "copy_file_range": 326 if _X86 else 285,
    "linkat": 265 if _X86 else 37,
    "faccessat2": 439,
    "statx": 332 if _X86 else 291,
    "name_to_handle_at": 303 if _X86 else 264,
    "open_by_handle_at": 304 if _X86 else 265,
    "openat2": 437,
    "open_tree": 428,
    "mount_setattr": 442,
}


def _path(path):
    return ctypes.c_char_p(os.fsencode(path))


def call(name, *args):
    """One raw system call; the result, or OSError."""
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(NR[name]),
                          *[ctypes.c_long(a) if isinstance(a, int) else a for a in args])
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def renameat2(old, new, flags):
    return call("renameat2", AT_FDCWD, _path(old), AT_FDCWD, _path(new), flags)


def fallocate(fd, mode, offset, length):
    return call("fallocate", fd, mode, offset, length)


def copy_file_range(fd_in, offset_in, fd_out, offset_out, length):
    a, b = ctypes.c_int64(offset_in), ctypes.c_int64(offset_out)
    return call("copy_file_range", fd_in, ctypes.byref(a), fd_out, ctypes.byref(b), length, 0)


def syncfs(fd):
    return call("syncfs", fd)


def linkat(old_fd, old, new, flags):
    return call("linkat", old_fd, _path(old), AT_FDCWD, _path(new), flags)


def utimensat(path, atime, mtime, follow=True):
    """atime, mtime: (seconds, nanoseconds or UTIME_NOW or UTIME_OMIT), or both None for now."""
    times = None if atime is None else ctypes.create_string_buffer(
        struct.pack("qqqq", *atime, *mtime))
    return call("utimensat", AT_FDCWD, _path(path), times, 0 if follow else 0x100)


def setns(fd, kind):
    return call("setns", fd, kind)


def faccessat2(path, mode, flags):
    return call("faccessat2", AT_FDCWD, _path(path), mode, flags)


STATX_BTIME = 0x800


def statx_birth(path):
    """(mask, time of birth) of a name, itself if it is a link, or of a descriptor."""
    buffer = ctypes.create_string_buffer(256)
    if isinstance(path, int):
        call("statx", path, _path(""), AT_EMPTY_PATH, 0xfff, buffer)
    else:
        call("statx", AT_FDCWD, _path(path), 0x100, 0xfff, buffer)
    mask = struct.unpack_from("I", buffer)[0]
    seconds, nanoseconds = struct.unpack_from("qI", buffer, 80)
    return mask & 0xfff, seconds + nanoseconds / 1e9


def openat2(path, flags, mode, resolve):
    how = ctypes.create_string_buffer(struct.pack("QQQ", flags, mode, resolve))
    return call("openat2", AT_FDCWD, _path(path), how, 24)


OPEN_TREE_CLONE = 1
_OPEN_TREE_CLOEXEC = os.O_CLOEXEC
_MOUNT_ATTR_IDMAP = 0x00100000


def open_tree(path, flags):
    return call("open_tree", AT_FDCWD, _path(path), flags | _OPEN_TREE_CLOEXEC)


def idmap_mount(tree, user_namespace):
    """Gives a detached mount the id map of a user namespace; both are descriptors."""
    attributes = struct.pack("QQQQ", _MOUNT_ATTR_IDMAP, 0, 0, user_namespace)
    return call("mount_setattr", tree, _path(""), AT_EMPTY_PATH,
                ctypes.create_string_buffer(attributes, 32), 32)


class UserNamespace:
    """Context manager: the descriptor of a new user namespace with one map for both kinds of id."""

    def __init__(self, id_map):
        self.id_map = id_map

    def __enter__(self):
        reader, writer = os.pipe()
        self.child = os.fork()
        if self.child == 0:
            libc.unshare(CLONE_NEWUSER)
            os.write(writer, b"x")
            signal.pause()
            os._exit(0)
        os.close(writer)
        os.read(reader, 1)
        os.close(reader)
        for kind in ("uid_map", "gid_map"):
            with open(f"/proc/{self.child}/{kind}", "w") as stream:
                stream.write(self.id_map)
        self.fd = os.open(f"/proc/{self.child}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
        return self.fd

    def __exit__(self, *_):
        os.close(self.fd)
        os.kill(self.child, signal.SIGKILL)
        os.waitpid(self.child, 0)


def prctl(option, value):
    return libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0)


class Directory:
    """A directory stream of libc, for telldir, seekdir and rewinddir."""

    class _Dirent(ctypes.Structure):
        _fields_ = [("ino", ctypes.c_uint64), ("off", ctypes.c_int64),
                    ("reclen", ctypes.c_uint16), ("type", ctypes.c_uint8),
                    ("name", ctypes.c_char * 256)]

    def __init__(self, path):
        libc.opendir.restype = ctypes.c_void_p
        libc.readdir64.restype = ctypes.POINTER(self._Dirent)
        libc.telldir.restype = ctypes.c_long
        ctypes.set_errno(0)
        self.stream = ctypes.c_void_p(libc.opendir(_path(path)))
        if not self.stream:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))

    def read(self):
        """The next (name, d_type, d_ino), or None at the end."""
        ctypes.set_errno(0)
        entry = libc.readdir64(self.stream)
        if not entry:
            code = ctypes.get_errno()
            if code:
                raise OSError(code, os.strerror(code))
            return None
        return entry.contents.name, entry.contents.type, entry.contents.ino

    def rest(self):
        entries = []
        while (entry := self.read()) is not None:
            entries.append(entry)
        return entries

    def tell(self):
        return libc.telldir(self.stream)

    def seek(self, position):
        libc.seekdir(self.stream, ctypes.c_long(position))

    def rewind(self):
        libc.rewinddir(self.stream)

    def fd(self):
        return libc.dirfd(self.stream)

    def close(self):
        libc.closedir(self.stream)
        self.stream = None


def errno_name(code):
    return errno.errorcode.get(code, f"errno {code}")
