//! Certificates for loopback, and clients that believe them.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A certificate for `localhost`, its key and its directory.
#[derive(Debug)]
pub struct Identity {
    directory: TempDir,
    certificate_pem: String,
    key_pem: String,
}

impl Identity {
    /// Makes one.
    ///
    /// # Panics
    /// If it cannot be written.
    #[must_use]
    pub fn new() -> Self {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).expect("a certificate can be made");
        let (certificate_pem, key_pem) = (made.cert.pem(), made.signing_key.serialize_pem());
        let directory = tempfile::tempdir().expect("there is room for files");
        for (name, text) in [("cert.pem", &certificate_pem), ("key.pem", &key_pem)] {
            let mut file = std::fs::File::create(directory.path().join(name)).expect("a file can be made");
            file.write_all(text.as_bytes()).expect("a file can be written");
        }
        Self { directory, certificate_pem, key_pem }
    }

    /// The certificate's file.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.directory.path().join("cert.pem")
    }

    /// The key's file.
    #[must_use]
    pub fn key(&self) -> PathBuf {
        self.directory.path().join("key.pem")
    }

    /// Both, as the value of `listen.tls`.
    #[must_use]
    pub fn toml(&self) -> String {
        format!("{{ certificate = {:?}, key = {:?} }}", self.certificate(), self.key())
    }

    /// A server's side of it.
    ///
    /// # Panics
    /// If the pair does not fit.
    #[must_use]
    pub fn server(&self) -> Arc<rustls::ServerConfig> {
        certs::server_config(self.certificate_pem.as_bytes(), self.key_pem.as_bytes()).expect("the pair fits")
    }

    /// Connects to `to` as a client that believes it and offers `alpn`.
    ///
    /// # Panics
    /// If the handshake fails.
    pub async fn connect(&self, to: std::net::SocketAddr, alpn: &[&[u8]]) -> TlsStream<TcpStream> {
        let config = certs::client_config(Some(self.certificate_pem.as_bytes()), alpn).expect("the root is one");
        let tcp = TcpStream::connect(to).await.expect("the sidecar accepts");
        let name = "localhost".try_into().expect("a name");
        TlsConnector::from(config).connect(name, tcp).await.expect("the handshake succeeds")
    }
}

impl Default for Identity {
    fn default() -> Self {
        Self::new()
    }
}
