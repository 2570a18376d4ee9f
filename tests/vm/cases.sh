# shellcheck shell=bash disable=SC2317
# SPDX-License-Identifier: BSD-3-Clause
#
# Runs inside the guest (see init), in two boots with a reset between them; ends with 0 when all is well.
#   boot 1: the cases on tmpfs (to test the tests), then on the share; unmounting and mounting again; files left open and
#           half written; then the machine is reset without unmounting
#   boot 2: nothing that was synced is lost; the whole share is listed for the host to compare; it still works

failed=0

# A case of the shell: `check NAME FUNCTION...` runs it with -e in a child.
check() {
    local name=$1 status
    shift
    (set -e && "$@")
    status=$?
    if [ $status = 0 ]; then
        echo "ok   $name"
    else
        echo "FAIL($status) $name"
        failed=1
    fi
}

cases() {
    echo "-- cases in $1"
    python3 /cases.py "$@" || failed=1
}

mounted() { mount -t virtiofs ${VM_MOUNT_OPTIONS:+-o "$VM_MOUNT_OPTIONS"} viofs "$VM_MOUNT"; }

# Newer kernels show their queues: hiprio and the request queues.
all_queues() {
    local tag queues
    [ -d /sys/fs/virtiofs ] || return 0
    tag=$(grep -lx viofs /sys/fs/virtiofs/*/tag)
    queues=("${tag%/tag}"/mqs/*)
    [ -e "${queues[0]}" ] || return 0
    [ ${#queues[@]} = $((VM_QUEUES + 1)) ]
}

host_file() {
    [ "$(cat "$VM_MOUNT/from-host")" = "written by the host" ]
    [ "$(stat -c %s "$VM_MOUNT/from-host")" = 20 ]
    echo "written by the guest" >"$VM_MOUNT/from-guest"
}

# set -e does not look into conditions and negations: hence "|| return 1".
remount_twice() {
    local round
    for round in 1 2; do
        sha256sum "$VM_MOUNT"/share/read_write/file >/tmp/sum
        umount "$VM_MOUNT"
        [ ! -e "$VM_MOUNT/from-host" ] || return 1
        mounted
        sha256sum -c --quiet /tmp/sum
        echo "$round" >"$VM_MOUNT/remount-$round"
        [ "$(cat "$VM_MOUNT/remount-$round")" = "$round" ]
    done
}

busy_unmount() {
    exec 7<"$VM_MOUNT/from-host"
    if umount "$VM_MOUNT" 2>/dev/null; then return 1; fi
    exec 7<&-
}

two_mounts() {
    mkdir -p /mnt/second
    mount --bind "$VM_MOUNT/share" /mnt/second
    [ -f /mnt/second/read_write/file ]
    umount /mnt/second
}

tools() {
    mkdir "$VM_MOUNT/tools"
    cd "$VM_MOUNT/tools"
    mkdir -p tree/a/b/c
    seq 20000 >tree/a/b/numbers
    ln -s numbers tree/a/b/link
    cp -a tree copy
    diff -r tree copy
    tar -c tree | tar -x --warning=no-timestamp --transform=s/tree/tarred/
    diff -r tree tarred
    sort -R tree/a/b/numbers | sort -n | cmp - tree/a/b/numbers
    mv copy moved
    rm -r tarred
    find . -type f -print0 | xargs -0 sha256sum | wc -l | grep -qx 2
    chmod -R g+w moved
    du -s . >/dev/null
    df . | grep -q viofs
}

before_reset() {
    mkdir "$VM_MOUNT/reset"
    cd "$VM_MOUNT/reset"
    head -c 3000000 /dev/urandom >durable
    sha256sum durable >durable.sum
    touch open-and-removed
    # Handles, locks and a removed file that nobody will ever give back.
    (exec 8>>durable.sum 9<open-and-removed && rm open-and-removed && flock 8 && sleep 1000) &
    (while :; do echo x >churn && mv churn churned && rm churned; done 2>/dev/null) &
    sleep 1
    sync
}

after_reset() {
    cd "$VM_MOUNT/reset"
    sha256sum -c --quiet durable.sum
    [ ! -e open-and-removed ]
    flock -n durable.sum true
    rm -f churn churned
}

list_for_host() {
    python3 /manifest.py "$VM_MOUNT" >"$VM_MOUNT/.vm-manifest"
}

skip=()
case $(uname -r) in
    6.1.*)
        skip=("--skip=xattr=tmpfs of Linux 6.1 has no user.* attributes"
            "--skip=idmapped_mount=tmpfs of Linux 6.1 has no id maps")
        ;;
esac

# A write() into a file that uses DAX is a store into the host's page: Linux tells nobody, and the host's kernel takes
# note of the time only when it finds the page clean.
share_skip=()
case $VM_MOUNT_OPTIONS in
    *dax=always*) share_skip=("--skip=times=Linux leaves mtime alone when it writes through the DAX window") ;;
esac
case $(uname -r) in
    6.1.*)
        share_skip+=("--skip=setgid_member=Linux 6.1 does not tell of a user's groups"
            "--skip=idmapped_mount=FUSE of Linux 6.1 has no id maps")
        ;;
esac

if [ "$VM_BOOT" = 1 ]; then
    cases /tmp/control --few "${skip[@]}"
    rm -rf /tmp/control
    check host_file host_file
    check all_queues all_queues
    cases "$VM_MOUNT/share" "${share_skip[@]}"
    if [ -e /host-mode ]; then
        echo "-- with the host"
        python3 /host_cases.py "$VM_MOUNT" "$(cat /host-mode)" || failed=1
    fi
    check tools tools
    check busy_unmount busy_unmount
    check two_mounts two_mounts
    check remount_twice remount_twice
    check before_reset before_reset
    [ $failed = 0 ] || exit 1
    exit 200
fi

check after_reset after_reset
check list_for_host list_for_host
cases "$VM_MOUNT/after-reset" --few "${share_skip[@]}"
rm -rf "$VM_MOUNT/after-reset"
exit $failed
