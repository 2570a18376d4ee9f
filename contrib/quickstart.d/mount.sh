# shellcheck shell=bash disable=SC2154
# SPDX-License-Identifier: BSD-3-Clause
#
# The part of quickstart without a virtual machine: viofs-mount puts the daemon's share on the host's own /dev/fuse.
# Variables that are not set here are quickstart's.

mount_share() {
    local tool=$build/contrib/viofs-mount/viofs-mount
    [ -x "$tool" ] || die "there is no $tool"
    [ -e /dev/fuse ] || die "this machine has no /dev/fuse (modprobe fuse)"
    mkdir -p "$mount_dir"
    mount_dir=$(cd "$mount_dir" && pwd)
    ! mountpoint -q "$mount_dir" || die "something is mounted on $mount_dir already: umount $mount_dir"
    trap stop_daemon EXIT
    prepare_share
    case $mount_dir/ in "$share"/*) die "$mount_dir is inside of the shared directory $share" ;; esac
    start_daemon
    show_command "viofs-mount $socket $mount_dir"
    if ! "$tool" "$socket" "$mount_dir" || ! mountpoint -q "$mount_dir"; then
        cat "$work/daemon.log" >&2
        die "the mount failed"
    fi
    show_command "cat $mount_dir/hello-from-host.txt"
    sed 's/^/  /' "$mount_dir/hello-from-host.txt"
    show_command "echo 'Hello through the mount.' >$mount_dir/hello-from-guest.txt; cat $share/hello-from-guest.txt"
    echo 'Hello through the mount.' >"$mount_dir/hello-from-guest.txt"
    sed 's/^/  /' "$share/hello-from-guest.txt"
    trap - EXIT

    heading "4. Yours to try"
    cat <<END
  $mount_dir shows $share: work in one and look at the other.

  To end it:   umount $mount_dir
  The daemon (process $daemon_pid) then ends by itself. Its messages are in $work/daemon.log
END
}
