//! A sidecar that was started from a file, which is edited while it runs.

use std::path::{Path, PathBuf};

use proxy::app::App;
use proxy::reload::ConfigFile;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::sidecar::{Setup, Sidecar};
use crate::wait::eventually;

/// A running sidecar and its file.
#[derive(Debug)]
pub struct Edited {
    /// The sidecar.
    pub sidecar: Sidecar,
    directory: TempDir,
}

impl Edited {
    /// Starts what `setup` says.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start(setup: &Setup) -> Self {
        let directory = tempfile::tempdir().expect("there is room for files");
        let path = directory.path().join("adumbra.toml");
        std::fs::write(&path, setup.text()).expect("there is room for files");
        let file = ConfigFile::read(&path).unwrap_or_else(|error| panic!("{}\n{error:?}", setup.text()));
        let app = App::start(file).unwrap_or_else(|error| panic!("{error}: {error:?}"));
        Self { sidecar: Sidecar::of(app), directory }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.directory.path().join("adumbra.toml")
    }

    /// The directory that it is in.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Saves `text`, and tells nobody.
    ///
    /// # Panics
    /// If there is no room for it.
    pub fn save(&self, text: &str) {
        std::fs::write(self.path(), text).expect("there is room for files");
    }

    /// Saves what `setup` says, has it read, and waits until it is in force.
    pub async fn edit(&self, setup: &Setup) {
        let text = setup.text();
        self.save(&text);
        self.sidecar.reload();
        self.is_in_force(&text).await;
    }

    /// Waits until `text` is in force.
    ///
    /// # Panics
    /// If it is refused.
    pub async fn is_in_force(&self, text: &str) {
        let sha256 = hash(text);
        eventually("the edit is in force", async || {
            let Value::Object(config) = self.config().await else { return false };
            let (in_force, refused) = (&config["in_force"], &config["refused"]);
            assert_ne!(refused["sha256"], sha256, "{}", refused["shown"].as_str().unwrap_or_default());
            in_force["text"] == text && in_force["sha256"] == sha256 && refused.is_null()
        })
        .await;
    }

    /// Saves `text`, has it read, and waits until it is refused: what `/config` says of it.
    pub async fn refuses(&self, text: &str) -> Value {
        self.save(text);
        self.sidecar.reload();
        self.is_refused(Some(text)).await
    }

    /// Waits until `text` is refused, or that there is none: what `/config` says of it.
    pub async fn is_refused(&self, text: Option<&str>) -> Value {
        let sha256 = text.map_or(Value::Null, |text| hash(text).into());
        let mut refused = Value::Null;
        eventually("the edit is refused", async || {
            refused = self.config().await["refused"].take();
            !refused.is_null() && refused["sha256"] == sha256
        })
        .await;
        refused
    }

    /// What `/config` says.
    ///
    /// # Panics
    /// If it is not JSON.
    pub async fn config(&self) -> Value {
        let answer = self.sidecar.ask("/config").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        serde_json::from_slice(&answer.body).expect("the page is JSON")
    }
}

/// As `sha256sum` has it.
fn hash(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}
