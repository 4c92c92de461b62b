//! The configuration is read again while the process runs: read, checked whole, and put in force between two requests.
//!
//! The file is looked at twice a second and whenever SIGHUP comes; its contents count, not its times, so it does not matter
//! whether an editor writes in place, renames, or a mounted directory swaps a link
//! ([0013](../../docs/decisions/0013-the-configuration-is-read-not-watched.md)). What has just changed is read twice, and
//! what cannot be used is read once more, in the same way, before it is refused: somebody may be writing.
//!
//! A change is prepared whole (`change`), with nothing in force touched: new sockets are bound, certificates and roots read,
//! new names resolved. Only when all of that went well is it put in force, in one step that cannot fail. Else nothing has
//! changed, and what is wrong is in the log, on `/config` and in a metric (`book`).

mod book;
pub(crate) mod change;
mod file;
mod last_good;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use config::{Config, Errors};
use policy::NetworkId;
use tokio::sync::mpsc;

use crate::generation::{Generation, Shared};
use crate::metrics::ConfigReload;
use crate::runtime::Standing;
use change::Change;

pub(crate) use book::{Book, InForce, Refused, Wrong};
pub(crate) use file::read_text;
pub use file::{ConfigFile, ConfigFileError};
pub(crate) use last_good::keep as keep_last_good;

/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Between two reads of what has just changed.
const SETTLE: Duration = Duration::from_millis(100);
/// How long what cannot be used may take to become something else.
const AGAIN: Duration = Duration::from_millis(300);

/// Reads the configuration again, and puts it in force.
pub(crate) struct Reloader {
    pub(crate) shared: Arc<Shared>,
    /// Where it comes from; without a file there is nothing to read again.
    pub(crate) path: Option<PathBuf>,
    /// What the text in force says, before anything was made of it.
    pub(crate) parsed: Arc<Config>,
    /// Whether `adumbra run` keeps the service.
    pub(crate) for_run: bool,
    /// What was refused last, so that it is not refused again and again.
    pub(crate) refused: Option<Reading>,
    /// Whoever wants it read now.
    pub(crate) asked: mpsc::Receiver<()>,
}

/// What there was to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    /// The file's text, or why there is none.
    text: Result<Arc<str>, String>,
    /// The roots of the networks in force, as their files are now.
    roots: Vec<(NetworkId, Option<Vec<u8>>)>,
}

/// Why the file is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    /// It is time.
    Time,
    /// Somebody has asked.
    Asked,
}

impl Reloader {
    /// Does so for as long as it is let.
    pub(crate) async fn keep(mut self, standing: &mut Standing) {
        let Some(path) = self.path.take() else { return std::future::pending().await };
        loop {
            let why = tokio::select! {
                Some(()) = self.asked.recv() => Why::Asked,
                () = tokio::time::sleep(LOOK_EVERY) => Why::Time,
            };
            self.look(&path, why, standing).await;
        }
    }

    async fn look(&mut self, path: &Path, why: Why, standing: &mut Standing) {
        let reading = self.read(path).await;
        if why == Why::Time {
            if self.is_known(&reading) {
                return;
            }
            if !self.rests(path, &reading).await {
                return;
            }
        }
        let name = path.display().to_string();
        match self.prepare(&reading, &name, standing).await {
            Ok(prepared) => return self.apply(prepared, standing),
            Err(errors) => {
                tracing::debug!(%errors, "the configuration cannot be used; it may be in the middle of being written")
            }
        }
        tokio::time::sleep(AGAIN).await;
        let reading = self.read(path).await;
        if why == Why::Time && !self.rests(path, &reading).await {
            return;
        }
        match self.prepare(&reading, &name, standing).await {
            Ok(prepared) => self.apply(prepared, standing),
            Err(errors) => self.refuse(reading, &errors),
        }
    }

    /// Whether it is still the same a moment later. If not, it is being written, and the next look is for it.
    async fn rests(&self, path: &Path, reading: &Reading) -> bool {
        tokio::time::sleep(SETTLE).await;
        self.read(path).await == *reading
    }

    /// What there is to read now.
    async fn read(&self, path: &Path) -> Reading {
        let (path, generation) = (path.to_owned(), self.shared.generation.load_full());
        let reading = tokio::task::spawn_blocking(move || Reading::now(&path, &generation)).await;
        reading.unwrap_or_else(|stopped| Reading { text: Err(stopped.to_string()), roots: Vec::new() })
    }

    /// Whether nothing is to be done about it: it was refused before, or it is what is in force.
    fn is_known(&self, reading: &Reading) -> bool {
        match &self.refused {
            Some(refused) => reading == refused,
            None => self.is_in_force(reading),
        }
    }

    fn is_in_force(&self, reading: &Reading) -> bool {
        let generation = self.shared.generation.load();
        let is_same = |(id, roots): &(NetworkId, Option<Vec<u8>>)| {
            generation.networks.get(id.index()).is_some_and(|network| network.roots.as_deref() == roots.as_deref())
        };
        reading.text.as_ref().is_ok_and(|text| self.shared.book.is_in_force(text)) && reading.roots.iter().all(is_same)
    }

    /// Everything that could go wrong, with nothing changed yet.
    async fn prepare(&self, reading: &Reading, name: &str, standing: &Standing) -> Result<Prepared, Errors> {
        let unreadable =
            |why: &String| Errors::unfit("", name, vec![(Vec::new(), format!("it cannot be read: {why}"))]);
        let text = Arc::clone(reading.text.as_ref().map_err(unreadable)?);
        let (shared, parsed, for_run) = (Arc::clone(&self.shared), Arc::clone(&self.parsed), self.for_run);
        let (named, of) = (name.to_owned(), Arc::clone(&text));
        let preparing =
            tokio::task::spawn_blocking(move || Change::prepare(&shared, &parsed, for_run, &named, &of)).await;
        let stopped = |stopped| Errors::unfit("", name, vec![(Vec::new(), format!("a thread has failed: {stopped}"))]);
        let change = preparing.map_err(stopped)??;
        let opened = standing.prepare(&change.generation.config);
        let opened = opened.map_err(|error| change::unfit(&text, name, &error))?;
        change.resolve().await;
        let is_news = !self.is_in_force(reading);
        Ok(Prepared { text, change, opened, is_news })
    }

    /// Puts it in force. From here on nothing can fail.
    fn apply(&mut self, prepared: Prepared, standing: &mut Standing) {
        let Prepared { text, change, opened, is_news } = prepared;
        self.parsed = Arc::new(change.put_in_force(&self.shared));
        standing.follow(opened);
        self.refused = None;
        let in_force = InForce::now(&text);
        let (hash, read_at_s) = (in_force.hash.clone(), in_force.read_at_s);
        self.shared.book.takes(in_force);
        let metrics = &self.shared.metrics;
        if is_news {
            metrics.config_reloaded(ConfigReload::Applied);
            tracing::info!(sha256 = hash, "the changed configuration is in force");
        } else {
            metrics.config_reloaded(ConfigReload::Unchanged);
            tracing::info!(sha256 = hash, "the configuration is what is in force already");
        }
        metrics.config_in_force(read_at_s);
        if let Some(directory) = self.parsed.state.directory.clone() {
            tokio::task::spawn_blocking(move || keep_last_good(&directory, &text));
        }
    }

    fn refuse(&mut self, reading: Reading, errors: &Errors) {
        for error in errors {
            let (line, column, key) = (error.line, error.column, error.path.as_str());
            tracing::error!(
                file = errors.name(),
                line,
                column,
                key,
                why = error.message(),
                fix = error.help(),
                "the changed configuration is not taken; the one before stays in force"
            );
        }
        self.shared.metrics.config_reloaded(ConfigReload::Refused);
        self.shared.book.refuses(Refused::now(reading.text.as_deref().ok(), errors));
        self.refused = Some(reading);
    }
}

/// A change that is ready to be put in force.
struct Prepared {
    text: Arc<str>,
    change: Change,
    opened: Vec<crate::runtime::Listening>,
    /// Whether it is another than what is in force.
    is_news: bool,
}

impl Reading {
    /// A text that was refused before the process was up.
    pub(crate) fn refused(text: Arc<str>, generation: &Generation) -> Self {
        Self { text: Ok(text), roots: roots_now(generation) }
    }

    fn now(path: &Path, generation: &Generation) -> Self {
        let text = read_text(path).map_err(|error| crate::identity::told(&error));
        Self { text: text.map(Arc::from), roots: roots_now(generation) }
    }
}

fn roots_now(generation: &Generation) -> Vec<(NetworkId, Option<Vec<u8>>)> {
    let named = generation.networks_in_force().filter_map(|network| Some((network.id, network.config.ca.as_ref()?)));
    named.map(|(id, path)| (id, std::fs::read(path).ok())).collect()
}

#[cfg(test)]
mod tests;
