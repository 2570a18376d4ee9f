# SPDX-License-Identifier: BSD-3-Clause
"""OPENDIR, READDIR, READDIRPLUS, RELEASEDIR: lists."""
import os
import stat

from suite.recorder import digest
from suite.runner import case
from suite.syscalls import Directory


def fill(count, prefix="e"):
    for i in range(count):
        os.close(os.open(f"{prefix}{i:06d}", os.O_CREAT | os.O_WRONLY, 0o644))


def names_of(entries):
    return sorted(name for name, _, _ in entries)


def _listing(t, count):
    os.mkdir("d")
    os.chdir("d")
    fill(count)
    stream = Directory(".")
    entries = stream.rest()
    t.note("count", len(entries))
    t.note("no name twice", len({e[0] for e in entries}) == len(entries))
    t.note("names", digest(b"/".join(names_of(entries))))
    t.note("end stays", stream.read())
    t.note("numbers", all(os.lstat(name).st_ino == ino for name, _, ino in entries
                          if name not in (b".", b"..")))
    stream.close()
    os.chdir("..")


@case()
def readdir_empty(t):
    _listing(t, 0)


@case()
def readdir_one(t):
    _listing(t, 1)


@case()
def readdir_hundred(t):
    _listing(t, 100)


@case(worlds=("root", "user"))
def readdir_five_thousand(t):
    _listing(t, 5000)


@case()
def readdir_long_names(t):
    os.mkdir("d")
    expected = [f"{i:04d}" + "n" * 251 for i in range(200)]
    for name in expected:
        os.close(os.open(f"d/{name}", os.O_CREAT | os.O_WRONLY, 0o644))
    t.note("all", sorted(os.listdir("d")) == expected)


@case()
def readdir_types(t):
    t.write_file("file", b"")
    os.mkdir("dir")
    os.symlink("x", "link")
    os.mkfifo("fifo")
    os.mknod("socket", stat.S_IFSOCK | 0o600)
    if t.world == "root":
        os.mknod("char", stat.S_IFCHR | 0o600, os.makedev(1, 3))
        os.mknod("block", stat.S_IFBLK | 0o600, os.makedev(7, 9))
    stream = Directory(".")
    t.note("types", sorted((name, kind) for name, kind, _ in stream.rest()))
    stream.close()


@case()
def readdir_seek(t):
    """A remembered position leads back to the same rest of the list."""
    fill(1000)
    stream = Directory(".")
    marks = []
    order = []
    while True:
        marks.append(stream.tell())
        entry = stream.read()
        if entry is None:
            break
        order.append(entry[0])
    t.note("count", len(order))
    for i in (0, 1, 2, 3, 500, 777, 1001, 1002, 10):
        stream.seek(marks[i])
        rest = [name for name, _, _ in stream.rest()]
        t.note(f"from {i}", rest == order[i:])
    stream.close()
    stream = Directory(".")
    stream.seek(marks[400])
    t.note("another stream", [n for n, _, _ in stream.rest()] == order[400:])
    stream.close()


@case()
def readdir_rewind_sees_new(t):
    fill(10)
    stream = Directory(".")
    t.note("first", names_of(stream.rest()))
    t.write_file("new", b"")
    os.unlink("e000003")
    stream.rewind()
    t.note("again", names_of(stream.rest()))
    stream.close()
    t.listdir()


@case()
def readdir_delete_while_reading(t):
    """As rm -r does: every file that existed before is seen exactly once, and removed."""
    fill(3000)
    stream = Directory(".")
    seen = []
    while (entry := stream.read()) is not None:
        if entry[0] not in (b".", b".."):
            seen.append(entry[0])
            os.unlink(entry[0])
    t.note("seen", len(seen))
    t.note("once", len(set(seen)))
    stream.close()
    t.listdir()


@case()
def readdir_create_while_reading(t):
    fill(2000)
    stream = Directory(".")
    seen = [stream.read()[0] for _ in range(100)]
    fill(500, "later")
    seen += [name for name, _, _ in stream.rest()]
    stream.close()
    old = [name for name in seen if name.startswith(b"e")]
    t.note("every old one once", (len(old), len(set(old))))
    t.note("no new one twice", len(seen) == len(set(seen)))


@case()
def readdir_rename_while_reading(t):
    fill(1000)
    stream = Directory(".")
    first = [stream.read()[0] for _ in range(50)]
    os.rename("e000999", "e000999")
    t.note("read", len(first))
    rest = [name for name, _, _ in stream.rest()]
    t.note("all", len(set(first + rest)))
    stream.close()


@case()
def readdir_two_streams(t):
    fill(300)
    one, two = Directory("."), Directory(".")
    a, b = [], []
    while True:
        x = one.read()
        y = two.read()
        if x is None or y is None:
            break
        a.append(x)
        b.append(y)
    t.note("equal", a == b and len(a) == 302)
    one.close()
    two.close()


@case()
def readdir_then_stat(t):
    """The attributes that came with the list are those of the files."""
    fill(200)
    for i in range(200):
        os.chmod(f"e{i:06d}", 0o600 + (i & 0o77))
        os.truncate(f"e{i:06d}", i)
    total = []
    with os.scandir(".") as entries:
        for entry in entries:
            st = entry.stat(follow_symlinks=False)
            total.append((entry.name, st.st_mode, st.st_size, entry.is_file()))
    t.note("all", digest(repr(sorted(total)).encode()))


@case()
def readdir_errors(t):
    t.write_file("f", b"")
    t.do("file", os.listdir, "f")
    t.do("missing", os.listdir, "missing")
    os.mkdir("d", 0o300)
    if t.world == "user":
        t.do("no read permission", os.listdir, "d")
    os.chmod("d", 0o700)
    stream = Directory("d")
    os.rmdir("d")
    t.do("removed", lambda: names_of(stream.rest()))
    stream.close()
