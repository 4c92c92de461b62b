//! The sidecar's own connections, marked if the configuration says with what: rules know them by that, or by their user.
//!
//! A process has one mark, and everything that it connects to is reached with it. A connection that cannot be marked is not
//! made: it would be brought back to us.

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};

use config::value::Intercept;
use socket2::SockRef;
use tokio::net::{TcpSocket, TcpStream};

/// 0 is for none.
static MARK: AtomicU32 = AtomicU32::new(0);

/// Why our own connections would be brought back to us.
#[derive(Debug, thiserror::Error)]
pub enum OwnTraffic {
    /// We are another user than rules let pass.
    #[error(
        "`listen.intercept.user` is {said}, and this process is user {is}: its own connections would come back to it; run it \
         as user {said}, or say {is}"
    )]
    User {
        /// What the configuration says.
        said: u32,
        /// Who we are.
        is: u32,
    },
    /// We may not mark anything.
    #[error(
        "connections cannot be marked with {mark}: give the sidecar CAP_NET_ADMIN, or say `user` instead of `mark`"
    )]
    Mark {
        /// With what.
        mark: NonZeroU32,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// Marks all connections from now on, if `intercept` says so.
///
/// # Errors
/// What is intercepted could not be told from what we send ourselves.
pub(crate) fn begin(intercept: &Intercept) -> Result<(), OwnTraffic> {
    if let Some(mark) = intercept.mark {
        let tried = TcpSocket::new_v4().and_then(|socket| SockRef::from(&socket).set_mark(mark.get()));
        tried.map_err(|source| OwnTraffic::Mark { mark, source })?;
        MARK.store(mark.get(), Ordering::Relaxed);
        return Ok(());
    }
    let is = rustix::process::geteuid().as_raw();
    match intercept.user {
        Some(said) if said != is && intercept.outbound.is_some() => Err(OwnTraffic::User { said, is }),
        _ => Ok(()),
    }
}

/// Connects to `address`.
pub(crate) async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let mark = MARK.load(Ordering::Relaxed);
    if mark == 0 {
        return TcpStream::connect(address).await;
    }
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    SockRef::from(&socket).set_mark(mark)?;
    socket.connect(address).await
}
