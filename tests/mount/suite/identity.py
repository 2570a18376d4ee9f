# SPDX-License-Identifier: BSD-3-Clause
"""test_identity: owners by --translate-uid, --uid-map and --owner-xattr."""
import os
import shutil
import stat
import subprocess
import time

from . import hostfs, isolation, runner, syscalls
from . import world as worlds
from .options import Check
from .stand import in_child

OVERRIDE = "user.containers.override_stat"


def as_user(uid, gid, groups, function):
    """function() of an ordinary user of the guest; its value, or the name of its errno."""
    def enter():
        os.setgroups(groups)
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)

    def attempt():
        try:
            return function()
        except OSError as error:
            return syscalls.errno_name(error.errno)
    return in_child(enter, attempt, 30)


def write(path, content=b"x"):
    with open(path, "wb") as stream:
        stream.write(content)


class Sides:
    """The owner of a name, as the guest and as the host see it."""

    def __init__(self, check):
        self.check, self.mnt, self.share = check, check.stand.mnt, check.stand.share

    def at(self, name):
        return os.path.join(self.mnt, name)

    def owners(self, name, guest, host):
        for side, wanted in ((self.mnt, guest), (self.share, host)):
            st = os.lstat(os.path.join(side, name))
            self.check.expect((st.st_uid, st.st_gid) == wanted,
                              f"{name} in {os.path.basename(side)}: {(st.st_uid, st.st_gid)}, "
                              f"not {wanted}")

    def equal(self, seen, wanted, what):
        self.check.expect(seen == wanted, f"{what}: {seen!r}, not {wanted!r}")


# --- --translate-uid ---------------------------------------------------------------------------

TRANSLATED = tuple(f"--translate-{kind}={rule}" for kind in ("uid", "gid") for rule in (
    "map:0:1000:1", "map:100:100100:100", "guest:300:5:1", "host:7:301:1", "forbid-guest:50:10",
    "squash-guest:1000:2000:500", "squash-host:0:65534:1", "squash-host:200000:9:1000",
    "forbid-guest:0:0"))


def translated(check):
    sides = Sides(check)
    share, at = sides.share, sides.at
    os.chmod(share, 0o777)
    for uid in (0, 7, 5, 1000, 100150, 200400, 12):
        write(os.path.join(share, f"of-{uid}"))
        os.chown(os.path.join(share, f"of-{uid}"), uid, uid)
    for host, guest in ((0, 65534), (7, 301), (5, 5), (1000, 0), (100150, 150), (200400, 9),
                        (12, 12)):
        sides.owners(f"of-{host}", (guest, guest), (host, host))

    write(at("by-root"))
    sides.owners("by-root", (0, 0), (1000, 1000))
    for uid, gid, host in ((150, 0, (100150, 1000)), (300, 12, (5, 12)), (1200, 1499, (2000, 2000)),
                           (12, 150, (12, 100150))):
        def make(tag=f"{uid}-{gid}"):
            write(at("file-" + tag))
            os.mkdir(at("dir-" + tag))
            os.symlink("x", at("link-" + tag))
            os.mkfifo(at("fifo-" + tag))
            return "made"
        sides.equal(as_user(uid, gid, [], make), "made", f"making as {uid}:{gid}")
        for kind in ("file", "dir", "link", "fifo"):
            st = os.lstat(os.path.join(share, f"{kind}-{uid}-{gid}"))
            sides.equal((st.st_uid, st.st_gid), host, f"{kind} of {uid}:{gid} on the host")
    sides.equal(as_user(55, 12, [], lambda: write(at("no"))), "EPERM", "a forbidden user")
    sides.equal(as_user(12, 59, [], lambda: os.mkdir(at("no"))), "EPERM", "a forbidden group")
    sides.equal(os.path.lexists(at("no")), False, "what the forbidden made")

    os.chown(at("by-root"), 150, -1)
    sides.owners("by-root", (150, 0), (100150, 1000))
    os.chown(at("by-root"), -1, 1000)
    sides.owners("by-root", (150, 2000), (100150, 2000))
    check.error("EPERM", "chown to a forbidden user", os.chown, at("by-root"), 50, -1)
    check.error("EPERM", "chgrp to a forbidden group", os.chown, at("by-root"), -1, 59)
    # Who may what is the guest's kernel's to decide, by the guest's ids.
    sides.equal(as_user(150, 1, [], lambda: os.chmod(at("by-root"), 0o600)), None, "chmod by owner")
    sides.equal(as_user(149, 1, [], lambda: os.chmod(at("by-root"), 0o644)), "EPERM", "by another")
    # READDIRPLUS tells the same.
    for entry in os.scandir(sides.mnt):
        sides.equal(entry.stat(follow_symlinks=False).st_uid, os.lstat(entry.path).st_uid, entry.name)
    # A member of the folder's group, which is another one on the host.
    os.mkdir(at("team"))
    os.chown(at("team"), 12, 150)
    os.chmod(at("team"), 0o2777)

    def setgid():
        os.umask(0)
        os.close(os.open(at("team/f"), os.O_CREAT | os.O_WRONLY, 0o2755))
        return stat.S_IMODE(os.stat(at("team/f")).st_mode)
    sides.equal(as_user(12, 12, [150], setgid), 0o2755, "set-group-id file of a member")
    sides.owners("team/f", (12, 150), (12, 100150))


def translated_acl(check):
    """Users and groups in access lists are other numbers on the host, and inherited as such."""
    sides = Sides(check)

    def entries(path):
        text = subprocess.run(["getfacl", "-nEp", path], stdout=subprocess.PIPE, text=True,
                              check=True).stdout
        return sorted(line for line in text.splitlines()
                      if line.startswith(("user:", "group:", "default:user:", "default:group:"))
                      and not line.startswith(("user::", "group::", "default:user::",
                                               "default:group::")))

    def both(name, guest, host):
        sides.equal(entries(sides.at(name)), sorted(guest), name + " in the guest")
        sides.equal(entries(os.path.join(sides.share, name)), sorted(host), name + " on the host")

    write(sides.at("f"))
    subprocess.run(["setfacl", "-m", "u:0:rw,u:150:r,u:12:r,g:199:rwx", sides.at("f")], check=True)
    both("f", ["user:0:rw-", "user:150:r--", "user:12:r--", "group:199:rwx"],
         ["user:1000:rw-", "user:100150:r--", "user:12:r--", "group:100199:rwx"])
    os.mkdir(sides.at("d"))
    subprocess.run(["setfacl", "-d", "-m", "u:110:rwx", sides.at("d")], check=True)
    write(sides.at("d/g"))
    both("d/g", ["user:110:rwx"], ["user:100110:rwx"])
    # The host's list of ids that are others to the guest.
    write(os.path.join(sides.share, "h"))
    subprocess.run(["setfacl", "-m", "u:7:r,g:200005:r", os.path.join(sides.share, "h")], check=True)
    both("h", ["user:301:r--", "group:9:r--"], ["user:7:r--", "group:200005:r--"])
    done = subprocess.run(["setfacl", "-m", "u:50:r", sides.at("f")], stderr=subprocess.PIPE,
                          text=True, check=False)
    check.expect("Operation not permitted" in done.stderr, "a forbidden id: " + done.stderr)
    # And they count: 150 may read a file that is closed to others.
    os.chmod(sides.at("f"), 0o660)
    sides.equal(as_user(150, 1, [], lambda: open(sides.at("f"), "rb").close()), None, "in the list")
    sides.equal(as_user(151, 1, [], lambda: open(sides.at("f"), "rb").close()), "EACCES", "not in it")


SQUASHED = tuple(f"--translate-{kind}={rule}" for kind in ("uid", "gid") for rule in (
    "squash-guest:0:1234:4294967295", "squash-host:0:0:4294967295"))


def squashed(check):
    """A developer's folder in a guest that is all root: git and tar have nothing to say."""
    sides = Sides(check)
    share, at = sides.share, sides.at
    os.chown(share, 1234, 1234)
    subprocess.run(["git", "init", "-q", "-b", "main", "repository"], check=True, cwd=share,
                   preexec_fn=lambda: (os.setgid(1234), os.setuid(1234)),
                   env={"HOME": "/", "PATH": os.environ["PATH"]})
    done = subprocess.run(["git", "-C", at("repository"), "status"], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False,
                          env={"HOME": "/", "PATH": os.environ["PATH"]})
    check.expect(done.returncode == 0, "git: " + done.stdout)
    place = os.path.join(check.stand.run, "archive")
    os.mkdir(place)
    for uid in (0, 5, 60000):
        write(os.path.join(place, f"f{uid}"))
        os.chown(os.path.join(place, f"f{uid}"), uid, uid)
    archive = place + ".tar"
    subprocess.run(["tar", "-C", place, "-cf", archive, "."], check=True)
    subprocess.run(["tar", "-C", sides.mnt, "-xpf", archive], check=True)
    for uid in (0, 5, 60000):
        sides.owners(f"f{uid}", (0, 0), (1234, 1234))


def own_rules(*forms):
    """Rules of an ordinary user's daemon: %d is its uid or gid."""
    return tuple(f"--translate-{kind}={form % own}" for form in forms
                 for kind, own in zip(("uid", "gid"), worlds.User.owner))


def translated_user(check):
    """The user is the guest's root, and can give files to nobody else."""
    sides = Sides(check)
    at = sides.at
    own = check.world.owner
    write(at("f"))
    os.symlink("f", at("l"))
    for name in ("f", "l"):
        sides.owners(name, (0, 0), own)
        os.lchown(at(name), 0, 0)
    os.chmod(at("f"), 0o4755)
    sides.equal(stat.S_IMODE(os.stat(at("f")).st_mode), 0o4755, "mode")
    check.error("EINVAL", "giving it away", os.chown, at("f"), 5, -1)
    os.chmod(at("."), 0o777)
    sides.equal(as_user(5, 5, [], lambda: write(at("g"))), "EPERM", "as another user")


def squashed_user(check):
    """Whoever it is in the guest, it is the user: nothing fails, nothing is told apart."""
    sides = Sides(check)
    at = sides.at
    own = check.world.owner
    os.chmod(at("."), 0o777)
    sides.equal(as_user(5, 6, [], lambda: write(at("g"))), None, "as another user")
    os.chown(at("g"), 1000, 2000)
    sides.owners("g", (0, 0), own)


# --- --uid-map ---------------------------------------------------------------------------------

def mapped_root(check):
    """Root gives two ranges; what is in neither belongs to nobody and cannot be given to anybody."""
    sides = Sides(check)
    share, at = sides.share, sides.at
    write(os.path.join(share, "hosts"))
    os.chmod(share, 0o777)
    sides.owners("hosts", (65534, 65534), (0, 0))
    write(at("f"))
    sides.owners("f", (0, 0), (100000, 100000))
    os.chown(at("f"), 999, 1000)
    sides.owners("f", (999, 1000), (100999, 300000))
    sides.equal(as_user(1499, 20, [], lambda: write(at("g"))), None, "in the second range")
    sides.owners("g", (1499, 20), (300499, 100020))
    sides.equal(as_user(1500, 20, [], lambda: write(at("h"))), "EPERM", "in no range")
    check.error("EINVAL", "chown to no range", os.chown, at("f"), 1500, -1)


def mapped_user(check):
    """As libvirt's session mode starts it: the own id is the guest's root, /etc/subuid the rest."""
    sides = Sides(check)
    at = sides.at
    own = check.world.owner
    write(at("f"))
    sides.owners("f", (0, 0), own)
    os.chmod(sides.share, 0o777)
    os.chown(at("f"), 1, 65536)
    sides.owners("f", (1, 65536), (200000, 265535))
    sides.equal(as_user(1000, 1001, [], lambda: write(at("g"))), None, "as another user")
    sides.owners("g", (1000, 1001), (200999, 201000))
    os.chmod(at("g"), 0o4755)
    sides.equal(stat.S_IMODE(os.stat(os.path.join(sides.share, "g")).st_mode), 0o4755, "set-uid")
    os.unlink(at("f"))


def accounts(base):
    """newuidmap knows only users of the password file, and what /etc/subuid gives them."""
    uid, gid = worlds.User.owner
    for name, line in (("subuid", "viofsd-test:200000:65536\n"),
                       ("subgid", "viofsd-test:200000:65536\n"),
                       ("passwd", f"viofsd-test:x:{uid}:{gid}::/:/bin/false\n")):
        path, mine = "/etc/" + name, os.path.join(base, name)
        if not os.path.exists(path):
            write(path, b"")
        shutil.copy(path, mine)
        with open(mine, "a") as stream:
            stream.write(line)
        subprocess.run(["mount", "--bind", mine, path], check=True)


# --- --owner-xattr -----------------------------------------------------------------------------

def kept(check):
    """An ordinary user's daemon: what the guest's root does is kept, the host's files stay."""
    sides = Sides(check)
    share, at = sides.share, sides.at
    own = check.world.owner

    def host(name):
        return os.lstat(os.path.join(share, name))

    def override(name):
        return os.getxattr(os.path.join(share, name), OVERRIDE, follow_symlinks=False).decode()

    write(os.path.join(share, "hosts"))
    os.chown(os.path.join(share, "hosts"), *own)
    sides.owners("hosts", (0, 0), own)
    write(at("f"))
    os.chown(at("f"), 12, 34)
    os.chmod(at("f"), 0o6711)
    sides.owners("f", (12, 34), own)
    sides.equal(stat.S_IMODE(os.stat(at("f")).st_mode), 0o6711, "mode")
    sides.equal(stat.S_IMODE(host("f").st_mode), 0o711, "mode on the host")
    sides.equal(override("f"), "12:34:6711:file", "what is kept")
    # It is ours alone.
    sides.equal(os.listxattr(at("f")), [], "listxattr")
    check.error("ENODATA", "getxattr", os.getxattr, at("f"), OVERRIDE)
    check.error("EPERM", "setxattr", os.setxattr, at("f"), OVERRIDE, b"0:0:04777:file")
    check.error("EPERM", "removexattr", os.removexattr, at("f"), OVERRIDE)
    # Set-id bits die as they would on a local file.
    os.chown(at("f"), 13, -1)
    sides.equal(stat.S_IMODE(os.stat(at("f")).st_mode), 0o711, "after chown")
    os.chmod(at("f"), 0o4777)
    sides.equal(as_user(99, 99, [], lambda: write(at("f"), b"other")), None, "writing as another")
    sides.equal(stat.S_IMODE(os.stat(at("f")).st_mode), 0o777, "after another's write")
    # No mode keeps the daemon out.
    os.mkdir(at("d"), 0o700)
    os.chmod(at("d"), 0)
    write(at("d/g"))
    os.chmod(at("d/g"), 0)
    with open(at("d/g"), "rb") as stream:
        sides.equal(stream.read(), b"x", "content")
    sides.equal(stat.S_IMODE(os.stat(at("d/g")).st_mode), 0, "mode 0")
    sides.equal(stat.S_IMODE(host("d/g").st_mode), 0o600, "mode 0 on the host")
    # All kinds.
    for name, mode, text in (("null", stat.S_IFCHR | 0o666, "char-1-3"),
                             ("disk", stat.S_IFBLK | 0o600, "block-259-70000"),
                             ("white", stat.S_IFCHR, "char-0-0"),
                             ("fifo", stat.S_IFIFO | 0o644, "pipe"),
                             ("sock", stat.S_IFSOCK | 0o644, "socket")):
        numbers = tuple(int(n) for n in text.split("-")[1:])
        os.mknod(at(name), mode, os.makedev(*numbers) if numbers else 0)
        os.chmod(at(name), stat.S_IMODE(mode))
        st = os.stat(at(name))
        sides.equal(st.st_mode, mode, name)
        sides.equal((os.major(st.st_rdev), os.minor(st.st_rdev)), numbers or (0, 0), name)
        sides.equal(stat.S_ISREG(host(name).st_mode), True, name + " on the host")
        sides.equal(override(name).split(":")[3], text, name)
    with os.scandir(sides.mnt) as entries:
        kinds = {e.name: (e.is_file(follow_symlinks=False), e.is_dir(follow_symlinks=False))
                 for e in entries}
    sides.equal(kinds["null"], (False, False), "a device in a listing")
    sides.equal(kinds["f"], (True, False), "a file in a listing")
    sides.equal(kinds["d"], (False, True), "a folder in a listing")
    # Links have nothing to keep it in.
    os.symlink("f", at("l"))
    os.lchown(at("l"), 12, 34)
    sides.owners("l", (0, 0), own)
    # What podman and libkrun have written, and what nobody should have.
    for text, wanted in (("5:6:0100755", (5, 6, 0o755)), ("5:6:0755:file", (5, 6, 0o755)),
                         ("5:6:755:dir", (5, 6, 0o755)), ("nonsense", (0, 0, 0o644)),
                         ("5:6", (0, 0, 0o644)), ("-1:6:0644", (0, 0, 0o644)),
                         ("4294967295:6:0755:file", (0, 0, 0o644)), ("5:6:0888", (0, 0, 0o644)),
                         ("1:1:0755:" + "x" * 4000, (0, 0, 0o644)), ("", (0, 0, 0o644))):
        name = f"given-{len(text)}-{text[:6]}"
        path = os.path.join(share, name)
        write(path)
        os.chown(path, *own)
        os.chmod(path, 0o644)
        try:
            os.setxattr(path, OVERRIDE, text.encode())
        except OSError:
            check.expect(len(text) > 4000, f"cannot set {text!r}")  # a block is full on ext4
        st = os.stat(at(name))
        sides.equal((st.st_uid, st.st_gid, stat.S_IMODE(st.st_mode)), wanted, text[:20])


CHECKS = (
    ("translate", TRANSLATED, "root", translated),
    ("translate-acl", TRANSLATED + ("--posix-acl",), "root", translated_acl),
    ("squash", SQUASHED, "root", squashed),
    ("translate-user", own_rules("map:0:%d:1"), "user", translated_user),
    ("squash-user", own_rules("squash-guest:0:%d:4294967295", "squash-host:%d:0:1"), "user",
     squashed_user),
    ("map-root", tuple(f"--{kind}-map={ids}" for kind in ("uid", "gid")
                       for ids in (":0:100000:1000:", "/1000/300000/500/")), "root", mapped_root),
    ("map-user", tuple(f"--{kind}-map={ids}" for kind, own in zip(("uid", "gid"), worlds.User.owner)
                       for ids in (f":0:{own}:1:", ":1:200000:65536:")), "user", mapped_user),
    ("owner-xattr", ("--owner-xattr",), "keeper", kept),
    ("owner-xattr-bare", ("--owner-xattr", "--sandbox=none", "--cache=never"), "keeper", kept),
)


def main(argv):
    isolation.isolate()
    os.umask(0o022)
    started = time.monotonic()
    tally = runner.Tally()
    with isolation.WorkDir() as base:
        worlds.open_fuse_device(base)
        accounts(base)
        root = hostfs.make("ext4", base)
        for name, options, world, test in CHECKS:
            if not argv or name in argv:
                Check(tally, base, root, name, options, world=world).run(test)
        for fs in ("ext4", "tmpfs"):
            if argv and "keeper-" + fs not in argv:
                continue
            place = os.path.join(root if fs == "ext4" else hostfs.make(fs, base), "keeper")
            scratch = os.path.join(base, "keeper-" + fs)
            os.mkdir(place)
            os.mkdir(scratch)
            runner.run_stand(scratch, place, fs, "keeper", runner.load_cases(), tally,
                             ("--owner-xattr",
                              "--xattrmap=/map/security.capability/user.viofsd./"))
    tally.close("mount identity", started)
    return 1 if tally.failed or not tally.passed else 0
