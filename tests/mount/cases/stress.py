# SPDX-License-Identifier: BSD-3-Clause
"""Many threads at once, checked against a model of what the files have to hold."""
import os
import random
import threading

from suite import syscalls
from suite.runner import case


class Worker:
    """Owns one folder: nobody else changes it, so its model is exact."""

    def __init__(self, number, steps):
        self.random = random.Random(number)
        self.steps = steps
        self.root = f"w{number}"
        self.model = {}
        self.faults = []

    def check(self, name):
        with open(f"{self.root}/{name}", "rb") as stream:
            if stream.read() != self.model[name]:
                self.faults.append(f"{name}: other content")
        if os.stat(f"{self.root}/{name}").st_size != len(self.model[name]):
            self.faults.append(f"{name}: other size")

    def step(self):
        r = self.random
        name = f"f{r.randrange(12)}"
        path = f"{self.root}/{name}"
        what = r.randrange(9)
        if what <= 1 or name not in self.model:
            data = r.randbytes(r.randrange(1, 20_000))
            with open(path, "wb") as stream:
                stream.write(data)
            self.model[name] = data
        elif what == 2:
            offset, data = r.randrange(30_000), r.randbytes(r.randrange(1, 5000))
            fd = os.open(path, os.O_RDWR)
            os.pwrite(fd, data, offset)
            os.close(fd)
            old = self.model[name].ljust(offset, b"\0")
            self.model[name] = old[:offset] + data + old[offset + len(data):]
        elif what == 3:
            size = r.randrange(25_000)
            os.truncate(path, size)
            self.model[name] = self.model[name][:size].ljust(size, b"\0")
        elif what == 4:
            os.unlink(path)
            del self.model[name]
        elif what == 5:
            other = f"f{r.randrange(12)}"
            os.rename(path, f"{self.root}/{other}")
            self.model[other] = self.model.pop(name)
        elif what == 6:
            other = f"f{r.randrange(12)}"
            if other in self.model and other != name:
                syscalls.renameat2(path, f"{self.root}/{other}", syscalls.RENAME_EXCHANGE)
                self.model[name], self.model[other] = self.model[other], self.model[name]
        elif what == 7:
            if sorted(os.listdir(self.root)) != sorted(self.model):
                self.faults.append("other names")
        else:
            self.check(name)

    def run(self):
        try:
            os.mkdir(self.root)
            for _ in range(self.steps):
                self.step()
            for name in self.model:
                self.check(name)
            if sorted(os.listdir(self.root)) != sorted(self.model):
                self.faults.append("other names at the end")
        except Exception as error:
            self.faults.append(repr(error))


@case(tags=("slow",))
def stress_eight_threads(t):
    workers = [Worker(i, 150) for i in range(8)]
    threads = [threading.Thread(target=w.run) for w in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for worker in workers:
        t.note(worker.root, worker.faults[:5] or "as in the model")


@case(tags=("slow",))
def stress_same_names(t):
    """Eight threads fight for the same few names: any outcome is fine, but no strange errno."""
    allowed = (FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError)
    strange = []

    def fight(seed):
        r = random.Random(seed)
        for _ in range(150):
            a, b = f"n{r.randrange(4)}", f"n{r.randrange(4)}"
            action = r.choice((
                lambda: os.close(os.open(a, os.O_CREAT | os.O_RDWR, 0o644)),
                lambda: os.unlink(a), lambda: os.rename(a, b), lambda: os.link(a, b),
                lambda: os.stat(a), lambda: os.mkdir(a), lambda: os.rmdir(a),
                lambda: os.listdir("."), lambda: os.symlink("x", a)))
            try:
                action()
            except allowed:
                pass
            except OSError as error:
                if error.errno not in (39, 20, 1):  # ENOTEMPTY, ENOTDIR, EPERM for link of a folder
                    strange.append(repr(error))
    threads = [threading.Thread(target=fight, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    t.note("strange", sorted(set(strange)))
    for name in os.listdir("."):
        if os.path.isdir(name) and not os.path.islink(name):
            os.rmdir(name)
        else:
            os.unlink(name)


@case(tags=("slow",))
def stress_one_file(t):
    """Eight writers of one file, each with its own blocks."""
    fd = t.open("f", os.O_RDWR | os.O_CREAT)
    os.ftruncate(fd, 8 * 64 * 4096)

    def write(number):
        mine = os.open("f", os.O_RDWR)
        for i in range(64):
            os.pwrite(mine, bytes([number + 1]) * 4096, (i * 8 + number) * 4096)
        os.close(mine)
    threads = [threading.Thread(target=write, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    t.read_file("f")


@case(tags=("slow",))
def stress_forget_and_return(t):
    """Files come and go, so that numbers of the host file system are used again."""
    kept = None
    for i in range(300):
        fd = os.open("f", os.O_CREAT | os.O_RDWR, 0o644)
        os.write(fd, b"%d" % i)
        if kept is not None:
            if os.pread(kept, 10, 0) != b"%d" % (i - 1):
                t.note("kept file", f"changed at {i}")
            os.close(kept)
        kept = fd
        os.unlink("f")
    t.do("last", os.pread, kept, 10, 0)
    os.close(kept)
