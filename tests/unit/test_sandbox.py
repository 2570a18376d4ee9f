#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The daemon's sandbox and start-up, looked at from outside: namespaces, root directory, ids,
capabilities, descriptors, launcher, socket, pid file, exit status and messages. No guest needed.

Run by tests/run with the program in VIOFSD. Needs root, because it also becomes an ordinary user.
"""
import fcntl
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
import traceback

VIOFSD = os.environ.get("VIOFSD", "viofsd")
USER = 61234  # in no password file: nothing on the machine belongs to it
CAPS = {
    "chown": 0, "dac_override": 1, "dac_read_search": 2, "fowner": 3, "fsetid": 4, "kill": 5,
    "setgid": 6, "setuid": 7, "sys_admin": 21, "mknod": 27, "setfcap": 31,
}
KEPT = ("chown", "dac_override", "dac_read_search", "fowner", "fsetid", "setgid", "setuid",
        "mknod", "setfcap")
NAMESPACES = ("mnt", "net", "pid", "ipc", "uts")
TIMEOUT = 20


def caps(*names):
    return sum(1 << CAPS[name] for name in names)


class Place:
    """A directory with a program that everybody can run, a share and room for a socket."""

    def __init__(self, base):
        self.base = base
        self.program = os.path.join(base, "viofsd")
        shutil.copy(VIOFSD, self.program)
        os.chmod(base, 0o755)
        os.chmod(self.program, 0o755)
        self.share = os.path.join(base, "share")
        os.mkdir(self.share)
        with open(os.path.join(self.share, "file"), "w", encoding="ascii") as file:
            file.write("content\n")
        os.chown(self.share, USER, USER)
        self.run = os.path.join(base, "run")
        os.mkdir(self.run)
        os.chown(self.run, USER, USER)
        self.socket = os.path.join(self.run, "socket")


PLACE = None


class Daemon:
    """One running daemon: what it printed until it listened, and its processes."""

    def __init__(self, *options, user=None, keep=(), wrapper=(), shared_dir=None, sock=True):
        command = [*wrapper]
        if user is not None:
            command += ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
        command += [PLACE.program, f"--shared-dir={shared_dir or PLACE.share}"]
        if sock:
            command.append(f"--socket-path={PLACE.socket}")
        self.process = subprocess.Popen([*command, *options], stderr=subprocess.PIPE,
                                        stdin=subprocess.DEVNULL, pass_fds=keep, cwd=PLACE.run)
        self.lines = []
        for line in self.process.stderr:
            self.lines.append(line.decode().rstrip("\n"))
            if b"Waiting for vhost-user socket connection..." in line:
                break
        else:
            self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stderr.close()

    @property
    def pid(self):
        return self.process.pid

    def children(self):
        with open(f"/proc/{self.pid}/task/{self.pid}/children", encoding="ascii") as file:
            return [int(pid) for pid in file.read().split()]

    def server(self):
        """The process that serves: the one that has the filter."""
        for pid in [*self.children(), self.pid]:
            if int(status(pid, "Seccomp")) == 2:
                return pid
        raise AssertionError("no process has a system call filter")

    def end(self, number=signal.SIGTERM):
        """Sends a signal. Returns the exit status and how long it took."""
        start = time.monotonic()
        self.process.send_signal(number)
        code = self.process.wait(TIMEOUT)
        return code, time.monotonic() - start


def status(pid, field):
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
        for line in file:
            if line.startswith(field + ":"):
                return line.split(":", 1)[1].strip()
    raise AssertionError(f"no {field} in the status of {pid}")


def cap_set(pid, name):
    return int(status(pid, name), 16)


def namespace(pid, name):
    return os.readlink(f"/proc/{pid}/ns/{name}")


def mounts(pid):
    """The mounts that a process can reach, as (mount point, options)."""
    with open(f"/proc/{pid}/mountinfo", encoding="ascii") as file:
        return [(line.split()[4], line.split()[5].split(",")) for line in file]


def descriptors(pid):
    result = {}
    for name in os.listdir(f"/proc/{pid}/fd"):
        result[int(name)] = os.readlink(f"/proc/{pid}/fd/{name}")
    return result


def is_gone(pid):
    try:
        return status(pid, "State").startswith(("Z", "X"))
    except (FileNotFoundError, ProcessLookupError):
        return True


def wait_gone(pid):
    deadline = time.monotonic() + TIMEOUT
    while not is_gone(pid):
        assert time.monotonic() < deadline, f"process {pid} lives on"
        time.sleep(0.01)


def equal(got, wanted, what):
    assert got == wanted, f"{what}: {got!r}, not {wanted!r}"


def own_caps():
    return cap_set("self", "CapPrm")


def check_caps(pid, wanted):
    equal(hex(cap_set(pid, "CapPrm")), hex(wanted), "permitted capabilities")
    equal(hex(cap_set(pid, "CapEff")), hex(wanted), "effective capabilities")
    for name in ("CapInh", "CapBnd", "CapAmb"):
        equal(cap_set(pid, name), 0, name)
    equal(status(pid, "NoNewPrivs"), "1", "no-new-privs")


def wait_caps(pid, wanted):
    """For processes that do not wait for each other."""
    deadline = time.monotonic() + TIMEOUT
    while cap_set(pid, "CapPrm") != wanted or status(pid, "NoNewPrivs") != "1":
        assert time.monotonic() < deadline, f"{pid} keeps {cap_set(pid, 'CapPrm'):#x}"
        time.sleep(0.01)
    equal(cap_set(pid, "CapBnd"), 0, "bounding set")


def clean_run(owner=USER):
    for left in os.listdir(PLACE.run):
        os.unlink(os.path.join(PLACE.run, left))
    os.chown(PLACE.run, owner, owner)


# --- the modes ---------------------------------------------------------------------------------

def test_namespace_as_root():
    with Daemon() as daemon:
        server = daemon.server()
        for name in NAMESPACES:
            assert namespace(server, name) != namespace("self", name), f"{name} is the host's"
        equal(namespace(server, "user"), namespace("self", "user"), "user namespace")
        equal([point for point, _ in mounts(server)], ["/"], "mount points")
        assert "nodev" in mounts(server)[0][1], "device nodes could be opened"
        equal(os.listdir(f"/proc/{server}/root"), ["file"], "root directory")
        equal(os.readlink(f"/proc/{server}/cwd").startswith(PLACE.base), False, "cwd")
        with open(f"/proc/{server}/net/dev", encoding="ascii") as file:
            equal([line.split(":")[0].strip() for line in file][2:], ["lo"], "interfaces")
        check_caps(server, caps(*KEPT))
        equal(status(server, "NSpid").split()[1], "2", "pid inside")
        assert status(server, "Seccomp") == "2"


def test_parent_of_root_is_root():
    with Daemon() as daemon:
        root = os.open(f"/proc/{daemon.server()}/root", os.O_PATH)
        for path in ("..", "../..", "../../etc"):
            try:
                found = os.stat(path, dir_fd=root)
            except FileNotFoundError:
                continue
            equal(found.st_ino, os.stat(PLACE.share).st_ino, path)
        os.close(root)


def test_nothing_of_the_outside_is_held():
    """Descriptors that reach beyond the share would make the new root pointless."""
    outside = os.open("/etc", os.O_RDONLY | os.O_DIRECTORY)
    os.set_inheritable(outside, True)
    with Daemon(keep=(outside,)) as daemon:
        server = daemon.server()
        for number, target in descriptors(server).items():
            if number <= 2:
                continue
            assert target == "/" or target.startswith(("socket:", "anon_inode:", "/memfd:")) or \
                target in [f"{proc}/{server}/{name}" for proc in ("/proc", "")
                           for name in ("fd", "mountinfo")], \
                f"descriptor {number} is {target}"
        for pid in daemon.children():
            if pid != server:
                equal(descriptors(pid), {}, "descriptors of the process that waits")
        assert not any("socket:" in target for target in descriptors(daemon.pid).values()
                       ), "the launcher holds a socket"
    os.close(outside)


def test_proc_descriptor_leads_nowhere():
    """`..` from the server's /proc/self/fd must not be /proc/PID."""
    with Daemon() as daemon:
        server = daemon.server()
        fds = [number for number, target in descriptors(server).items() if target == "/"]
        assert len(fds) >= 2, f"share and /proc/self/fd expected, {descriptors(server)}"
        for number in fds:
            above = os.stat(f"/proc/{server}/fd/{number}/..")
            itself = os.stat(f"/proc/{server}/fd/{number}/.")
            equal((above.st_dev, above.st_ino), (itself.st_dev, itself.st_ino), "..")


def test_chroot():
    with Daemon("--sandbox=chroot") as daemon:
        server = daemon.server()
        for name in NAMESPACES:
            equal(namespace(server, name), namespace("self", name), name)
        equal(os.readlink(f"/proc/{server}/root"), PLACE.share, "root directory")
        check_caps(server, caps(*KEPT))


def test_none():
    with Daemon("--sandbox=none") as daemon:
        equal(daemon.server(), daemon.pid, "the process that serves")
        equal(os.readlink(f"/proc/{daemon.pid}/root"), "/", "root directory")
        check_caps(daemon.pid, caps(*KEPT))
        equal(daemon.end()[0], 0, "exit status")
        equal(os.listdir(PLACE.run), [], "what is left behind")


def test_without_filter():
    with Daemon("--seccomp=none") as daemon:
        server = daemon.children()[-1]
        equal(status(server, "Seccomp"), "0", "filter")
        check_caps(server, caps(*KEPT))


def test_readonly_mount():
    with Daemon("--readonly") as daemon:
        assert "ro" in mounts(daemon.server())[0][1], "the share could be written"


def test_submounts_come_along():
    below = os.path.join(PLACE.share, "below")
    os.mkdir(below)
    subprocess.run(["mount", "-t", "tmpfs", "none", below], check=True)
    try:
        with Daemon("--readonly") as daemon:
            found = dict(mounts(daemon.server()))
            equal(sorted(found), ["/", "/below"], "mount points")
            assert "ro" in found["/below"] and "nodev" in found["/below"], found["/below"]
    finally:
        subprocess.run(["umount", below], check=True)
        os.rmdir(below)


def test_later_submounts_show_up():
    """As far as the host's mounts are shared, which is systemd's rule: made so here."""
    below = os.path.join(PLACE.share, "below")
    os.mkdir(below)
    subprocess.run(["mount", "--bind", PLACE.share, PLACE.share], check=True)
    subprocess.run(["mount", "--make-shared", PLACE.share], check=True)
    try:
        with Daemon() as daemon:
            server = daemon.server()
            equal([point for point, _ in mounts(server)], ["/"], "mount points")
            subprocess.run(["mount", "-t", "tmpfs", "none", below], check=True)
            equal(sorted(point for point, _ in mounts(server)), ["/", "/below"], "mount points")
            subprocess.run(["umount", below], check=True)
            equal([point for point, _ in mounts(server)], ["/"], "mount points")
    finally:
        subprocess.run(["umount", PLACE.share], check=True)
        os.rmdir(below)


def test_whole_host_as_share():
    with Daemon(shared_dir="/") as daemon:
        server = daemon.server()
        assert namespace(server, "mnt") != namespace("self", "mnt")
        equal(sorted(os.listdir(f"/proc/{server}/root")), sorted(os.listdir("/")), "root")


# --- capabilities and limits -------------------------------------------------------------------

def test_supplementary_groups_go():
    """They would let a guest's user make setgid files of the caller's groups."""
    for mode in ("namespace", "chroot", "none"):
        with Daemon(f"--sandbox={mode}", wrapper=("setpriv", "--groups=0,4242")) as daemon:
            equal(status(daemon.server(), "Groups"), "", f"supplementary groups, {mode}")
        clean_run()


def test_modcaps():
    with Daemon("--modcaps=+sys_admin:-mknod:-chown") as daemon:
        wanted = caps(*KEPT, "sys_admin") & ~caps("mknod", "chown")
        check_caps(daemon.server(), wanted)


def test_no_file_handles_no_read_search():
    with Daemon("--inode-file-handles=never") as daemon:
        check_caps(daemon.server(), caps(*KEPT) & ~caps("dac_read_search"))


def test_launcher_keeps_little():
    with Daemon() as daemon:
        wait_caps(daemon.pid, caps("kill", "dac_override"))
        for pid in daemon.children():
            if pid != daemon.server():
                wait_caps(pid, 0)


def test_descriptor_limit():
    with open("/proc/self/limits", encoding="ascii") as file:
        before = [line.split() for line in file if line.startswith("Max open files")][0]
    for option, wanted in (("--rlimit-nofile=1000", "1000"), ("--rlimit-nofile=0", before[3])):
        with Daemon(option) as daemon:
            with open(f"/proc/{daemon.server()}/limits", encoding="ascii") as file:
                limit = [line.split() for line in file if line.startswith("Max open files")][0]
            equal(limit[3], wanted, option)


# --- an ordinary user --------------------------------------------------------------------------

def id_map(pid, kind):
    with open(f"/proc/{pid}/{kind}_map", encoding="ascii") as file:
        return [tuple(int(word) for word in line.split()) for line in file]


def test_ordinary_user():
    with Daemon(user=USER) as daemon:
        server = daemon.server()
        for name in (*NAMESPACES, "user"):
            assert namespace(server, name) != namespace("self", name), f"{name} is the host's"
        equal(id_map(server, "uid"), [(USER, USER, 1)], "uid map")
        equal(id_map(server, "gid"), [(USER, USER, 1)], "gid map")
        check_caps(server, caps(*KEPT))
        equal(os.listdir(f"/proc/{server}/root"), ["file"], "root directory")
        equal(daemon.end()[0], 0, "exit status")
        equal(os.listdir(PLACE.run), [], "what is left behind")


def test_ordinary_user_as_root_inside():
    own = f":0:{USER}:1:"
    with Daemon(f"--uid-map={own}", f"--gid-map={own}", user=USER) as daemon:
        equal(id_map(daemon.server(), "uid"), [(0, USER, 1)], "uid map")


def test_ordinary_user_with_ranges():
    """newuidmap and newgidmap, with a /etc/subuid of our own in a mount namespace of our own."""
    etc = os.path.join(PLACE.base, "etc")
    os.mkdir(etc)
    for name in ("subuid", "subgid"):
        with open(os.path.join(etc, name), "w", encoding="ascii") as file:
            file.write("viofsd-test:200000:65536\n")
    # newuidmap knows only users of the password file.
    shutil.copy("/etc/passwd", etc)
    with open(os.path.join(etc, "passwd"), "a", encoding="ascii") as file:
        file.write(f"viofsd-test:x:{USER}:{USER}::/:/bin/false\n")
    script = ('for name in subuid subgid passwd; do '
              'touch "/etc/$name" && mount --bind "$0/$name" "/etc/$name" || exit 99; '
              'done; exec "$@"')
    maps = [f"--{kind}-map={ids}" for kind in ("uid", "gid")
            for ids in (f":0:{USER}:1:", ":1:200000:65535:")]
    wrapper = ("unshare", "--mount", "--propagation=private", "sh", "-c", script, etc)
    with Daemon(*maps, user=USER, wrapper=wrapper) as daemon:
        equal(daemon.process.poll(), None, f"exit status, {daemon.lines}")
        server = daemon.server()
        equal(id_map(server, "uid"), [(0, USER, 1), (1, 200000, 65535)], "uid map")
        equal(id_map(server, "gid"), [(0, USER, 1), (1, 200000, 65535)], "gid map")
        check_caps(server, caps(*KEPT))
        equal(daemon.end()[0], 0, "exit status")


def test_root_with_maps():
    # In its user namespace the launcher is root of its own files only.
    clean_run(owner=0)
    with Daemon("--uid-map=:0:300000:1000:", "--gid-map=:0:300000:1000:") as daemon:
        server = daemon.server()
        equal(id_map(server, "uid"), [(0, 300000, 1000)], "uid map")
        equal(status(server, "Uid").split()[0], "300000", "user id on the host")
        equal(status(server, "Groups"), "", "supplementary groups")
        equal(daemon.end()[0], 0, "exit status")
        equal(os.listdir(PLACE.run), [], "what is left behind")


def test_ordinary_user_without_sandbox():
    with Daemon("--sandbox=none", user=USER) as daemon:
        equal(daemon.server(), daemon.pid, "the process that serves")
        equal(cap_set(daemon.pid, "CapPrm"), 0, "capabilities")
        equal(status(daemon.pid, "NoNewPrivs"), "1", "no-new-privs")


# --- life and death ----------------------------------------------------------------------------

def test_signals_end_it():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        for mode in ("namespace", "chroot", "none"):
            with Daemon(f"--sandbox={mode}") as daemon:
                children = daemon.children()
                code, seconds = daemon.end(number)
                equal(code, 0, f"exit status after signal {number}, {mode}")
                assert seconds < 1, f"{seconds} s for signal {number}, {mode}"
                for pid in children:
                    wait_gone(pid)
                equal(os.listdir(PLACE.run), [], "what is left behind")


def test_killed_launcher_takes_the_server_along():
    for options, user in (((), None), (("--sandbox=chroot",), None), ((), USER),
                          (("--uid-map=:0:300000:1000:", "--gid-map=:0:300000:1000:"), None)):
        clean_run()
        with Daemon(*options, user=user) as daemon:
            children = daemon.children()
            assert children
            daemon.end(signal.SIGKILL)
            for pid in children:
                wait_gone(pid)


def test_dead_server_ends_the_launcher():
    with Daemon() as daemon:
        children = daemon.children()
        os.kill(daemon.server(), signal.SIGKILL)
        equal(daemon.process.wait(TIMEOUT), -signal.SIGKILL, "exit status")
        assert b"ended by signal 9" in daemon.process.stderr.read()
        for pid in children:
            wait_gone(pid)
        equal(os.listdir(PLACE.run), [], "what is left behind")


def test_front_end_that_leaves_ends_it():
    with Daemon() as daemon:
        with socket.socket(socket.AF_UNIX) as front_end:
            front_end.connect(PLACE.socket)
        equal(daemon.process.wait(TIMEOUT), 0, "exit status")
        equal(os.listdir(PLACE.run), [], "what is left behind")


def test_persistent_listens_again():
    with Daemon("--persistent") as daemon:
        for _ in range(3):
            with socket.socket(socket.AF_UNIX) as front_end:
                front_end.connect(PLACE.socket)
            time.sleep(0.05)
            equal(daemon.process.poll(), None, "exit status")
        equal(daemon.end()[0], 0, "exit status")


# --- socket and pid file -----------------------------------------------------------------------

def test_pid_file_and_socket_mode():
    with Daemon("--socket-group=nogroup") as daemon:
        found = os.stat(PLACE.socket)
        equal(stat.S_IMODE(found.st_mode), 0o660, "socket mode")
        equal(found.st_gid, 65534, "socket group")
        with open(PLACE.socket + ".pid", encoding="ascii") as file:
            equal(file.read(), f"{daemon.pid}\n", "pid file")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                raise AssertionError("the pid file is not locked")
            except BlockingIOError:
                pass
    with Daemon() as daemon:
        equal(stat.S_IMODE(os.stat(PLACE.socket).st_mode), 0o600, "socket mode")


def test_second_daemon_is_refused():
    with Daemon() as daemon:
        with Daemon() as second:
            equal(second.process.returncode, 1, "exit status")
            equal(len(second.lines), 1, "lines")
            assert "another daemon" in second.lines[0], second.lines
        equal(daemon.end()[0], 0, "exit status")


def test_stale_files_are_replaced():
    with Daemon() as daemon:
        daemon.end(signal.SIGKILL)
    assert os.path.exists(PLACE.socket) and os.path.exists(PLACE.socket + ".pid")
    with Daemon() as daemon:
        equal(daemon.process.poll(), None, "exit status")
        equal(daemon.end()[0], 0, "exit status")


def test_relative_and_long_socket_paths():
    deep = os.path.join(PLACE.run, "d" * 100, "e" * 100)
    os.makedirs(deep)
    try:
        for path in ("relative", os.path.join(deep, "socket")):
            with Daemon(f"--socket-path={path}") as daemon:
                equal(daemon.process.poll(), None, f"exit status with {path}")
                assert stat.S_ISSOCK(os.stat(os.path.join(PLACE.run, path)).st_mode)
                equal(daemon.end()[0], 0, "exit status")
                assert not os.path.exists(os.path.join(PLACE.run, path)), "left behind"
    finally:
        shutil.rmtree(os.path.join(PLACE.run, "d" * 100))


def test_inherited_socket():
    path = os.path.join(PLACE.run, "inherited")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen(1)
        with Daemon(f"--fd={listening.fileno()}", keep=(listening.fileno(),),
                    sock=False) as daemon:
            with socket.socket(socket.AF_UNIX) as front_end:
                front_end.connect(path)
            equal(daemon.process.wait(TIMEOUT), 0, "exit status")
    equal(os.listdir(PLACE.run), ["inherited"], "an inherited socket is not ours to remove")
    os.unlink(path)


def test_socket_as_standard_input():
    path = os.path.join(PLACE.run, "stdin")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen(1)
        number = listening.fileno()
        with Daemon("--fd=0", keep=(number,), sock=False,
                    wrapper=("bash", "-c", 'exec "$@" 0<&"$0"', str(number))) as daemon:
            listening.close()
            equal(os.readlink(f"/proc/{daemon.pid}/fd/0"), "/dev/null", "the launcher's stdin")
            with socket.socket(socket.AF_UNIX) as front_end:
                front_end.connect(path)
            equal(daemon.process.wait(TIMEOUT), 0, "exit status")
    os.unlink(path)


def test_socket_activation():
    path = os.path.join(PLACE.run, "activated")
    script = 'exec 3<&"$0" && LISTEN_FDS=1 LISTEN_PID=$$ exec "$@"'
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen(1)
        number = listening.fileno()
        with Daemon(keep=(number,), sock=False,
                    wrapper=("bash", "-c", script, str(number))) as daemon:
            with socket.socket(socket.AF_UNIX) as front_end:
                front_end.connect(path)
            equal(daemon.process.wait(TIMEOUT), 0, "exit status")
    os.unlink(path)


# --- log ---------------------------------------------------------------------------------------

def test_syslog_works_in_the_sandbox():
    """/dev/log is out of reach from inside, and the filter knows of one datagram socket only."""
    path = os.path.join(PLACE.run, "log")
    script = ('mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3 && '
              'ln -s "$0" /dev/log && exec "$@"')
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.bind(path)
        log.settimeout(TIMEOUT)
        wrapper = ("unshare", "--mount", "--propagation=private", "sh", "-c", script, path)
        command = [*wrapper, PLACE.program, f"--shared-dir={PLACE.share}",
                   f"--socket-path={PLACE.socket}", "--syslog"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL) as process:
            line = log.recv(2000).decode()
            assert line.startswith("<30>") and "Waiting for vhost-user socket" in line, line
            assert f" viofsd[{process.pid}]: " in line, line
            with socket.socket(socket.AF_UNIX) as front_end:
                front_end.connect(PLACE.socket)
            equal(process.wait(TIMEOUT), 0, "exit status")
            equal(process.stderr.read(), b"", "stderr")
        assert "front-end" in log.recv(2000).decode(), "no line from under the filter"


# --- what is wrong is said in one line ---------------------------------------------------------

def test_one_line_for_what_is_wrong():
    regular = os.path.join(PLACE.base, "viofsd")
    share, sock = f"--shared-dir={PLACE.share}", f"--socket-path={PLACE.socket}"
    rows = [
        ((), 2, "--shared-dir"),
        ((share,), 2, "--socket-path"),
        ((share, sock, "--cache=some"), 2, "auto, always, never or metadata"),
        ((share, sock, "--posix-acl=some"), 2, "--posix-acl"),
        (("--shared-dir=/nowhere", sock), 1, "/nowhere"),
        ((f"--shared-dir={regular}", sock), 1, "Not a directory"),
        ((share, "--socket-path=/nowhere/socket"), 1, "/nowhere/socket"),
        ((share, f"--socket-path={regular}"), 1, "is not a socket"),
        ((share, sock, "--socket-group=no-such-group"), 1, "no-such-group"),
        ((share, "--fd=99"), 1, "--fd=99"),
        ((share, "--fd=0"), 1, "--fd=0"),
        ((share, sock, "--rlimit-nofile=2147483647"), 1, "fs.nr_open"),
    ]
    for arguments, code, words in rows:
        done = subprocess.run([PLACE.program, *arguments], stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=TIMEOUT, check=False)
        text = done.stderr.decode()
        equal(done.returncode, code, f"status of {arguments}")
        equal(text.count("\n"), 1, f"lines of {arguments}: {text}")
        assert words in text, f"{arguments}: {text}"
        assert not [name for name in os.listdir(PLACE.run)], f"{arguments} left a file"
    assert os.path.exists(regular), "a file was taken for a stale socket"
    os.path.exists(regular + ".pid") and os.unlink(regular + ".pid")


def test_refused_map_is_one_line():
    with Daemon("--uid-map=:0:5:1:", "--gid-map=:0:5:1:", user=USER) as daemon:
        equal(daemon.process.returncode, 1, "exit status")
        equal(len(daemon.lines), 1, "lines")
        assert "/etc/subuid" in daemon.lines[0], daemon.lines
    equal(os.listdir(PLACE.run), [], "what is left behind")


def test_chroot_without_the_right():
    with Daemon("--sandbox=chroot", user=USER) as daemon:
        equal(daemon.process.returncode, 1, "exit status")
        equal(len(daemon.lines), 1, "lines")
        assert "CAP_SYS_CHROOT" in daemon.lines[0], daemon.lines
    equal(os.listdir(PLACE.run), [], "what is left behind")


def test_questions_as_a_user():
    def ask(option):
        return subprocess.run(
            ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", PLACE.program,
             option], capture_output=True, timeout=TIMEOUT, check=True).stdout.decode()

    assert ask("--version").startswith("viofsd "), ask("--version")
    assert "--readonly" in ask("--help")
    equal(json.loads(ask("--print-capabilities"))["type"], "fs", "type")


def run_all():
    failed = 0
    for name, case in sorted(globals().items()):
        if not name.startswith("test_"):
            continue
        try:
            case()
            print(f"ok   {name}", flush=True)
        except Exception:  # every case is run
            failed += 1
            print(f"FAIL {name}", flush=True)
            traceback.print_exc(file=sys.stdout)
        clean_run()
    return 1 if failed else 0


def main():
    global PLACE
    if os.geteuid() != 0:
        print("needs root")
        return 77
    missing = [name for name in KEPT if not own_caps() & caps(name)]
    if missing:
        print(f"needs capabilities: {', '.join(missing)}")
        return 77
    with tempfile.TemporaryDirectory(prefix="viofsd-sandbox-") as base:
        PLACE = Place(base)
        return run_all()


if __name__ == "__main__":
    sys.exit(main())
