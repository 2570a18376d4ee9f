# SPDX-License-Identifier: BSD-3-Clause
"""
test_callers: the daemon started exactly as each program that manages virtual machines starts it,
with what that program hands over and waits for; then a mount through it shows that the options
mean what they say. The rows are in callers_table.py.
"""
import ctypes
import errno
import fcntl
import json
import os
import re
import select
import signal
import socket
import stat
import subprocess
import time
import traceback

from . import isolation, stand
from . import world as worlds

LINE = "Waiting for vhost-user socket connection"
SECONDS = 10
USER = worlds.UID
SUBIDS = 700000  # the user's own range of 65536
PR_CAPBSET_DROP = 24
CAP_MKNOD, CAP_SETFCAP = 27, 31

_LIBC = ctypes.CDLL(None, use_errno=True)


class Fault(Exception):
    pass


def expect(condition, text):
    if not condition:
        raise Fault(text)


def errno_of(function, *args):
    try:
        function(*args)
    except OSError as error:
        return errno.errorcode[error.errno]
    return None


def accounts(base):
    """An account with subordinate ids, and the group kvm: in this mount namespace only."""
    def cover(path, line):
        text = open(path, encoding="utf-8").read() if os.path.exists(path) else ""
        cover_file = os.path.join(folder, os.path.basename(path))
        with open(cover_file, "w", encoding="utf-8") as stream:
            stream.write(text + line + "\n")
        subprocess.run(["mount", "--bind", cover_file, path], check=True)

    folder = os.path.join(base, "accounts")
    os.mkdir(folder)
    cover("/etc/passwd", f"caller:x:{USER}:{worlds.GID}::/:/bin/sh")
    cover("/etc/subuid", f"caller:{SUBIDS}:65536")
    cover("/etc/subgid", f"caller:{SUBIDS}:65536")
    cover("/etc/group", f"caller:x:{worlds.GID}:\nkvm:x:61236:")


class Place:
    """One caller's folders: share is served, run holds the socket, mnt is where it is mounted."""

    def __init__(self, base, name, owner):
        self.path = os.path.join(base, re.sub(r"\W+", "-", name))
        self.share, self.run, self.mnt = (os.path.join(self.path, sub)
                                          for sub in ("share", "run", "mnt"))
        self.socket = os.path.join(self.run, "vfs.sock")
        for path in (self.path, self.share, self.run, self.mnt):
            os.mkdir(path)
            os.chown(path, *owner)
        self.sub = os.path.join(self.share, "sub")
        os.mkdir(self.sub)
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", self.sub], check=True)
        with open(os.path.join(self.share, "greeting"), "w", encoding="utf-8") as stream:
            stream.write("from the host")
        os.chown(os.path.join(self.share, "greeting"), *owner)


def descendants(pid):
    """All processes below pid, and pid itself."""
    parents = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                text = open(f"/proc/{name}/stat", encoding="utf-8", errors="replace").read()
            except OSError:
                continue
            parents[int(name)] = int(text.rpartition(")")[2].split()[1])
    found = {pid}
    while True:
        more = {child for child, parent in parents.items() if parent in found} - found
        if not more:
            return found
        found |= more


def gone(pid):
    """Orphans come to us: we are the first process of a pid namespace."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return not os.path.exists(f"/proc/{pid}")


class Session:
    """One daemon of one caller. Attributes that rows use: place, process, at(name), server."""

    def __init__(self, caller, place):
        self.caller, self.place = caller, place
        self.process = self.mounter = self.listening = self.reader = None
        self.said = b""
        self.high_fd = -1

    def at(self, name):
        return os.path.join(self.place.mnt, name)

    def host(self, name):
        return os.path.join(self.place.share, name)

    # --- starting, as the caller does ---

    def _enter(self):
        """In the child, before the daemon."""
        caller = self.caller
        for capability in caller.drop_bounding:
            _LIBC.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
        if caller.user == "user":
            worlds.User().enter()
        if caller.closed_output:
            os.close(1)
            os.close(2)

    def _with_listener(self, command):
        """The command with the caller's socket as its descriptor of that number."""
        if self.caller.fd is None:
            return command, ()
        self.listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listening.bind(self.place.socket)
        self.listening.listen(16)
        self.high_fd = fcntl.fcntl(self.listening, fcntl.F_DUPFD, 100)
        redirect = f'exec "$0" "$@" {self.caller.fd}<&{self.high_fd} {self.high_fd}<&-'
        return ["bash", "-c", redirect, *command], (self.high_fd,)

    def start(self, program):
        caller, place = self.caller, self.place
        environment = dict(caller.environment) if caller.clean_environment else \
            {**os.environ, **caller.environment}
        environment.setdefault("ASAN_OPTIONS", os.environ.get("ASAN_OPTIONS", ""))
        command, fds = self._with_listener([program, *caller.arguments(place)])
        if caller.front_end_first:
            self.mount_begin()
        output = subprocess.PIPE if caller.output == "pipe" else subprocess.DEVNULL
        cwd = {"share": place.share, "run": place.run}.get(caller.cwd, "/")
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL,
            stdout=output if caller.one_pipe else subprocess.DEVNULL,
            stderr=subprocess.STDOUT if caller.one_pipe else output,
            cwd=cwd, env=environment, preexec_fn=self._enter, start_new_session=caller.setsid,
            pass_fds=fds)
        self.reader = self.process.stdout if caller.one_pipe else self.process.stderr
        if self.reader:
            fcntl.fcntl(self.reader, fcntl.F_SETFL, os.O_NONBLOCK)

    def read(self, seconds=0.0):
        """What it has said so far, waiting that long for more."""
        if self.reader and select.select([self.reader], [], [], seconds)[0]:
            self.said += self.reader.read() or b""
        return self.said.decode(errors="replace")

    def wait_ready(self):
        """Until what this caller waits for is there, within the caller's patience."""
        place, what = self.place, self.caller.waits_for
        conditions = {
            "nothing": lambda: True,
            "line": lambda: LINE in self.read(0.01),
            "socket": lambda: os.path.exists(place.socket),
            "pid file": lambda: os.path.exists(place.socket + ".pid"),
            "exit": lambda: self.process.poll() is not None,
        }

        def ready():
            if what != "exit" and self.process.poll() is not None:
                raise Fault(f"ended with {self.process.returncode} before {what}: {self.read()}")
            return conditions[what]()
        worlds.wait_until(f"{what} ({self.read()})", ready, self.caller.patience)
        if what == "pid file":
            # The file is there before its socket; whoever waits for it, connects soon after.
            worlds.wait_until("the socket", lambda: os.path.exists(place.socket), SECONDS)

    # --- the VMM's side ---

    def mount_begin(self):
        self.mounter = subprocess.Popen(
            [os.environ["VIOFS_MOUNT"], "-f", "-o", "default_permissions,allow_other",
             self.place.socket, self.place.mnt], stdin=subprocess.DEVNULL,
            stderr=open(self.place.path + "/mount.log", "wb"))

    def mount_wait(self):
        def mounted():
            if self.mounter.poll() is not None:
                raise Fault(f"viofs-mount ended with {self.mounter.returncode}: "
                            + open(self.place.path + "/mount.log", encoding="utf-8").read()
                            + self.read())
            return any(line.split()[4] == self.place.mnt
                       for line in open("/proc/self/mountinfo", encoding="utf-8"))
        worlds.wait_until("the mount", mounted, SECONDS)

    def server(self):
        """The process that serves, of those that the daemon is made of: it has the threads."""
        def threads(pid):
            return len(os.listdir(f"/proc/{pid}/task"))
        root = self.daemon_pid()
        return max(sorted(descendants(root)), key=threads)

    def daemon_pid(self):
        if self.caller.waits_for != "exit":
            return self.process.pid
        return int(open(self.place.socket + ".pid", encoding="utf-8").read())

    def status(self, key):
        for line in open(f"/proc/{self.server()}/status", encoding="utf-8"):
            if line.startswith(key + ":"):
                return line.split()[1]
        raise Fault(f"no {key} in status")

    # --- the end ---

    def end(self):
        caller, pid = self.caller, self.daemon_pid()
        family = descendants(pid)
        started = time.monotonic()
        if caller.end == "leave":
            subprocess.run(["umount", self.place.mnt], check=True)
        else:
            os.kill(pid, getattr(signal, caller.end))
        status = self.wait_end(pid)
        expect(status in (caller.end_status, None), f"its end: status {status}")
        expect(time.monotonic() - started < 5, "its end took more than 5 s")
        rest = family - {self.process.pid}
        # All of them are asked each time: an orphan that nobody reaps keeps its pid namespace.
        worlds.wait_until("the end of all its processes",
                          lambda: all([gone(p) for p in rest]), SECONDS)
        if caller.fd is None and caller.end != "SIGKILL":
            left = os.listdir(self.place.run)
            expect(not left, f"left behind: {left}")

    def wait_end(self, pid):
        if pid == self.process.pid:
            return self.process.wait(SECONDS)
        worlds.wait_until("the end", lambda: gone(pid), SECONDS)
        return None

    def clean_up(self):
        for place in (self.place.mnt, self.place.sub):
            subprocess.run(["umount", "-l", place], stderr=subprocess.DEVNULL, check=False)
        for process in (self.mounter, self.process):
            if process and process.poll() is None:
                process.kill()
            if process:
                process.wait()
        if self.listening:
            self.listening.close()
            os.close(self.high_fd)


# --- what options mean, seen through the mount ------------------------------------------------

def serves(session):
    """Every row: data goes both ways, or the share is read-only as told."""
    with open(session.at("greeting"), encoding="utf-8") as stream:
        expect(stream.read() == "from the host", "the host's file reads wrong")
    if "--readonly" in session.caller.arguments(session.place):
        expect(errno_of(open, session.at("new"), "w") == "EROFS", "not read-only")
        return
    if session.caller.guest_user:
        # Where only the user's own id is known, the guest's user has the same.
        subprocess.run(["setpriv", f"--reuid={USER}", f"--regid={worlds.GID}", "--clear-groups",
                        "sh", "-c", 'printf "from the guest" >"$0"', session.at("new")], check=True)
    else:
        with open(session.at("new"), "w", encoding="utf-8") as stream:
            stream.write("from the guest")
    with open(session.host("new"), encoding="utf-8") as stream:
        expect(stream.read() == "from the guest", "the guest's file is not on the host")
    owner = session.caller.owner
    if owner is None:
        owner = USER if session.caller.user == "user" else 0
    expect(os.stat(session.host("new")).st_uid == owner, "the new file has another owner")


def mounts_below(session):
    """With or without --announce-submounts; st_dev tells nothing on /dev/fuse: see the vm suite."""
    with open(session.at("sub/new"), "w", encoding="utf-8") as stream:
        stream.write("across")
    expect(os.stat(session.host("sub/new")).st_size == 6, "a mount below the share is not crossed")


def xattr(session):
    os.setxattr(session.at("greeting"), "user.key", b"value")
    expect(os.getxattr(session.host("greeting"), "user.key") == b"value", "no xattr on the host")


def no_xattr(session):
    expect(errno_of(os.setxattr, session.at("greeting"), "user.key", b"v") == "ENOTSUP",
           "xattrs without --xattr")


def posix_acl(session):
    acl = b"\x02\0\0\0" + b"".join(
        tag.to_bytes(2, "little") + bits.to_bytes(2, "little") + who.to_bytes(4, "little")
        for tag, bits, who in ((1, 6, 2**32 - 1), (2, 4, 1234), (4, 4, 2**32 - 1),
                               (16, 6, 2**32 - 1), (32, 0, 2**32 - 1)))
    name = "system.posix_acl_access"
    os.setxattr(session.at("new"), name, acl)
    expect(os.getxattr(session.host("new"), name) == acl, "another ACL on the host")


def forbidden_ids(session):
    """Incus: ids outside the instance's map are nobody's."""
    for uid in (70000, 4294967294):
        expect(errno_of(os.chown, session.at("new"), uid, -1) is not None, f"chown to {uid}")
    os.chown(session.at("new"), 1000, 65535)
    found = os.stat(session.host("new"))
    expect((found.st_uid, found.st_gid) == (1001000, 1065535), f"{found.st_uid}:{found.st_gid}")
    expect(os.stat(session.at("new")).st_uid == 1000, "the guest sees another owner")


def cached(session):
    """cache=always: a host's change is not asked for. Open, so that the guest keeps the inode."""
    with open(session.at("greeting"), "rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        with open(session.host("greeting"), "ab") as change:
            change.write(b"!")
        time.sleep(1.2)
        expect(os.fstat(stream.fileno()).st_size == size, "the attributes were asked for again")


def uncached(session):
    """cache=never: a host's change is there at once."""
    os.stat(session.at("greeting"))
    with open(session.host("greeting"), "a", encoding="utf-8") as stream:
        stream.write("!")
    expect(os.stat(session.at("greeting")).st_size == os.stat(session.host("greeting")).st_size,
           "the attributes are old")


def locks_with_host(session):
    """flock and posix_lock: the guest's locks hold on the host."""
    for take in (fcntl.flock, fcntl.lockf):
        with open(session.at("new"), "r+b") as guest, open(session.host("new"), "r+b") as host:
            take(guest, fcntl.LOCK_EX)
            expect(errno_of(take, host, fcntl.LOCK_EX | fcntl.LOCK_NB) == "EAGAIN",
                   f"{take.__name__}: not on the host")


def own_namespace(session):
    expect(os.readlink(f"/proc/{session.server()}/ns/mnt") != os.readlink("/proc/self/ns/mnt"),
           "no mount namespace of its own")


def own_root(session):
    expect(os.readlink(f"/proc/{session.server()}/root") == session.place.share, "no chroot")


def no_sandbox(session):
    expect(os.readlink(f"/proc/{session.server()}/ns/mnt") == os.readlink("/proc/self/ns/mnt")
           and os.readlink(f"/proc/{session.server()}/root") == "/", "a sandbox")


def no_filter(session):
    expect(session.status("Seccomp") == "0", "a system call filter")


def filtered(session):
    expect(session.status("Seccomp") == "2", "no system call filter")


def fewer_capabilities(session):
    effective = int(session.status("CapEff"), 16)
    expect(not effective & (1 << CAP_MKNOD), "CAP_MKNOD is kept")


def files_limit(number):
    def files_limit_is(session):
        for line in open(f"/proc/{session.server()}/limits", encoding="utf-8"):
            if line.startswith("Max open files"):
                expect(line.split()[3] == str(number), f"limit of open files: {line}")
    return files_limit_is


def quiet(session):
    expect(session.read(0.2) == "", f"said: {session.read()}")


def group_socket(session):
    found = os.stat(session.place.socket)
    expect(found.st_gid == 61236 and stat.S_IMODE(found.st_mode) == 0o660,
           f"socket: group {found.st_gid}, mode {stat.S_IMODE(found.st_mode):o}")


def private_socket(session):
    expect(not os.stat(session.place.socket).st_mode & 0o077, "others may connect")


def pid_file(session):
    """Holds the pid that the caller knows, and a lock."""
    path = session.place.socket + ".pid"
    expect(open(path, encoding="utf-8").read().strip() == str(session.daemon_pid()), "wrong pid")
    with open(path, encoding="utf-8") as stream:
        expect(errno_of(fcntl.flock, stream, fcntl.LOCK_EX | fcntl.LOCK_NB) == "EAGAIN",
               "the pid file is not locked")


def subordinate_ids(session):
    """Guest ids beyond the user's own are the user's subordinate ids."""
    os.chown(session.at("new"), 1000, 2000)
    found = os.stat(session.host("new"))
    expect((found.st_uid, found.st_gid) == (SUBIDS + 999, SUBIDS + 1999),
           f"owner on the host: {found.st_uid}, {found.st_gid}")


def in_background(session):
    expect(session.process.returncode == 0, f"status {session.process.returncode}")
    expect(os.getsid(session.daemon_pid()) == session.daemon_pid(), "no session of its own")


# --- running ----------------------------------------------------------------------------------

def run_caller(caller, base, program):
    owner = (USER, worlds.GID) if caller.user == "user" else (0, 0)
    session = Session(caller, Place(base, caller.name, owner))
    try:
        session.start(program)
        session.wait_ready()
        if not caller.front_end_first:
            session.mount_begin()
        session.mount_wait()
        serves(session)
        for check in caller.checks:
            check(session)
        session.end()
    finally:
        session.clean_up()
    for line in session.read().splitlines():
        expect(not stand.SANITIZER.search(line) and "error: " not in line, f"it says: {line}")


def ask(program, *arguments):
    """As an ordinary user, in an empty environment: status and output."""
    done = subprocess.run([program, *arguments], stdin=subprocess.DEVNULL, env={}, cwd="/",
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False,
                          preexec_fn=worlds.User().enter, timeout=SECONDS)
    expect(done.returncode == 0, f"{arguments}: status {done.returncode}: {done.stderr}")
    expect(done.stderr == "", f"{arguments}: {done.stderr}")
    return done.stdout


def questions(program):
    """What is asked before a daemon is started."""
    # Lima, virtme-ng and others: must work for a user; "name version" in the first line.
    expect(re.match(r"\S+ \d+\.\d+\.\d+\n", ask(program, "--version")), "--version")
    expect(ask(program, "-V") == ask(program, "--version"), "-V")
    text = ask(program, "--help")
    # virtme-ng looks for the first, Vagrant's QEMU provider for the others.
    for word in ("--readonly", "--shared-dir", "--sandbox", "--inode-file-handles"):
        expect(word in text, f"--help without {word}")
    # libvirt and Incus.
    capabilities = json.loads(ask(program, "--print-capabilities"))
    top = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../..")
    with open(os.path.join(top, "contrib/50-viofsd.json.in"), encoding="utf-8") as stream:
        expect(json.load(stream)["features"] == capabilities["features"], "50-viofsd.json differs")
    expect(capabilities["type"] == "fs", "capabilities: type")
    expect("separate-options" in capabilities["features"], "capabilities: separate-options")


def mistakes(program):
    """A wrong command line: status 2 and one line, nothing on stdout, no socket."""
    for arguments in ((), ("--bogus",), ("--shared-dir", "/", "--socket-path")):
        done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False,
                              timeout=SECONDS)
        expect(done.returncode == 2 and not done.stdout and done.stderr.count("\n") == 1,
               f"{arguments}: {done}")


def failures(program):
    """What cannot start says so in one line, status 1; in the background as well."""
    for more in ((), ("--daemonize",)):
        done = subprocess.run([program, "--shared-dir", "/nonexistent", "--socket-path",
                               "/run/viofsd-failure.sock", *more], capture_output=True, text=True,
                              check=False, timeout=SECONDS)
        expect(done.returncode == 1 and not done.stdout and done.stderr.count("\n") == 1
               and "/nonexistent" in done.stderr, f"{more}: {done}")
        expect(not os.path.exists("/run/viofsd-failure.sock"), "a socket is left")


def main(rows, arguments):
    isolation.isolate()
    program, _ = stand.programs()
    wanted = [row for row in rows if not arguments or row.name in arguments]
    tests = [(row.name, lambda row=row, base=None: run_caller(row, base, program))
             for row in wanted]
    failed = 0
    with isolation.WorkDir() as base:
        accounts(base)
        if not arguments:
            tests += [("questions", lambda base: questions(program)),
                      ("mistakes", lambda base: mistakes(program)),
                      ("failures", lambda base: failures(program))]
        for name, test in tests:
            try:
                test(base=base)
                print(f"ok   {name}", flush=True)
            except (Fault, OSError, TimeoutError, subprocess.SubprocessError, ValueError):
                failed += 1
                print(f"FAIL {name}\n{traceback.format_exc()}", flush=True)
    print(f"{len(tests) - failed} callers passed, {failed} failed")
    return 1 if failed or not tests else 0
