//! The configuration as a file, and what is started from when it has become unusable.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use config::{Config, Errors};

use super::last_good;
use super::{InForce, Reading, Refused};
use crate::app::StartError;
use crate::generation::Generation;

/// Why there is nothing to start from.
#[derive(Debug, thiserror::Error)]
pub enum ConfigFileError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}; give the file's name, such as deploy/adumbra.example.toml", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is too large to be a configuration.
    #[error("{} has more than {} bytes, which no configuration needs; is it the right file?", path.display(), config::MAX_TEXT)]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// It has errors, and there is no other.
    #[error("{} cannot be used as it is", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        errors: Box<Errors>,
    },
}

/// A configuration that was read from a file, which is looked at again while the sidecar runs.
#[derive(Debug)]
pub struct ConfigFile {
    pub(crate) path: PathBuf,
    pub(crate) text: Arc<str>,
    pub(crate) config: Config,
    /// What stands in the file instead, and why it is not used.
    pub(crate) refused: Option<(Arc<str>, Box<Errors>)>,
}

impl ConfigFile {
    /// Reads `path`. If it cannot be used and still says where the last good configuration is kept, that one is taken.
    ///
    /// # Errors
    /// There is no configuration that can be used.
    pub fn read(path: &Path) -> Result<Self, ConfigFileError> {
        let text: Arc<str> = read_text(path)?.into();
        match config::parse(&text, &path.display().to_string()) {
            Ok(config) => Ok(Self { path: path.to_owned(), text, config, refused: None }),
            Err(errors) => Self::from_last_good(path, text, errors)
                .map_err(|errors| ConfigFileError::Invalid { path: path.to_owned(), errors }),
        }
    }

    /// What is wrong with the file, where the sidecar starts from the last good configuration instead.
    #[must_use]
    pub fn errors(&self) -> Option<&Errors> {
        self.refused.as_ref().map(|(_, errors)| &**errors)
    }

    /// The last good configuration, if there is one and this is another: with this one, the sidecar does not start.
    pub(crate) fn instead(&self, error: &StartError) -> Option<Self> {
        if self.refused.is_some() {
            return None;
        }
        let errors = super::change::unfit(&self.text, &self.path.display().to_string(), error);
        let instead = Self::from_last_good(&self.path, Arc::clone(&self.text), errors).ok()?;
        (instead.text != self.text).then_some(instead)
    }

    fn from_last_good(path: &Path, bad: Arc<str>, errors: Errors) -> Result<Self, Box<Errors>> {
        let found = last_good::of(&bad).and_then(|(at, text)| {
            let config = config::parse(&text, &at.display().to_string()).ok()?;
            Some((at, text, config))
        });
        let Some((at, text, config)) = found else { return Err(Box::new(errors)) };
        tracing::error!(
            file = %path.display(),
            last_good = %at.display(),
            "the configuration cannot be used; starting from the last one that was in force; correct the file, which is \
             taken up when it is saved"
        );
        Ok(Self { path: path.to_owned(), text, config, refused: Some((bad, Box::new(errors))) })
    }

    /// What `/config` says of it at the start.
    pub(crate) fn in_force(&self) -> InForce {
        InForce { is_last_good: self.refused.is_some(), ..InForce::now(&self.text) }
    }

    /// What stands in the file and was refused before the process was up.
    pub(crate) fn refused_reading(&self, generation: &Generation) -> Option<Reading> {
        self.refused.as_ref().map(|(text, _)| Reading::refused(Arc::clone(text), generation))
    }

    /// It is started: the next start may need it.
    pub(crate) fn is_in_force(&self) {
        if let Some(directory) = &self.config.state.directory {
            last_good::keep(directory, &self.text);
        }
    }

    /// And of what was not taken.
    pub(crate) fn refused(&self) -> Option<Refused> {
        self.refused.as_ref().map(|(text, errors)| Refused::now(Some(text), errors))
    }
}

/// The text of a file, if it can be a configuration.
pub(crate) fn read_text(path: &Path) -> Result<String, ConfigFileError> {
    let unreadable = |source| ConfigFileError::Unreadable { path: path.to_owned(), source };
    if std::fs::metadata(path).map_err(unreadable)?.len() > config::MAX_TEXT as u64 {
        return Err(ConfigFileError::TooLarge { path: path.to_owned() });
    }
    std::fs::read_to_string(path).map_err(unreadable)
}
