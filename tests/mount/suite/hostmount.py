# SPDX-License-Identifier: BSD-3-Clause
"""File systems that the host mounts and unmounts below the share, under a running guest."""
import contextlib
import os
import subprocess
import time

from . import syscalls

GIVEN_BACK_SECONDS = 10  # what is mounted may be busy for as long after the guest's last look
CACHED_SECONDS = 1.3


class _Mounts:
    """Mounts of one test; what is left at the end is taken away."""

    def __init__(self, stand, fail):
        self.stand, self.fail, self.places = stand, fail, []

    def host(self, name):
        return os.path.join(self.stand.share, name)

    def view(self, name):
        return os.path.join(self.stand.mnt, name)

    def mount(self, name, *arguments):
        subprocess.run(["mount", *arguments, self.host(name)], check=True)
        self.places.append(name)

    def tmpfs(self, name, content=None, options="size=10m"):
        self.mount(name, "-t", "tmpfs", "-o", options, "tmpfs")
        if content is not None:
            self.put(os.path.join(name, "f"), content)

    def put(self, name, content):
        with open(self.host(name), "w") as stream:
            stream.write(content)

    def unmount(self, name, *options):
        done = subprocess.run(["umount", *options, self.host(name)], stderr=subprocess.PIPE,
                              check=False)
        if done.returncode == 0:
            self.places.remove(name)
        return done.returncode == 0

    def unmount_soon(self, name):
        deadline = time.monotonic() + GIVEN_BACK_SECONDS
        while not self.unmount(name):
            if time.monotonic() > deadline:
                self.fail(f"{name} is still busy after {GIVEN_BACK_SECONDS} s")
                return
            time.sleep(0.1)

    def settle(self):
        """Until nothing that the guest has cached is good any more."""
        if "--cache=auto" in self.stand.options:
            time.sleep(CACHED_SECONDS)

    def expect(self, label, expected, function, *args):
        try:
            seen = function(*args)
        except OSError as error:
            seen = syscalls.errno_name(error.errno)
        if seen != expected:
            self.fail(f"{label}: {seen!r}, not {expected!r}")

    def content(self, name):
        with open(self.view(name)) as stream:
            return stream.read()

    def names(self, name):
        return sorted(os.listdir(self.view(name)))


@contextlib.contextmanager
def _mounts(stand, fail):
    mounts = _Mounts(stand, fail)
    try:
        yield mounts
    finally:
        for name in reversed(mounts.places):
            subprocess.run(["umount", "-l", mounts.host(name)], check=False)


def come_and_go(stand, fail):
    """Each mount is seen, can be used, and can be unmounted when the guest is done; no file of an
    earlier mount is ever taken for one of a later, though ids, devices and numbers come again."""
    with _mounts(stand, fail) as m:
        os.mkdir(m.host("d"))
        m.put("d/f", "covered")
        for number in range(3):
            m.expect("before", "covered", m.content, "d/f")
            m.tmpfs("d", f"mounted {number}")
            m.settle()
            m.expect("mounted", f"mounted {number}", m.content, "d/f")
            with open(m.view("d/new"), "w") as stream:
                stream.write("from the guest")
            m.expect("list", ["f", "new"], m.names, "d")
            with open(m.host("d/new")) as stream:
                m.expect("on the host", "from the guest", stream.read)
            m.unmount_soon("d")
            m.settle()
            m.expect("covered again", ["f"], m.names, "d")
        m.expect("at the end", "covered", m.content, "d/f")


def used_after_a_rest(stand, fail):
    """What the guest knows there still works when our descriptors have been given back."""
    with _mounts(stand, fail) as m:
        name = "a b\\134\n\t#"  # the list of mounts has it in other letters
        os.mkdir(m.host(name))
        m.tmpfs(name, "one")
        os.makedirs(m.host(name + "/x/y"))
        m.put(name + "/x/y/g", "deep")
        m.settle()
        m.expect("first", "deep", m.content, name + "/x/y/g")
        folder = os.open(m.view(name + "/x"), os.O_PATH | os.O_DIRECTORY)
        time.sleep(6)
        m.expect("deep", "deep", m.content, name + "/x/y/g")
        m.expect("first file", "one", m.content, name + "/f")
        time.sleep(6)
        m.expect("from a folder that is held", ["g"],
                 lambda: sorted(os.listdir(f"/proc/self/fd/{folder}/y")))
        os.close(folder)
        m.unmount_soon(name)


def open_files_keep_it(stand, fail):
    """A file that the guest has open keeps a file system busy, as any program's does."""
    with _mounts(stand, fail) as m:
        os.mkdir(m.host("d"))
        m.tmpfs("d", "open")
        m.settle()
        fd = os.open(m.view("d/f"), os.O_RDWR)
        time.sleep(5)
        if m.unmount("d"):
            fail("the host could unmount what is in use")
        if not m.unmount("d", "-l"):
            fail("umount -l")
        m.settle()
        m.expect("covered", [], m.names, "d")
        m.expect("read", b"open", os.pread, fd, 10, 0)
        m.expect("write", 4, os.pwrite, fd, b"more", 4)
        m.expect("read again", b"openmore", os.pread, fd, 10, 0)
        m.expect("truncate", None, os.ftruncate, fd, 2)
        m.expect("size", 2, lambda: os.fstat(fd).st_size)
        m.expect("sync", None, os.fsync, fd)
        os.close(fd)


def nested(stand, fail):
    with _mounts(stand, fail) as m:
        os.mkdir(m.host("a"))
        m.tmpfs("a", "outer")
        os.mkdir(m.host("a/b"))
        m.settle()
        m.expect("inner folder", [], m.names, "a/b")
        m.tmpfs("a/b", "inner")
        m.settle()
        m.expect("outer", "outer", m.content, "a/f")
        m.expect("inner", "inner", m.content, "a/b/f")
        # One on top of the other.
        m.tmpfs("a/b", "top")
        m.settle()
        m.expect("top", "top", m.content, "a/b/f")
        m.unmount_soon("a/b")
        m.settle()
        m.expect("inner again", "inner", m.content, "a/b/f")
        m.unmount_soon("a/b")
        m.settle()
        m.expect("gone", [], m.names, "a/b")
        m.unmount_soon("a")


def bound(stand, fail):
    """Bind mounts: of a file, of a folder, and of a folder above."""
    with _mounts(stand, fail) as m:
        for name in ("from", "to", "up"):
            os.mkdir(m.host(name))
        m.put("from/f", "in from")
        m.put("file", "the file")
        m.put("target", "covered")
        m.expect("before", "covered", m.content, "target")
        m.mount("to", "--bind", m.host("from"))
        m.mount("target", "--bind", m.host("file"))
        m.mount("up", "--bind", stand.share)
        m.settle()
        m.expect("folder", "in from", m.content, "to/f")
        m.expect("file", "the file", m.content, "target")
        m.expect("loop", [], m.names, "up/up")
        m.expect("through the loop", "in from", m.content, "up/from/f")
        m.expect("not mounted there", [], m.names, "up/to")
        with open(m.view("target"), "w") as stream:
            stream.write("changed")
        m.expect("the same file", "changed", m.content, "file")
        m.expect("rename across", "EXDEV", os.rename, m.view("to/f"), m.view("from/g"))
        m.expect("unlink of what is mounted on", "EBUSY", os.unlink, m.view("target"))
        m.expect("rmdir of what is mounted on", "EBUSY", os.rmdir, m.view("to"))
        for name in ("to", "target", "up"):
            m.unmount_soon(name)
        m.settle()
        m.expect("uncovered", "covered", m.content, "target")
        m.expect("uncovered folder", [], m.names, "to")


def readonly(stand, fail):
    with _mounts(stand, fail) as m:
        os.mkdir(m.host("d"))
        m.tmpfs("d", "fixed")
        subprocess.run(["mount", "-o", "remount,ro", m.host("d")], check=True)
        m.settle()
        m.expect("read", "fixed", m.content, "d/f")
        m.expect("create", "EROFS", lambda: open(m.view("d/new"), "w"))
        m.expect("write", "EROFS", os.open, m.view("d/f"), os.O_RDWR)
        m.expect("unlink", "EROFS", os.unlink, m.view("d/f"))
        m.expect("chmod", "EROFS", os.chmod, m.view("d/f"), 0o600)
        m.expect("mkdir", "EROFS", os.mkdir, m.view("d/new"))
        subprocess.run(["mount", "-o", "remount,rw", m.host("d")], check=True)
        m.expect("chmod, writable", None, os.chmod, m.view("d/f"), 0o600)
        m.unmount_soon("d")


def without_handles(stand, fail):
    """Where a descriptor is held for each inode the host has to take it away with umount -l."""
    with _mounts(stand, fail) as m:
        for name in ("lower", "upper", "work", "d"):
            os.mkdir(m.host(name))
        m.put("lower/f", "from below")
        m.tmpfs("upper")
        for name in ("u", "w"):
            os.mkdir(m.host("upper/" + name))
        m.mount("d", "-t", "overlay", "-o", f"lowerdir={m.host('lower')},"
                f"upperdir={m.host('upper/u')},workdir={m.host('upper/w')}", "overlay")
        m.settle()
        m.expect("read", "from below", m.content, "d/f")
        m.expect("change", None, os.truncate, m.view("d/f"), 4)
        m.expect("changed", "from", m.content, "d/f")
        if not m.unmount("d", "-l"):
            fail("umount -l")
        m.settle()
        m.expect("covered", [], m.names, "d")


_BOTH = (come_and_go, used_after_a_rest, open_files_keep_it, nested, bound, readonly)
PLAN = tuple((fs, (cache,), function) for function in _BOTH
             for fs, cache in (("ext4", "--cache=never"), ("xfs", "--cache=auto"))) + (
    ("ext4", ("--cache=never",), without_handles),
    ("ext4", ("--cache=auto", "--sandbox=none"), come_and_go),
    ("ext4", ("--cache=never", "--sandbox=chroot"), come_and_go),
    ("ext4", ("--cache=never", "--sandbox=chroot"), nested),
    ("tmpfs", ("--cache=always",), used_after_a_rest),
)
