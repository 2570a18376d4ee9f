# shellcheck shell=bash disable=SC2317
# SPDX-License-Identifier: BSD-3-Clause
#
# Runs inside the guest (see init), in two boots with a reset between them; ends with 0 when all is well.
#   boot 1: the cases of dax_cases.py, on tmpfs too if DAX_CONTROL is set; unmounting and mounting again; mappings that are
#           stored into while the machine is reset
#   boot 2: nothing that was synced is lost; some cases again; the share is listed for the host to compare
# The settings come in /settings, made by run_dax: DAX_CASES, DAX_CONTROL, DAX_MODE (always where the
# daemon flags all files), and what dax_cases.py reads.

. /settings
failed=0
mode=inode
[[ $VM_MOUNT_OPTIONS != *dax=always* ]] || mode=always
mode=${DAX_MODE:-$mode}

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

control() {
    local companion
    mkdir -p /tmp/control/ask
    python3 /dax_host.py /tmp/control /daxtool &
    companion=$!
    DAX_SECONDS=5 DAX_LARGE=40 python3 /dax_cases.py /tmp/control none
    kill $companion
    rm -rf /tmp/control
}

# Also with the other way to say "as the daemon thinks": no option at all.
remount() {
    local options
    for options in "$VM_MOUNT_OPTIONS" "${VM_MOUNT_OPTIONS/dax=inode/}"; do
        umount "$VM_MOUNT"
        mount -t virtiofs ${options:+-o "$options"} viofs "$VM_MOUNT"
        /daxtool small "$VM_MOUNT/cases/small_files/from-host" 200 4 map
    done
}

before_reset() {
    mkdir "$VM_MOUNT/reset"
    cd "$VM_MOUNT/reset"
    /daxtool fill pages 6291456 1
    /daxtool fill odd 5000777 1
    sync
    echo 3 >/proc/sys/vm/drop_caches
    /daxtool store pages 1000000 4000000 2
    /daxtool store odd 1000000 4000777 2
    sync
    # Mappings that nobody will ever give back, stored into until the end.
    (while :; do /daxtool cut-race churn 60 1; done) &
    (while :; do /daxtool verify pages 6291456 9 map; done) >/dev/null &
    sleep 3
}

after_reset() {
    cd "$VM_MOUNT/reset"
    rm -f churn
    /daxtool check pages 0 1000000 1
    /daxtool check pages 1000000 4000000 2
    /daxtool check pages 5000000 1291456 1
    /daxtool check odd 0 1000000 1
    /daxtool check odd 1000000 4000777 2
}

if [ "$VM_BOOT" = 1 ]; then
    [ -z "${DAX_CONTROL:-}" ] || check control control
    # shellcheck disable=SC2086 # names
    python3 /dax_cases.py "$VM_MOUNT" $mode ${DAX_CASES:-} || failed=1
    [ -n "${DAX_CASES:-}" ] || check remount remount
    check before_reset before_reset
    [ $failed = 0 ] || exit 1
    exit 200
fi

check after_reset after_reset
mv "$VM_MOUNT/cases" "$VM_MOUNT/cases-before-reset"
DAX_SECONDS=5 python3 /dax_cases.py "$VM_MOUNT" $mode which_files host_edits last_page fsx || failed=1
sync
python3 /manifest.py "$VM_MOUNT" >"$VM_MOUNT/.vm-manifest" || failed=1
exit $failed
