//! Watch over the networks, off the path: names resolved again, health asked for, load reports taken.

use std::sync::Arc;
use std::time::Duration;

use config::value::Protocol;
use http::{Request, header};
use http_body_util::BodyExt;
use tokio::task::JoinSet;

use super::absolute::Absolute;
use super::pool::{H1, H2};
use super::{Endpoint, Network, exchange};
use crate::body::Body;
use crate::generation::Shared;
use crate::identity::Carries;
use crate::peer;

/// How soon a name that did not resolve is tried again.
const RESOLVE_AGAIN: Duration = Duration::from_secs(1);

/// Starts what keeps watch over one network; all of it ends with `tasks`.
pub(crate) fn keep_watch(tasks: &mut JoinSet<()>, shared: &Arc<Shared>, network: &Arc<Network>, worker: usize) {
    for at in 0..network.endpoints.len() {
        if network.endpoints[at].is_name() {
            tasks.spawn(keep_resolved(Arc::clone(network), at));
        }
        // Whoever starts a worker keeps watch over it, too.
        let watched = network.crew.is_none() || at < network.live;
        if let Some(path) = asked(network).filter(|_| watched) {
            tasks.spawn(keep_checked(Arc::clone(network), at, path));
        }
        if network.is_sidecar() {
            let id = network.id;
            let metrics = Arc::clone(&shared.metrics);
            let failed = move || metrics.load_report_failed(id);
            tasks.spawn(peer::keep_reports_fresh(Arc::clone(network), at, worker, failed));
        }
    }
}

/// What a network is asked to learn whether it is well. A sidecar answers for the service behind it, and has a question of
/// its own for that: whatever path is configured is the service's, and no stranger to the peers listener may ask for it.
fn asked(network: &Network) -> Option<String> {
    if network.is_sidecar() { Some(format!("{}health", peer::CONTROL)) } else { network.config.health.path.clone() }
}

async fn keep_resolved(network: Arc<Network>, at: usize) {
    loop {
        let endpoint = &network.endpoints[at];
        let next = match endpoint.resolve().await {
            Ok(()) => network.config.resolve_every,
            Err(error) => {
                tracing::warn!(network = network.name(), host = endpoint.host(), %error, "a name does not resolve; its last addresses stay in use");
                RESOLVE_AGAIN.min(network.config.resolve_every)
            }
        };
        tokio::time::sleep(next).await;
    }
}

async fn keep_checked(network: Arc<Network>, at: usize, path: String) {
    let health = network.config.health.clone();
    let mut failures = 0;
    loop {
        let endpoint = &network.endpoints[at];
        let well = matches!(tokio::time::timeout(health.timeout, check(&network, endpoint, &path)).await, Ok(Some(())));
        failures = if well { 0 } else { failures + 1 };
        if well || failures == health.failures {
            if !well {
                tracing::warn!(network = network.name(), endpoint = endpoint.label(), "fails its health checks");
            }
            endpoint.checked(well);
        }
        tokio::time::sleep(health.every).await;
    }
}

/// Whether a process that has just been started takes requests: whether it accepts a connection, or answers well where a
/// path is configured to be asked for.
pub(crate) async fn has_come_up(network: &Network, at: usize) -> bool {
    let endpoint = &network.endpoints[at];
    let within = network.config.health.timeout;
    let asked = async {
        match &network.config.health.path {
            Some(path) => check(network, endpoint, path).await.is_some(),
            None => endpoint.connect(Carries::Http, within, |_| ()).await.is_ok(),
        }
    };
    tokio::time::timeout(within, asked).await.unwrap_or(false)
}

/// One check, over a connection of its own: a kept one may work where a new one would not.
async fn check(network: &Network, endpoint: &Endpoint, path: &str) -> Option<()> {
    let stream = endpoint.connect(Carries::Http, network.config.timeouts.connect, |_| ()).await.ok()?.stream;
    let two = network.config.protocol == Protocol::Http2 || stream.negotiated_h2();
    let request = Request::get(path)
        .header(header::HOST, endpoint.authority())
        .header(header::USER_AGENT, "adumbra-health")
        .body(Body::Empty)
        .ok()?;
    let status = if two {
        let (request, _) = Absolute::form(request, endpoint.tls.is_some());
        // What comes after the head is nobody's: it goes with the connection.
        let (mut connection, _ended) = H2::open(stream, None, 0).await.ok()?;
        connection.sender.send_request(request).await.ok()?.status()
    } else {
        let mut connection = H1::open(stream).await.ok()?;
        let response = exchange::over_h1(&mut connection, request).await.ok()?;
        let status = response.status();
        let mut body = response.into_body();
        std::future::poll_fn(|cx| connection.poll_with(cx, |cx| std::pin::Pin::new(&mut body.frame()).poll(cx))).await;
        status
    };
    (status.is_success() || status.is_redirection()).then_some(())
}
