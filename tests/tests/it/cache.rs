//! The response cache: what it answers, what it must not, and what it leaves as it was.

mod attacks;
mod changes;
mod disk;
mod rules;
mod waiters;

use tests::{Answer, Origin, Raw, Reply, Setup, Sidecar};

/// A route that is cached.
const CACHED: &str = "cache = true";

fn cached(origin: &Origin) -> Setup {
    Setup::alone(origin.url()).every(CACHED)
}

/// Fresh for an hour.
fn fresh(body: impl Into<Vec<u8>>) -> Reply {
    Reply::ok(body).field("cache-control", "max-age=3600")
}

fn get(path: &str, fields: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: service\r\n{fields}\r\n")
}

async fn asked(sidecar: &Sidecar, request: impl AsRef<[u8]>) -> Raw {
    let mut client = Raw::connect(sidecar.jobs()).await;
    client.write(request).await;
    client
}

/// How an answer came by, in the words of `Cache-Status`: what stands before its parameters' values.
fn status(answer: &Answer) -> String {
    let said = answer.field("cache-status");
    said.split("; ttl=").next().unwrap_or(said).to_owned()
}

const HIT: &str = "adumbra; hit";
const STORED: &str = "adumbra; fwd=uri-miss; stored";

async fn result(sidecar: &Sidecar, result: &str) -> f64 {
    sidecar.metric(&format!(r#"adumbra_cache_requests_total{{result="{result}"}}"#)).await
}

/// Waits until so many answers are stored: they are when their bodies have been taken in, not when clients have them.
async fn stores(sidecar: &Sidecar, count: u32) {
    sidecar.metric_becomes("adumbra_cache_stored_answers_total", f64::from(count)).await;
}
