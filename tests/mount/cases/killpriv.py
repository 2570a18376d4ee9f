# SPDX-License-Identifier: BSD-3-Clause
"""
What takes set-user-id, set-group-id and file capabilities away from a file, for whom, and what leaves
them alone.
"""
import os
import stat

from suite import syscalls
from suite.runner import case

CAPABILITY = bytes.fromhex("0100000200200000000000000000000000000000")
MODES = (0o6777, 0o4766, 0o2777, 0o2767, 0o6767, 0o1777)
GROUP = 5000

# Who: uid, gid, further groups. The file is 3000's, of GROUP.
WHO = {"root": (0, 0, []), "owner": (3000, 3000, []), "other": (1000, 1000, []),
       "member": (1001, GROUP, []), "owner in group": (3000, GROUP, [])}


def by_copy(fd):
    source = os.open("source", os.O_RDONLY)
    try:
        return syscalls.copy_file_range(source, 0, fd, 2, 4)
    finally:
        os.close(source)


CHANGES = {
    "write": lambda fd: os.pwrite(fd, b"z", 3),
    "append": lambda fd: os.pwrite(fd, b"z", 20),
    "ftruncate": lambda fd: os.ftruncate(fd, 1),
    "same size": lambda fd: os.ftruncate(fd, 10),
    "truncate": lambda fd: os.truncate("f", 1),
    "open with O_TRUNC": lambda fd: os.close(os.open("f", os.O_WRONLY | os.O_TRUNC)),
    "create over": lambda fd: os.close(os.open("f", os.O_WRONLY | os.O_TRUNC | os.O_CREAT, 0o600)),
    "fallocate": lambda fd: syscalls.fallocate(fd, 0, 0, 100),
    "copy": by_copy,
    "nothing written": lambda fd: os.pwrite(fd, b"", 0),
    "read": lambda fd: os.pread(fd, 10, 0),
    "fsync": os.fsync,
    "utime": lambda fd: os.utime(fd),
    "link": lambda fd: (os.link("f", "g"), os.unlink("g")),
}


def fresh(mode):
    for name in ("f", "source"):
        fd = os.open(name, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o666)
        os.write(fd, b"0123456789")
        os.close(fd)
    os.chown("f", 3000, GROUP)
    os.chmod("f", mode)
    os.chmod("source", 0o644)


def tell(t, label):
    """Mode and capability, not the time: by a new look, as another process would."""
    st = os.stat("f")
    try:
        capability = len(os.getxattr("f", "security.capability"))
    except OSError as error:
        capability = syscalls.errno_name(error.errno)
    t.note(label, f"{stat.S_IMODE(st.st_mode):04o} capability {capability} size {st.st_size}")


def change(u, action):
    fd = u.open("f", os.O_RDWR)
    if fd is not None:
        u.do("change", action, fd)


@case(worlds=("root",))
def killpriv_by_change(t):
    os.chmod(".", 0o777)
    for who, ids in WHO.items():
        for what, action in CHANGES.items():
            for mode in MODES:
                fresh(mode)
                t.as_user(*ids, lambda u, action=action: change(u, action))
                tell(t, f"{who} {what} {mode:o}")
                os.unlink("f")


@case(worlds=("root",))
def killpriv_capability(t):
    """A capability goes with the first change, whoever makes it; and comes back when set again."""
    os.chmod(".", 0o777)
    for who in ("root", "other"):
        for what, action in CHANGES.items():
            fresh(0o777)
            t.do("set", os.setxattr, "f", "security.capability", CAPABILITY)
            t.as_user(*WHO[who], lambda u, action=action: change(u, action))
            tell(t, f"{who} {what}")
            t.do("set", os.setxattr, "f", "security.capability", CAPABILITY)
            tell(t, "set again")
            t.as_user(*WHO[who], lambda u, action=action: change(u, action))
            tell(t, f"{who} {what} again")
            os.unlink("f")


@case(worlds=("root",))
def killpriv_chown(t):
    os.chmod(".", 0o777)
    for who in ("root", "owner", "owner in group"):
        for ids in ((-1, -1), (3000, -1), (-1, GROUP), (-1, 3000), (1000, -1)):
            for mode in MODES + (0o2755, 0o2745):
                fresh(mode)
                if who == "root":
                    os.setxattr("f", "security.capability", CAPABILITY)
                t.as_user(*WHO[who], lambda u, ids=ids: u.do("chown", os.chown, "f", *ids))
                tell(t, f"{who} chown {ids} {mode:o}")
                os.unlink("f")
    os.mkdir("d")
    os.chmod("d", 0o6777)
    t.do("chown of a folder", os.chown, "d", 3000, GROUP)
    t.stat("d")


@case(worlds=("root",))
def killpriv_chmod(t):
    """S_ISGID given to a file of a group that one is not in."""
    os.chmod(".", 0o777)
    for who, ids in WHO.items():
        for mode in (0o6755, 0o2755, 0o2745, 0o4711):
            fresh(0o644)
            t.as_user(*ids, lambda u, mode=mode: u.do("chmod", os.chmod, "f", mode))
            tell(t, f"{who} chmod {mode:o}")
            os.unlink("f")


@case()
def killpriv_of_my_own(t):
    """The same for who runs all of this: no other's rights are needed."""
    for what, action in CHANGES.items():
        for mode in MODES:
            for name in ("f", "source"):
                t.write_file(name, b"0123456789")
            os.chmod("f", mode)
            change(t, action)
            st = os.stat("f")
            t.note(f"{what} {mode:o}", f"{stat.S_IMODE(st.st_mode):04o}")
            os.unlink("f")
