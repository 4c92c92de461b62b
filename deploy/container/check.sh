#!/usr/bin/env bash
# Runs the static program as the image does, without a container engine: in a root directory with nothing else in it but the
# devices that every engine provides, as a user without rights, against a service named by a name. Needs root, for chroot.
# Usage: deploy/container/check.sh DIRECTORY_OF_THE_PROGRAM
set -euo pipefail
program=$(cd "$1" && pwd)/adumbra
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(mktemp -d)
trap 'kill "${service:-}" "${sidecar:-}" 2>/dev/null || true; rm -rf "$root"' EXIT
mkdir -p "$root/etc/adumbra" "$root/var/lib/adumbra" "$root/service" "$root/dev"
# Every container engine provides these.
mknod -m 666 "$root/dev/random" c 1 8
mknod -m 666 "$root/dev/urandom" c 1 9
mknod -m 666 "$root/dev/null" c 1 3
cp "$program" "$root/adumbra"
cp "$here/passwd" "$here/nsswitch.conf" "$root/etc/"
echo '127.0.0.1 service' >"$root/etc/hosts"
chown 65532:65532 "$root/var/lib/adumbra"
echo 'from the service' >"$root/service/page"
touch "$root/service.log" "$root/listening"
python3 -u -m http.server 0 --bind 127.0.0.1 --directory "$root/service" >"$root/service.log" 2>&1 &
service=$!
until port=$(sed -n 's/.* port \([0-9]*\) .*/\1/p' "$root/service.log") && [ -n "$port" ]; do sleep 0.1; done
cat >"$root/etc/adumbra/adumbra.toml" <<TOML
home = "private"
listen.jobs = "127.0.0.1:0"
listen.admin = "127.0.0.1:0"
state.directory = "/var/lib/adumbra"
spool.directory = "/var/lib/adumbra"
networks.private.upstreams = ["http://service:$port"]
TOML
chmod 755 "$root"
chroot --userspec=65532:65532 "$root" /adumbra serve --config /etc/adumbra/adumbra.toml >"$root/listening" 2>"$root/log" &
sidecar=$!
until grep -qs '^listening admin' "$root/listening"; do kill -0 "$sidecar" || { cat "$root/log" >&2; exit 1; }; sleep 0.1; done
jobs=$(sed -n 's/^listening jobs=//p' "$root/listening")
[ "$(curl -sf --retry 10 --retry-all-errors "http://$jobs/page")" = 'from the service' ]
kill -TERM "$sidecar"
wait "$sidecar"
echo "static, alone in its root, as nobody, a name resolved, and ended in order"
