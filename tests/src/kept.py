# A service for tests of `adumbra run`: kept.py PORT NAME DIRECTORY. What it does is told, and told of, by files.
import os
import signal
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

port, name, directory = int(sys.argv[1]), sys.argv[2], sys.argv[3]


def said(word):
    os.write(1, f"{name} {os.getpid()} {word}\n".encode())


def ended(*_):
    said("told to end")
    os._exit(0)


def reloaded(*_):
    said("told to reload")


def there(key):
    return os.path.exists(os.path.join(directory, key))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, body, status=200, location=None):
        self.send_response(status)
        if location:
            self.send_header("location", location)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def wait(self, key, burn):
        """Until the test lets it go on; shows the progress that the test tells it to."""
        with open(os.path.join(directory, f"{key}.{name}.{os.getpid()}"), "w"):
            pass
        shown = None
        while not there(f"{key}.go") and not there(f"{key}.{name}.go"):
            if burn:
                for _ in range(20000):
                    pass
            else:
                time.sleep(0.005)
            try:
                with open(os.path.join(directory, f"{key}.{name}.progress")) as file:
                    share = file.read().strip()
            except FileNotFoundError:
                continue
            if share and share != shown:
                shown = share
                self.wfile.write(f"HTTP/1.1 102 Processing\r\nadumbra-progress: {share}\r\n\r\n".encode())
                self.wfile.flush()

    def do_GET(self):
        what, _, rest = self.path.strip("/").partition("/")
        if what == "eat":
            eaten = bytearray(int(rest) << 20)
            for at in range(0, len(eaten), 4096):
                eaten[at] = 1
        elif what in ("hold", "burn"):
            self.wait(rest, what == "burn")
        elif what == "large":
            key, _, length = rest.partition("/")
            self.wait(key, False)
            return self.answer(b"x" * int(length))
        elif what == "later":
            self.wait(rest, False)
            return self.answer(b"", 202, f"/jobs/{rest}")
        elif what == "fork":
            # In the background, and in a session of its own.
            child = subprocess.Popen(["sleep", "600"], start_new_session=True)
            return self.answer(str(child.pid).encode())
        elif what == "finish":
            # In the background, and told to end it has something to finish first.
            script = 'trap "sleep 0.3; : > $0.done; exit" TERM; : > $0.ready; while :; do sleep 0.05; done'
            at = os.path.join(directory, rest)
            subprocess.Popen(["sh", "-c", script, at], start_new_session=rest == "apart")
            while not there(f"{rest}.ready"):
                time.sleep(0.005)
        elif what == "die":
            os._exit(int(rest))
        self.answer(f"{name} {os.getpid()}".encode())


if there("refuse-to-start"):
    sys.exit(3)
signal.signal(signal.SIGTERM, ended)
signal.signal(signal.SIGHUP, reloaded)
server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
server.daemon_threads = True
said("up")
server.serve_forever()
