#!/usr/bin/env python3
"""Transcodes videos with ffmpeg, over HTTP, and says how far each job is.

    POST /transcode          a video in the body; answers with it as H.264 in MP4
    GET  /progress/ID        how far the job called ID is, as JSON: {"progress": 0.37}
    GET  /healthz            204

A job is called what its request says in `adumbra-dispatch`, which adumbra sets where the route names a counter. How far a
job is comes from ffmpeg's own `-progress` output: the time stamp it has come to, over the duration of the input. With
`--interim` the same is also said unasked, by `102` answers on the job's own connection.

A client that goes away takes its ffmpeg along: so a shadow that adumbra gives up costs nothing any more.

Only Python's standard library, ffmpeg and ffprobe are needed.
"""

import argparse
import json
import pathlib
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PIECE = 1 << 16


class Transcodes:
    """The jobs that run now, and how far each is."""

    def __init__(self, at_once):
        self.slots = threading.BoundedSemaphore(at_once)
        self.lock = threading.Lock()
        self.shares = {}

    def shows(self, name, share):
        with self.lock:
            self.shares[name] = share

    def over(self, name):
        with self.lock:
            self.shares.pop(name, None)

    def share(self, name):
        with self.lock:
            return self.shares.get(name)


class Refused(Exception):
    """What was asked cannot be done: a status, and why."""

    def __init__(self, status, why):
        super().__init__(why)
        self.status = status


class Gone(Exception):
    """Nobody waits for the answer any more."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/healthz":
            self.reply(204, b"", "text/plain")
        elif self.path.startswith("/progress/"):
            share = self.server.transcodes.share(self.path.removeprefix("/progress/"))
            if share is None:
                self.reply(404, b'{"progress": null}', "application/json")
            else:
                self.reply(200, json.dumps({"progress": share}).encode(), "application/json")
        else:
            self.reply(404, b"there is nothing here\n", "text/plain")

    def do_POST(self):
        # One job a connection: whoever closes it has given the job up.
        self.close_connection = True
        if self.path.split("?")[0] != "/transcode":
            return self.reply(404, b"POST a video to /transcode\n", "text/plain")
        transcodes, name = self.server.transcodes, self.headers.get("adumbra-dispatch")
        try:
            with tempfile.TemporaryDirectory(prefix="transcode-") as directory:
                before, after = pathlib.Path(directory, "in"), pathlib.Path(directory, "out.mp4")
                with before.open("wb") as file:
                    self.read_body(file)
                duration_s = seconds_of(before)
                self.wait_for_slot()
                try:
                    self.transcode(name, before, after, duration_s)
                finally:
                    transcodes.slots.release()
                    transcodes.over(name)
                self.reply(200, after.read_bytes(), "video/mp4")
        except Refused as refused:
            self.reply(refused.status, f"{refused}\n".encode(), "text/plain")
        except (Gone, ConnectionError):
            pass

    def wait_for_slot(self):
        while not self.server.transcodes.slots.acquire(timeout=0.1):
            if self.is_gone():
                raise Gone

    def transcode(self, name, before, after, duration_s):
        options = self.server.options
        command = ["ffmpeg", "-nostdin", "-hide_banner", "-loglevel", "error", "-progress", "pipe:1"]
        command += ["-stats_period", "0.1", "-i", before, "-threads", str(options.threads)]
        command += ["-c:v", "libx264", "-preset", options.preset, "-movflags", "+faststart", "-y", after]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as ffmpeg:
            try:
                for line in ffmpeg.stdout:
                    key, _, value = line.strip().partition("=")
                    if key == "out_time_us" and value.lstrip("-").isdigit():
                        share = min(max(int(value) / 1e6 / duration_s, 0.0), 1.0)
                        self.show(name, share)
                    if self.is_gone():
                        raise Gone
            except BaseException:
                ffmpeg.kill()
                raise
            told = ffmpeg.stderr.read()
        if ffmpeg.returncode != 0:
            raise Refused(422, f"ffmpeg cannot transcode this: {told.strip()[-500:]}")

    def show(self, name, share):
        if name is None:
            return
        self.server.transcodes.shows(name, share)
        if self.server.options.interim:
            self.wfile.write(f"HTTP/1.1 102 Processing\r\nadumbra-progress: {share:.4f}\r\n\r\n".encode())
            self.wfile.flush()

    def is_gone(self):
        """Whether the client has closed the connection."""
        readable, _, _ = select.select([self.connection], [], [], 0)
        return bool(readable) and self.connection.recv(1, socket.MSG_PEEK) == b""

    def read_body(self, file):
        left = self.server.options.largest
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            while (length := int(self.rfile.readline().split(b";")[0], 16)) > 0:
                left = self.copy(file, length, left)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
        else:
            self.copy(file, int(self.headers.get("content-length", 0)), left)

    def copy(self, file, length, left):
        if length > left:
            raise Refused(413, "the video is too large; see --largest")
        left -= length
        while length > 0:
            piece = self.rfile.read(min(length, PIECE))
            if not piece:
                raise Gone
            file.write(piece)
            length -= len(piece)
        return left

    def reply(self, status, body, kind):
        self.send_response(status)
        self.send_header("content-type", kind)
        if status != 204:
            self.send_header("content-length", str(len(body)))
        if self.close_connection:
            self.send_header("connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_arguments):
        pass


def seconds_of(file):
    """The duration of a video."""
    command = ["ffprobe", "-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", file]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        seconds = float(said.stdout)
    except ValueError:
        raise Refused(422, "ffprobe does not see how long this is; is it a video?") from None
    if seconds <= 0.0:
        raise Refused(422, "this video has no duration")
    return seconds


class Server(ThreadingHTTPServer):
    daemon_threads = True


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=3000, help="0 for any that is free; it is printed")
    parser.add_argument("--slots", type=int, default=2, help="videos transcoded at once")
    parser.add_argument("--preset", default="medium", help="of libx264")
    parser.add_argument("--threads", type=int, default=0, help="of one ffmpeg; 0: as many as there are cores")
    parser.add_argument("--largest", type=int, default=1 << 30, help="bytes of a video at the most")
    parser.add_argument("--interim", action="store_true", help="say progress by 102 answers, too")
    options = parser.parse_args()
    server = Server(("127.0.0.1", options.port), Handler)
    server.options, server.transcodes = options, Transcodes(options.slots)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
