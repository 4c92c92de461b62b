//! Reading and writing files, the one place of this crate that touches the disk.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::{AuthorityError, CertError};

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Its owner.
    Secret,
    /// Everybody.
    Public,
}

/// The bytes of the file at `path`.
///
/// # Errors
/// [`CertError::Read`], which names the file.
pub fn read(path: &Path) -> Result<Vec<u8>, CertError> {
    std::fs::read(path).map_err(|source| CertError::Read { path: path.to_owned(), source })
}

/// Writes files, in this order and each whole: whoever reads one meanwhile gets the old or the new. Unless they may be
/// replaced, none is written if one of them is there.
pub(crate) fn write_all(files: &[(&PathBuf, &[u8], Mode)], replace: bool) -> Result<(), AuthorityError> {
    if !replace && let Some((there, ..)) = files.iter().find(|(path, ..)| path.symlink_metadata().is_ok()) {
        return Err(AuthorityError::Exists { path: (*there).clone() });
    }
    for (path, bytes, mode) in files {
        write(path, bytes, *mode).map_err(|source| AuthorityError::Write { path: (*path).clone(), source })?;
    }
    Ok(())
}

fn write(path: &Path, bytes: &[u8], mode: Mode) -> std::io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let beside = path.with_file_name(name);
    let bits = if mode == Mode::Secret { 0o600 } else { 0o644 };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(bits).open(&beside)?;
    let written = file.write_all(bytes).and_then(|()| File::sync_all(&file));
    let placed = written.and_then(|()| std::fs::rename(&beside, path));
    if placed.is_err() {
        // What is half written is of no use; that it cannot be removed is not what went wrong.
        let _left = std::fs::remove_file(&beside).is_err();
    }
    placed
}
