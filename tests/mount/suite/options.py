# SPDX-License-Identifier: BSD-3-Clause
"""test_options: stands with other options than the default."""
import os
import subprocess
import time

from . import compare, hostfs, isolation, options_export, options_flags, options_unopened, runner
from . import syscalls
from . import world as worlds
from .stand import Stand, StandError

# Each with all cases, as root, on a file system of its own choice.
VARIANTS = (
    ("ext4", ("--cache=never", "--inode-file-handles=mandatory")),
    ("xfs", ("--cache=never", "--allow-mmap", "--allow-direct-io")),
    ("btrfs", ("--cache=always", "--no-open", "--killpriv-v2")),
    ("tmpfs", ("--cache=metadata", "--no-readdirplus")),
    ("tmpfs", ("--no-killpriv-v2", "--posix-acl=auto")),
    ("ext4", ("--cache=always", "--writeback", "--inode-file-handles=never")),
    ("xfs", ("--modcaps=+sys_admin", "--sandbox=chroot", "--thread-pool-size=4")),
    ("ext4", ("--posix-lock", "--flock")),
    ("tmpfs", ("--writeback", "--killpriv-v2", "--posix-acl", "--inode-file-handles=never")),
    # The one without a sandbox: here the leak checker of a sanitizer build can work.
    ("tmpfs", ("--sandbox=none", "--seccomp=none", "--inode-file-handles=prefer")),
)


class Check:
    """One stand with its own test; failures are collected, not raised."""

    def __init__(self, tally, base, root, name, options, **kwargs):
        self.tally, self.name = tally, name
        place = os.path.join(root, name)
        os.mkdir(place)
        scratch = os.path.join(base, "check-" + name)
        os.mkdir(scratch)
        self.world = worlds.make(kwargs.pop("world", "root"))
        self.stand = Stand(scratch, place, self.world, options, **kwargs)
        self.faults = []

    def run(self, test):
        try:
            with self.stand:
                test(self)
                self.expect(self.stand.alive(), "a process died")
        except (StandError, OSError, RuntimeError) as error:
            self.faults.append(repr(error))
        finally:
            self.world.close()
        for fault in self.faults + self.stand.complaints:
            self.tally.fail(self.name, fault)
        if not self.faults and not self.stand.complaints:
            self.tally.passed += 1

    def expect(self, condition, text):
        if not condition:
            self.faults.append(text)

    def error(self, expected, label, function, *args):
        try:
            result = function(*args)
        except OSError as error:
            name = syscalls.errno_name(error.errno)
        else:
            name = f"success ({result!r})"
        self.expect(name == expected, f"{label}: {name}, not {expected}")


def fill(root):
    os.makedirs(os.path.join(root, "d", "e"))
    for name in ("f", "d/g"):
        with open(os.path.join(root, name), "w") as stream:
            stream.write("content")
    os.symlink("f", os.path.join(root, "l"))
    os.setxattr(os.path.join(root, "f"), "user.x", b"v")


def readonly(check):
    """EROFS for everything that would change something, and nothing changes."""
    mnt = check.stand.mnt

    def at(name):
        return os.path.join(mnt, name)

    def opened(name, flags):
        os.close(os.open(at(name), flags, 0o644))

    before = compare.tree(check.stand.share, compare.EXACT)
    tries = (
        ("create", opened, "new", os.O_CREAT | os.O_WRONLY),
        ("open for writing", opened, "f", os.O_WRONLY),
        ("open for both", opened, "f", os.O_RDWR),
        ("open with O_TRUNC", opened, "f", os.O_RDONLY | os.O_TRUNC),
        ("mkdir", os.mkdir, at("new")), ("rmdir", os.rmdir, at("d/e")),
        ("unlink", os.unlink, at("f")), ("rename", os.rename, at("f"), at("g")),
        ("exchange", syscalls.renameat2, at("f"), at("d/g"), syscalls.RENAME_EXCHANGE),
        ("link", os.link, at("f"), at("g")), ("symlink", os.symlink, "x", at("s")),
        ("mknod", os.mkfifo, at("p")), ("chmod", os.chmod, at("f"), 0o600),
        ("chown", os.chown, at("f"), 1, 1), ("truncate", os.truncate, at("f"), 0),
        ("utime", os.utime, at("f")), ("setxattr", os.setxattr, at("f"), "user.y", b"v"),
        ("removexattr", os.removexattr, at("f"), "user.x"),
    )
    for label, function, *args in tries:
        check.error("EROFS", label, function, *args)
    with open(at("f")) as stream:
        check.expect(stream.read() == "content", "reading gives other content")
    check.expect(os.getxattr(at("f"), "user.x") == b"v", "getxattr")
    check.expect(sorted(os.listdir(at("d"))) == ["e", "g"], "list")
    check.expect(os.readlink(at("l")) == "f", "readlink")
    check.expect(os.statvfs(mnt).f_blocks > 0, "statfs")
    fd = os.open(at("f"), os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)
    check.expect(compare.tree(check.stand.share, compare.EXACT) == before, "something changed")


def submounts(check):
    """
    A tmpfs below the share, mounted before the start. The client behind /dev/fuse never
    negotiates SUBMOUNTS (only virtiofs does), so st_dev is one here; the vm suite sees two.
    """
    mnt = check.stand.mnt
    outer, inner = os.stat(mnt), os.stat(os.path.join(mnt, "sub"))
    file = os.stat(os.path.join(mnt, "sub", "f"))
    with open(os.path.join(mnt, "sub", "f")) as stream:
        check.expect(stream.read() == "below", "content below the mount point")
    check.expect(outer.st_dev == inner.st_dev, "st_dev differs without SUBMOUNTS")
    check.expect(outer.st_ino != inner.st_ino, "one number for both roots")
    check.expect(file.st_dev == inner.st_dev, "the file's st_dev is not its folder's")
    names = [e.name for e in os.scandir(mnt)]
    check.expect("sub" in names, "not listed")
    with open(os.path.join(mnt, "sub", "new"), "w") as stream:
        stream.write("made")
    with open(os.path.join(check.stand.share, "sub", "new")) as stream:
        check.expect(stream.read() == "made", "writing below the mount point")
    check.error("EXDEV", "rename across", os.rename, os.path.join(mnt, "sub", "f"),
                os.path.join(mnt, "f"))
    check.error("EXDEV", "link across", os.link, os.path.join(mnt, "sub", "f"),
                os.path.join(mnt, "f"))
    check.error("EBUSY", "rmdir of a mount point", os.rmdir, os.path.join(mnt, "sub"))
    # Two files of the same number on two file systems are two files.
    check.expect(sorted(os.listdir(os.path.join(mnt, "sub"))) == ["f", "new"], "list of sub")


def budget(check):
    """More open files than the limit allows: an errno, and the daemon goes on."""
    fds = []
    try:
        _spend_budget(check, fds)
    finally:
        for fd in fds:
            os.close(fd)
    # RELEASE is not waited for by close().
    deadline = time.monotonic() + 5
    while True:
        try:
            os.close(os.open(os.path.join(check.stand.mnt, "later"), os.O_CREAT | os.O_RDWR, 0o644))
            break
        except OSError as error:
            if time.monotonic() > deadline:
                raise RuntimeError(f"after closing all: {error}") from None
            time.sleep(0.05)
    check.expect(len(os.listdir(check.stand.mnt)) >= len(fds), "list after closing all")


def _spend_budget(check, fds):
    mnt = check.stand.mnt
    code = None
    try:
        for i in range(1000):
            fds.append(os.open(os.path.join(mnt, f"f{i}"), os.O_CREAT | os.O_RDWR, 0o644))
    except OSError as error:
        code = syscalls.errno_name(error.errno)
    check.expect(code == "ENFILE", f"after {len(fds)} open files: {code}, not ENFILE")
    check.expect(len(fds) >= 50, f"only {len(fds)} files could be opened with a limit of 256")
    check.error("ENFILE", "one more", os.open, os.path.join(mnt, "f0"), os.O_RDONLY)
    os.write(fds[0], b"still works")
    check.expect(os.pread(fds[0], 20, 0) == b"still works", "an open file does not work")
    # What needs no new descriptor for the guest goes on: names, attributes, removal.
    for i in range(len(fds)):
        check.expect(os.stat(os.path.join(mnt, f"f{i}")).st_size == (11 if i == 0 else 0), "stat")
    os.mkdir(os.path.join(mnt, "d"))
    os.rename(os.path.join(mnt, "f1"), os.path.join(mnt, "d", "f1"))
    os.unlink(os.path.join(mnt, "d", "f1"))
    os.rmdir(os.path.join(mnt, "d"))
    os.truncate(os.path.join(mnt, "f0"), 5)


def many_inodes(check):
    """More known inodes than descriptors: never a failed lookup."""
    mnt = check.stand.mnt
    for i in range(3000):
        os.close(os.open(os.path.join(check.stand.share, f"f{i}"), os.O_CREAT | os.O_WRONLY, 0o644))
    numbers = {os.stat(os.path.join(mnt, f"f{i}")).st_ino for i in range(3000)}
    check.expect(len(numbers) == 3000, f"{len(numbers)} numbers for 3000 files")
    check.expect(len(os.listdir(mnt)) == 3000, "list")
    for i in range(0, 3000, 7):
        with open(os.path.join(mnt, f"f{i}"), "w") as stream:
            stream.write(str(i))
        with open(os.path.join(check.stand.share, f"f{i}")) as stream:
            check.expect(stream.read() == str(i), f"f{i} is another file")


def special_files(check):
    """A FIFO on the share: open on the mount is the client's, and the daemon never hangs on it."""
    os.mkfifo(os.path.join(check.stand.share, "p"))
    os.stat(os.path.join(check.stand.mnt, "p"))
    check.error("EINVAL", "truncate of a FIFO", os.truncate, os.path.join(check.stand.mnt, "p"), 0)
    os.chmod(os.path.join(check.stand.mnt, "p"), 0o600)
    check.expect(os.stat(os.path.join(check.stand.share, "p")).st_mode & 0o777 == 0o600, "chmod")


def host_changes(check):
    """cache=never: what the host does is seen at once."""
    mnt, share = check.stand.mnt, check.stand.share
    path = os.path.join(share, "f")
    for i in range(20):
        with open(path, "w") as stream:
            stream.write("x" * i)
        with open(os.path.join(mnt, "f")) as stream:
            check.expect(stream.read() == "x" * i, f"content of round {i}")
        check.expect(os.stat(os.path.join(mnt, "f")).st_size == i, f"size of round {i}")
        os.rename(path, path + "2")
        check.error("ENOENT", "old name", os.stat, os.path.join(mnt, "f"))
        os.unlink(path + "2")
        check.error("ENOENT", "gone", os.stat, os.path.join(mnt, "f2"))


def xattrmap(check):
    """Names are others on the host, by the rules of the second documented example."""
    path, host = os.path.join(check.stand.mnt, "f"), os.path.join(check.stand.share, "f")
    os.setxattr(host, "user.virtiofs.trusted.old", b"from before")
    os.setxattr(host, "trusted.hosts", b"own")
    os.setxattr(path, "trusted.new", b"value")
    check.expect(os.getxattr(host, "user.virtiofs.trusted.new") == b"value", "set")
    check.expect(os.getxattr(path, "trusted.old") == b"from before", "get")
    check.expect(sorted(os.listxattr(path)) == ["trusted.new", "trusted.old", "user.x"], "list")
    size = syscalls.libc.listxattr(os.fsencode(path), None, 0)
    check.expect(size == len("trusted.new trusted.old user.x "), f"size of the list: {size}")
    check.error("ENODATA", "the host's own", os.getxattr, path, "trusted.hosts")
    for function, *more in ((os.getxattr,), (os.setxattr, b"forged"), (os.removexattr,)):
        check.error("EPERM", function.__name__, function, path, "user.virtiofs.trusted.old", *more)
    os.removexattr(path, "trusted.old")
    check.error("ENODATA", "after removing", os.getxattr, host, "user.virtiofs.trusted.old")
    check.error("ERANGE", "a name that gets too long", os.setxattr, path, "trusted." + "n" * 240,
                b"")


def unsupported_xattr(check):
    path = os.path.join(check.stand.mnt, "f")
    check.error("ENOTSUP", "set", os.setxattr, path, "user.x", b"")
    check.expect(os.listxattr(path) == [], "list")


CHECKS = (
    ("xattrmap", ("--xattrmap", "/map/trusted./user.virtiofs./"), xattrmap, fill),
    ("xattrmap-old", ("-o", "xattrmap=/map/trusted./user.virtiofs./"), xattrmap, fill),
    ("xattrmap-unsupported", ("--xattrmap=:unsupported:all:::",), unsupported_xattr, fill),
    ("readonly", ("--readonly",), readonly, fill),
    ("readonly-never", ("--readonly", "--cache=never", "--inode-file-handles=never"), readonly,
     fill),
    ("readonly-flags", ("--readonly",), options_flags.readonly_flags, fill),
    ("immutable", ("--modcaps=+linux_immutable",), options_flags.immutable, fill),
    ("whiteout", ("--modcaps=-mknod",), options_flags.whiteout, fill),
    ("export", (), options_export.export, options_export.fill),
    ("export-chroot", ("--sandbox=chroot", "--cache=always"), options_export.export,
     options_export.fill),
    ("export-without-handles", ("--inode-file-handles=never",),
     options_export.export_without_handles, options_export.fill),
    ("readonly-always", ("--readonly", "--cache=always"), readonly, fill),
    ("unopened", ("--cache=always", "--no-open", "--rlimit-nofile=256"),
     options_unopened.unopened, None),
    ("opened", ("--cache=always", "--rlimit-nofile=256"),
     options_unopened.unopened, None),
    ("announced-submounts", ("--announce-submounts",), submounts, "submount"),
    ("hidden-submounts", ("--no-announce-submounts",), submounts, "submount"),
    ("descriptor-budget", ("--rlimit-nofile=256",), budget, None),
    ("many-inodes", ("--rlimit-nofile=256", "--inode-file-handles=prefer"), many_inodes, None),
    ("special-files", (), special_files, None),
    ("host-changes", ("--cache=never",), host_changes, None),
)


def _prepare(check, how):
    share = check.stand.share
    if how == "submount":
        place = os.path.join(share, "sub")
        os.mkdir(place)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=10m", "tmpfs", place], check=True)
        with open(os.path.join(place, "f"), "w") as stream:
            stream.write("below")
    elif how:
        how(share)


def main(argv):
    isolation.isolate()
    started = time.monotonic()
    tally = runner.Tally()
    cases = runner.selected(runner.load_cases(), [])
    with isolation.WorkDir() as base:
        worlds.open_fuse_device(base)
        roots = {fs: hostfs.make(fs, base) for fs in hostfs.ALL}
        for name, options, test, how in CHECKS:
            if argv and name not in argv:
                continue
            check = Check(tally, base, roots["ext4"], name, options)
            _prepare(check, how)
            check.run(test)
        for number, (fs, options) in enumerate(VARIANTS):
            if argv and f"variant{number}" not in argv:
                continue
            place = os.path.join(roots[fs], f"variant{number}")
            scratch = os.path.join(base, f"variant{number}")
            os.mkdir(place)
            os.mkdir(scratch)
            runner.run_stand(scratch, place, fs, "root", cases, tally, options)
    tally.close("mount options", started)
    return 1 if tally.failed or not tally.passed else 0
