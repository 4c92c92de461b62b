#!/usr/bin/env python3
"""Two sidecars, two network namespaces, one link, and a service that nobody here wrote.

Datasette answers SQL over HTTP; a recursive query keeps one of its threads busy for as long as it is told to, and does not
stop when its client goes. `adumbra run` starts it on both sides, with a process lane; the sides speak mutual TLS. Clients on
the private side ask queries of different lengths all the time, and check every answer. Meanwhile the link is cut and
mended, and processes are killed with SIGKILL: a worker, the live service, a whole sidecar. At the end both are told to
stop, and nothing may be left.

Needs root, `ip`, and the virtual environment that run.sh makes. Everything it starts, it ends; it touches no other
namespace, and of other processes only reads the names.
"""

import argparse
import http.client
import json
import os
import random
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
from collections import Counter
from pathlib import Path

QUERY = "with recursive c(x) as (select 1 union all select x+1 from c where x < {n}) select sum(x*x % 257) as s from c"
# Rows of a query: about a fifth of a second of CPU to two seconds, and every one checked against its known answer.
SIZES = [800_000, 2_000_000, 4_000_000, 8_000_000]
CLIENTS = 3

SIDE = """
home = "{home}"
workers = 1
drain = "20s"

[identity]
certificate = "{folder}/{home}/tables.pem"
key = "{folder}/{home}/tables.key"
trust = "{folder}/ca.pem"

[listen]
jobs = "127.0.0.1:8080"
peers = "{own}:8443"
admin = "127.0.0.1:9900"

[lane]
kind = "process"
workers = 2

[networks.{home}]
capacity = 2
price = {{ slot_second = {own_price} }}
shadows = {{ in_flight = 2, per_second = 20, bytes_per_second = "8MiB" }}

[networks.{away}]
sidecars = ["https://{other}:8443"]
capacity = 2
price = {{ slot_second = {other_price} }}
timeouts = {{ connect = "1s", head = "60s" }}
shadows = {{ in_flight = 2, per_second = 20, bytes_per_second = "8MiB" }}

[shadow]
worthwhile = "100ms"
window_min = "100ms"
sample_share = "30%"

[[routes]]
name = "query"
match = {{ path = "/numbers.json", methods = ["GET"] }}
class_by = "query:n"
shadow = "on"

[oracle]
first_after = 20
refit_after = 10
refit_every = "2s"

[log]
decisions = "{folder}/{home}-decisions.jsonl"
"""


def say(text):
    print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)


def fail(text):
    say(f"FAILED: {text}")
    sys.exit(1)


class Link:
    """Two namespaces with a cable between them, gone when the block ends."""

    def __init__(self):
        self.names = [f"adumbra-{side}-{os.getpid()}" for side in "ab"]
        self.addresses = ["10.203.77.1", "10.203.77.2"]

    def __enter__(self):
        ip = self.ip
        for name in self.names:
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        ends = [f"ad{os.getpid()}{side}"[-15:] for side in "ab"]
        ip("link", "add", ends[0], "type", "veth", "peer", "name", ends[1])
        for name, end, address in zip(self.names, ends, self.addresses):
            ip("link", "set", end, "netns", name)
            ip("-n", name, "addr", "add", f"{address}/30", "dev", end)
            ip("-n", name, "link", "set", end, "up")
        self.ends = ends
        return self

    def __exit__(self, *_):
        for name in self.names:
            subprocess.run(["ip", "netns", "del", name], check=False)

    def cut(self):
        # One end goes down: the other side's packets go nowhere, and nobody tells its connections.
        self.ip("-n", self.names[1], "link", "set", self.ends[1], "down")

    def mend(self):
        self.ip("-n", self.names[1], "link", "set", self.ends[1], "up")

    @staticmethod
    def ip(*words):
        subprocess.run(["ip", *words], check=True)


class Side:
    """One sidecar with what it started."""

    def __init__(self, adumbra, venv, folder, link, home):
        at = 0 if home == "private" else 1
        self.home, self.namespace, self.folder = home, link.names[at], folder
        self.adumbra, self.venv = adumbra, venv
        away = "public" if home == "private" else "private"
        prices = (0.3, 0.6) if home == "private" else (0.6, 0.3)
        self.config = folder / f"{home}.toml"
        self.config.write_text(SIDE.format(
            home=home, away=away, folder=folder, own=link.addresses[at], other=link.addresses[1 - at],
            own_price=prices[0], other_price=prices[1]))
        self.log = folder / f"{home}.log"
        self.process = None

    def start(self):
        service = [self.venv / "bin/datasette", "serve", "-h", "127.0.0.1", "-p", "{port}",
                   "--setting", "sql_time_limit_ms", "120000", self.folder / "numbers.db"]
        command = ["ip", "netns", "exec", self.namespace, self.adumbra, "run", "--config", self.config, "--", *service]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        within(60, f"the {self.home} side is ready", self.is_ready)

    def admin(self, path, *options):
        command = ["ip", "netns", "exec", self.namespace, "curl", "-s", "-m", "5", *options, f"http://127.0.0.1:9900{path}"]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

    def status(self):
        try:
            return json.loads(self.admin("/status"))
        except ValueError:
            return {}

    def live(self):
        """The pid of the process that takes live jobs, if one does."""
        return self.status().get("service", {}).get("pid")

    def workers(self):
        """Pids of the processes that shadows run on: all that serve but the live one."""
        live = self.live()
        return [pid for pid in services(self.tree()) if live and pid != live]

    def is_ready(self):
        if self.process.poll() is not None:
            fail(f"the {self.home} sidecar ended with {self.process.returncode}:\n{self.log.read_text()[-2000:]}")
        return "200" in self.admin("/readyz", "-o", "/dev/null", "-w", "%{http_code}")

    def metrics(self):
        values = Counter()
        for line in self.admin("/metrics").splitlines():
            if line and not line.startswith("#"):
                series, _, value = line.rpartition(" ")
                values[series] = float(value)
        return values

    def sum(self, name, *parts):
        return sum(value for series, value in self.metrics().items()
                   if series.split("{")[0] == name and all(part in series for part in parts))

    def tree(self):
        """Pids of what runs under the sidecar, with their command lines."""
        return below(self.process.pid)


def below(pid):
    parents, found = {}, {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                stat = Path(f"/proc/{entry}/stat").read_text()
                parents[int(entry)] = int(stat.rpartition(")")[2].split()[1])
            except OSError:
                pass
    queue = [pid]
    while queue:
        for child in [child for child, parent in parents.items() if parent == queue[0]]:
            queue.append(child)
            try:
                found[child] = Path(f"/proc/{child}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                pass
        queue.pop(0)
    return found


def services(tree):
    return [pid for pid, command in tree.items() if "datasette" in command and "lane-" not in command]


def within(seconds, what, holds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if holds():
            return
        time.sleep(0.1)
    fail(f"{what}: not within {seconds} s")


class Clients:
    """Asks all the time, and checks every answer; run in the private side's namespace as a process of its own."""

    def __init__(self, expected):
        self.expected, self.stopping = expected, threading.Event()
        self.lock, self.results = threading.Lock(), []

    def one(self, seed):
        draw = random.Random(seed)
        while not self.stopping.is_set():
            n = draw.choice(SIZES)
            query = urllib.parse.urlencode({"_shape": "array", "n": n, "sql": QUERY.format(n=n)})
            began = time.monotonic()
            try:
                connection = http.client.HTTPConnection("127.0.0.1", 8080, timeout=90)
                headers = {"Priority": f"u={draw.choice([1, 3, 3, 5])}"}
                connection.request("GET", f"/numbers.json?{query}", headers=headers)
                answer = connection.getresponse()
                body = answer.read()
                right = answer.status == 200 and json.loads(body) == [{"s": self.expected[n]}]
                what = "right" if right else f"wrong: {answer.status} {body[:200]!r}"
                decision = answer.getheader("adumbra-decision") or ""
                connection.close()
            except (OSError, http.client.HTTPException, ValueError) as error:
                what, decision = f"failed: {error!r}", ""
            with self.lock:
                self.results.append((time.time(), time.monotonic() - began, what, decision, seed))
                print(json.dumps(self.results[-1]), flush=True)

    def run(self):
        threads = [threading.Thread(target=self.one, args=(seed,)) for seed in range(CLIENTS)]
        for thread in threads:
            thread.start()
        signal.signal(signal.SIGTERM, lambda *_: self.stopping.set())
        for thread in threads:
            while thread.is_alive():
                thread.join(0.2)


class Load:
    """The clients' process, and what it has said so far."""

    def __init__(self, namespace, folder):
        self.out = folder / "clients.jsonl"
        command = ["ip", "netns", "exec", namespace, sys.executable, __file__, "--clients", folder / "expected.json"]
        self.process = subprocess.Popen(command, stdout=open(self.out, "wb"), stdin=subprocess.DEVNULL)

    def results(self):
        lines = self.out.read_text().splitlines()
        return [json.loads(line) for line in lines if line.endswith("]")]

    def all_answered_since(self, moment):
        """Whether nobody waits any more who waited at that moment."""
        return len({client for ended, *_, client in self.results() if ended >= moment}) == CLIENTS

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=120)


def report(name, results):
    """Says what a phase was like, and gives back how many answers were not right."""
    networks = Counter(decision.split(";")[0] for *_, decision, _ in results if decision)
    seconds = sorted(took for _, took, *_ in results) or [0.0]
    bad = [what for _, _, what, *_ in results if what != "right"]
    say(f"{name}: {len(results)} answers, {len(bad)} not right, median {seconds[len(seconds) // 2]:.2f} s, "
        f"longest {seconds[-1]:.2f} s, from {dict(networks)}")
    for what in bad[:5]:
        say(f"    {what}")
    return len(bad)


def expected_answers():
    base = sqlite3.connect(":memory:")
    return {n: base.execute(QUERY.format(n=n)).fetchone()[0] for n in SIZES}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--adumbra", type=Path)
    parser.add_argument("--venv", type=Path)
    parser.add_argument("--seconds", type=int, default=12, help="of each phase")
    parser.add_argument("--clients", type=Path, help="only ask, with the answers in this file (what it starts itself as)")
    arguments = parser.parse_args()
    if arguments.clients:
        Clients({int(n): s for n, s in json.loads(arguments.clients.read_text()).items()}).run()
        return
    with tempfile.TemporaryDirectory(prefix="adumbra-two-sides-") as folder, Link() as link:
        drive(arguments, Path(folder), link)


def certificates(adumbra, folder):
    run = lambda *words: subprocess.run([adumbra, "certs", *map(str, words)], check=True, stdout=subprocess.DEVNULL)
    run("init", folder)
    for network in ("private", "public"):
        run("issue", folder, "--network", network, "--service", "tables")


def drive(arguments, folder, link):
    sqlite3.connect(folder / "numbers.db").execute("create table unused(x)")
    (folder / "expected.json").write_text(json.dumps(expected_answers()))
    certificates(arguments.adumbra, folder)
    sides = {home: Side(arguments.adumbra, arguments.venv, folder, link, home) for home in ("public", "private")}
    load = None
    try:
        for side in sides.values():
            side.start()
        say("both sides are up: " + ", ".join(f"{home} {len(services(side.tree()))} services" for home, side in sides.items()))
        load = Load(link.names[0], folder)
        phases(arguments.seconds, link, sides, load)
        load.stop()
        bad = report("all of it", load.results())
        finish(sides, bad, load)
    finally:
        for one in [load, *sides.values()]:
            if one and one.process and one.process.poll() is None:
                one.process.kill()


def phases(seconds, link, sides, load):
    private, public = sides["private"], sides["public"]
    seen = 0

    def phase(name, lasting):
        nonlocal seen
        began = time.time()
        time.sleep(lasting)
        # A job that loses both of its networks is rightly answered 502: one fault is over before the next one comes.
        within(120, "everybody who was hit is answered", lambda: load.all_answered_since(began))
        results = load.results()
        report(name, results[seen:])
        seen = len(results)

    phase("calm", 2 * seconds)
    link.cut()
    phase("the link is cut", seconds)
    link.mend()
    phase("the link is mended", seconds)
    for side in sides.values():
        kill(side, side.workers, "a worker")
    phase("a worker of each side was killed", seconds)
    kill(public, public.live, "the live service")
    phase("the public live service was killed", seconds)
    kill(private, private.live, "the live service")
    phase("the private live service was killed", seconds)
    # A killed sidecar takes its counters along.
    served = int(public.sum("adumbra_shadows_served_total"))
    orphans = services(public.tree())
    say(f"killing the public sidecar, which has {len(orphans)} processes and has served {served} shadows")
    if served == 0:
        fail("no shadow reached the public side")
    # `ip netns exec` has become the sidecar itself.
    os.kill(public.process.pid, signal.SIGKILL)
    public.process.wait(timeout=10)
    within(10, "what a killed sidecar started is gone", lambda: not any(Path(f"/proc/{pid}").exists() for pid in orphans))
    phase("the public sidecar was killed", seconds)
    public.start()
    phase("the public sidecar is back", seconds)


def kill(side, which, what):
    within(60, f"{side.home} has {what} to kill", which)
    pids = which() if isinstance(which(), list) else [which()]
    say(f"killing {what} of {side.home}")
    os.kill(pids[0], signal.SIGKILL)

    def replaced():
        now = which()
        now = now if isinstance(now, list) else [now]
        return bool(set(now) - set(pids) - {None})

    within(60, f"{side.home} has another of {what}", replaced)


def finish(sides, bad, load):
    private, public = sides["private"], sides["public"]
    count = lambda side, name, *parts: int(side.sum(name, *parts))
    started = count(private, "adumbra_shadows_started_total")
    adopted = count(private, "adumbra_shadows_ended_total", 'end="adopted"')
    say(f"private: {started} shadows started, {adopted} adopted, "
        f"{count(private, 'adumbra_failovers_total')} failovers, "
        f"{count(private, 'adumbra_dispatches_possibly_running_total')} possibly still running")
    say(f"public: served {count(public, 'adumbra_shadows_served_total')} shadows since it came back")
    if started == 0:
        fail("no shadow ran")
    left = {home: services(side.tree()) for home, side in sides.items()}
    for home, side in sides.items():
        os.kill(side.process.pid, signal.SIGTERM)
        code = side.process.wait(timeout=60)
        if code != 0:
            fail(f"the {home} sidecar ended with {code}")
        gone = lambda: not any(Path(f"/proc/{pid}").exists() for pid in left[home])
        within(10, f"nothing is left of the {home} side", gone)
    if bad:
        fail(f"{bad} answers were not right")
    say(f"every one of {len(load.results())} answers was right, and nothing is left")


if __name__ == "__main__":
    main()
