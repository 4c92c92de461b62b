//! Bytes both ways between a client and where it was going, as if nobody stood between them.
//!
//! An end of one side's is passed on as an end, and the other side may go on; a reset is passed on as a reset.

use std::io;

use socket2::SockRef;
use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;

/// What passed, and why it ended if not by itself.
#[derive(Debug)]
pub(super) struct Relayed {
    /// Up and down together; 0 if it broke off.
    pub(super) bytes: u64,
    pub(super) error: Option<io::Error>,
}

/// Copies until both sides have ended, or one breaks off.
pub(super) async fn both_ways(mut client: TcpStream, mut far: TcpStream) -> Relayed {
    for socket in [&client, &far] {
        let set = socket.set_nodelay(true).and_then(|()| SockRef::from(socket).set_keepalive(true));
        if let Err(error) = set {
            return Relayed { bytes: 0, error: Some(error) };
        }
    }
    match copy_bidirectional(&mut client, &mut far).await {
        Ok((up, down)) => Relayed { bytes: up.saturating_add(down), error: None },
        Err(error) => {
            reset(&client);
            reset(&far);
            Relayed { bytes: 0, error: Some(error) }
        }
    }
}

/// Has a connection end as a reset when it is dropped.
pub(super) fn reset(socket: &TcpStream) {
    if let Err(error) = socket.set_zero_linger() {
        tracing::debug!(%error, "a connection was gone before it could be reset");
    }
}
