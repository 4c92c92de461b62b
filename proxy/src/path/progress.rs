//! How far a job is, before its answer begins: from a service's interim answers where it is near, from its sidecar where it
//! is not.

use std::sync::Arc;

use http::Request;

use crate::body::Body;
use crate::peer;
use crate::upstream::{Network, Upload};

/// Sends a request by `send`, and hands what it shows of its progress to `seen` until there is an answer. `upload` is that of
/// the request.
pub(super) async fn while_watching<F: Future>(
    network: &Arc<Network>,
    worker: usize,
    id: &str,
    upload: &Arc<Upload>,
    mut request: Request<Body>,
    seen: impl Fn(f64) + Send + Sync + 'static,
    send: impl FnOnce(Request<Body>) -> F,
) -> F::Output {
    if !network.is_sidecar() {
        listen(&mut request, seen);
        return send(request).await;
    }
    let sent = send(request);
    let watching = peer::watch_progress(Arc::clone(network), worker, id.to_owned(), Arc::clone(upload), seen);
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
