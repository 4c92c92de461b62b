#!/usr/bin/env python3
"""What interception costs: CPU of the sidecar per request, intercepted and sent to `listen.jobs` directly, in turn.

The same client, sidecar and nginx, in the namespaces of tests/intercept. Rounds alternate, and their order does too, so that
what else happens on the machine falls on both. What is compared is the median of the rounds' quotients, with the spread.
"""

import argparse
import importlib.util
import os
import re
import statistics
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
SPEC = importlib.util.spec_from_file_location("run", HERE.parent.parent / "tests" / "intercept" / "run.py")
stage_of = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(stage_of)
# nginx alone, so that both ways lead to the same service.
stage_of.CONFIG = stage_of.CONFIG.replace(', "http://127.0.0.1:8000"', "")

TICKS = os.sysconf("SC_CLK_TCK")
BUDGET = 0.05


def process_s(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def machine_s():
    busy = Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
    return sum(int(f) for at, f in enumerate(busy) if at not in (3, 4)) / TICKS


def load(stage, port, seconds, close):
    """Microseconds of CPU per request: the sidecar's, and the whole machine's."""
    header = ["-H", "Connection: close"] if close else []
    before = process_s(stage.sidecar.pid), machine_s()
    said = stage_of.within(
        stage_of.CLIENT, "wrk", "-t1", "-c16", f"-d{seconds}s", *header, f"http://{stage_of.HOST4}:{port}/a").stdout
    after = process_s(stage.sidecar.pid), machine_s()
    requests = int(re.search(r"(\d+) requests in", said)[1])
    assert "Non-2xx" not in said, said
    return [(now - then) * 1e6 / requests for then, now in zip(before, after)]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--adumbra", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--seconds", type=int, default=4)
    arguments = parser.parse_args()
    commit = stage_of.ran("git", "-C", str(HERE), "rev-parse", "--short", "HEAD").stdout.strip()
    model = next((l.split(":")[1].strip() for l in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in l), "?")
    print(f"{model}, {os.cpu_count()} CPUs, Linux {os.uname().release}, commit {commit}, "
          f"{arguments.rounds} rounds of {arguments.seconds} s", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        stage = stage_of.Stage(arguments.adumbra, Path(folder))
        try:
            stage.serve()
            stage.up("nftables")
            for close, what in ((False, "kept connections"), (True, "a connection each")):
                load(stage, 8080, 1, close)
                load(stage, 80, 1, close)
                rounds = []
                for at in range(arguments.rounds):
                    ports = (8080, 80) if at % 2 else (80, 8080)
                    taken = {port: load(stage, port, arguments.seconds, close) for port in ports}
                    rounds.append((taken[8080], taken[80]))
                for which, name in ((0, "sidecar"), (1, "machine")):
                    direct = statistics.median(d[which] for d, _ in rounds)
                    intercepted = statistics.median(i[which] for _, i in rounds)
                    more = sorted(i[which] / d[which] - 1 for d, i in rounds)
                    quarter = len(more) // 4
                    print(f"{what}, {name}: direct {direct:.1f} µs, intercepted {intercepted:.1f} µs, "
                          f"{statistics.median(more):+.1%} (half of the rounds {more[quarter]:+.1%} to {more[-1 - quarter]:+.1%})", flush=True)
                    if not close and which == 0:
                        verdict = "within" if statistics.median(more) <= BUDGET else "BEYOND"
                        print(f"  {verdict} the budget of {BUDGET:+.0%}", flush=True)
            stage.kill()
        finally:
            stage.end()


if __name__ == "__main__":
    main()
