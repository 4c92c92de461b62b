#!/usr/bin/env python3
"""What operating a sidecar costs: how soon SIGTERM ends it, how long a scrape with 50 classes takes and what it does to jobs, and
how many requests fail while new binaries take over under 300 requests a second of new and kept connections.

Usage: benches/operate.py PROGRAM [UPGRADES]. Prints its figures as lines of a table; exits 1 if a budget is not kept.
"""

import asyncio
import http.server
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

PROGRAM = os.path.abspath(sys.argv[1])
UPGRADES = int(sys.argv[2]) if len(sys.argv) > 2 else 3
RATE, REQUESTS, CLASSES = 300, 3000, 50
TERM_MS, SCRAPE_MS = 100, 10
missed = []


def figure(name, value, budget=None, kept=True):
    print(f"| {name} | {value} | {budget or ''} |", flush=True)
    if not kept:
        missed.append(name)


class Service(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body in one piece.
    wbufsize = 1 << 16

    def do_GET(self):
        self.send_response(200)
        self.send_header("content-length", "4")
        self.end_headers()
        self.wfile.write(b"done")

    def log_message(self, *_):
        pass


def free():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


class Sidecar:
    def __init__(self, service):
        self.directory = tempfile.TemporaryDirectory()
        self.jobs, self.admin = free(), free()
        self.config = f"{self.directory.name}/adumbra.toml"
        with open(self.config, "w") as file:
            file.write(f"""home = "private"
listen.jobs = "127.0.0.1:{self.jobs}"
listen.admin = "127.0.0.1:{self.admin}"
state.directory = "{self.directory.name}/state"
networks.private.upstreams = ["http://127.0.0.1:{service}"]
[[routes]]
name = "jobs"
class_by = "header:x-class"
""")
        self.log = open(f"{self.directory.name}/log", "w+")
        self.process = subprocess.Popen([PROGRAM, "serve", "--config", self.config], stdout=subprocess.PIPE, stderr=self.log, text=True)
        while not self.process.stdout.readline().startswith("listening admin"):
            assert self.process.poll() is None, "the sidecar does not start"
        self.pid = self.process.pid

    def upgrade(self):
        """Waits until the new process serves, and returns which one that is."""
        before = self.said().count("another process serves")
        os.kill(self.pid, signal.SIGUSR2)
        while self.said().count("another process serves") == before:
            time.sleep(0.01)
        line = [line for line in self.said().splitlines() if "another process serves" in line][-1]
        old, self.pid = self.pid, int(line.split('"pid":')[1].split(",")[0].rstrip("}"))
        return old

    def said(self):
        with open(self.log.name) as log:
            return log.read()

    def get(self, path):
        with socket.create_connection(("127.0.0.1", self.admin)) as client:
            client.sendall(f"GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n".encode())
            answer = b""
            while piece := client.recv(1 << 16):
                answer += piece
            return answer

    def stop(self):
        for pid in {self.pid, self.process.pid}:
            try:
                os.kill(pid, signal.SIGTERM)
            except ProcessLookupError:
                pass
        self.process.wait()
        while os.path.exists(f"/proc/{self.pid}") and " Z " not in open(f"/proc/{self.pid}/stat").read():
            time.sleep(0.01)
        self.directory.cleanup()


REQUEST = "GET / HTTP/1.1\r\nhost: a\r\nx-class: c{}\r\nconnection: {}\r\n\r\n"


async def ask(connection, port, number, keep):
    """One request: seconds, and the connection if it can be used again. A failure is not tried again."""
    begun = time.perf_counter()
    reader, writer = connection or await asyncio.open_connection("127.0.0.1", port)
    writer.write(REQUEST.format(number % CLASSES, "keep-alive" if keep else "close").encode())
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200") and await reader.readexactly(4) == b"done", head
    took = time.perf_counter() - begun
    if keep and b"connection: close" not in head.lower():
        return took, (reader, writer)
    writer.close()
    return took, None


async def load(port, requests, meanwhile=None):
    """RATE requests a second, half over new connections and half over kept ones: seconds each took, and how many failed."""
    kept, took, failed, running = [], [], [], set()

    async def one(number):
        keep = number % 2 == 0
        connection = kept.pop() if keep and kept else None
        try:
            seconds, connection = await asyncio.wait_for(ask(connection, port, number, keep), 30)
            took.append(seconds)
            if connection:
                kept.append(connection)
        except (OSError, EOFError, AssertionError, asyncio.TimeoutError) as error:
            failed.append(repr(error))

    beside = asyncio.create_task(asyncio.to_thread(meanwhile)) if meanwhile else None
    begun = time.perf_counter()
    for number in range(requests):
        task = asyncio.create_task(one(number))
        running.add(task)
        task.add_done_callback(running.discard)
        await asyncio.sleep(max(0, begun + (number + 1) / RATE - time.perf_counter()))
    await asyncio.gather(*running)
    if beside:
        await beside
    for _, writer in kept:
        writer.close()
    return took, failed


def p99_ms(took):
    return 1000 * sorted(took)[int(0.99 * len(took))]


def terminate(service, answered, silent):
    """Milliseconds from SIGTERM to the exit, with so many connections that wait."""
    sidecar = Sidecar(service)
    clients = [socket.create_connection(("127.0.0.1", sidecar.jobs)) for _ in range(answered + silent)]
    for client in clients[:answered]:
        client.sendall(REQUEST.format(0, "keep-alive").encode())
        client.recv(4096)
    time.sleep(0.2)
    begun = time.perf_counter()
    sidecar.process.send_signal(signal.SIGTERM)
    code = sidecar.process.wait()
    took = 1000 * (time.perf_counter() - begun)
    assert code == 0, code
    sidecar.directory.cleanup()
    return took


def main():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Service)
    server.request_queue_size = 1024
    threading.Thread(target=server.serve_forever, daemon=True).start()
    service = server.server_address[1]
    for name, answered, silent in [("nothing is open", 0, 0), ("20 kept connections wait", 20, 0), ("20 connections never spoke", 0, 20)]:
        times = sorted(terminate(service, answered, silent) for _ in range(15))
        figure(f"SIGTERM to exit, ms, {name}: median (worst of 15)", f"{statistics.median(times):.1f} ({times[-1]:.1f})", f"< {TERM_MS}", times[-1] < TERM_MS)

    sidecar = Sidecar(service)
    asyncio.run(load(sidecar.jobs, 600))
    scrapes = []
    for _ in range(200):
        begun = time.perf_counter()
        text = sidecar.get("/metrics")
        scrapes.append(1000 * (time.perf_counter() - begun))
    figure(f"a scrape, {CLASSES} classes, {len(text) // 1024} KiB, ms: median (p99)", f"{statistics.median(scrapes):.2f} ({sorted(scrapes)[197]:.2f})", f"≤ {SCRAPE_MS}", statistics.median(scrapes) <= SCRAPE_MS)
    calm, _ = asyncio.run(load(sidecar.jobs, REQUESTS))
    end = threading.Event()
    watch = threading.Thread(target=lambda: [sidecar.get("/metrics") for _ in iter(lambda: end.wait(0.2), True)])
    watch.start()
    scraped, _ = asyncio.run(load(sidecar.jobs, REQUESTS))
    end.set()
    watch.join()
    figure(f"p99 of jobs at {RATE}/s, ms, unscraped and scraped 5 times a second", f"{p99_ms(calm):.1f} and {p99_ms(scraped):.1f}")

    olds = []

    def upgrades():
        for _ in range(UPGRADES):
            time.sleep(REQUESTS / RATE / (UPGRADES + 1))
            olds.append(sidecar.upgrade())

    took, failed = asyncio.run(load(sidecar.jobs, REQUESTS, upgrades))
    figure(f"{UPGRADES} upgrades under {RATE}/s: failed of {REQUESTS}", len(failed), "0", not failed)
    figure("p99 of jobs meanwhile, ms (worst)", f"{p99_ms(took):.1f} ({1000 * max(took):.1f})")
    for error in sorted(set(failed)):
        print(error, file=sys.stderr)
    sidecar.stop()
    if missed:
        sys.exit(f"over budget: {', '.join(missed)}")


main()
