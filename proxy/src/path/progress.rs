//! How far a job is, before its answer begins: from a service's interim answers where it is near, from its sidecar where it
//! is not.

use std::sync::Arc;

use http::Request;

use crate::body::Body;
use crate::lane::Used;
use crate::peer;
use crate::upstream::Network;

/// What a dispatch shows at one look.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Shown {
    /// The share of the work that is done, where that is news.
    pub(crate) progress: Option<f64>,
    /// What it has used.
    pub(crate) used: Used,
}

/// Sends a request by `send`, and hands what it shows to `seen` until there is an answer.
pub(super) async fn while_watching<F: Future>(
    network: &Arc<Network>,
    worker: usize,
    id: &str,
    mut request: Request<Body>,
    seen: impl Fn(Shown) + Send + Sync + 'static,
    send: impl FnOnce(Request<Body>) -> F,
) -> F::Output {
    if !network.is_sidecar() {
        listen(&mut request, move |share| seen(Shown { progress: Some(share), ..Shown::default() }));
        return send(request).await;
    }
    let sent = send(request);
    let watching = peer::watch(Arc::clone(network), worker, id.to_owned(), seen);
    tokio::pin!(sent, watching);
    tokio::select! {
        biased;
        answered = &mut sent => answered,
        () = &mut watching => sent.await,
    }
}

/// Hands the progress that interim answers to `request` carry to `seen`.
pub(super) fn listen(request: &mut Request<Body>, seen: impl Fn(f64) + Send + Sync + 'static) {
    hyper::ext::on_informational(request, move |interim| {
        let share = interim.headers().get(peer::PROGRESS).and_then(|v| v.to_str().ok()?.trim().parse::<f64>().ok());
        if let Some(share) = share.filter(|share| (0.0..=1.0).contains(share)) {
            seen(share);
        }
    });
}
