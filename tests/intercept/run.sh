#!/usr/bin/env bash
# Interception in network namespaces, by nftables and by iptables; see run.py. Needs root for the namespaces.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

if [ "$(id -u)" -ne 0 ]; then
    echo "intercept: not run, for it makes network namespaces: be root" >&2
    exit 3
fi
export PATH="$PATH:/usr/sbin:/sbin"
lacking=()
for pair in ip:iproute2 nft:nftables iptables-restore:iptables nginx:nginx setpriv:util-linux python3:python3; do
    type -P "${pair%%:*}" >/dev/null || lacking+=("${pair##*:}")
done
if [ ${#lacking[@]} -gt 0 ]; then
    if ! type -P apt-get >/dev/null; then
        echo "this needs: ${lacking[*]}" >&2
        exit 1
    fi
    # Debian starts a daemon as soon as it is installed; the test starts its own.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy"
        trap 'rm -f "$policy"' EXIT
    fi
    echo "installing: ${lacking[*]}" >&2
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${lacking[@]}" >/dev/null
fi
if ! unshare -n nft add table inet probe '{ chain c { type nat hook prerouting priority -100; }; }'; then
    echo "intercept: not run, for this kernel has no NAT by nftables" >&2
    exit 3
fi
profile=${PROFILE:-debug}
cargo build -q -p proxy --bin adumbra $([ "$profile" = release ] && echo --release)
python3 tests/intercept/run.py --adumbra "$PWD/target/$profile/adumbra" "$@"
