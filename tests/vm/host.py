# SPDX-License-Identifier: BSD-3-Clause
"""host.py SHARE WORK: what the host does while a guest runs, at the guest's word, until it is killed.

The guest puts [name, arguments...] into SHARE/ask/N.ask, and gets [status, result] in N.answer: 0 and what the function
below of that name returned, or 1 and what went wrong. See host_cases.py for the other side.
"""

import ctypes
import fcntl
import json
import os
import struct
import subprocess
import sys
import threading
import time
import traceback

SHARE, WORK = sys.argv[1:3]
F_OFD_SETLK = 37
LIBC = ctypes.CDLL(None, use_errno=True)


def at(name):
    return os.path.join(SHARE, name)


def run(*command):
    done = subprocess.run(command, cwd=SHARE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return [done.returncode, done.stdout.strip()]


def put(name, text):
    with open(at(name), "w", encoding="utf-8") as file:
        file.write(text)


def get(name):
    with open(at(name), encoding="utf-8") as file:
        return file.read()


def replace(name, text):
    put(name + "~", text)
    os.rename(at(name + "~"), at(name))


def birth(name):
    """In nanoseconds; None where the file system keeps no such time."""
    buffer = ctypes.create_string_buffer(256)
    if LIBC.statx(-100, at(name).encode(), 0, 0x800, buffer) or not int.from_bytes(buffer[:4], "little") & 0x800:
        return None
    seconds, nanoseconds = struct.unpack_from("qI", buffer, 80)
    return seconds * 10**9 + nanoseconds


def lock(name, kind, seconds):
    """Whether the host can have the lock now; it keeps it for a while if it can."""
    fd = os.open(at(name), os.O_RDWR)
    try:
        if kind == "flock":
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            # A record lock is the process's: several in one, as here, would not see each other.
            fcntl.fcntl(fd, F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 5, 10, 0))
    except BlockingIOError:
        os.close(fd)
        return False
    if seconds:
        threading.Timer(seconds, os.close, [fd]).start()
    else:
        os.close(fd)
    return True


def remove(name):
    return run("rm", "-r", at(name))


def move(name, other):
    os.rename(at(name), at(other))


def mkdir(name):
    os.mkdir(at(name))


def mount_tmpfs(name):
    return run("mount", "-t", "tmpfs", "-o", "size=10m", "tmpfs", at(name))


def mount_disk(name):
    """A file system on a device of its own, which writes nothing by itself for a while."""
    image = os.path.join(WORK, "disk")
    with open(image, "wb") as file:
        file.truncate(64 << 20)
    status = run("mkfs.ext4", "-q", "-F", image)
    return status if status[0] else run("mount", "-o", "loop,commit=300", image, at(name))


def written(name):
    """How many bytes the device below has been given."""
    device = os.stat(at(name)).st_dev
    with open(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/stat", encoding="ascii") as file:
        return int(file.read().split()[6]) * 512


def unmount(name, *options):
    return run("umount", *options, at(name))


def replace_for(name, seconds):
    """Gives a name to one new file after the other: each is one letter all over, and as long as no other."""
    def loop():
        end, number = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            letter = number % 26
            replace(name, chr(ord("a") + letter) * (50000 + 1000 * letter))
            number += 1
        os.unlink(at(name))
    replace(name, "a" * 50000)
    threading.Thread(target=loop, daemon=True).start()


def answer(name):
    try:
        with open(at(f"ask/{name}.ask"), encoding="utf-8") as file:
            order = json.load(file)
        os.unlink(at(f"ask/{name}.ask"))
        result = [0, globals()[order[0]](*order[1:])]
    except Exception:  # pylint: disable=broad-except
        result = [1, traceback.format_exc()]
    put(f"ask/{name}.new", json.dumps(result))
    os.rename(at(f"ask/{name}.new"), at(f"ask/{name}.answer"))


def main():
    os.makedirs(at("ask"), exist_ok=True)
    while True:
        for name in os.listdir(at("ask")):
            if name.endswith(".ask"):
                answer(name[:-4])
        time.sleep(0.02)


if __name__ == "__main__":
    main()
