# SPDX-License-Identifier: BSD-3-Clause
"""The slow file system of tests/slowfs: mounted, and told what to do (its main.c says how)."""
import os
import subprocess

from .isolation import skip

STOP_SECONDS = 20


class SlowFs:
    """Use as a context manager: mounted on place until it is left, whatever hangs there."""

    def __init__(self, place):
        build = os.environ.get("VIOFSD_BUILD")
        if not build:
            skip("VIOFSD_BUILD is not set")
        self.argv = [os.path.join(build, "tests/slowfs/slowfs"), place]
        self.process = None

    def __enter__(self):
        self.process = subprocess.Popen(self.argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True)
        line = self.process.stdout.readline()
        if line != "ready\n":
            raise RuntimeError(f"slowfs: {line!r}")
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(STOP_SECONDS)
        self.process.stdout.close()

    def tell(self, command):
        """A command that must be understood; the number in its answer."""
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        words = self.process.stdout.readline().split()
        if not words or words[0] != "ok":
            raise RuntimeError(f"slowfs: {command}: {words}")
        return int(words[1])
