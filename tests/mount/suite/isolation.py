# SPDX-License-Identifier: BSD-3-Clause
"""
The suite lives in mount and pid namespaces of its own: whatever it mounts, attaches or starts is
gone when it ends, however it ends.
"""
import os
import shutil
import signal
import sys
import tempfile

MARK = "VIOFSD_MOUNT_SUITE_ISOLATED"
SKIP = 77


def skip(reason):
    print(f"SKIP: {reason}", flush=True)
    sys.exit(SKIP)


def _die(signum, _frame):
    # Once: the signal may come to the whole process group and again by way of unshare.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt(f"signal {signum}")


def isolate():
    """Runs this program again in new namespaces (or skips without root); returns inside them."""
    if os.environ.get(MARK):
        del os.environ[MARK]
        signal.signal(signal.SIGTERM, _die)
        signal.signal(signal.SIGINT, _die)
        return
    if os.geteuid():
        skip("needs root for mounts and namespaces")
    if not os.path.exists("/dev/fuse"):
        skip("no /dev/fuse")
    environment = dict(os.environ, **{MARK: "1"})
    os.execvpe("unshare", ["unshare", "--mount", "--propagation", "private", "--pid", "--fork",
                           "--kill-child=SIGTERM", "--mount-proc", sys.executable,
                           os.path.abspath(sys.argv[0]), *sys.argv[1:]], environment)


class WorkDir:
    """A scratch folder, removed at the end unless VIOFSD_TEST_KEEP is set."""

    def __enter__(self):
        base = os.environ.get("VIOFSD_TEST_DIR", "/var/tmp")
        self.path = tempfile.mkdtemp(prefix="viofsd-mount-", dir=base)
        os.chmod(self.path, 0o755)
        return self.path

    def __exit__(self, *_):
        if os.environ.get("VIOFSD_TEST_KEEP"):
            print(f"kept: {self.path}")
            return
        for line in reversed(open("/proc/self/mountinfo").read().splitlines()):
            place = line.split()[4]
            if place.startswith(self.path + "/"):
                os.spawnlp(os.P_WAIT, "umount", "umount", "-l", place)
        shutil.rmtree(self.path, ignore_errors=True)
