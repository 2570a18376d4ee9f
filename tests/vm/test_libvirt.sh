#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# libvirt itself starts $VIOFSD for real guests: libvirtd and virtlogd by hand, in a root of their own (an overlay of
# what tests/peers/fetch unpacked, in mount and pid namespaces that take everything along when they end). In system mode
# one domain has five shares: the daemon found by its JSON file, before another one's; by <binary path=>; with old -o
# options, because its capabilities lack separate-options; read-only; in session mode, as an ordinary user, ids are
# mapped by <idmap>.

set -eu -o pipefail

here=$(cd "$(dirname "$0")" && pwd)
user=61234 # of an account that only this root knows
subids=700000

die() { echo "libvirt: $*" >&2; exit 1; }

if [ -z "${LIBVIRT_WORK:-}" ]; then
    [ -n "${VIOFSD:-}" ] || die "VIOFSD is not set: it must name the daemon to test"
    [ "$(id -u)" = 0 ] || die "only root can make namespaces and mounts"
    LIBVIRT_WORK=$(mktemp -d "${TMPDIR:-/tmp}/viofsd-libvirt.XXXXXX")
    export LIBVIRT_WORK
    trap 'rm -rf "$LIBVIRT_WORK"' EXIT
    unshare --mount --propagation private --pid --fork --kill-child --mount-proc "$0" "$@"
    exit
fi

work=$LIBVIRT_WORK
root=$work/root
chmod 755 "$work"

# --- the root --------------------------------------------------------------------------------------------------------

make_root() {
    local peers
    peers=$("$here/../peers/fetch" -q qemu-new kernel-7.2 libvirt-new)/..
    kernel=$(realpath "$peers/kernel-7.2")
    mkdir "$root" "$work/over"
    mount -t tmpfs -o mode=755 tmpfs "$work/over"
    mkdir "$work/over/upper" "$work/over/work"
    chmod 755 "$work/over/upper"
    mount -t overlay -o "lowerdir=$(realpath "$peers/new-libvirt"):$(realpath "$peers/new-qemu")" \
        -o "upperdir=$work/over/upper,workdir=$work/over/work" viofsd-libvirt "$root"
    mount --rbind /dev "$root/dev"
    mount -t proc proc "$root/proc"
    mount -t sysfs sysfs "$root/sys"
    mount -t tmpfs tmpfs "$root/run"
    rm -rf "$root/var/run"
    ln -s /run "$root/var/run"
    ln -s bash "$root/usr/bin/sh"
    mkdir -p "$root/mnt" "$root/place" "$root/run/user/$user" "$root/home/caller/.config/libvirt" "$work/place"
    mount --bind "$work/place" "$root/place"
    chmod 777 "$work/place"
    printf 'root:x:0:0::/root:/bin/bash\nlibvirt-qemu:x:61301:61301::/:/bin/false\n' >"$root/etc/passwd"
    printf 'caller:x:%d:%d::/home/caller:/bin/bash\n' $user $user >>"$root/etc/passwd"
    printf 'root:x:0:\ncaller:x:%d:\nkvm:x:61300:\nlibvirt-qemu:x:61301:\n' $user >"$root/etc/group"
    printf 'caller:%d:65536\n' $subids | tee "$root/etc/subuid" >"$root/etc/subgid"
    printf '/usr/lib/x86_64-linux-gnu/%s\n' blas lapack pulseaudio >"$root/etc/ld.so.conf"
    ldconfig -r "$root" 2>/dev/null
    chown -R $user:$user "$root/home/caller" "$root/run/user/$user"
}

# The daemon as it is installed, and what is around it.
install_daemon() {
    local datadir=$root/usr/share/qemu/vhost-user
    mkdir -p "$datadir" "$root/usr/libexec"
    install -m 755 "$VIOFSD" "$root/usr/bin/viofsd"
    sed 's,@bindir@,/usr/bin,' "$here/../../contrib/50-viofsd.json.in" >"$datadir/50-viofsd.json"
    # Another daemon, which comes later in the order of names.
    printf '{"type": "fs", "binary": "/usr/libexec/virtiofsd", "features": ["separate-options"]}\n' \
        >"$datadir/50-virtiofsd.json"
    printf '#!/bin/bash\necho "the other daemon was started" >/place/other\nexit 1\n' >"$root/usr/libexec/virtiofsd"
    # One whose capabilities are those of the C daemon: libvirt uses -o.
    install -m 755 "$here/../../contrib/examples/viofsd-old-style" "$root/usr/libexec"
    chmod 755 "$root/usr/libexec/virtiofsd"
}

# With the root as that of a mount namespace: after a mere chroot() nobody may make user namespaces.
inside() {
    # shellcheck disable=SC2016 # the inner shell expands it
    env -i PATH=/usr/sbin:/usr/bin:/sbin LC_ALL=C unshare --mount --propagation private bash -c \
        'cd "$0" && pivot_root . mnt && cd / && umount -l /mnt && exec "$@"' "$root" "$@"
}
inside_as_user() {
    inside setpriv --reuid=$user --regid=$user --clear-groups env HOME=/home/caller \
        XDG_RUNTIME_DIR=/run/user/$user "$@"
}

# --- libvirt ---------------------------------------------------------------------------------------------------------

config='user = "root"
group = "root"
security_driver = "none"
namespaces = []
cgroup_controllers = []
remember_owner = 0
max_core = 0'

start_system() {
    printf '%s\nstdio_handler = "logd"\n' "$config" >"$root/etc/libvirt/qemu.conf"
    printf 'auth_unix_rw = "none"\nunix_sock_rw_perms = "0700"\n' >"$root/etc/libvirt/libvirtd.conf"
    inside virtlogd >"$work/virtlogd.log" 2>&1 &
    inside libvirtd >"$work/libvirtd.log" 2>&1 &
}

start_session() {
    printf '%s\nstdio_handler = "file"\n' "$config" | grep -v '^user\|^group' \
        >"$root/home/caller/.config/libvirt/qemu.conf"
    inside_as_user libvirtd >"$work/libvirtd-session.log" 2>&1 &
}

# within SECONDS COMMAND...: until it succeeds
within() {
    local end=$((SECONDS + $1))
    shift
    until "$@" >"$work/last" 2>&1; do
        [ $SECONDS -lt $end ] || { cat "$work/last" >&2; die "not in time: $*"; }
        sleep 0.3
    done
}

# share TAG DIRECTORY DRIVER-ATTRIBUTES MORE-ELEMENTS
share() {
    echo "<filesystem type='mount' accessmode='passthrough'><driver type='virtiofs' queue='1024'/>"
    echo "$3<source dir='$2'/><target dir='$1'/>${4:-}</filesystem>"
}

# domain NAME: the shares come from stdin
domain() {
    cat <<END
<domain type='qemu'>
  <name>$1</name><memory unit='MiB'>768</memory><vcpu>2</vcpu>
  <memoryBacking><source type='memfd'/><access mode='shared'/></memoryBacking>
  <os><type arch='x86_64' machine='q35'>hvm</type><kernel>/place/vmlinuz</kernel><initrd>/place/initramfs-$1</initrd>
    <cmdline>console=ttyS0 ignore_loglevel nokaslr nosoftlockup</cmdline></os>
  <features><acpi/></features><cpu mode='maximum'/>
  <on_poweroff>destroy</on_poweroff><on_reboot>destroy</on_reboot><on_crash>destroy</on_crash>
  <devices><emulator>/usr/bin/qemu-system-x86_64</emulator>
    <controller type='usb' model='none'/><memballoon model='none'/>
    <serial type='file'><source path='/place/console-$1'/><target port='0'/></serial>
    <serial type='file'><source path='/place/output-$1'/><target port='1'/></serial>
$(cat)
  </devices>
</domain>
END
}

# prepare NAME SCRIPT: kernel, and the initramfs with the script behind it, as tests/vm/guest does
prepare() {
    local extra=$work/extra-$1
    mkdir "$extra"
    cp "$2" "$extra/script"
    cp "$kernel/vmlinuz" "$work/place/vmlinuz"
    cp "$("$here/image" "$kernel")" "$work/place/initramfs-$1"
    truncate -s %512 "$work/place/initramfs-$1"
    (cd "$extra" && echo script | cpio --quiet -o -H newc --owner=0:0) >>"$work/place/initramfs-$1"
    chmod 644 "$work/place"/initramfs-* "$work/place/vmlinuz"
}

# libvirt forgets a domain that was only created when it ends.
is_off() { ! "$@" 2>/dev/null | grep -q running; }
no_daemon() { ! pgrep -x viofsd; }

# run NAME VIRSH...: starts the domain and waits for its end
run() {
    local name=$1
    shift
    "$@" create "/place/$name.xml" >"$work/create" 2>&1 || { cat "$work/create" >&2; die "virsh create $name"; }
    eval "check_running_$name"
    within 200 grep -q '^@@umount' "$work/place/output-$name"
    within 30 is_off "$@" domstate "$name"
    tr -d '\r' <"$work/place/output-$name" | grep -v '^@@start'
    tr -d '\r' <"$work/place/output-$name" | grep -qx '@@exit 0' || die "the guest of $name failed"
    within 15 no_daemon
}

# --- what is expected ------------------------------------------------------------------------------------------------

# daemon_with WORDS: a running daemon whose command line holds them
daemon_with() {
    local pid
    for pid in $(pgrep -x viofsd); do
        tr '\0' ' ' <"/proc/$pid/cmdline" | grep -q -e "$1" && return 0
    done
    ps -eo args | grep viofsd >&2
    die "no daemon was started with: $1"
}

check_running_system() {
    daemon_with '--fd=[0-9]* --shared-dir /place/json --cache always --sandbox chroot --xattr --thread-pool-size=4'
    daemon_with '--fd=[0-9]* --shared-dir /place/readonly.*--readonly'
    daemon_with '--fd=[0-9]* --shared-dir /place/binary --sandbox namespace'
    daemon_with '--fd=[0-9]* -o source=/place/o,,ld,cache=none,sandbox=chroot,xattr,flock,posix_lock'
}

check_running_session() {
    daemon_with '--fd=[0-9]* --shared-dir /place/session .*--uid-map=:0:61234:1: --uid-map=:1:700000:65536:'
}

system_shares() {
    share viofs /place/json \
        "<binary xattr='on'><cache mode='always'/><sandbox mode='chroot'/><thread_pool size='4'/></binary>"
    share binary /place/binary "<binary path='/usr/bin/viofsd'><sandbox mode='namespace'/></binary>"
    share old '/place/o,ld' "<binary path='/usr/libexec/viofsd-old-style' xattr='on'>
        <cache mode='none'/><sandbox mode='chroot'/><lock posix='on' flock='on'/></binary>"
    share readonly /place/readonly "" "<readonly/>"
}

session_shares() {
    share viofs /place/session "" "<idmap><uid start='0' target='$user' count='1'/><uid start='1' target='$subids' count='65536'/>
        <gid start='0' target='$user' count='1'/><gid start='1' target='$subids' count='65536'/></idmap>"
}

guest_system() {
    cat <<'END'
set -eu
for tag in binary old readonly; do mkdir -p /mnt/$tag; mount -t virtiofs $tag /mnt/$tag; done
for tag in viofs binary old readonly; do [ "$(cat /mnt/$tag/from-host)" = "from the host" ]; done
for tag in viofs binary old; do echo "from the guest" >/mnt/$tag/from-guest; chown 1000:2000 /mnt/$tag/from-guest; done
! touch /mnt/readonly/no 2>/tmp/error; grep -q "Read-only file system" /tmp/error
for tag in viofs old; do setfattr -n user.key -v value /mnt/$tag/from-guest; done
! setfattr -n user.key -v value /mnt/binary/from-guest 2>/dev/null
for tag in binary old readonly; do umount /mnt/$tag; done
echo "system: four shares are right"
END
}

guest_session() {
    cat <<'END'
set -eu
[ "$(cat /mnt/viofs/from-host)" = "from the host" ]
[ "$(stat -c %u:%g /mnt/viofs/from-host)" = 0:0 ]
echo "from the guest" >/mnt/viofs/from-guest
touch /mnt/viofs/given && chown 1000:2000 /mnt/viofs/given
echo "session: ids are mapped"
END
}

# on_host PATH OWNER
on_host() {
    [ "$(stat -c %u:%g "$work/place/$1")" = "$2" ] || die "$1 belongs to $(stat -c %u:%g "$work/place/$1"), not $2"
}

test_system() {
    local name
    for name in json binary o,ld readonly; do
        mkdir "$work/place/$name"
        echo "from the host" >"$work/place/$name/from-host"
    done
    guest_system >"$work/script-system"
    prepare system "$work/script-system"
    system_shares | domain system >"$work/place/system.xml"
    start_system
    within 60 inside virsh -c qemu:///system version
    run system inside virsh -c qemu:///system
    for name in json binary o,ld; do
        [ "$(cat "$work/place/$name/from-guest")" = "from the guest" ] || die "$name: the guest's file is not here"
        on_host "$name/from-guest" 1000:2000
    done
    [ ! -e "$work/place/other" ] || die "the other daemon was taken"
}

test_session() {
    install -d -o $user -g $user "$work/place/session"
    echo "from the host" >"$work/place/session/from-host"
    chown $user:$user "$work/place/session/from-host"
    guest_session >"$work/script-session"
    prepare session "$work/script-session"
    session_shares | domain session >"$work/place/session.xml"
    start_session
    within 60 inside_as_user virsh -c qemu:///session version
    run session inside_as_user virsh -c qemu:///session
    on_host session/from-guest $user:$user
    on_host session/given $((subids + 999)):$((subids + 1999))
}

show_logs() {
    local status=$? log
    [ $status != 0 ] || return 0
    for log in "$work"/*.log "$root"/var/log/libvirt/qemu/*-virtiofsd.log "$root"/home/caller/.cache/libvirt/qemu/log/*; do
        [ ! -e "$log" ] || { echo "--- $log" && tail -n 25 "$log"; } >&2
    done
    return $status
}

trap show_logs EXIT
make_root
install_daemon
test_system
test_session
echo "libvirt $(inside virsh --version) starts the daemon in system and session mode"
