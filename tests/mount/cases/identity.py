# SPDX-License-Identifier: BSD-3-Clause
"""Mounts with an id map of their own (mount_setattr(2)), as containers in the guest use them."""
import os
import stat

from suite import syscalls
from suite.runner import case


class Mapped:
    """
    The current folder through a detached mount that shows the file system's ids base..base+9999 as
    0..9999; the attribute `path` leads to it.
    """

    def __init__(self, base):
        with syscalls.UserNamespace(f"{base} 0 10000\n") as namespace:
            self.fd = syscalls.open_tree(".", syscalls.OPEN_TREE_CLONE)
            syscalls.idmap_mount(self.fd, namespace)
        self.path = f"/proc/self/fd/{self.fd}"

    def close(self):
        os.close(self.fd)


# Linux maps no ids for mounts of an overlayfs.
@case(worlds=("root",), but=("overlayfs",))
def identity_idmapped_mount(t):
    """Owners are shifted in both directions; what is made, changed and denied follows."""
    os.chmod(".", 0o777)
    os.chown(".", 100000, 100000)
    for uid in (0, 100000, 101000, 109999, 110000):
        t.write_file(f"of-{uid}", b"content", mode=0o644)
        os.chown(f"of-{uid}", uid, uid)
    mapped = t.do("idmapped mount", lambda: Mapped(100000) and "made")
    if mapped != "made":
        return
    mapped = Mapped(100000)
    here = os.getcwd()
    os.chdir(mapped.path)
    for uid in (0, 100000, 101000, 109999, 110000):
        t.stat(f"of-{uid}")

    def user(u):
        tag = f"{os.getuid()}-{os.getgid()}"
        u.write_file(f"file-{tag}", b"x")
        u.do("mkdir", os.mkdir, f"dir-{tag}")
        u.do("symlink", os.symlink, "t", f"link-{tag}")
        u.do("mkfifo", os.mkfifo, f"fifo-{tag}")
        for kind in ("file", "dir", "link", "fifo"):
            u.stat(f"{kind}-{tag}")
        u.open("of-101000", os.O_WRONLY)
        u.do("append", lambda: open("of-101000", "ab").close())
        u.do("truncate mine", os.truncate, f"file-{tag}", 5)
        u.do("chmod mine", os.chmod, f"file-{tag}", 0o600)
        u.do("chown to mine", os.chown, f"file-{tag}", -1, os.getgid())
        u.do("chown away", os.chown, f"file-{tag}", 7, -1)
        u.do("chmod another's", os.chmod, "of-109999", 0o600)
        u.do("rename", os.rename, f"file-{tag}", f"moved-{tag}")
        u.stat(f"moved-{tag}")
    t.as_user(1000, 1000, [], user)
    t.as_user(1000, 2000, [3000], user)
    t.as_user(0, 0, [], user)
    t.as_user(20000, 20000, [], user)
    t.do("chown in the map", os.chown, "of-100000", 5, 6)
    t.stat("of-100000")
    t.do("chown out of the map", os.chown, "of-100000", 20000, -1)
    t.stat("of-100000")
    os.chdir(here)
    mapped.close()
    for name in sorted(os.listdir(".")):
        t.stat(name)


# Linux maps no ids for mounts of an overlayfs.
@case(worlds=("root",), but=("overlayfs",))
def identity_idmapped_setgid_folder(t):
    """The folder's group is the member's by the mount's map."""
    os.mkdir("g")
    os.chown("g", 100000, 105000)
    os.chmod("g", 0o2777)
    mapped = Mapped(100000)
    place = mapped.path + "/g"

    def make(u):
        os.umask(0)
        tag = f"{os.getuid()}-{len(os.getgroups())}"
        os.chdir(place)
        u.open(f"file-{tag}", os.O_CREAT | os.O_WRONLY, 0o2755)
        u.stat(f"file-{tag}")
        u.do("mknod", os.mknod, f"fifo-{tag}", stat.S_IFIFO | 0o2755)
        u.stat(f"fifo-{tag}")
    t.as_user(1000, 1000, [], make)
    t.as_user(1001, 1000, [5000], make)
    t.as_user(1002, 5000, [], make)
    t.as_user(1003, 1000, [105000], make)
    t.as_user(0, 0, [], make)
    mapped.close()
