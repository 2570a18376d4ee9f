# SPDX-License-Identifier: BSD-3-Clause
"""test_options: what programs rely on when they open files, where the guest does not say so."""
import os
import subprocess


def unopened(check):
    """--cache=always: the guest does without OPEN; what programs rely on when they open is there."""
    mnt, share = check.stand.mnt, check.stand.share

    # What the guest has written and closed can be executed on the host at once, and by the guest.
    for name in ("program", "program2"):
        with open(os.path.join(mnt, name), "w") as stream:
            stream.write("#!/bin/sh\necho runs\n")
        os.chmod(os.path.join(mnt, name), 0o755)
        for side in (share, mnt):
            seen = subprocess.run([os.path.join(side, name)], capture_output=True, check=False)
            check.expect(seen.stdout == b"runs\n", f"{side}: {seen}")

    # A file without a name: read and written through many more files than descriptors are cached.
    fd = os.open(os.path.join(mnt, "unlinked"), os.O_RDWR | os.O_CREAT, 0o600)
    os.write(fd, b"kept")
    os.unlink(os.path.join(mnt, "unlinked"))
    replaced = os.open(os.path.join(mnt, "replaced"), os.O_RDWR | os.O_CREAT, 0o600)
    os.write(replaced, b"old")
    with open(os.path.join(mnt, "other"), "w") as stream:
        stream.write("new")
    os.rename(os.path.join(mnt, "other"), os.path.join(mnt, "replaced"))
    for i in range(600):
        with open(os.path.join(share, f"f{i}"), "w") as stream:
            stream.write(str(i))
    for i in range(600):
        with open(os.path.join(mnt, f"f{i}")) as stream:
            check.expect(stream.read() == str(i), f"f{i} is another file")
    for held, content in ((fd, b"kept"), (replaced, b"old")):
        os.posix_fadvise(held, 0, 0, os.POSIX_FADV_DONTNEED)
        check.expect(os.pread(held, 10, 0) == content, "content of a file without a name")
        os.pwrite(held, b"more", len(content))
        os.posix_fadvise(held, 0, 0, os.POSIX_FADV_DONTNEED)
        check.expect(os.pread(held, 10, 0) == content + b"more", "after writing to it")
        check.expect(os.fstat(held).st_nlink == 0, "its count of names")
        os.ftruncate(held, 2)
        check.expect(os.fstat(held).st_size == 2, "its size, cut")
        os.close(held)

    # O_TRUNC and O_APPEND, which OPEN or CREATE would have brought.
    path = os.path.join(mnt, "f1")
    with open(path, "w") as stream:
        stream.write("cut")
    with open(path, "a") as stream:
        stream.write(" and appended")
    with open(os.path.join(share, "f1")) as stream:
        check.expect(stream.read() == "cut and appended", "O_TRUNC and O_APPEND")
    os.utime(path, (1000, 1000))
    os.close(os.open(path, os.O_WRONLY | os.O_TRUNC))
    os.utime(path, (1000, 1000))
    os.close(os.open(path, os.O_WRONLY | os.O_TRUNC))
    check.expect(os.stat(os.path.join(share, "f1")).st_mtime > 1000, "O_TRUNC of an empty file")

    # A directory that shrinks while it is listed in pieces.
    os.mkdir(os.path.join(share, "d"))
    for i in range(3000):
        os.close(os.open(os.path.join(share, "d", f"name{i}"), os.O_CREAT | os.O_WRONLY, 0o644))
    seen = 0
    with os.scandir(os.path.join(mnt, "d")) as entries:
        for entry in entries:
            os.unlink(entry.path)
            seen += 1
    check.expect(seen == 3000, f"{seen} of 3000 names")
    check.expect(os.listdir(os.path.join(share, "d")) == [], "not all are removed")
