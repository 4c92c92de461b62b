//! Certificates and keys in, rustls configurations out.
//!
//! The configurations are values behind an `Arc`, made from bytes: whoever holds one swaps it whole when the files
//! change, and a pair that does not fit is refused before it could be in force. The cryptography is always `ring`,
//! named outright, because a process in which two providers are linked has no default one.
//!
//! Between sidecars a certificate is for one identity, `spiffe://<trust domain>/<network>/<service>`, and both ends believe
//! exactly the identities that they were told to expect (`peer`). Who is believed is a value, too (`trust`), so it can be
//! asked again of a connection that is open when it changes. Watching files and cutting connections is not done here.

mod authority;
mod client;
mod error;
mod files;
mod leaf;
mod pair;
mod peer;
mod pem;
mod refusal;
mod server;
mod spiffe;
mod trust;

#[cfg(test)]
mod tests;

pub use authority::{Authority, AuthorityError, Issued, Terms};
pub use client::client_config;
pub use error::CertError;
pub use files::read;
pub use leaf::{NamelessError, Validity, validity_of_all};
pub use pair::Pair;
pub use peer::{Expected, peer_client_config, peer_server_config};
pub use refusal::{Reason, Refusal, explained};
pub use server::{server_config, server_config_of};
pub use spiffe::{IdError, SpiffeId};
pub use trust::{Role, Trust};

use std::sync::{Arc, LazyLock};

use rustls::crypto::{CryptoProvider, ring};

/// The one provider of cryptography.
fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(ring::default_provider()));
    Arc::clone(&PROVIDER)
}
