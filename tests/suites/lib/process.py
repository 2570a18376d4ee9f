# SPDX-License-Identifier: BSD-3-Clause
"""One test program of a suite: its output and exit status, and never longer than its time."""
import os
import resource
import signal
import subprocess

FILES = 1024
TIMEOUT = -1000  # an exit status of nobody


def run(argv, place, enter, seconds, environment=None):
    """
    (status, output) of argv, run in the folder place by the world that enter() goes to.  What it
    leaves running is killed with it: each program is a session, and gets a second.
    """
    def become():
        # As in a shell after login: tests that open files up to their limit mean their own.
        resource.setrlimit(resource.RLIMIT_NOFILE,
                           (FILES, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        enter()

    process = subprocess.Popen(argv, cwd=place, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, start_new_session=True, preexec_fn=become,
                               env=dict(os.environ, LC_ALL="C", **(environment or {})))
    try:
        output, _ = process.communicate(timeout=seconds)
        status = process.returncode
    except subprocess.TimeoutExpired:
        status = TIMEOUT
        _kill(process)
        output = _rest(process)
    _kill(process)
    return status, output.decode(errors="replace")


def _rest(process):
    """What a killed program had printed; one that cannot be killed keeps what it has."""
    try:
        return process.communicate(timeout=10)[0]
    except subprocess.TimeoutExpired:
        process.stdout.close()
        return b"cannot be killed"


def _kill(process):
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
