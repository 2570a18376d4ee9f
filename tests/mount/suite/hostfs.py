# SPDX-License-Identifier: BSD-3-Clause
"""
The file system below: made fresh on a loop device, or tmpfs.  Mounted in the suite's own mount
namespace; the loop device frees itself with the last unmount.
"""
import os
import shutil
import subprocess

from .isolation import skip

MKFS = {
    "ext4": ["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=1,lazy_journal_init=1"],
    "xfs": ["mkfs.xfs", "-q", "-f"],
    "btrfs": ["mkfs.btrfs", "-q", "-f"],
}
ALL = ("ext4", "xfs", "btrfs", "tmpfs")


def run(argv):
    done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv)}: {done.stdout.strip()}")


def _make_overlay(place, base, megabytes):
    """All new files are in the upper folder, on ext4: what is made is never in two layers."""
    layers = os.path.join(base, "layers")
    os.mkdir(layers)
    below = make("ext4", layers, megabytes)
    lower, upper, work = (os.path.join(below, name) for name in ("lower", "upper", "work"))
    for path in (lower, upper, work):
        os.mkdir(path)
    run(["mount", "-t", "overlay", "-o", f"lowerdir={lower},upperdir={upper},workdir={work}",
         "overlay", place])
    return place


def make(kind, base, megabytes=3072):
    """Mounts a new file system of that kind; the path of its root."""
    place = os.path.join(base, kind)
    os.mkdir(place)
    if kind == "overlayfs":
        return _make_overlay(place, base, megabytes)
    if kind == "tmpfs":
        run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", place])
        return place
    with open("/proc/filesystems") as stream:
        if kind not in stream.read().split():
            subprocess.run(["modprobe", kind], stderr=subprocess.DEVNULL, check=False)
    if not shutil.which(MKFS[kind][0]):
        skip(f"no {MKFS[kind][0]}: install e2fsprogs, xfsprogs and btrfs-progs")
    image = os.path.join(base, kind + ".img")
    with open(image, "wb") as stream:
        stream.truncate(megabytes << 20)
    run([*MKFS[kind], image])
    run(["mount", "-t", kind, "-o", "loop", image, place])
    shutil.rmtree(os.path.join(place, "lost+found"), ignore_errors=True)
    return place
