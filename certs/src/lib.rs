//! Certificates and keys in, rustls configurations out.
//!
//! The configurations are values behind an `Arc`, made from bytes: whoever holds one swaps it whole when the files
//! change, and a pair that does not fit is refused before it could be in force. The cryptography is always `ring`,
//! named outright, because a process in which two providers are linked has no default one.
//!
//! Not here yet: identities of sidecars, rotation, a development CA.

mod client;
mod error;
mod files;
mod pem;
mod server;

#[cfg(test)]
mod tests;

pub use client::client_config;
pub use error::CertError;
pub use files::read;
pub use server::server_config;

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};

/// The one provider of cryptography.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
