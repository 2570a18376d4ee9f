# SPDX-License-Identifier: BSD-3-Clause
"""host_cases.py SHARE [--hidden] [CASE]...: what the host changes under a running guest, and what it mounts below the share.

Runs each case with the share mounted at SHARE, and asks the host (host.py) for its part. --hidden: the daemon does not
announce submounts.
"""

import ctypes
import errno
import fcntl
import itertools
import json
import os
import stat
import struct
import subprocess
import sys
import time
import traceback

from cases import AT_FDCWD, fails_with, get, in_child, libc, opened, put, wait_for

SHARE, HIDDEN = sys.argv[1], "--hidden" in sys.argv
CACHED = 1.3  # what is cached is good for one second
NUMBERS = itertools.count()
AT_SYMLINK_FOLLOW, STATX_BTIME = 0x400, 0x800


def host(*order):
    """The host's answer. Asked on the share itself, so nothing of what is being tried may break that."""
    name = f"{SHARE}/ask/{next(NUMBERS)}"
    put(f"{name}.new-ask", json.dumps(order).encode())
    os.rename(f"{name}.new-ask", f"{name}.ask")
    deadline = time.monotonic() + 60
    while not os.path.exists(f"{name}.answer"):
        assert time.monotonic() < deadline, f"the host does not answer {order}"
        time.sleep(0.02)
    status, result = json.loads(get(f"{name}.answer"))
    os.unlink(f"{name}.answer")
    assert status == 0, f"the host could not {order}: {result}"
    return result


def host_does(*order):
    result = host(*order)
    assert not result or result[0] == 0, f"{order}: {result}"


def settle():
    time.sleep(CACHED)


def unmounted_soon(name):
    deadline = time.monotonic() + 15
    while (result := host("unmount", name))[0]:
        assert time.monotonic() < deadline, f"still busy: {result[1]}"
        time.sleep(0.2)


def case_removed_and_replaced():
    put("kept", b"guest's")
    put("gone", b"guest's")
    put("replaced", b"guest's")
    put("folder-now", b"guest's")
    os.makedirs("d/e")
    put("d/e/f", b"deep")
    os.stat("d/e/f")
    host_does("put", "host/kept", "the host's, and longer")
    host_does("remove", "host/gone")
    host_does("replace", "host/replaced", "new file")
    host_does("remove", "host/folder-now")
    host_does("mkdir", "host/folder-now")
    host_does("move", "host/d", "host/moved")
    # At once: old or new, but no error that a local file system does not have.
    for name in ("kept", "gone", "replaced", "folder-now", "d/e/f"):
        try:
            os.stat(name)
            get(name)
        except OSError as error:
            assert error.errno in (errno.ENOENT, errno.EISDIR), f"{name}: {error}"
    settle()
    assert get("kept") == b"the host's, and longer" and os.stat("kept").st_size == 22
    with fails_with(errno.ENOENT):
        os.stat("gone")
    assert get("replaced") == b"new file"
    assert stat.S_ISDIR(os.stat("folder-now").st_mode) and os.listdir("folder-now") == []
    with fails_with(errno.ENOENT):
        os.stat("d/e/f")
    assert get("moved/e/f") == b"deep"


def case_removed_while_open():
    put("file", b"still here")
    os.mkdir("dir")
    folder = os.open("dir", os.O_RDONLY)
    with opened("file", os.O_RDWR) as fd:
        host_does("remove", "host/file")
        host_does("remove", "host/dir")
        time.sleep(5)
        assert os.pread(fd, 20, 0) == b"still here"
        os.pwrite(fd, b"there", 6)
        os.ftruncate(fd, 8)
        assert os.pread(fd, 20, 0) == b"still th" and os.fstat(fd).st_size == 8
        os.fsync(fd)
    for call in (lambda: os.stat("x", dir_fd=folder), lambda: os.mkdir("x", dir_fd=folder),
                 lambda: os.open("x", os.O_CREAT | os.O_WRONLY, dir_fd=folder),
                 lambda: os.symlink("y", "x", dir_fd=folder), lambda: os.unlink("x", dir_fd=folder)):
        with fails_with(errno.ENOENT):
            call()
    os.close(folder)


def case_replaced_all_the_time():
    host("replace_for", "host/file", 6)
    end, count = time.monotonic() + 4, 0
    while time.monotonic() < end:
        with opened("file", os.O_RDONLY) as fd:
            data = b""
            while piece := os.read(fd, 16384):
                data += piece
            size = os.fstat(fd).st_size
        assert data and data == data[:1] * len(data), "two versions in one"
        assert len(data) == size == 50000 + 1000 * (data[0] - ord("a")), f"{len(data)} {size} {data[:1]}"
        count += 1
    assert count > 20, count
    time.sleep(2 + CACHED)
    with fails_with(errno.ENOENT):
        os.stat("file")


def case_submount_comes_and_goes():
    os.mkdir("sub")
    put("sub/covered")
    os.stat("sub/covered")
    numbers = set()
    for text in ("first", "second"):
        host_does("mount_tmpfs", "host/sub")
        host_does("put", "host/sub/file", text)
        settle()
        assert get("sub/file").decode() == text and os.listdir("sub") == ["file"]
        put("sub/new", text.encode())
        assert host("get", "host/sub/new") == text
        here, inside, file = os.stat("."), os.stat("sub"), os.stat("sub/file")
        assert inside.st_dev == file.st_dev
        assert (inside.st_dev == here.st_dev) == HIDDEN, f"st_dev {inside.st_dev:x} in {here.st_dev:x}"
        numbers.add((inside.st_dev, inside.st_ino))
        with fails_with(errno.EXDEV):
            os.rename("sub/file", "file")
        with fails_with(errno.EXDEV):
            os.link("sub/file", "file")
        with fails_with(errno.EBUSY):
            os.rmdir("sub")
        if not HIDDEN:
            # The size of tmpfs.
            total = os.statvfs("sub")
            assert total.f_blocks * total.f_frsize == 10 << 20, total
            mounts = subprocess.run(["findmnt", "-n", "-o", "TARGET", "-T", "sub/file"], check=True,
                                    stdout=subprocess.PIPE, text=True).stdout
            assert mounts.strip() == f"{SHARE}/host/sub", mounts
        unmounted_soon("host/sub")
        settle()
        assert os.listdir("sub") == ["covered"] and os.stat("sub").st_dev == os.stat(".").st_dev


def case_submount_in_submount():
    os.mkdir("a")
    host_does("mount_tmpfs", "host/a")
    settle()
    os.mkdir("a/b")
    put("a/b/covered")
    host_does("mount_tmpfs", "host/a/b")
    settle()
    put("a/b/file", b"inner")
    assert host("get", "host/a/b/file") == "inner"
    devices = {os.stat(name).st_dev for name in (".", "a", "a/b")}
    assert len(devices) == (1 if HIDDEN else 3), devices
    assert os.stat("a/b/file").st_dev == os.stat("a/b").st_dev
    os.chdir("a/b")
    assert os.stat("..").st_ino == os.stat("../../a").st_ino and os.path.samefile("../..", f"{SHARE}/host")
    os.chdir(f"{SHARE}/host")
    unmounted_soon("host/a/b")
    settle()
    assert os.listdir("a/b") == ["covered"]
    unmounted_soon("host/a")


def case_submount_taken_away():
    """umount -l, with a file open in the guest."""
    os.mkdir("away")
    host_does("mount_tmpfs", "host/away")
    host_does("put", "host/away/file", "open")
    settle()
    with opened("away/file", os.O_RDWR) as fd:
        time.sleep(5)
        assert host("unmount", "host/away")[0] != 0, "unmounted though a file is open"
        host_does("unmount", "host/away", "-l")
        settle()
        assert os.listdir("away") == []
        assert os.pread(fd, 10, 0) == b"open" and os.pwrite(fd, b"more", 4) == 4
        assert os.pread(fd, 10, 0) == b"openmore" and os.fstat(fd).st_size == 8


def case_submount_is_synced():
    """What sync says is on the disk of the host is there, whether the guest knows of the file system or not."""
    os.mkdir("disk")
    host_does("mount_disk", "host/disk")
    settle()
    for number, command in enumerate((["sync", "-f", SHARE], ["sync"], ["sync", "-f", "disk/2"])):
        before = host("written", "host/disk")
        put(f"disk/{number}", os.urandom(3 << 20))
        time.sleep(0.2)
        subprocess.run(command, check=True)
        grown = host("written", "host/disk") - before
        assert grown >= 3 << 20, f"{command}: {grown} bytes of 3 MiB are on the disk"
    unmounted_soon("host/disk")


def case_file_without_a_name():
    with opened(".", os.O_TMPFILE | os.O_RDWR) as fd:
        os.write(fd, b"no name yet")
        assert os.fstat(fd).st_nlink == 0 and "named" not in os.listdir(".")
        libc("linkat", AT_FDCWD, f"/proc/self/fd/{fd}".encode(), AT_FDCWD, b"named", AT_SYMLINK_FOLLOW)
    assert get("named") == b"no name yet" and host("get", "host/named") == "no name yet"


def birth(path):
    """Time of birth in ns; None: the kernel does not know any."""
    buffer = ctypes.create_string_buffer(256)
    libc("statx", AT_FDCWD, path.encode(), 0, STATX_BTIME, buffer)
    if not int.from_bytes(buffer[:4], "little") & STATX_BTIME:
        return None
    seconds, nanoseconds = struct.unpack_from("qI", buffer, 80)
    return seconds * 10**9 + nanoseconds


def case_birth_time():
    put("born")
    expected = None if os.uname().release.startswith("6.1.") else host("birth", "host/born")
    assert birth("born") == expected, f"{birth('born')} {expected}"


def case_overlay_on_the_share():
    """Upper and lower layer on the share, as containers in a guest have it."""
    for name in ("lower/d", "upper", "work", "merged"):
        os.makedirs(f"overlay/{name}")
    put("overlay/lower/changed", b"lower")
    put("overlay/lower/removed")
    put("overlay/lower/d/f", b"in a folder")
    mount = ["mount", "-t", "overlay", "-o", "userxattr,lowerdir=overlay/lower,upperdir=overlay/upper,workdir=overlay/work",
             "overlay", "overlay/merged"]
    subprocess.run(mount, check=True)
    with opened("overlay/merged/changed", os.O_WRONLY | os.O_APPEND) as fd:
        os.write(fd, b" and upper")
    os.unlink("overlay/merged/removed")
    os.rename("overlay/merged/d/f", "overlay/merged/g")
    put("overlay/merged/new", b"made")
    subprocess.run(["rm", "-r", "overlay/merged/d"], check=True)
    os.mkdir("overlay/merged/d")
    for _ in range(2):
        assert sorted(os.listdir("overlay/merged")) == ["changed", "d", "g", "new"]
        assert get("overlay/merged/changed") == b"lower and upper" and get("overlay/merged/g") == b"in a folder"
        assert os.listdir("overlay/merged/d") == []
        subprocess.run(["umount", "overlay/merged"], check=True)
        whiteout = os.stat("overlay/upper/removed")
        assert stat.S_ISCHR(whiteout.st_mode) and whiteout.st_rdev == 0
        subprocess.run(mount, check=True)
    subprocess.run(["umount", "overlay/merged"], check=True)
    assert get("overlay/lower/changed") == b"lower"


def case_flags_of_files():
    put("file")
    subprocess.run(["chattr", "+d", "file"], check=True)
    flags = subprocess.run(["lsattr", "file"], check=True, stdout=subprocess.PIPE, text=True).stdout.split()[0]
    status, text = host("run", "lsattr", "host/file")
    assert "d" in flags and status == 0 and text.split()[0] == flags, f"{flags} {text}"
    with fails_with(errno.ENOTTY), opened("file", os.O_RDONLY) as fd:
        fcntl.ioctl(fd, 0x5413)


def handle_of(path):
    buffer = ctypes.create_string_buffer(struct.pack("I", 128), 136)
    libc("name_to_handle_at", AT_FDCWD, path.encode(), buffer, ctypes.byref(ctypes.c_int()), 0)
    return buffer


def case_opened_by_handle():
    """As an NFS server in the guest has it."""
    put("file", b"by handle")
    os.makedirs("d/e")
    file, folder = handle_of("file"), handle_of("d/e")
    put("/proc/sys/vm/drop_caches", b"2")
    with opened(".", os.O_RDONLY) as mount:
        fd = libc("open_by_handle_at", mount, file, os.O_RDONLY)
        assert os.read(fd, 20) == b"by handle"
        os.close(fd)
        fd = libc("open_by_handle_at", mount, folder, os.O_RDONLY | os.O_DIRECTORY)
        os.fchdir(fd)
        assert os.path.samefile("../..", f"{SHARE}/host")
        os.close(fd)
        os.chdir(f"{SHARE}/host")
        host_does("remove", "host/file")
        settle()
        # Linux may keep what was just used, and FORGET has a queue of its own.
        with fails_with(errno.ESTALE):
            for _ in range(20):
                put("/proc/sys/vm/drop_caches", b"2")
                os.close(libc("open_by_handle_at", mount, file, os.O_RDONLY))
                time.sleep(0.1)


def case_locks_with_the_host():
    put("file")
    with opened("file", os.O_RDWR) as fd:
        for kind, call in (("flock", fcntl.flock), ("lockf", lambda fd, how: fcntl.lockf(fd, how, 10, 5))):
            assert host("lock", "host/file", kind, 0), kind
            call(fd, fcntl.LOCK_EX)
            assert not host("lock", "host/file", kind, 0), f"{kind}: the host has the lock, too"
            call(fd, fcntl.LOCK_UN)
            assert host("lock", "host/file", kind, 2), kind
            with fails_with(errno.EAGAIN):
                call(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            start = time.monotonic()
            call(fd, fcntl.LOCK_EX)  # waits
            assert time.monotonic() - start > 0.5, kind
            assert not host("lock", "host/file", kind, 0), kind
            call(fd, fcntl.LOCK_UN)
        fcntl.lockf(fd, fcntl.LOCK_EX, 10, 100)
        fcntl.flock(fd, fcntl.LOCK_EX)
    time.sleep(0.5)  # RELEASE comes after close() has returned
    assert host("lock", "host/file", "flock", 0) and host("lock", "host/file", "lockf", 0)


def case_second_guest():
    """Another mount with a daemon of its own is to the first what another guest is."""
    os.mkdir("/mnt/second")
    subprocess.run(["mount", "-t", "virtiofs", "viofs2", "/mnt/second"], check=True)
    other = "/mnt/second/host"
    put("file", b"first")
    assert get(f"{other}/file") == b"first" and os.stat(other).st_dev != os.stat(".").st_dev
    with opened("file", os.O_RDWR) as fd, opened(f"{other}/file", os.O_RDWR) as second:
        for call in (fcntl.flock, lambda fd, how: fcntl.lockf(fd, how, 10, 5)):
            call(fd, fcntl.LOCK_EX)
            with fails_with(errno.EAGAIN):
                call(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # At the end of a process its locks go.
            waiting = in_child(lambda c=call: c(second, fcntl.LOCK_EX))
            time.sleep(0.5)
            assert os.waitpid(waiting, os.WNOHANG) == (0, 0), "the lock is held twice"
            call(fd, fcntl.LOCK_UN)
            wait_for(waiting)
            call(second, fcntl.LOCK_UN)
            call(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            call(fd, fcntl.LOCK_UN)
        os.pwrite(second, b"second, and longer", 0)
        os.rename("file", "renamed")
        settle()
        assert os.fstat(fd).st_size == 18 and os.pread(fd, 30, 0) == b"second, and longer"
    with fails_with(errno.ENOENT):
        os.stat(f"{other}/file")
    assert get(f"{other}/renamed") == b"second, and longer"
    os.unlink(f"{other}/renamed")
    settle()
    with fails_with(errno.ENOENT):
        os.open("renamed", os.O_RDONLY)
    subprocess.run(["umount", "/mnt/second"], check=True)


def case_acl():
    put("file", mode=0o640)
    os.mkdir("dir")
    subprocess.run(["setfacl", "-m", "u:1000:rw,g:1001:r", "file"], check=True)
    subprocess.run(["setfacl", "-d", "-m", "u:1000:rwx", "dir"], check=True)
    put("dir/inherits", mode=0o666)
    for name in ("file", "dir", "dir/inherits"):
        text = subprocess.run(["getfacl", "-nc", name], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
        assert ["user:1000:" in text, host("run", "getfacl", "-nc", f"host/{name}")] == [True, [0, text]], text

    def as_1000():
        with opened("file", os.O_RDWR):
            pass
        with opened("dir/inherits", os.O_RDWR):
            pass

    def as_1002():
        with fails_with(errno.EACCES):
            os.open("file", os.O_RDONLY)
    wait_for(in_child(as_1000, 1000), in_child(as_1002, 1002))


def idmapped(source, target):
    """source at target with uid and gid 0 on disk as 5000 in sight, by mount_setattr(2)."""
    ready, done = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        libc("unshare", 0x10000000)
        os.write(ready[1], b"x")
        os.read(done[0], 1)
        os._exit(0)
    os.read(ready[0], 1)
    for kind in "ug":
        put(f"/proc/{pid}/{kind}id_map", b"0 5000 1")
    with opened(f"/proc/{pid}/ns/user", os.O_RDONLY) as namespace:
        tree = libc("syscall", 428, AT_FDCWD, source.encode(), 1 | os.O_CLOEXEC)  # open_tree, a clone
        attributes = struct.pack("QQQQ", 0x100000, 0, 0, namespace)
        libc("syscall", 442, tree, b"", 0x1000, attributes, len(attributes))  # mount_setattr
        libc("syscall", 429, tree, b"", AT_FDCWD, target.encode(), 4)  # move_mount
        os.close(tree)
    os.write(done[1], b"x")
    os.waitpid(pid, 0)


def case_idmapped_mount():
    if os.uname().release.startswith("6.1."):
        return  # Linux 6.12 is the first whose FUSE can
    os.mkdir("plain")
    put("plain/old")
    os.mkdir("/mnt/mapped")
    idmapped("plain", "/mnt/mapped")
    try:
        os.chmod("plain", 0o755)
        assert os.stat("/mnt/mapped/old").st_uid == 5000

        def owner():
            put("/mnt/mapped/new", b"by 5000")
            os.mkdir("/mnt/mapped/dir")
            os.chmod("/mnt/mapped/old", 0o600)
        wait_for(in_child(owner, 5000))
        for name in ("new", "dir", "old"):
            assert (os.stat(f"plain/{name}").st_uid, os.stat(f"plain/{name}").st_gid) == (0, 0), name
        with fails_with(errno.EOVERFLOW):
            put("/mnt/mapped/none")  # root has no id there
    finally:
        subprocess.run(["umount", "/mnt/mapped"], check=True)


def main():
    os.mkdir(f"{SHARE}/host")
    failed, wanted = False, [word for word in sys.argv[2:] if not word.startswith("-")]
    for name, function in list(globals().items()):
        if not name.startswith("case_") or (wanted and name[5:] not in wanted):
            continue
        os.chdir(f"{SHARE}/host")
        start = time.monotonic()
        try:
            function()
            print(f"ok   {name[5:]} ({time.monotonic() - start:.1f} s)", flush=True)
        except BaseException:  # pylint: disable=broad-except
            failed = True
            print(f"FAIL {name[5:]}\n{traceback.format_exc()}", flush=True)
    os.chdir("/")
    return failed


if __name__ == "__main__":
    sys.exit(main())
