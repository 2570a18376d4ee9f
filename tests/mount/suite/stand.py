# SPDX-License-Identifier: BSD-3-Clause
"""
One daemon, one viofs-mount, and the three folders: `share` (served), `mnt` (seen through the
daemon) and `host` (bare, on the same file system as share).

Environment: VIOFSD and VIOFS_MOUNT name the programs.  VIOFSD_DIALECT is viofsd (default), rust
or c for the older daemons, which lack some options; VIOFSD=none serves nothing at all: mnt is a
bind mount of share, and every case has to pass.  VIOFSD_OPTIONS are more options for each daemon.
"""
import json
import os
import re
import select
import signal
import subprocess
import traceback

from . import world as worlds
from .isolation import skip

START_SECONDS = 20
STOP_SECONDS = 20

# What a sanitizer says, whatever else is on stderr.
SANITIZER = re.compile(r"AddressSanitizer|LeakSanitizer|ThreadSanitizer|MemorySanitizer|"
                       r"UndefinedBehaviorSanitizer|runtime error:|SUMMARY: ")
TROUBLE = re.compile(r"warning|error|fail|assert|abort|unexpected", re.IGNORECASE)


class StandError(Exception):
    pass


def programs():
    """(daemon, viofs-mount) of the environment; daemon None: no daemon. Skips without them."""
    daemon = os.environ.get("VIOFSD")
    mount = os.environ.get("VIOFS_MOUNT")
    if daemon == "none":
        return None, None
    for name, path in (("VIOFSD", daemon), ("VIOFS_MOUNT", mount)):
        if not path:
            skip(f"{name} is not set")
        if not os.access(path, os.X_OK):
            raise SystemExit(f"{name}={path}: not an executable program")
    return daemon, mount


def daemon_argv(daemon, share, socket, options):
    dialect = os.environ.get("VIOFSD_DIALECT", "viofsd")
    if dialect == "c":
        return [daemon, f"--socket-path={socket}", "-o",
                f"source={share},sandbox=chroot,xattr,cache=auto"]
    argv = [daemon, f"--socket-path={socket}", f"--shared-dir={share}", "--xattr"]
    if dialect == "rust" and not any(o.startswith("--inode-file-handles") for o in options):
        argv.append("--inode-file-handles=prefer")
    return argv + list(options) + os.environ.get("VIOFSD_OPTIONS", "").split()


class Stand:
    """Use as a context manager; leaving it stops everything and checks how it ended."""

    def __init__(self, base, root, world, options=(), mount_options=(), allowed_stderr=None,
                 mount_arguments=()):
        """
        base: scratch folder.  root: a folder for share and host.  world: of world.py.
        options: of the daemon.  mount_arguments: of viofs-mount.  allowed_stderr: a pattern of lines that are no failure here.
        """
        self.world = world
        self.share, self.host = os.path.join(root, "share"), os.path.join(root, "host")
        self.mnt, self.run = os.path.join(base, "mnt"), os.path.join(base, "run")
        self.socket = os.path.join(self.run, "s")
        for path in (self.share, self.host, self.mnt, self.run):
            os.makedirs(path, exist_ok=True)
            os.chown(path, *(world.owner if path != self.host or world.same_files else (0, 0)))
        self.options, self.mount_options = list(options), list(mount_options)
        self.mount_arguments = list(mount_arguments)
        self.allowed = re.compile(allowed_stderr) if allowed_stderr else None
        self.daemon = self.mounter = None
        self.logs = {}
        self.complaints = []

    def _spawn(self, name, argv, enter):
        self.logs[name] = os.path.join(self.run, name + ".stderr")
        environment = dict(os.environ)
        if name == "daemon" and "--sandbox=none" not in self.options:
            # The leak checker needs ptrace and /proc, which the sandbox rightly takes away.
            old = environment.get("ASAN_OPTIONS")
            environment["ASAN_OPTIONS"] = (old + ":" if old else "") + "detect_leaks=0"
        if name == "mount":
            # libfuse 3.14 keeps a copy of the mount point when somebody else unmounts.
            quiet = os.path.join(os.path.dirname(os.path.abspath(__file__)), "lsan.supp")
            environment["LSAN_OPTIONS"] = f"suppressions={quiet}:print_suppressions=0"
        with open(self.logs[name], "wb") as log:
            return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                    env=environment, cwd="/", start_new_session=True,
                                    preexec_fn=enter)

    def __enter__(self):
        daemon, mount = programs()
        if not daemon:
            subprocess.run(["mount", "--bind", self.share, self.mnt], check=True,
                           preexec_fn=self.world.enter_mount)
            return self
        try:
            self._start(daemon, mount)
        except BaseException:
            self._kill()
            raise
        return self

    def _start(self, daemon, mount):
        if os.path.exists(self.socket):
            os.unlink(self.socket)
        argv = daemon_argv(daemon, self.share, self.socket, self.options)
        self.daemon = self._spawn("daemon", argv, self.world.enter_daemon)
        self._wait("its socket", lambda: os.path.exists(self.socket), self.daemon, "daemon")
        options = ",".join(["default_permissions", "allow_other", *self.mount_options])
        argv = [mount, "-f", *self.mount_arguments, "-o", options, self.socket, self.mnt]
        self.mounter = self._spawn("mount", argv, self.world.enter_mount)

        def mounted():
            with open(f"/proc/{self.mounter.pid}/mountinfo") as stream:
                return any(line.split()[4] == self.mnt for line in stream)

        self._wait("the mount", mounted, self.mounter, "mount")

    def _wait(self, what, condition, process, name):
        def ready():
            if process.poll() is not None:
                raise StandError(f"{name} ended with {process.returncode} before {what}:\n"
                                 + self.log(name))
            return condition()
        try:
            worlds.wait_until(what, ready, START_SECONDS)
        except TimeoutError as error:
            raise StandError(f"{name}: {error}\n{self.log(name)}") from None

    def log(self, name):
        with open(self.logs[name], errors="replace") as stream:
            return stream.read()

    def alive(self):
        return self.daemon is None or (self.daemon.poll() is None and self.mounter.poll() is None)

    def _kill(self):
        for process in (self.mounter, self.daemon):
            if process and process.poll() is None:
                process.kill()
                process.wait()

    def _end(self, process, name):
        try:
            status = process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.complaints.append(f"{name} does not end after the unmount")
            process.send_signal(signal.SIGABRT)
            return
        if status:
            self.complaints.append(f"{name} ended with status {status}")

    def unmount(self):
        done = subprocess.run(["umount", self.mnt], stderr=subprocess.PIPE, text=True,
                              preexec_fn=self.world.enter_mount)
        if done.returncode:
            self.complaints.append(f"umount: {done.stderr.strip()}")
            subprocess.run(["umount", "-l", self.mnt], check=False,
                           preexec_fn=self.world.enter_mount)

    def check_logs(self):
        dialect = os.environ.get("VIOFSD_DIALECT", "viofsd")
        for name in self.logs:
            for line in self.log(name).splitlines():
                if SANITIZER.search(line):
                    self.complaints.append(f"{name} says: {self.log(name)}")
                    break
                if self.allowed and self.allowed.search(line):
                    continue
                if TROUBLE.search(line) and (dialect == "viofsd" or name == "mount"):
                    self.complaints.append(f"{name} says: {line}")

    def __exit__(self, kind, *_):
        try:
            self.unmount()
            if self.daemon:
                self._end(self.mounter, "viofs-mount")
                self._end(self.daemon, "the daemon")
                self.check_logs()
        finally:
            self._kill()

    def in_world(self, function, seconds=60):
        """Runs function() in a child process of this world; its value must be JSON."""
        return in_child(self.world.enter, function, seconds)


class Hang(Exception):
    pass


def in_child(enter, function, seconds):
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        # Only the suite cleans up when it is told to end, never a copy of it.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        os.close(reader)
        os.setsid()
        try:
            enter()
            os.umask(0o022)
            result = {"value": function()}
        except BaseException:
            result = {"exception": traceback.format_exc()}
        try:
            with os.fdopen(writer, "w") as stream:
                json.dump(result, stream)
        finally:
            os._exit(0)  # whatever happens: a copy of the suite must not run on
    os.close(writer)
    chunks = []
    try:
        while True:
            ready, _, _ = select.select([reader], [], [], seconds)
            if not ready:
                os.killpg(pid, signal.SIGKILL)
                raise Hang(f"no end after {seconds} s")
            chunk = os.read(reader, 1 << 16)
            if not chunk:
                break
            chunks.append(chunk)
    finally:
        os.close(reader)
    os.waitpid(pid, 0)
    text = b"".join(chunks)
    if not text:
        raise RuntimeError("the child died without an answer")
    result = json.loads(text)
    if "exception" in result:
        raise RuntimeError(result["exception"])
    return result["value"]
