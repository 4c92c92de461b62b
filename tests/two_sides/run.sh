#!/usr/bin/env bash
# Two sidecars in two network namespaces around a service from PyPI; see run.py. Needs root for the namespaces.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

if [ "$(id -u)" -ne 0 ] || ! type -P ip >/dev/null; then
    echo "two sides: not run, for it makes network namespaces: be root, with ip (Debian: iproute2)" >&2
    exit 3
fi
venv=target/two-sides-venv
if [ ! -x "$venv/bin/datasette" ]; then
    python3 -m venv "$venv"
    "$venv/bin/pip" install -q --disable-pip-version-check 'datasette==0.65.1'
fi
profile=${PROFILE:-debug}
cargo build -q -p proxy --bin adumbra $([ "$profile" = release ] && echo --release)
exec python3 tests/two_sides/run.py --adumbra "$PWD/target/$profile/adumbra" --venv "$PWD/$venv" "$@"
