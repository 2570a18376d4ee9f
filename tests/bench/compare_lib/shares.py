# SPDX-License-Identifier: BSD-3-Clause
"""The shared directory of a comparison: a file system of its own, gone afterwards."""
import contextlib
import os
import subprocess
import time

UMOUNT_SECONDS = 5
TMPFS_SIZE = "4g"
IMAGE_BYTES = 2 << 30


def _run(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"compare: {' '.join(command)}: {done.stderr.strip()}")


def _umount(folder):
    """A loop device lets go a moment later; a mount namespace that somebody made meanwhile, and
    that holds a copy of our mounts, when it ends."""
    end = time.monotonic() + UMOUNT_SECONDS
    while subprocess.run(["umount", folder], capture_output=True, check=False).returncode:
        if time.monotonic() > end:
            _run("umount", "--lazy", folder)
            return
        time.sleep(0.1)


@contextlib.contextmanager
def _tmpfs(folder):
    os.mkdir(folder)
    _run("mount", "-t", "tmpfs", "-o", f"size={TMPFS_SIZE},mode=0755", "viofs-bench", folder)
    try:
        yield folder
    finally:
        _umount(folder)


@contextlib.contextmanager
def _ext4(scratch):
    # The image lies in memory: the daemons are measured, not the machine's disk.
    with _tmpfs(os.path.join(scratch, "image")) as below:
        image = os.path.join(below, "ext4.img")
        with open(image, "wb") as f:
            f.truncate(IMAGE_BYTES)
        # Without the background work of a new file system.
        _run("mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", image)
        share = os.path.join(scratch, "share")
        os.mkdir(share)
        _run("mount", "-o", "loop,noatime", image, share)
        try:
            yield share
        finally:
            _umount(share)


def mounted(kind, scratch):
    """Context manager: a fresh file system of that kind below scratch; gives its folder."""
    if kind == "ext4":
        return _ext4(scratch)
    return _tmpfs(os.path.join(scratch, "share"))
