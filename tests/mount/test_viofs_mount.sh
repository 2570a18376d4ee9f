#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# viofs-mount itself: its options, how it comes and goes, that nobody hangs when the back-end does, and
# that nothing from a back-end with faults (odd_backend.py) gets through to the kernel.
#
# VIOFS_MOUNT names the tool. VIOFSD names the daemon, VIOFSD_DIALECT (viofsd, rust, c) its options;
# without VIOFSD the C virtiofsd of QEMU serves. KEEP=1 leaves the scratch folder.
set -u -o pipefail

c_daemon=/usr/lib/qemu/virtiofsd
tool=${VIOFS_MOUNT:-}
daemon=${VIOFSD:-}
dialect=${VIOFSD_DIALECT:-viofsd}
if [ -z "$daemon" ]; then
    daemon=$c_daemon dialect=c
fi
skip() {
    echo "skipped: $*"
    exit 77
}
[ -n "$tool" ] || skip "VIOFS_MOUNT is not set"
[ -x "$tool" ] || { echo "$tool: not a program"; exit 1; }
[ -x "$daemon" ] || skip "no daemon: VIOFSD is not set and $c_daemon is not installed"
[ "$(id -u)" -eq 0 ] || skip "needs root"
[ -c /dev/fuse ] || skip "no /dev/fuse"
# In a mount namespace of our own: somebody else's namespace, made while a mount is up, would hold a copy
# of it and keep it alive after our umount.
if [ -z "${VIOFS_MOUNT_TEST_INSIDE:-}" ]; then
    VIOFS_MOUNT_TEST_INSIDE=1 exec unshare -m --propagation private "$0" "$@"
fi

scratch=$(mktemp -d /tmp/viofs-mount-test.XXXXXX)
chmod 755 "$scratch"
share=$scratch/share mnt=$scratch/mnt sock=$scratch/s log=$scratch/tool.log
mkdir "$share" "$mnt"
daemon_pid='' tool_pid='' name='' failures=0 cases=0
helpers=()

# --- steps -------------------------------------------------------------------------------------

fail() {
    echo "    FAILED: $name: $*"
    [ -s "$log" ] && sed 's/^/        tool: /' "$log"
    case_failed=1
}

check() { # check WHAT COMMAND...
    local what=$1
    shift
    "$@" || fail "$what"
}

# until_true SECONDS COMMAND...
until_true() {
    local end=$((SECONDS + $1 + 1))
    shift
    until "$@"; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.05
    done
}

is_mounted() { grep -q " $mnt fuse" /proc/self/mounts; }
not_mounted() { ! is_mounted; }
gone() { # a zombie counts as gone
    local state
    read -r _ _ state _ 2>/dev/null <"/proc/$1/stat" || return 0
    [ "$state" = Z ]
}

start_daemon() {
    rm -f "$sock"
    case $dialect in
    c) "$daemon" --socket-path="$sock" -o "source=$share,sandbox=chroot,log_level=err" \
        >"$scratch/daemon.log" 2>&1 & ;;
    *) "$daemon" --socket-path="$sock" --shared-dir="$share" >"$scratch/daemon.log" 2>&1 & ;;
    esac
    daemon_pid=$!
    # The daemon that talks may be a child of the one we started.
    until_true 10 test -S "$sock" || fail "the daemon does not come up"
}

daemon_family() { echo "$daemon_pid" $(pgrep -P "$daemon_pid"); }
signal_daemon() { for p in $(daemon_family); do kill "-$1" "$p" 2>/dev/null; done; }

stop_daemon() {
    [ -n "$daemon_pid" ] || return 0
    signal_daemon CONT
    if ! until_true 5 gone "$daemon_pid"; then
        fail "the daemon stays when its front-end has left"
        signal_daemon KILL
    fi
    wait "$daemon_pid" 2>/dev/null
    daemon_pid=''
}

# start_tool OPTION...: in the foreground of a child, until the mount is there
start_tool() {
    : >"$log"
    "$tool" -f "$@" "$sock" "$mnt" >"$log" 2>&1 &
    tool_pid=$!
    until_true 10 usable || fail "does not mount"
}

usable() { is_mounted && timeout 5 stat -f "$mnt" >/dev/null 2>&1; }

# ends_with STATUS SECONDS: the tool has ended in time, with that status, and nothing is mounted
ends_with() {
    local status
    if ! until_true "$2" gone "$tool_pid"; then
        fail "still runs after $2 s"
        kill -KILL "$tool_pid"
        wait "$tool_pid" 2>/dev/null
        tool_pid=''
        return
    fi
    wait "$tool_pid"
    status=$?
    tool_pid=''
    [ "$status" -eq "$1" ] || fail "exit status $status, not $1"
    not_mounted || fail "the mount is still there"
}

one_line() { # one_line PATTERN: the tool has said this, in one line and no more
    [ "$(grep -c . "$log")" -eq 1 ] || fail "did not say exactly one line"
    grep -q -- "$1" "$log" || fail "did not say '$1'"
}
quiet() { [ ! -s "$log" ] || fail "had something to say"; }

start_load() { # writers and readers that go on until the mount fails under them, or is gone
    local i
    mkdir "$mnt/load"
    helpers=()
    for i in 1 2 3; do
        (
            cd / || exit
            while :; do
                head -c 3000000 /dev/zero >"$mnt/load/$i" || exit
                cat "$mnt/load/$i" >/dev/null || exit
                rm "$mnt/load/$i" || exit
            done
        ) >/dev/null 2>&1 &
        helpers+=($!)
    done
    sleep 0.5
}

load_ends() { # nobody is left waiting for the file system
    local p
    for p in "${helpers[@]}"; do
        until_true 10 gone "$p" || fail "a process hangs in the file system"
        kill -KILL "$p" 2>/dev/null
        wait "$p" 2>/dev/null
    done
    helpers=()
}

cleanup() {
    local p
    for p in "${helpers[@]}" $tool_pid; do kill -KILL "$p" 2>/dev/null; done
    [ -n "$daemon_pid" ] && signal_daemon KILL
    is_mounted && umount -l "$mnt"
    [ -n "${KEEP:-}" ] || rm -rf --one-file-system "$scratch"
}
trap cleanup EXIT

refuses() { # refuses STATUS PATTERN ARGUMENT...
    local want=$1 pattern=$2 status
    shift 2
    "$tool" "$@" >"$log" 2>&1
    status=$?
    [ $status -eq "$want" ] || fail "'$*': exit status $status, not $want"
    one_line "$pattern"
    not_mounted || fail "'$*': something is mounted"
}

# --- cases -------------------------------------------------------------------------------------

case_usage() {
    refuses 2 'SOCKET and a DIRECTORY'
    refuses 2 'SOCKET and a DIRECTORY' "$sock"
    refuses 2 'SOCKET and a DIRECTORY' "$sock" "$mnt" more
    refuses 2 "unknown option '--frob'" --frob "$sock" "$mnt"
    refuses 2 "needs a value" "$sock" "$mnt" --queues
    for value in 0 256 -1 x '' 1x; do
        refuses 2 -- "--queues" --queues="$value" "$sock" "$mnt"
    done
    for value in 0 2 3 1000 65536 x; do
        refuses 2 -- '--queue-size' --queue-size="$value" "$sock" "$mnt"
    done
    for value in -1 10001 x ''; do
        refuses 2 -- '--poll-us' --poll-us="$value" "$sock" "$mnt"
    done
    check "--help" eval '"$tool" --help | grep -q -- --queue-size'
    check "-h" eval '"$tool" -h >/dev/null'
    check "--version" eval '"$tool" -V | grep -Eq "^viofs-mount [0-9.]+$"'
}

case_wrong_places() {
    refuses 1 "cannot connect to '$scratch/none': No such file" "$scratch/none" "$mnt"
    refuses 1 "$scratch/none': No such file" "$sock" "$scratch/none"
    refuses 1 "not a directory" "$sock" "$tool"
    refuses 1 "File name too long" "/$(printf '%0200d' 0)" "$mnt"
}

case_bad_mount_option() {
    start_daemon
    refuses 2 "bad mount option .*frobnicate" -o ro -o frobnicate "$sock" "$mnt"
    stop_daemon
}

case_too_many_queues() {
    start_daemon
    refuses 1 "is too many" --queues=255 "$sock" "$mnt"
    stop_daemon
}

# Somebody accepts the connection and never says a word.
case_silent_backend() {
    rm -f "$sock"
    python3 -c 'import socket, sys, time
s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(1); c = s.accept(); time.sleep(60)' "$sock" &
    local silent=$!
    until_true 5 test -S "$sock"
    refuses 1 'does not answer' "$sock" "$mnt"
    kill -KILL $silent
    wait $silent 2>/dev/null
}

case_background() {
    local pid
    start_daemon
    "$tool" "$sock" "$mnt" >"$log" 2>&1
    check "exit status 0" [ $? -eq 0 ]
    check "usable at once" [ "$(cat "$mnt/file")" = hello ]
    pid=$(pgrep -f "^$tool $sock")
    check "one process runs" [ "$(echo "$pid" | wc -w)" -eq 1 ]
    check "holds no terminal" [ "$(readlink "/proc/$pid/fd/2")" = /dev/null ]
    check "holds no folder" [ "$(readlink "/proc/$pid/cwd")" = / ]
    check "shown as viofs" grep -q "$sock $mnt fuse.viofs rw,.*default_permissions,allow_other" /proc/self/mounts
    umount "$mnt" || fail "umount"
    check "the tool ends" until_true 5 gone "$pid"
    check "nothing mounted" not_mounted
    quiet
    stop_daemon
}

case_relative_directory() {
    start_daemon
    check "mounts" eval '(cd "$scratch" && "$tool" s mnt)'
    check "right place" [ "$(cat "$mnt/file")" = hello ]
    umount "$mnt" || fail "umount"
    stop_daemon
}

case_count() {
    start_daemon
    start_tool --count="$scratch/count"
    mkdir "$mnt/a" "$mnt/b" || fail "mkdir"
    [ "$(cat "$mnt/file")" = hello ] || fail "cat"
    rmdir "$mnt/a" "$mnt/b" || fail "rmdir"
    umount "$mnt" || fail "umount"
    ends_with 0 5
    quiet
    check "MKDIR" grep -qx 'MKDIR 2' "$scratch/count"
    check "READ" grep -qx 'READ 1' "$scratch/count"
    check "FORGET" grep -qx 'FORGET 2' "$scratch/count"
    check "nothing unknown" eval '! grep -q UNKNOWN "$scratch/count"'
    stop_daemon
    refuses 1 "cannot write to '$scratch/none/count'" --count="$scratch/none/count" "$sock" "$mnt"
}

# A write() of 8 MiB is one request where the kernel can be made to say so (from Linux 6.13 on), and a
# request for each MiB elsewhere.
case_large_requests() {
    local limit=/proc/sys/fs/fuse/max_pages_limit before='' want=8
    [ "$dialect" = viofsd ] || return 0
    if [ -e $limit ]; then
        before=$(cat $limit) want=1
        echo 2048 >$limit
    fi
    start_daemon
    start_tool --count="$scratch/count"
    [ -z "$before" ] || echo "$before" >$limit # the mount has its own by now
    head -c 8388608 /dev/urandom >"$scratch/data"
    dd if="$scratch/data" of="$mnt/data" bs=8M oflag=direct status=none || fail "write"
    dd if="$mnt/data" bs=8M iflag=direct status=none | cmp - "$scratch/data" || fail "read"
    check "on the host" cmp "$scratch/data" "$share/data"
    umount "$mnt" || fail "umount"
    ends_with 0 5
    quiet
    check "WRITE" grep -qx "WRITE $want" "$scratch/count"
    check "READ" grep -qx "READ $want" "$scratch/count"
    stop_daemon
}

end_case() { # end_case COMMAND...: this ends the mount cleanly, and what was written is on the host
    start_daemon
    start_tool
    head -c 5000000 /dev/urandom >"$scratch/data"
    cp "$scratch/data" "$mnt/data" || fail "cp"
    check "runs" "$@"
    ends_with 0 5
    quiet
    check "data arrived" cmp -s "$scratch/data" "$share/data"
    rm -f "$share/data"
    stop_daemon
}
kill_tool() { kill "-$1" "$tool_pid"; }
case_umount() { end_case umount "$mnt"; }
case_fusermount() { end_case fusermount3 -u "$mnt"; }
case_sigterm() { end_case kill_tool TERM; }
case_sigint() { end_case kill_tool INT; }

# A process lives in the mount: umount refuses, a signal detaches, and the process gets errors.
case_busy() {
    start_daemon
    start_tool
    tail -f "$mnt/file" >/dev/null 2>&1 &
    helpers=($!)
    check "in use" until_true 5 eval 'ls -l /proc/${helpers[0]}/fd | grep -q "$mnt/file"'
    umount "$mnt" 2>/dev/null && fail "umount of a busy mount"
    check "still works" [ "$(cat "$mnt/file")" = hello ]
    kill_tool TERM
    ends_with 0 6
    quiet
    kill "${helpers[0]}"
    load_ends
    stop_daemon
}

case_sigterm_under_load() {
    start_daemon
    start_tool
    start_load
    kill_tool TERM
    ends_with 0 10
    load_ends
    quiet
    stop_daemon
}

case_lazy_umount_under_load() {
    start_daemon
    start_tool
    start_load
    umount -l "$mnt" || fail "umount -l"
    load_ends
    ends_with 0 10
    quiet
    stop_daemon
}

backend_dies() { # backend_dies [load]
    start_daemon
    start_tool
    [ "${1:-}" = load ] && start_load
    signal_daemon KILL
    ends_with 1 5
    one_line "the back-end left; unmounting '$mnt'"
    [ "${1:-}" = load ] && load_ends
    wait "$daemon_pid" 2>/dev/null
    daemon_pid=''
}
case_backend_dies_idle() { backend_dies; }
case_backend_dies_under_load() { backend_dies load; }

# A stopped daemon keeps the socket open: only the lack of progress tells.
case_backend_hangs() {
    start_daemon
    start_tool
    start_load
    signal_daemon STOP
    sleep 0.3
    kill_tool TERM
    ends_with 1 8
    one_line 'does not answer'
    load_ends
    stop_daemon
}

case_backend_dies_while_unmounting() {
    start_daemon
    start_tool
    start_load
    signal_daemon STOP
    kill_tool TERM
    sleep 0.5
    signal_daemon KILL
    ends_with 1 5
    load_ends
    wait "$daemon_pid" 2>/dev/null
    daemon_pid=''
}

# The administrator's way out: /sys/fs/fuse/connections/N/abort.
case_abort() {
    local connections=/sys/fs/fuse/connections number
    start_daemon
    start_tool
    number=$(stat -c %d "$mnt")
    mountpoint -q $connections || mount -t fusectl fusectl $connections || fail "no fusectl"
    echo 1 >"$connections/$number/abort"
    ends_with 1 5
    one_line aborted
    stop_daemon
}

# More requests at once than slots, on the smallest queues and on the largest.
queue_size_case() { # queue_size_case N
    local i
    start_daemon
    start_tool --queue-size="$1"
    for i in $(seq 12); do
        head -c 700000 /dev/urandom >"$share/r$i"
        (cp "$mnt/r$i" "$mnt/w$i" && cmp "$share/r$i" "$mnt/w$i") &
        helpers+=($!)
    done
    for i in "${helpers[@]}"; do wait "$i" || fail "data differ"; done
    helpers=()
    for i in $(seq 12); do check "w$i" cmp "$share/r$i" "$share/w$i"; done
    rm -f "$share"/[rw]*
    kill_tool TERM
    ends_with 0 5
    quiet
    stop_daemon
}
case_smallest_queues() { queue_size_case 4; }
case_largest_queues() { queue_size_case 32768; }

# Thousands of inodes forgotten at once by the kernel, in batches, through a ring of 4.
case_forgets() {
    start_daemon
    start_tool --queue-size=4
    mkdir "$share/many"
    (cd "$share/many" && seq -f 'f%g' 3000 | xargs touch)
    for _ in 1 2; do
        check "all there" [ "$(find "$mnt/many" -type f -newermt 2000-01-01 | wc -l)" -eq 3000 ]
        echo 2 >/proc/sys/vm/drop_caches
    done
    rm -r "$mnt/many" || fail "rm"
    check "nothing left" [ ! -e "$share/many" ]
    kill_tool TERM
    ends_with 0 5
    quiet
    stop_daemon
}

# --- a back-end with faults ----------------------------------------------------------------------

start_odd() { # start_odd FAULT: see odd_backend.py
    rm -f "$sock"
    "$(dirname "$0")/odd_backend.py" "$sock" "$1" >"$scratch/daemon.log" 2>&1 &
    daemon_pid=$!
    until_true 10 test -S "$sock" || fail "the odd back-end does not come up"
}

stop_odd() {
    check "the odd back-end has nothing to say: $(cat "$scratch/daemon.log")" [ ! -s "$scratch/daemon.log" ]
    stop_daemon
}

case_odd_none() {
    start_odd none
    start_tool
    check "readable" [ "$(stat -c %F "$mnt")" = directory ]
    kill_tool TERM
    ends_with 0 5
    quiet
    stop_odd
}

# The request fails with EIO, and the mount goes on: the kernel never sees the reply.
bad_reply() { # bad_reply FAULT PATTERN
    start_odd "$1"
    start_tool_unchecked
    check "EIO" eval '[[ $(LC_ALL=C stat -f "$mnt" 2>&1) == *"Input/output error"* ]]'
    check "says why" grep -q "$2" "$log"
    kill_tool TERM
    ends_with 0 5
    stop_odd
}
start_tool_unchecked() {
    : >"$log"
    "$tool" -f "$sock" "$mnt" >"$log" 2>&1 &
    tool_pid=$!
    until_true 10 is_mounted || fail "does not mount"
}
case_odd_other_unique() { bad_reply other-unique 'reply to another request'; }
case_odd_short() { bad_reply short 'shorter than its header'; }
case_odd_long() { bad_reply long 'more bytes used than offered'; }
case_odd_positive_error() { bad_reply positive-error 'not a negative errno'; }
case_odd_notification() { bad_reply notification 'another request'; }

broken_ring() { # broken_ring FAULT PATTERN
    start_odd "$1"
    start_tool_unchecked
    timeout 5 stat -f "$mnt" >/dev/null 2>&1
    check "no hang" [ $? -ne 124 ]
    ends_with 1 5
    one_line "$2"
    stop_odd
}
case_odd_unknown_id() { broken_ring unknown-id 'broke a virtqueue'; }
case_odd_used_jump() { broken_ring used-jump 'broke a virtqueue'; }
case_odd_err_eventfd() { broken_ring err-eventfd 'reports a broken virtqueue'; }

odd_init() { # odd_init FAULT PATTERN
    start_odd "$1"
    refuses 1 "$2" "$sock" "$mnt"
    stop_odd
}
case_odd_init_error() { odd_init init-error 'refuses FUSE_INIT: Permission denied'; }
case_odd_init_major() { odd_init init-major 'speaks FUSE 8'; }

# Sizes are cut to what fits and impossible features taken out, or the kernel would refuse to read.
case_odd_init_greedy() {
    start_odd init-greedy
    start_tool
    check "readable" [ "$(stat -c %F "$mnt")" = directory ]
    kill_tool TERM
    ends_with 0 5
    quiet
    stop_odd
}

# How often the tool was on a processor so far, and for how long (clock ticks).
wakings() { cat "/proc/$tool_pid/task"/*/status | awk '/ctxt_switches/ { n += $2 } END { print n }'; }
ticks() { awk '{ print $14 + $15 }' "/proc/$tool_pid/stat"; }

# Nobody asks for anything: nothing is looked for. In the end it works as before.
case_idle() {
    local before
    start_daemon
    start_tool --poll-us=10000
    [ "$(cat "$mnt/file")" = hello ] || fail "cat"
    sleep 0.3
    before="$(wakings) $(ticks)"
    sleep 1
    check "asleep" [ "$(wakings) $(ticks)" = "$before" ]
    [ "$(cat "$mnt/file")" = hello ] || fail "cat, again"
    kill_tool TERM
    ends_with 0 5
    quiet
    stop_daemon
}

# Requests for which the looking ends long before the reply is there: they are waited for asleep, and
# others are served meanwhile.
late_case() { # late_case OPTION...
    local before i
    start_daemon
    start_tool "$@"
    for i in 1 2 3 4; do head -c 100000 /dev/urandom >"$share/late$i"; done
    for _ in 1 2 3 4 5; do
        signal_daemon STOP
        sleep 0.1
        helpers=()
        for i in 1 2 3 4; do
            cmp "$mnt/late$i" "$share/late$i" &
            helpers+=($!)
        done
        sleep 0.2
        before="$(wakings) $(ticks)"
        sleep 0.3
        check "asleep" [ "$(wakings) $(ticks)" = "$before" ]
        signal_daemon CONT
        for i in "${helpers[@]}"; do wait "$i" || fail "data differ"; done
        helpers=()
        check "served" [ "$(find "$mnt" -name 'late*' | wc -l)" -eq 4 ]
        sleep 1.1 # until the names are asked for again
    done
    kill_tool TERM
    ends_with 0 5
    quiet
    stop_daemon
}
case_late_replies() { late_case; }
case_late_replies_always_asleep() { late_case --poll-us=0; }
case_late_replies_long_looks() { late_case --poll-us=10000; }

# A signal at a process that waits for a sleeping back-end; with and without telling the back-end.
case_interrupts() {
    local option
    for option in -f --send-interrupt; do
        # QEMU 7.2 C virtiofsd dies of a segmentation fault when it gets one.
        [ "$dialect $option" = "c --send-interrupt" ] && continue
        start_daemon
        start_tool $option
        head -c 100000 /dev/urandom >"$share/big"
        signal_daemon STOP
        sleep 0.2
        cat "$mnt/big" >/dev/null 2>&1 &
        helpers=($!)
        sleep 0.3
        kill -TERM "${helpers[0]}"
        sleep 0.3
        signal_daemon CONT
        load_ends
        check "still works" cmp "$mnt/big" "$share/big"
        kill_tool TERM
        ends_with 0 5
        quiet
        stop_daemon
    done
}

# In a mount namespace of its own, with the device node that udev would have made.
case_ordinary_user() {
    local dir=$scratch/user node=$scratch/fuse
    mkdir "$dir"
    chown nobody "$dir"
    mknod -m 666 "$node" c 10 229
    start_daemon
    chmod 777 "$sock"
    # shellcheck disable=SC2016
    unshare -m --propagation private bash -eu -c '
        mount --bind "$1" /dev/fuse
        as_user() { setpriv --reuid=nobody --regid=nogroup --clear-groups "$@"; }
        as_user "$2" "$3" "$4"
        test "$(as_user cat "$4/file")" = hello
        as_user fusermount3 -u "$4"
        ! grep -q " $4 fuse" /proc/self/mounts
        ' bash "$node" "$tool" "$sock" "$dir" >"$log" 2>&1 || fail "mount, read, unmount"
    quiet
    stop_daemon
    start_daemon
    chmod 777 "$sock"
    # shellcheck disable=SC2016
    unshare -m --propagation private bash -eu -c '
        mount --bind "$1" /dev/fuse
        as_user() { setpriv --reuid=nobody --regid=nogroup --clear-groups "$@"; }
        setpriv --reuid=nobody --regid=nogroup --clear-groups "$2" -f "$3" "$4" & pid=$!
        for i in $(seq 100); do grep -q " $4 fuse" /proc/self/mounts && break; sleep 0.05; done
        test "$(as_user cat "$4/file")" = hello
        kill $pid; wait $pid
        ! grep -q " $4 fuse" /proc/self/mounts
        ' bash "$node" "$tool" "$sock" "$dir" >"$log" 2>&1 || fail "mount, read, SIGTERM"
    quiet
    stop_daemon
}

# --- run ---------------------------------------------------------------------------------------

for name in $(declare -F | sed -n 's/^declare -f case_//p'); do
    [[ $name =~ ${1:-.} ]] || continue
    case_failed=0
    cases=$((cases + 1))
    rm -rf "${share:?}"/* "$scratch/user" "$scratch/fuse"
    echo hello >"$share/file"
    chmod 644 "$share/file"
    started=$SECONDS
    "case_$name"
    [ $case_failed -eq 0 ] && echo "ok  $name ($((SECONDS - started)) s)"
    failures=$((failures + case_failed))
    if [ $case_failed -ne 0 ]; then # leave nothing for the next one
        [ -n "$daemon_pid" ] && signal_daemon KILL
        for p in "${helpers[@]}" $tool_pid; do kill -KILL "$p" 2>/dev/null; done
        is_mounted && umount -l "$mnt"
        daemon_pid='' tool_pid='' helpers=()
    fi
done
echo "$cases cases, $failures failed"
[ $failures -eq 0 ] && [ $cases -gt 0 ]
