#!/usr/bin/env python3
"""Services that know nothing of adumbra, intercepted in network namespaces of their own.

Three namespaces: a client; a host with a Debian nginx, Python's http.server, a server that speaks first, an echo, and the
sidecar; and a second network with a service and an origin. Every check is made with rules by nftables and by iptables,
over IPv4 and IPv6. Rules of others are there before, and must be there after, to the letter.

Everything it starts, it ends; it touches no other namespace.
"""

import argparse
import contextlib
import ctypes
import hashlib
import http.client
import http.server
import os
import signal
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

LIBC = ctypes.CDLL(None, use_errno=True)
CLIENT, HOST, AWAY = (f"adumbra-{os.getpid()}-{name}" for name in ("client", "host", "away"))
HOST4, HOST6, AWAY4 = "10.77.0.2", "fd77::2", "10.78.0.2"
CLIENT4 = "10.77.0.1"
# The sidecar's user: nobody else in the namespace has it.
USER = 61337
DEADLINE_S = 60

CONFIG = """
home = "private"
workers = 1
drain = "2s"
[listen]
jobs = "0.0.0.0:8080"
admin = "127.0.0.1:9900"
[listen.intercept]
inbound = "[::]:15006"
outbound = "[::]:15001"
outbound_ports = [8088, 8089, 2222]
{exempt}
fail = "{fail}"
silence = "{silence}"
[networks.private]
upstreams = ["http://127.0.0.1:80", "http://127.0.0.1:8000"]
[networks.public]
upstreams = ["http://{away}:8088"]
[[routes]]
name = "burst"
match = {{ path = "/burst" }}
residency = ["public"]
[data]
origins = ["http://{away}:8088"]
"""

NGINX = """
daemon off; worker_processes 1; worker_rlimit_nofile 4096; pid {folder}/nginx.pid; error_log {folder}/nginx.error;
events {{ }}
http {{ access_log off; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
server {{ listen 80; listen [::]:80; location / {{ return 200 "nginx $request_uri\\n"; }} }} }}
"""


def ran(*command, check=True):
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert not check or done.returncode == 0, f"{command}: {done.returncode} {done.stdout}{done.stderr}"
    return done


def within(namespace, *command, **kwargs):
    return ran("ip", "netns", "exec", namespace, *command, **kwargs)


@contextlib.contextmanager
def inside(namespace):
    """This thread's new sockets are of `namespace`."""
    with open("/proc/thread-self/ns/net", encoding="ascii") as home, open(f"/run/netns/{namespace}", encoding="ascii") as there:
        assert LIBC.setns(there.fileno(), 0x40000000) == 0, os.strerror(ctypes.get_errno())
        try:
            yield
        finally:
            assert LIBC.setns(home.fileno(), 0x40000000) == 0


def eventually(what, holds):
    ends = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < ends, f"never: {what}"
        time.sleep(0.02)


def dial(namespace, address, port):
    with inside(namespace):
        sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    sock.settimeout(DEADLINE_S)
    sock.connect((address, port))
    return sock


def get(namespace, address, port, path, sock=None):
    """Status, headers and text of one answer."""
    connection = http.client.HTTPConnection(address, port)
    connection.sock = sock or dial(namespace, address, port)
    connection.request("GET", path)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, answer.headers, text


def serve(namespace, port, handle):
    """A TCP server of either family, a thread for each connection; `handle` gets the socket and the peer's address."""
    with inside(namespace):
        listener = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)

    def each(sock, peer):
        with sock, contextlib.suppress(OSError):
            handle(sock, peer[0].removeprefix("::ffff:"))

    def accept():
        while True:
            threading.Thread(target=each, args=listener.accept(), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


def banner(sock, peer):
    sock.sendall(f"SSH-2.0-you-are-{peer}\r\n".encode())
    while data := sock.recv(4096):
        sock.sendall(data)


def echo(sock, _peer):
    whole = b""
    while data := sock.recv(65536):
        whole += data
    # Only after the other side's end: half-closed connections must pass, too.
    sock.sendall(whole)


class Origin(http.server.BaseHTTPRequestHandler):
    asked: list = []
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        Origin.asked.append(self.path)
        body = f"away {self.path}".encode()
        self.send_response(200)
        self.send_header("Cache-Control", "max-age=600")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args):
        pass


def http_server(namespace, address, port):
    with inside(namespace):
        server = http.server.ThreadingHTTPServer((address, port), Origin)
    threading.Thread(target=server.serve_forever, daemon=True).start()


def link(one, other, name, addresses):
    ran("ip", "link", "add", f"{name}a", "netns", one, "type", "veth", "peer", "name", f"{name}b", "netns", other)
    for namespace, end, own in ((one, f"{name}a", addresses[0]), (other, f"{name}b", addresses[1])):
        for address in own:
            family = ["-6"] if ":" in address else []
            within(namespace, "ip", *family, "addr", "add", address, "dev", end, *(["nodad"] if family else []))
        within(namespace, "ip", "link", "set", end, "up")


class Stage:
    def __init__(self, adumbra, folder):
        self.adumbra, self.folder, self.children, self.sidecar = adumbra, folder, [], None
        for namespace in (CLIENT, HOST, AWAY):
            ran("ip", "netns", "add", namespace)
            within(namespace, "ip", "link", "set", "lo", "up")
        link(CLIENT, HOST, "c", (["10.77.0.1/24", "fd77::1/64"], ["10.77.0.2/24", "fd77::2/64"]))
        link(HOST, AWAY, "w", (["10.78.0.1/24"], ["10.78.0.2/24"]))
        (folder / "nginx.conf").write_text(NGINX.format(folder=folder))
        self.start("nginx", "-c", str(folder / "nginx.conf"))
        (folder / "www").mkdir()
        (folder / "www" / "file").write_text("from python")
        self.start("python3", "-m", "http.server", "--bind", "::", "--directory", str(folder / "www"), "8000")
        for port, handle in ((2222, banner), (22, banner), (7000, echo)):
            serve(HOST, port, handle)
        serve(AWAY, 2222, banner)
        http_server(AWAY, AWAY4, 8088)
        http_server(AWAY, AWAY4, 8089)
        for port in (80, 8000):
            eventually(f"a service at {port}", lambda port=port: answers(port))

    def start(self, *command):
        child = subprocess.Popen(["ip", "netns", "exec", HOST, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.children.append(child)
        return child

    def config(self, fail="closed", silence="100ms", exempt=f"user = {USER}"):
        path = self.folder / "adumbra.toml"
        path.write_text(CONFIG.format(exempt=exempt, fail=fail, silence=silence, away=AWAY4))
        return str(path)

    def serve(self, user=USER, **config):
        as_user = ["setpriv", "--reuid", str(user), "--regid", str(user), "--clear-groups"]
        self.sidecar = self.start(*as_user, str(self.adumbra), "serve", "--config", self.config(**config))
        eventually("the sidecar is ready", self.is_ready)

    def is_ready(self):
        with contextlib.suppress(OSError):
            return get(HOST, "127.0.0.1", 9900, "/readyz")[0] == 200
        return False

    def kill(self):
        self.sidecar.send_signal(signal.SIGKILL)
        self.sidecar.wait()

    def intercept(self, *arguments, check=True):
        return within(HOST, str(self.adumbra), "intercept", *arguments, check=check)

    def up(self, backend):
        return self.intercept("up", "--config", str(self.folder / "adumbra.toml"), "--backend", backend)

    def status(self):
        return self.intercept("status", "--config", str(self.folder / "adumbra.toml"), check=False)

    def counted(self, direction, became):
        _, _, text = get(HOST, "127.0.0.1", 9900, "/metrics")
        wanted = f'adumbra_intercepted_total{{direction="{direction}",became="{became}"}} '
        return int(next(line.removeprefix(wanted) for line in text.splitlines() if line.startswith(wanted)))

    def end(self):
        for child in self.children:
            # Told, not killed: nginx has workers, and they end with it.
            child.terminate()
        for child in self.children:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(DEADLINE_S)
            child.kill()
            child.wait()
        for namespace in (CLIENT, HOST, AWAY):
            ran("ip", "netns", "del", namespace, check=False)


def answers(port):
    with contextlib.suppress(OSError):
        return get(HOST, "127.0.0.1", port, "/file")[0] == 200
    return False


def rules():
    return within(HOST, "nft", "list", "ruleset").stdout


@contextlib.contextmanager
def counts(stage, direction, became, by=1):
    before = stage.counted(direction, became)
    yield
    eventually(f"{direction} {became} counted", lambda: stage.counted(direction, became) == before + by)


def http_is_decided(stage, address):
    with counts(stage, "inbound", "served", 20):
        for _ in range(10):
            status, headers, text = get(CLIENT, address, 80, "/a")
            assert (status, text) == (200, "nginx /a\n"), (status, text)
            assert "adumbra-decision" in headers or "adumbra" in headers.get("Via", ""), headers.items()
            assert get(CLIENT, address, 8000, "/file")[2] == "from python", "where its client wanted to go"
    status, _, text = get(CLIENT, address, 80, "/burst")
    assert (status, text) == (200, "away /burst"), "transferred to the second network"


def all_else_passes(stage, address):
    with counts(stage, "inbound", "silent"):
        sock = dial(CLIENT, address, 2222)
        assert sock.recv(100).startswith(b"SSH-2.0-you-are-")
        sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert sock.recv(100) == b"GET / HTTP/1.1\r\n\r\n", "what began as something else stays so"
        sock.close()
    with counts(stage, "inbound", "slow"):
        sock = dial(CLIENT, address, 2222)
        sock.sendall(b"PING")
        said = b""
        while not said.endswith(b"PING"):
            said += sock.recv(100) or b"PING ended early"
        assert said.startswith(b"SSH-2.0-you-are-") and said.endswith(b"\r\nPING"), said
        sock.close()
    sent = b"\x16\x03\x01" + os.urandom(1 << 20)
    with counts(stage, "inbound", "not_http"):
        sock = dial(CLIENT, address, 7000)
        threading.Thread(target=lambda: (sock.sendall(sent), sock.shutdown(socket.SHUT_WR)), daemon=True).start()
        back = b""
        while data := sock.recv(1 << 16):
            back += data
        assert hashlib.sha256(back).digest() == hashlib.sha256(sent).digest(), f"{len(back)} of {len(sent)}"
        sock.close()
    with counts(stage, "inbound", "unreachable"):
        assert is_reset(address, 9), "nobody is there, and its client is told so"
    with counts(stage, "inbound", "direct"):
        assert is_reset(address, 15006), "no rule has brought it there"
    served = stage.counted("inbound", "served")
    before = connections_to(80)
    sock = dial(CLIENT, address, 80)
    # An early connection: by now it has been silent for far longer than the sidecar waits.
    eventually("the service is connected to", lambda: connections_to(80) > before)
    assert get(CLIENT, address, 80, "/early", sock)[2] == "nginx /early\n"
    eventually("it was served", lambda: stage.counted("inbound", "served") == served + 1)


def connections_to(port):
    return within(HOST, "ss", "-Htn", "state", "established", f"( dport = :{port} )").stdout.count("\n")


def is_reset(address, port):
    """Whether a connection there ends as a reset: right when it is made, or when something is sent or read."""
    try:
        with dial(CLIENT, address, port) as sock:
            sock.sendall(b"\0")
            sock.recv(1)
            return False
    except ConnectionResetError:
        return True


def exceptions_hold(stage):
    sock = dial(CLIENT, HOST4, 22)
    assert sock.recv(100) == f"SSH-2.0-you-are-{CLIENT4}\r\n".encode(), "port 22 sees its client itself"
    sock.close()
    assert get(CLIENT, HOST4, 8080, "/jobs")[0] == 200, "the listener for jobs is still reached"
    # Somebody else's rule that brings one of our own listeners' connections to us: round and round it would go.
    chain = "{ chain c { type nat hook prerouting priority -150; tcp dport 8080 redirect to :15006; }; }"
    within(HOST, "nft", "add", "table", "inet", "circle", chain)
    with counts(stage, "inbound", "loop"):
        assert is_reset(HOST4, 8080)
    within(HOST, "nft", "delete", "table", "inet", "circle")


def fetches_are_taken_in(stage, name):
    Origin.asked.clear()
    with counts(stage, "outbound", "served", 2):
        first, second = (get(HOST, AWAY4, 8088, f"/input-{name}") for _ in range(2))
        assert [a[2] for a in (first, second)] == [f"away /input-{name}"] * 2
        assert (first[1]["adumbra-cache"], second[1]["adumbra-cache"]) == ("miss", "hit")
    assert Origin.asked == [f"/input-{name}"], "the second was here"
    with counts(stage, "outbound", "not_ours"):
        status, headers, text = get(HOST, AWAY4, 8089, "/else")
        assert (status, text, headers["adumbra-cache"]) == (200, "away /else", None)
    with counts(stage, "outbound", "silent"):
        sock = dial(HOST, AWAY4, 2222)
        assert sock.recv(100).startswith(b"SSH-2.0-you-are-")
        sock.close()


def everything(stage, backend):
    before = rules()
    stage.serve()
    # As many at once as like: one set of rules comes of it.
    ups = [threading.Thread(target=stage.up, args=(backend,)) for _ in range(6)]
    for thread in ups:
        thread.start()
    for thread in ups:
        thread.join()
    one = rules()
    stage.up(backend)
    assert uncounted(rules()) == uncounted(one), "to put it up again changes nothing"
    assert rules().count("adumbra-1-") + within(HOST, "iptables-save").stdout.count("adumbra-1-") in (1, 2)
    status = stage.status()
    assert status.returncode == 0 and f"{backend}: up, as the configuration wants" in status.stdout, status
    for address in (HOST4, HOST6):
        http_is_decided(stage, address)
        all_else_passes(stage, address)
    exceptions_hold(stage)
    fetches_are_taken_in(stage, backend)
    print(f"  {backend}: decided, passed, excepted, fetched", flush=True)

    stage.kill()
    for address in (HOST4, HOST6):
        try:
            dial(CLIENT, address, 80)
            raise AssertionError("a sidecar that is gone lets nothing past")
        except ConnectionRefusedError:
            pass
    stage.serve()
    assert get(CLIENT, HOST4, 80, "/again")[2] == "nginx /again\n"
    stage.kill()
    stage.intercept("down")
    stage.intercept("down")
    assert get(CLIENT, HOST6, 80, "/down")[2] == "nginx /down\n"
    assert without_empty(rules()) == without_empty(before), f"{before}\n---\n{rules()}"
    assert stage.status().returncode == 1
    print(f"  {backend}: closed when killed, and down leaves what was", flush=True)


def known_by_its_mark(stage, backend):
    """The sidecar is the same user as the service: only the mark tells their connections apart."""
    before = rules()
    stage.serve(user=0, exempt="mark = 77")
    stage.up(backend)
    fetches_are_taken_in(stage, f"marked-{backend}")
    stage.kill()
    stage.intercept("down")
    assert without_empty(rules()) == without_empty(before)
    # As another user than it says, its own connections would come back to it: it does not start.
    mistaken = within(HOST, str(stage.adumbra), "serve", "--config", stage.config(), check=False)
    assert mistaken.returncode == 1 and "listen.intercept.user" in mistaken.stderr, mistaken
    print(f"  {backend}: known by its mark", flush=True)


def open_when_killed(stage, backend):
    before = rules()
    stage.serve(fail="open")
    refused = stage.intercept("up", "--once", "--config", str(stage.folder / "adumbra.toml"), check=False)
    assert refused.returncode == 1 and "watch" in refused.stderr and rules() == before, refused
    config = str(stage.folder / "adumbra.toml")
    watch = stage.start(str(stage.adumbra), "intercept", "watch", "--config", config, "--backend", backend)
    for round_ in range(2):
        eventually("rules are up", lambda: stage.status().returncode == 0)
        with counts(stage, "inbound", "served"):
            assert get(CLIENT, HOST4, 80, "/watched")[2] == "nginx /watched\n"
        stage.kill()
        eventually("rules are gone", lambda: stage.status().returncode == 1)
        assert get(CLIENT, HOST4, 80, "/open")[2] == "nginx /open\n", "there is no sidecar, and the service is reached"
        assert without_empty(rules()) == without_empty(before)
        if round_ == 0:
            stage.serve(fail="open")
    stage.serve(fail="open")
    eventually("rules are up", lambda: stage.status().returncode == 0)
    # `ip netns exec` becomes the command, so this is the watch itself.
    watch.terminate()
    watch.wait(DEADLINE_S)
    assert without_empty(rules()) == without_empty(before), "who watches leaves nothing behind"
    stage.kill()
    print(f"  {backend}: open when killed", flush=True)


def uncounted(text):
    return " ".join(word for word in text.split() if not word.isdigit())


def without_empty(text):
    """Rules, without the empty chains that iptables leaves where it has ever been."""
    kept, chain = [], []
    for line in text.splitlines():
        if line.startswith("table ") or line == "}" or line.strip().startswith("#"):
            continue
        chain.append(line.strip())
        if line.strip() == "}":
            kept += chain if any(not l.startswith(("chain", "type", "}")) and l for l in chain) else []
            chain = []
    return kept


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--adumbra", type=Path, required=True)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        stage = None
        try:
            stage = Stage(arguments.adumbra, Path(folder))
            # Others' rules, by both means.
            within(HOST, "nft", "add", "table", "inet", "theirs", "{ chain c { type filter hook input priority 0; tcp dport 999 drop; }; }")
            for program in ("iptables", "ip6tables"):
                within(HOST, program, "-t", "nat", "-A", "PREROUTING", "-p", "tcp", "--dport", "998", "-j", "REDIRECT", "--to-ports", "80")
            for backend in ("nftables", "iptables"):
                everything(stage, backend)
                known_by_its_mark(stage, backend)
                open_when_killed(stage, backend)
            print("intercept: all held", flush=True)
        finally:
            if stage:
                stage.end()
            else:
                for namespace in (CLIENT, HOST, AWAY):
                    ran("ip", "netns", "del", namespace, check=False)


if __name__ == "__main__":
    main()
