# SPDX-License-Identifier: BSD-3-Clause
"""
What the tests with real programs share: packages, scale, a stand of root's on a file system, and
commands that have to succeed.

VIOFSD_TEST_SCALE is ci (default: each test within a few minutes) or full.  VIOFSD_TEST_FS names
the file system below (default ext4).
"""
import contextlib
import os
import shutil
import subprocess
import sys
import time

from . import hostfs, isolation
from . import world as worlds
from .stand import Stand

FULL = os.environ.get("VIOFSD_TEST_SCALE", "ci") == "full"


def scaled(ci, full):
    return full if FULL else ci


def need(**packages):
    """need(rsync="rsync"): program=package; what is missing is installed, else a skip."""
    missing = sorted({package for program, package in packages.items()
                      if not shutil.which(program)})
    if not missing:
        return
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    for command in (["apt-get", "-qq", "update"],
                    ["apt-get", "-qq", "-y", "--no-install-recommends", "install", *missing]):
        done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                              env=environment, check=False)
        if done.returncode and command[-1] != "update":
            isolation.skip(f"cannot install {' '.join(missing)}")


class Failed(Exception):
    pass


def run(*argv, cwd=None, env=None, status=0, quiet=False, enter=None):
    """Runs a command that has to end with that status; its output."""
    done = subprocess.run(argv, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          env=dict(os.environ, **env) if env else None, preexec_fn=enter,
                          check=False)
    text = done.stdout.decode(errors="replace")
    if done.returncode != status:
        raise Failed(f"{' '.join(argv)}: status {done.returncode}\n{text[-4000:]}")
    return "" if quiet else text


def expect(condition, text):
    if not condition:
        raise Failed(text)


@contextlib.contextmanager
def step(text):
    started = time.monotonic()
    yield
    print(f"  {text}: {time.monotonic() - started:.1f} s", flush=True)


def main(test, title, options=("--cache=auto",), world="root", megabytes=8192):
    """Runs test(stand) and ends the process with its verdict."""
    isolation.isolate()
    fs = os.environ.get("VIOFSD_TEST_FS", "ext4")
    started = time.monotonic()
    trouble = []
    with isolation.WorkDir() as base:
        worlds.open_fuse_device(base)
        root = hostfs.make(fs, base, megabytes)
        where = worlds.make(world)
        stand = Stand(base, root, where, options)
        try:
            with stand:
                test(stand)
                expect(stand.alive(), "the daemon or viofs-mount died")
        except (Failed, OSError, RuntimeError, AssertionError, subprocess.SubprocessError) as error:
            trouble.append(str(error) or repr(error))
        except Exception as error:
            trouble.append(repr(error))
        finally:
            where.close()
        trouble += stand.complaints
        if trouble:
            trouble += [f"{name}: {stand.log(name)}" for name in stand.logs]
    for text in trouble:
        print(f"FAIL {title}: {text}")
    verdict = "failed" if trouble else "passed"
    print(f"{title} on {fs}: {verdict}, {time.monotonic() - started:.0f} s", flush=True)
    sys.exit(1 if trouble else 0)


def compile_c(source, base):
    """A C program beside the test, built for this run; its path."""
    here = os.path.dirname(os.path.abspath(sys.argv[0]))
    need(cc="gcc")
    program = os.path.join(base, os.path.splitext(source)[0])
    run("cc", "-std=gnu17", "-O2", "-g", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE",
        "-D_FILE_OFFSET_BITS=64", "-pthread", "-o", program, os.path.join(here, source))
    return program
