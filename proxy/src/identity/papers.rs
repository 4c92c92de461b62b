//! What an identity is made of: the files that the configuration names, read and checked, and who may be whom by them.

use std::path::PathBuf;
use std::sync::Arc;

use certs::{CertError, NamelessError, Pair, SpiffeId, Trust};
use config::Config;

use super::files::Watched;

/// Why an identity cannot be had from what the configuration says.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file of it cannot be used.
    #[error("`{key}` of `[identity]` cannot be used, {}", path.display())]
    File {
        /// Its key in the configuration.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: CertError,
    },
    /// The certificate is no sidecar's.
    #[error("{} is not a sidecar's certificate; `adumbra certs issue` makes one", path.display())]
    Nameless {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: NamelessError,
    },
    /// The certificate is another sidecar's.
    #[error("the certificate is for {new}, and this sidecar is {own}; another identity needs a restart")]
    Another {
        /// Whose it is.
        new: String,
        /// Who we are.
        own: String,
    },
    /// The certificate's time is over, or has not come.
    #[error("the certificate is not valid now")]
    Time,
    /// A name in the configuration cannot be part of an identity.
    #[error("network `{network}` cannot be part of an identity; give it one by `networks.{network}.identity`")]
    Network {
        /// Which.
        network: String,
        /// Why.
        #[source]
        source: certs::IdError,
    },
    /// An identity in the configuration that is none.
    #[error("`{uri}` is not an identity")]
    Uri {
        /// What is written.
        uri: String,
        /// Why.
        #[source]
        source: certs::IdError,
    },
}

/// What an identity is made of.
#[derive(Debug)]
pub(crate) struct Papers {
    pub(super) own: SpiffeId,
    pub(super) pair: Pair,
    pub(super) trust: Trust,
    pub(super) peers: Arc<[SpiffeId]>,
    pub(super) pair_files: Watched,
    pub(super) trust_files: Watched,
}

impl Papers {
    /// Reads everything that `config` names; `None` if it names no identity.
    pub(crate) fn read(config: &Config) -> Result<Option<Self>, IdentityError> {
        let Some(files) = &config.identity else { return Ok(None) };
        let file = |key, path: &PathBuf| {
            let path = path.clone();
            move |source| IdentityError::File { key, path, source }
        };
        let pair_paths = vec![files.certificate.clone(), files.key.clone()];
        let trust_paths = std::iter::once(&files.trust).chain(&files.crl).cloned().collect();
        let pair_files = Watched::read(pair_paths).map_err(file("certificate", &files.certificate))?;
        let trust_files = Watched::read(trust_paths).map_err(file("trust", &files.trust))?;
        let pair = pair_of(pair_files.contents()).map_err(file("certificate", &files.certificate))?;
        let trust = trust_of(trust_files.contents()).map_err(file("trust", &files.trust))?;
        let own =
            pair.identity().map_err(|source| IdentityError::Nameless { path: files.certificate.clone(), source })?;
        pair.vouched_for_by(&trust).map_err(file("certificate", &files.certificate))?;
        let home = &config.network(config.home).name;
        if own.network() != home {
            tracing::warn!(%own, %home, "the certificate names another network than `home`; others know us by the certificate");
        }
        let peers = peers(config, files, &own)?.into();
        Ok(Some(Self { own, pair, trust, peers, pair_files, trust_files }))
    }
}

pub(super) fn pair_of(contents: &[Vec<u8>]) -> Result<Pair, CertError> {
    match contents {
        [certificate, key, ..] => Pair::new(certificate, key),
        _ => Err(CertError::NoCertificate),
    }
}

pub(super) fn trust_of(contents: &[Vec<u8>]) -> Result<Trust, CertError> {
    let (bundle, lists) = contents.split_first().ok_or(CertError::NoCertificate)?;
    Trust::new(bundle, lists)
}

/// Who may send here: whom the file names, else our own service on each other network.
pub(super) fn peers(
    config: &Config,
    files: &config::value::Identity,
    own: &SpiffeId,
) -> Result<Vec<SpiffeId>, IdentityError> {
    if let Some(named) = &files.peers {
        return named.iter().map(|uri| parse(uri.as_str())).collect();
    }
    let others = config.network_ids().filter(|id| *id != config.home).map(|id| config.network(id));
    others.map(|network| identity_of(network, own)).collect()
}

pub(super) fn identity_of(network: &config::value::Network, own: &SpiffeId) -> Result<SpiffeId, IdentityError> {
    match &network.identity {
        Some(uri) => parse(uri.as_str()),
        None => {
            own.on(&network.name).map_err(|source| IdentityError::Network { network: network.name.clone(), source })
        }
    }
}

fn parse(uri: &str) -> Result<SpiffeId, IdentityError> {
    SpiffeId::parse(uri).map_err(|source| IdentityError::Uri { uri: uri.to_owned(), source })
}
