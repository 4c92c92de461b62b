//! Connections that rules of the kernel's bring here, from clients and to a service that know nothing of it.
//!
//! First the original destination is asked for; a connection that has none, or was meant for one of our own listeners, is
//! reset, so nothing goes round in a circle. Then comes a bounded look, without reading, at what the client says first:
//!
//! - HTTP for a port at which this host's service stands as home is a job like any other; if it stays at home, it goes to
//!   the endpoint that its client wanted.
//! - Plain HTTP of the service's to an origin that may be fetched from is answered as at the egress listener.
//! - Everything else is passed on, byte by byte, to where it was going. So is what comes too slowly to tell.
//! - A client that says nothing may wait for the service to speak first: the service is connected to, and whoever speaks
//!   first shows which it is. A client that opened its connection early, and turns out to speak HTTP, is served all the same.
//!
//! It does not hide itself: the service sees the sidecar's address, as it does behind every proxy.

mod destination;
pub(crate) mod outgoing;
mod peek;
mod relay;
pub(crate) mod rules;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use http::uri::{Authority, Scheme};
use http::{Request, Uri, header};
use hyper::body::Incoming;
use tokio::net::TcpStream;

use crate::accept::{Accepted, Port};
use crate::generation::Generation;
use crate::metrics::{Became, Way};

pub(crate) use destination::at_home;

use destination::Refused;
use peek::{Heard, Limits, Until};

/// What a connection turned out to be.
enum Found {
    /// HTTP that is for us.
    Ours(TcpStream),
    /// Not for us: both ends, and why.
    Passing(TcpStream, TcpStream, Became),
    /// Nothing is left of it.
    Over(Became),
}

/// Takes in an intercepted connection: gives it back if it is HTTP that we answer, else deals with it to its end.
pub(crate) async fn receive(mut accepted: Accepted, socket: TcpStream) -> Option<(Accepted, TcpStream)> {
    let way = if accepted.port == Port::Outbound { Way::Outbound } else { Way::Inbound };
    accepted.from.set_ip(accepted.from.ip().to_canonical());
    let metrics = accepted.shared.metrics.clone();
    let found = match destination::of(&socket, &accepted.shared.listening.load()) {
        Ok(to) => {
            accepted.bound_for = Some(to).filter(|_| way == Way::Inbound);
            Going { accepted: &mut accepted, to }.find_out(socket).await
        }
        Err(refused) => {
            tracing::debug!(from = %accepted.from, ?refused, "a connection that no rule brought here is reset");
            relay::reset(&socket);
            Ok(Found::Over(match refused {
                Refused::Direct => Became::Direct,
                Refused::Loop => Became::Loop,
            }))
        }
    };
    match found {
        Ok(Found::Ours(socket)) => {
            metrics.intercepted(way, Became::Served);
            Some((accepted, socket))
        }
        Ok(Found::Passing(client, far, why)) => {
            metrics.intercepted(way, why);
            let relayed = relay::both_ways(client, far).await;
            metrics.relayed(way, relayed.bytes);
            if let Some(error) = relayed.error {
                tracing::debug!(%error, "a connection that was passed on broke off");
            }
            None
        }
        Ok(Found::Over(why)) => {
            metrics.intercepted(way, why);
            None
        }
        Err(error) => {
            tracing::debug!(%error, from = %accepted.from, "an intercepted connection ended before it began");
            metrics.intercepted(way, Became::Gone);
            None
        }
    }
}

/// A connection on its way.
struct Going<'a> {
    accepted: &'a mut Accepted,
    to: SocketAddr,
}

impl Going<'_> {
    async fn find_out(mut self, client: TcpStream) -> io::Result<Found> {
        let generation = self.accepted.shared.generation.load_full();
        let bounds = self.limits(&generation);
        match peek::hear(&client, bounds).await? {
            Heard::Http(head) => self.http(&generation, client, &head).await,
            Heard::Other => self.pass(&generation, client, Became::NotHttp).await,
            Heard::Slow => self.pass(&generation, peek::again(client)?, Became::Slow).await,
            Heard::Ended => Ok(Found::Over(Became::Gone)),
            Heard::Nothing => self.silent(&generation, client, bounds).await,
        }
    }

    /// Waits, connected to where the client wants to go, for whoever speaks first.
    async fn silent(&mut self, generation: &Generation, client: TcpStream, bounds: Limits) -> io::Result<Found> {
        let Some(far) = self.connect(generation).await else { return Ok(unreachable(&client)) };
        let heard = tokio::select! {
            biased;
            spoke = far.readable() => {
                spoke?;
                return Ok(Found::Passing(peek::again(client)?, far, Became::Silent));
            }
            heard = peek::hear(&client, Limits { first: None, ..bounds }) => heard?,
            () = self.accepted.stopping.begun() => return Ok(Found::Over(Became::Gone)),
        };
        match heard {
            Heard::Http(head) if self.is_ours(generation, &head) => Ok(Found::Ours(client)),
            Heard::Http(_) => Ok(Found::Passing(client, far, Became::NotOurs)),
            Heard::Other => Ok(Found::Passing(client, far, Became::NotHttp)),
            // Its end is passed on like its bytes.
            Heard::Ended | Heard::Nothing => Ok(Found::Passing(peek::again(client)?, far, Became::Silent)),
            Heard::Slow => Ok(Found::Passing(peek::again(client)?, far, Became::Slow)),
        }
    }

    async fn http(&self, generation: &Generation, client: TcpStream, head: &[u8]) -> io::Result<Found> {
        if self.is_ours(generation, head) {
            return Ok(Found::Ours(client));
        }
        self.pass(generation, client, Became::NotOurs).await
    }

    /// Whether we answer HTTP that begins so.
    fn is_ours(&self, generation: &Generation, head: &[u8]) -> bool {
        if self.accepted.port == Port::Outbound {
            let fetched = peek::fetched(head, self.to.port());
            return fetched.is_some_and(|uri| self.accepted.shared.data.allows(&uri));
        }
        at_home(&generation.config, self.to).is_some()
    }

    async fn pass(&self, generation: &Generation, client: TcpStream, why: Became) -> io::Result<Found> {
        match self.connect(generation).await {
            Some(far) => Ok(Found::Passing(client, far, why)),
            None => Ok(unreachable(&client)),
        }
    }

    async fn connect(&self, generation: &Generation) -> Option<TcpStream> {
        let within = generation.config.network(generation.config.home).timeouts.connect;
        match tokio::time::timeout(within, outgoing::connect(self.to)).await {
            Ok(Ok(far)) => Some(far),
            Ok(Err(error)) => {
                tracing::debug!(to = %self.to, %error, "an original destination cannot be connected to");
                None
            }
            Err(_slow) => {
                tracing::debug!(to = %self.to, ?within, "an original destination does not accept in time");
                None
            }
        }
    }

    fn limits(&self, generation: &Generation) -> Limits {
        let config = &generation.config;
        let silence = config.listen.intercept.as_ref().map_or(Duration::ZERO, |intercept| intercept.silence);
        let until = if self.accepted.port == Port::Outbound { Until::Head } else { Until::Line };
        Limits { first: Some(silence), whole: silence, bytes: config.limits.head_bytes, until }
    }
}

/// A request of the service's as the egress listener is asked: for the origin that it names.
pub(crate) fn as_asked(mut request: Request<Incoming>) -> Request<Incoming> {
    let host = request.headers().get(header::HOST).and_then(|host| Authority::try_from(host.as_bytes()).ok());
    let mut parts = request.uri().clone().into_parts();
    if let (None, Some(host)) = (&parts.authority, host) {
        parts.scheme = Some(Scheme::HTTP);
        parts.authority = Some(host);
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }
    request
}

/// What its client would have been told without us: that nobody is there.
fn unreachable(client: &TcpStream) -> Found {
    relay::reset(client);
    Found::Over(Became::Unreachable)
}
