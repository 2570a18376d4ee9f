# SPDX-License-Identifier: BSD-3-Clause
"""What a user expects of a file system, one function per case.

    cases.py FOLDER [--few] [--skip NAME=REASON]...

Runs each case in a folder of its own below FOLDER, as root inside a guest, and prints one line for each. The same cases run
on the guest's tmpfs first: a case that fails there is wrong itself. What the cases leave behind is compared with the
host's view later (manifest.py), so they tidy up only what would be a lot.  --few: what a case does many times, an eighth of
that will do.
"""

import contextlib
import ctypes
import errno
import fcntl
import hashlib
import mmap
import os
import random
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import time
import traceback

LIBC = ctypes.CDLL("libc.so.6", use_errno=True)
AT_FDCWD = -100
FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE = 1, 2
RENAME_NOREPLACE, RENAME_EXCHANGE = 1, 2
MIB = 1 << 20
FEW = False


def many(count):
    return count // 8 if FEW else count


def libc(function, *arguments):
    result = getattr(LIBC, function)(*arguments)
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


@contextlib.contextmanager
def fails_with(number):
    try:
        yield
    except OSError as error:
        assert error.errno == number, f"{errno.errorcode[error.errno]} instead of {errno.errorcode[number]}"
    else:
        raise AssertionError(f"success instead of {errno.errorcode[number]}")


@contextlib.contextmanager
def opened(path, flags, mode=0o644):
    fd = os.open(path, flags, mode)
    try:
        yield fd
    finally:
        os.close(fd)


def put(path, data=b"data\n", mode=0o644):
    with opened(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode) as fd:
        assert os.write(fd, data) == len(data)


def get(path):
    with open(path, "rb") as file:
        return file.read()


def pattern(size, seed=0):
    return random.Random(seed).randbytes(size)


def in_child(function, uid=None):
    """Runs function in another process, as another user if told so; its exceptions fail the case."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            if uid is not None:
                os.setgroups([])
                os.setresgid(uid, uid, uid)
                os.setresuid(uid, uid, uid)
            function()
            status = 0
        except BaseException:  # pylint: disable=broad-except
            traceback.print_exc()
        finally:
            os._exit(status)
    return pid


def wait_for(*pids):
    for pid in pids:
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, "a child failed, see above"


def case_create():
    put("file")
    with fails_with(errno.EEXIST):
        os.open("file", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    old = os.umask(0o027)
    put("masked", mode=0o666)
    os.mkdir("dir", 0o777)
    os.umask(old)
    assert stat.S_IMODE(os.stat("masked").st_mode) == 0o640
    assert stat.S_IMODE(os.stat("dir").st_mode) == 0o750
    with opened("read-only", os.O_CREAT | os.O_RDWR, 0o400) as fd:
        os.write(fd, b"written through the creating descriptor")
    assert os.stat("file").st_uid == os.getuid() and os.stat("file").st_nlink == 1


def case_errors():
    put("file")
    os.makedirs("dir/sub")
    os.symlink("loop", "loop")
    with fails_with(errno.ENOENT):
        os.open("absent", os.O_RDONLY)
    with fails_with(errno.ENOTDIR):
        os.open("file/x", os.O_RDONLY)
    with fails_with(errno.EISDIR):
        os.open("dir", os.O_WRONLY)
    with fails_with(errno.ELOOP):
        os.open("loop", os.O_RDONLY)
    with fails_with(errno.ENOTEMPTY):
        os.rmdir("dir")
    with fails_with(errno.EISDIR):
        os.unlink("dir")
    with fails_with(errno.ENOTDIR):
        os.rmdir("file")
    with fails_with(errno.EINVAL):
        os.rename("dir", "dir/sub/dir")
    with fails_with(errno.EEXIST):
        os.mkdir("file")


def case_read_write():
    data = pattern(3 * MIB + 4321)
    put("file", data)
    assert get("file") == data
    with opened("file", os.O_RDWR) as fd:
        assert os.pread(fd, 100, len(data)) == b"" and os.pread(fd, 100, len(data) - 7) == data[-7:]
        assert os.pwritev(fd, [b"one", b"two", b"three"], 4093) == 11
        assert os.pread(fd, 13, 4092) == data[4092:4093] + b"onetwothree" + data[4104:4105]
        os.pwrite(fd, b"end", 5 * MIB)
        assert os.fstat(fd).st_size == 5 * MIB + 3 and os.pread(fd, 10, 4 * MIB) == bytes(10)


def case_large_file():
    block, digest = pattern(MIB, 1), hashlib.sha256()
    with opened("file", os.O_CREAT | os.O_RDWR) as fd:
        for index in range(many(32)):
            chunk = index.to_bytes(8, "big") + block[8:]
            digest.update(chunk)
            assert os.write(fd, chunk) == MIB
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.lseek(fd, 0, os.SEEK_SET)
        again = hashlib.sha256()
        while chunk := os.read(fd, 3 * MIB - 1):
            again.update(chunk)
    assert again.digest() == digest.digest()
    with opened("sparse", os.O_CREAT | os.O_RDWR) as fd:
        os.pwrite(fd, b"far", 6 << 30)
        assert os.pread(fd, 4, (6 << 30) - 1) == b"\0far"


def case_random_operations():
    """A small fsx: reads, writes and truncations compared with a copy in memory."""
    rng, copy = random.Random(2), bytearray()
    with opened("file", os.O_CREAT | os.O_RDWR) as fd:
        for _ in range(many(600)):
            offset, length = rng.randrange(256 << 10), rng.randrange(40 << 10)
            action = rng.random()
            if action < 0.45:
                data = rng.randbytes(length)
                os.pwrite(fd, data, offset)
                if data:
                    copy.extend(bytes(max(0, offset - len(copy))))
                    copy[offset:offset + length] = data
            elif action < 0.55:
                os.ftruncate(fd, offset)
                del copy[offset:]
                copy.extend(bytes(offset - len(copy)))
            else:
                assert os.pread(fd, length, offset) == copy[offset:offset + length]
            assert os.fstat(fd).st_size == len(copy)
    assert get("file") == copy


def case_append():
    put("file", b"")

    def writer():
        with opened("file", os.O_WRONLY | os.O_APPEND) as fd:
            for _ in range(100):
                os.write(fd, b"0123456789\n")
    wait_for(*(in_child(writer) for _ in range(3)))
    assert get("file") == b"0123456789\n" * 300


def case_rename():
    put("a", b"a")
    os.mkdir("d1")
    os.makedirs("d2/full")
    inode = os.stat("a").st_ino
    os.rename("a", "d1/b")
    assert get("d1/b") == b"a" and not os.path.exists("a") and os.stat("d1/b").st_ino == inode
    os.rename("d1", "d3")
    assert os.listdir("d3") == ["b"]
    with fails_with(errno.ENOTEMPTY):
        os.rename("d3", "d2")
    with fails_with(errno.ENOENT):
        os.rename("absent", "x")


def case_rename_over():
    put("old", b"old")
    put("new", b"new")
    with opened("old", os.O_RDONLY) as fd:
        os.rename("new", "old")
        assert os.read(fd, 10) == b"old" and os.fstat(fd).st_nlink == 0
    assert get("old") == b"new"
    put("one", b"1")
    put("two", b"2")
    with fails_with(errno.EEXIST):
        libc("renameat2", AT_FDCWD, b"one", AT_FDCWD, b"two", RENAME_NOREPLACE)
    libc("renameat2", AT_FDCWD, b"one", AT_FDCWD, b"two", RENAME_EXCHANGE)
    assert get("one") == b"2" and get("two") == b"1"


def case_hard_links():
    put("a")
    os.mkdir("dir")
    for index in range(20):
        os.link("a", f"dir/{index}")
    assert os.stat("a").st_nlink == 21 and os.path.samefile("a", "dir/7")
    with opened("dir/7", os.O_WRONLY | os.O_APPEND) as fd:
        os.write(fd, b"more")
    assert get("a") == b"data\nmore"
    os.unlink("a")
    assert os.stat("dir/3").st_nlink == 20
    with fails_with(errno.EPERM):
        os.link("dir", "dir2")


def case_symbolic_links():
    put("target")
    os.symlink("target", "link")
    os.symlink("/outside/" + "x" * 4000, "long")
    os.symlink("nowhere", "dangling")
    assert os.readlink("link") == "target" and len(os.readlink("long")) == 4009
    assert get("link") == b"data\n" and os.lstat("link").st_size == 6
    with fails_with(errno.ENOENT):
        os.stat("dangling")
    with fails_with(errno.ELOOP):
        os.open("link", os.O_RDONLY | os.O_NOFOLLOW)
    os.lchown("link", 12, 34)
    assert (os.lstat("link").st_uid, os.stat("target").st_uid) == (12, 0)


def case_readdir_many():
    os.mkdir("many")
    names = {f"entry-{index:05}-{'x' * (index % 40)}" for index in range(many(1000))}
    for name in names:
        os.close(os.open(f"many/{name}", os.O_CREAT | os.O_WRONLY))
    assert set(os.listdir("many")) == names and len(os.listdir("many")) == many(1000)
    with os.scandir("many") as entries:
        for index, entry in enumerate(entries):
            assert entry.is_file(follow_symlinks=False)
            if index % 100 == 0:
                assert entry.inode() == entry.stat().st_ino
    # Removing while reading must neither skip nor repeat.
    with os.scandir("many") as entries:
        for entry in entries:
            os.unlink(entry.path)
    assert os.listdir("many") == []
    os.rmdir("many")


def case_xattr():
    put("file")
    os.mkdir("dir")
    for path in ("file", "dir"):
        os.setxattr(path, "user.one", b"1")
        os.setxattr(path, "user.binary", bytes(range(256)))
        os.setxattr(path, "user.empty", b"")
        assert set(os.listxattr(path)) >= {"user.one", "user.binary", "user.empty"}
        assert os.getxattr(path, "user.binary") == bytes(range(256)) and os.getxattr(path, "user.empty") == b""
    os.setxattr("file", "user.one", b"other", os.XATTR_REPLACE)
    with fails_with(errno.EEXIST):
        os.setxattr("file", "user.one", b"", os.XATTR_CREATE)
    with fails_with(errno.ENODATA):
        os.setxattr("file", "user.absent", b"", os.XATTR_REPLACE)
    os.removexattr("file", "user.empty")
    with fails_with(errno.ENODATA):
        os.getxattr("file", "user.empty")
    small = ctypes.create_string_buffer(2)
    with fails_with(errno.ERANGE):
        libc("getxattr", b"file", b"user.one", small, 2)
    assert libc("getxattr", b"file", b"user.one", None, 0) == 5


def case_special_files():
    os.mknod("zero", 0o600 | stat.S_IFCHR, os.makedev(1, 5))
    os.mknod("disk", 0o640 | stat.S_IFBLK, os.makedev(259, 70000))
    os.mknod("plain", 0o640 | stat.S_IFREG)
    assert stat.S_ISCHR(os.stat("zero").st_mode) and stat.S_ISBLK(os.stat("disk").st_mode)
    assert os.stat("disk").st_rdev == os.makedev(259, 70000) and stat.S_ISREG(os.stat("plain").st_mode)
    with opened("zero", os.O_RDONLY) as fd:
        assert os.read(fd, 4) == bytes(4), "a device node means the guest's device"


def case_fifo():
    os.mkfifo("fifo", 0o622)

    def writer():
        with opened("fifo", os.O_WRONLY) as fd:
            os.write(fd, b"through the pipe")
    child = in_child(writer)
    assert get("fifo") == b"through the pipe"
    wait_for(child)
    assert stat.S_ISFIFO(os.stat("fifo").st_mode)


def case_socket():
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind("socket")
        server.listen()
        client.connect("socket")
        client.sendall(b"hello")
        with server.accept()[0] as connection:
            assert connection.recv(10) == b"hello"
    assert stat.S_ISSOCK(os.stat("socket").st_mode)
    with fails_with(errno.EADDRINUSE), socket.socket(socket.AF_UNIX) as second:
        second.bind("socket")


def case_truncate():
    put("file", b"x" * 10000)
    os.truncate("file", 5000)
    assert get("file") == b"x" * 5000
    os.truncate("file", 9000)
    assert get("file") == b"x" * 5000 + bytes(4000)
    with opened("file", os.O_WRONLY | os.O_TRUNC):
        assert os.stat("file").st_size == 0
    with opened("file", os.O_RDWR) as fd:
        os.ftruncate(fd, 1 << 33)
        assert os.fstat(fd).st_size == 1 << 33
        os.ftruncate(fd, 3)


def case_fallocate():
    with opened("file", os.O_CREAT | os.O_RDWR) as fd:
        os.posix_fallocate(fd, 0, MIB)
        assert os.fstat(fd).st_size == MIB and os.fstat(fd).st_blocks * 512 >= MIB
        libc("fallocate", fd, FALLOC_FL_KEEP_SIZE, ctypes.c_long(MIB), ctypes.c_long(MIB))
        assert os.fstat(fd).st_size == MIB and os.fstat(fd).st_blocks * 512 >= 2 * MIB
        os.pwrite(fd, b"x" * MIB, 0)
        libc("fallocate", fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, ctypes.c_long(64 << 10),
             ctypes.c_long(128 << 10))
        assert os.pread(fd, MIB, 0) == b"x" * (64 << 10) + bytes(128 << 10) + b"x" * (832 << 10)


def case_lseek():
    with opened("file", os.O_CREAT | os.O_RDWR) as fd:
        os.pwrite(fd, b"x" * 4096, MIB)
        os.ftruncate(fd, 4 * MIB)
        os.fsync(fd)
        assert os.lseek(fd, 0, os.SEEK_DATA) == MIB
        assert os.lseek(fd, MIB, os.SEEK_HOLE) == MIB + 4096
        with fails_with(errno.ENXIO):
            os.lseek(fd, 2 * MIB, os.SEEK_DATA)
        assert os.lseek(fd, -10, os.SEEK_END) == 4 * MIB - 10


def case_copy_file_range():
    data = pattern(MIB + 77, 3)
    put("from", data)
    with opened("from", os.O_RDONLY) as source, opened("to", os.O_CREAT | os.O_RDWR) as target:
        done = 0
        while done < len(data):
            count = os.copy_file_range(source, target, len(data) - done)
            assert count > 0
            done += count
        assert os.copy_file_range(source, target, 10) == 0
        assert os.copy_file_range(source, target, 1000, 5, 2 * MIB) == 1000
        assert os.pread(target, 1000, 2 * MIB) == data[5:1005]
    assert get("to")[:len(data)] == data


def kernel_has(*version):
    """Whether this kernel's FUSE is as new as that; older ones refuse by themselves."""
    return tuple(int(part) for part in os.uname().release.split(".")[:2]) >= version


def case_tmpfile():
    try:
        fd = os.open(".", os.O_TMPFILE | os.O_RDWR, 0o640)
    except OSError as error:
        assert error.errno == errno.EOPNOTSUPP and not kernel_has(6, 2), error
        return
    os.write(fd, b"nameless")
    assert os.listdir(".") == [] and os.fstat(fd).st_nlink == 0
    libc("linkat", AT_FDCWD, f"/proc/self/fd/{fd}".encode(), AT_FDCWD, b"named", 0x400)
    assert os.fstat(fd).st_nlink == 1 and get("named") == b"nameless"
    os.close(fd)
    with opened(".", os.O_TMPFILE | os.O_WRONLY | os.O_EXCL) as fd, fails_with(errno.ENOENT):
        libc("linkat", AT_FDCWD, f"/proc/self/fd/{fd}".encode(), AT_FDCWD, b"never", 0x400)


def case_birth():
    put("file")
    buffer = ctypes.create_string_buffer(256)
    libc("statx", AT_FDCWD, b"file", 0, 0xfff, buffer)
    mask, = struct.unpack_from("I", buffer)
    assert mask & 0x800 or not kernel_has(6, 6), hex(mask)
    if mask & 0x800:
        assert abs(struct.unpack_from("q", buffer, 80)[0] - time.time()) < 600


def case_flags():
    put("file")
    os.mkdir("dir")
    nodump = 0x40
    for name in ("file", "dir") if kernel_has(6, 6) else ():
        with opened(name, os.O_RDONLY) as fd:
            before, = struct.unpack("i", fcntl.ioctl(fd, 0x80086601, bytes(4)))
            fcntl.ioctl(fd, 0x40086602, struct.pack("i", before | nodump))
            assert struct.unpack("i", fcntl.ioctl(fd, 0x80086601, bytes(4)))[0] == before | nodump
            with fails_with(errno.ENOTTY):
                fcntl.ioctl(fd, 0x5401, bytes(64))
            fcntl.ioctl(fd, 0x40086602, struct.pack("i", before))
    with opened("file", os.O_RDONLY) as fd, fails_with(errno.ENOTTY):
        fcntl.ioctl(fd, 0x5401, bytes(64))


def case_handles():
    """File handles outlive the guest's cache."""
    os.makedirs("one/two")
    put("one/two/file", b"by handle")
    names = ("one/two/file", "one/two", "one")
    handles, mount = [], ctypes.c_int()
    for name in names:
        handle = ctypes.create_string_buffer(struct.pack("Ii", 128, 0), 136)
        libc("name_to_handle_at", AT_FDCWD, name.encode(), handle, ctypes.byref(mount), 0)
        handles.append((handle, os.stat(name).st_ino))
    with opened(".", os.O_RDONLY) as here:
        for drop in (False, True):
            if drop:
                os.sync()
                with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as stream:
                    stream.write("2")
            for handle, number in handles:
                fd = libc("open_by_handle_at", here, handle, os.O_RDONLY)
                assert os.fstat(fd).st_ino == number
                os.close(fd)


def case_statfs():
    here, root = os.statvfs("."), os.statvfs("..")
    assert here.f_blocks == root.f_blocks > 0 and here.f_bsize >= 512 and here.f_namemax == 255
    assert here.f_bavail <= here.f_bfree <= here.f_blocks


def case_mmap():
    data = pattern(300_000, 4)
    put("file", data)
    with opened("file", os.O_RDWR) as fd:
        with mmap.mmap(fd, 0) as shared, mmap.mmap(fd, 0, mmap.MAP_PRIVATE) as private:
            assert shared[:] == data
            shared[4090:4100] = b"0123456789"
            private[0:4] = b"mine"
            assert os.pread(fd, 10, 4090) == b"0123456789" and os.pread(fd, 4, 0) == data[:4]
            shared.flush()
            os.pwrite(fd, b"written", 200_000)
            assert shared[200_000:200_007] == b"written"
    assert get("file")[4090:4100] == b"0123456789"


def case_exec():
    shutil.copy("/usr/bin/busybox", "busybox")
    os.chmod("busybox", 0o755)
    assert subprocess.check_output(["./busybox", "echo", "runs"]) == b"runs\n"
    put("script", b"#!/bin/sh\necho script $0\n", 0o755)
    assert subprocess.check_output(["./script"]) == b"script ./script\n"
    os.chmod("script", 0o644)
    with fails_with(errno.EACCES):
        subprocess.check_output(["./script"])
    with opened("busybox", os.O_RDONLY) as fd, mmap.mmap(fd, 0, prot=mmap.PROT_READ | mmap.PROT_EXEC) as text:
        assert text[:4] == b"\x7fELF"


def case_permissions():
    os.chmod(".", 0o755)
    put("secret", mode=0o600)
    put("public")
    os.mkdir("private", 0o700)
    os.mkdir("shared", 0o777)
    os.chmod("shared", 0o1777)
    put("given")
    os.chown("given", 1000, 1000)

    def as_1000():
        with fails_with(errno.EACCES):
            os.open("secret", os.O_RDONLY)
        with fails_with(errno.EACCES):
            os.open("public", os.O_WRONLY)
        with fails_with(errno.EACCES):
            os.listdir("private")
        with fails_with(errno.EACCES):
            put("new")
        with fails_with(errno.EPERM):
            os.chown("given", 1001, 1000)
        with fails_with(errno.EPERM):
            os.chmod("public", 0o777)
        put("shared/mine")
        os.mkdir("shared/dir")
        os.symlink("x", "shared/link")
        os.mkfifo("shared/fifo")
        for name in ("mine", "dir", "link", "fifo"):
            assert (os.lstat(f"shared/{name}").st_uid, os.lstat(f"shared/{name}").st_gid) == (1000, 1000)
        os.chmod("given", 0o600)

    def as_1001():
        with fails_with(errno.EPERM):
            os.unlink("shared/mine")
        with fails_with(errno.EACCES):
            os.open("given", os.O_RDONLY)
        assert not os.access("secret", os.R_OK) and os.access("public", os.R_OK)
    wait_for(in_child(as_1000, 1000))
    wait_for(in_child(as_1001, 1001))


def case_groups():
    os.chmod(".", 0o777)
    put("group", mode=0o660)
    os.chmod("group", 0o660)
    os.chown("group", 0, 4242)
    os.mkdir("setgid")
    os.chown("setgid", 0, 4242)
    os.chmod("setgid", 0o2777)

    def member():
        os.setgroups([4242])
        os.setresgid(1000, 1000, 1000)
        os.setresuid(1000, 1000, 1000)
        with opened("group", os.O_RDWR) as fd:
            os.write(fd, b"by group")
        put("setgid/file")
        os.mkdir("setgid/dir")
        assert os.stat("setgid/file").st_gid == os.stat("setgid/dir").st_gid == 4242
        assert os.stat("setgid/dir").st_mode & stat.S_ISGID
    wait_for(in_child(member))


def case_setgid_member():
    """A member of the folder's group makes a set-group-id file; others do not."""
    os.mkdir("g")
    os.chown("g", 0, 4242)
    os.chmod("g", 0o2777)

    def make(name, groups, expected):
        os.setgroups(groups)
        os.setresgid(1000, 1000, 1000)
        os.setresuid(1000, 1000, 1000)
        os.umask(0)
        with opened(f"g/{name}", os.O_WRONLY | os.O_CREAT, 0o2755) as fd:
            assert stat.S_IMODE(os.fstat(fd).st_mode) == expected, oct(os.fstat(fd).st_mode)
    wait_for(in_child(lambda: make("member", [7, 4242], 0o2755)))
    wait_for(in_child(lambda: make("stranger", [7], 0o755)))


def user_namespace(line):
    """A descriptor of a new user namespace with this map for users and groups."""
    ready, go = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        LIBC.unshare(0x10000000)
        os.write(ready[1], b"x")
        os.read(go[0], 1)
        os._exit(0)
    os.read(ready[0], 1)
    for kind in ("uid", "gid"):
        with open(f"/proc/{child}/{kind}_map", "w") as file:
            file.write(line)
    fd = os.open(f"/proc/{child}/ns/user", os.O_RDONLY)
    os.write(go[1], b"x")
    os.waitpid(child, 0)
    for end in ready + go:
        os.close(end)
    return fd


def case_idmapped_mount():
    """A mount that shows 100000 as 0, as a container runtime makes it."""
    os.mkdir("d", 0o755)
    os.chown("d", 100000, 100000)
    put("d/of-root")
    put("d/of-container")
    os.chown("d/of-container", 100005, 100006)
    number = {"open_tree": 428, "mount_setattr": 442}
    tree = libc("syscall", number["open_tree"], AT_FDCWD, b"d", os.O_CLOEXEC | 1)
    namespace = user_namespace("100000 0 10000")
    attributes = (ctypes.c_uint64 * 4)(0x100000, 0, 0, namespace)
    libc("syscall", number["mount_setattr"], tree, b"", 0x1000, attributes, ctypes.c_long(32))
    os.close(namespace)
    place = f"/proc/self/fd/{tree}/"
    assert os.stat(place + "of-container").st_uid == 5 and os.stat(place + "of-container").st_gid == 6
    assert os.stat(place + "of-root").st_uid == 65534
    put(place + "by-root")
    os.mkdir(place + "dir")
    os.chown(place + "dir", 1000, 1000)

    def as_1000():
        put(place + "dir/file")
        os.symlink("x", place + "dir/link")
        with fails_with(errno.EACCES):
            put(place + "new")
    wait_for(in_child(as_1000, 1000))
    os.close(tree)
    for name, uid in (("by-root", 100000), ("dir", 101000), ("dir/file", 101000), ("dir/link", 101000)):
        st = os.lstat(f"d/{name}")
        assert (st.st_uid, st.st_gid) == (uid, uid), (name, st)


def case_setuid_dies():
    put("written", mode=0o755)
    put("owned", mode=0o755)
    for name in ("written", "owned"):
        os.chmod(name, 0o6777)
        assert stat.S_IMODE(os.stat(name).st_mode) == 0o6777

    def write():
        with opened("written", os.O_WRONLY) as fd:
            os.write(fd, b"x")
    wait_for(in_child(write, 1000))
    assert stat.S_IMODE(os.stat("written").st_mode) == 0o777
    os.chown("owned", 5, 5)
    assert stat.S_IMODE(os.stat("owned").st_mode) == 0o777


def case_times():
    put("file")
    os.utime("file", ns=(1_000_000_000_123_456_789, 1_500_000_000_987_654_321))
    status = os.stat("file")
    assert status.st_mtime_ns == 1_500_000_000_987_654_321 and status.st_atime_ns == 1_000_000_000_123_456_789
    with opened("file", os.O_WRONLY) as fd:
        os.write(fd, b"now")
    assert os.stat("file").st_mtime_ns > 1_600_000_000_000_000_000
    os.utime("file")
    before = os.stat("file").st_ctime_ns
    time.sleep(0.05)
    os.chmod("file", 0o600)
    assert os.stat("file").st_ctime_ns > before
    os.mkdir("dir")
    os.utime("dir", (0, 0))
    put("dir/file")
    assert os.stat("dir").st_mtime > 1_600_000_000


def case_flock():
    put("file")
    with opened("file", os.O_RDWR) as first, opened("file", os.O_RDWR) as second:
        fcntl.flock(first, fcntl.LOCK_EX)
        with fails_with(errno.EAGAIN):
            fcntl.flock(second, fcntl.LOCK_SH | fcntl.LOCK_NB)
        fcntl.flock(first, fcntl.LOCK_UN)
        fcntl.flock(second, fcntl.LOCK_SH | fcntl.LOCK_NB)
        fcntl.lockf(first, fcntl.LOCK_EX, 10, 5)

        def other():
            with opened("file", os.O_RDWR) as third:
                with fails_with(errno.EAGAIN):
                    fcntl.lockf(third, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 14)
                fcntl.lockf(third, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 15)
        wait_for(in_child(other))
    assert subprocess.call(["flock", "-n", "file", "true"]) == 0


def case_unlink_open():
    put("file", b"still here")
    os.mkdir("dir")
    with opened("file", os.O_RDWR) as fd, opened("dir", os.O_RDONLY) as folder:
        os.unlink("file")
        os.rmdir("dir")
        assert os.pread(fd, 20, 0) == b"still here" and os.fstat(fd).st_nlink == 0
        os.pwrite(fd, b"more", 6)
        os.ftruncate(fd, 8)
        os.fchmod(fd, 0o600)
        assert os.pread(fd, 20, 0) == b"still mo" and os.fstat(fd).st_mode & 0o777 == 0o600
        assert os.listdir(folder) == []
        with fails_with(errno.ENOENT):
            os.open("new", os.O_CREAT | os.O_WRONLY, dir_fd=folder)


def case_open_files():
    fds = [os.open(f"file-{index}", os.O_CREAT | os.O_RDWR) for index in range(many(500))]
    for index, fd in enumerate(fds):
        os.write(fd, str(index).encode())
    for index, fd in enumerate(fds):
        assert os.pread(fd, 10, 0) == str(index).encode()
        os.close(fd)
        os.unlink(f"file-{index}")


def case_deep_paths():
    start, name, depth = os.getcwd(), "d" * 60, 90  # 5,490 bytes of path, more than PATH_MAX
    for _ in range(depth):
        os.mkdir(name)
        os.chdir(name)
    put("bottom")
    assert get("bottom") == b"data\n"
    os.unlink("bottom")
    for _ in range(depth):
        os.chdir("..")
        os.rmdir(name)
    assert os.path.samefile(start, ".")


def case_long_names():
    put("n" * 255)
    assert os.listdir(".") == ["n" * 255]
    with fails_with(errno.ENAMETOOLONG):
        put("n" * 256)
    odd = [b"\xff\xfe not utf-8", b"new\nline", b"-rf", b"...", "\N{SNOWMAN}".encode() * 85]
    for name in odd:
        put(name, name)
    assert set(os.listdir(b".")) == {*odd, b"n" * 255} and all(get(name) == name for name in odd)


def case_sync():
    put("file")
    with opened("file", os.O_RDWR) as fd, opened(".", os.O_RDONLY) as folder:
        os.write(fd, b"synced")
        os.fsync(fd)
        os.fdatasync(fd)
        os.fsync(folder)
        libc("syncfs", folder)
    with opened("file", os.O_WRONLY | os.O_SYNC) as fd:
        os.write(fd, b"o_sync")
    os.sync()


def case_parallel():
    """Processes on all CPUs, so that all request queues are used."""
    def worker(number):
        def work():
            os.mkdir(f"worker-{number}")
            os.chdir(f"worker-{number}")
            data = pattern(70_000, number)
            for index in range(many(60)):
                put(f"{index}.part", data)
                os.rename(f"{index}.part", str(index))
                assert get(str(index)) == data
                os.stat("..")
                if index % 2:
                    os.unlink(str(index))
            assert sorted(map(int, os.listdir("."))) == list(range(0, many(60), 2))
        return work
    wait_for(*(in_child(worker(number)) for number in range(2 * os.cpu_count())))


def run_case(name, function, folder):
    """True if it passed. A child, so that its folder, umask and descriptors end with it."""
    os.mkdir(f"{folder}/{name}")
    os.chdir(f"{folder}/{name}")
    start = time.monotonic()
    sys.stdout.flush()
    pid = in_child(function)
    try:
        signal.alarm(120)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        signal.alarm(0)
    except TimeoutError:
        os.kill(pid, signal.SIGKILL)
        status = "no end in 120 s"
    print("ok  " if status == 0 else f"FAIL({status})", name, f"({time.monotonic() - start:.1f} s)", flush=True)
    os.chdir("/")
    return status == 0


def on_alarm(*_):
    raise TimeoutError


def main():
    global FEW
    folder, skips = sys.argv[1], {}
    for argument in sys.argv[2:]:
        if argument == "--few":
            FEW = True
            continue
        name, _, reason = argument.removeprefix("--skip=").partition("=")
        skips[name] = reason
    signal.signal(signal.SIGALRM, on_alarm)
    os.umask(0o022)
    os.makedirs(folder)
    cases = {name[5:]: function for name, function in globals().items() if name.startswith("case_")}
    unknown = set(skips) - set(cases)
    if unknown:
        sys.exit(f"no such case: {unknown}")
    failed = 0
    for name, function in cases.items():
        if name in skips:
            print("skip", name, "because", skips[name])
        elif not run_case(name, function, folder):
            failed += 1
    print(f"{len(cases)} cases, {failed} failed")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
