#!/usr/bin/env bash
# Boots a Debian kernel in a virtual machine, with control groups of version 2 only, and runs the cages' tests there: in
# the root group, in a group given to adumbra alone (it must move itself out of the way), in one that it shares with a
# process that it may not move, and as a user without rights. The last two must say that nothing is enforced, and why.
#
# The machine's root is this one's, read only, so it runs the very binaries that cargo builds here.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

lacking=()
for pair in qemu-system-x86_64:qemu-system-x86 busybox:busybox-static; do
    type -P "${pair%%:*}" >/dev/null || lacking+=("${pair##*:}")
done
if [ ${#lacking[@]} -gt 0 ]; then
    if [ "$(id -u)" -ne 0 ] || ! type -P apt-get >/dev/null; then
        echo "this needs: ${lacking[*]}; install them, on Debian with: sudo apt-get install ${lacking[*]}" >&2
        exit 1
    fi
    echo "installing: ${lacking[*]}" >&2
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${lacking[@]}" >/dev/null
fi
work=target/cgroup-v2
mkdir -p "$work"
package=$(apt-cache depends linux-image-amd64 | sed -n 's/.*Depends: //p' | head -n 1)
kernel=${package#linux-image-}
if [ ! -e "$work/kernel/boot/vmlinuz-$kernel" ]; then
    rm -rf "$work/kernel"
    (cd "$work" && apt-get download -qq "$package" 2>/dev/null && dpkg-deb -x "$package"_*.deb kernel && rm -- "$package"_*.deb)
fi

cargo build --quiet --package proxy --bin adumbra
tests=$(cargo test --package proxy --lib --no-run --message-format json 2>/dev/null |
    sed -n 's/.*"test":true.*"executable":"\([^"]*\)".*/\1/p' | tail -n 1)
[ -x "$tests" ] || { echo "the tests' binary was not built" >&2; exit 1; }
# Copies: what is built meanwhile does not get in the way.
cp "$tests" "$work/tests" && cp target/debug/adumbra "$work/adumbra"
python=$(dirname "$(python3 -c 'import sys; print(sys.executable)')")

# What the kernel needs to see the root, and what is done there.
initial=$work/initial
rm -rf "$initial"
mkdir -p "$initial"/{bin,proc,host,"lib/modules/$kernel/kernel"}
cp "$(type -P busybox)" "$initial/bin/busybox"
modules=$work/kernel/lib/modules/$kernel
[ -d "$modules" ] || modules=$work/kernel/usr/lib/modules/$kernel
for part in fs/9p fs/netfs fs/fscache net/9p drivers/virtio; do
    [ -d "$modules/kernel/$part" ] || continue
    mkdir -p "$initial/lib/modules/$kernel/kernel/$part"
    cp "$modules/kernel/$part"/*.ko* "$initial/lib/modules/$kernel/kernel/$part/"
done
cp "$modules"/modules.{builtin,order} "$initial/lib/modules/$kernel/"
busybox depmod -b "$initial" "$kernel"

cat >"$initial/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
for module in virtio_pci 9pnet_virtio 9p; do modprobe $module; done
mount -t 9p -o trans=virtio,version=9p2000.L,ro,msize=262144,cache=loose host /host || poweroff -f
mount -t proc proc /host/proc
mount -t sysfs sys /host/sys
mount -t cgroup2 cgroup2 /host/sys/fs/cgroup
mount -t devtmpfs dev /host/dev
mount -t tmpfs tmp /host/tmp
cp /inside /host/tmp/inside
chroot /host /bin/bash /tmp/inside
poweroff -f
INIT

cat >"$initial/inside" <<INSIDE
export PATH=$python:/usr/bin:/bin HOME=/tmp ADUMBRA_LAUNCHER=$PWD/$work/adumbra
tests() { "\$@" $PWD/$work/tests --nocapture --test-threads 2 lane::cage; }
INSIDE
cat >>"$initial/inside" <<'INSIDE'
group=/sys/fs/cgroup
uname -sr
failed=0
# Ends with what has failed; says what was asked for and did not come.
pass() {
    local name=$1 wanted=$2 out=/tmp/$1
    shift 2
    echo "== $name"
    ("$@") >$out 2>&1 || { failed=1; echo "== $name FAILED"; }
    cat $out
    if [ "$wanted" = all ]; then
        ! grep -q 'NOT TESTED' $out || { failed=1; echo "== $name FAILED: not everything was tested"; }
    else
        grep -q 'NOT TESTED' $out && grep -q "$wanted" $out || { failed=1; echo "== $name FAILED: no \`$wanted\`"; }
    fi
}

in_root() { tests exec; }
in_own_group() {
    mkdir $group/own && echo $BASHPID >$group/own/cgroup.procs
    tests exec
}
in_shared_group() {
    mkdir $group/shared
    sleep 1000 & echo $! >$group/shared/cgroup.procs
    echo $BASHPID >$group/shared/cgroup.procs
    tests command
    local code=$?
    kill %1
    return $code
}
without_rights() { tests exec setpriv --reuid 65534 --regid 65534 --clear-groups; }

pass in-root all in_root
echo '+cpu +memory' >$group/cgroup.subtree_control
pass in-own-group all in_own_group
pass in-shared-group 'are in the same group' in_shared_group
pass without-rights 'Permission denied' without_rights
left=$(find $group -name 'adumbra.*' -not -name '*.@self' -type d)
[ -z "$left" ] || { failed=1; echo "== left behind: $left"; }
[ $failed = 1 ] || echo "== all passed"
INSIDE
chmod +x "$initial/init"
(cd "$initial" && find . | busybox cpio -o -H newc 2>/dev/null) | gzip -1 >"$work/initrd"

# Boots with an accelerator, for at most so many seconds.
boot() {
    timeout "$2" qemu-system-x86_64 -accel "$1" -cpu max -m 2048 -smp 2 -nographic -no-reboot -nic none \
        -virtfs local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap \
        -kernel "$work/kernel/boot/vmlinuz-$kernel" -initrd "$work/initrd" -append 'console=ttyS0 quiet panic=-1' </dev/null
}

log=$work/log
: >"$log"
if [ -w /dev/kvm ]; then
    # Some machines that are virtual themselves have it, and boot nothing with it.
    boot kvm 30 >"$log" 2>&1 || true
    if grep -q '^== in-root' "$log"; then boot kvm 600 | tee "$log"; else echo "KVM boots nothing here" >&2; : >"$log"; fi
fi
if [ ! -s "$log" ]; then
    echo "without KVM: this takes minutes" >&2
    boot tcg 1500 | tee "$log"
fi
grep -q '^== all passed' "$log" || { echo "version 2 of control groups: FAILED" >&2; exit 1; }
