//! `adumbra run`: the service is kept, shadows run on workers that are really capped, and nothing is left behind.

mod adoption;
mod running;
mod workers;

use rustix::process::Pid;
use tests::{Answer, Kept, Raw, Setup, Stage};

/// A sidecar that starts its service, on free ports, with so many workers.
fn setup(workers: usize) -> Setup {
    let setup = Setup::alone("").unset("networks.private.upstreams");
    if workers == 0 { setup } else { setup.set("lane", format!(r#"{{ kind = "process", workers = {workers} }}"#)) }
}

/// What a shadow gets here, in cores.
const CAP: f64 = 0.25;

/// A shadow as another sidecar would ask for it.
fn shadow(id: &str, path: &str, window_ms: u32) -> String {
    let caps = format!("level=medium; cpu={CAP}; memory=536870912; bytes_per_s=1000000; window_ms={window_ms}");
    format!("GET {path} HTTP/1.1\r\nhost: a\r\nadumbra-shadow: id={id}; {caps}\r\n\r\n")
}

/// A shadow under way: another sidecar has sent it and waits.
async fn asked(kept: &Kept, id: &str, path: &str) -> Raw {
    let mut peer = Raw::connect(kept.peers()).await;
    peer.write(shadow(id, path, 60_000)).await;
    peer
}

/// What a peer is told of a shadow here.
async fn looked_at(kept: &Kept, id: &str) -> serde_json::Value {
    let question = format!("GET /.well-known/adumbra/dispatch/{id} HTTP/1.1\r\nhost: adumbra\r\n\r\n");
    let answer = Raw::ask(kept.peers(), question).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    serde_json::from_slice(&answer.body).expect("JSON")
}

async fn adopt(kept: &Kept, id: &str) -> Answer {
    let question =
        format!("POST /.well-known/adumbra/adopt/{id} HTTP/1.1\r\nhost: adumbra\r\ncontent-length: 0\r\n\r\n");
    Raw::ask(kept.peers(), question).await
}

/// What the process of this id says of itself in an answer of the service called `name`.
fn by(name: &str, pid: Pid) -> String {
    format!("{name} {pid}")
}

/// The live process.
async fn live(kept: &Kept) -> Pid {
    let pid = kept.status().await["service"]["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok());
    pid.and_then(Pid::from_raw).expect("the service runs")
}

/// A service kept alone, without workers.
async fn alone() -> (Stage, Kept) {
    let stage = Stage::default();
    let kept = Kept::start(setup(0), &stage, "only").await;
    (stage, kept)
}
