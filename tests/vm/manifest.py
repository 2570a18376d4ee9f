# SPDX-License-Identifier: BSD-3-Clause
"""manifest.py FOLDER: one line for each entry below FOLDER with all that can be seen of it, to compare two views of it.

Names that start with ".vm-" in FOLDER itself are left out: they belong to the tests.
"""

import hashlib
import os
import stat
import sys


def content(path, status):
    if stat.S_ISLNK(status.st_mode):
        return "-> " + os.fsdecode(os.readlink(path))
    if not stat.S_ISREG(status.st_mode):
        return f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        # Holes are many gigabytes of nothing; their place counts.
        offset = 0
        while offset < status.st_size:
            try:
                offset = os.lseek(file.fileno(), offset, os.SEEK_DATA)
            except OSError:
                break
            data = os.pread(file.fileno(), 1 << 16, offset)
            if data.strip(b"\0"):
                digest.update(offset.to_bytes(8, "big") + data)
            offset += len(data)
    return digest.hexdigest()


def attributes(path, status):
    if stat.S_ISLNK(status.st_mode) or stat.S_ISSOCK(status.st_mode):
        return []
    return sorted((name, os.getxattr(path, name)) for name in os.listxattr(path) if name.startswith("user."))


def describe(path, name):
    status = os.lstat(path)
    size = 0 if stat.S_ISDIR(status.st_mode) else status.st_size
    return " ".join(map(str, (
        ascii(os.fsdecode(name)), oct(status.st_mode), status.st_uid, status.st_gid, status.st_nlink, size,
        status.st_mtime_ns, ascii(content(path, status)), attributes(path, status))))


def main():
    root = os.fsencode(sys.argv[1])
    for folder, folders, files in os.walk(root):
        if folder == root:
            files = [name for name in files if not name.startswith(b".vm-")]
        folders.sort()
        for name in sorted(files) + folders:
            path = os.path.join(folder, name)
            print(describe(path, os.path.relpath(path, root)))


if __name__ == "__main__":
    main()
