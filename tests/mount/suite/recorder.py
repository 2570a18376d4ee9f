# SPDX-License-Identifier: BSD-3-Clause
"""
What a case sees and leaves behind: a log of lines "label: outcome" that is the same on every file
system that behaves the same.  Lives in the process of one case.
"""
import hashlib
import json
import os
import stat
import time
import traceback

from . import syscalls

KINDS = {stat.S_IFREG: "file", stat.S_IFDIR: "dir", stat.S_IFLNK: "symlink", stat.S_IFIFO: "fifo",
         stat.S_IFSOCK: "socket", stat.S_IFCHR: "char", stat.S_IFBLK: "block"}


def digest(data):
    """Content in a line: short data as it is, the rest by length and hash."""
    if len(data) <= 80:
        return repr(data)
    return f"{len(data)} bytes {hashlib.sha256(data).hexdigest()[:16]}"


def describe(st, blocks=False):
    """A stat result without what legally differs: device, inode number, times."""
    kind = KINDS.get(stat.S_IFMT(st.st_mode), oct(st.st_mode))
    text = (f"{kind} {stat.S_IMODE(st.st_mode):04o} nlink={st.st_nlink} "
            f"uid={st.st_uid} gid={st.st_gid} size={st.st_size}")
    if st.st_rdev:
        text += f" rdev={os.major(st.st_rdev)}:{os.minor(st.st_rdev)}"
    if blocks:
        text += f" blocks={st.st_blocks}"
    return text


class Recorder:
    """world tells what the process may do: 'root', 'user' or 'userns'."""

    def __init__(self, world, fs):
        self.world = world
        self.fs = fs
        self.lines = []
        self.fds = []

    def note(self, label, value):
        self.lines.append(f"{label}: {value}")

    def do(self, label, function, *args, **kwargs):
        """Calls and notes the result or the errno; returns the result, None after an error."""
        try:
            result = function(*args, **kwargs)
        except OSError as error:
            self.note(label, syscalls.errno_name(error.errno))
            return None
        if isinstance(result, bytes):
            self.note(label, digest(result))
        elif isinstance(result, os.stat_result):
            self.note(label, describe(result))
        elif result is None:
            self.note(label, "ok")
        else:
            self.note(label, repr(result))
        return result

    def open(self, path, flags=os.O_RDONLY, mode=0o644, label=None):
        """A descriptor (closed with the case), or None; the number is not noted."""
        label = label or f"open {path!r}"
        try:
            fd = os.open(path, flags | os.O_CLOEXEC, mode)
        except OSError as error:
            self.note(label, syscalls.errno_name(error.errno))
            return None
        self.note(label, "ok")
        self.fds.append(fd)
        return fd

    def close(self, fd):
        self.fds.remove(fd)
        self.do("close", os.close, fd)

    def stat(self, path, label=None, blocks=False, follow=False):
        """lstat unless follow; path may be a descriptor."""
        label = label or f"stat {path!r}"
        try:
            st = os.stat(path) if isinstance(path, int) or follow else os.lstat(path)
        except OSError as error:
            self.note(label, syscalls.errno_name(error.errno))
            return None
        self.note(label, describe(st, blocks))
        return st

    def write_file(self, path, data, mode=0o644):
        def write():
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
            try:
                return os.write(fd, data)
            finally:
                os.close(fd)
        return self.do(f"write {path!r}", write)

    def read_file(self, path, label=None):
        def read():
            with open(path, "rb", buffering=0) as stream:
                return stream.read()
        return self.do(label or f"read {path!r}", read)

    def listdir(self, path=".", label=None):
        return self.do(label or f"list {path!r}", lambda: sorted(os.listdir(os.fsencode(path))))

    def times(self, label, path, action, *args):
        """Notes which of atime, mtime and ctime the action moved."""
        get = (lambda: os.fstat(path)) if isinstance(path, int) else (lambda: os.lstat(path))
        before = get()
        time.sleep(0.012)  # the clock that stamps files ticks every 1 to 10 ms
        self.do(label, action, *args)
        try:
            after = get()
        except OSError as error:
            self.note(f"{label}, times", syscalls.errno_name(error.errno))
            return
        moved = [name for name in ("mtime", "ctime")
                 if getattr(after, f"st_{name}_ns") != getattr(before, f"st_{name}_ns")]
        self.note(f"{label}, moved", " ".join(moved) or "nothing")

    def as_user(self, uid, gid, groups, function):
        """
        Runs function(recorder) in a child with other ids; its lines are appended here.  Only in
        the root world.
        """
        def body(recorder):
            os.setgroups(groups)
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
            function(recorder)
        self.child(body)

    def child(self, function):
        """Runs function(recorder) in a child process and appends its lines."""
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            inner = Recorder(self.world, self.fs)
            try:
                function(inner)
            except BaseException:
                inner.note("exception", traceback.format_exc())
            try:
                with os.fdopen(writer, "w") as stream:
                    json.dump(inner.lines, stream)
            finally:
                os._exit(0)
        os.close(writer)
        with os.fdopen(reader) as stream:
            text = stream.read()
        _, status = os.waitpid(pid, 0)
        if status or not text:
            self.note("child", f"status {status}")
        else:
            self.lines += json.loads(text)
