# SPDX-License-Identifier: BSD-3-Clause
"""The callers of test_callers: one row each, with the command line that its own source has."""
import dataclasses

from . import callers as c


@dataclasses.dataclass
class Caller:
    name: str
    arguments: object              # function of a Place
    fd: int = None                 # a listening socket of the caller's, inherited as this number
    user: str = "root"             # or "user"
    owner: int = None              # of what root of the guest makes; None: who runs the daemon
    guest_user: bool = False       # the guest writes with the same id, not as root
    cwd: str = "/"                 # or "share", "run"
    environment: dict = dataclasses.field(default_factory=dict)
    clean_environment: bool = False
    output: str = "pipe"           # stderr; or "null"
    one_pipe: bool = False         # stdout as well
    closed_output: bool = False
    setsid: bool = False
    drop_bounding: tuple = ()      # capabilities that the caller's container lacks
    front_end_first: bool = False  # the VMM connects before the daemon runs
    waits_for: str = "nothing"     # "line", "socket", "pid file", "exit"
    patience: float = c.SECONDS    # seconds
    end: str = "leave"             # the VMM goes; or a signal
    end_status: int = 0
    checks: tuple = ()


ROWS = (
    # virtcontainers/virtiofsd.go: the socket is made by the runtime and is fd 3.
    Caller("Kata, Go runtime",
           lambda p: ["--syslog", "--cache=auto", f"--shared-dir={p.share}", "--fd=3",
                      "--inode-file-handles=prefer", "--thread-pool-size=1",
                      "--announce-submounts"],
           fd=3, end="SIGKILL", end_status=-9, checks=(c.mounts_below, c.own_namespace, c.filtered)),
    # share_virtio_fs_standalone.rs: reads stderr until the line comes.
    Caller("Kata, Rust runtime",
           lambda p: ["--socket-path", p.socket, "--shared-dir", p.share, "--cache", "always",
                      "--sandbox", "none", "--seccomp", "none", "--inode-file-handles", "prefer",
                      "--thread-pool-size=1", "-o", "announce_submounts", "--xattr"],
           waits_for="line", end="SIGKILL", end_status=-9,
           checks=(c.xattr, c.mounts_below, c.no_sandbox, c.no_filter, c.cached)),
    # ... rootless: a short relative path in the socket's folder, made within a second.
    Caller("Kata, Rust runtime, rootless",
           lambda p: ["--socket-path", "vfs.sock", "--shared-dir", p.share, "--cache", "auto",
                      "--sandbox", "none", "--seccomp", "none", "--inode-file-handles", "prefer",
                      "--thread-pool-size=1", "-o", "announce_submounts"],
           user="user", cwd="run", waits_for="line", end="SIGKILL", end_status=-9,
           checks=(c.no_xattr, c.mounts_below)),
    # qemu_virtiofs.c of libvirt 12, with separate-options; log of both streams in one pipe.
    Caller("libvirt, separate options",
           lambda p: ["--fd=22", "--shared-dir", p.share, "--cache", "always", "--sandbox",
                      "chroot", "--xattr", "--thread-pool-size=8", "--rlimit-nofile=4096",
                      "--log-level", "debug"],
           fd=22, one_pipe=True,
           checks=(c.xattr, c.own_root, c.filtered, c.cached, c.files_limit(4096))),
    Caller("libvirt, separate options, readonly",
           lambda p: ["--fd=22", "--shared-dir", p.share, "--sandbox", "namespace", "--readonly"],
           fd=22, one_pipe=True, checks=(c.own_namespace,)),
    # ... session mode: all ids of the user.
    Caller("libvirt, session",
           lambda p: ["--fd=22", "--shared-dir", p.share, f"--uid-map=:0:{c.USER}:1:",
                      f"--uid-map=:1:{c.SUBIDS}:65536:", f"--gid-map=:0:{c.worlds.GID}:1:",
                      f"--gid-map=:1:{c.SUBIDS}:65536:"],
           fd=22, user="user", one_pipe=True, checks=(c.own_namespace, c.subordinate_ids)),
    # ... up to 9.0, and for daemons without separate-options: one -o.
    Caller("libvirt, -o",
           lambda p: ["--fd=22", "-o",
                      f"source={p.share},cache=none,sandbox=chroot,xattr,no_flock,no_posix_lock",
                      "--thread-pool-size=4", "-d"],
           fd=22, one_pipe=True, checks=(c.xattr, c.own_root, c.uncached)),
    Caller("libvirt, -o, locks",
           lambda p: ["--fd=22", "-o", f"source={p.share},sandbox=namespace,no_xattr,flock,posix_lock"],
           fd=22, one_pipe=True, checks=(c.no_xattr, c.own_namespace, c.locks_with_host)),
    # PVE/QemuServer/Virtiofs.pm: QEMU may be there before the daemon.
    Caller("Proxmox",
           lambda p: ["--fd=17", f"--shared-dir={p.share}", "--xattr", "--announce-submounts",
                      "--allow-direct-io", "--cache=never", "--syslog"],
           fd=17, setsid=True, front_end_first=True, checks=(c.xattr, c.mounts_below, c.uncached)),
    Caller("Proxmox, ACLs",
           lambda p: ["--fd=17", f"--shared-dir={p.share}", "--xattr", "--posix-acl",
                      "--announce-submounts", "--cache=always", "--inode-file-handles=prefer",
                      "--syslog"],
           fd=17, setsid=True, checks=(c.xattr, c.posix_acl, c.cached)),
    # internal/server/device/device_utils_disk.go of Incus.
    Caller("Incus",
           lambda p: ["--fd=3", "--cache=never", f"--shared-dir={p.share}", "--posix-acl=auto"],
           fd=3, end="SIGKILL", end_status=-9, checks=(c.posix_acl, c.uncached)),
    Caller("Incus, id map",
           lambda p: ["--fd=3", "--cache=metadata", f"--shared-dir={p.share}",
                      "--translate-uid=map:0:1000000:65536", "--translate-uid=forbid-guest:0:0",
                      "--translate-uid=forbid-guest:65536:4294901759",
                      "--translate-gid=map:0:1000000:65536", "--translate-gid=forbid-guest:0:0",
                      "--translate-gid=forbid-guest:65536:4294901759"],
           fd=3, owner=1000000, checks=(c.forbidden_ids,)),
    Caller("LXD",
           lambda p: ["--fd=3", "--cache=never", f"--shared-dir={p.share}", "--posix-acl",
                      "--thread-pool-size=4"],
           fd=3, checks=(c.posix_acl, c.uncached)),
    # vagrant-qemu.
    Caller("Vagrant",
           lambda p: [f"--socket-path={p.socket}", f"--shared-dir={p.share}", "--sandbox=none",
                      "--inode-file-handles=never", "--translate-uid", "map:0:0:1",
                      "--translate-gid", "map:0:0:1"],
           waits_for="socket", end="SIGTERM", checks=(c.no_sandbox,)),
    # lima: as a user, nothing but the two options; waits for the socket's file.
    Caller("Lima", lambda p: ["--socket-path", p.socket, "--shared-dir", p.share],
           user="user", guest_user=True, waits_for="socket", end="SIGTERM",
           checks=(c.private_socket, c.own_namespace)),
    # pkg/machine/qemu/virtiofsd.go: the share is the current directory.
    Caller("podman machine",
           lambda p: ["--sandbox", "none", "--socket-path", p.socket, "--shared-dir", ".",
                      "--seccomp=none"],
           user="user", cwd="share", environment={"RUST_LOG": "ERROR"}, waits_for="socket",
           checks=(c.no_sandbox, c.no_filter, c.quiet)),
    Caller("podman machine, output dropped",
           lambda p: ["--sandbox", "none", "--socket-path", p.socket, "--shared-dir", ".",
                      "--seccomp=none"],
           user="user", cwd="share", environment={"RUST_LOG": "ERROR"}, output="null",
           waits_for="socket", checks=(c.no_sandbox,)),
    Caller("microvm.nix, ACLs",
           lambda p: [f"--socket-path={p.socket}", "--socket-group=kvm", f"--shared-dir={p.share}",
                      "--thread-pool-size", "2", "--posix-acl", "--xattr"],
           waits_for="socket", end="SIGTERM", checks=(c.group_socket, c.xattr, c.posix_acl)),
    Caller("microvm.nix",
           lambda p: [f"--socket-path={p.socket}", "--socket-group=kvm", f"--shared-dir={p.share}",
                      "--rlimit-nofile", "16384", "--thread-pool-size", "2", "--xattr",
                      "--inode-file-handles=prefer"],
           waits_for="socket", end="SIGTERM",
           checks=(c.group_socket, c.xattr, c.files_limit(16384))),
    # virtme/commands/run.py: the name of a temporary file that it has just removed.
    Caller("virtme-ng",
           lambda p: ["--syslog", "--no-announce-submounts", "--socket-path", p.socket,
                      "--shared-dir", p.share, "--sandbox", "none", "--cache", "always"],
           waits_for="pid file", patience=3,
           checks=(c.mounts_below, c.no_sandbox, c.pid_file, c.cached)),
    Caller("virtme-ng, ACLs",
           lambda p: ["--syslog", "--no-announce-submounts", "--posix-acl", "--socket-path",
                      p.socket, "--shared-dir", p.share, "--sandbox", "none", "--cache", "auto"],
           waits_for="pid file", patience=3, checks=(c.posix_acl, c.pid_file)),
    Caller("virtme-ng, readonly",
           lambda p: ["--syslog", "--no-announce-submounts", "--readonly", "--socket-path",
                      p.socket, "--shared-dir", p.share, "--sandbox", "none", "--cache", "auto"],
           user="user", waits_for="pid file", patience=3, checks=(c.pid_file,)),
    # mantle's qemu.go, in a container without two of the capabilities, in an empty environment.
    Caller("coreos-assembler",
           lambda p: ["--sandbox", "none", "--socket-path", p.socket, "--shared-dir", ".",
                      "--modcaps=-mknod:-setfcap", "--seccomp=none"],
           cwd="share", environment={"RUST_LOG": "ERROR"}, clean_environment=True,
           drop_bounding=(c.CAP_MKNOD, c.CAP_SETFCAP), waits_for="socket", end="SIGTERM",
           checks=(c.no_sandbox, c.quiet, c.fewer_capabilities)),
    Caller("bcvk",
           lambda p: ["--socket-path", p.socket, "--shared-dir", p.share, "--cache=never",
                      "--allow-mmap", "--sandbox=none", "--readonly"],
           waits_for="socket", end="SIGTERM", checks=(c.no_sandbox,)),
    # mkosi/qemu.py: the socket is handed over, so that nobody has to wait.
    Caller("mkosi",
           lambda p: ["--shared-dir", p.share, "--xattr", "--no-announce-submounts",
                      "--sandbox=chroot", "--fd=5"],
           fd=5, front_end_first=True, checks=(c.xattr, c.mounts_below, c.own_root)),
    # Unraid's wrapper around libvirt's -o.
    Caller("Unraid",
           lambda p: ["--syslog", "--inode-file-handles=mandatory", "--announce-submounts",
                      "--fd=21", f"--shared-dir={p.share}", "--cache=never", "--xattr",
                      "--sandbox=chroot"],
           fd=21, checks=(c.xattr, c.uncached, c.own_root)),
    # systemd-vmspawn.
    Caller("systemd-vmspawn",
           lambda p: ["--shared-dir", p.share, "--xattr", "--fd", "9", "--no-announce-submounts",
                      "--log-level=error", "--modcaps=-mknod"],
           fd=9, end="SIGTERM", checks=(c.xattr, c.mounts_below, c.quiet, c.fewer_capabilities)),
    Caller("cloud-hypervisor's documents",
           lambda p: ["--log-level", "debug", f"--socket-path={p.socket}",
                      f"--shared-dir={p.share}", "--cache=never", "--thread-pool-size=2"],
           waits_for="socket", checks=(c.uncached, c.pid_file)),
    # tp-qemu's virtio_fs configurations.
    Caller("tp-qemu, capabilities",
           lambda p: [f"--socket-path={p.socket}", f"--shared-dir={p.share}", "--xattr",
                      "--modcaps=+sys_admin", "--cache=auto", "--sandbox=namespace"],
           waits_for="socket", checks=(c.xattr,)),
    Caller("tp-qemu, migration",
           lambda p: [f"--socket-path={p.socket}", f"--shared-dir={p.share}",
                      "--migration-mode=find-paths", "--migration-on-error=guest-error",
                      "--migration-verify-handles", "--migration-confirm-paths", "--writeback",
                      "--allow-direct-io"],
           waits_for="socket"),
    # A script of QEMU's own documentation, and its --daemonize.
    Caller("scripts for the C daemon",
           lambda p: [f"--socket-path={p.socket}", "-o", f"source={p.share}", "-o",
                      "cache=always,xattr,log_level=warn,allow_root", "--thread-pool-size=64"],
           waits_for="socket", checks=(c.xattr, c.cached, c.private_socket)),
    Caller("scripts for the C daemon, --daemonize",
           lambda p: [f"--socket-path={p.socket}", "-o", f"source={p.share},timeout=10",
                      "--daemonize"],
           output="null", waits_for="exit", end="SIGTERM",
           checks=(c.in_background, c.pid_file, c.own_namespace)),
    # A service of cron or inetd kind: nothing but descriptor 0 is open.
    Caller("closed output", lambda p: ["--socket-path", p.socket, "--shared-dir", p.share],
           closed_output=True, output="null", waits_for="socket", end="SIGTERM"),
)
