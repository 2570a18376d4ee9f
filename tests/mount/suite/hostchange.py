# SPDX-License-Identifier: BSD-3-Clause
"""
What a program in the guest sees of changes that the host makes.  A change is a generator of three
parts, parted by yield: the host prepares and the program looks at it (so that it is cached); the
host changes it; the program looks again.  All parts of all changes run in one process, first with
the host's own folder as the program's view, then with the mount: what is noted must be the same,
at once with --cache=never, after the second that entries are good for with --cache=auto.  Before
that, and for ever with --cache=always, old or new may be seen, but never one of NEVER_SEEN.
"""
import errno
import os
import subprocess
import time

from . import compare, syscalls
from .recorder import Recorder

NEVER_SEEN = ("ESTALE", "EIO", "ENOTCONN", "EBADF", "ENOSYS")

CHANGES = []


def change(function):
    CHANGES.append(function)
    return function


class Sides:
    """One change's folder, as the host has it and as the program sees it."""

    def __init__(self, host, view, log):
        self.host, self.view, self.log = host, view, log

    def put(self, name, data=b"data"):
        """The host writes a file, in place."""
        with open(os.path.join(self.host, name), "wb") as stream:
            stream.write(data)

    def replace(self, name, data):
        """The host writes a new file and gives it the name, as editors do."""
        self.put(name + "~", data)
        os.rename(os.path.join(self.host, name + "~"), os.path.join(self.host, name))

    def h(self, name):
        return os.path.join(self.host, name)

    def v(self, name):
        return os.path.join(self.view, name)

    def warm(self, *names):
        for name in names:
            path = self.v(name)
            os.lstat(path)
            if os.path.islink(path):
                os.readlink(path)
            elif os.path.isdir(path):
                os.listdir(path)
            else:
                with open(path, "rb") as stream:
                    stream.read()

    def see(self, label, function, *args, **kwargs):
        return self.log.do(label, function, *args, **kwargs)

    def see_file(self, name):
        self.log.stat(self.v(name), label=f"stat {name}")
        self.log.read_file(self.v(name), label=f"read {name}")


def _run(path):
    """The errno of exec, or how the program ended."""
    try:
        return subprocess.run([path], check=False, stdin=subprocess.DEVNULL).returncode
    except OSError as error:
        return syscalls.errno_name(error.errno)


def _close(opener, *args):
    os.close(opener(*args))


def _name_calls(sides):
    """Every call that takes a path, each on a name of its own: {name: (kind, function)}."""
    v = sides.v
    return {
        "stat": ("file", lambda p: sides.log.stat(p, label="stat")),
        "open": ("file", lambda p: _close(os.open, p, os.O_RDONLY)),
        "open_write": ("file", lambda p: _close(os.open, p, os.O_RDWR)),
        "open_append": ("file", lambda p: _close(os.open, p, os.O_WRONLY | os.O_APPEND)),
        "open_path": ("file", lambda p: _close(os.open, p, os.O_PATH)),
        "open_trunc": ("file", lambda p: _close(os.open, p, os.O_WRONLY | os.O_TRUNC)),
        "access": ("file", lambda p: os.access(p, os.R_OK)),
        "chmod": ("file", lambda p: os.chmod(p, 0o600)),
        "chown": ("file", lambda p: os.chown(p, -1, -1)),
        "truncate": ("file", lambda p: os.truncate(p, 2)),
        "utime": ("file", lambda p: os.utime(p, (1, 2))),
        "unlink": ("file", os.unlink),
        "rename": ("file", lambda p: os.rename(p, v("renamed"))),
        "link": ("file", lambda p: os.link(p, v("linked"))),
        "exchange": ("file", lambda p: syscalls.renameat2(p, v("survivor"),
                                                          syscalls.RENAME_EXCHANGE)),
        "statvfs": ("file", lambda p: os.statvfs(p) and None),
        "getxattr": ("file", lambda p: os.getxattr(p, "user.x")),
        "setxattr": ("file", lambda p: os.setxattr(p, "user.x", b"2")),
        "listxattr": ("file", lambda p: sorted(n for n in os.listxattr(p) if "user." in n)),
        "removexattr": ("file", lambda p: os.removexattr(p, "user.x")),
        "execute": ("program", _run),
        "readlink": ("link", os.readlink),
        "lstat_link": ("link", lambda p: sides.log.stat(p, label="lstat_link")),
        "through_link": ("link_to_dir", lambda p: os.listdir(p + "/")),
        "listdir": ("dir", lambda p: sorted(os.listdir(p))),
        "rmdir": ("dir", os.rmdir),
        "chdir": ("dir", lambda p: (os.chdir(p), os.chdir("/"))[0]),
        "rename_dir": ("dir", lambda p: os.rename(p, v("renamed_dir"))),
        "create_below": ("dir", lambda p: _close(os.open, p + "/new", os.O_CREAT | os.O_WRONLY)),
        "mkdir_below": ("dir", lambda p: os.mkdir(p + "/new")),
        "symlink_below": ("dir", lambda p: os.symlink("x", p + "/new")),
        "mkfifo_below": ("dir", lambda p: os.mkfifo(p + "/new")),
        "link_below": ("dir", lambda p: os.link(v("survivor"), p + "/new")),
        "rename_below": ("dir", lambda p: os.rename(v("survivor"), p + "/new")),
        "stat_below": ("dir", lambda p: sides.log.stat(p + "/f", label="stat_below")),
        "open_below": ("dir", lambda p: _close(os.open, p + "/f", os.O_RDONLY)),
        "unlink_below": ("dir", lambda p: os.unlink(p + "/f")),
        "missing_below": ("dir", lambda p: os.stat(p + "/none")),
    }


def _make(sides, name, kind):
    path = sides.h(name)
    if kind == "dir":
        os.mkdir(path)
        sides.put(name + "/f")
    elif kind == "link":
        os.symlink("survivor", path)
    elif kind == "link_to_dir":
        os.symlink("linked-dir", path)
    elif kind == "program":
        sides.put(name, b"#!/bin/sh\nexit 3\n")
        os.chmod(path, 0o755)
    else:
        sides.put(name)
        os.setxattr(path, "user.x", b"1")


def _prepare_names(sides):
    calls = _name_calls(sides)
    sides.put("survivor", b"still here")
    os.mkdir(sides.h("linked-dir"))
    for name, (kind, _) in calls.items():
        _make(sides, name, kind)
    sides.warm("survivor", "linked-dir", *calls)
    sides.warm(*(name + "/f" for name, (kind, _) in calls.items() if kind == "dir"))
    return calls


def _see_names(sides, calls):
    for name, (_, function) in calls.items():
        sides.see(name, function, sides.v(name))


@change
def names_deleted(sides):
    calls = _prepare_names(sides)
    yield
    for name, (kind, _) in calls.items():
        if kind == "dir":
            os.unlink(sides.h(name + "/f"))
            os.rmdir(sides.h(name))
        else:
            os.unlink(sides.h(name))
    os.rmdir(sides.h("linked-dir"))
    yield
    _see_names(sides, calls)


@change
def names_moved_away(sides):
    calls = _prepare_names(sides)
    os.mkdir(sides.h("away"))
    yield
    for name in calls:
        os.rename(sides.h(name), sides.h("away/" + name))
    yield
    _see_names(sides, calls)
    for name in ("open", "unlink", "chmod"):
        sides.see_file("away/" + name)


@change
def names_replaced(sides):
    """The same kinds again, made anew."""
    calls = _prepare_names(sides)
    yield
    for name, (kind, _) in calls.items():
        if kind == "dir":
            os.unlink(sides.h(name + "/f"))
            os.rmdir(sides.h(name))
        else:
            os.unlink(sides.h(name))
        _make(sides, name, kind)
    yield
    _see_names(sides, calls)


@change
def file_replaced_again_and_again(sides):
    sides.put("f", b"first")
    sides.warm("f")
    yield
    for number in range(50):
        sides.replace("f", b"version %d" % number)
    yield
    sides.see_file("f")


@change
def number_reused(sides):
    """ext4 gives the number of a deleted file to the next one."""
    for number in range(20):
        sides.put(f"f{number}", b"old %d" % number)
    sides.warm(*(f"f{number}" for number in range(20)))
    yield
    for number in range(20):
        os.unlink(sides.h(f"f{number}"))
        sides.put(f"f{number}", b"the new %d" % number)
    yield
    for number in range(20):
        sides.see_file(f"f{number}")


@change
def number_reused_while_open(sides):
    for number in range(20):
        sides.put(f"f{number}", b"old %d" % number)
    fds = [os.open(sides.v(f"f{number}"), os.O_RDWR) for number in range(20)]
    yield
    for number in range(20):
        os.unlink(sides.h(f"f{number}"))
        sides.put(f"f{number}", b"the new %d" % number)
    yield
    for number, fd in enumerate(fds):
        sides.see(f"old {number}", os.pread, fd, 100, 0)
        sides.see_file(f"f{number}")
        os.close(fd)


@change
def kinds_change(sides):
    names = ("file_dir", "dir_file", "file_link", "link_file", "dir_link", "link_dir", "file_fifo",
             "fifo_file")
    kinds = {"file": lambda p: sides.put(os.path.basename(p), p[-3:].encode()), "dir": os.mkdir,
             "link": lambda p: os.symlink("target", p), "fifo": os.mkfifo}
    sides.put("target", b"target")
    for name in names:
        kinds[name.split("_")[0]](sides.h(name))
        os.lstat(sides.v(name))
    sides.warm("file_dir", "dir_file", "link_file")
    yield
    for name in names:
        path = sides.h(name)
        (os.rmdir if os.path.isdir(path) and not os.path.islink(path) else os.unlink)(path)
        kinds[name.split("_")[1]](path)
    yield
    for name in names:
        sides.log.stat(sides.v(name), label=f"lstat {name}")
        if "fifo" not in name:
            sides.log.read_file(sides.v(name), label=f"content {name}")
            sides.see(f"list {name}", lambda p: sorted(os.listdir(p)), sides.v(name))
            sides.see(f"readlink {name}", os.readlink, sides.v(name))


@change
def grown_and_cut(sides):
    sides.put("grown", b"x" * 5000)
    sides.put("cut", b"x" * 5000)
    sides.put("rewritten", b"x" * 5000)
    sides.warm("grown", "cut", "rewritten")
    yield
    with open(sides.h("grown"), "ab") as stream:
        stream.write(b"y" * 5000)
    os.truncate(sides.h("cut"), 100)
    sides.put("rewritten", b"z" * 5000)
    os.chmod(sides.h("rewritten"), 0o600)
    yield
    for name in ("grown", "cut", "rewritten"):
        sides.see_file(name)


@change
def hard_links(sides):
    sides.put("a", b"linked")
    os.link(sides.h("a"), sides.h("b"))
    sides.warm("a", "b")
    yield
    os.unlink(sides.h("a"))
    os.link(sides.h("b"), sides.h("c"))
    os.link(sides.h("b"), sides.h("d"))
    yield
    sides.see_file("a")
    for name in "bcd":
        sides.see_file(name)
    same = {os.stat(sides.v(name)).st_ino for name in "bcd"}
    sides.log.note("one number", len(same) == 1)


@change
def deleted_while_open(sides):
    sides.put("f", b"before")
    os.mkdir(sides.h("d"))
    sides.put("d/g", b"inner")
    fd = os.open(sides.v("f"), os.O_RDWR)
    below = os.open(sides.v("d/g"), os.O_RDWR | os.O_APPEND)
    yield
    os.unlink(sides.h("f"))
    os.unlink(sides.h("d/g"))
    os.rmdir(sides.h("d"))
    yield
    for label, this in (("f", fd), ("g", below)):
        sides.see(f"read {label}", os.pread, this, 100, 0)
        sides.see(f"write {label}", os.write, this, b"-more")
        sides.see(f"read {label} again", os.pread, this, 100, 0)
        sides.see(f"truncate {label}", os.ftruncate, this, 3)
        sides.log.stat(this, label=f"fstat {label}")
        sides.see(f"fchmod {label}", os.fchmod, this, 0o640)
        sides.see(f"fsync {label}", os.fsync, this)
        sides.log.stat(this, label=f"fstat {label}, again")
        sides.see(f"xattr {label}", os.setxattr, this, "user.x", b"v")
        sides.see(f"reopen {label}", lambda n: _close(os.open, n, os.O_RDONLY),
                  f"/proc/self/fd/{this}")
        os.close(this)


@change
def folder_deleted_while_in_it(sides):
    """As for a program whose current directory is gone."""
    os.mkdir(sides.h("d"))
    sides.put("d/f")
    os.mkdir(sides.h("d/sub"))
    sides.warm("d", "d/f", "d/sub")
    fd = os.open(sides.v("d"), os.O_RDONLY | os.O_DIRECTORY)
    yield
    os.unlink(sides.h("d/f"))
    os.rmdir(sides.h("d/sub"))
    os.rmdir(sides.h("d"))
    yield
    os.fchdir(fd)
    for label, function in (
            ("stat f", lambda: os.stat("f")), ("open f", lambda: _close(os.open, "f", os.O_RDONLY)),
            ("create", lambda: _close(os.open, "new", os.O_CREAT | os.O_WRONLY)),
            ("mkdir", lambda: os.mkdir("new")), ("symlink", lambda: os.symlink("x", "new")),
            ("rename", lambda: os.rename("f", "g")), ("unlink", lambda: os.unlink("f")),
            ("rmdir", lambda: os.rmdir("sub")), ("stat sub/x", lambda: os.stat("sub/x")),
            ("link", lambda: os.link("f", "g")),
            ("list", lambda: os.listdir(".")), ("list fd", lambda: os.listdir(fd)),
            ("stat .", lambda: os.stat(".").st_nlink * 0), ("fstat", lambda: os.fstat(fd) and None),
            ("stat ..", lambda: os.stat("..") and None)):
        sides.see(label, function)
    os.chdir("/")
    os.close(fd)


@change
def tree_moved(sides):
    """A file in use deep in a folder that moves elsewhere."""
    os.makedirs(sides.h("a/b/c"))
    os.mkdir(sides.h("other"))
    sides.put("a/b/c/f", b"deep")
    sides.warm("a", "a/b", "a/b/c", "a/b/c/f")
    fd = os.open(sides.v("a/b/c/f"), os.O_RDWR)
    folder = os.open(sides.v("a/b/c"), os.O_RDONLY)
    yield
    os.rename(sides.h("a/b"), sides.h("other/moved"))
    yield
    sides.see_file("a/b/c/f")
    sides.see_file("other/moved/c/f")
    sides.see("read fd", os.pread, fd, 10, 0)
    sides.see("list fd", lambda: sorted(os.listdir(folder)))
    os.fchdir(folder)
    sides.see("list", lambda: sorted(os.listdir(".")))
    sides.see("write below", lambda: _close(os.open, "new", os.O_CREAT | os.O_WRONLY))
    os.chdir("/")
    sides.see("list moved", lambda: sorted(os.listdir(sides.v("other/moved/c"))))
    os.close(fd)
    os.close(folder)


@change
def folders_swapped(sides):
    for name in "ab":
        os.mkdir(sides.h(name))
        sides.put(name + "/f", b"in " + name.encode())
        sides.put(f"{name}/only_{name}")
        sides.warm(name, name + "/f")
    yield
    syscalls.renameat2(sides.h("a"), sides.h("b"), syscalls.RENAME_EXCHANGE)
    yield
    for name in "ab":
        sides.see_file(name + "/f")
        sides.see(f"list {name}", lambda n=name: sorted(os.listdir(sides.v(n))))
        sides.see(f"stat {name}/only_a", lambda n=name: os.stat(sides.v(n + "/only_a")) and None)


@change
def links_followed(sides):
    for name in "ab":
        os.mkdir(sides.h(name))
        sides.put(name + "/f", name.encode())
    os.symlink("a", sides.h("l"))
    os.symlink("l/f", sides.h("m"))
    sides.warm("l", "l/f", "m")
    yield
    os.symlink("b", sides.h("l~"))
    os.rename(sides.h("l~"), sides.h("l"))
    yield
    sides.see_file("l/f")
    sides.see_file("m")
    sides.see("readlink", os.readlink, sides.v("l"))


@change
def appeared(sides):
    for name in ("f", "d", "d/x"):
        try:
            os.stat(sides.v(name))
        except OSError as error:
            sides.log.note(f"before {name}", syscalls.errno_name(error.errno))
    os.listdir(sides.view)
    yield
    sides.put("f", b"here")
    os.mkdir(sides.h("d"))
    sides.put("d/x", b"too")
    yield
    sides.see_file("f")
    sides.see_file("d/x")
    sides.see("list", lambda: sorted(os.listdir(sides.view)))


def perform(host, view, idle, wait):
    """
    In a child: all changes. idle: seconds between the first look and the change. wait: None (look
    at once), or seconds that what is cached is good for. Returns {change: (early lines, lines)}.
    """
    os.umask(0o022)
    running = []
    for function in CHANGES:
        for when in ("early", "late"):
            place = f"{function.__name__}-{when}"
            os.mkdir(os.path.join(host, place))
            log = Recorder("root", "")
            running.append((function.__name__, when, log, function(
                Sides(os.path.join(host, place), os.path.join(view, place), log))))
    for entry in running:
        next(entry[3])
    time.sleep(idle)
    result = {}
    for when in ("early", "late"):
        mine = [entry for entry in running if entry[1] == when]
        for entry in mine:
            next(entry[3])
        if when == "late":
            time.sleep(wait)
        for name, _, log, generator in mine:
            for _ in generator:
                pass
            result.setdefault(name, {})[when] = log.lines
    return result
