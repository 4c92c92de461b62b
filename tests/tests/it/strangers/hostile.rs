//! Services that die, stop, lie or never end.

use rustix::process::Signal;
use tests::stranger::{Python, program, run};
use tests::{Binary, Raw, Setup, eventually};

use super::{ON, SERVICE};

/// Two services; `private` is the given one and answers, while it can, before `public` is asked.
async fn before_a_sound_one(private: &Python, keys: &[(&str, &str)], route: &str) -> (Python, Binary) {
    let public = Python::start(SERVICE).await;
    let setup = Setup::two(private.url(), public.url());
    let setup = keys.iter().fold(setup, |setup, (key, value)| setup.set(key, value));
    let binary = Binary::start(setup.every(route)).await;
    (public, binary)
}

async fn asked(binary: &Binary) -> (u16, String) {
    let answer = Raw::ask(binary.jobs(), "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    let network = answer
        .values("adumbra-decision")
        .first()
        .map_or_else(String::new, |decision| decision.split(';').next().unwrap_or_default().to_owned());
    (answer.status, network)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_repeatable_job_fails_when_a_service_is_killed_under_load() {
    let private = Python::start(SERVICE).await;
    let (_public, binary) =
        before_a_sound_one(&private, &[("networks.private.health", r#"{ failures = 3, open_for = "1h" }"#)], ON).await;
    let to = binary.jobs();
    let load = (0..8).map(|_| {
        tokio::spawn(async move {
            let mut client = Raw::connect(to).await;
            let mut networks = Vec::new();
            // Until it has been answered from the other network for a while.
            while networks.iter().filter(|network| *network == "public").count() < 20 {
                client.write("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
                let answer = client.answer().await;
                assert_eq!((answer.status, answer.text().as_str()), (200, "python\n"), "{:?}", answer.fields);
                networks.push(answer.decision().network);
            }
            networks
        })
    });
    let load: Vec<_> = load.collect();
    let answered = r#"adumbra_jobs_total{network="private",outcome="answered"}"#;
    eventually("the load is on", async || binary.metric(answered).await >= 50.0).await;
    private.signal(Signal::KILL);
    for client in load {
        let networks = client.await.expect("no job fails");
        let moved = networks.iter().position(|network| network == "public").expect("it ends there");
        assert!(networks[moved..].iter().all(|network| network == "public"), "once moved, jobs stay: {networks:?}");
    }
    assert!(binary.metric(r#"adumbra_failovers_total{network="private"}"#).await >= 1.0);
    assert_eq!(binary.metric(r#"adumbra_network_healthy{network="private"}"#).await, 0.0);
}

#[tokio::test]
async fn a_stopped_service_is_left_after_its_head_timeout_and_taken_back_when_it_goes_on() {
    let private = Python::start(SERVICE).await;
    let keys = [
        ("networks.private.timeouts", r#"{ head = "300ms" }"#),
        ("networks.private.health", r#"{ failures = 1, open_for = "200ms" }"#),
    ];
    let (_public, binary) = before_a_sound_one(&private, &keys, ON).await;
    assert_eq!(asked(&binary).await, (200, "private".into()));
    private.signal(Signal::STOP);
    for _ in 0..5 {
        assert_eq!(asked(&binary).await, (200, "public".into()));
    }
    assert!(binary.metric(r#"adumbra_failovers_total{network="private"}"#).await >= 1.0);
    private.signal(Signal::CONT);
    eventually("it is taken back", async || asked(&binary).await == (200, "private".into())).await;
}

/// A service that answers every connection with `$ANSWER`, and says so.
fn answering(answer: &str) -> String {
    format!(
        r#"
import socket
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1])
while True:
    connection, _ = listener.accept()
    connection.recv(65536)
    connection.sendall({answer})
    connection.close()
"#
    )
}

#[tokio::test]
async fn garbage_is_answered_502_or_by_the_next_network() {
    for garbage in [
        r#"b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 100"#,
        r#"b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello""#,
        r#"b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 100000 + b"\r\n""#,
        r#"b"hello\r\n\r\n""#,
        r#"b"HTTP/1.1 9999 What\r\n\r\n""#,
        r#"b"""#,
    ] {
        let private = Python::start(&answering(garbage)).await;
        let (_public, binary) = before_a_sound_one(&private, &[], "shadow = \"on\"").await;
        let once = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi";
        let answer = Raw::ask(binary.jobs(), once).await;
        assert_eq!(answer.status, 502, "{garbage}: {}", answer.text());
        assert_eq!(answer.field("content-type"), "application/problem+json");
        assert_eq!(asked(&binary).await, (200, "public".into()), "{garbage}");
    }
}

/// Sends chunks without end, and says when its client has gone; for `/full`, also when nobody has read for a while.
const ENDLESS: &str = r#"
import socket, threading
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1])
def serve(connection):
    if connection.recv(65536).startswith(b"GET /full "):
        connection.settimeout(0.5)
    try:
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            connection.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")
    except TimeoutError:
        print("full")
        connection.settimeout(None)
        try:
            connection.recv(1)
        except OSError:
            pass
        print("gone")
    except OSError:
        print("gone")
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"#;

#[tokio::test]
async fn an_answer_that_never_ends_ends_with_its_client_and_takes_no_memory() {
    let mut endless = Python::start(ENDLESS).await;
    let binary = Binary::start(Setup::alone(endless.url())).await;
    for (number, version) in ["--http1.1", "--http2-prior-knowledge"].into_iter().enumerate() {
        let url = format!("http://{}/", binary.jobs());
        let arguments = ["--silent", version, "--max-time", "1", "--output", "/dev/null", &url];
        let output = run(program("curl").args(arguments)).await;
        assert_eq!(output.status.code(), Some(28), "curl gives up, and only for lack of time");
        assert_eq!(endless.says().await, "gone");
        let gone = r#"adumbra_jobs_total{network="private",outcome="client_gone"}"#;
        let expected = (number + 1) as f64;
        eventually("the job is over", async || binary.metric(gone).await == expected).await;
    }
    // A client that does not read stops the service, too: what is between them is bounded.
    let mut idle = Raw::connect(binary.jobs()).await;
    idle.write("GET /full HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert_eq!(endless.says().await, "full");
    drop(idle);
    assert_eq!(endless.says().await, "gone");
    assert!(binary.peak_bytes() < 64 << 20, "{} MiB were resident", binary.peak_bytes() >> 20);
}
