#!/usr/bin/env bash
# Builds `adumbra` with no library to look for at run time, for an image from scratch, and refuses to call it static if it is not.
# Usage: deploy/container/build-static.sh OUT_DIRECTORY [PROFILE]
set -euo pipefail
out=$(mkdir -p "$1" && cd "$1" && pwd)
profile=${2:-release}
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
# glibc 2.34 and later have the files and the DNS of name resolution inside, so a static program needs nothing beside it.
# The target is named so that build scripts and macros, which must be dynamic, are built without the flag.
target=$(rustc -vV | sed -n 's/^host: //p')
RUSTFLAGS="-C target-feature=+crt-static" \
    cargo build --locked --package proxy --bin adumbra --profile "$profile" --target "$target" --target-dir target/static
folder=$profile
[ "$profile" = dev ] && folder=debug
install -D -m 0755 "target/static/$target/$folder/adumbra" "$out/adumbra"
mkdir -p "$out/empty"
if readelf --program-headers "$out/adumbra" | grep -q INTERP; then
    echo "$out/adumbra is not static: it asks for an interpreter" >&2
    exit 1
fi
