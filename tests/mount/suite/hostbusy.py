# SPDX-License-Identifier: BSD-3-Clause
"""The host changes things all the time, while the program in the guest looks at them."""
import os
import signal
import time

from . import syscalls
from .stand import in_child

SECONDS = 3
BLOCK = 48 << 10


class _Host:
    """A process that runs function(n) for n = 0, 1, ... until the end of the with block."""

    def __init__(self, function):
        self.function = function

    def __enter__(self):
        self.pid = os.fork()
        if self.pid == 0:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            try:
                number = 0
                while True:
                    self.function(number)
                    number += 1
            finally:
                os._exit(1)
        return self

    def __exit__(self, *_):
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def _seen(function):
    """function() again and again for a while, in another process: {outcome: how often}."""
    def watch():
        result = {}
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            try:
                outcome = function()
            except OSError as error:
                outcome = syscalls.errno_name(error.errno)
            result[outcome] = result.get(outcome, 0) + 1
        return result
    return in_child(lambda: None, watch, SECONDS + 30)


def _expect(fail, seen, allowed, at_least):
    wrong = {outcome: count for outcome, count in seen.items() if outcome not in allowed}
    if wrong:
        fail(f"seen: {wrong} beside {seen}")
    if sum(seen.get(outcome, 0) for outcome in allowed) < at_least:
        fail(f"hardly anything seen: {seen}")


def _write(path, data):
    with open(path + "~", "wb") as stream:
        stream.write(data)
    os.rename(path + "~", path)


def one_version(stand, fail):
    """A file that is replaced all the time has one version's data and size, and is always there."""
    host, view = os.path.join(stand.share, "f"), os.path.join(stand.mnt, "f")

    def replace(number):
        letter = b"abcdefghij"[number % 10:number % 10 + 1]
        _write(host, letter * (BLOCK + number % 10 * 1000))

    def look():
        fd = os.open(view, os.O_RDONLY)
        try:
            data = b""
            while piece := os.read(fd, 10007):
                data += piece
            size = os.fstat(fd).st_size
        finally:
            os.close(fd)
        if not data or data != data[:1] * len(data):
            return "mixed"
        right = BLOCK + (data[0] - ord("a")) * 1000
        return "whole" if len(data) == right and size == right else f"{len(data)}, {size}, {right}"

    replace(0)
    with _Host(replace):
        _expect(fail, _seen(look), ("whole",), 50)


def always_there(stand, fail):
    """No call on a name that is replaced all the time says that there is none."""
    host, view = os.path.join(stand.share, "f"), os.path.join(stand.mnt, "f")

    def replace(number):
        _write(host, b"%d" % number)
        os.setxattr(host, "user.x", b"1")

    def look():
        os.stat(view)
        os.close(os.open(view, os.O_RDWR))
        os.chmod(view, 0o644)
        if not os.access(view, os.R_OK):
            return "no access"
        os.listxattr(view)
        with open(view, "rb") as stream:
            return "there" if stream.read() else "empty"

    replace(0)
    with _Host(replace):
        _expect(fail, _seen(look), ("there",), 30)


def folder_replaced(stand, fail):
    """Two folders change places: what is found below is that of one of them."""
    for name in "ab":
        os.mkdir(os.path.join(stand.share, name))
        with open(os.path.join(stand.share, name, "f"), "w") as stream:
            stream.write(name)

    def swap(_):
        syscalls.renameat2(os.path.join(stand.share, "a"), os.path.join(stand.share, "b"),
                           syscalls.RENAME_EXCHANGE)
        time.sleep(0.001)

    def look():
        with open(os.path.join(stand.mnt, "a", "f")) as stream:
            return stream.read()

    with _Host(swap):
        _expect(fail, _seen(look), ("a", "b"), 50)


def tree_walked(stand, fail):
    """A tree that moves to and fro, and is emptied and filled, while it is walked."""
    top = os.path.join(stand.share, "t")
    os.makedirs(os.path.join(top, "x"))
    os.mkdir(os.path.join(stand.share, "u"))

    def churn(number):
        here, there = (top, os.path.join(stand.share, "u")) if number % 2 else \
            (os.path.join(stand.share, "u"), top)
        if os.path.isdir(os.path.join(here, "x")):
            for name in "abcde":
                os.makedirs(os.path.join(here, "x", name), exist_ok=True)
                _write(os.path.join(here, "x", name, "f"), name.encode())
            os.rename(os.path.join(here, "x"), os.path.join(there, "x"))
        for name in "abcde"[number % 3:]:
            place = os.path.join(there, "x", name)
            if os.path.isdir(place):
                os.unlink(os.path.join(place, "f"))
                os.rmdir(place)

    def look():
        errors = []
        for folder, _, files in os.walk(stand.mnt, onerror=errors.append):
            for name in files:
                try:
                    with open(os.path.join(folder, name)) as stream:
                        content = stream.read()
                except OSError as error:
                    errors.append(error)
                    continue
                if not name.endswith("~") and content != os.path.basename(folder):
                    return f"{content!r} in {folder}"
        codes = {syscalls.errno_name(error.errno) for error in errors} - {"ENOENT"}
        return " ".join(sorted(codes)) or "walked"

    with _Host(churn):
        _expect(fail, _seen(look), ("walked",), 10)


def appended(stand, fail):
    """A log that the host writes: what is read is what the host has written, and never shrinks."""
    host, view = os.path.join(stand.share, "log"), os.path.join(stand.mnt, "log")
    last = [0]

    def append(number):
        with open(host, "ab") as stream:
            stream.write(b"line %06d\n" % number)
        time.sleep(0.002)

    def look():
        with open(view, "rb") as stream:
            data = stream.read()
        lines = data.split(b"\n")
        if any(line != b"line %06d" % number for number, line in enumerate(lines[:-1])):
            return "wrong lines"
        # btrfs itself shows a write of two pages in two steps.
        if lines[-1] and (len(data) % 4096 or
                          not (b"line %06d" % (len(lines) - 1)).startswith(lines[-1])):
            return "a part of a line"
        if len(lines) < last[0]:
            return "shrunk"
        last[0] = len(lines)
        return "right"

    append(0)
    os.unlink(host)
    with _Host(append):
        while not os.path.exists(host):
            time.sleep(0.01)
        _expect(fail, _seen(look), ("right",), 10)


def space_comes_back(stand, fail):
    """A file that the host deletes, and that the guest has seen but not open, takes no space."""
    def free():
        st = os.statvfs(stand.share)
        return st.f_bavail * st.f_frsize

    name = os.path.join(stand.share, "large")
    with open(name, "wb") as stream:
        stream.write(bytes(64 << 20))
        os.fsync(stream.fileno())
    with open(os.path.join(stand.mnt, "large"), "rb") as stream:
        stream.read(100)
    before = free()
    os.unlink(name)
    deadline = time.monotonic() + 15
    while free() < before + (48 << 20):
        if time.monotonic() > deadline:
            fail(f"{(free() - before) >> 20} MiB came back of 64")
            return
        time.sleep(0.1)


_MODES = (("ext4", ("--cache=never",)), ("ext4", ("--cache=auto",)), ("ext4", ("--cache=always",)),
          ("xfs", ("--cache=auto",)), ("btrfs", ("--cache=auto",)), ("tmpfs", ("--cache=auto",)),
          ("ext4", ("--cache=auto", "--inode-file-handles=never")),
          ("ext4", ("--cache=auto", "--rlimit-nofile=200")))
PLAN = tuple((fs, options, function) for fs, options in _MODES
             for function in (one_version, always_there, folder_replaced, tree_walked)) + tuple(
    (fs, (cache,), appended) for fs in ("ext4", "btrfs") for cache in ("--cache=never",
                                                                      "--cache=auto")) + (
    ("ext4", ("--cache=auto",), space_comes_back), ("tmpfs", ("--cache=auto",), space_comes_back))
