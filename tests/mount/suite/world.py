# SPDX-License-Identifier: BSD-3-Clause
"""
Who runs the daemon and the cases: root, an ordinary user, or root of a user namespace that an
ordinary user made.
"""
import os
import signal
import subprocess
import time

from . import syscalls

UID = 61234  # of no account
GID = 61235
NAMES = ("root", "user", "userns")

_AS_USER = ["setpriv", f"--reuid={UID}", f"--regid={GID}", "--clear-groups"]


class Root:
    name = "root"
    cases = "root"  # for which world the cases are that are run here
    owner = (0, 0)
    same_files = True  # the files of the share and of the host's folder are to be the same

    def enter(self):
        """Called in a child process, for good: it will be a case."""

    def enter_daemon(self):
        """The same for the daemon."""
        self.enter()

    def enter_mount(self):
        """The same for viofs-mount, which the ordinary user leaves to root, as with a VMM."""

    def close(self):
        pass


class User(Root):
    name = cases = "user"
    owner = (UID, GID)

    def enter(self):
        os.setgroups([])
        os.setresgid(GID, GID, GID)
        os.setresuid(UID, UID, UID)


class UserNamespace(Root):
    """A sleeping process holds the namespaces; daemon, mount and cases join it."""
    name = cases = "userns"
    owner = (UID, GID)

    def __init__(self):
        self.holder = subprocess.Popen([*_AS_USER, "unshare", "--user", "--map-root-user",
                                        "--mount", "--propagation", "private", "sh", "-c",
                                        "echo ready; exec sleep infinity"],
                                       stdout=subprocess.PIPE, text=True)
        if self.holder.stdout.readline() != "ready\n":
            raise RuntimeError("cannot make a user namespace")

    def enter(self):
        os.setgroups([])
        fds = [os.open(f"/proc/{self.holder.pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)
               for kind in ("user", "mnt")]
        for fd, kind in zip(fds, (syscalls.CLONE_NEWUSER, syscalls.CLONE_NEWNS)):
            syscalls.setns(fd, kind)
            os.close(fd)
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)

    def enter_mount(self):
        self.enter()

    def close(self):
        self.holder.send_signal(signal.SIGKILL)
        self.holder.wait()


class Keeper(Root):
    """The daemon is an ordinary user's and keeps owners in xattrs; the cases are root's."""
    name = "keeper"
    same_files = False
    owner = (UID, GID)

    def enter_daemon(self):
        User().enter()


def make(name):
    return {"root": Root, "user": User, "userns": UserNamespace, "keeper": Keeper}[name]()


def open_fuse_device(base):
    """/dev/fuse is root's alone on some machines: ours, in this mount namespace, is everybody's."""
    node = os.path.join(base, "fuse")
    st = os.stat("/dev/fuse")
    os.mknod(node, st.st_mode, st.st_rdev)
    os.chmod(node, 0o666)
    subprocess.run(["mount", "--bind", node, "/dev/fuse"], check=True)


def wait_until(what, condition, seconds):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds} s")
        time.sleep(0.01)
