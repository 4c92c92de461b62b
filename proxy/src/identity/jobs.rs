//! The certificate that clients are shown on the listener for jobs.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use certs::CertError;
use config::value::TlsFiles;
use parking_lot::Mutex;
use rustls::ServerConfig;

use super::files::Watched;
use super::pair_of;
use crate::metrics::{Certificate, Metrics};

/// A pair of files, and what is made of it.
#[derive(Debug)]
pub(crate) struct JobsTls {
    current: ArcSwap<Current>,
    pub(super) files: Mutex<Watched>,
    pub(super) reload_every: Duration,
    metrics: Arc<Metrics>,
}

#[derive(Debug)]
struct Current {
    server: Arc<ServerConfig>,
    validity: certs::Validity,
}

impl JobsTls {
    /// Reads the pair.
    pub(crate) fn start(files: &TlsFiles, metrics: &Arc<Metrics>) -> Result<Arc<Self>, CertError> {
        let watched = Watched::read(vec![files.certificate.clone(), files.key.clone()])?;
        let current = current(watched.contents())?;
        Ok(Arc::new(Self {
            current: ArcSwap::from_pointee(current),
            files: Mutex::new(watched),
            reload_every: files.reload_every,
            metrics: Arc::clone(metrics),
        }))
    }

    /// It is shown from now on, instead of the one `before` it.
    pub(crate) fn put_in_force(&self, before: Option<&Self>) {
        let old = before.map(|before| before.validity().not_after);
        self.metrics.certificate_expires(Certificate::Jobs, old, Some(self.validity().not_after));
    }

    /// It is shown no more, and what is said of it ends.
    pub(crate) fn retire(&self) {
        self.metrics.certificate_expires(Certificate::Jobs, Some(self.validity().not_after), None);
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// What a handshake that begins now uses.
    pub(crate) fn server(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.load().server)
    }

    /// From when to when the certificate holds.
    pub(super) fn validity(&self) -> certs::Validity {
        self.current.load().validity
    }

    /// Takes a new pair.
    pub(super) fn take(&self, contents: &[Vec<u8>]) -> Result<(), CertError> {
        let new = current(contents)?;
        let old = self.current.swap(Arc::new(new));
        let (old, new) = (old.validity.not_after, self.validity().not_after);
        self.metrics.certificate_expires(Certificate::Jobs, Some(old), Some(new));
        Ok(())
    }
}

fn current(contents: &[Vec<u8>]) -> Result<Current, CertError> {
    let pair = pair_of(contents)?;
    Ok(Current { server: certs::server_config_of(&pair), validity: pair.validity() })
}
