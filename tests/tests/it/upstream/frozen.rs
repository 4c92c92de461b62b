//! A wire that can fall silent without being cut, as when a host dies or a path is lost.

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A wire to a service.
pub(crate) struct Wire {
    address: SocketAddr,
    frozen: watch::Sender<u64>,
    accepting: JoinHandle<()>,
}

impl Wire {
    /// One that passes everything on to `to`, until it is frozen.
    pub(crate) async fn to(to: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let (frozen, freezing) = watch::channel(0);
        let accepting = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let mut freezing = freezing.clone();
                freezing.mark_unchanged();
                // Ends with the test's runtime.
                tokio::spawn(async move {
                    let mut near = near;
                    let mut far = TcpStream::connect(to).await.expect("the service accepts");
                    tokio::select! {
                        _ended = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        // Both ends stay open, and neither hears of the other again.
                        _frozen = freezing.changed() => std::future::pending().await,
                    }
                });
            }
        });
        Self { address, frozen, accepting }
    }

    /// Where it is, as an endpoint of a configuration.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Freezes every connection that there is; what comes later passes.
    pub(crate) fn freeze(&self) {
        self.frozen.send_modify(|times| *times += 1);
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}
