# SPDX-License-Identifier: BSD-3-Clause
"""What must be right of files that are mapped, one function per case.

    dax_cases.py MOUNT MODE [CASE...]

Runs each case in a folder of its own below MOUNT/cases. MODE says which files use DAX: `always` all of them (mount
option dax=always), `inode` those that the daemon flags (as --dax=auto does under QEMU 11.1), `none` none: the guest's
tmpfs, which shows that the cases are right. MOUNT/ask is where dax_host.py, on the other side, takes its orders.

DAX_SECONDS is how long the random cases run (default 15), DAX_LARGE the MiB of a file that should not fit the window.
"""

import contextlib
import ctypes
import errno
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import time

import cases
from cases import MIB, in_child, opened, wait_for

PAGE = 4096
SECONDS = int(os.environ.get("DAX_SECONDS", "15"))
LARGE = int(os.environ.get("DAX_LARGE", "160")) * MIB
MOUNT, MODE = sys.argv[1:3]
LIBC = cases.LIBC
LIBC.mmap.restype = ctypes.c_void_p
LIBC.mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long)
LIBC.munmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t)
LIBC.msync.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)


def start(*command):
    return subprocess.Popen(list(map(str, command)))


def finish(*processes):
    for process in processes:
        assert process.wait() == 0, f"{process.args} ended with {process.returncode}"


def tool(*arguments):
    finish(start("/daxtool", *arguments))


class Ask:
    """daxtool in this folder as the host sees it; its exit status is there after answer()."""
    count = 0

    def __init__(self, *arguments):
        Ask.count += 1
        self.what = " ".join(map(str, arguments))
        self.path = f"{MOUNT}/ask/{os.getpid()}-{Ask.count}"
        with open(self.path + ".new", "w", encoding="utf-8") as file:
            json.dump({"folder": os.path.relpath(os.getcwd(), MOUNT), "arguments": list(map(str, arguments))}, file)
        os.rename(self.path + ".new", self.path + ".ask")

    def answer(self):
        while not os.path.exists(self.path + ".answer"):
            time.sleep(0.02)
        with open(self.path + ".answer", encoding="utf-8") as file:
            status, text = json.load(file)
        os.unlink(self.path + ".answer")
        return status, text


def host(*arguments):
    ask = Ask(*arguments)
    status, text = ask.answer()
    assert status == 0, f"host: {ask.what}: status {status}: {text}"


def attributes(path, fresh=True):
    """(size, whether it uses DAX); fresh asks the other side, whatever is cached."""
    buffer = (ctypes.c_uint64 * 32)()
    cases.libc("statx", cases.AT_FDCWD, os.fsencode(path), 0x2000 if fresh else 0, 0x7ff, buffer)
    return buffer[5], bool(buffer[1] & 0x00200000)


def expect_dax(path, expected=True):
    """Shows that a case is about DAX, or that it is not."""
    if MODE == "none":
        expected = False
    assert attributes(path)[1] == expected, f"{path}: DAX {'not ' if expected else ''}in use"


def expected_bytes(offset, length, seed):
    """What daxtool's pattern is there."""
    mask, data = (1 << 64) - 1, bytearray()
    for index in range(offset // 8, (offset + length + 7) // 8):
        z = ((index + 1) * 0x9e3779b97f4a7c15 + seed * 0xd1342543de82ef95) & mask
        z = ((z ^ (z >> 32)) * 0xd6e8feb86659fd93) & mask
        data += (z ^ (z >> 32)).to_bytes(8, "little")
    return bytes(data[offset % 8:offset % 8 + length])


class Mapping:
    """A shared mapping, which may be longer than the file."""

    def __init__(self, path, length):
        with opened(path, os.O_RDWR) as fd:
            self.address = LIBC.mmap(None, length, 3, 1, fd, 0)
        assert self.address != ctypes.c_void_p(-1).value, "mmap"
        self.length = length

    def __getitem__(self, place):
        return ctypes.string_at(self.address + place.start, place.stop - place.start)

    def store(self, offset, data):
        ctypes.memmove(self.address + offset, data, len(data))

    def memory(self, offset, length):
        return (ctypes.c_char * length).from_address(self.address + offset)

    def check(self, offset, length, seed):
        seen, right = self[offset:offset + length], expected_bytes(offset, length, seed)
        assert seen == right, f"mapped: wrong from {offset + next(i for i in range(length) if seen[i] != right[i])}"

    def sync(self):
        cases.libc("msync", self.address, self.length, 4)


def case_which_files():
    """always: all; inode: what --dax=auto flags when the end of a file cannot be mapped."""
    for name, size, flagged in (("large", 4 * MIB, True), ("least", 256 << 10, True), ("small", 252 << 10, False),
                                ("odd", 4 * MIB + 1, False), ("empty", 0, False)):
        host("fill", name, size, 1)
        expect_dax(name, flagged or MODE == "always")
        for way in "read", "map":
            tool("verify", name, size, 1, way)


def case_larger_than_window():
    host("fill", "file", LARGE, 2)
    expect_dax("file")
    for way in "map", "read", "random-map", "random-read":
        tool("verify", "file", LARGE, 2, way)
    finish(*(start("/daxtool", "verify", "file", LARGE, 2, way) for way in ("random-map", "map", "random-read")))
    # More dirty ranges than the window has.
    tool("store", "file", MIB // 2, LARGE // 2, 3)
    host("check", "file", MIB // 2, LARGE // 2, 3)
    tool("check", "file", 0, MIB // 2, 2)
    tool("check", "file", MIB // 2 + LARGE // 2, LARGE // 4, 2)


# dax_cases.sh looks at those of the host again after a remount.
def case_small_files():
    count = 200
    host("make-small", "from-host", count, 4)
    for way in "map", "read":
        tool("small", "from-host", count, 4, way)
    tool("make-small", "from-guest", count, 5)
    for way in "map", "read":
        tool("small", "from-guest", count, 5, way)
    host("small", "from-guest", count, 5, "read")


def case_shared_counters():
    slots, rounds = 5, 3000
    host("resize", "file", (slots + 1) * 64 * PAGE)
    expect_dax("file")
    ask = Ask("count", "file", 0, slots, rounds)
    finish(*(start("/daxtool", "count", "file", slot, slots, rounds) for slot in range(1, slots)))
    status, text = ask.answer()
    assert status == 0, f"host: {text}"


def case_append_while_mapped():
    # Who watches a file that is not mapped by DAX may see stale zeros of the guest's page cache, over any daemon (HACKING.md).
    def append(path, size, uses_dax):
        tool("append", path, size, 40, "watched" if uses_dax else "alone")

    for size in 0, 100, PAGE, 2 * MIB - 1, 2 * MIB:
        append(f"from-{size}", size, MODE == "always")
    # Made by the host, and so using DAX from the start.
    host("fill", "file", 3 * MIB, 77)
    expect_dax("file")
    append("file", 3 * MIB, MODE != "none")


def case_cut_while_mapped():
    tool("cut", "small", 5 * PAGE)
    tool("cut", "large", 5 * MIB + 77)
    host("fill", "file", 6 * MIB, 77)
    expect_dax("file")
    tool("cut", "file", 6 * MIB)


def case_cut_race():
    host("fill", "file", 6 * MIB, 77)
    expect_dax("file")
    tool("cut-race", "file", SECONDS, int(time.time()))


def case_host_edits():
    size = 3 * MIB
    host("fill", "file", size, 1)
    expect_dax("file")
    view = Mapping("file", 12 * MIB)
    view.check(size - PAGE, PAGE, 1)
    host("patch", "file", MIB - 1000, 9000, 2)
    view.check(MIB - 1000, 9000, 2)
    view.store(2 * MIB - 3000, expected_bytes(2 * MIB - 3000, 6000, 3))
    host("check", "file", 2 * MIB - 3000, 6000, 3)
    # Grown by whole pages, by less than one, over the end of a page and of a range.
    for seed, length in enumerate((2 * MIB + PAGE, 777, 3000, 9000, 1, MIB), 4):
        host("patch", "file", size, length, seed)
        old, size = size, size + length
        assert attributes("file")[0] == size
        view.check(max(old, size - 20000), min(length, 20000), seed)
        view.check(old, min(length, 20000), seed)
        if size % PAGE:
            assert not view[size:(size + PAGE - 1) // PAGE * PAGE].strip(b"\0"), "not zero behind the end"


def case_last_page():
    """The page that the file's end cuts, both sides storing."""
    size = 2 * MIB + 5 * PAGE + 1234
    host("fill", "file", 2 * MIB + 6 * PAGE, 1)
    expect_dax("file")
    view = Mapping("file", 2 * MIB + 6 * PAGE)
    view.check(size - 2000, 2000, 1)
    os.truncate("file", size)
    view.check(size - 2000, 2000, 1)
    for seed in range(2, 12):
        end = random.randrange(size - 1000, size)
        host("patch", "file", end - 200, 200, seed)
        assert attributes("file")[0] == size
        view.check(end - 200, 200, seed)
        with opened("file", os.O_RDONLY) as fd:
            assert os.pread(fd, 200, end - 200) == expected_bytes(end - 200, 200, seed)
        view.store(size - 100, expected_bytes(size - 100, 100, seed + 100))
        if seed % 2:
            view.sync()
            host("check", "file", size - 100, 100, seed + 100)
        else:
            tool("check", "file", size - 100, 100, seed + 100)
    # Without anybody asking the daemon, the host has it in a moment.
    view.store(size - 100, expected_bytes(size - 100, 100, 200))
    deadline = time.monotonic() + 5
    while Ask("check", "file", size - 100, 100, 200).answer()[0]:
        assert time.monotonic() < deadline, "the host does not get what is stored in the last page"


def case_holes():
    host("resize", "file", 8 * MIB)
    expect_dax("file")
    view = Mapping("file", 8 * MIB)
    for place in 0, 2 * MIB - 8, 5 * MIB + 100:
        assert not view[place:place + 5000].strip(b"\0")
        view.store(place, expected_bytes(place, 5000, 9))
        host("check", "file", place, 5000, 9)
    with opened("file", os.O_RDWR) as fd:
        cases.libc("fallocate", fd, 3, ctypes.c_long(0), ctypes.c_long(3 * MIB))
    assert not view[2 * MIB - 8:2 * MIB + 5000].strip(b"\0"), "punched, and still there"
    view.check(5 * MIB + 100, 5000, 9)


def case_unlinked():
    host("fill", "file", 4 * MIB, 1)
    expect_dax("file")
    view = Mapping("file", 4 * MIB)
    os.unlink("file")
    view.check(2 * MIB - 100, 200, 1)
    view.check(4 * MIB - 100, 100, 1)
    view.store(MIB, b"nobody's")
    assert view[MIB:MIB + 8] == b"nobody's"
    host("fill", "file", 4 * MIB, 2)
    view.check(0, 100, 1)
    Mapping("file", 4 * MIB).check(0, 100, 2)


def case_direct_into_mapping():
    """Requests whose data is in the window: in mode `inode` one file is not in it, the other is."""
    plain, size = MIB + 100, 6 * MIB
    host("fill", "plain", plain, 1)
    host("fill", "mapped", size, 2)
    expect_dax("plain", MODE == "always")
    expect_dax("mapped")
    view = Mapping("mapped", size)
    places = ((0, MIB, 0), (2 * MIB - 64 * 1024, MIB, 0), (5 * MIB + 512, 5001, 8192), (3 * MIB, 1, 77))
    with opened("plain", os.O_RDWR | os.O_DIRECT) as fd:
        for place, length, offset in places:
            assert os.preadv(fd, [view.memory(place, length)], offset) == length
            assert view[place:place + length] == b"".join(
                expected_bytes(offset + part, min(65536, length - part), 1) for part in range(0, length, 65536))
        # Several pieces, some of the window and some not.
        buffer = bytearray(PAGE)
        assert os.preadv(fd, [view.memory(MIB, PAGE), buffer, view.memory(4 * MIB, PAGE)], 0) == 3 * PAGE
        assert view[MIB:MIB + PAGE] + buffer + view[4 * MIB:4 * MIB + PAGE] == expected_bytes(0, 3 * PAGE, 1)
        # And back, from pages that were never touched, and from some that were.
        tool("store", "mapped", 0, size, 3)
        for place, length, offset in ((2 * MIB - PAGE, 3 * PAGE, 2 * PAGE), (4 * MIB, MIB, 0)):
            assert os.pwritev(fd, [view.memory(place, length)], offset) == length
            with opened("plain", os.O_RDONLY) as other:
                assert os.pread(other, length, offset) == view[place:place + length]
        with opened("mapped", os.O_RDONLY) as other:
            assert os.pread(other, MIB, 4 * MIB) == view[4 * MIB:5 * MIB]
    with opened("plain", os.O_RDONLY) as fd:
        copied = os.pread(fd, MIB, 0)
    assert copied == view[4 * MIB:5 * MIB]
    host("check", "mapped", 0, size, 3)


def case_exec():
    """QEMU's TCG keeps what it translated from a place in the window, and runs it when other code is mapped there (KVM has
    no such copy). So all that has a place there gives it up before the first run, and there is room for all of it."""
    shutil.copy("/usr/bin/python3.11", "python")
    os.mkdir("lib")
    listed = subprocess.check_output(["/lib64/ld-linux-x86-64.so.2", "--list", "/usr/bin/python3.11"], text=True)
    for word in [*listed.split(), "/lib64/ld-linux-x86-64.so.2"]:
        if word.startswith("/"):
            shutil.copy(word, "lib")
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as file:
        file.write("2")
    loader = next(name for name in os.listdir("lib") if name.startswith("ld-"))
    script = "import ctypes, hashlib; ctypes.CDLL('./lib/libz.so.1').zlibVersion; print(hashlib.sha256(b'x').hexdigest())"
    command = [f"./lib/{loader}", "--library-path", "./lib", "./python", "-c", script]
    for _ in range(2):
        assert len(subprocess.check_output(command)) == 65
    script = start("./python", "-c", "import time; time.sleep(3)")
    time.sleep(0.5)
    with cases.fails_with(errno.ETXTBSY):
        os.open("python", os.O_WRONLY)
    finish(script)


def sqlite_rows(path, number, rows):
    data = sqlite3.connect(path, timeout=60, isolation_level=None)
    data.execute(f"pragma mmap_size={64 * MIB}")
    data.execute("pragma synchronous=normal")
    for row in range(rows):
        data.execute("begin immediate")
        data.execute("insert into t values (?, ?, ?)", (number, row, random.Random(row).randbytes(2000)))
        data.execute("update counter set n = n + 1")
        if row % 10 == 9:
            data.execute("delete from t where writer = ? and number < ?", (number, row - 15))
        data.execute("commit")
    data.close()


def case_sqlite():
    writers, rows = 3, 30
    for mode in "wal", "delete":
        path = f"{mode}.db"
        data = sqlite3.connect(path, isolation_level=None)
        data.execute(f"pragma mmap_size={64 * MIB}")
        assert data.execute(f"pragma journal_mode={mode}").fetchone()[0] == mode
        data.execute("create table t (writer, number, body)")
        data.execute("create table counter (n)")
        data.execute("insert into counter values (0)")
        wait_for(*(in_child(lambda number=number: sqlite_rows(path, number, rows)) for number in range(writers)))
        assert data.execute("select n from counter").fetchone()[0] == writers * rows
        assert data.execute("pragma integrity_check").fetchone()[0] == "ok"
        for number, body in data.execute("select number, body from t"):
            assert body == random.Random(number).randbytes(2000)
        data.execute("vacuum")
        assert data.execute("pragma integrity_check").fetchone()[0] == "ok"
        data.close()


def case_fio():
    size = 8 * MIB
    for job in range(2):
        host("fill", f"job.{job}.0", size, 1)
        expect_dax(f"job.{job}.0")
    finish(start("fio", "--name=job", "--ioengine=mmap", "--rw=randwrite", "--bs=4k", f"--size={size}", "--numjobs=2",
                 "--verify=crc32c", "--do_verify=1", "--verify_fatal=1", "--group_reporting", "--minimal", "--eta=never",
                 "--output=/tmp/fio.out"))
    finish(start("fio", "--name=mixed", "--filename=job.0.0", "--ioengine=mmap", "--rw=randrw", "--bsrange=512-64k",
                 "--bs_unaligned", f"--size={size}", "--verify=md5", "--verify_fatal=1", "--minimal", "--eta=never",
                 "--output=/tmp/fio.out"))


def case_fsx():
    seed = os.environ.get("FSX_SEED", str(int(time.time())))
    finish(start("/fsx", "small", seed, SECONDS, "mmap"), start("/fsx-ranges", "ranges", seed, SECONDS, "mmap"))


def main():
    wanted = sys.argv[3:]
    everything = {name[5:]: function for name, function in globals().items() if name.startswith("case_")}
    unknown = set(wanted) - set(everything)
    if unknown:
        sys.exit(f"no such case: {unknown}")
    cases.signal.signal(cases.signal.SIGALRM, cases.on_alarm)
    for folder in "cases", "ask":
        os.makedirs(f"{MOUNT}/{folder}", exist_ok=True)
    failed = [name for name in wanted or everything
              if not cases.run_case(name, everything[name], f"{MOUNT}/cases")]
    with contextlib.suppress(FileNotFoundError):
        # Too large to list and to compare.
        os.unlink(f"{MOUNT}/cases/larger_than_window/file")
    print(f"{len(wanted or everything)} cases, {len(failed)} failed: {' '.join(failed)}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
