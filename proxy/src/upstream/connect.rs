//! One TCP connection, encrypted or not, to one address; to a sidecar, with proof of who is at either end.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::identity::{Carries, Dialled, Linked, Wire};
use crate::intercept;

/// A connection's bytes.
#[derive(Debug)]
pub(crate) enum Stream {
    /// In the clear.
    Tcp(TcpStream),
    /// Encrypted.
    Tls(Box<TlsStream<TcpStream>>),
    /// To a sidecar that has proved who it is.
    Peer(Box<Linked<TlsStream<TcpStream>>>),
}

/// Why there is no connection. Nothing was sent, so the job is known not to have executed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    /// The name has no address now.
    #[error("`{host}` does not resolve to an address")]
    Unresolved {
        /// The name.
        host: String,
    },
    /// The host did not accept in time.
    #[error("{address} did not accept a connection within {within:?}")]
    Timeout {
        /// Who.
        address: SocketAddr,
        /// The bound that bit.
        within: Duration,
    },
    /// The host refused, or cannot be reached.
    #[error("{address} cannot be connected to")]
    Io {
        /// Who.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The sidecar broke off before it took anything.
    #[error("the sidecar at {address} has not taken our connection ({why}); its own log says why not")]
    NotBelieved {
        /// Where it is.
        address: String,
        /// In one word.
        why: &'static str,
    },
    /// The name cannot be one of a certificate.
    #[error("`{host}` cannot be verified against a certificate")]
    Name {
        /// The name.
        host: String,
    },
}

/// What TLS needs to know to connect.
#[derive(Clone, Debug)]
pub(crate) enum Tls {
    /// A server that some root vouches for by its name.
    Named {
        /// Roots, and the protocols that requests may use.
        config: Arc<ClientConfig>,
        /// The same for what becomes another protocol: only HTTP/1.1 can.
        upgrade: Arc<ClientConfig>,
        /// The name that the certificate must have.
        host: String,
    },
    /// A sidecar that must be who it should be, whatever its name.
    Peer {
        /// Who that is.
        dialled: Dialled,
        /// Where it is.
        host: String,
    },
}

impl Tls {
    async fn connect(&self, tcp: TcpStream, address: SocketAddr, carries: Carries) -> Result<Stream, ConnectError> {
        let (Self::Named { host, .. } | Self::Peer { host, .. }) = self;
        let io = |source| ConnectError::Io { address, source };
        let name = ServerName::try_from(host.clone()).map_err(|_| ConnectError::Name { host: host.clone() })?;
        match self {
            Self::Named { config, upgrade, .. } => {
                let config = if carries == Carries::Upgrade { upgrade } else { config };
                let stream = TlsConnector::from(Arc::clone(config)).connect(name, tcp).await.map_err(io)?;
                Ok(Stream::Tls(Box::new(stream)))
            }
            Self::Peer { dialled, .. } => {
                Ok(Stream::Peer(Box::new(dialled.connect(tcp, name, carries).await.map_err(io)?)))
            }
        }
    }
}

impl Stream {
    /// Connects to `address`, with TLS if `tls` says so, within `within`.
    pub(crate) async fn connect(
        address: SocketAddr,
        tls: Option<&Tls>,
        carries: Carries,
        within: Duration,
    ) -> Result<Self, ConnectError> {
        let connecting = async {
            let io = |source| ConnectError::Io { address, source };
            let tcp = intercept::outgoing::connect(address).await.map_err(io)?;
            tcp.set_nodelay(true).map_err(io)?;
            match tls {
                None => Ok(Self::Tcp(tcp)),
                // Few connections are new, and all that wait for one would hold its room.
                Some(tls) => Box::pin(tls.connect(tcp, address, carries)).await,
            }
        };
        tokio::time::timeout(within, connecting).await.unwrap_or(Err(ConnectError::Timeout { address, within }))
    }

    /// Whether the far side chose HTTP/2 in the TLS handshake.
    pub(crate) fn negotiated_h2(&self) -> bool {
        match self {
            Self::Tcp(_) => false,
            Self::Tls(tls) => tls.get_ref().1.alpn_protocol() == Some(b"h2"),
            Self::Peer(linked) => linked.io().get_ref().1.alpn_protocol() == Some(b"h2"),
        }
    }

    /// What tells whether a sidecar has taken the connection.
    pub(super) fn wire(&self) -> Option<Arc<Wire>> {
        match self {
            Self::Tcp(_) | Self::Tls(_) => None,
            Self::Peer(linked) => Some(Arc::clone(linked.wire())),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(io) => Pin::new(io).poll_read(cx, buf),
            Self::Tls(io) => Pin::new(io).poll_read(cx, buf),
            Self::Peer(io) => Pin::new(io).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(io) => Pin::new(io).poll_write(cx, buf),
            Self::Tls(io) => Pin::new(io).poll_write(cx, buf),
            Self::Peer(io) => Pin::new(io).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(io) => Pin::new(io).poll_write_vectored(cx, bufs),
            Self::Tls(io) => Pin::new(io).poll_write_vectored(cx, bufs),
            Self::Peer(io) => Pin::new(io).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(io) => io.is_write_vectored(),
            Self::Tls(io) => io.is_write_vectored(),
            Self::Peer(io) => io.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(io) => Pin::new(io).poll_flush(cx),
            Self::Tls(io) => Pin::new(io).poll_flush(cx),
            Self::Peer(io) => Pin::new(io).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(io) => Pin::new(io).poll_shutdown(cx),
            Self::Tls(io) => Pin::new(io).poll_shutdown(cx),
            Self::Peer(io) => Pin::new(io).poll_shutdown(cx),
        }
    }
}
