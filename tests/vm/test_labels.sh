#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Guests with SELinux label what they make, in the request that makes it (SECURITY_CTX: Linux 6.1 and 7.2 put it differently).
# Without a policy every label is the same, and any label is proof. The daemon has no privileges for security.*, and its
# sandbox at full strength.

set -eu -o pipefail

here=$(cd "$(dirname "$0")" && pwd)
if [ -z "${VIOFSD:-}" ]; then
    echo "VIOFSD is not set: it must name the daemon to test" >&2
    exit 1
fi
work=$(mktemp -d "${TMPDIR:-/tmp}/viofsd-labels.XXXXXX")
trap 'rm -rf "$work"' EXIT

cat >"$work/script" <<'END'
set -eu
cd "$VM_MOUNT"
grep -q selinuxfs /proc/filesystems
touch file
mkdir dir
echo content >dir/inner
ln -s file link
mkfifo fifo
for name in file dir dir/inner; do
    python3 -c 'import os, sys; assert os.getxattr(sys.argv[1], "security.selinux"), "no label"' "$name"
done
END
cat >"$work/look" <<'END'
import os
import sys

for name, labelled in (("file", True), ("dir", True), ("dir/inner", True), ("link", False), ("fifo", False)):
    path = os.path.join(sys.argv[1], name)
    wanted = ["user.virtiofs.security.selinux"] if labelled else []
    found = [a for a in os.listxattr(path, follow_symlinks=False) if "selinux" in a]
    assert found == wanted, f"{name}: {found}, not {wanted}"
    assert not labelled or os.getxattr(path, wanted[0]), f"{name}: empty"
END
for kernel in 6.1 7.2; do
    mkdir "$work/$kernel"
    chmod 755 "$work" "$work/$kernel"
    "$here/guest" --kernel "$kernel" --append "lsm=landlock,lockdown,yama,selinux" --daemon "$VIOFSD" --share "$work/$kernel" \
        --script "$work/script" -- --security-label=always --xattr-preset=selinux
    python3 "$work/look" "$work/$kernel"
done
echo "labels of SELinux in two guests: passed"
