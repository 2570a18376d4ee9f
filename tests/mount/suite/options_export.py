# SPDX-License-Identifier: BSD-3-Clause
"""
Checks of test_options: file handles of the mount (name_to_handle_at, as an NFS server in the guest
makes them), before and after the client has forgotten the inodes.
"""
import ctypes
import errno
import os
import struct
import subprocess
import time

from . import syscalls

HANDLE_ROOM = 128
STALE_SECONDS = 10


def fill(root):
    os.makedirs(os.path.join(root, "one", "two", "three"))
    for name in ("f", "one/two/g", "one/two/three/h"):
        with open(os.path.join(root, name), "w") as stream:
            stream.write("content of " + name)
    os.symlink("f", os.path.join(root, "l"))


def _handle(path):
    buffer = ctypes.create_string_buffer(struct.pack("Ii", HANDLE_ROOM, 0), 8 + HANDLE_ROOM)
    mount = ctypes.c_int()
    syscalls.call("name_to_handle_at", syscalls.AT_FDCWD, ctypes.c_char_p(os.fsencode(path)),
                  buffer, ctypes.byref(mount), 0)
    return buffer


def _open(mount_fd, handle, flags):
    return syscalls.call("open_by_handle_at", mount_fd, handle, flags)


def _forget(check):
    """A remount drops the client's cache of this file system alone."""
    subprocess.run(["mount", "-i", "-o", "remount", check.stand.mnt], check=True)


def _open_all(check, mount_fd, handles):
    for name, handle in handles.items():
        path = os.path.join(check.stand.share, name)
        link = os.path.islink(path)
        fd = _open(mount_fd, handle, os.O_PATH | os.O_NOFOLLOW if link else os.O_RDONLY)
        try:
            check.expect(os.fstat(fd).st_ino == os.lstat(path).st_ino, f"{name}: another file")
            if os.path.isdir(path):
                seen = os.readlink(f"/proc/self/fd/{fd}")
                check.expect(seen == os.path.join(check.stand.mnt, name).rstrip("/."),
                             f"{name} is known as {seen}")
                check.expect(sorted(os.listdir(fd)) == sorted(os.listdir(path)), f"list {name}")
            elif not link:
                check.expect(os.read(fd, 100) == b"content of " + name.encode(), f"read {name}")
        finally:
            os.close(fd)


def _gets_stale(check, mount_fd, handle):
    """
    What the client has forgotten can be opened for as long as the daemon has not seen its FORGET,
    which nobody waits for.
    """
    until = time.monotonic() + STALE_SECONDS
    while time.monotonic() < until:
        _forget(check)
        try:
            os.close(_open(mount_fd, handle, os.O_RDONLY))
        except OSError as error:
            return error.errno == errno.ESTALE
    return False


NAMES = ("f", "l", "one", "one/two", "one/two/g", "one/two/three", "one/two/three/h", ".")


def export(check):
    mnt = check.stand.mnt
    mount_fd = os.open(mnt, os.O_RDONLY | os.O_DIRECTORY)
    try:
        handles = {name: _handle(os.path.join(mnt, name)) for name in NAMES}
        _open_all(check, mount_fd, handles)
        _forget(check)
        _open_all(check, mount_fd, handles)
        # Deepest first, so that the client has to find the way up by itself.
        _forget(check)
        _open_all(check, mount_fd, dict(reversed(handles.items())))

        _forget(check)
        os.rename(os.path.join(check.stand.share, "one", "two"),
                  os.path.join(check.stand.share, "moved"))
        fd = _open(mount_fd, handles["one/two/three"], os.O_RDONLY)
        check.expect(os.readlink(f"/proc/self/fd/{fd}") == os.path.join(mnt, "moved/three"),
                     "moved on the host")
        os.close(fd)
        os.unlink(os.path.join(check.stand.share, "f"))
        check.expect(_gets_stale(check, mount_fd, handles["f"]), "deleted, and opened for ever")
    finally:
        os.close(mount_fd)


def export_without_handles(check):
    """Without file handles on the host a handle of the guest's lasts as long as its cache."""
    mnt = check.stand.mnt
    mount_fd = os.open(mnt, os.O_RDONLY | os.O_DIRECTORY)
    try:
        handles = {name: _handle(os.path.join(mnt, name)) for name in NAMES}
        _open_all(check, mount_fd, handles)
        _forget(check)
        check.expect(_gets_stale(check, mount_fd, handles["f"]), "forgotten, and opened for ever")
    finally:
        os.close(mount_fd)
