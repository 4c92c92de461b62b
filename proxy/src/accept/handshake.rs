//! A TLS handshake of somebody who connected: in time, counted where it fails, and refused so that the refusal arrives.
//!
//! With TLS 1.3 a client is done before we have looked at its certificate, and has often sent its first request by then.
//! Closing the socket over those unread bytes makes the kernel send a reset, which may overtake the alert that says why we
//! refuse: whoever is at the other end would see only that we broke off. So a refused socket is half-closed and read on for
//! a little while, in the place among the listener's connections that it has anyway.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Accepted, Tls};
use crate::metrics::{ConnectionRefusal, Side};

/// The longest that whoever is refused may take to read so and close.
const LINGER: Duration = Duration::from_secs(1);

/// The most that is read meanwhile.
const LINGER_BYTES: u64 = 64 << 10;

/// A handshake that failed, and the socket that it failed on.
pub(crate) type Unshaken = (io::Error, TcpStream);

/// Shakes hands in time, or counts why not and lets the other side read that it was refused.
pub(super) async fn shake_hands<T>(
    accepted: &Accepted,
    shaking: impl Future<Output = Result<T, Unshaken>>,
) -> Option<T> {
    let within = accepted.shared.generation.load().config.limits.head_timeout;
    let (error, socket) = match tokio::time::timeout(within, shaking).await {
        Ok(Ok(shaken)) => return Some(shaken),
        Ok(Err((error, socket))) => (error, Some(socket)),
        Err(_late) => (io::Error::new(io::ErrorKind::TimedOut, "it took longer than `limits.head_timeout`"), None),
    };
    accepted.shared.metrics.connection_refused(ConnectionRefusal::Handshake);
    let why = crate::identity::told(&error);
    if let Some(Tls::Peers(identity)) = &accepted.tls {
        identity.refused(Side::Accept, certs::Reason::of_handshake(&error), &accepted.from, &why);
    } else {
        tracing::debug!(why, from = %accepted.from, "a TLS handshake failed");
    }
    if let Some(socket) = socket {
        let mut stopping = accepted.stopping.clone();
        tokio::select! {
            _late = tokio::time::timeout(LINGER, read_out(socket)) => {}
            () = stopping.begun() => {}
        }
    }
    None
}

/// Half-closes, and reads until the other side closes or has sent too much. It ends in any case, so errors say nothing new.
async fn read_out(mut socket: TcpStream) {
    if socket.shutdown().await.is_ok() {
        let mut rest = socket.take(LINGER_BYTES);
        let _read = tokio::io::copy(&mut rest, &mut tokio::io::sink()).await;
    }
}
