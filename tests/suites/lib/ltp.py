# SPDX-License-Identifier: BSD-3-Clause
"""
LTP: the system calls that have to do with files, and the files `fs`, `fs_perms_simple` and (the short
ones) `fs_readonly` of its runtest folder.  What makes a file system of its own on a loop device does not
test ours and is left out.  Expected: the sources in ltp/, what was built of them in ltp-inst/ beside.
"""
import concurrent.futures
import glob
import os
import re

from . import process
from .results import FAIL, PASS, SKIP

WORLDS = ("root", "user")
MOUNTS_BY_ITSELF = HOST_LATER = False
SECONDS = 400
TFAIL, TBROK, TWARN, TCONF = 1, 2, 4, 32

CALLS = re.compile(
    r"(f|l|fd)?(access|chmod|chown|stat|statfs|statvfs|sync|datasync|truncate|getxattr|setxattr|"
    r"listxattr|removexattr|pathconf|utimens?)(at|at2)?(0|1|2|_|$)|"
    r"(chdir|fchdir|chroot|close|copy_file_range|creat|execve|execveat|fallocate|fcntl|flock|futimesat|"
    r"getcwd|getdents|inotify|fanotify|io_submit|io_uring|ioctl_fs|ioctl_fiemap|ioctl_ficlone|link|linkat|"
    r"file_attr|llseek|lseek|mincore|mkdir|mkdirat|mknod|mknodat|mmap|msync|munmap|name_to_handle_at|nftw|"
    r"open|open_by_handle_at|openat|openat2|posix_fadvise|pread|preadv|preadv2|pwrite|pwritev|pwritev2|"
    r"read|readahead|readdir|readlink|readlinkat|readv|realpath|rename|renameat|renameat2|rmdir|sendfile|"
    r"splice|statx|symlink|symlinkat|sync|sync_file_range|syncfs|tee|umask|unlink|unlinkat|ustat|utime|"
    r"utimes|utimensat|vmsplice|write|writev|cachestat|setfsuid|setfsgid|dirtyc0w)\d")
# Of the file fs: what has nothing to do with a folder.
ELSEWHERE = re.compile(r"proc01|read_all|quota_remount|isofs|binfmt|squashfs|fs_fill")
SHORT_READONLY = re.compile(r"test_robind(12|3[789]|4\d|5[0123])$")
OWN_FILE_SYSTEM = re.compile(r"\.(all_filesystems|mount_device|needs_device|format_device)\b|"
                             r"tst_acquire_device|tst_needs_device")


def installed(folder):
    return folder.rstrip("/") + "-inst"


def missing(folder):
    for path in (os.path.join(folder, "testcases"),
                 os.path.join(installed(folder), "testcases", "bin", "open01"),
                 os.path.join(installed(folder), "testcases", "bin", "growfiles")):
        if not os.path.exists(path):
            return f"{path}: missing"
    return None


def wanted(test, pattern):
    return re.search(pattern, test)


def own_file_system(folder):
    """Names of the programs that make a file system of their own."""
    out = set()
    for path in glob.glob(os.path.join(folder, "testcases", "kernel", "syscalls", "*", "*.c")):
        with open(path, encoding="utf-8", errors="replace") as stream:
            if OWN_FILE_SYSTEM.search(stream.read()):
                out.add(os.path.basename(path)[:-2])
    return out


def commands(folder, name):
    """[(test, command)] of a file of runtest/."""
    with open(os.path.join(installed(folder), "runtest", name), encoding="utf-8") as stream:
        for line in stream:
            if line.strip() and not line.startswith("#"):
                test, command = line.split(None, 1)
                yield test, command.strip()


def select(folder, pattern):
    own = own_file_system(folder)
    out = []
    for name in ("syscalls", "fs_perms_simple", "fs", "fs_readonly"):
        for test, command in commands(folder, name):
            keep = {"syscalls": CALLS.match(test) and command.split()[0] not in own,
                    "fs": not ELSEWHERE.match(test),
                    "fs_readonly": SHORT_READONLY.match(test)}.get(name, True)
            if keep and re.search(pattern, test):
                out.append((test, command))
    return out


def verdict(status, output):
    lines = [re.sub(r"^.*?(\S+:\d+: )", "", line) for line in output.splitlines()
             if re.search(r"\b(TFAIL|TBROK|TWARN|TCONF)\b", line)]
    detail = " | ".join(lines[:4])[:600]
    if not status:
        return PASS, ""
    if status > 0 and status & TCONF and not status & (TFAIL | TBROK):
        return SKIP, detail
    if not detail:
        detail = "no end" if status == process.TIMEOUT else " | ".join(output.splitlines()[-3:])[:300]
    return FAIL, f"status {status}: {detail}"


def run(folder, place, options, say):
    root = installed(folder)
    environment = {"LTPROOT": root, "LTP_COLORIZE_OUTPUT": "0", "LTP_TIMEOUT_MUL": "3",
                   "LTP_RUNTIME_MUL": "0.3",
                   "PATH": f"{root}/testcases/bin:{os.environ['PATH']}"}

    def one(test):
        name, command = test
        corner = place.corner(name)
        place.run("chmod", "1777", corner)
        status, output = process.run(["sh", "-c", command], corner, place.world.enter, SECONDS,
                                     dict(environment, TMPDIR=corner))
        return name, verdict(status, output)

    results = {}
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for number, (name, result) in enumerate(pool.map(one, select(folder, options.k)), 1):
            results[name] = result
            if result[0] == FAIL:
                say(f"{name}: {result[1]}")
            if number % 100 == 0:
                say(f"{number} tests")
    return results
