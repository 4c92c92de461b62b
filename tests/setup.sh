#!/usr/bin/env bash
# Installs what the tests need beside Rust: programs nobody here wrote, for the tests that put adumbra between them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

lacking=()
for pair in nginx:nginx curl:curl h2load:nghttp2-client wrk:wrk python3:python3 openssl:openssl ffmpeg:ffmpeg systemd-analyze:systemd chromium:chromium promtool:prometheus; do
    PATH="$PATH:/usr/sbin" type -P "${pair%%:*}" >/dev/null || lacking+=("${pair##*:}")
done
# python3 -m venv comes apart from python3 on Debian.
python3 -c 'import ensurepip' 2>/dev/null || lacking+=(python3-venv)

if [ ${#lacking[@]} -gt 0 ]; then
    if [ "$(id -u)" -ne 0 ] || ! type -P apt-get >/dev/null; then
        echo "tests need these programs: ${lacking[*]}" >&2
        echo "install them, on Debian with: sudo apt-get install ${lacking[*]}" >&2
        exit 1
    fi
    # Debian starts a daemon as soon as it is installed; the tests start their own.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy"
        trap 'rm -f "$policy"' EXIT
    fi
    echo "installing: ${lacking[*]}" >&2
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${lacking[@]}" >/dev/null
fi

# A WebSocket client and a judge of OpenAPI, both somebody else's.
venv=target/tests-venv
if [ ! -x "$venv/bin/python" ] || ! "$venv/bin/python" -c 'import websockets, openapi_spec_validator' 2>/dev/null; then
    python3 -m venv "$venv"
    "$venv/bin/python" -m pip install -q --disable-pip-version-check 'websockets==15.0.1' 'openapi-spec-validator==0.9.0'
fi

# What drives the browser for the tests of the page.
if ! "$venv/bin/python" -c 'import playwright' 2>/dev/null; then
    "$venv/bin/python" -m pip install -q --disable-pip-version-check 'playwright==1.65.2'
fi
