# SPDX-License-Identifier: BSD-3-Clause
"""
POSIX access control lists, where the daemon was started with --posix-acl: set and shown by
setfacl and getfacl, followed by the kernel, inherited as on the bare file system.
"""
import os
import stat
import struct
import subprocess

from suite.runner import case

ACCESS, DEFAULT = "system.posix_acl_access", "system.posix_acl_default"
USER_OBJ, USER, GROUP_OBJ, GROUP, MASK, OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
NO_ID = 0xffffffff


def acl(*entries):
    """An ACL as an attribute's value: entries (tag, permissions, id)."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def show(t, path):
    """What getfacl says, numerically; and the mode, which belongs to it."""
    done = subprocess.run(["getfacl", "-n", "-p", "-c", path], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False)
    t.note(f"getfacl {path}", f"{done.returncode} {done.stdout.split()}")
    t.stat(path)


def setfacl(t, *words):
    done = subprocess.run(["setfacl", *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, check=False)
    t.note(f"setfacl {' '.join(words)}", f"{done.returncode} {done.stdout!r}")


def ids(t):
    """Two ids that this world may use: ours, and, as root, another's."""
    return (1000, 2000) if t.world == "root" else (os.getuid(), os.getgid())


@case(tags=("acl",))
def acl_tools(t):
    uid, gid = ids(t)
    t.write_file("f", b"x", mode=0o640)
    os.mkdir("d", 0o750)
    os.symlink("f", "l")
    os.mkfifo("p")
    for name in ("f", "d", "p"):
        show(t, name)
        setfacl(t, "-m", f"u:{uid}:rw,g:{gid}:r", name)
        show(t, name)
        setfacl(t, "-m", "m::r", name)
        show(t, name)
        os.chmod(name, 0o771)
        show(t, name)
        os.chmod(name, 0o700)
        show(t, name)
        setfacl(t, "-x", f"u:{uid}", name)
        show(t, name)
        setfacl(t, "-b", name)
        show(t, name)
    setfacl(t, "-d", "-m", f"u:{uid}:rwx,g::rx,o::-", "d")
    show(t, "d")
    setfacl(t, "-d", "-m", "u::r", "f")
    setfacl(t, "-k", "d")
    show(t, "d")
    setfacl(t, "-m", f"u:{uid}:rw", "l")
    show(t, "f")
    t.do("of a link", os.setxattr, "l", ACCESS, acl((USER_OBJ, 7, NO_ID), (GROUP_OBJ, 5, NO_ID),
                                                    (OTHER, 5, NO_ID)), follow_symlinks=False)
    t.do("get of a link", os.getxattr, "l", ACCESS, follow_symlinks=False)


@case(tags=("acl",))
def acl_values(t):
    """The attribute itself: what is a list, what is none, and what it does to the mode."""
    uid, _ = ids(t)
    t.write_file("f", b"")
    os.mkdir("d")
    minimal = ((USER_OBJ, 6, NO_ID), (GROUP_OBJ, 4, NO_ID), (OTHER, 0, NO_ID))
    full = (minimal[0], (USER, 7, uid), minimal[1], (MASK, 5, NO_ID), minimal[2])
    for name, attribute in (("f", ACCESS), ("d", ACCESS), ("d", DEFAULT), ("f", DEFAULT)):
        t.do("missing", os.getxattr, name, attribute)
        t.do("remove missing", os.removexattr, name, attribute)
        for label, value in (("minimal", acl(*minimal)), ("full", acl(*full)), ("empty", acl()),
                             ("no mask", acl(full[0], full[1], full[2], full[4])),
                             ("order", acl(*reversed(full))), ("short", acl(*full)[:-1]),
                             ("version", b"\1" + acl(*full)[1:]), ("nothing", b""),
                             ("rights", acl((USER_OBJ, 0xffff, NO_ID), *minimal[1:])),
                             ("tag", acl((0x40, 1, NO_ID), *minimal))):
            t.do(f"{name} {attribute} {label}", os.setxattr, name, attribute, value)
            t.do("get", os.getxattr, name, attribute)
            # XFS shows root where it keeps them.
            t.do("list", lambda name=name: sorted(
                a for a in os.listxattr(name) if not a.startswith("trusted.SGI_ACL_")))
            t.stat(name)
        t.do("remove", os.removexattr, name, attribute)
        t.do("get", os.getxattr, name, attribute)
        t.stat(name)
    t.times("times", "f", os.setxattr, "f", ACCESS, acl(*full))


def made(place, umask, mode):
    """What a file of each kind becomes: its mode and lists, in one line."""
    os.umask(umask)
    names = [os.path.join(place, kind) for kind in ("file", "dir", "fifo", "node")]
    os.close(os.open(names[0], os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))
    os.mkdir(names[1], mode)
    os.mknod(names[2], stat.S_IFIFO | mode)
    os.mknod(names[3], stat.S_IFREG | mode)
    words = []
    for name in names:
        words.append(f"{stat.S_IMODE(os.lstat(name).st_mode):04o}")
        for attribute in (ACCESS, DEFAULT):
            try:
                words.append(os.getxattr(name, attribute).hex())
            except OSError as error:
                words.append(str(error.errno))
        (os.rmdir if name == names[1] else os.unlink)(name)
    return " ".join(words)


UMASKS = sorted({*range(0, 0o1000, 7), 0o002, 0o022, 0o027, 0o077, 0o777})


def inherit(t):
    for place in ("none", "plain", "named", "closed"):
        for mode in (0o777, 0o666, 0o640, 0o4755, 0o2711):
            for umask in UMASKS if mode in (0o777, 0o666) else (0, 0o022, 0o077):
                t.do(f"{place} {mode:o} {umask:03o}", made, place, umask, mode)


@case(tags=("acl",))
def acl_inherited(t):
    """Default lists take the umask's place; without one the umask holds."""
    uid, gid = ids(t)
    for place, words in (("none", None), ("plain", "u::rwx,g::rx,o::rx"),
                         ("named", f"u::rwx,u:{uid}:rwx,g::rx,g:{gid}:r,m::rwx,o::r"),
                         ("closed", f"u::rw,u:{uid}:rwx,g::-,m::r,o::-")):
        os.mkdir(place)
        os.chmod(place, 0o777)
        if words:
            setfacl(t, "-d", "-m", words, place)
    inherit(t)
    os.umask(0o022)
    if t.world == "root":
        os.chmod(".", 0o777)
        t.as_user(3000, 3000, [], inherit)
    os.symlink("x", "named/l")
    t.stat("named/l")
    os.mkdir("named/a")
    os.mkdir("named/a/b")
    show(t, "named/a/b")


@case(tags=("acl",))
def acl_inherited_by_nameless(t):
    os.mkdir("d")
    uid, _ = ids(t)
    setfacl(t, "-d", "-m", f"u::rwx,u:{uid}:rx,g::rx,m::rwx,o::-", "d")
    fd = t.open("d", os.O_TMPFILE | os.O_RDWR, 0o666)
    if fd is not None:
        t.stat(fd, label="tmpfile")
        t.do("its list", os.getxattr, fd, ACCESS)


@case(worlds=("root",), tags=("acl",))
def acl_followed(t):
    """A list opens what the mode closes, and the mask closes it again."""
    os.chmod(".", 0o755)
    t.write_file("f", b"content", mode=0o600)
    os.mkdir("d", 0o700)
    t.write_file("d/g", b"below", mode=0o644)

    def work(u):
        u.read_file("f")
        u.open("f", os.O_WRONLY)
        u.do("access", os.access, "f", os.R_OK)
        u.listdir("d")
        u.read_file("d/g")
        u.write_file(f"d/new-{os.getuid()}", b"x")
        u.do("set a list", os.setxattr, "f", ACCESS, acl((USER_OBJ, 7, NO_ID), (GROUP_OBJ, 7, NO_ID),
                                                         (OTHER, 7, NO_ID)))
        u.do("remove the list", os.removexattr, "f", ACCESS)

    def all_work():
        t.as_user(1000, 1000, [], work)
        t.as_user(1001, 1001, [2000], work)
        t.as_user(1002, 2000, [], work)
        t.as_user(1003, 1003, [], work)
    all_work()
    for name in ("f", "d"):
        setfacl(t, "-m", "u:1000:rwx,g:2000:rx", name)
    all_work()
    for name in ("f", "d"):
        setfacl(t, "-m", "m::x", name)
    all_work()
    for name in ("f", "d"):
        setfacl(t, "-m", "u:1003:-,o::rx,m::rwx", name)
    all_work()
    show(t, "f")
    show(t, "d")


@case(worlds=("root",), tags=("acl",))
def acl_setgid(t):
    """Who is not in the file's group loses S_ISGID with a new list."""
    os.chmod(".", 0o777)
    value = acl((USER_OBJ, 7, NO_ID), (GROUP_OBJ, 5, NO_ID), (OTHER, 5, NO_ID))
    named = acl((USER_OBJ, 7, NO_ID), (USER, 7, 1234), (GROUP_OBJ, 5, NO_ID), (MASK, 7, NO_ID),
                (OTHER, 0, NO_ID))

    def work(u):
        for name in sorted(os.listdir(".")):
            if os.stat(name).st_uid == os.getuid():
                for what in (value, named):
                    u.do(f"set {name}", os.setxattr, name, ACCESS, what)
                    u.stat(name)
    for group in (0, 1000, 5000):
        for mode in (0o2755, 0o6755, 0o2744, 0o2700):
            for owner in (0, 1000):
                name = f"f-{group}-{mode:o}-{owner}"
                t.write_file(name, b"")
                os.chown(name, owner, group)
                os.chmod(name, mode)
    t.as_user(1000, 1000, [], work)
    t.as_user(1000, 3000, [5000], work)
    work(t)
