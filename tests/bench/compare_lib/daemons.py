# SPDX-License-Identifier: BSD-3-Clause
"""Finding daemons, starting one, running viofs-bench against it."""
import json
import os
import re
import shlex
import subprocess
import time

TREE = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
START_SECONDS = 10
STOP_SECONDS = 10
# Of a client that looks at the ring: enough for a daemon to go to sleep, if it does not look, too.
THINK_US = 20
UNSEALED = ["--sandbox=none", "--seccomp=none"]


class Setting:
    """Operations in flight, and who runs where: "32"; "1c", client and daemon on one CPU; "1p",
    both may look at the ring instead of sleeping."""

    def __init__(self, text):
        found = re.fullmatch(r"([1-9]\d*)([cp]?)", text)
        if not found:
            raise SystemExit(f"compare: --depths: {text} is none")
        self.text, self.depth = text, int(found.group(1))
        self.one_core, self.poll = found.group(2) == "c", found.group(2) == "p"


class RunFailed(Exception):
    """A daemon did not start, or the client was not content with it."""


class Daemon:
    def __init__(self, name, command, without_sandbox=None):
        self.name = name
        self.command = command  # words; {share} and {socket} are replaced
        self.without_sandbox = without_sandbox  # options; None: there is no way
        self.steady = []        # options that make it do the same whatever the time
        self.polling = []       # options that make it look at the ring for a while
        self.first_serving = 1  # its threads before this one serve no requests

    def variant(self, options):
        other = Daemon(self.name, self.command + options, self.without_sandbox)
        other.first_serving = self.first_serving
        return other

    def version(self):
        try:
            done = subprocess.run([self.command[0], "--version"], capture_output=True, text=True,
                                  timeout=10, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"unknown ({error})"
        lines = (done.stdout + done.stderr).strip().splitlines()
        return lines[0] if lines else "unknown"

    def words(self, share, socket):
        return [w.replace("{share}", share).replace("{socket}", socket) for w in self.command]


def _our_daemon(arguments):
    path = (arguments.viofsd or os.environ.get("VIOFSD")
            or os.path.join(TREE, "build", "daemon", "viofsd"))
    if not os.access(path, os.X_OK):
        return None, f"{path} is not there; build it, or say --viofsd PATH"
    ours = Daemon("viofsd", [os.path.realpath(path), "--shared-dir", "{share}", "--socket-path",
                             "{socket}"], UNSEALED)
    # Under a tracer each request looks stuck, and would have a thread made for it.
    ours.steady = ["--thread-pool-size=0"]
    ours.polling = ["--poll-us=50"]
    ours.first_serving = 3  # behind main and control
    return ours, None


def _peers_folder(arguments):
    if arguments.peers:
        return arguments.peers
    cache = os.environ.get("VIOFSD_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "viofsd")
    return os.path.join(cache, "peers", "bin")


def find(arguments):
    """All daemons, in the order of the table, and [(name, reason)] of those that are not there."""
    found, missing = [], []
    ours, reason = _our_daemon(arguments)
    if ours:
        found.append(ours)
    else:
        missing.append(("viofsd", reason))
    folder = _peers_folder(arguments)
    for name, program, options, unsealed in (
            ("rust", "rust-virtiofsd", ["--shared-dir", "{share}", "--socket-path", "{socket}"],
             UNSEALED),
            ("c", "c-virtiofsd", ["-o", "source={share}", "--socket-path={socket}"],
             None)):
        path = os.path.join(folder, program)
        if os.access(path, os.X_OK):
            found.append(Daemon(name, [path] + options, unsealed))
        else:
            missing.append((name, f"{path} is not there; tests/peers/fetch {program} brings it"))
    for text in arguments.add:
        name, equals, command = text.partition("=")
        if not equals or not shlex.split(command):
            raise SystemExit(f"compare: --add {text}: NAME=COMMAND is expected")
        found.append(Daemon(name, shlex.split(command)))
    if arguments.only:
        wanted = arguments.only.split(",")
        unknown = set(wanted) - {d.name for d in found} - {name for name, _ in missing}
        if unknown:
            raise SystemExit(f"compare: no daemon named {', '.join(sorted(unknown))}")
        found = [d for d in found if d.name in wanted]
        missing = [m for m in missing if m[0] in wanted]
    return found, missing


class Client:
    """viofs-bench, and the daemons that it is run against."""

    def __init__(self, arguments, cpus):
        self.arguments = arguments
        self.client_cpu, self.daemon_cpu = cpus
        self.program = self._find_program()
        self.scratch = None
        self.share = None
        self.runs = 0

    def _find_program(self):
        candidates = [self.arguments.viofs_bench, os.environ.get("VIOFS_BENCH")]
        ours, _ = _our_daemon(self.arguments)
        if ours:
            build = os.path.dirname(os.path.dirname(ours.command[0]))
            candidates.append(os.path.join(build, "tests", "bench", "viofs-bench"))
        candidates.append(os.path.join(TREE, "build", "tests", "bench", "viofs-bench"))
        for path in candidates:
            if path and os.access(path, os.X_OK):
                return path
        raise SystemExit("compare: viofs-bench is not built; say --viofs-bench PATH")

    def workloads(self):
        done = subprocess.run([self.program, "--list"], capture_output=True, text=True, check=True)
        return [line.split()[0] for line in done.stdout.splitlines()]

    def prepare(self, scratch, share):
        self.scratch, self.share = scratch, share
        done = subprocess.run([self.program, "--prepare", "--share", share], check=False)
        if done.returncode:
            raise SystemExit("compare: the share could not be prepared")

    def run(self, daemon, workload, setting):
        """One timed run; viofs-bench's figures."""
        options = ["--seconds", str(self.arguments.seconds),
                   "--warmup", str(min(0.2, self.arguments.seconds / 4))]
        if self.arguments.spin or setting.poll:
            options.append("--spin")
        if setting.poll:
            options += ["--think-us", str(THINK_US)]
            daemon = daemon.variant(daemon.polling)
        with _Running(self, daemon, []) as running:
            return self._bench(running, workload, setting.depth,
                               options + ["--pid", str(running.process.pid)],
                               self.daemon_cpu if setting.one_core else self.client_cpu)

    def run_floor(self, workload, setting, confined):
        """One timed run of the bare host calls on the daemon's CPU; at depth 1 with wake-ups."""
        command = ["taskset", "-c", str(self.daemon_cpu),
                   os.path.join(os.path.dirname(self.program), "viofs-floor"),
                   *(["--confined"] if confined else []), self.share, workload,
                   str(setting.depth), str(self.arguments.seconds / 2)]
        if setting.depth == 1:
            command.append(str(self.daemon_cpu if setting.one_core else self.client_cpu))
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RunFailed(done.stderr.strip())
        return json.loads(done.stdout)

    def _bench(self, running, workload, depth, options, cpu=None):
        cpu = self.client_cpu if cpu is None else cpu
        command = [self.program, "--socket", running.socket, "--share", self.share,
                   "--workload", workload, "--depth", str(depth), "--cpu", str(cpu),
                   "--queues", str(self.arguments.queues)] + options
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RunFailed(f"{done.stderr.strip()}; the daemon said: {running.last_words()}")
        return json.loads(done.stdout)

    def run_lockstep(self, daemon, workload, depth, ops, files, count=False, prefix=()):
        """A run that takes no time, see bench.h; the words of PREFIX stand before the daemon's."""
        with _Running(self, daemon, list(prefix)) as running:
            return self._bench(running, workload, depth,
                               ["--pid", str(running.process.pid), "--ops", str(ops),
                                "--files", str(files), "--count" if count else "--lockstep"])


class _Running:
    """Context manager: a daemon that listens, on its CPU; it ends when its client leaves."""

    def __init__(self, client, daemon, prefix):
        client.runs += 1
        self.daemon = daemon
        self.socket = os.path.join(client.scratch, f"socket.{client.runs}")
        self.log = os.path.join(client.scratch, "log")
        self.command = prefix + daemon.words(client.share, self.socket)
        self.cpu = client.daemon_cpu
        self.process = None

    def __enter__(self):
        with open(self.log, "wb") as log:
            # The CPU is set before exec, so that every thread and child is born with it.
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                preexec_fn=lambda: os.sched_setaffinity(0, {self.cpu}))
        deadline = time.monotonic() + START_SECONDS
        while not os.path.exists(self.socket):
            if self.process.poll() is not None:
                raise RunFailed(f"{self.daemon.name} ended with status "
                                f"{self.process.returncode}: {self.last_words()}")
            if time.monotonic() > deadline:
                self._end()
                raise RunFailed(f"{self.daemon.name} does not listen: {self.last_words()}")
            time.sleep(0.005)
        # The socket is bound a moment before the daemon listens.
        time.sleep(0.05)
        return self

    def _end(self):
        self.process.terminate()
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __exit__(self, kind, value, trace):
        try:
            self.process.wait(2 if kind is None else 0.5)
        except subprocess.TimeoutExpired:
            self._end()
        for path in (self.socket, self.socket + ".pid"):
            if os.path.exists(path):
                os.unlink(path)

    def last_words(self):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            lines = f.read().strip().splitlines()
        return " / ".join(lines[-3:]) or "nothing"
