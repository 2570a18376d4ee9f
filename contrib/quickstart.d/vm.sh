# shellcheck shell=bash disable=SC2154
# SPDX-License-Identifier: BSD-3-Clause
#
# The part of quickstart with a virtual machine: Linux 6.1 under QEMU 7.2, with busybox as its only program. Variables
# that are not set here are quickstart's.

# Sets kernel, qemu, initramfs, accel.
prepare_guest() {
    local bin root module file
    step "fetching a kernel for the guest" "$top/tests/peers/fetch" kernel-6.1 qemu-old
    bin=$("$top/tests/peers/fetch" -q kernel-6.1 qemu-old)
    kernel=$(cd "$bin/../kernel-6.1" && pwd)
    qemu=$(command -v qemu-system-x86_64)
    root=$work/guest
    initramfs=$work/guest.cpio
    rm -rf "$root"
    mkdir -p "$root"/{bin,dev,mnt,proc,sys,modules}
    cp "$(command -v busybox)" "$root/bin/busybox"
    install -m 755 "$top/contrib/quickstart.d/guest-init" "$root/init"
    # In this order they can be loaded one after the other.
    for module in virtio/virtio_ring virtio/virtio virtio/virtio_pci_legacy_dev virtio/virtio_pci_modern_dev \
        virtio/virtio_pci fuse/fuse fuse/virtiofs; do
        file=$(find "$kernel/modules/kernel" -path "*/$module.ko" -print -quit)
        [ -z "$file" ] || { cp "$file" "$root/modules/" && echo "${file##*/}" >>"$root/modules/order"; }
    done
    (cd "$root" && find . | cpio --quiet -o -H newc --owner=0:0) >"$initramfs"
    accel=$("$top/tests/vm/accel" "$qemu" "$kernel/vmlinuz")
    case $accel in
        kvm) echo "  KVM works here: the guest runs at full speed" ;;
        *) echo "  no working KVM here: the guest's processor is emulated, which is slower" ;;
    esac
}

# Starts the guest, waits for its end and looks at what it wrote.
run_guest() {
    local command cpu=max append="console=ttyS0 quiet loglevel=1" status=0
    trap stop_daemon EXIT
    prepare_share
    start_daemon
    [ "$accel" != kvm ] || cpu=host
    command=("$qemu" -machine "q35,accel=$accel,memory-backend=mem" -cpu "$cpu" -smp 2 -m 256M
        -object "memory-backend-memfd,id=mem,size=256M,share=on"
        -chardev "socket,id=fs,path=$socket" -device "vhost-user-fs-pci,chardev=fs,tag=demo,queue-size=1024"
        -nodefaults -display none -no-reboot -kernel "$kernel/vmlinuz" -initrd "$initramfs")
    show_command "qemu-system-x86_64 -machine q35,accel=$accel,memory-backend=mem -m 256M \\" \
        "    -object memory-backend-memfd,id=mem,size=256M,share=on -chardev socket,id=fs,path=$socket \\" \
        "    -device vhost-user-fs-pci,chardev=fs,tag=demo,queue-size=1024 -kernel ... -initrd ..."
    if [ -n "$shell" ]; then
        "${command[@]}" -serial mon:stdio -append "$append demo.shell" || status=$?
    else
        timeout -k 5 120 "${command[@]}" -serial stdio -append "$append" </dev/null 2>&1 |
            sed -u 's/\r//; /reboot: Power down/d; s/^/  guest | /' || status=$?
    fi
    [ $status = 0 ] || { cat "$work/daemon.log" >&2 && die "the guest failed, status $status"; }

    heading "4. Back on the host"
    show_command "cat $share/hello-from-guest.txt"
    if ! grep -q "Hello from the guest" "$share/hello-from-guest.txt" 2>/dev/null; then
        cat "$work/daemon.log" >&2
        die "the guest wrote no file"
    fi
    sed 's/^/  /' "$share/hello-from-guest.txt"
    show_command "ls -l $share"
    # shellcheck disable=SC2012 # for eyes, not for programs
    ls -l "$share" | sed 1d | head -n 20 | sed 's/^/  /'
}
