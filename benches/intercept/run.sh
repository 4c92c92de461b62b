#!/usr/bin/env bash
# What interception costs; see run.py. Needs root, for network namespaces, and what tests/setup.sh installs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
[ "$(id -u)" -eq 0 ] || { echo "this makes network namespaces: be root" >&2; exit 3; }
export PATH="$PATH:/usr/sbin:/sbin"
cargo build -q --release -p proxy --bin adumbra
exec python3 benches/intercept/run.py --adumbra "$PWD/target/release/adumbra" "$@"
