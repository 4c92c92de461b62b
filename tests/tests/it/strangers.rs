//! In front of a Debian nginx and a Python service, neither of which knows adumbra, and driven by programs of others.

mod hostile;
mod tools;

use tests::stranger::{Nginx, Python};
use tests::{Binary, Setup};

const ON: &str = "shadow = \"on\"\nrepeatable = true";

/// A service on the standard library: it answers with its name, or with the length and digest of what it was sent.
const SERVICE: &str = r#"
import hashlib, http.server
class Service(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def body(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                yield self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            yield self.rfile.read(int(self.headers.get("Content-Length", 0)))
    def do_GET(self):
        self.say(b"python\n")
    def do_POST(self):
        digest, length = hashlib.sha256(), 0
        for piece in self.body():
            digest.update(piece)
            length += len(piece)
        self.say(f"{length} {digest.hexdigest()}\n".encode())
    do_PUT = do_POST
    def say(self, text):
        # In one write, so that a service that is killed has sent all of an answer or nothing.
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text))
    def log_message(self, *_):
        pass
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
server = Server(("127.0.0.1", 0), Service)
print(server.server_port)
server.serve_forever()
"#;

fn file(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|n| (n.wrapping_mul(2_654_435_761) >> 9) as u8).collect()
}

fn digest(bytes: &[u8]) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// nginx at home, with a small file and a large one, the Python service on the other network, and half of all jobs
/// shadowed there. Paths below `/python` only go to the second.
async fn two_strangers() -> (Nginx, Python, Binary) {
    let nginx = Nginx::serving(&[("small", b"nginx\n"), ("large", &file(3_000_000))]).await;
    let python = Python::start(SERVICE).await;
    let setup = Setup::two(nginx.url(), python.url())
        .set("shadow.sample_share", "0.5")
        .route("name = \"python\"\nmatch = { path = \"/python*\" }\nresidency = [\"public\"]")
        .every(ON);
    let binary = Binary::start(setup).await;
    (nginx, python, binary)
}
