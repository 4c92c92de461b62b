//! One request to an origin, over a connection of its own.
//!
//! Connections are not kept: inputs are few and large next to a connection's price, and one that is never used twice can
//! neither mix up two answers nor break off on its second use. Redirects are not followed: where they lead is for the
//! service to see, and to ask for, past the same list of origins.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::uri::Scheme;
use http::{HeaderValue, Request, Uri, response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use rustls::ClientConfig;
use tokio::time::Instant;

use super::origin::Key;
use super::outlet::Stream;
use crate::identity::Carries;
use crate::upstream::connect::{Stream as Connected, Tls};

/// Addresses of one name that are tried.
const ADDRESSES: usize = 4;

/// Why there is no answer from an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum FetchError {
    #[error("the origin's name does not resolve to an address; check its spelling and this machine's DNS")]
    Unresolved,
    #[error(
        "the origin's name leads to this machine or this link only, which whoever answers for the name may not choose; if it is \
         meant, write the address itself in `data.origins`"
    )]
    Astray,
    #[error("the origin does not accept connections; check that it runs and listens there")]
    Unreachable,
    #[error("no roots were given to verify `https` origins with")]
    NoRoots,
    #[error("the origin did not answer in time; raise `data.timeout` if that is normal")]
    Timeout,
    #[error("the origin broke off before its answer")]
    BrokeOff,
    #[error("the origin's answer was not HTTP/1.1")]
    Garbage,
    #[error("the fetch was cancelled")]
    Cancelled,
}

/// How origins are reached.
#[derive(Debug)]
pub(super) struct Way {
    pub(super) timeout: Duration,
    pub(super) roots: Option<Arc<ClientConfig>>,
}

/// Sends `request` to the key's origin and waits for the answer's head.
///
/// `Host` and the target are set from the key. There is no wait longer than the timeout in which nothing moves.
pub(super) async fn send(
    way: &Way,
    key: &Key,
    mut request: Request<Upload>,
) -> Result<(response::Parts, Stream), FetchError> {
    *request.uri_mut() = Uri::from(key.path.clone());
    *request.version_mut() = http::Version::HTTP_11;
    let host = HeaderValue::try_from(key.authority()).map_err(|_| FetchError::Unresolved)?;
    request.headers_mut().insert(HOST, host);
    let activity = request.body().activity();

    let connecting = tokio::time::timeout(way.timeout, connect(way, key));
    let stream = connecting.await.unwrap_or(Err(FetchError::Timeout))?;
    let (mut sender, driver) = http1::handshake(TokioIo::new(stream)).await.map_err(|_| FetchError::BrokeOff)?;
    let driver = Driver(tokio::spawn(async move {
        // Whoever waits for the answer learns of its end from hyper too.
        if let Err(error) = driver.await {
            tracing::debug!(%error, "a connection to an origin ended early");
        }
    }));
    let answer = activity.within(way.timeout, sender.send_request(request)).await.ok_or(FetchError::Timeout)?;
    let (parts, body) = answer.map_err(|error| why(&error))?.into_parts();
    Ok((parts, Stream::new(body, driver, way.timeout)))
}

fn why(error: &hyper::Error) -> FetchError {
    if error.is_parse() { FetchError::Garbage } else { FetchError::BrokeOff }
}

async fn connect(way: &Way, key: &Key) -> Result<Connected, FetchError> {
    let origin = &*key.origin;
    let tls = if origin.scheme == Scheme::HTTPS {
        let config = Arc::clone(way.roots.as_ref().ok_or(FetchError::NoRoots)?);
        Some(Tls::Named { upgrade: Arc::clone(&config), config, host: origin.host.clone() })
    } else {
        None
    };
    let resolving = tokio::net::lookup_host((origin.host.as_str(), origin.port)).await;
    // What is connected to is what was looked at: a name that leads elsewhere a moment later is not asked again.
    let all: Vec<SocketAddr> = resolving.map_err(|_| FetchError::Unresolved)?.collect();
    if all.is_empty() {
        return Err(FetchError::Unresolved);
    }
    let may_lead = all.into_iter().filter(|address| may_lead_to(&origin.host, address.ip()));
    let addresses: Vec<SocketAddr> = may_lead.take(ADDRESSES).collect();
    if addresses.is_empty() {
        return Err(FetchError::Astray);
    }
    // Each gets its part of the time, or one that is silent would keep the others from being tried.
    let within = way.timeout / addresses.len() as u32;
    for address in addresses {
        match Connected::connect(address, tls.as_ref(), Carries::Http, within).await {
            Ok(stream) => return Ok(stream),
            Err(error) => tracing::debug!(%error, origin = %key, "cannot connect to an origin"),
        }
    }
    Err(FetchError::Unreachable)
}

/// Whether an origin of this name may be at this address. Whoever answers for a name could have it lead to what only this
/// machine or this link can reach: an operator's port, a cloud's metadata. An address that the operator has written is meant.
fn may_lead_to(host: &str, address: IpAddr) -> bool {
    if host.parse::<IpAddr>().is_ok() {
        return true;
    }
    let here = host == "localhost" || host.ends_with(".localhost");
    match inner(address) {
        IpAddr::V4(v4) => {
            let local = v4.is_loopback() && !here || v4.is_link_local();
            !(local || v4.is_unspecified() || v4.octets()[0] == 0 || v4.is_multicast() || v4.is_broadcast())
        }
        IpAddr::V6(v6) => {
            let local = v6.is_loopback() && !here || v6.is_unicast_link_local();
            !(local || v6.is_unspecified() || v6.is_multicast())
        }
    }
}

/// The IPv4 address in an IPv6 one that only stands for it: mapped, compatible, or translated (RFC 4291, RFC 6052).
fn inner(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let [.., a, b] = v6.segments();
    let v4 = Ipv4Addr::from((u32::from(a) << 16) | u32::from(b));
    match v6.segments() {
        [0, 0, 0, 0, 0, 0xffff, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => v4.into(),
        // `::` and `::1` are addresses of their own.
        [0, 0, 0, 0, 0, 0, a, _] if a != 0 => v4.into(),
        _ => address,
    }
}

/// The task that drives a connection. Dropped, it ends, and the connection with it.
#[derive(Debug)]
pub(super) struct Driver(tokio::task::JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// When something last moved.
#[derive(Debug)]
struct Activity(Mutex<Instant>);

impl Activity {
    fn note(&self) {
        *self.0.lock() = Instant::now();
    }

    /// `future`'s output, unless nothing moves for `idle`.
    async fn within<F: Future>(&self, idle: Duration, future: F) -> Option<F::Output> {
        let mut future = std::pin::pin!(future);
        self.note();
        loop {
            let until = *self.0.lock() + idle;
            if let Ok(output) = tokio::time::timeout_at(until, future.as_mut()).await {
                return Some(output);
            }
            if *self.0.lock() + idle <= Instant::now() {
                return None;
            }
        }
    }
}

/// A request's body on its way to an origin. An upload that moves, however long it takes, is not idle.
#[derive(Debug)]
pub(super) struct Upload {
    body: Option<Incoming>,
    activity: Arc<Activity>,
}

impl Upload {
    pub(super) fn new(body: Option<Incoming>) -> Self {
        Self { body, activity: Arc::new(Activity(Mutex::new(Instant::now()))) }
    }

    fn activity(&self) -> Arc<Activity> {
        Arc::clone(&self.activity)
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        let Some(body) = &mut this.body else { return Poll::Ready(None) };
        this.activity.note();
        Pin::new(body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or(SizeHint::with_exact(0), Body::size_hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_to_no_address_that_only_this_machine_or_link_can_reach() {
        let check = |host: &str, address: &str, expected: bool| {
            let ip = address.parse().expect("an address");
            assert_eq!(may_lead_to(host, ip), expected, "{host} {address}");
        };
        for address in ["192.0.2.1", "10.0.0.1", "192.168.1.1", "2001:db8::1", "fd00::1", "::ffff:10.0.0.1"] {
            check("data.example", address, true);
        }
        for address in [
            "127.0.0.1",
            "127.1.2.3",
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::169.254.169.254",
            "64:ff9b::7f00:1",
            "fe80::1",
            "ff02::1",
        ] {
            check("data.example", address, false);
            // What the operator has written is meant.
            check(address, address, true);
        }
        check("localhost", "127.0.0.1", true);
        check("localhost", "::1", true);
        check("localhost", "169.254.169.254", false);
    }
}
