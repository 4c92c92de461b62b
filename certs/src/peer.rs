//! TLS between sidecars: each shows a certificate, and each is believed to be exactly who it should be.
//!
//! A chain to a CA of the bundle is where verification begins, not where it ends: the CA has signed for every sidecar there
//! is, and perhaps for more. What counts is the one URI in the certificate; DNS names and addresses are not looked at, for
//! they say where something is and not who.
//!
//! TLS 1.3 only, and no sessions are resumed: a ticket would let somebody back in whose certificate has been revoked since.

use std::sync::Arc;
use std::time::SystemTime;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::verify_tls13_signature;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::version::TLS13;
use rustls::{ClientConfig, DigitallySignedStruct, DistinguishedName, Error, ServerConfig, SignatureScheme};

use crate::pair::Pair;
use crate::refusal::Refusal;
use crate::spiffe::SpiffeId;
use crate::trust::{Role, Trust};

/// Who may be at the other end, and what that is verified by.
#[derive(Clone, Debug)]
pub struct Expected {
    trust: Arc<Trust>,
    ids: Arc<[SpiffeId]>,
    role: Role,
}

impl Expected {
    /// One of `ids`, who shows its certificate as `role`.
    #[must_use]
    pub fn new(trust: Arc<Trust>, ids: Arc<[SpiffeId]>, role: Role) -> Self {
        Self { trust, ids, role }
    }

    /// The same, by what is trusted now.
    #[must_use]
    pub fn by(&self, trust: &Arc<Trust>) -> Self {
        Self { trust: Arc::clone(trust), ..self.clone() }
    }

    /// The part that whoever is expected has in the handshake.
    #[must_use]
    pub fn role(&self) -> Role {
        self.role
    }

    /// Who showed `chain`, leaf first, if that is who may be there.
    ///
    /// # Errors
    /// Why it is not believed.
    pub fn verify(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> Result<SpiffeId, Refusal> {
        self.verify_until(chain, now).map(|(shown, _)| shown)
    }

    /// The same, and the last moment for which it holds if nothing else changes.
    ///
    /// # Errors
    /// Why it is not believed.
    pub fn verify_until(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> Result<(SpiffeId, SystemTime), Refusal> {
        let (shown, until) = self.trust.verify_until(chain, self.role, now)?;
        if self.ids.contains(&shown) {
            return Ok((shown, until));
        }
        Err(Refusal::Unexpected { shown: Box::new(shown), expected: self.ids.to_vec() })
    }

    fn verify_parts(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let chain: Vec<CertificateDer<'_>> =
            std::iter::once(end_entity).chain(intermediates).map(|der| CertificateDer::from(der.as_ref())).collect();
        self.verify(&chain, now).map(|_| ()).map_err(Error::from)
    }
}

/// A configuration for the listener that takes sidecars: it shows `pair` and believes only whom `expected` says.
///
/// It offers HTTP/2, and HTTP/1.1 for requests that become another protocol.
#[must_use]
pub fn peer_server_config(pair: &Pair, expected: &Expected) -> Arc<ServerConfig> {
    let mut config = ServerConfig::builder_with_provider(crate::provider())
        .with_protocol_versions(&[&TLS13])
        .expect("ring has suites for TLS 1.3")
        .with_client_cert_verifier(Arc::new(Verifier(expected.clone())))
        .with_cert_resolver(pair.shown());
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    Arc::new(config)
}

/// A configuration for connections to sidecars: it shows `pair` and believes only whom `expected` says.
#[must_use]
pub fn peer_client_config(pair: &Pair, expected: &Expected, alpn: &[&[u8]]) -> Arc<ClientConfig> {
    let mut config = ClientConfig::builder_with_provider(crate::provider())
        .with_protocol_versions(&[&TLS13])
        .expect("ring has suites for TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Verifier(expected.clone())))
        .with_client_cert_resolver(pair.shown());
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.to_vec()).collect();
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    Arc::new(config)
}

/// Both ends verify in the same way.
#[derive(Debug)]
struct Verifier(Expected);

fn schemes() -> Vec<SignatureScheme> {
    crate::provider().signature_verification_algorithms.supported_schemes()
}

fn signature(
    message: &[u8],
    certificate: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    verify_tls13_signature(message, certificate, signed, &crate::provider().signature_verification_algorithms)
}

/// No configuration of ours gets there.
fn no_tls12() -> Result<HandshakeSignatureValid, Error> {
    Err(Error::General("sidecars speak TLS 1.3".to_owned()))
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.trust.hints()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.0.verify_parts(end_entity, intermediates, now).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        schemes()
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _where: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.0.verify_parts(end_entity, intermediates, now).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        no_tls12()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        schemes()
    }
}
