//! Which configuration is in force and which was refused, for `/config`.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use config::Errors;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

/// What is known of configurations.
#[derive(Debug, Default)]
pub(crate) struct Book(Mutex<Entries>);

#[derive(Clone, Debug, Default)]
struct Entries {
    in_force: Option<InForce>,
    refused: Option<Refused>,
}

/// The configuration in force.
#[derive(Clone, Debug)]
pub(crate) struct InForce {
    pub(crate) text: Arc<str>,
    /// SHA-256 of it, hexadecimal, as `sha256sum` has it.
    pub(crate) hash: String,
    /// When it was read, Unix time.
    pub(crate) read_at_s: u64,
    /// Whether it is not the file's, but the copy kept of one that was.
    pub(crate) is_last_good: bool,
}

/// What was refused last, while it still stands in the file.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    /// SHA-256 of the text, if there was one.
    pub(crate) hash: Option<String>,
    /// When it was read, Unix time.
    pub(crate) read_at_s: u64,
    /// What is wrong with it.
    pub(crate) errors: Vec<Wrong>,
    /// How many errors there are, those that were too many to keep included.
    pub(crate) count: usize,
    /// The same as text, with the lines it is about.
    pub(crate) shown: String,
}

/// One thing that is wrong.
#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct Wrong {
    line: usize,
    column: usize,
    key: String,
    code: &'static str,
    message: String,
    fix: String,
}

impl Book {
    /// What is known at the start.
    pub(crate) fn new(in_force: Option<InForce>, refused: Option<Refused>) -> Self {
        Self(Mutex::new(Entries { in_force, refused }))
    }

    /// The configuration in force, where it came from a text, and the one that stands refused.
    pub(crate) fn read(&self) -> (Option<InForce>, Option<Refused>) {
        let Entries { in_force, refused } = self.0.lock().clone();
        (in_force, refused)
    }

    /// Whether `text` is in force, as what the file says.
    pub(super) fn is_in_force(&self, text: &str) -> bool {
        self.0.lock().in_force.as_ref().is_some_and(|in_force| *in_force.text == *text && !in_force.is_last_good)
    }

    /// What was refused stands there no more.
    pub(super) fn takes(&self, in_force: InForce) {
        *self.0.lock() = Entries { in_force: Some(in_force), refused: None };
    }

    pub(super) fn refuses(&self, refused: Refused) {
        self.0.lock().refused = Some(refused);
    }
}

impl InForce {
    /// The Unix time.
    pub(crate) fn seconds_now() -> u64 {
        now_s()
    }

    pub(super) fn now(text: &Arc<str>) -> Self {
        Self { text: Arc::clone(text), hash: hash(text), read_at_s: now_s(), is_last_good: false }
    }
}

impl Refused {
    pub(super) fn now(text: Option<&str>, errors: &Errors) -> Self {
        let wrong = |error: &config::errors::Error| Wrong {
            line: error.line,
            column: error.column,
            key: error.path.clone(),
            code: error.fault.code(),
            message: error.message(),
            fix: error.help(),
        };
        Self {
            hash: text.map(hash),
            read_at_s: now_s(),
            errors: errors.iter().map(wrong).collect(),
            count: errors.count(),
            shown: errors.render(false),
        }
    }
}

fn hash(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
