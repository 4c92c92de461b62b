//! The last configuration that was in force, kept over a restart: an edit that is refused while the process runs must not
//! keep it from starting again.
//!
//! Where it is kept is said by the configuration itself, so that there is one file to look after. A file that is wrong
//! elsewhere still says it.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the copy is called in its directory.
const NAME: &str = "last-good.toml";

/// Keeps `text` in `directory`, whole or not at all.
pub(crate) fn keep(directory: &Path, text: &str) {
    if let Err(error) = write(directory, text) {
        tracing::warn!(%error, directory = %directory.display(), "the configuration in force cannot be kept for a restart; see `state.directory`");
    }
}

/// The copy that a text which cannot be used says where to find, and what is in it.
pub(super) fn of(bad: &str) -> Option<(PathBuf, Arc<str>)> {
    let at = config::state_directory(bad)?.join(NAME);
    let text = super::file::read_text(&at).ok()?;
    Some((at, text.into()))
}

fn write(directory: &Path, text: &str) -> io::Result<()> {
    std::fs::create_dir_all(directory)?;
    let at = directory.join(NAME);
    if std::fs::read(&at).is_ok_and(|kept| kept == text.as_bytes()) {
        return Ok(());
    }
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(&at).map_err(|error| error.error)?;
    std::fs::File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_found_by_a_text_that_is_wrong_elsewhere() {
        let directory = tempfile::tempdir().expect("there is room for files");
        let state = directory.path().join("deep/state");
        let says = format!("state.directory = '{}'\n", state.display());
        assert_eq!(of(&says), None, "nothing is kept yet");
        keep(&state, "first = 1\n");
        keep(&state, "home = 'a'\n");
        for wrong in ["wrong = 1\n", "home = [[[\n", "listen.jobs = \n"] {
            let found = of(&format!("{says}{wrong}"));
            assert_eq!(found.map(|(_, text)| text.to_string()).as_deref(), Some("home = 'a'\n"), "{wrong}");
        }
        assert_eq!(of("state.directory = 3\n"), None);
        assert_eq!(std::fs::read_dir(&state).expect("a directory").count(), 1, "no half-written copies stay");
    }
}
