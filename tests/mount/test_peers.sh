#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# viofs-mount follows the protocol and not only our daemon: it mounts Rust virtiofsd and the C
# virtiofsd, and a tree written through each is what the host has, and is gone when removed.
set -eu -o pipefail

here=$(cd "$(dirname "$0")" && pwd)
# A mount namespace of its own, so that nobody else's copy of the mount keeps it alive.
[ -n "${VIOFS_PEERS_INSIDE:-}" ] ||
    VIOFS_PEERS_INSIDE=1 exec unshare -m --propagation private "$0" "$@"

peers=$("$here/../peers/fetch" -q c-virtiofsd rust-virtiofsd)
scratch=$(mktemp -d /tmp/viofs-peers.XXXXXX)
daemon=''
cleanup() {
    mountpoint -q "$scratch/mnt" && umount -l "$scratch/mnt"
    [ -z "$daemon" ] || kill "$daemon" 2>/dev/null || true
    rm -rf "$scratch"
}
trap cleanup EXIT

# try NAME COMMAND...
try() {
    local name=$1 socket=$scratch/socket status=0
    shift
    rm -rf "${scratch:?}/share" "${scratch:?}/mnt" "$socket"
    mkdir "$scratch/share" "$scratch/mnt"
    echo "from the host" >"$scratch/share/host"
    "$@" >"$scratch/log" 2>&1 &
    daemon=$!
    for _ in $(seq 100); do
        [ -S "$socket" ] && break
        sleep 0.1
    done
    "$VIOFS_MOUNT" "$socket" "$scratch/mnt"
    [ "$(cat "$scratch/mnt/host")" = "from the host" ]
    cp -r "$here" "$scratch/mnt/tree"
    diff -r "$here" "$scratch/share/tree"
    head -c 20000000 /dev/urandom >"$scratch/mnt/big"
    cmp "$scratch/mnt/big" "$scratch/share/big"
    [ "$(ls -R "$scratch/mnt" | wc -l)" = "$(ls -R "$scratch/share" | wc -l)" ]
    rm -r "$scratch/mnt/tree" "$scratch/mnt/big"
    [ "$(ls "$scratch/share")" = host ]
    umount "$scratch/mnt"
    wait "$daemon" || status=$?
    daemon=''
    [ "$status" = 0 ] || { cat "$scratch/log"; echo "$name ended with status $status"; exit 1; }
    echo "$name: ok"
}

try "Rust virtiofsd" "$peers/rust-virtiofsd" --socket-path "$scratch/socket" \
    --shared-dir "$scratch/share"
try "C virtiofsd" "$peers/c-virtiofsd" --socket-path="$scratch/socket" \
    -o source="$scratch/share" -o sandbox=chroot
